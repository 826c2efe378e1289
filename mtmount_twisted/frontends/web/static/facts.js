// The mount's latest state, the connected commanders, and the state of the journal.
//
// It touches its own two panels and reads the store.

import { since, span } from "./clock.js";
import { byId, fill, make, write } from "./dom.js";
import { paced } from "./pace.js";

export function facts(store) {
  const axes = byId("axes");
  const draw = paced(() => {
    const { state } = store;
    if (state === null) return;
    const known = [state.dialect, state.mount, state.axes, state.devices].map((part) => JSON.stringify(part, ageless));
    fill(axes, known.join(), () => about(state));
    fill(byId("commanders"), JSON.stringify(state.commanders), () => [table(state.commanders)]);
    write(byId("journal"), journal(state.journal));
    write(byId("version"), `mtmount_twisted ${state.version}`);
    for (const cell of axes.querySelectorAll("[data-time]")) cell.textContent = ` (${since(cell.dataset.time)} ago)`;
  });
  store.on("state tick", draw);
}

// Ages change all the time: the page shows them by the times of the values.
const ageless = (name, value) => (name === "age" ? undefined : value);

function fact(name, text, { time, stale }) {
  return [
    make("dt", {}, name),
    make("dd", { class: stale ? "stale" : null }, text, stale ? " — stale: said before the link was lost" : "", time ? ago(time) : null),
  ];
}

// The rows about the mount.
export function about({ dialect, mount, axes, devices }) {
  const rows = [...fact("protocol", dialect, {}), ...fact("state", mount.description ?? "not reported yet", mount)];
  for (const [name, axis] of Object.entries(axes)) {
    if (axis.telemetry !== null) rows.push(...placed(`${words(name)} position`, axis.telemetry));
    if (axis.in_position !== null) rows.push(...fact(words(name), axis.in_position ? "in position" : "not in position", axis));
  }
  for (const [name, { power, motion, causes }] of Object.entries(devices)) {
    if (causes) rows.push(...fact("interlocks", causes.value.join("; ") || "none", causes));
    const told = [power, motion].filter(Boolean);
    if (told.length > 0) rows.push(...fact(words(name), told.map(({ value }) => words(value).toLowerCase()).join(", "), told[0]));
  }
  return rows;
}

const words = (name) => name.replaceAll("_", " ");

const degrees = (number) => (number === null ? "not measured" : `${number.toFixed(4)}°`);

function placed(name, { position, demand_position: demand, stale, time }) {
  const asked = demand === null ? "" : `, asked for ${degrees(demand)}`;
  const old = stale ? " — old: no telemetry has come since" : "";
  return [
    make("dt", {}, name),
    make("dd", { class: stale ? "stale" : null }, `${degrees(position)}${asked}${old}`, stale ? ago(time) : null),
  ];
}

const ago = (time) => make("span", { class: "muted", "data-time": time });

const cell = (text, kind) => make("td", { class: kind }, String(text));
const heading = (text, kind) => make("th", { scope: "col", class: kind }, text);

function table(commanders) {
  if (commanders.length === 0) return make("p", {}, "Nobody.");
  const head = [heading("Name"), heading("Source"), heading("May"), heading("In flight", "number"), heading("Behind", "number")];
  const rows = commanders.map((one) =>
    make(
      "tr",
      {},
      cell(one.name, "long"),
      cell(one.source ?? ""),
      cell(one.may_command ? "command" : "observe"),
      cell(one.in_flight, "number"),
      cell(one.behind_bytes ? `${one.behind_bytes} bytes` : "no", "number"),
    ),
  );
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

function journal({ path, lag, lost, fault }) {
  if (path === null) return "The journal is turned off.";
  const troubles = [fault && `FAULT: ${fault}`, lost && `${lost} entries lost`, lag > 1 && `${span(lag * 1000)} behind`];
  return `Journal: ${path}${troubles.filter(Boolean).map((trouble) => `; ${trouble}`).join("")}`;
}

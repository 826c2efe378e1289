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
    const known = [state.mount, state.axes];
    fill(axes, JSON.stringify(known), () => about(state));
    fill(byId("commanders"), JSON.stringify(state.commanders), () => [table(state.commanders)]);
    write(byId("journal"), journal(state.journal));
    write(byId("version"), `mtmount_twisted ${state.version}`);
    for (const cell of axes.querySelectorAll("[data-time]")) cell.textContent = ` (${since(cell.dataset.time)} ago)`;
  });
  store.on("state tick", draw);
}

function fact(name, text, { time, stale }) {
  const ago = time ? make("span", { class: "muted", "data-time": time }) : null;
  return [
    make("dt", {}, name),
    make("dd", { class: stale ? "stale" : null }, text, stale ? " — stale: said before the link was lost" : "", ago),
  ];
}

function about({ mount, axes }) {
  const rows = fact("state", mount.description ?? "not reported yet", mount);
  for (const [name, axis] of Object.entries(axes)) {
    rows.push(...fact(name, axis.in_position ? "in position" : "not in position", axis));
  }
  return rows;
}

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

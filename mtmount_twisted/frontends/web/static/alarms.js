// Active errors, interlocks and warnings, errors first.
//
// It touches its own panel and reads the moment shown. `alarmRows` is pure.

import { duration } from "./clock.js";
import { byId, fill, make, write } from "./dom.js";
import { interlocks } from "./levels.js";
import { paced } from "./pace.js";

export function alarms(store, shown) {
  const panel = byId("alarms");
  const draw = paced(() => {
    const view = shown.view();
    if (view.state === null) return;
    const rows = alarmRows(view);
    fill(panel, JSON.stringify(rows), () => [list(rows)]);
    for (const cell of panel.querySelectorAll("[data-time]")) write(cell, lasts(view.now, cell.dataset.time));
  });
  store.on("shown", draw);
}

const lasts = (now, time) => (Number.isFinite(Date.parse(time)) ? duration(now - Date.parse(time)) : "");

// What is wrong at the moment shown: rows {kind, alarm}, or null if it is not known.
export function alarmRows(view) {
  const { errors, warnings, alarms_unknown: unknown, devices } = view.state;
  const { time } = devices?.safety_system?.causes ?? {};
  const rows = (kind, all) => all.map((alarm) => ({ kind, alarm }));
  const locks = (interlocks(view) ?? []).map((what) => ({ what, time }));
  const known = [...rows("ERROR", errors), ...rows("INTERLOCK", locks), ...rows("WARNING", warnings)];
  return unknown && known.length === 0 ? null : known;
}

function list(rows) {
  if (rows === null) return make("p", {}, "Not known: the alarms of then are not read.");
  if (rows.length === 0) return make("p", {}, "None.");
  return make("ol", { class: "list" }, ...rows.map(row));
}

function row({ kind, alarm }) {
  const more = [alarm.active === false && "no longer present", alarm.latched && "latched", alarm.stale && "stale"];
  const notes = more.filter(Boolean).join(", ");
  return make(
    "li",
    { class: `alarm ${kind === "ERROR" ? "error" : "warning"}${alarm.stale ? " stale" : ""}` },
    make("span", { class: "kind" }, kind),
    make(
      "span",
      { class: "description" },
      make("span", { class: "about" }, [alarm.code, alarm.what].filter((part) => part !== undefined && part !== null).join(" ")),
      alarm.description ? `: ${alarm.description}` : "",
      notes ? ` (${notes})` : "",
      alarm.remedy ? make("span", { class: "remedy" }, `Vendor’s advice: ${alarm.remedy}`) : null,
    ),
    make("span", { class: "number", "data-time": alarm.time ?? "" }),
  );
}

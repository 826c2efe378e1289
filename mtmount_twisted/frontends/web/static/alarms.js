// Active errors and warnings, errors first.
//
// It touches its own panel and reads the store.

import { since } from "./clock.js";
import { byId, fill, make } from "./dom.js";
import { paced } from "./pace.js";

export function alarms(store) {
  const panel = byId("alarms");
  const draw = paced(() => {
    if (store.state === null) return;
    const { errors, warnings } = store.state;
    const all = [...errors.map((alarm) => [true, alarm]), ...warnings.map((alarm) => [false, alarm])];
    fill(panel, JSON.stringify(all), () => [list(all)]);
    for (const cell of panel.querySelectorAll("[data-time]")) cell.textContent = since(cell.dataset.time);
  });
  store.on("state tick", draw);
}

function list(all) {
  if (all.length === 0) return make("p", {}, "None.");
  return make("ol", { class: "list" }, ...all.map(([isError, alarm]) => row(isError, alarm)));
}

function row(isError, alarm) {
  const kind = isError ? "ERROR" : "WARNING";
  const more = [alarm.active === false && "no longer present", alarm.latched && "latched", alarm.stale && "stale"];
  const notes = more.filter(Boolean).join(", ");
  return make(
    "li",
    { class: `alarm ${isError ? "error" : "warning"}${alarm.stale ? " stale" : ""}` },
    make("span", { class: "kind" }, kind),
    make(
      "span",
      { class: "description" },
      make("span", { class: "about" }, `${alarm.code} ${alarm.what ?? ""}`),
      alarm.description ? `: ${alarm.description}` : "",
      notes ? ` (${notes})` : "",
      alarm.remedy ? make("span", { class: "remedy" }, `Vendor’s advice: ${alarm.remedy}`) : null,
    ),
    make("span", { class: "number", "data-time": alarm.time }),
  );
}

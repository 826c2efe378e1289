// The pending commands of all commanders, with running clocks.
//
// It touches its own table and reads the store.

import { duration, now } from "./clock.js";
import { byId, fill, make } from "./dom.js";
import { paced } from "./pace.js";
import { words } from "./schema.js";

export function flights(store) {
  const panel = byId("flights");
  const draw = paced(() => {
    if (store.state === null) return;
    const all = store.state.in_flight;
    fill(panel, JSON.stringify(all), () => [table(all)]);
    for (const cell of panel.querySelectorAll("[data-since]")) {
      cell.textContent = duration(now() - Date.parse(cell.dataset.since));
    }
    for (const cell of panel.querySelectorAll("[data-deadline]")) {
      const left = Date.parse(cell.dataset.deadline) - now();
      cell.textContent = left > 0 ? duration(left) : "over";
    }
  });
  store.on("state tick", draw);
}

const heading = (text, kind) => make("th", { scope: "col", class: kind }, text);

function table(all) {
  if (all.length === 0) return make("p", {}, "Nothing.");
  const head = [heading("Command"), heading("From"), heading("Ack"), heading("Since", "number"), heading("Left", "number")];
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...all.map(row)));
}

function row(flight) {
  return make(
    "tr",
    {},
    make("td", { class: "long" }, `${words(flight.command)} #${flight.sequence_id}`),
    make("td", { class: "long" }, flight.commander),
    make("td", {}, flight.acked ? "yes" : "not yet"),
    make("td", { class: "number", "data-since": flight.since }),
    make("td", { class: "number", "data-deadline": flight.deadline }),
  );
}

// The bar at the bottom, beside STOP: what the mount said last, and what is in flight.
//
// It touches the bar's two texts and reads the store: the bar is always of now, also while the page shows the past.

import { now, roughly, since, timeOfDay } from "./clock.js";
import { byId, write } from "./dom.js";
import { degrees } from "./figures.js";
import { axisOf } from "./levels.js";
import { paced } from "./pace.js";
import { word } from "./words.js";

export function bar(store, shown) {
  const draw = paced(() => {
    const playing = shown.at !== null;
    write(byId("said-name"), playing ? "The real mount now" : "Said last");
    write(byId("flight-name"), playing ? "STOP is live" : "In flight");
    const [said, more] = playing ? real(store) : last(store);
    write(byId("word"), said);
    write(byId("word-more"), more);
    const [flight, rest] = playing ? ["It stops the real mount", ""] : flying(store.state?.in_flight ?? []);
    write(byId("flight"), flight);
    write(byId("flight-more"), rest);
  });
  store.on("state tick live entry moment", draw);
}

function last({ lastWord: entry, named }) {
  if (entry === null) return ["nothing yet", ""];
  return [word(entry, named), `${timeOfDay(entry.time)}, ${since(entry.time)} ago`];
}

// The mount as it is, while the page shows the past.
function real(store) {
  const { state, summary, values, live } = store;
  if (state === null) return ["unknown", ""];
  const view = { live, at: null, state, summary, values, silent: 0 };
  const places = [["az", "azimuth"], ["el", "elevation"]].map(([short, name]) => {
    const axis = axisOf(view, name);
    return axis && `${short} ${degrees(axis.position)}`;
  });
  const motion = summary?.motion?.word?.toLowerCase();
  const alarms = state.errors.length ? `${state.errors.length} alarms` : "no alarms";
  return [[...places, motion].filter(Boolean).join(", ") || alarms, `${alarms}, ${timeOfDay(now())}`];
}

// The oldest pending command, and how many there are.
export function flying(flights) {
  if (flights.length === 0) return ["none", ""];
  const [first, ...rest] = flights;
  const going = roughly(now() - Date.parse(first.since));
  const limit = roughly(Date.parse(first.deadline) - Date.parse(first.since));
  const more = rest.length ? ` · ${rest.length} more` : "";
  return [`${first.command} #${first.sequence_id}`, `${first.commander}, ${going} of ${limit}${more}`];
}

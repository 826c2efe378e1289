// The top: the line of names and clocks, and the six cells, which say at a glance where the mount is and whether it is
// well. A screen reader announces changes of Safety, Motion and the holder.
//
// It touches the top's elements and reads the moment shown. Words come from cells.js.

import { announcement, cells } from "./cells.js";
import { now, timeOfDay } from "./clock.js";
import { byId, fill, make, mark, say, show, write } from "./dom.js";
import { clockAngle, fixed } from "./figures.js";
import { apart } from "./levels.js";
import { paced } from "./pace.js";

// Each cell's section, the id of its figure, and that of its second line.
const PLACES = {
  safety: ["c-safety", "safety", "safety-more"],
  motion: ["c-motion", "motion", "motion-more"],
  azimuth: ["c-azimuth", "azimuth", "azimuth-more"],
  elevation: ["c-elevation", "elevation", "elevation-more"],
  command: ["tile-command", "holder", "holder-more"],
  mount: ["tile-mount", "answers", "answers-more"],
};
const SIDEREAL_AGE = 5000; // ms for which a sidereal time can be continued by the clock
const RATE = 1.00273790935; // sidereal seconds in a second

export function glance(store, shown) {
  const draw = paced(() => {
    const view = shown.view();
    for (const [name, cell] of Object.entries(cells(view))) place(...PLACES[name], cell);
    names(view);
  });
  const tell = announcer();
  store.on("shown entry", draw);
  store.on("live", () => badge(shown.view()));
  store.on("moment", () => badge(shown.view()));
  store.on("state live summary", () => tell(shown.view()));
}

function place(section, figure, more, { name, figure: words, sub, mood, soft, stale, ask }) {
  const cell = byId(section);
  if (cell.dataset.mood !== mood) cell.dataset.mood = mood;
  cell.classList.toggle("stale", stale);
  write(byId(`${section}-name`), name);
  const shown = byId(figure);
  shown.classList.toggle("soft", soft);
  fill(shown, JSON.stringify([words, mood]), () => [...number(words, mood)]);
  say(byId(more), sub);
  if (section === "tile-command") show(byId("ask"), Boolean(ask));
}

// A mark and a word, or a figure with a small degree sign.
function number(words, mood) {
  const sign = mark(mood === "fault" || typeof words !== "string" ? "" : mood);
  const text = typeof words === "string" ? make("span", {}, words) : make("span", {}, fixed(words.number, 3), make("small", {}, "°"));
  return sign === null ? [text] : [sign, text];
}

function names(view) {
  const { state, summary, at } = view;
  const date = at === null ? "" : `${new Date(at).toISOString().slice(0, 10)} `;
  write(byId("utc"), date + timeOfDay(at ?? now()));
  const sidereal = summary?.sky?.sidereal_time;
  const known = typeof sidereal === "number" && view.silent < SIDEREAL_AGE;
  write(byId("lst"), known ? `Sidereal ${clockAngle(sidereal + (view.silent / 240_000) * RATE, true)}` : "");
  if (state === null) return;
  write(byId("who"), `you are ${state.you.commander}`);
  write(byId("address"), `${state.controller.address}, ${state.dialect}`);
}

// Whether the page shows the mount as it is.
function badge(view) {
  const why = apart(view);
  const badge = byId("live");
  document.body.dataset.live = view.live.is ? "yes" : "no";
  document.body.dataset.moment = view.at === null ? "now" : "past";
  badge.dataset.live = why === "" || why === "link" ? "yes" : "no";
  write(badge, why === "playback" ? "Playback" : why === "page" ? "Last known" : "Live");
}

// Announce a change in one sentence.
function announcer() {
  let last = "";
  return (view) => {
    const text = announcement(view);
    if (text === "" || text === last) return;
    last = text;
    write(byId("announcer"), text);
  };
}

// Draws the time to each limit as a bar on a logarithmic rail from 1 min to 12 h.
//
// It touches only the element that it is given, which it fills with a list and a scale.

import { draw, fill, make } from "./dom.js";
import { clockOf, fixed, spanOf } from "./figures.js";
import { limitName } from "./levels.js";

const [LEAST, MOST] = [60, 43_200]; // s, the ends of the rail
const GAPS = [300, 1800]; // s, where caution and alarm begin
const ROWS = 4;
const WIDTH = 336;

// The place of a time on the rail, from 0 to 1.
export const along = (seconds) => Math.log(Math.min(MOST, Math.max(LEAST, seconds)) / LEAST) / Math.log(MOST / LEAST);

// Draw the nearest four of `rows`: {name, axis, kind, limit (deg), distance (deg or null), seconds (null: not within 12 h), at (UTC s or ISO text, or null),
// level, basis}. `stale` marks them as last known.
export function drawLimits(element, rows, stale = false) {
  const named = rows.map((row) => ({ ...row, name: limitName(row) }));
  const nearest = named
    .sort((one, other) => rank(one.seconds) - rank(other.seconds) || rank(one.distance) - rank(other.distance))
    .slice(0, ROWS)
    .map((row) => ({ ...row, when: when(row) }));
  const key = JSON.stringify([stale, nearest.map(({ name, when, level }) => [name, when, level])]);
  fill(element, key, () => [make("ol", {}, ...nearest.map(bar)), scale()]);
  element.classList.toggle("stale", stale);
}

// A number that no sum with infinity spoils, for what is not known or not within 12 h.
const rank = (value) => value ?? 1e12;

// The time to a limit in words, and the time of day.
function when({ seconds, at, distance, basis }) {
  if (seconds === 0) return ["at the limit", ""];
  if (seconds !== null) return [spanOf(seconds), at === null || at === undefined ? "" : clockOf(utc(at)).slice(0, 5)];
  return [basis !== "still" ? "not in 12 h" : distance === null ? "no motion" : `${fixed(distance, 1)}°, no motion`, ""];
}

const utc = (time) => (typeof time === "number" ? time : Date.parse(time) / 1000);

function bar({ name, when: [words, clock], seconds, level }) {
  const none = seconds === null;
  return make(
    "li",
    { "data-level": none ? "calm" : level, "data-none": none },
    make("span", {}, name),
    make("span", { class: "when" }, words, clock ? make("span", { class: "muted" }, ` ${clock}`) : null),
    rail(none ? null : Math.max(0.015, along(seconds)), level),
  );
}

const INK = { alarm: "var(--alarm)", caution: "var(--caution-line)" };

function rail(share, level) {
  const bars = share === null ? [] : [
    draw("rect", { "data-part": "bar", y: 0, height: 6, width: (share * WIDTH).toFixed(1), fill: INK[level] ?? "var(--track)" }),
    draw("rect", { "data-part": "mark", y: 0, height: 6, width: 3, x: Math.max(0, share * WIDTH - 3).toFixed(1), fill: "var(--text)" }),
  ];
  const gaps = GAPS.map((seconds) => draw("rect", { x: (along(seconds) * WIDTH - 1).toFixed(1), y: 0, height: 6, width: 2, fill: "var(--ground)" }));
  const ground = draw("rect", { y: 0, width: WIDTH, height: 6, fill: "var(--band)" });
  return draw("svg", { class: "rail", viewBox: `0 0 ${WIDTH} 6`, preserveAspectRatio: "none", "aria-hidden": "true" }, ground, ...bars, ...gaps);
}

const MARKS = [[60, "1 min", "start"], [300, "5", "middle"], [1800, "30", "middle"], [7200, "2 h", "middle"], [43_200, "12 h", "end"]];

// The words of the scale. They are no part of the stretched rail, so that their letters stay as wide as they are.
function scale() {
  const words = MARKS.map(([seconds, text, anchor]) =>
    draw("text", { x: `${(along(seconds) * 100).toFixed(1)}%`, y: 13, "text-anchor": anchor, fill: "var(--muted)" }, text));
  return draw("svg", { class: "rail-scale", width: "100%", height: 18, "aria-hidden": "true" }, ...words);
}

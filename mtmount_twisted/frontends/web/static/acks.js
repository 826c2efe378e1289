// The times to Ack of the last ten minutes, as the daemon counts them: a plot and a summary in words.
//
// It touches its own panel, the network by api.js, and the store. A hidden page sends no request.

import { ApiError, getAcks } from "./api.js";
import { now, span, timeOfDay } from "./clock.js";
import { byId, draw, write } from "./dom.js";
import { paced } from "./pace.js";

const [HEIGHT, LEFT, RIGHT, BOTTOM, TOP] = [190, 62, 8, 24, 20];
const [NARROWEST, WIDEST] = [280, 1680]; // px, of the plot: a unit of the drawing is a pixel
const [LEAST, MOST] = [-0.1, 4.1]; // powers of ten, ms: 1 ms to 10 s, and one row beyond each
const WINDOW = 10 * 60_000; // ms
const LEVELS = 4; // shades, from one answer to many
const EVERY = 5000; // ms between two requests, and between two drawings without new data

export function acks(store) {
  let times = null; // the daemon's latest response
  let [asked, drawn] = [-EVERY, -EVERY];
  let [asking, wanted, again] = [false, true, true];
  const redraw = paced(() => {
    drawn = performance.now();
    wide = Math.min(WIDEST, Math.max(NARROWEST, byId("acks").clientWidth || 600));
    const recent = times && clipped(times, now());
    write(byId("acks-text"), recent ? summary(recent) : "");
    byId("acks").replaceChildren(recent?.columns.length ? plot(recent) : "");
  });
  async function ask() {
    if (asking || !wanted || document.hidden || !store.live.is || performance.now() - asked < EVERY) return;
    // The daemon's response may be a second old: the next one has the latest counts from before this tab opened.
    [asking, wanted, again, asked] = [true, again, false, performance.now()];
    try {
      times = await getAcks();
      store.setPastAnswers(times);
      redraw();
    } catch (error) {
      wanted = true;
      if (!(error instanceof ApiError)) throw error;
    } finally {
      asking = false;
    }
  }
  const soon = () => {
    wanted = true;
    return ask();
  };
  store.on("acks", soon);
  store.on("live", () => {
    asked = -EVERY;
    return soon();
  });
  document.addEventListener("visibilitychange", ask);
  store.on("tick", () => {
    if (store.live.events) wanted = true; // this tab receives no events, and so no answers
    ask();
    if (performance.now() - drawn >= EVERY) redraw();
  });
}

// Drop the columns that are now older than the window.
export function clipped(times, time) {
  const columns = times.columns.filter((one) => Date.parse(one.time) + times.column * 1000 > time - WINDOW);
  return { ...times, columns };
}

const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);

export function summary({ time, since, bounds, columns }) {
  const from = Date.parse(since);
  const young = Date.parse(time) - from < WINDOW - 1000 ? ` Counted since ${timeOfDay(from)} UTC, when the daemon started.` : "";
  const not = sum(columns.map(({ refused, unanswered }) => refused + unanswered));
  const none = not ? ` ${not.toLocaleString("en")} got no Ack.` : "";
  const counts = bounds.map((_, bin) => sum(columns.map((column) => column.counts[bin])));
  counts.push(sum(columns.map((column) => column.counts[bounds.length])));
  const answered = sum(counts);
  if (answered + not === 0) return `No command was answered.${young}`;
  if (answered === 0) return `No command was acknowledged.${none}${young}`;
  const slowest = Math.max(...columns.map((column) => column.slowest));
  const count = `${answered.toLocaleString("en")} ${answered === 1 ? "command" : "commands"} acknowledged`;
  const middle = Math.min(median(counts, bounds), slowest) * 1000;
  const about = middle < 1 ? "below 1 ms" : `about ${span(middle)}`;
  return `${count}: median ${about}, slowest ${span(slowest * 1000)}.${none}${young}`;
}

// The median in s, at the middle of its bin: bins are narrow.
function median(counts, bounds) {
  let left = (sum(counts) + 1) / 2;
  const bin = counts.findIndex((count) => (left -= count) <= 0);
  if (bin === 0) return 0;
  return bin === bounds.length ? Infinity : Math.sqrt(bounds[bin - 1] * bounds[bin]);
}

let wide = 600; // of the present drawing
const across = (time) => LEFT + ((time - now() + WINDOW) / WINDOW) * (wide - LEFT - RIGHT);
const height = (power) => HEIGHT - BOTTOM - ((power - LEAST) / (MOST - LEAST)) * (HEIGHT - BOTTOM - TOP);

function plot({ bounds, columns, column }) {
  const title = draw("title", {}, "Time to Ack over the last ten minutes; the text above sums it up");
  return draw(
    "svg",
    { class: "plot", viewBox: `0 0 ${wide} ${HEIGHT}`, role: "img" },
    title,
    ...["1 ms", "10 ms", "100 ms", "1 s", "10 s"].flatMap((text, power) => level(power, text)),
    ...[10, 5, 0].map((minutes) => mark(minutes)),
    ...shades(columns, column, edges(bounds)),
    crosses(columns, column),
  );
}

function level(power, text) {
  const y = height(power);
  return [
    draw("line", { class: "grid", x1: LEFT, x2: wide, y1: y, y2: y }),
    draw("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, text),
  ];
}

function mark(minutes) {
  const x = across(now() - minutes * 60_000);
  const anchor = minutes === 0 ? "end" : minutes === 10 ? "start" : "middle";
  return draw("text", { x, y: HEIGHT - 6, "text-anchor": anchor }, minutes ? `−${minutes} min` : "now");
}

// The heights of the bins' edges: one more than there are bins.
function edges(bounds) {
  const powers = bounds.map((seconds) => Math.log10(seconds * 1000));
  return [LEAST, ...powers, MOST].map(height);
}

// A box for each bin with answers in each column; all boxes of one shade are one path.
function shades(columns, column, ys) {
  const most = Math.max(1, ...columns.flatMap(({ counts }) => counts));
  const paths = Array.from({ length: LEVELS }, () => "");
  const width = Math.max(4, across(column * 1000) - across(0));
  for (const { time, counts } of columns) {
    const x = Math.max(LEFT, across(Date.parse(time)));
    counts.forEach((count, bin) => {
      if (count === 0) return;
      const shade = most === 1 ? LEVELS - 1 : Math.round((Math.log(count) / Math.log(most)) * (LEVELS - 1));
      paths[shade] += `M${x.toFixed(1)} ${ys[bin].toFixed(1)}h${width.toFixed(1)}V${ys[bin + 1].toFixed(1)}h-${width.toFixed(1)}z`;
    });
  }
  return paths.map((d, shade) => (d ? draw("path", { class: `answer shade-${shade}`, d }) : null)).filter(Boolean);
}

// Crosses above the scale mark commands without an Ack.
function crosses(columns, column) {
  const bad = columns.filter(({ refused, unanswered }) => refused + unanswered > 0);
  const at = ({ time }) => Math.max(LEFT, across(Date.parse(time) + column * 500));
  return draw("path", { class: "refusal", d: bad.map((one) => `M${(at(one) - 4).toFixed(1)} 5l8 8m0 -8l-8 8`).join("") });
}

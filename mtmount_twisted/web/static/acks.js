// The time to Ack of the last minutes: each answer a dot, on a logarithmic scale; and the same in words.
//
// It touches its own panel and reads the store.

import { now, span } from "./clock.js";
import { byId, draw, make, write } from "./dom.js";
import { ACK_WINDOW } from "./store.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [600, 190, 56, 24, 10];
const [LEAST, MOST] = [0, 4]; // powers of ten, ms: 1 ms to 10 s
const SHOWN = 600; // dots: the newest
const EVERY = 5000; // ms between drawings for time alone

export function acks(store) {
  let drawn = -EVERY;
  let wanted = false;
  const redraw = () => {
    wanted = false;
    drawn = performance.now();
    const recent = store.acks.filter((ack) => ack.time > now() - ACK_WINDOW);
    write(byId("acks-text"), summary(recent));
    byId("acks").replaceChildren(recent.length ? plot(recent.slice(-SHOWN)) : "");
  };
  store.on("acks", () => {
    if (!wanted) requestAnimationFrame(redraw);
    wanted = true;
  });
  store.on("tick", () => performance.now() - drawn >= EVERY && redraw());
  redraw();
}

export function summary(recent) {
  const answered = recent.filter((ack) => ack.step === "ack").map((ack) => ack.ms);
  const refused = recent.length - answered.length;
  if (recent.length === 0) return "No command was answered.";
  const not = refused ? ` ${refused} got no Ack.` : "";
  if (answered.length === 0) return `No command was acknowledged.${not}`;
  answered.sort((one, other) => one - other);
  const median = answered[Math.floor(answered.length / 2)];
  const count = `${answered.length} ${answered.length === 1 ? "command" : "commands"} acknowledged`;
  return `${count}: median ${span(median)}, slowest ${span(answered.at(-1))}.${not}`;
}

const across = (time) => LEFT + ((time - now() + ACK_WINDOW) / ACK_WINDOW) * (WIDTH - LEFT - 8);
const height = (ms) => {
  const power = Math.min(MOST, Math.max(LEAST, Math.log10(Math.max(ms, 0.001))));
  return HEIGHT - BOTTOM - ((power - LEAST) / (MOST - LEAST)) * (HEIGHT - BOTTOM - TOP);
};

function plot(recent) {
  const title = draw("title", {}, "Time to Ack over the last ten minutes; the text above sums it up");
  return draw(
    "svg",
    { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" },
    title,
    ...["1 ms", "10 ms", "100 ms", "1 s", "10 s"].flatMap((text, power) => level(10 ** power, text)),
    ...[10, 5, 0].map((minutes) => mark(minutes)),
    ...recent.map(dot),
  );
}

function level(ms, text) {
  const y = height(ms);
  return [
    draw("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y, y2: y }),
    draw("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, text),
  ];
}

function mark(minutes) {
  const x = across(now() - minutes * 60_000);
  const anchor = minutes === 0 ? "end" : minutes === 10 ? "start" : "middle";
  return draw("text", { x, y: HEIGHT - 6, "text-anchor": anchor }, minutes ? `−${minutes} min` : "now");
}

function dot({ time, ms, step }) {
  const [x, y] = [across(time), height(ms)];
  if (step === "ack") return draw("circle", { class: "answer", cx: x, cy: y, r: 4 });
  return draw("path", { class: "refusal", d: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8` });
}

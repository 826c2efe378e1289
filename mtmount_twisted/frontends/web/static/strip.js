// Draws one strip of a plot on a canvas: scale, values, what is off the scale, lost time.
//
// It touches only the canvas that it is given. Colours are the page's custom properties, read by `inks`.

import { fixed, roundScale, short, signed, timeMarks } from "./figures.js";

export const LEFT = 52; // CSS pixels for the scale
const EDGE = 4; // above and below the scale's ends
const MEAN = 5; // s, of the line of means
const HATCH = 7; // between two lines of lost time
const ARROW = { half: 3, height: 5, apart: 4 };
const FONT = '13px "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif';

// The colours of the present theme.
export function inks() {
  const style = getComputedStyle(document.documentElement);
  const names = ["data", "muted", "rule", "band", "edge", "haze"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// The canvas cleared and scaled to CSS pixels. Its size changes only if it must: to set it costs a new buffer.
function begin(canvas, width, height) {
  const ratio = globalThis.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  return context;
}

function level(context, y, width) {
  context.beginPath();
  context.moveTo(LEFT, Math.round(y) + 0.5);
  context.lineTo(width, Math.round(y) + 0.5);
  context.stroke();
}

// The ends of a strip's scale: its own, or round ones around the values of the window.
export function scaleOf({ signal, low, high, step, factor = 1 }, bins, { from, to }) {
  if (low !== undefined) return [low, high];
  const range = bins.range(signal, from, to);
  return range ? roundScale(...range.map((value) => value * factor).sort((one, other) => one - other), step) : null;
}

// Draw a strip.
//
// `spec` is {signal, low, high (the scale's ends; without them it is round around the values, in steps of at least `step`), factor (what a value is
// multiplied by), band (half the normal range: then values are drawn as a haze with their mean), period (s between values)};
// `view` is {from, to, lost: [[from, to]]} in UTC seconds. Return {scale, arrows: [{at, up}]}.
export function drawStrip(canvas, { width, height }, spec, bins, view, ink) {
  const context = begin(canvas, width, height);
  const scale = scaleOf(spec, bins, view);
  const wide = width - LEFT;
  const x = (time) => LEFT + (wide * (time - view.from)) / (view.to - view.from);
  if (!scale) {
    hatch(context, view.lost, x, width, height, ink);
    return { scale, arrows: [] };
  }
  const [low, high] = scale;
  const y = (value) => EDGE + ((height - 2 * EDGE) * (high - Math.max(low, Math.min(high, value)))) / (high - low);
  drawScale(context, spec, scale, y, width, height, ink);
  const arrows = values(context, spec, scale, bins, view, x, y, ink);
  drawArrows(context, arrows, x, height, ink);
  hatch(context, view.lost, x, width, height, ink);
  return { scale, arrows };
}

function drawScale(context, { band }, [low, high], y, width, height, ink) {
  if (band) {
    context.fillStyle = ink.band;
    context.fillRect(LEFT, y(band), width - LEFT, y(-band) - y(band));
  }
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.fillStyle = ink.muted;
  context.strokeStyle = ink.rule;
  context.lineWidth = 1;
  for (const value of band ? [high, 0, low] : [high, low]) {
    const text = band && value ? signed(value, digits(value)) : short(value);
    context.fillText(text, LEFT - 8, Math.max(8, Math.min(height - 8, y(value))), LEFT - 8);
    if (!band || value === 0) level(context, y(value), width);
  }
  if (!band) return;
  context.strokeStyle = ink.edge;
  context.setLineDash([2, 4]);
  for (const value of [band, -band]) level(context, y(value), width);
  context.setLineDash([]);
}

const digits = (value) => fixed(Math.abs(value), 6).replace(/\.?0+$/, "").split(".")[1]?.length ?? 0;

// Draw least to greatest of each bin, so that no spike is lost, and the line of means. Return what is off the scale.
function values(context, { signal, band, factor = 1, period = 0 }, [low, high], bins, { from, to }, x, y, ink) {
  const column = bins.signals.get(signal);
  const arrows = [];
  if (!column) return arrows;
  const [first, last] = [bins.numberAt(from), bins.numberAt(to)];
  const join = Math.max(1, Math.ceil((3 * period) / bins.width)); // a slow signal has no value in most bins
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, x(to) - LEFT, context.canvas.height);
  context.clip();
  context.strokeStyle = band ? ink.haze : ink.data;
  context.lineWidth = band ? 1 : 1.25;
  context.lineJoin = "round";
  context.beginPath();
  let drawn = -Infinity;
  for (let number = first; number <= last; number += 1) {
    const slot = bins.slot(number);
    if (slot < 0 || !column.weight[slot]) continue;
    const at = (number + 0.5) * bins.width;
    let [least, greatest] = [column.least[slot] * factor, column.greatest[slot] * factor];
    if (factor < 0) [least, greatest] = [greatest, least];
    const place = x(at);
    const [top, bottom] = [y(greatest), y(least)];
    if (number - drawn <= join) context.lineTo(place, top);
    else context.moveTo(place, Math.abs(bottom - top) < 1 ? top - 0.5 : top); // a lone value is a dot, not nothing
    context.lineTo(place, bottom);
    drawn = number;
    if (greatest > high) arrows.push({ at, up: true });
    if (least < low) arrows.push({ at, up: false });
  }
  context.stroke();
  if (band) means(context, column, factor, bins, first, last, x, y, ink);
  context.restore();
  return arrows;
}

// The line of the mean of 5 s around each bin; no line where a bin is empty.
function means(context, { sum, weight }, factor, bins, first, last, x, y, ink) {
  const half = Math.floor(MEAN / 2 / bins.width);
  let [total, count] = [0, 0];
  const enter = (number, sign) => {
    const slot = bins.slot(number);
    if (slot < 0) return;
    total += sign * sum[slot];
    count += sign * weight[slot];
  };
  for (let number = first - half; number < first + half; number += 1) enter(number, 1);
  context.strokeStyle = ink.data;
  context.lineWidth = 1.25;
  context.beginPath();
  let pen = false;
  for (let number = first; number <= last; number += 1) {
    enter(number + half, 1);
    const slot = bins.slot(number);
    const here = slot >= 0 && weight[slot] > 0;
    if (here) {
      const [place, value] = [x((number + 0.5) * bins.width), y((total / count) * factor)];
      if (pen) context.lineTo(place, value);
      else context.moveTo(place, value);
    }
    pen = here;
    enter(number - half, -1);
  }
  context.stroke();
}

// Values off the scale become arrowheads at its edge.
function drawArrows(context, arrows, x, height, ink) {
  context.fillStyle = ink.data;
  const last = { true: -Infinity, false: -Infinity };
  for (const { at, up } of arrows) {
    const place = x(at);
    if (place - last[up] < ARROW.apart) continue;
    last[up] = place;
    const [tip, foot] = up ? [0, ARROW.height] : [height, height - ARROW.height];
    context.beginPath();
    context.moveTo(place, tip);
    context.lineTo(place - ARROW.half, foot);
    context.lineTo(place + ARROW.half, foot);
    context.fill();
  }
}

function hatch(context, lost, x, width, height, ink) {
  context.strokeStyle = ink.edge;
  context.lineWidth = 1;
  for (const [from, to] of lost) {
    const [left, right] = [Math.max(LEFT, x(from)), Math.min(width, x(to))];
    if (right <= left) continue;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    context.beginPath();
    for (let place = left - height; place < right; place += HATCH) {
      context.moveTo(place, height);
      context.lineTo(place + height, 0);
    }
    context.stroke();
    context.restore();
  }
}

// Draw the time scale of a column.
export function drawTimes(canvas, { width, height }, { from, to }, ink) {
  const context = begin(canvas, width, height);
  const wide = width - LEFT;
  context.fillStyle = ink.muted;
  context.strokeStyle = ink.edge;
  context.textBaseline = "bottom";
  for (const { at, text } of timeMarks(from, to, ((to - from) * 76) / wide)) {
    const place = LEFT + (wide * (at - from)) / (to - from);
    context.beginPath();
    context.moveTo(place, height - 3);
    context.lineTo(place, height);
    context.stroke();
    context.textAlign = place > width - 28 ? "right" : place < LEFT + 20 ? "left" : "center";
    context.fillText(text, place, height - 3);
  }
}

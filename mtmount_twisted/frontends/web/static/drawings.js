// Draws where the mount is: from above, with the spiral of the azimuth, and from the side.
//
// It touches only the SVG elements that it is given. A drawing is built again only if it would differ by a visible amount.
// Colours are the page's custom properties. Each drawing describes itself in its aria-label.

import { draw } from "./dom.js";
import { fixed, isAngle, short } from "./figures.js";

const RAD = Math.PI / 180;
const SIZE = 256;
const NEVER = { low: "calm", high: "calm" };
const INK = { alarm: "var(--alarm-text)", caution: "var(--caution-line)" };

// Draw the mount from above into `svg`.
//
// `view` holds degrees or null: `position`, `demand` (the target while the axis slews), `low` and `high` (the limits), of which
// an impossible one counts as null; truths:
// `stale`, `tracking` (on target), `slewing`, `fault`; `covers`, four of "open", "closed", "moving" or null; and
// `level`, {low, high} of "calm", "caution" and "alarm".
export const fromAbove = (svg, view) => picture(svg, view, above);

// Draw the mount from the side into `svg`; `view` as for fromAbove, without the covers.
export const fromSide = (svg, view) => picture(svg, view, side);

// 0.05 deg is a tenth of a pixel at the largest radius.
const steps = (value) => (value === null || value === undefined ? null : Math.round(value * 20));

const ANGLES = ["position", "demand", "low", "high"];

function picture(svg, told, parts) {
  const view = { ...told, ...Object.fromEntries(ANGLES.map((name) => [name, isAngle(told[name]) ? told[name] : null])) };
  const { position, demand, ...rest } = view;
  const key = JSON.stringify([steps(position), steps(demand), rest]);
  if (svg.dataset.key === key) return;
  svg.dataset.key = key;
  if (!svg.hasAttribute("viewBox")) svg.setAttribute("viewBox", `0 0 ${SIZE} ${SIZE}`);
  svg.setAttribute("role", "img");
  const { shapes, label } = parts({ level: NEVER, covers: [], ...view });
  svg.setAttribute("aria-label", label);
  svg.replaceChildren(...shapes.flat());
}

const path = (points) => `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;

const stroke = (colour, width, more = {}) => ({ fill: "none", stroke: colour, "stroke-width": width, ...more });

const known = (value) => value !== null;

const degrees = (value) => `${short(value, 1)}°`;

// With its sign: azimuth has one, and +90° is not −270°.
const azimuthOf = (value) => `${value > 0 ? "+" : ""}${degrees(value)}`;

// A line across the way at `angle`, `half` to each side.
function tick(point, angle, half, colour, width, more = {}) {
  const [[x1, y1], [x2, y2]] = [point(angle, -half), point(angle, half)];
  const ends = { x1: x1.toFixed(1), y1: y1.toFixed(1), x2: x2.toFixed(1), y2: y2.toFixed(1) };
  return draw("line", { ...ends, stroke: colour, "stroke-width": width, ...more });
}

// The way from one angle to another, in steps of at most 2 deg; a way beyond 800 deg has 400 longer steps.
function way(point, from, to) {
  const count = Math.min(400, Math.max(1, Math.ceil(Math.abs(to - from) / 2)));
  return path(Array.from({ length: count + 1 }, (_, index) => point(from + ((to - from) * index) / count)));
}

const ring = (part, [x, y], r, attributes) =>
  draw("circle", { "data-part": part, cx: x.toFixed(2), cy: y.toFixed(2), r, ...attributes });

// The actual position as a dot; with it the target and the way to it, or the ring of an axis on target.
function markers(point, { position, demand, stale, tracking, slewing, fault }) {
  if (!known(position)) return [];
  const shapes = [];
  if (slewing && !stale && known(demand)) {
    shapes.push(draw("path", { "data-part": "way", d: way(point, position, demand), ...stroke("var(--accent)", 4) }));
    shapes.push(ring("target", point(demand), 10, { fill: "var(--ground)", stroke: "var(--accent)", "stroke-width": 3 }));
  } else if (tracking && !stale && !fault) {
    shapes.push(ring("on-target", point(position), 11, { fill: "var(--ground)", stroke: "var(--text)", "stroke-width": 2 }));
  }
  const filled = fault ? "var(--alarm)" : "var(--text)";
  const dot = stale ? { fill: "var(--ground)", stroke: "var(--muted)", "stroke-width": 2 } : { fill: filled, stroke: "none" };
  return [...shapes, ring("actual", point(position), 6.5, dot)];
}

const hand = (stale) => (stale ? stroke("var(--muted)", 3, { "stroke-dasharray": "4 4" }) : stroke("var(--text)", 3));

// What the drawing shows, in words.
function describe(from, name, { position, demand, low, high, stale, tracking, slewing, fault }) {
  const where = known(position) ? `${name} ${degrees(position)}` : `${name} not known`;
  const doing = [
    [fault, "in fault"],
    [stale, "last known, not current"],
    [slewing && known(demand), known(demand) ? `slewing to ${degrees(demand)}` : ""],
    [tracking, "on target"],
  ].find(([is]) => is);
  const limits = known(low) && known(high) ? ` Limits ${degrees(low)} and ${degrees(high)}.` : "";
  return `The mount from ${from}. ${where}${doing ? `, ${doing[1]}` : ""}.${limits}`;
}

// ---------- from above ----------

const MIDDLE = SIZE / 2;
const INNER = 62; // radius at -270 deg
const GROWTH = 40 / 540; // of the radius, per degree: a turn is 27 units apart

const polar = (radius, azimuth) => [MIDDLE + radius * Math.sin(azimuth * RAD), MIDDLE - radius * Math.cos(azimuth * RAD)];

const spiral = (azimuth, out = 0) => polar(INNER + GROWTH * (azimuth + 270) + out, azimuth);

function above(view) {
  const { position, low, high, stale } = view;
  const covers = view.covers.slice(0, 4); // a faulty mount tells of any number
  const shapes = [["N", 0], ["E", 90], ["S", 180], ["W", 270]].map(([name, azimuth]) => {
    const [x, y] = polar(121, azimuth);
    return draw("text", { x: x.toFixed(1), y: (y + 4.5).toFixed(1), "text-anchor": "middle" }, name);
  });
  if (known(low) && known(high)) shapes.push(...track(low, high));
  shapes.push(...mirror(position ?? 0, covers));
  if (known(position)) {
    const [from, to] = [polar(37, position), spiral(position, -3)];
    shapes.push(draw("path", { "data-part": "hand", d: path([from, to]), ...hand(stale) }));
  }
  shapes.push(...markers(spiral, view));
  if (known(low) && known(high)) shapes.push(...ends(view));
  return { shapes, label: describe("above", "Azimuth", view) + described(covers) };
}

function track(low, high) {
  const shapes = [
    draw("path", { "data-part": "track", d: way(spiral, low, high), ...stroke("var(--track)", 10) }),
    draw("path", { d: way(spiral, low, high), ...stroke("var(--edge)", 1) }),
  ];
  for (const [from, to] of [[low, low + 10], [high - 10, high]]) {
    shapes.push(draw("path", { d: way(spiral, from, to), ...stroke("var(--edge)", 10) }));
  }
  for (let azimuth = Math.ceil((low + 15) / 30) * 30; azimuth <= high - 15; azimuth += 30) {
    shapes.push(tick(spiral, azimuth, 5, "var(--ground)", azimuth % 90 ? 1 : 2));
  }
  return shapes;
}

// The ends of the spiral; an end that is near is longer, and has its level's colour.
function ends({ low, high, level }) {
  return [["low", low, 9, "end"], ["high", high, -9, "start"]].flatMap(([end, azimuth, aside, anchor]) => {
    const near = INK[level[end]];
    const [x, y] = spiral(azimuth);
    const words = { x: (x + aside).toFixed(1), y: (y - 15).toFixed(1), "text-anchor": anchor };
    return [
      tick(spiral, azimuth, near ? 19 : 9, near ?? "var(--text)", near ? 4 : 3, { "data-part": `end-${end}`, "data-level": level[end] }),
      draw("text", { ...words, "data-level": level[end] }, azimuthOf(azimuth)),
    ];
  });
}

// The mirror with its covers, which turn with the azimuth: an arc outside is open, a filled sector closed, a hollow one
// moves.
function mirror(azimuth, covers) {
  const sectors = covers.map((state, index) => {
    const angles = Array.from({ length: 13 }, (_, step) => index * 90 + 8 + (step * 74) / 12);
    const arc = path(angles.map((angle) => polar(state === "open" ? 31 : 25, angle)));
    const look = {
      open: { d: arc, ...stroke("var(--edge)", 3) },
      closed: { d: `${arc}L${MIDDLE} ${MIDDLE}Z`, fill: "var(--edge)", stroke: "var(--edge)", "stroke-width": 1.5 },
      moving: { d: `${arc}L${MIDDLE} ${MIDDLE}Z`, ...stroke("var(--edge)", 1.5) },
    }[state];
    return look && draw("path", { "data-part": `cover-${index + 1}`, "data-state": state, ...look });
  });
  const rim = draw("circle", { cx: MIDDLE, cy: MIDDLE, r: 25, ...stroke("var(--edge)", 1.5) });
  return [draw("g", { "data-part": "mirror", transform: `rotate(${azimuth.toFixed(1)} ${MIDDLE} ${MIDDLE})` }, rim, ...sectors)];
}

function described(covers) {
  const told = covers.filter(Boolean);
  if (!told.length) return "";
  const open = told.filter((state) => state === "open").length;
  const moving = told.filter((state) => state === "moving").length;
  return ` Mirror covers: ${open} of ${told.length} open${moving ? `, ${moving} moving` : ""}.`;
}

// ---------- from the side ----------

const [PIVOT_X, PIVOT_Y, REACH] = [32, 220, 178];
const CLEAR = 6; // deg around a marker that are free of words

const arc = (elevation, out = 0) => [
  PIVOT_X + (REACH + out) * Math.cos(elevation * RAD),
  PIVOT_Y - (REACH + out) * Math.sin(elevation * RAD),
];

function side(view) {
  const { position, demand, low, high, stale, slewing } = view;
  const shapes = [draw("line", { x1: PIVOT_X - 20, y1: PIVOT_Y, x2: SIZE, y2: PIVOT_Y, stroke: "var(--rule)", "stroke-width": 1 })];
  if (known(low) && known(high)) shapes.push(...limits(view, [position, slewing ? demand : null].filter(known)));
  shapes.push(draw("text", { x: SIZE, y: PIVOT_Y + 17, "text-anchor": "end" }, "horizon"));
  shapes.push(tube(known(position) ? position : null, stale), draw("circle", { cx: PIVOT_X, cy: PIVOT_Y, r: 3.5, fill: "var(--edge)" }));
  const foot = `M${PIVOT_X - 20} ${PIVOT_Y + 30}h40m-31 0L${PIVOT_X} ${PIVOT_Y + 3}l11 27`;
  shapes.push(draw("path", { d: foot, ...stroke("var(--edge)", 1.5) }), ...markers(arc, view));
  return { shapes, label: describe("the side", "Elevation", view) };
}

function limits({ low, high, level }, busy) {
  const dotted = stroke("var(--track)", 1.5, { "stroke-dasharray": "2 4" });
  const shapes = [draw("path", { "data-part": "track", d: way(arc, low, high), ...stroke("var(--track)", 10) })];
  if (low > 0) shapes.push(draw("path", { d: way(arc, 0, low), ...dotted }));
  if (high < 90) shapes.push(draw("path", { d: way(arc, high, 90), ...dotted }));
  for (const each of [30, 45, 60, 75].filter((one) => one > low && one < high)) {
    shapes.push(tick(arc, each, 5, "var(--ground)", each % 30 ? 1 : 2));
  }
  shapes.push(draw("path", { d: way(arc, low, high), ...stroke("var(--edge)", 1) }));
  const free = (each) => [...busy, low, high].every((one) => Math.abs(one - each) > CLEAR);
  for (const each of [30, 60].filter(free)) {
    const [x, y] = arc(each, 19);
    shapes.push(draw("text", { x: x.toFixed(1), y: (y + 4).toFixed(1), "text-anchor": "middle" }, `${each}°`));
  }
  for (const [end, elevation] of [["low", low], ["high", high]]) {
    const near = INK[level[end]];
    const [x, y] = arc(elevation, end === "low" ? 13 : 16);
    const half = near ? 14 : 9;
    shapes.push(tick(arc, elevation, half, near ?? "var(--text)", near ? 4 : 3, { "data-part": `end-${end}`, "data-level": level[end] }));
    const words = { x: (end === "low" ? x : x + 4).toFixed(1), y: (y + (end === "low" ? 4 : 3)).toFixed(1) };
    shapes.push(draw("text", { ...words, "data-level": level[end] }, degrees(elevation)));
  }
  return shapes;
}

// The tube with its mirror cell and top ring, and the line of sight; upright and without the line if nothing is known.
function tube(elevation, stale) {
  const [x, y] = [PIVOT_X, PIVOT_Y];
  const sight = elevation === null ? null : draw("path", { "data-part": "hand", d: `M${x + 62} ${y}H${x + REACH - 10}`, ...hand(stale) });
  return draw(
    "g",
    { "data-part": "tube", transform: `rotate(${fixed(-(elevation ?? 90), 2).replace("\u2212", "-")} ${x} ${y})`, ...stroke("var(--edge)", 1.5) },
    draw("rect", { x: x - 13, y: y - 25, width: 8, height: 50 }),
    draw("path", { d: `M${x - 5} ${y - 24}l63 7v34l-63 7` }),
    draw("path", { d: `M${x + 58} ${y - 19}v38`, "stroke-width": 3 }),
    sight,
  );
}

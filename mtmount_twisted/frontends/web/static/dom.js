// Makes and fills elements. All text becomes a text node: nothing from outside is parsed as HTML, so a description with
// a tag appears literally. `visible` escapes all text first.
//
// It touches only the elements that it is given.

import { visible } from "./visible.js";

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

const text = (child) => (typeof child === "string" ? visible(child) : child);

// `value` is sent, so it stays unchanged.
const shown = (name, value) => (name === "value" ? value : text(value));

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : shown(name, value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map((child) => text(child)));
  return element;
}

// Make an element; an attribute that is a function becomes an event listener.
export const make = (tag, attributes = {}, ...children) =>
  furnish(document.createElement(tag), attributes, children);

export const draw = (tag, attributes = {}, ...children) =>
  furnish(document.createElementNS(SVG, tag), attributes, children);

// Write text only if it differs: a screen reader does not repeat unchanged text, and a selection in it stays.
export function write(element, words) {
  const now = visible(words);
  if (element.textContent !== now) element.textContent = now;
}

// Show or hide an element.
export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

// Replace the children, unless an equal `key` says that they would be the same.
export function fill(element, key, children) {
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...children());
}

// The elements of a text in parts: {b} is stronger, {unseen} is only for screen readers, {wide} is left out on a phone,
// {arrow} points to a target, {id, text} has an id.
export const phrase = (parts) => parts.map(part);

function part(one) {
  if (typeof one === "string") return one;
  if (one.b !== undefined) return make("b", {}, one.b);
  if (one.unseen !== undefined) return make("span", { class: "unseen" }, one.unseen);
  if (one.wide !== undefined) return make("span", { class: "hide-s" }, one.wide);
  if (one.arrow) return make("span", {}, make("span", { "aria-hidden": "true" }, "→ "), make("span", { class: "unseen" }, "target "));
  return make("span", { id: one.id }, one.text);
}

// Replace a text in parts, only if it differs.
export const say = (element, parts) => fill(element, JSON.stringify(parts), () => phrase(parts).map(words));
const words = (child) => (typeof child === "string" ? document.createTextNode(visible(child)) : child);

const MARKS = {
  alarm: [
    ["path", { d: "M6 1h8l5 5v8l-5 5H6l-5-5V6z", class: "mark-ground" }],
    ["path", { d: "M10 5v6M10 13.5v2", class: "mark-line" }],
  ],
  caution: [
    ["path", { d: "M10 2 19 18H1z", class: "mark-edge" }],
    ["path", { d: "M10 7.5v5M10 14v2", class: "mark-edge" }],
  ],
};

// The sign of a level: a filled octagon, or a hollow triangle; null if it has none.
export function mark(level) {
  if (!(level in MARKS)) return null;
  const parts = MARKS[level].map(([tag, attributes]) => draw(tag, attributes));
  return draw("svg", { class: "mark", viewBox: "0 0 20 20", "aria-hidden": "true" }, ...parts);
}

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

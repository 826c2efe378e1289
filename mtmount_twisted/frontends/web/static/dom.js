// Makes and fills elements. All text becomes a text node: nothing that came from outside is ever parsed as
// HTML, so that a description holding a tag shows as it was typed; `visible` has seen all of it.
//
// It touches only the elements that it is given.

import { visible } from "./visible.js";

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

const text = (child) => (typeof child === "string" ? visible(child) : child);

// What is read from `value` is sent, and stays as it is.
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

// An element; an attribute that is a function is listened with.
export const make = (tag, attributes = {}, ...children) =>
  furnish(document.createElement(tag), attributes, children);

export const draw = (tag, attributes = {}, ...children) =>
  furnish(document.createElementNS(SVG, tag), attributes, children);

// Write text where it differs: what is unchanged is not read out again, and a selection in it stays.
export function write(element, words) {
  const now = visible(words);
  if (element.textContent !== now) element.textContent = now;
}

// Show or hide.
export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

// Put children in place of those that are there, unless `key` says that they would be the same.
export function fill(element, key, children) {
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...children());
}

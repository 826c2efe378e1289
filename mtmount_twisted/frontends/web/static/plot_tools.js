// The heading and the buttons of the plots: window, zoom, pause, link to a moment, choice of signals.
//
// It touches the elements that it is given, the address after "#", and the clipboard. It has lists and buttons and no
// menus: while a menu is open, the browser withholds every key from the page, also that of STOP.

import { make, show, write } from "./dom.js";
import { clockOf, dayOf, iso, momentIn, spanOf } from "./figures.js";
import { SPANS } from "./plots.js";

const BUTTON_ZOOM = 2;
const MOST_LISTED = 5; // signals in sight

// The address of a moment.
export const linkTo = (time) => `${location.href.replace(/#.*/, "")}#t=${iso(time)}`;

// Fill `element` with the heading and the buttons. `names()` resolves to [{name, unit, period}] of all signals;
// `play` plays back from the chosen moment.
export function plotTools(element, plots, names, play = null) {
  const heading = make("h2", { id: "plots-name" });
  const spans = Object.keys(SPANS).map((name) =>
    make("button", { type: "button", "aria-pressed": "false", click: () => plots.showLive(SPANS[name]) }, name));
  const other = make("button", { type: "button", "aria-expanded": "false", click: () => openRange() }, "from … to …");
  const hold = make("button", { type: "button", click: () => (plots.live ? plots.pause() : plots.resume()) });
  const zoom = (factor, name, sign) => make("button", { type: "button", "aria-label": name, title: `${name}: also by a drag, or by the wheel with Ctrl`, click: () => plots.zoom(factor) }, sign);
  const status = make("p", { class: "note", role: "status" });
  const link = make("input", { type: "text", readonly: true, hidden: true, "aria-label": "Link to this moment" });

  async function copy() {
    const { from, to } = plots.window;
    const time = plots.cursor ?? plots.pinned ?? (plots.live ? to : (from + to) / 2);
    link.value = linkTo(time);
    const done = `The link to ${clockOf(time)} UTC is copied.`;
    try {
      await navigator.clipboard.writeText(link.value); // only over https or on this machine
      show(link, false);
      write(status, done);
    } catch {
      show(link, true);
      link.select();
      write(status, `Copy the link to ${clockOf(time)} UTC from the field.`);
    }
  }

  // ---------- from ... to ... ----------

  const field = (name) => make("input", { type: "datetime-local", step: 1, required: true, name });
  const [from, to] = [field("from"), field("to")];
  const range = make("form", { class: "tools", hidden: true, submit: (event) => showRange(event) },
    make("label", {}, "from ", from), make("label", {}, "to ", to), make("span", {}, "UTC"),
    make("button", { type: "submit" }, "Show"));

  function openRange() {
    show(range, range.hidden);
    other.setAttribute("aria-expanded", String(!range.hidden));
    if (range.hidden) return;
    const window = plots.window;
    [from.value, to.value] = [iso(window.from).slice(0, 19), iso(window.to).slice(0, 19)];
    from.focus();
  }

  function showRange(event) {
    event.preventDefault();
    const [begin, end] = [from, to].map(({ value }) => Date.parse(`${value}Z`) / 1000);
    if (end > begin) plots.showWindow(begin, end);
    write(status, end > begin ? "" : "The window ends before it begins: change from or to.");
  }

  // ---------- signals ----------

  const list = make("select", { size: MOST_LISTED, "aria-label": "Signals with this text", change: () => (name.value = list.value) });
  const name = make("input", { type: "search", autocomplete: "off", spellcheck: "false", required: true, placeholder: "any part of a name", input: () => narrow() });
  const signals = make("form", { class: "tools", hidden: true, submit: (event) => addSignal(event) },
    make("label", {}, "signal ", name), list, make("button", { type: "submit" }, "Add"));
  let known = null;

  async function openSignals() {
    show(signals, signals.hidden);
    opener.setAttribute("aria-expanded", String(!signals.hidden));
    if (signals.hidden) return;
    name.focus();
    try {
      known ??= await names();
      narrow();
    } catch (error) {
      write(status, `No list of signals: ${error.message}`);
    }
  }

  // List the signals with the typed text.
  function narrow() {
    const text = name.value.trim().toLowerCase();
    const fitting = (known ?? []).filter((each) => each.name.toLowerCase().includes(text));
    list.replaceChildren(...fitting.map((each) => make("option", { value: each.name }, each.unit ? `${each.name}, ${each.unit}` : each.name)));
  }

  function addSignal(event) {
    event.preventDefault();
    const found = known?.find((each) => each.name === name.value.trim());
    if (!found) {
      write(status, `No signal ${name.value}: choose one of the list.`);
      return;
    }
    const column = /elevation/i.test(found.name) && plots.columns.length > 1 ? 1 : 0;
    const why = plots.addStrip(column, { signal: found.name, title: found.name, unit: found.unit, period: found.period ?? 0 });
    write(status, why);
    if (!why) name.value = "";
  }

  const opener = make("button", { type: "button", "aria-expanded": "false", click: () => openSignals() }, "Signals …");

  // ---------- what is shown ----------

  function tell() {
    const window = plots.window;
    const words = spanOf(window.to - window.from).replace(/ 00 (s|min)$/, "");
    const long = words.replace(/^10 min$/, "10 minutes");
    const day = dayOf(window.to) === dayOf(plots.now()) ? "" : `${dayOf(window.to)} `;
    write(heading, plots.live ? `Last ${long}` : `${long} to ${day}${clockOf(window.to)}`);
    write(hold, plots.live ? "Pause" : "Back to now");
    show(hold, plots.moment === null);
    for (const button of spans) {
      button.setAttribute("aria-pressed", String((plots.live || plots.moment !== null) && SPANS[button.textContent] === plots.span));
    }
  }

  element.classList.add("head");
  element.replaceChildren(heading,
    make("div", { class: "tools quiet push" }, ...spans, other, zoom(1 / BUTTON_ZOOM, "Zoom in", "+"), zoom(BUTTON_ZOOM, "Zoom out", "−"), hold,
      make("button", { type: "button", click: () => copy() }, "Copy link to this moment"),
      play && make("button", { type: "button", click: play }, "Play back"), opener),
    range, signals, link, status);
  plots.addEventListener("window", tell);
  plots.addEventListener("trouble", () => write(status, plots.trouble));
  const go = () => {
    const time = momentIn(location.hash, "t");
    if (time !== null) plots.showMoment(time);
  };
  addEventListener("hashchange", go);
  tell();
  go();
}

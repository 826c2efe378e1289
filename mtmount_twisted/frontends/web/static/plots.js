// Draws signals as small strips below each other, in columns that share one time scale and one cursor.
//
// It touches the elements that it is given, one timer, and the history only through the function that it is given. The server
// thins: a plot draws, zooms and reads off. A hidden page draws nothing.
//
// "bins.js" keeps the values, "strip.js" draws one strip, "plot_tools.js" has the buttons.

import { Bins } from "./bins.js";
import { make, write } from "./dom.js";
import { binWidth, clockOf, fixed, signed } from "./figures.js";
import { drawStrip, drawTimes, inks, LEFT } from "./strip.js";

export const SPANS = { "10 min": 600, "1 h": 3600, "12 h": 43_200 }; // s, of the windows that end now
const LEAST_LIVE = 60; // s, the shortest window that ends now
const LEAST = 2; // s, the shortest window
const MOST = 31 * 86_400; // s, the longest that the history answers
const MOST_BINS = 4000; // that the history answers
const MOST_DRAWN = 10 * MOST_BINS; // in a window: a drawing goes over all bins of its window
const FINEST_LIVE = 1; // s: live samples come 4 times a second, and a bin has to have one
const AGAIN = 60; // s between two reads of the history while live: it has the spikes between two samples
const OFTEN = 5; // s, the same while a signal is shown of which no live samples come
const FAILED = 5; // s between two reads of a history that could not be read
const SETTLE = 200; // ms after the last change of a window, before its history is read
const STALE = 1.5; // s without a value until time counts as lost
const TICK = 1000; // ms between two drawings
const DRAG = 6; // px of a drag; less is a click
const STEP = 0.01; // of the window: one press of Left or Right
const ZOOM = 1.3; // one turn of the wheel
const BEFORE = 0.9; // of a window that lies before the moment that the page shows, in playback
const SMALL = 1e-9;

// A column: the elements of its strips, and the reading of the pointer over them.
class Column {
  constructor(element, name, specs, plots) {
    this.element = element;
    this.name = name;
    this.plots = plots;
    this.size = { width: 0, heights: [] };
    this.firstAt = Infinity; // UTC s of the first live value, and of the latest
    this.lastAt = -Infinity;
    this.axis = make("canvas", { class: "axis", "aria-hidden": "true" });
    this.slider = make("div", {
      class: "strip times", role: "slider", tabindex: 0, "aria-orientation": "horizontal", "aria-label": `Time of the plots of ${name}`,
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-keyshortcuts": "ArrowLeft ArrowRight", keydown: (event) => this.key(event),
    }, this.axis);
    this.line = make("div", { class: "cursor", "aria-hidden": "true", hidden: true });
    this.chosen = make("div", { class: "chosen", "aria-hidden": "true", hidden: true });
    element.classList.add("strips");
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", `Plots of ${name}`);
    this.setStrips(specs);
    this.drag = null;
    for (const [type, listener] of Object.entries({
      pointermove: (event) => this.moved(event),
      pointerleave: () => this.drag || plots.hover(null),
      pointerdown: (event) => this.pressed(event),
      pointerup: (event) => this.released(event),
      pointercancel: () => this.endDrag(),
    })) element.addEventListener(type, listener);
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(element);
  }

  setStrips(specs) {
    this.strips = specs.map((spec) => {
      const canvas = make("canvas", { role: "img" });
      const value = make("b");
      const close = spec.removable ? make("button", { type: "button", "aria-label": `Remove ${spec.title}`, click: () => this.plots.remove(spec) }, "×") : null;
      const words = make("p", {}, make("span", {}, spec.unit ? `${spec.title}, ${spec.unit}` : spec.title), value, close);
      return { spec, canvas, value, words: null, stale: false, level: "", element: make("div", { class: spec.band ? "strip tall" : "strip" }, words, canvas) };
    });
    this.element.replaceChildren(this.slider, ...this.strips.map(({ element }) => element), this.line, this.chosen);
    this.measure();
  }

  get signals() {
    return this.strips.map(({ spec }) => spec.signal);
  }

  // Sizes are read only here: to read them while drawing would make the browser lay out the page.
  measure() {
    this.size = {
      width: this.axis.clientWidth,
      left: this.axis.offsetLeft,
      axis: this.axis.clientHeight,
      heights: this.strips.map(({ canvas }) => canvas.clientHeight),
    };
    this.plots.change();
  }

  get wide() {
    return Math.max(1, this.size.width - LEFT);
  }

  // ---------- drawing ----------

  draw(bins, window, ink) {
    if (!this.size.width) return;
    const view = { ...window, lost: this.lost(bins, window) };
    drawTimes(this.axis, { width: this.size.width, height: this.size.axis }, window, ink);
    this.strips.forEach((strip, index) => {
      const size = { width: this.size.width, height: this.size.heights[index] };
      strip.drawn = drawStrip(strip.canvas, size, strip.spec, bins, view, ink);
    });
    this.read(bins, window);
    this.place(window);
  }

  // The times in the window without a value of any signal of the column. What was before the
  // daemon's first value is not known, which is not the same as lost.
  lost(bins, { from, to, now, live, loading }) {
    if (loading) return [];
    const columns = this.signals.map((name) => bins.signals.get(name)).filter(Boolean);
    const patience = Math.max(STALE, ...this.strips.map(({ spec }) => 3 * (spec.period ?? 0)));
    const end = Math.min(to, now);
    const lost = [];
    let since = live ? Math.max(from, Math.min(this.plots.knownFrom, this.firstAt)) : from;
    const take = (until) => until - since > patience && lost.push([since, until]);
    for (let number = bins.numberAt(from); number * bins.width < end; number += 1) {
      const slot = bins.slot(number);
      if (slot < 0 || !columns.some(({ weight }) => weight[slot])) continue;
      take(number * bins.width);
      since = (number + 1) * bins.width;
    }
    if (live && this.lastAt > from) since = Math.min(since, this.lastAt); // a bin that the link was lost in
    take(end);
    return lost;
  }

  // Write what the strips say: the values at the cursor, or else the latest ones, or else what the window has.
  read(bins, { from, to, live, cursor, now }) {
    const spoken = [];
    for (const strip of this.strips) {
      const { spec, canvas, value } = strip;
      let [words, stale, level] = [strip.words, strip.stale, strip.level];
      if (cursor !== null) {
        const told = this.told(bins, spec, cursor);
        words = `${clockOf(cursor)}: ${told ?? "no value"}`;
        [stale, level] = [false, ""];
        spoken.push(`${spec.title}: ${told ? `${told} ${spec.spoken ?? spec.unit ?? ""}`.trim() : "no value"}`);
      } else if (!live) {
        words = ranged(spec, bins.range(spec.signal, from, to));
        [stale, level] = [false, ""];
      } else if (words === null) {
        const latest = this.plots.lastOf(spec.signal);
        words = latest ? written(spec, latest.value) : "no value";
        stale = !latest || now - latest.at > Math.max(STALE, latest.often, 3 * (spec.period ?? 0));
      }
      write(value, words);
      value.classList.toggle("stale", stale);
      if (value.dataset.level !== level) value.dataset.level = level;
      const label = `${spec.title}: ${ranged(spec, bins.range(spec.signal, from, to))}`;
      if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
    }
    const text = cursor === null ? "no moment is chosen" : `${clockOf(cursor)} UTC. ${spoken.join(". ")}`;
    if (this.slider.getAttribute("aria-valuetext") !== text) this.slider.setAttribute("aria-valuetext", text);
    const share = String(cursor === null ? 100 : Math.round(((cursor - from) / (to - from)) * 100));
    if (this.slider.getAttribute("aria-valuenow") !== share) this.slider.setAttribute("aria-valuenow", share);
  }

  // The value at a time in words, or null: its mean, and with a range also that.
  told(bins, spec, time) {
    let found = null;
    const back = Math.min(bins.count, Math.ceil((3 * (spec.period ?? 0)) / bins.width)); // a slow signal has its last value until the next
    for (let step = 0; step <= back && !found; step += 1) found = bins.read(spec.signal, time - step * bins.width);
    if (!found) return null;
    const { least, greatest, mean } = found;
    const [low, high] = [written(spec, least), written(spec, greatest)];
    return low === high ? low : `${written(spec, mean)} (${low} to ${high})`;
  }

  // Put the line of the cursor.
  place({ from, to, cursor }) {
    const shown = cursor !== null && cursor >= from && cursor <= to;
    this.line.hidden = !shown;
    if (shown) this.line.style.left = `${this.size.left + LEFT + (this.wide * (cursor - from)) / (to - from)}px`;
  }

  // ---------- pointer and keys ----------

  // The time below the pointer; beside the plots it is that of the nearer end.
  timeAt(event) {
    const x = event.clientX - this.axis.getBoundingClientRect().left - LEFT;
    const { from, to } = this.plots.window;
    return from + (to - from) * Math.max(0, Math.min(1, x / this.wide));
  }

  pressed(event) {
    if (event.button !== 0 || event.target.closest("button")) return;
    this.drag = { x: event.clientX, at: this.timeAt(event), moved: false };
    this.slider.focus({ preventScroll: true });
    event.preventDefault(); // else the drag selects text, and the focus goes elsewhere
  }

  moved(event) {
    const at = this.timeAt(event);
    if (this.drag && (this.drag.moved || Math.abs(event.clientX - this.drag.x) > DRAG)) {
      if (!this.drag.moved) this.element.setPointerCapture(event.pointerId);
      this.drag.moved = true;
      this.choose(this.drag.at, at);
    }
    if (event.pointerType !== "touch" || this.drag?.moved) this.plots.hover(at);
  }

  choose(one, other) {
    const { from, to } = this.plots.window;
    const x = (time) => (this.wide * (time - from)) / (to - from);
    this.chosen.hidden = false;
    this.chosen.style.left = `${this.size.left + LEFT + x(Math.min(one, other))}px`;
    this.chosen.style.width = `${x(Math.abs(other - one) + from)}px`;
  }

  released(event) {
    const { drag } = this;
    this.endDrag();
    if (!drag) return;
    const at = this.timeAt(event);
    if (drag.moved) this.plots.showWindow(Math.min(drag.at, at), Math.max(drag.at, at));
    else this.plots.cursorAt(at);
  }

  endDrag() {
    this.drag = null;
    this.chosen.hidden = true;
  }

  // The wheel scrolls the page, so it zooms only with Ctrl, which is also how browsers tell a pinch; with Shift it moves.
  wheel(event) {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const turn = event.deltaY || event.deltaX;
    if (event.ctrlKey) this.plots.zoom(turn > 0 ? ZOOM : 1 / ZOOM, this.timeAt(event));
    else this.plots.move(turn > 0 ? 0.1 : -0.1);
  }

  key(event) {
    const { from, to } = this.plots.window;
    const step = event.shiftKey ? 1 / this.wide : STEP;
    const share = ((this.plots.cursor ?? to) - from) / (to - from);
    const next = {
      ArrowLeft: share - step, ArrowRight: share + step, PageUp: share - 0.1, PageDown: share + 0.1, Home: 0, End: 1,
    }[event.key];
    if (event.altKey || event.ctrlKey || event.metaKey || (next === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    this.plots.cursorAt(next === undefined ? null : from + (to - from) * Math.max(0, Math.min(1, next)));
  }
}

const written = ({ factor = 1, digits = 3, band }, value) => (band ? signed(value * factor, digits) : fixed(value * factor, digits));

const ranged = (spec, range) => (range ? `${written(spec, range[0])} to ${written(spec, range[1])}` : "no value");

// The columns, their window and their cursor. Events: "window" and "cursor" (either has changed), "signals" (which ones are
// drawn has changed), "trouble" (the history was read, or could not be).
//
// `columns` is [{element, name, strips: [spec]}]; a spec is that of drawStrip and {title, unit, digits, spoken}.
// `fetchHistory(signals, from, to, points)` resolves to the answer of the API, `now()` is the time, both in UTC seconds.
export class Plots extends EventTarget {
  constructor({ columns, fetchHistory, now }) {
    super();
    this.fetchHistory = fetchHistory;
    this.now = now;
    this.span = SPANS["10 min"];
    this.moment = null; // the time that the page shows in playback
    this.past = null; // {from, to, bins, loaded, again} of a window that does not end now; again: UTC s of the next try
    this.cursor = null; // the time that is chosen
    this.pinned = null; // the same without the pointer's
    this.latest = new Map(); // signal -> {at, value}, live
    this.trouble = ""; // why the history could not be read
    this.asked = 0;
    this.due = false;
    this.columns = [];
    this.columns = columns.map(({ element, name, strips }) => new Column(element, name, strips, this));
    this.begin();
    this.timer = setInterval(() => this.tick(), TICK);
    this.themes = new MutationObserver(() => this.change());
    this.themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    document.addEventListener("visibilitychange", (this.seen = () => document.hidden || this.tick()));
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.wait);
    this.themes.disconnect();
    document.removeEventListener("visibilitychange", this.seen);
    for (const { observer } of this.columns) observer.disconnect();
  }

  get signals() {
    return [...new Set(this.columns.flatMap(({ signals }) => signals))];
  }

  get live() {
    return this.past === null;
  }

  // What is shown: {from, to}, UTC s.
  get window() {
    if (this.past) return { from: this.past.from, to: this.past.to };
    const to = this.now();
    return { from: to - this.span, to };
  }

  tell(name) {
    this.dispatchEvent(new Event(name));
  }

  // How wide the widest column is, in pixels of the plot.
  get wide() {
    return Math.max(200, ...this.columns.map(({ wide }) => wide));
  }

  // ---------- values ----------

  // Add a live sample: {at, values: {signal: number or null}}.
  add(sample) {
    this.bins.add(sample);
    for (const [name, value] of Object.entries(sample.values)) {
      if (typeof value === "number") this.latest.set(name, { at: sample.at, value });
    }
    for (const column of this.columns) {
      if (!column.signals.some((name) => typeof sample.values[name] === "number")) continue;
      column.lastAt = sample.at;
      column.firstAt = Math.min(column.firstAt, sample.at);
    }
  }

  // The latest value of a signal, {at, value, often: s between two values of this kind}, or null.
  lastOf(signal) {
    const live = this.latest.get(signal);
    if (live || this.readUntil === null) return live ? { ...live, often: 0 } : null;
    const at = this.readUntil - this.bins.width / 2;
    const read = this.bins.read(signal, at);
    return read && { at, value: read.mean, often: OFTEN + 2 * this.bins.width };
  }

  // What a strip says instead of its latest value; null for that again.
  say(signal, words, stale = false, level = "", band = null) {
    for (const strip of this.columns.flatMap(({ strips }) => strips)) {
      if (strip.spec.signal !== signal) continue;
      Object.assign(strip, { words, stale, level });
      if (band !== null) strip.spec.band = band;
    }
  }

  // Begin the live window anew.
  begin() {
    const width = Math.max(FINEST_LIVE, binWidth(this.span, this.wide, MOST_BINS));
    this.bins = new Bins(width, Math.ceil(this.span / width) + 4, this.signals);
    this.readUntil = null;
    this.knownFrom = Infinity; // UTC s of the first value of the history
    this.readAt = -Infinity;
    this.loading = true;
    this.readLive();
  }

  // Read the whole bins of the live window that were not read yet.
  async readLive() {
    const { bins } = this;
    const to = bins.numberAt(this.now()) * bins.width;
    const from = Math.max(this.readUntil ?? -Infinity, bins.numberAt(this.now() - this.span) * bins.width);
    this.readAt = this.now();
    this.failed = false;
    if (to - from < bins.width / 2) return;
    const read = await this.read(from, to, bins.width);
    if (bins !== this.bins) return; // another window by now
    this.loading = false;
    this.failed = read === null;
    if (read) {
      bins.replace(read, from, to);
      if (this.readUntil === null) this.knownFrom = bins.first(from, to) ?? Infinity;
      this.readUntil = to;
    }
    this.change();
  }

  async read(from, to, width) {
    const points = Math.max(1, Math.min(MOST_BINS, Math.round((to - from) / width)));
    let found = null;
    try {
      found = await this.fetchHistory(this.signals, from, to, points);
      this.trouble = "";
    } catch (error) {
      this.trouble = `No history: ${error.message}`;
    }
    this.tell("trouble");
    return found;
  }

  // ---------- the window ----------

  // Show the last `span` seconds, up to now; in playback, the time around its moment.
  showLive(span = this.span) {
    if (this.moment !== null) {
      this.span = span;
      this.showWindow(this.moment - span * BEFORE, this.moment + span * (1 - BEFORE));
      return;
    }
    const same = span === this.span;
    this.past = null;
    this.asked += 1;
    this.span = Math.max(LEAST_LIVE, Math.min(SPANS["12 h"], span));
    if (!same) this.begin();
    this.windowed();
  }

  // Show what was from one time to another, UTC s. What is known already is drawn at once, and finer when it has been read;
  // of a far shorter window nothing is drawn.
  showWindow(from, to) {
    const now = this.now();
    const span = Math.max(LEAST, Math.min(MOST, to - from));
    const end = Math.min(now, Math.max(to, from + span));
    const known = this.past?.bins ?? this.bins.copy();
    const bins = span / known.width > MOST_DRAWN ? this.binsOf(span) : known;
    this.past = { from: end - span, to: end, bins, loaded: false };
    this.windowed();
    clearTimeout(this.wait);
    const asked = (this.asked += 1);
    this.wait = setTimeout(() => asked === this.asked && this.readPast(this.past), SETTLE);
  }

  // Bins without a value for a window that is so long, in s.
  binsOf(span) {
    const width = binWidth(span, this.wide, MOST_BINS);
    return new Bins(width, Math.ceil(span / width) + 4, this.signals);
  }

  async readPast(past) {
    const bins = this.binsOf(past.to - past.from);
    const { width } = bins;
    const from = bins.numberAt(past.from) * width;
    const to = Math.ceil(past.to / width - 1e-6) * width;
    const read = await this.read(from, to, width);
    if (past !== this.past) return;
    if (read) {
      bins.replace(read, from, to);
      past.bins = bins;
      past.loaded = true;
    } else past.again = this.now() + FAILED; // what is not read is not lost
    this.change();
  }

  // Hold what is shown; `resume` goes on to now.
  pause() {
    if (this.past) return;
    this.past = { ...this.window, bins: this.bins.copy(), loaded: true };
    this.windowed();
  }

  resume() {
    if (this.past) this.showLive();
  }

  // Show `factor` times as much, with `about` (UTC s) in its place. A window that ends now goes on to end now.
  zoom(factor, about = null) {
    const { from, to } = this.window;
    if (this.live && (about === null || to - about < SMALL + (to - from) * 0.02)) {
      this.showLive(this.span * factor);
      return;
    }
    const middle = about ?? this.cursor ?? (from + to) / 2;
    this.showWindow(middle - (middle - from) * factor, middle + (to - middle) * factor);
  }

  // Move the window by a share of its length.
  move(share) {
    const { from, to } = this.window;
    const by = (to - from) * share;
    if (this.past || by < 0) this.showWindow(from + by, to + by);
  }

  // Show a moment in the middle of 10 minutes, with the cursor at it.
  showMoment(time) {
    this.showWindow(time - 300, Math.min(this.now(), time + 300));
    this.cursorAt(time);
  }

  // Follow the playback: its moment has the cursor. Null ends it, and the plots go on to now.
  follow(moment) {
    const began = this.moment === null;
    this.moment = moment;
    if (moment === null) {
      this.cursorAt(null);
      this.showLive(Math.max(LEAST_LIVE, this.span));
      return;
    }
    const { from, to } = this.window;
    if (began || moment < from || moment > to) this.showLive();
    this.cursorAt(moment);
  }

  windowed() {
    if (this.pinned !== null && (this.pinned < this.window.from || this.pinned > this.window.to)) this.pinned = null;
    this.cursor = this.pinned;
    this.tell("window");
    this.change();
  }

  // ---------- the cursor ----------

  // Put the cursor at a time, UTC s, where it stays; null takes it away.
  cursorAt(time) {
    this.pinned = time;
    this.moveCursor(time);
  }

  // Put the cursor at the time below the pointer; null puts it back.
  hover(time) {
    this.moveCursor(time ?? this.pinned);
  }

  moveCursor(time) {
    if (time === this.cursor) return;
    this.cursor = time;
    this.reading ??= requestAnimationFrame(() => {
      this.reading = null;
      const [bins, view] = this.view();
      for (const column of this.columns) {
        column.read(bins, view);
        column.place(view);
      }
    });
    this.tell("cursor");
  }

  // ---------- strips ----------

  // Add a strip to a column, or none if its signal is drawn already or there are 16.
  addStrip(index, spec) {
    if (this.signals.includes(spec.signal)) return `${spec.signal} is shown already.`;
    if (this.signals.length >= 16) return "At most 16 signals: remove one first.";
    const column = this.columns[index];
    column.setStrips([...column.strips.map((strip) => strip.spec), { ...spec, removable: true }]);
    this.restart();
    return "";
  }

  remove(spec) {
    for (const column of this.columns) {
      const left = column.strips.map((strip) => strip.spec).filter((each) => each !== spec);
      if (left.length < column.strips.length) column.setStrips(left);
    }
    this.restart();
  }

  // Read everything anew: the signals are others.
  restart() {
    this.begin();
    if (this.past) this.showWindow(this.past.from, this.past.to);
    this.tell("signals");
  }

  // ---------- drawing ----------

  // Draw with the next frame.
  change() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.draw();
    });
  }

  tick() {
    if (document.hidden) return;
    const { past } = this;
    const again = this.failed ? FAILED : this.signals.every((name) => this.latest.has(name)) ? AGAIN : OFTEN;
    if (this.now() - this.readAt >= again) this.readLive();
    if (past?.again && this.now() >= past.again) {
      past.again = null;
      this.readPast(past);
    }
    if (this.live) this.change();
  }

  view() {
    const window = this.window;
    if (this.pinned !== null && this.pinned < window.from) {
      this.cursor = this.cursor === this.pinned ? null : this.cursor;
      this.pinned = null;
    }
    const loading = this.past ? !this.past.loaded : this.loading;
    const view = { ...window, live: this.live, loading, cursor: this.cursor, now: this.now() };
    return [this.past?.bins ?? this.bins, view];
  }

  draw() {
    const [bins, view] = this.view();
    const ink = inks();
    for (const column of this.columns) column.draw(bins, view, ink);
  }
}

// Shows a recorded night on the page: a slider with the night's slews and alarms, and the mount as it was at its time.
//
// It touches its own bar in the place of the notice, the address after "#", timers, and the network by api.js. What it read
// goes to shown.js, from which the page's parts draw. STOP stays that of the real mount: it does not read the moment shown.

import { ApiError, getMessages, getMoment, getSlews } from "./api.js";
import { now } from "./clock.js";
import { byId, draw, make, show, write } from "./dom.js";
import { clockOf, count, dayOf, iso, momentIn, spanOf } from "./figures.js";
import { marksOf, nightOf, OF_HOLDER, pastState, valuesOf } from "./night.js";
import { byTime } from "./recent.js";

const TICK = 1000; // ms between two moments while it plays
const SPEEDS = [1, 10, 60];
const BEFORE = 43_200; // s before the night from which alarms are read: one may have begun earlier
const [MOST_SLEWS, MOST_MESSAGES] = [500, 1000]; // of a night: the most that the API gives at once
const AGAIN = 1000; // ms until a moment is asked for again that the daemon could not read yet
const NIGHT_AGAIN = 5000; // ms until the night is read again of which something is missing
const BUSY = new Set([429, 503]);
const KEYS = { PageUp: 600, PageDown: -600, ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }; // s
const MARKS = 720; // units of the strip of marks

// The moment to play from in the address, UTC s, or null: "#play=2026-11-25T02:41:10Z".
export const playIn = (hash) => momentIn(hash, "play");

export const playLink = (time) => `#play=${iso(time)}`;

export function playback(store, shown) {
  const notice = byId("notice");
  let night = null; // {from, to, slews, entries, whole, changes}, each null until it is known; see night.js
  let at = null; // UTC s
  let wanted = null; // the time that is read next
  let reading = false;
  let timer = null;

  const hold = make("button", { type: "button", click: () => (timer === null ? run() : halt()) }, "Play");
  let speed = SPEEDS[0];
  const pace = make("button", { type: "button", click: () => faster() }, `${speed}×`); // no menu: an open one withholds STOP's key
  const slider = make("input", { type: "range", step: 1, "aria-label": "Time in the night", input: () => seek(Number(slider.value)), keydown: (event) => key(event) });
  const marks = draw("svg", { class: "night", role: "img", viewBox: `0 0 ${MARKS} 18`, preserveAspectRatio: "none" });
  const [time, begins, told] = [make("b", { class: "nb" }), make("span", { class: "note hide-s" }), make("span", { class: "note" })];
  const back = make("button", { type: "button", click: () => leave() }, "Back to live");
  const bar = make("section", { class: "notice", id: "playback", "data-level": "info", "aria-label": "Playback", hidden: true },
    make("span", { class: "chip", "data-level": "info" }, "PLAYBACK"),
    make("div", { class: "play" },
      make("span", { class: "tools" }, hold, pace), make("div", {}, slider), time, begins, marks, told),
    make("div", { class: "acts" }, back));
  notice.after(bar);

  function key(event) {
    const by = KEYS[event.key];
    if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    seek(at + by);
  }

  function open(moment) {
    if (store.state === null) return;
    if (night === null || moment < night.from || moment > night.to) {
      night = { ...nightOf(moment, now() / 1000), slews: null, entries: null, whole: true, changes: null, until: 0, reading: false };
      [slider.min, slider.max] = [night.from, night.to];
      write(begins, clockOf(night.from).slice(0, 5));
    }
    show(notice, false);
    show(bar, true);
    if (!shown.past) showUnread(moment);
    seek(moment);
    if (night.until === 0) readNight(night);
  }

  // Go to a time; the latest wish counts.
  function seek(moment) {
    at = Math.max(night.from, Math.min(night.to, now() / 1000, moment));
    slider.value = at;
    slider.setAttribute("aria-valuetext", `${clockOf(at)} UTC, ${dayOf(at)}`);
    write(time, `${clockOf(at)} UTC`);
    wanted = at;
    if (night.until > 0 && at > night.until + NIGHT_AGAIN / 1000) readNight(night); // what happened since
    if (!reading) read();
  }

  // Show a moment of which nothing is known yet; least of all what is so now.
  function showUnread(moment, why = "") {
    const [state, summary] = [pastState(store.state, night, moment), { why: why || "the recording is being read" }];
    shown.show({ at: moment * 1000, state, summary, values: {} });
  }

  async function read() {
    reading = true;
    while (wanted !== null) {
      const moment = wanted;
      wanted = null;
      const past = await readMoment(moment);
      if (past === null) {
        wanted ??= at === null ? null : moment;
        await new Promise((resolve) => setTimeout(resolve, AGAIN));
      } else if (at !== null) shown.show({ at: moment * 1000, state: pastState(store.state, night, moment, past.summary), ...past });
    }
    reading = false;
  }

  // A moment of the recording; null if the daemon could not read it yet, which does not say that nothing is recorded.
  async function readMoment(moment) {
    try {
      const summary = await getMoment(iso(moment));
      say("");
      return { summary, values: valuesOf(summary.topics) };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (at === null) return null;
      if (BUSY.has(error.status)) {
        say(`${clockOf(moment)} is not read yet, and is asked for again: ${error.message}`);
        showUnread(moment, "not read yet");
        return null;
      }
      const what = error.status === 404 ? "Nothing is recorded of" : "Not known:";
      say(`${what} ${clockOf(moment)}: ${error.message}`);
      return { summary: null, values: {} };
    }
  }

  // Read what is known of a night, and read it again while a part could not be read, or the slider is at a later time. A part
  // that is not read is named, and is not taken for a quiet night.
  async function readNight(which) {
    if (which.reading) return;
    which.reading = true;
    while (which === night && at !== null) {
      if ((await readParts(which)) || which !== night) break;
      await new Promise((resolve) => setTimeout(resolve, NIGHT_AGAIN));
    }
    which.reading = false;
  }

  // Return whether nothing is left that may be read later.
  async function readParts(which) {
    const { from, to } = which;
    const until = Math.min(to, now() / 1000);
    let later = false;
    const failed = (error) => {
      if (!(error instanceof ApiError)) throw error;
      later ||= error.passes;
      return null;
    };
    const messages = (query) => getMessages({ until: iso(until), limit: MOST_MESSAGES, ...query }).catch(failed);
    const [slews, alarms, holders] = await Promise.all([
      getSlews({ from: iso(from), to: iso(to), limit: MOST_SLEWS }).then((answer) => answer.slews, failed),
      messages({ since: iso(from - BEFORE), kind: "ERROR,WARNING" }),
      messages({ kind: OF_HOLDER.join() }), // the latest before the night may be days old
    ]);
    if (which !== night) return true;
    if (slews !== null) which.slews = slews;
    if (alarms !== null) [which.entries, which.whole] = [alarms.entries.toSorted(byTime), alarms.next === null];
    if (holders !== null) which.changes = holders.entries;
    if (!later) which.until = until;
    drawNight(which);
    if (at !== null) seek(at); // with what is known now
    return !later;
  }

  function drawNight(which) {
    const { from, to, slews, entries, whole } = which;
    const found = marksOf(slews ?? [], entries ?? [], which);
    const words = [
      slews === null ? "slews not known" : count(found.slews.length, "slew"),
      slews === null ? null : `${found.failed.length} failed ▲`,
      entries === null ? "alarms not known" : `${count(found.alarms.length, "alarm")} ■${whole ? "" : ", earlier ones are not read"}`,
    ].filter(Boolean).join(", ");
    which.words = `${clockOf(to).slice(0, 5)} · ${words}`;
    marks.setAttribute("aria-label", `The ${spanOf(to - from)} to ${clockOf(to).slice(0, 5)}: ${words.replace(/ [▲■]/g, "")}`);
    marks.replaceChildren(...shapes(found, which));
    say("");
  }

  const say = (words) => write(told, words || night?.words || "");

  function run() {
    halt();
    timer = setInterval(() => !document.hidden && !reading && seek(at + (speed * TICK) / 1000), TICK);
    write(hold, "Pause");
  }

  function faster() {
    speed = SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length];
    write(pace, `${speed}×`);
    pace.setAttribute("aria-label", `Speed: ${speed} times`);
  }

  function halt() {
    clearInterval(timer);
    timer = null;
    write(hold, "Play");
  }

  function leave() {
    halt();
    at = wanted = null;
    show(bar, false);
    show(notice, true);
    shown.showNow();
    history.replaceState(null, "", location.pathname + location.search);
    notice.querySelector("button:not([hidden])")?.focus();
  }

  const go = () => {
    const moment = playIn(location.hash);
    if (moment !== null) open(moment);
  };
  addEventListener("hashchange", go);
  store.on("state", () => at === null && !shown.past && playIn(location.hash) !== null && go());
}

// Ticks for slews, triangles for those that failed, squares for alarms.
function shapes({ slews, failed, alarms }, { from, to }) {
  const x = (time) => ((time - from) / (to - from)) * MARKS;
  const each = (times, shape) => times.map((time) => shape(x(time).toFixed(1))).join("");
  return [
    draw("path", { "data-part": "slews", d: each(slews, (place) => `M${place} 10v6`), stroke: "var(--edge)", "stroke-width": 1, fill: "none" }),
    draw("path", { "data-part": "failed", d: each(failed, (place) => `M${place} 0l-4 8h8z`), fill: "var(--text)" }),
    draw("path", { "data-part": "alarms", d: each(alarms, (place) => `M${place} 0m-4 0h8v8h-8z`), fill: "var(--alarm-text)" }),
  ];
}

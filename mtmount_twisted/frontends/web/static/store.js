// Holds the page's data, and notifies the views of changes.
//
// Values only: it touches neither page nor network. Every list in it has a bound. Topics: "live" (whether the
// data is current), "state", "summary" (telemetry, once a second), "signals" (figures, four times a second), "entry" (the
// tail), "acks" (answers of the mount), "lives" (this page's commands), "catalogue", "tick" (a second has passed). What
// shows the mount reads shown.js, which may be of another time.

import { targetsIn } from "./asked.js";
import { now } from "./clock.js";
import { Names } from "./names.js";
import { byTime, Recent } from "./recent.js";

const MOST_REFUSALS = 500;
const MOST_LIVES = 20;
const MOST_UNANSWERED = 1000;
const RECENT = 5000; // least ms between two of the daemon's counts for a rate of rejections
const AHEAD = 2000; // ms by which a time may lie in the future; more means that the daemon's clock was set

const ANSWERS = new Set(["ack", "noack", "timed_out"]);

// Convert an age in ms at `at` to performance.now(), which cannot be set. A time in the future has no known age, and
// counts as long ago.
const seen = (age, at) => (age < -AHEAD ? -Infinity : at - Math.max(0, age));

const keepLast = (list, most) => list.length > most && list.splice(0, list.length - most);

export class Store {
  constructor() {
    this.topics = new Map();
    this.live = { is: false, since: null, why: "connecting", events: "" };
    this.state = null;
    this.summary = null; // the latest summary of telemetry; null if there is none
    this.summaryAt = 0; // its time by performance.now()
    this.values = {}; // a signal's name -> its latest number, or null
    this.catalogue = null; // the commands by name
    this.asked = {}; // an axis -> what was asked of it last: {value, time, by, how}
    this.recent = new Recent(); // entries
    this.lastWord = null; // the mount's latest message
    this.answer = null; // the mount's latest: {at, ms, step}, `at` by performance.now()
    this.refusals = []; // {at, command, commander, explanation}; oldest first
    this.counted = null; // the daemon's latest count: {at, refusals, rate}, the rate per second
    this.lives = []; // newest first
    this.unanswered = new Map(); // a command's key -> time of sending, ms
    this.names = new Names();
  }

  // The newest entries, oldest first.
  get entries() {
    return this.recent.of(() => true);
  }

  // A command's key -> "AzimuthAxisMove of csc".
  get named() {
    return this.names.commands;
  }

  on(topics, listener) {
    for (const topic of topics.split(" ")) {
      if (!this.topics.has(topic)) this.topics.set(topic, []);
      this.topics.get(topic).push(listener);
    }
  }

  tell(topic, value) {
    for (const listener of this.topics.get(topic) ?? []) listener(value);
  }

  // `events` is the reason why this tab receives none, or "".
  setLive(is, since = null, why = "", events = "") {
    this.live = { is, since, why, events };
    this.tell("live");
  }

  setState(state) {
    this.state = state;
    this.tell("state");
  }

  setSummary(summary) {
    this.summary = summary;
    this.summaryAt = performance.now();
    this.tell("summary");
  }

  // The latest figures: {at, values}, of which `values` may lack some signals.
  setSignals({ at, values }) {
    Object.assign(this.values, values);
    this.tell("signals", { at, values });
  }

  setCatalogue(catalogue) {
    this.catalogue = catalogue;
    this.tell("catalogue");
  }

  // Add an entry of the journal, live or from history.
  addEntry(entry) {
    this.names.note(entry);
    Object.assign(this.asked, targetsIn(entry));
    this.recent.add(entry, this.names.isTracking(entry));
    if (isWord(entry)) this.lastWord = entry;
    if (entry.type === "step") this.measure(entry);
    this.tell("entry", entry);
  }

  // Add history from before the live entries; some of it may also have come live.
  addHistory(entries) {
    for (const entry of [...entries].sort(byTime)) this.names.note(entry);
    this.recent.merge(entries, (entry) => this.names.isTracking(entry));
    this.lastWord = this.entries.findLast(isWord) ?? this.lastWord;
    for (const entry of this.entries) Object.assign(this.asked, targetsIn(entry));
    this.tell("entry", null);
  }

  // Add steps from before the page was opened, which identify the commands of later answers.
  addPastSteps(steps) {
    for (const entry of [...steps].sort(byTime)) this.names.note(entry);
    this.tell("entry", null);
  }

  // Record an answer or a time-out; a lost link says nothing about the mount.
  measure({ key, step, time, command, peer, explanation }) {
    if (step === "sent") {
      this.unanswered.set(key, Date.parse(time));
      if (this.unanswered.size > MOST_UNANSWERED) this.unanswered.delete(this.unanswered.keys().next().value);
      return;
    }
    const when = Date.parse(time);
    const at = seen(now() - when, performance.now());
    if (step === "noack") {
      this.refusals.push({ at, command, commander: peer, explanation });
      keepLast(this.refusals, MOST_REFUSALS);
    }
    const sent = this.unanswered.get(key);
    if (step !== "received") this.unanswered.delete(key);
    if (sent !== undefined && ANSWERS.has(step)) this.answer = { at, ms: Math.max(0, when - sent), step };
    if (ANSWERS.has(step)) this.tell("acks");
  }

  // Add the daemon's counts, also from before the page was opened; `at` is the time of its response.
  setPastAnswers({ time, last, refusals, columns, column }, at = performance.now()) {
    const then = Date.parse(time);
    const age = (iso) => then - Date.parse(iso);
    if (last !== null) {
      const answered = seen(age(last.time), at);
      if (!(this.answer?.at >= answered)) this.answer = { at: answered, ms: last.seconds * 1000, step: last.step };
    }
    const past = refusals.map(({ time, ...more }) => ({ ...more, at: seen(age(time), at) }));
    const recent = columns.filter((one) => age(one.time) < RECENT + column * 1000 && one.refused);
    const count = recent.reduce((sum, { refused }) => sum + refused, 0);
    const over = Math.max(RECENT, ...recent.map((one) => age(one.time)));
    this.counted = { at, refusals: past, rate: (count * 1000) / over };
    if (past.length && !(this.refusals.at(-1)?.at >= past[0].at)) this.refusals = past;
  }

  // Store the latest life of a command of this page; `sending` marks one without a response.
  setLife(life) {
    const index = this.lives.findIndex((other) => other.mark === life.mark);
    if (index < 0) this.lives.unshift(life);
    else this.lives[index] = life;
    this.lives.length = Math.min(this.lives.length, MOST_LIVES);
    this.tell("lives", life);
  }
}

// Whether an entry is a message of the mount itself, rather than one to the mount or a copy to a commander.
function isWord(entry) {
  return entry.type === "message" && entry.peer === "controller" && entry.direction === "from";
}

const GOING_ON = new Set(["sending", "open", "acked"]);
export const hasEnded = (life) => !GOING_ON.has(life.state);

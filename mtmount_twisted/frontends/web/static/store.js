// What the page knows, and who wants to hear of a change of it.
//
// Values only: it touches neither page nor network. Every list in it has a bound. Topics: "live" (is what is
// shown still true), "state", "entry" (the tail), "acks" (answers of the mount), "lives" (this page's commands),
// "tick" (a second has passed).

import { now } from "./clock.js";
import { Names } from "./names.js";
import { byTime, Recent } from "./recent.js";

const MOST_REFUSALS = 500;
const MOST_LIVES = 20;
const MOST_UNANSWERED = 1000;
const RECENT = 5000; // ms over which the daemon's count gives the rate of refusals, at least
const AHEAD = 2000; // ms by which a time may lie in the future: more tells that the daemon's clock was set

const ANSWERS = new Set(["ack", "noack", "timed_out"]);

// When a time of the daemon's clock was by performance.now(), which no one sets: of an age in ms, at `at`. What lies in
// the future has no known age, and counts as long ago.
const seen = (age, at) => (age < -AHEAD ? -Infinity : at - Math.max(0, age));

const keepLast = (list, most) => list.length > most && list.splice(0, list.length - most);

export class Store {
  constructor() {
    this.topics = new Map();
    this.live = { is: false, since: null, why: "connecting", events: "" };
    this.state = null;
    this.recent = new Recent(); // entries
    this.lastWord = null; // what the mount said last
    this.answer = null; // the mount's last: {at, ms, step}, `at` by performance.now()
    this.refusals = []; // {at, command, commander, explanation}; oldest first
    this.counted = null; // what the daemon counted last: {at, refusals, rate}, the rate a second
    this.lives = []; // newest first
    this.unanswered = new Map(); // a command's key -> when it was sent, ms
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

  // `events` is why this tab gets none, or "".
  setLive(is, since = null, why = "", events = "") {
    this.live = { is, since, why, events };
    this.tell("live");
  }

  setState(state) {
    this.state = state;
    this.tell("state");
  }

  // An entry of the journal, live or from its history.
  addEntry(entry) {
    this.names.note(entry);
    this.recent.add(entry, this.names.isTracking(entry));
    if (isWord(entry)) this.lastWord = entry;
    if (entry.type === "step") this.measure(entry);
    this.tell("entry", entry);
  }

  // History is what was before; some of it may have come live, too.
  addHistory(entries) {
    for (const entry of [...entries].sort(byTime)) this.names.note(entry);
    this.recent.merge(entries, (entry) => this.names.isTracking(entry));
    this.lastWord = this.entries.findLast(isWord) ?? this.lastWord;
    this.tell("entry", null);
  }

  // The steps of the last minutes, from before the page was open, tell which commands answers are to.
  addPastSteps(steps) {
    for (const entry of [...steps].sort(byTime)) this.names.note(entry);
    this.tell("entry", null);
  }

  // An answer, or that there was none in time; a link that was lost says nothing of the mount.
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

  // What the daemon has counted, from before the page was open, too; `at` is when it answered.
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

  // A command of this page's, as the daemon told of it last; `sending` is one that it has not answered yet.
  setLife(life) {
    const index = this.lives.findIndex((other) => other.mark === life.mark);
    if (index < 0) this.lives.unshift(life);
    else this.lives[index] = life;
    this.lives.length = Math.min(this.lives.length, MOST_LIVES);
    this.tell("lives", life);
  }
}

// What the mount says to all, or to one; not what is said to it, nor what a line was passed on to.
function isWord(entry) {
  return entry.type === "message" && entry.peer === "controller" && entry.direction === "from";
}

const GOING_ON = new Set(["sending", "open", "acked"]);
export const hasEnded = (life) => !GOING_ON.has(life.state);

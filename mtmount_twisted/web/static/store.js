// What the page knows, and who wants to hear of a change of it.
//
// Values only: it touches neither page nor network. Every list in it has a bound. Topics: "live" (is what is
// shown still true), "state", "entry" (the tail), "acks" (answers of the mount), "lives" (this page's commands),
// "tick" (a second has passed).

import { Names } from "./names.js";
import { byTime, Recent } from "./recent.js";

const MOST_REFUSALS = 500;
const MOST_LIVES = 20;
const MOST_UNANSWERED = 1000;

const ANSWERS = new Set(["ack", "noack", "timed_out"]);

const keepLast = (list, most) => list.length > most && list.splice(0, list.length - most);

export class Store {
  constructor() {
    this.topics = new Map();
    this.live = { is: false, since: null, why: "connecting", events: "" };
    this.state = null;
    this.recent = new Recent(); // entries
    this.lastWord = null; // what the mount said last
    this.answer = null; // the mount's last: {time, ms, step}
    this.refusals = []; // {time, command, commander, explanation}; oldest first
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
    const at = Date.parse(time);
    if (step === "noack") {
      this.refusals.push({ time: at, command, commander: peer, explanation });
      keepLast(this.refusals, MOST_REFUSALS);
    }
    const sent = this.unanswered.get(key);
    if (step !== "received") this.unanswered.delete(key);
    if (sent !== undefined && ANSWERS.has(step)) this.answer = { time: at, ms: Math.max(0, at - sent), step };
    if (ANSWERS.has(step)) this.tell("acks");
  }

  // What the daemon has counted, from before the page was open, too.
  setPastAnswers({ last, refusals }) {
    const at = Date.parse(last?.time);
    if (last !== null && !(this.answer?.time >= at)) {
      this.answer = { time: at, ms: last.seconds * 1000, step: last.step };
    }
    const known = this.refusals.at(-1)?.time ?? -Infinity;
    const past = refusals.map((refusal) => ({ ...refusal, time: Date.parse(refusal.time) }));
    this.refusals.push(...past.filter(({ time }) => time > known));
    keepLast(this.refusals, MOST_REFUSALS);
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

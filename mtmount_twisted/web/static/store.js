// What the page knows, and who wants to hear of a change of it.
//
// Values only: it touches neither page nor network. Every list in it has a bound. Topics: "live" (is what is
// shown still true), "state", "entry" (the tail), "acks" (times to Ack), "lives" (this page's commands),
// "tick" (a second has passed).

const MOST_ENTRIES = 500;
const MOST_ACKS = 2000;
const MOST_LIVES = 20;
const MOST_UNANSWERED = 1000;
const MOST_NAMED = 2000;
export const ACK_WINDOW = 10 * 60_000; // ms that the plot shows

const ANSWERS = new Set(["ack", "noack", "timed_out"]);

const keepLast = (list, most) => list.length > most && list.splice(0, list.length - most);

export class Store {
  constructor() {
    this.topics = new Map();
    this.live = { is: false, since: null, why: "connecting", events: "" };
    this.state = null;
    this.entries = []; // oldest first
    this.lastWord = null; // what the mount said last
    this.acks = []; // {time, ms, step}; oldest first
    this.lives = []; // newest first
    this.unanswered = new Map(); // a command's key -> when it was sent, ms
    this.named = new Map(); // a command's key, by which the mount answers -> "AzimuthAxisMove of csc"
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

  // A step tells which command its key is.
  name({ type, key, command, peer }) {
    if (type !== "step") return;
    this.named.delete(key); // the newest stands last
    this.named.set(key, `${command} of ${peer}`);
    if (this.named.size > MOST_NAMED) this.named.delete(this.named.keys().next().value);
  }

  // An entry of the journal, live or from its history.
  addEntry(entry) {
    this.entries.push(entry);
    keepLast(this.entries, MOST_ENTRIES);
    if (isWord(entry)) this.lastWord = entry;
    this.name(entry);
    if (entry.type === "step") this.measure(entry);
    this.tell("entry", entry);
  }

  // History is what was before; some of it may have come live, too.
  addHistory(entries) {
    const known = new Set(this.entries.map(looks));
    const all = [...entries.filter((entry) => !known.has(looks(entry))), ...this.entries];
    this.entries = all.sort(byTime).slice(-MOST_ENTRIES);
    this.entries.forEach((entry) => this.name(entry));
    this.lastWord = this.entries.findLast(isWord) ?? this.lastWord;
    this.tell("entry", null);
  }

  // An answer, or that there was none in time; a link that was lost says nothing of the mount.
  measure({ key, step, time }) {
    if (step === "sent") {
      this.unanswered.set(key, Date.parse(time));
      if (this.unanswered.size > MOST_UNANSWERED) this.unanswered.delete(this.unanswered.keys().next().value);
      return;
    }
    const sent = this.unanswered.get(key);
    if (sent === undefined) return;
    this.unanswered.delete(key);
    const answered = Date.parse(time);
    if (!ANSWERS.has(step)) return;
    this.acks.push({ time: answered, ms: Math.max(0, answered - sent), step });
    keepLast(this.acks, MOST_ACKS);
    this.tell("acks");
  }

  // The steps of the last minutes, from before the page was open.
  addPastSteps(steps) {
    const live = this.acks;
    this.acks = [];
    for (const entry of steps.sort(byTime)) {
      this.name(entry);
      this.measure(entry);
    }
    this.acks = [...this.acks, ...live.filter((ack) => !this.acks.some((old) => old.time === ack.time))];
    this.tell("acks");
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

// Within one millisecond the number of the row tells.
const row = ({ id }) => Number(id?.split(".")[1] ?? Infinity);
const byTime = (one, other) => Date.parse(one.time) - Date.parse(other.time) || row(one) - row(other) || 0;

// An entry without its id, which one that has just come may not have yet.
const looks = ({ id, ...rest }) => JSON.stringify(rest);

// What the mount says to all, or to one; not what is said to it, nor what a line was passed on to.
function isWord(entry) {
  return entry.type === "message" && entry.peer === "controller" && entry.direction === "from";
}

const GOING_ON = new Set(["sending", "open", "acked"]);
export const hasEnded = (life) => !GOING_ON.has(life.state);

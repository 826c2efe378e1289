// Keeps the store up to date from this tab's hub, and reports when the page is no longer live: when the hub says so, or
// when a request of this tab has no response.
//
// It touches the store, the hub by channel.js, the network by api.js, and the events for a page that the browser
// freezes or leaves. The page's views only read the store.

import { ApiError, getMessages, getToken, probeState } from "./api.js";
import { openChannel } from "./channel.js";
import { now, setDaemonTime } from "./clock.js";
import { rowOf } from "./recent.js";
import { after, ring, useHub } from "./timers.js";

const PAST = 10 * 60_000; // ms of history that is read to match answers with their commands
const PAGE = 1000; // entries of the journal at once
const MOST_PAGES = 10; // pages of entries that a stream omitted
const RETRY = 2000; // ms until the next request, after one without a response
const TURN = 10_000; // ms: the hub sends a message at least this often
const SILENCE = 35_000; // ms without a message of the hub: it then counts as gone, and the tab opens another

export class Follower {
  // onRefused is called with {status, message} when the daemon rejects the token or its absence.
  constructor(store, onRefused) {
    this.store = store;
    this.onRefused = onRefused;
    this.live = store.live; // the hub's view
    this.doubts = ""; // the reason why this tab doubts it
    this.heard = null; // time of the hub's latest message, ms
    this.run = null;
    this.probing = false;
    this.port = null;
    this.turns = 0; // of this tab since the hub's latest message; below 0 while the tab opens a hub
    this.spoke = 0; // its time by performance.now()
    this.following = false;
  }

  start() {
    this.following = true;
    if (this.port !== null) return this.follow();
    addEventListener("pagehide", () => this.say("bye"));
    addEventListener("pageshow", ({ persisted }) => persisted && this.following && this.back());
    document.addEventListener("freeze", () => this.say("frozen"));
    document.addEventListener("resume", () => this.say("hurry"));
    setInterval(() => this.turn(), TURN);
    useHub((id, ms) => this.say("wake", { id, ms }));
    return this.open();
  }

  async open() {
    this.turns = -Infinity;
    try {
      this.port = await openChannel((data) => this.hear(data));
    } catch (error) {
      this.stale(error.message);
      after(TURN, () => this.open()); // the worker's script cannot load while the daemon is down
      return;
    }
    [this.turns, this.spoke] = [0, performance.now()];
    if (this.following) this.follow();
  }

  // In a hidden tab turns are a minute apart, so the elapsed time decides. It decides only after the first turn, because
  // the whole machine, with the hub, may have slept until then.
  turn() {
    this.turns += 1;
    if (this.turns > 1 && performance.now() - this.spoke >= SILENCE && this.following) this.lose();
  }

  // The hub is gone. Open another a little later, because it may end just as fast.
  lose() {
    if (this.turns < 0) return; // already lost
    this.turns = -Infinity;
    this.say("bye"); // it may only have been slow, and must not send events twice
    this.port.onmessage = null;
    if (this.following) this.stale("this browser ended the worker that reads the daemon's events");
    after(RETRY, () => this.open());
  }

  stale(why) {
    this.setLive({ ...this.live, is: false, since: this.live.is ? (this.heard ?? now()) : this.live.since, why });
  }

  stop(why) {
    this.following = false;
    this.say("bye");
    this.stale(why);
  }

  // The browser restores a page that it kept: its data is stale until the hub sends more.
  back() {
    this.stale("the page was left and is visible again");
    this.follow();
  }

  // Also after the hub dropped this tab: the missed events are then read from the journal.
  follow() {
    this.run = null;
    this.say("follow", { token: getToken() });
  }

  say(word, more = {}) {
    this.port?.postMessage({ word, ...more });
  }

  hurry() {
    this.say("hurry");
    this.doubt();
  }

  // Read the state soon: it includes all events until then.
  refresh() {
    this.say("refresh");
  }

  // A request had no response: check at once whether the daemon responds at all, with a short time-out.
  async doubt() {
    if (this.probing || !(this.store.live.is || this.doubts)) return;
    this.probing = true;
    let doubts = "";
    try {
      await probeState();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.gaveWay) doubts = this.doubts; // nothing is learned: the STOP that cancelled it has an outcome of its own
      else if (error.status === 0) doubts = `the state can't be read: ${error.message}`; // otherwise the daemon has responded
    } finally {
      this.probing = false;
    }
    this.doubts = doubts;
    if (doubts) after(RETRY, () => this.doubt());
    this.tellLive();
  }

  hear({ word, id, state, summary, signals, events = [], lost = 0, live, refused }) {
    [this.turns, this.spoke] = [0, performance.now()];
    if (word === "wake") return ring(id);
    if (word === "gone") return this.following && this.follow();
    if (word !== "news") return;
    this.say("read");
    if (!this.following) return;
    this.heard = now();
    if (refused) return this.onRefused(refused);
    if (state) {
      setDaemonTime(state.time);
      this.store.setState(state);
    }
    if (summary) this.store.setSummary(summary);
    if (signals) this.store.setSignals(signals);
    if (lost) this.addGap(lost, "this tab did not keep up");
    events.forEach((event) => this.take(event));
    if (live) this.setLive(live);
    if (state && this.doubts) this.doubt(); // the daemon has just responded to the hub
  }

  take({ type, value }) {
    if (type === "gone") this.fill(value);
    else this.store.addEntry(value);
  }

  // Read the rows that a stream omitted from the journal: those after one id and before another.
  async fill({ rows, after: from, before, why }) {
    try {
      for (let page = 0; from !== null && page < MOST_PAGES; page++) {
        const { entries, next } = await getMessages({ after: from, limit: PAGE });
        this.store.addHistory(entries.filter(({ id }) => before === null || rowOf(id) < rowOf(before)));
        if (next === null || (before !== null && rowOf(next) >= rowOf(before))) return;
        from = next;
      }
      this.addGap(rows, from === null ? why : `more than ${MOST_PAGES} pages of the journal`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.addGap(rows, `${why}, and ${error.message}`);
    }
  }

  addGap(rows, why) {
    const detail = `${rows ?? "some"} entries can't be shown: ${why}`;
    this.store.addEntry({ type: "change", kind: "gap", time: new Date(now()).toISOString(), detail });
  }

  setLive(live) {
    this.live = live;
    this.tellLive();
    if (!live.is || live.run === this.run) return;
    this.run = live.run;
    this.past();
  }

  tellLive() {
    const { is, since, why, events } = this.live;
    const before = this.store.live;
    if (!this.doubts || !is) return this.store.setLive(is, since, why, events);
    this.store.setLive(false, before.is ? (this.heard ?? now()) : before.since, this.doubts, events);
  }

  // Read the entries before the stream, unless it continues an earlier one. Without a journal there are none.
  async past() {
    const from = new Date(now() - PAST).toISOString();
    try {
      this.store.addHistory((await getMessages({ limit: 200 })).entries);
      this.store.addPastSteps((await getMessages({ since: from, kind: "step", limit: 1000 })).entries);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }
}

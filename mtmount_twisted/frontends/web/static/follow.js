// Keeps the store true with what this tab's hub tells, and says when what is shown is no longer live: when the
// hub says so, or when a request of this tab's own had no answer.
//
// It touches the store, the hub by channel.js, the network by api.js, and hears when the browser freezes or
// leaves the page. The page's views only read the store.

import { ApiError, getMessages, getToken, probeState } from "./api.js";
import { openChannel } from "./channel.js";
import { now, setDaemonTime } from "./clock.js";
import { rowOf } from "./recent.js";
import { after, ring, useHub } from "./timers.js";

const PAST = 10 * 60_000; // ms: how far back it is read which commands answers are to
const PAGE = 1000; // entries of the journal at once
const MOST_PAGES = 10; // of what a stream left out
const RETRY = 2000; // ms until the daemon is asked again, after it had no answer for this tab
const TURN = 10_000; // ms: a hub says something at least so often
const SILENCE = 35_000; // ms without a word of the hub: then it is gone, and another is looked for

export class Follower {
  // onRefused is called with {status, message} when the daemon wants a token, or another one.
  constructor(store, onRefused) {
    this.store = store;
    this.onRefused = onRefused;
    this.live = store.live; // as the hub sees it
    this.doubts = ""; // why this tab does not believe it
    this.heard = null; // when the hub last told something, ms
    this.run = null;
    this.probing = false;
    this.port = null;
    this.turns = 0; // of this tab, since the hub's last word; below 0 while a hub is looked for
    this.spoke = 0; // when that was, by performance.now()
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
      after(TURN, () => this.open()); // a worker's script can't be read while the daemon is away
      return;
    }
    [this.turns, this.spoke] = [0, performance.now()];
    if (this.following) this.follow();
  }

  // In a hidden tab turns are a minute apart, so that time counts; after the first, since the whole machine may have
  // slept until then, and the hub with it.
  turn() {
    this.turns += 1;
    if (this.turns > 1 && performance.now() - this.spoke >= SILENCE && this.following) this.lose();
  }

  // The hub is gone: another is looked for a little later, since it may end just as fast.
  lose() {
    if (this.turns < 0) return; // that is so already
    this.turns = -Infinity;
    this.say("bye"); // it may have been slow, and is not to tell things twice
    this.port.onmessage = null;
    if (this.following) this.stale("this browser ended what reads the daemon's events for its tabs");
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

  // The browser shows the page again that it had kept as it was: that is a memory until the hub tells more.
  back() {
    this.stale("the page was left, and is shown again");
    this.follow();
  }

  // Also after the hub let this tab go: what happened meanwhile is then read from the journal.
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

  // Read the state soon: what happens until then is in it.
  refresh() {
    this.say("refresh");
  }

  // A request had no answer: see at once whether the daemon has any, and don't wait long for it.
  async doubt() {
    if (this.probing || !(this.store.live.is || this.doubts)) return;
    this.probing = true;
    let doubts = "";
    try {
      await probeState();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 0) doubts = `its state can't be read: ${error.message}`; // else it has answered
    } finally {
      this.probing = false;
    }
    this.doubts = doubts;
    if (doubts) after(RETRY, () => this.doubt());
    this.tellLive();
  }

  hear({ word, id, state, events = [], lost = 0, live, refused }) {
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
    if (lost) this.addGap(lost, "this tab did not keep up");
    events.forEach((event) => this.take(event));
    if (live) this.setLive(live);
    if (state && this.doubts) this.doubt(); // the daemon has just answered the hub
  }

  take({ type, value }) {
    if (type === "gone") this.fill(value);
    else this.store.addEntry(value);
  }

  // What a stream left out stands in the journal, after one id and before another.
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

  // What was before the stream was, if it does not begin where an earlier one ended. A daemon that keeps no
  // journal has none: the page does without.
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

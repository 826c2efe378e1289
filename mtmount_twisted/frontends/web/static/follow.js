// Keeps the store true with what this tab's hub tells, and says when what is shown is no longer live: when the
// hub says so, or when a request of this tab's own had no answer.
//
// It touches the store, the hub by channel.js, the network by api.js, and hears when the browser freezes or
// leaves the page. The page's views only read the store.

import { ApiError, getMessages, getToken, probeState } from "./api.js";
import { openChannel } from "./channel.js";
import { now, setDaemonTime } from "./clock.js";

const PAST = 10 * 60_000; // ms: how far back it is read which commands answers are to
const RETRY = 2000; // ms until the daemon is asked again, after it had no answer for this tab
const TURN = 10_000; // ms: a hub says something at least so often
const MOST_TURNS = 4; // without a word of the hub: then it is gone, and another is looked for

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
    this.turns = 0;
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
    return this.open();
  }

  async open() {
    this.turns = -Infinity;
    try {
      this.port = await openChannel((data) => this.hear(data));
    } catch (error) {
      return this.stale(error.message);
    }
    this.turns = 0;
    if (this.following) this.follow();
  }

  turn() {
    this.turns += 1;
    if (this.turns < MOST_TURNS || !this.following) return;
    this.stale("this browser ended what reads the daemon's events for its tabs");
    this.open();
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
    if (doubts) setTimeout(() => this.doubt(), RETRY);
    this.tellLive();
  }

  hear({ word, state, events = [], lost = 0, live, refused }) {
    this.turns = 0;
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
    if (lost) this.take({ type: "gone", value: { rows: lost, why: "this tab did not keep up" } });
    events.forEach((event) => this.take(event));
    if (live) this.setLive(live);
  }

  take({ type, value }) {
    if (type === "gone") {
      const text = `${value.rows ?? "some"} entries can't be shown: ${value.why ?? "they are gone"}`;
      this.store.addEntry({ type: "change", kind: "gap", time: new Date(now()).toISOString(), detail: text });
    } else this.store.addEntry(value);
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

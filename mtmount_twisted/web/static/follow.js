// Keeps the store true: reads the daemon's state, follows its events, reads the state anew when one of them
// may have changed it, and says when what is shown is no longer live: when the stream of events is lost, or
// when the daemon has no answer though the stream seems to be there.
//
// It touches the store, and the network by api.js and stream.js. The page's views only read the store.

import { ApiError, failure, getMessages, getState, probeState, request } from "./api.js";
import { now, setDaemonTime } from "./clock.js";
import { ACK_WINDOW } from "./store.js";
import { EventStream } from "./stream.js";

const APART = 400; // ms between two readings of the state, however many events come
const RETRY = 2000; // ms until it is read again if it could not be
const TELLING = new Set(["WARNING", "ERROR", "ON_STATE_INFO", "IN_POSITION"]); // replies the state depends on

export class Follower {
  // onRefused is called with an ApiError when the daemon wants a token, or another one.
  constructor(store, onRefused) {
    this.store = store;
    this.onRefused = onRefused;
    this.heard = null; // when the daemon was last heard, ms
    this.streams = false;
    this.timer = null; // until the state is read; while it is being read, true
    this.asked = -APART;
    this.probing = false;
    this.stream = new EventStream((headers, signal) => this.connect(headers, signal), {
      event: (event) => this.take(event),
      alive: () => this.alive(),
      lost: (why) => this.lost(why),
    });
  }

  start() {
    this.stream.start();
  }

  stop(why) {
    this.stream.stop();
    this.lost(why);
  }

  hurry() {
    this.stream.hurry();
    this.doubt();
  }

  // A request had no answer: see at once whether the daemon has any, and don't wait long for it.
  async doubt() {
    if (this.probing || !this.store.live.is) return;
    this.probing = true;
    try {
      await probeState();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 0) this.unread(error); // else it has answered
    } finally {
      this.probing = false;
    }
  }

  unread(error) {
    this.stale(`its state can't be read: ${error.message}`);
    this.refresh(RETRY);
  }

  async connect(headers, signal) {
    const response = await request("api/v1/events", {
      headers: { ...headers, Accept: "text/event-stream" },
      signal,
    });
    this.resumes = "Last-Event-ID" in headers;
    if (response.ok) return response;
    const error = await failure(response);
    error.isFinal = error.status === 401 || error.status === 403;
    if (error.isFinal) this.onRefused(error);
    throw error;
  }

  // Whatever came, if only a keep-alive: what no event tells, such as the journal's lag, is read then.
  alive() {
    const quiet = now() - (this.heard ?? 0) > 5000;
    this.heard = now();
    if (quiet || !this.streams) this.refresh();
    this.streams = true;
  }

  lost(why) {
    this.streams = false;
    this.stale(why);
  }

  stale(why) {
    const { is, since } = this.store.live;
    this.store.setLive(false, is || since === null ? (this.heard ?? now()) : since, why);
  }

  take({ type, data }) {
    const value = JSON.parse(data);
    if (type === "hello") {
      this.stream.lastId ||= value.last_id ?? ""; // whatever is lost from here on can be asked for
    } else if (type === "gone") {
      const text = `${value.rows ?? "some"} entries can't be shown: ${value.why ?? "they are gone"}`;
      this.store.addEntry({ type: "change", kind: "gap", time: new Date(now()).toISOString(), detail: text });
    } else if (type === "message" || type === "step" || type === "change") {
      this.store.addEntry(value);
      if (type === "message" && !TELLING.has(value.kind)) return;
    }
    this.refresh();
  }

  // Read the state soon: what happens until then is in it.
  refresh(wait = APART) {
    this.dirty = true;
    if (this.timer !== null) return;
    this.timer = setTimeout(() => this.read(), Math.max(0, this.asked + wait - performance.now()));
  }

  async read() {
    this.asked = performance.now();
    this.timer = true;
    this.dirty = false;
    try {
      const state = await getState();
      setDaemonTime(state.time);
      this.store.setState(state);
      this.heard = now();
      this.timer = null;
      if (this.streams && !this.store.live.is) this.nowLive();
      else if (this.dirty) this.refresh();
    } catch (error) {
      this.timer = null;
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) return this.onRefused(error);
      this.unread(error);
    }
  }

  nowLive() {
    this.store.setLive(true, now());
    if (this.dirty) this.refresh();
    if (!this.resumes) this.past();
  }

  // What was before the stream was, if it does not begin where an earlier one ended. A daemon that keeps no
  // journal has none: the page does without.
  async past() {
    const from = new Date(now() - ACK_WINDOW).toISOString();
    try {
      this.store.addHistory((await getMessages({ limit: 200 })).entries);
      this.store.addPastSteps((await getMessages({ since: from, kind: "step", limit: 1000 })).entries);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }
}

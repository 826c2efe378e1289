// Reads the daemon's events and state once for all tabs of one user, and reports whether they are live.
//
// It runs in a worker, because browsers do not slow down its timers while the tabs are hidden. It touches the network,
// and timers. Without a slot for a stream, or if the daemon rejects the stream, it reads the state every two seconds
// instead, and `live.events` has the reason.

import { now, setDaemonTime } from "./clock.js";
import { ApiError, ask, failure, request } from "./http.js";
import { EVENTS } from "./signals.js";
import { Slot, STREAMS } from "./slots.js";
import { EventStream } from "./stream.js";

const APART = 400; // least ms between two reads of the state
const RETRY = 2000; // ms until the next read, after a failure or without events
const MOST_KEPT = 200; // events for a tab that opens later: the journal may not have them yet
// Events that change the state, of both dialects.
const TELLING = new Set([
  ...["WARNING", "ERROR", "ON_STATE_INFO", "STATE_INFO", "IN_POSITION", "SAFETY_INTERLOCKS", "AVAILABLE_SETTINGS"],
  ...["POWER_STATE", "AXIS_MOTION_STATE", "OIL_SUPPLY_SYSTEM_STATE", "CHILLER_STATE", "MOTION_CONTROLLER_STATE"],
  ...["ELEVATION_LOCKING_PIN_MOTION_STATE", "MIRROR_COVERS_MOTION_STATE", "MIRROR_COVER_LOCKS_MOTION_STATE"],
  ...["DEPLOYABLE_PLATFORMS_MOTION_STATE", "HOMED", "LIMITS", "AZIMUTH_TOPPLE_BLOCK", "VERSION_INFO"],
]);

export class Source {
  // on: {state(state), summary(summary), signals(signals), events(events), live(live), refused({status, message})}
  // An event is {type, value}. live is {is, since, why, events, run}: `events` is "" or the reason for
  // their absence; `run` changes when a stream begins that does not continue the previous one.
  constructor(token, on) {
    this.token = token;
    this.on = on;
    this.live = { is: false, since: null, why: "connecting", events: "", run: 0 };
    this.state = null;
    this.summary = null;
    this.kept = [];
    this.slot = new Slot({ granted: () => this.stream.start(), denied: (why) => this.denied(why) }, STREAMS);
    this.stream = new EventStream((headers, signal) => this.connect(headers, signal), {
      event: (event) => this.take(event),
      alive: () => this.alive(),
      lost: (why, status) => this.lost(why, status),
    });
    this.begin();
  }

  begin() {
    this.wanted = true;
    this.heard = null; // time of the daemon's latest data, ms
    this.streams = false;
    this.timer = null; // for the next read of the state; true during a read
    this.asked = -APART;
    this.slot.claim();
    this.refresh(0);
  }

  end() {
    this.wanted = false;
    clearTimeout(this.timer);
    this.stream.stop();
    this.slot.release();
  }

  hurry() {
    this.stream.hurry();
    this.refresh();
  }

  // The daemon rejects the token or its absence.
  refuse({ status, message }) {
    this.end();
    this.stale(`the token was rejected: ${message}`);
    this.on.refused({ status, message });
  }

  denied(why) {
    this.streams = false;
    this.stream.stop();
    this.withoutEvents(why);
  }

  withoutEvents(why) {
    this.setLive({ ...this.live, events: why });
    this.refresh();
  }

  async connect(headers, signal) {
    const response = await request(EVENTS, this.token, {
      headers: { ...headers, Accept: "text/event-stream" },
      signal,
    });
    this.resumes = "Last-Event-ID" in headers;
    if (response.ok) return response;
    const error = await failure(response);
    error.isFinal = error.status === 401 || error.status === 403;
    if (error.isFinal) this.refuse(error);
    throw error;
  }

  // Data came, at least a keep-alive: read the values that no event carries, such as the journal's lag.
  alive() {
    const quiet = now() - (this.heard ?? 0) > 5000;
    this.heard = now();
    if (!this.streams) this.refresh(0);
    else if (quiet) this.refresh();
    this.streams = true;
  }

  lost(why, status) {
    this.streams = false;
    if (!this.wanted) return;
    if (status) return this.withoutEvents(why); // the daemon has responded: only events are missing
    this.stale(why);
  }

  setLive(live) {
    if (Object.keys(live).every((name) => live[name] === this.live[name])) return;
    this.live = live;
    this.on.live(live);
  }

  stale(why) {
    const { is, since } = this.live;
    this.setLive({ ...this.live, is: false, since: is || since === null ? (this.heard ?? now()) : since, why });
  }

  // The state was read: the page is live if events arrive, or if the reason for their absence is known.
  nowLive() {
    const { is, since, events, run } = this.live;
    if (this.streams) {
      const anew = (events || !is) && !this.resumes; // otherwise the stream continues
      return this.setLive({ is: true, since: is ? since : now(), why: "", events: "", run: anew ? run + 1 : run });
    }
    if (events) this.setLive({ is: true, since: is ? since : now(), why: "", events, run });
  }

  take({ type, data }) {
    const value = JSON.parse(data);
    if (type === "signals") return this.on.signals(value); // they change no state
    if (type === "summary") {
      this.summary = value;
      return this.on.summary(value);
    }
    if (type === "hello") {
      this.stream.lastId ||= value.last_id ?? ""; // the stream can resume from here
    } else if (["gone", "message", "step", "change"].includes(type)) {
      this.kept.push({ type, value });
      if (this.kept.length > MOST_KEPT) this.kept.shift();
      this.on.events([{ type, value }]);
      if (type === "message" && !TELLING.has(value.kind)) return;
    }
    this.refresh();
  }

  // Read the state soon: it includes all events until then.
  refresh(wait = APART) {
    this.dirty = true;
    const due = this.asked + wait;
    if (this.timer === true || !this.wanted || (this.timer !== null && due >= this.due)) return;
    this.due = due;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.read(), Math.max(0, due - performance.now()));
  }

  async read() {
    this.asked = performance.now();
    this.timer = true;
    this.dirty = false;
    let wait = this.live.events ? RETRY : null;
    try {
      const state = await ask("GET", "api/v1/state", this.token);
      if (!this.wanted) return;
      setDaemonTime(state.time);
      this.heard = now();
      this.state = state;
      this.on.state(state);
      this.nowLive();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!this.wanted) return;
      if (error.status === 401) return this.refuse(error);
      if (!error.gaveWay) this.stale(`the state can't be read: ${error.message}`);
      wait = RETRY;
    }
    this.timer = null;
    if (wait !== null) this.refresh(wait);
    else if (this.dirty) this.refresh();
  }
}

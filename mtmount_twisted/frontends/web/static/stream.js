// Follows the daemon's events for as long as the page is open: connects, detects silence, reconnects.
//
// It touches the network through the function it is given, and timers. It does not interpret events.
// It resumes after the latest event; an event "gone" names the rows that the daemon omits.

import { SseParser } from "./sse.js";

const SILENCE = 35_000; // ms: the daemon sends data at least every 15 s
const FIRST_DELAY = 500; // ms until the next attempt; doubled each time
const LONGEST_DELAY = 10_000;

export class EventStream {
  // connect(headers, signal) returns a Response or throws; an error with a true `isFinal` ends the attempts.
  // on: {event(event), alive(), lost(why, status)}. alive is called for all data; lost once per loss, with the HTTP
  // status of a rejected stream, or 0.
  constructor(connect, on) {
    this.connect = connect;
    this.on = on;
    this.lastId = "";
    this.delay = FIRST_DELAY;
    this.stop();
  }

  start() {
    this.stop();
    this.wanted = true;
    this.run();
  }

  stop() {
    this.wanted = false;
    clearTimeout(this.timer);
    clearTimeout(this.watch);
    this.abort?.abort();
    this.abort = null;
  }

  // Reconnect at once instead of after the delay.
  hurry() {
    if (this.wanted && this.abort === null) {
      clearTimeout(this.timer);
      this.run();
    }
  }

  async run() {
    const abort = (this.abort = new AbortController());
    let [why, status] = ["the daemon closed the stream", 0];
    try {
      await this.read(abort);
    } catch (error) {
      why = abort.signal.reason?.message ?? explain(error);
      status = error.status ?? 0;
      if (error.isFinal) this.wanted = this.abort === abort ? false : this.wanted;
    }
    if (this.abort !== abort) return; // stopped, or started anew
    this.abort = null;
    clearTimeout(this.watch);
    abort.abort();
    this.on.lost(why, status);
    if (this.wanted) this.again();
  }

  again() {
    this.timer = setTimeout(() => this.run(), this.delay * (0.75 + Math.random() / 2));
    this.delay = Math.min(2 * this.delay, LONGEST_DELAY);
  }

  async read(abort) {
    this.listen(abort);
    const headers = this.lastId ? { "Last-Event-ID": this.lastId } : {};
    const response = await this.connect(headers, abort.signal);
    const parser = new SseParser((event) => this.take(event));
    parser.lastId = this.lastId;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.abort !== abort) return;
      this.delay = FIRST_DELAY;
      this.listen(abort);
      parser.feed(value);
      this.on.alive();
    }
  }

  take(event) {
    this.lastId = event.id || this.lastId;
    this.on.event(event);
  }

  // A silent daemon counts as gone, even if TCP still has the connection.
  listen(abort) {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => abort.abort(new Error("the daemon fell silent")), SILENCE);
  }
}

// A browser's own text for a failed connection is of no use to a user.
const explain = (error) => (error instanceof TypeError ? "the daemon can't be reached" : error.message);

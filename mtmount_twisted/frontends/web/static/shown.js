// The moment that the page shows: now, or a time of a recorded night. Every part that shows the mount reads it here;
// what commands the mount reads the store, which is always of now.
//
// Values only. It tells the topic "shown" when what it gives may have changed, and "moment" when the page goes to
// another time, or back to now.

import { now } from "./clock.js";

export class Shown {
  constructor(store) {
    this.store = store;
    this.past = null;
    store.on("state live tick summary signals acks", () => store.tell("shown"));
  }

  // The time shown in ms since 1970; null: now.
  get at() {
    return this.past === null ? null : this.past.at;
  }

  // Show the mount as it was: {at, state, summary, values}, `at` in ms since 1970.
  show(past) {
    this.past = past;
    this.store.tell("moment");
    this.store.tell("shown");
  }

  // Show the mount as it is.
  showNow() {
    if (this.past !== null) this.show(null);
  }

  // What is known of the moment, for functions without side effects.
  view() {
    const { store, past } = this;
    const clock = performance.now();
    const { live, answer, refusals, counted, asked, lastWord } = store;
    const common = { live, answer, refusals, counted, asked, lastWord, clock };
    if (past !== null) return { ...common, asked: null, ...past, now: past.at, silent: 0 };
    const { state, summary, values, summaryAt } = store;
    return { ...common, at: null, state, summary, values, now: now(), silent: summary === null ? 0 : clock - summaryAt };
  }
}

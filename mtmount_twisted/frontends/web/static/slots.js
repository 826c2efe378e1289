// Bounds the long requests of one kind in one browser, over all its tabs and workers. A browser opens six HTTP/1.1
// connections to one origin, and a long request occupies one; the rest are for short requests, above all STOP.
//
// It touches the BroadcastChannel that connects the slots of one kind, and timers. A claim announces itself, waits for
// the answers of the owners of slots and of older claims, and takes a slot if fewer than `most` answer. Of simultaneous
// claims the oldest wins. If two take the last slot nevertheless, the younger gives it up. Without such a channel, tabs cannot coordinate
// and get no slot: STOP has priority over events and history.

import { after } from "./timers.js";

const ANSWER = 100; // ms in which the owners of slots answer
const AGAIN = 3000; // ms until a claim is repeated

// {channel, most, full}: the channel's name, the number of slots, and the reason when all are taken.
export const STREAMS = {
  channel: "mtmount-streams",
  most: 4,
  full: "4 other tabs of this browser have the events, and it opens no more connections",
};
export const READERS = { channel: "mtmount-history", most: 1, full: "another tab of this browser reads the journal" };
// The daemon lets one user have two queries at once: one of each kind.
export const PLOTTERS = { channel: "mtmount-plots", most: 1, full: "another tab of this browser reads the telemetry" };
export const NO_CHANNEL = "the tabs of this browser can't coordinate their requests (no BroadcastChannel)";

export class Slot {
  // on: {granted(), denied(why)}; each is called again after a change.
  constructor(on, kind) {
    this.on = on;
    this.kind = kind;
    this.id = `${Date.now().toString(36).padStart(10, "0")}-${Math.random()}`; // the older is the smaller
    this.has = false;
    this.wanted = false;
    this.asking = false;
    this.cancel = () => {}; // the timer
    this.others = new Set(); // known ids that have a slot or precede this claim
  }

  claim() {
    this.wanted = true;
    if (typeof BroadcastChannel === "undefined") return this.on.denied(NO_CHANNEL);
    this.channel = new BroadcastChannel(this.kind.channel);
    this.channel.onmessage = ({ data }) => this.take(data);
    this.ask();
  }

  release() {
    if (!this.wanted) return;
    this.wanted = this.has = this.asking = false;
    this.cancel();
    this.say("left");
    this.channel?.close();
    this.channel = undefined;
  }

  say(word) {
    this.channel?.postMessage({ word, id: this.id });
  }

  ask() {
    this.cancel();
    this.others.clear();
    this.asking = true;
    this.say("who");
    this.cancel = after(ANSWER, () => this.judge());
  }

  judge() {
    this.asking = false;
    if (this.others.size >= this.kind.most) return this.wait();
    this.has = true;
    this.say("has");
    this.on.granted();
  }

  wait() {
    this.has = false;
    this.cancel = after(AGAIN, () => this.ask());
    this.on.denied(this.kind.full);
  }

  take({ word, id }) {
    if (word === "who") {
      if (this.has) this.say("has");
      else if (this.asking && id < this.id) this.others.add(id);
      else if (this.asking) this.say("first"); // a younger claim, which did not exist when this one was announced
      return;
    }
    if (word === "first") {
      if (this.asking && id < this.id) this.others.add(id);
      return;
    }
    if (word === "left") {
      this.others.delete(id);
      if (!this.has) this.ask();
      return;
    }
    const news = !this.others.has(id);
    this.others.add(id);
    if (!this.has) return;
    if (news) this.say("has"); // the new owner must learn of all others
    const older = [...this.others].filter((other) => other < this.id);
    if (older.length >= this.kind.most) this.wait();
  }
}

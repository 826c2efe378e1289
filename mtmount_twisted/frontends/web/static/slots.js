// How many requests of one kind one browser has at once, over all its tabs and workers: it opens six HTTP/1.1
// connections to one origin, and each such request holds one for long. Others are left for short requests, STOP above all.
//
// It touches the BroadcastChannel on which the slots of one kind hear of each other, and timers. A claim asks for a
// slot, waits for the answers of those that have one, and takes it if fewer than `most` answered. Of claims made at once
// the oldest goes first. If two take the last one all the same, the younger gives it up. Where there is no such channel
// nothing is known of other tabs, and there is no slot: STOP comes before events and history.

import { after } from "./timers.js";

const ANSWER = 100; // ms in which those that have a slot answer
const AGAIN = 3000; // ms until a claim is made again

// {channel, most, full}: its channel's name, how many there are, and why there is none when all are taken.
export const STREAMS = {
  channel: "mtmount-streams",
  most: 4,
  full: "4 other tabs of this browser have the events, and it opens no more connections",
};
export const READERS = { channel: "mtmount-history", most: 1, full: "another tab of this browser reads the journal" };
export const NO_CHANNEL = "this browser can't tell what its other tabs request (no BroadcastChannel)";

export class Slot {
  // on: {granted(), denied(why)}; each may be called again when it changes.
  constructor(on, kind) {
    this.on = on;
    this.kind = kind;
    this.id = `${Date.now().toString(36).padStart(10, "0")}-${Math.random()}`; // the older is the smaller
    this.has = false;
    this.wanted = false;
    this.asking = false;
    this.cancel = () => {}; // the timer
    this.others = new Set(); // ids of those that have one, or are to have one first, as far as they were heard of
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
    if (news) this.say("has"); // one that has just taken a slot is to know of all
    const older = [...this.others].filter((other) => other < this.id);
    if (older.length >= this.kind.most) this.wait();
  }
}

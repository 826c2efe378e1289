// Four event streams at most in one browser: it opens six HTTP/1.1 connections to one origin, over all its tabs
// and workers, and each stream holds one for as long as it is open. The others are for requests, STOP above all.
//
// It touches the BroadcastChannel on which the streams of one browser hear of each other, and timers. A claim
// asks for a slot, waits for the answers of those that have one, and takes it if fewer than four answered. If
// two take the last one, the younger gives it up. Where there is no such channel nothing is known of other
// tabs, and there is no slot: STOP comes before events.

const MOST = 4;
const ANSWER = 100; // ms in which those that have a slot answer
const AGAIN = 3000; // ms until a claim is made again
const CHANNEL = "mtmount-streams";

export const NO_SLOT = `${MOST} other tabs of this browser have the events, and it opens no more connections`;
export const NO_CHANNEL = "this browser can't tell how many of its tabs have events (no BroadcastChannel)";

export class Slot {
  // on: {granted(), denied(why)}; each may be called again when it changes.
  constructor(on) {
    this.on = on;
    this.id = `${Date.now().toString(36).padStart(10, "0")}-${Math.random()}`; // the older is the smaller
    this.has = false;
    this.wanted = false;
    this.others = new Set(); // ids of those that have one, as far as they were heard of
  }

  claim() {
    this.wanted = true;
    if (typeof BroadcastChannel === "undefined") return this.on.denied(NO_CHANNEL);
    this.channel = new BroadcastChannel(CHANNEL);
    this.channel.onmessage = ({ data }) => this.take(data);
    this.ask();
  }

  release() {
    if (!this.wanted) return;
    this.wanted = this.has = false;
    clearTimeout(this.timer);
    this.say("left");
    this.channel?.close();
    this.channel = undefined;
  }

  say(word) {
    this.channel?.postMessage({ word, id: this.id });
  }

  ask() {
    clearTimeout(this.timer);
    this.others.clear();
    this.say("who");
    this.timer = setTimeout(() => this.judge(), ANSWER);
  }

  judge() {
    if (this.others.size >= MOST) return this.wait();
    this.has = true;
    this.say("has");
    this.on.granted();
  }

  wait() {
    this.has = false;
    this.timer = setTimeout(() => this.ask(), AGAIN);
    this.on.denied(NO_SLOT);
  }

  take({ word, id }) {
    if (word === "who") return this.has && this.say("has");
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
    if (older.length >= MOST) this.wait();
  }
}

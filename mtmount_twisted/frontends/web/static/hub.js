// The tabs of one browser, each at the end of a port, and for each token the one source that they share.
//
// It runs in a worker, or in the page where there is none, and touches its ports and timers. Tabs with different tokens
// share no source and no data. The hub sends a tab one message at a time, and the tab acknowledges it; later events
// wait in a bounded queue. A tab that acknowledges nothing for a minute is gone, unless it has reported that the
// browser freezes it. A source ends with its last tab, and the user's presence ends with the source. A tab can set
// timers in the hub, because its own timers are slow while it is hidden (timers.js).

import { Source } from "./source.js";

const GATHER = 50; // ms between two messages to a tab
const MOST_WAITING = 1000; // events for one tab
const TURN = 10_000; // ms
const MOST_TURNS = 6; // without an acknowledgement

export class Hub {
  constructor() {
    this.users = new Map(); // a token, or null -> {source, tabs}
    this.tabs = new Set();
    setInterval(() => this.tabs.forEach((tab) => tab.turn()), TURN);
  }

  // Attach the tab at the other end of a port; `hello` tells the tab that the hub runs.
  attach(port) {
    const tab = new Tab(this, port);
    port.onmessage = ({ data }) => tab.take(data);
    port.addEventListener("close", () => tab.leave()); // in browsers with this event
    port.postMessage({ word: "hello" });
  }

  follow(tab, token) {
    const user = this.users.get(token);
    if (user !== undefined) {
      user.tabs.add(tab);
      if (!user.source.wanted) user.source.begin();
      return user;
    }
    const tabs = new Set([tab]);
    const all = (news) => tabs.forEach((each) => each.tell(news));
    const source = new Source(token, {
      state: (state) => all({ state }),
      summary: (summary) => all({ summary }),
      signals: (signals) => all({ signals }),
      events: (events) => all({ events }),
      live: (live) => all({ live }),
      refused: (refused) => all({ refused }),
    });
    this.users.set(token, { token, tabs, source });
    return this.users.get(token);
  }

  unfollow(tab, user) {
    user.tabs.delete(tab);
    if (user.tabs.size) return;
    user.source.end();
    this.users.delete(user.token);
  }
}

class Tab {
  constructor(hub, port) {
    this.hub = hub;
    this.port = port;
    this.user = null;
    this.forget();
  }

  forget() {
    this.news = {};
    this.events = [];
    this.lost = 0;
    this.unread = false; // whether the tab has not acknowledged the latest message
    this.turns = 0;
    this.frozen = false;
    clearTimeout(this.timer);
    this.timer = null;
  }

  take({ word, token, id, ms }) {
    if (word === "wake") return void setTimeout(() => this.port.postMessage({ word, id }), ms);
    this.turns = 0;
    this.frozen = word === "frozen";
    if (word === "follow") this.follow(token);
    else if (word === "bye") this.leave();
    else if (this.user === null) this.port.postMessage({ word: "gone" }); // the tab was dropped, and is back
    else if (word === "read") this.unread = false;
    else if (word === "hurry") this.user.source.hurry();
    else if (word === "refresh") this.user.source.refresh();
    this.send();
  }

  follow(token) {
    this.leave();
    this.hub.tabs.add(this);
    this.user = this.hub.follow(this, token);
    const { state, summary, kept: events, live } = this.user.source;
    if (state !== null) this.tell({ state });
    if (summary !== null) this.tell({ summary });
    this.tell({ live, events });
    this.user.source.refresh();
  }

  leave() {
    this.forget();
    this.hub.tabs.delete(this);
    if (this.user === null) return;
    this.hub.unfollow(this, this.user);
    this.user = null;
  }

  tell({ events = [], ...news }) {
    Object.assign(this.news, news);
    this.events.push(...events);
    const more = this.events.length - MOST_WAITING;
    if (more > 0) {
      this.events.splice(0, more);
      this.lost += more;
    }
    this.send();
  }

  // Send the waiting events, unless the latest message is unacknowledged or only just sent.
  send(always = false) {
    if (this.unread || this.timer !== null) return;
    if (!always && !this.events.length && !Object.keys(this.news).length) return;
    this.unread = true;
    this.port.postMessage({ word: "news", ...this.news, events: this.events, lost: this.lost });
    this.news = {};
    this.events = [];
    this.lost = 0;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.send();
    }, GATHER);
  }

  // Send each tab a sign of life at least this often.
  turn() {
    this.send(true);
    if (!this.unread || this.frozen) return;
    this.turns += 1;
    if (this.turns > MOST_TURNS) this.leave();
  }
}

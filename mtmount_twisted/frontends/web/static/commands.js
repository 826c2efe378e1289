// Sends commands and follows each to its end.
//
// It touches the store, and the network by api.js. The daemon keeps a command's life. The page reads it after each
// event with a step of this commander, and every two seconds while there are no events.

import { ApiError, getLife, postCommand } from "./api.js";
import { hasEnded } from "./store.js";

const APART = 2000; // ms

export class Commands {
  constructor(store) {
    this.store = store;
    this.number = 0;
    store.on("entry", (entry) => {
      if (entry?.type === "step" && entry.peer === store.state?.you?.commander) this.readOpen();
    });
    store.on("live", () => this.readOpen());
    setInterval(() => (store.live.is && !store.live.events) || this.readOpen(), APART);
  }

  // Return the life. Throw ApiError for an error that is no outcome of the command, such as a wrong value.
  // `first` marks STOP: another STOP does not cancel its request.
  async send(command, parameters = {}, { first = false } = {}) {
    const mark = ++this.number;
    const begun = performance.now();
    const set = (life) => this.store.setLife({ ...life, command, parameters, mark, begun }); // no defaults added
    set({ state: "sending" });
    try {
      set(await postCommand(command, parameters, newKey(), first));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const life = error.body.command;
      const ended = typeof life === "object" && life !== null && hasEnded(life);
      // The daemon may have executed a request without a response: only an error response proves that it did not.
      const state = error.status === 0 ? "outcome_unknown" : "failed";
      set(ended ? life : { state, explanation: error.message });
      if (!ended) throw error;
    }
    this.readOpen(); // a step may arrive before the response
    return this.store.lives.find((life) => life.mark === mark);
  }

  async readOpen() {
    if (this.reading) {
      this.again = true;
      return;
    }
    this.reading = true;
    do {
      this.again = false;
      const open = this.store.lives.filter((life) => life.id !== undefined && !hasEnded(life));
      await Promise.allSettled(open.map((life) => this.readOne(life)));
    } while (this.again);
    this.reading = false;
  }

  async readOne(life) {
    const { mark, begun, parameters } = life;
    try {
      this.store.setLife({ ...(await getLife(life.id)), mark, begun, parameters });
    } catch (error) {
      if (error.status !== 404) throw error;
      this.store.setLife({ ...life, state: "outcome_unknown", explanation: "the daemon no longer knows this command" });
    }
  }
}

// crypto.randomUUID does not exist on pages without TLS.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const SAID = {
  sending: "sending",
  open: "sent",
  acked: "acknowledged",
  ack: "acknowledged",
  done: "done",
  noack: "refused by the mount",
  refused: "refused",
  not_sent: "not sent",
  timed_out: "timed out",
  outcome_unknown: "outcome unknown",
  busy: "busy",
  malformed: "malformed",
  failed: "not taken",
};
const GOOD = new Set(["done", "ack"]);

// The state of a life in words; whether it has ended, and whether it ended well.
export function fate(life) {
  const ended = hasEnded(life);
  return { text: SAID[life.state] ?? life.state, ended, good: GOOD.has(life.state) };
}

// Timers that keep time in a hidden tab: for the deadlines and retries of requests.
//
// It touches timers. A browser runs the timers of a hidden tab once a second, once a minute or not at all, and slows down
// AbortSignal.timeout in the same way; the timers of a worker keep time. In a page each timer here therefore runs twice,
// in the page and in the hub's worker (hub.js), and the first of the two to fire counts. The page's own is enough where the
// hub is gone. In a worker there is nothing to add.

let askHub = () => {};
let latest = 0;
const waiting = new Map(); // id -> what is due

// From here on ask(id, ms) is called for each timer, and has `ring(id)` called after `ms` milliseconds.
export const useHub = (ask) => (askHub = ask);

export const ring = (id) => waiting.get(id)?.();

// Call `run` once, `ms` milliseconds from now; returns the function that cancels it.
export function after(ms, run) {
  const id = ++latest;
  const cancel = () => {
    clearTimeout(own);
    waiting.delete(id);
  };
  const due = () => {
    cancel();
    run();
  };
  const own = setTimeout(due, ms);
  waiting.set(id, due);
  askHub(id, ms);
  return cancel;
}

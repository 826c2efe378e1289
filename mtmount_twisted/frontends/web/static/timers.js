// Timers that keep time in a hidden tab: for the deadlines and retries of requests.
//
// It touches timers. A browser runs the timers of a hidden tab once a second, once a minute or not at all, and slows
// down AbortSignal.timeout in the same way; the timers of a worker are not slowed down. In a page, each timer therefore
// runs twice, in the page and in the hub's worker (hub.js), and the first of the two to fire counts. If the hub is
// gone, the page's own timer remains. In a worker, each timer runs once.

let askHub = () => {};
let latest = 0;
const waiting = new Map(); // id -> function to call

// From now on call ask(id, ms) for each timer; the hub then calls `ring(id)` after `ms` milliseconds.
export const useHub = (ask) => (askHub = ask);

export const ring = (id) => waiting.get(id)?.();

// Call `run` once, `ms` milliseconds from now; return the function that cancels it.
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

// Makes room for STOP. A browser opens six connections to one origin, for all its tabs, and each request occupies one
// until its response: while six requests wait, the browser would delay STOP until one of them ends.
//
// It touches the BroadcastChannel that announces a STOP to the tabs and workers of one browser. Event streams continue:
// slots.js bounds their number.

const CHANNEL = "mtmount-stop";

export const STOP_FIRST = new Error("it was cancelled to make room for STOP; the daemon may or may not have received it");

const waiting = new Set(); // the AbortController of each request without a response
const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(CHANNEL);
if (channel !== null) channel.onmessage = giveWay;

function giveWay() {
  for (const abort of waiting) abort.abort(STOP_FIRST);
}

// Cancel the waiting requests of this browser; call this before STOP is sent.
export function makeRoom() {
  giveWay();
  channel?.postMessage("stop");
}

// From now on a STOP aborts this AbortController; return the function that removes it.
export function givesWay(abort) {
  waiting.add(abort);
  return () => waiting.delete(abort);
}

// Makes room for STOP. A browser opens six connections to one origin, over all its tabs, and each request holds one until
// the daemon has answered it: while six requests wait, the browser would keep STOP back until one of them ends.
//
// It touches the BroadcastChannel by which the tabs and workers of one browser hear of a STOP. Event streams continue:
// slots.js bounds their number.

const CHANNEL = "mtmount-stop";

export const STOP_FIRST = new Error("it was ended to make room for STOP, and may have reached the daemon or not");

const waiting = new Set(); // the AbortController of each request that has no answer yet
const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(CHANNEL);
if (channel !== null) channel.onmessage = giveWay;

function giveWay() {
  for (const abort of waiting) abort.abort(STOP_FIRST);
}

// End what waits in this browser; call it before STOP is sent.
export function makeRoom() {
  giveWay();
  channel?.postMessage("stop");
}

// From here on a STOP ends the request of this AbortController; returns the function that takes it out again.
export function givesWay(abort) {
  waiting.add(abort);
  return () => waiting.delete(abort);
}

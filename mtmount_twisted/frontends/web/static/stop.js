// STOP: the button, its key, and the outcome of the latest stop.
//
// It touches the button and its status line, and cancels waiting requests (room.js). It listens for the key on the
// window, before any element receives it, so that no element can intercept it. A key that is held down stops once.

import { timeOfDay, now } from "./clock.js";
import { fate } from "./commands.js";
import { byId, show, write } from "./dom.js";
import { makeRoom } from "./room.js";

const COMMAND = "BothAxesStop";
const SHOWN = 20_000; // ms for which a successful stop is shown; a failed one is shown until the next

// Ctrl+Shift+S: three keys, against accidents. By its letter, or by its position on non-Latin keyboards.
export function isStopKey(event) {
  if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return false;
  return event.key.toLowerCase() === "s" || (event.code === "KeyS" && !/^[a-z]$/i.test(event.key));
}

export function stop(store, commands) {
  const [button, status] = [byId("stop"), byId("stop-status")];
  const may = () => store.state === null || store.state.you.roles.includes("stop");
  let latest = null; // `waits` until the daemon responds
  let timer = null;

  function tell(text, bad) {
    status.dataset.mood = bad ? "bad" : "";
    clearTimeout(timer);
    write(status, text);
  }

  async function press() {
    if (!may()) return tell("STOP was not sent: this token may not stop.", true);
    const at = timeOfDay(now());
    latest = { at, mark: null, waits: true };
    const mine = latest;
    tell(`STOP of ${at}: sending`, false);
    try {
      makeRoom();
      const life = await commands.send(COMMAND, {}, { first: true });
      Object.assign(mine, { mark: life.mark, waits: false });
      if (latest === mine) follow(life);
    } catch (error) {
      mine.waits = false;
      if (latest === mine) tell(`STOP of ${at} FAILED: ${error.message}`, true);
    }
  }

  function follow(life) {
    if (latest === null || latest.mark !== life.mark) return;
    const { text, ended, good } = fate(life);
    const failed = ended && !good;
    const why = life.explanation ? ` (${life.explanation})` : "";
    tell(`STOP of ${latest.at}${failed ? " FAILED" : ""}: ${text}${why}`, failed);
    if (ended && good) timer = setTimeout(() => tell("", false), SHOWN);
  }

  // What the button says of itself: it can be pressed without a link too, and the outcome says why nothing was sent.
  function permit() {
    const { live, state } = store;
    const lost = may() && (!live.is || (state !== null && !state.controller.connected));
    button.disabled = !may();
    button.dataset.reach = lost ? "no" : "yes";
    show(byId("stop-key"), may() && !lost);
    show(byId("stop-both"), may() && !lost);
    show(byId("stop-not"), !may());
    show(byId("stop-lost"), lost);
  }

  store.on("lives", follow);
  store.on("state live", permit);
  store.on("live", () => {
    if (latest?.waits && !store.live.is) tell(`STOP of ${latest.at}: NO ANSWER from the daemon yet`, true);
  });
  button.addEventListener("click", press);
  addEventListener(
    "keydown",
    (event) => {
      if (!isStopKey(event)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (!event.repeat) press();
    },
    { capture: true },
  );
}

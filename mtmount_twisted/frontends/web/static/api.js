// Speaks with the daemon's API: one function for each request of the page.
//
// It touches the network by http.js, timers and, for the token, sessionStorage: a token leaves with its tab.

import { ApiError, ask as askDaemon } from "./http.js";
import { NO_CHANNEL, PLOTTERS, READERS, Slot } from "./slots.js";
import { after } from "./timers.js";

export { ApiError } from "./http.js";

const TOKEN = "mtmount-token";
const SOON = 2000; // ms in which a healthy daemon responds
const MOST_TRIES = 8; // to read the journal or the telemetry
const MOMENT_TRIES = 3; // to read a moment: then the page says that it waits
const AFTER_STOP = 1000; // ms until a read that STOP cancelled is repeated

// Called when the daemon may be gone: a request that changes something has no response soon, or any request has none at
// all.
let doubted = () => {};
export const onDoubt = (listener) => (doubted = listener);

export const keepToken = (token) => sessionStorage.setItem(TOKEN, token);
export const dropToken = () => sessionStorage.removeItem(TOKEN);
export const getToken = () => sessionStorage.getItem(TOKEN);
export const hasToken = () => getToken() !== null;

const pause = (time) => new Promise((resolve) => after(time, resolve));

async function ask(method, path, options) {
  for (;;) {
    try {
      return await askOnce(method, path, options);
    } catch (error) {
      if (!error.gaveWay || method !== "GET") throw error;
    }
    await pause(AFTER_STOP);
  }
}

async function askOnce(method, path, options) {
  const cancel = method === "GET" ? () => {} : after(SOON, () => doubted());
  try {
    return await askDaemon(method, path, getToken(), options);
  } catch (error) {
    if (error.status === 0 && !error.gaveWay) doubted();
    throw error;
  } finally {
    cancel();
  }
}

// Not repeated after a STOP that cancelled it: the STOP itself shows whether the daemon responds.
export const probeState = () => askOnce("GET", "api/v1/state", { patience: SOON });
export const getCatalogue = () => ask("GET", "api/v1/catalogue");
export const getLife = (id) => ask("GET", `api/v1/commands/${encodeURIComponent(id)}`);
export const takeCommand = () => ask("POST", "api/v1/lease", { value: { take: true } });
export const requestCommand = () => ask("POST", "api/v1/lease", { value: {} });
export const grantCommand = (name) => ask("POST", "api/v1/lease", { value: { grant: name } });
export const giveUpCommand = () => ask("DELETE", "api/v1/lease");
// The mount as it was at a time.
export const getMoment = (at) => askPatiently(`api/v1/telemetry?${new URLSearchParams({ at })}`, MOMENT_TRIES);
export const getSlews = (query) => askInTurn(READERS, "api/v1/slews", query);
export const getHistory = (query) => askInTurn(PLOTTERS, "api/v1/telemetry/history", query);
export const getSignals = () => ask("GET", "api/v1/telemetry/signals");
export const getAcks = () => ask("GET", "api/v1/acks");

// Wait for the turn to read the journal, or the telemetry. The disk may be slow, so only one such request at a time uses a
// connection of the browser. onWait(why) is called while another tab has the turn.
const takeTurn = (kind, onWait) =>
  new Promise((resolve, reject) => {
    const denied = (why) => (why === NO_CHANNEL ? reject(new ApiError(0, why)) : onWait(why));
    const slot = new Slot({ granted: () => resolve(slot), denied }, kind);
    slot.claim();
  });

export const getMessages = (query, onWait) => askInTurn(READERS, "api/v1/messages", query, onWait);

async function askInTurn(kind, path, query, onWait = () => {}) {
  const turn = await takeTurn(kind, onWait);
  try {
    return await askPatiently(`${path}?${new URLSearchParams(query)}`);
  } finally {
    turn.release();
  }
}

// The daemon limits one user's queries, and another browser may have some: then try again a little later.
async function askPatiently(path, most = MOST_TRIES) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask("GET", path);
    } catch (error) {
      if (error.status !== 429 || tries === most) throw error;
      await pause(tries * 200 * (1 + Math.random()));
    }
  }
}

// Ask what the daemon and the mount would answer to a command, which is not sent.
export const checkCommand = (command, parameters) =>
  ask("POST", "api/v1/commands", { value: { command, parameters, validate: true } });

// A kept connection may close just as it is used. The request is then repeated; its idempotency key prevents a second
// execution.
export async function postCommand(command, parameters, key, first) {
  const options = { value: { command, parameters }, headers: { "Idempotency-Key": key }, first };
  const send = () => ask("POST", "api/v1/commands", options);
  try {
    return await send();
  } catch (error) {
    if (error.status !== 0 || error.late || error.gaveWay) throw error;
    return send();
  }
}

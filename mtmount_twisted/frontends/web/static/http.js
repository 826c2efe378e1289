// Sends one HTTP request to the daemon and returns the response or its error. It runs in a page and in a worker.
//
// It touches the network, and timers. STOP cancels each request that waits for its response (room.js), unless the
// request is `first`. A token is sent in the Authorization header, never in a URL or a cookie.

import { givesWay, STOP_FIRST } from "./room.js";
import { after } from "./timers.js";

export const PATIENCE = 10_000; // ms until a request counts as failed

// The daemon's error response; status 0 if there is no response.
export class ApiError extends Error {
  constructor(status, title, body = {}) {
    super(title);
    this.status = status;
    this.body = body;
    this.faults = Array.isArray(body.faults) ? body.faults : [];
  }

  // Whether the same request may succeed later: no response, or the daemon was busy.
  get passes() {
    return [0, 429, 503].includes(this.status);
  }
}

// Send a request, with the token if it is not null. The URL is relative to this module, so that it works below any path.
// `credentials` keeps its default, although there are none: without credentials a browser opens further connections.
export async function request(path, token, options = {}) {
  const headers = new Headers(options.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  return fetch(new URL(`../${path}`, import.meta.url), {
    cache: "no-store",
    redirect: "error",
    ...options,
    headers,
  });
}

// The JSON of a response, {} if it has none; throws if the connection ends before the response does.
async function body(response) {
  try {
    return (await response.json()) ?? {};
  } catch (error) {
    if (error.name !== "SyntaxError") throw error;
    return {};
  }
}

// Return the error of a response.
export async function failure(response) {
  const said = await body(response).catch(() => ({}));
  return new ApiError(response.status, said.error ?? `the daemon answered ${response.status}`, said);
}

// Request JSON; send `value` as JSON unless it is undefined. Throw ApiError, with `late` if no response came in time, or
// `gaveWay` if STOP cancelled the request.
export async function ask(method, path, token, { value, headers = {}, patience = PATIENCE, first = false } = {}) {
  const abort = new AbortController();
  const cancel = after(patience, () => abort.abort(new DOMException("no answer in time", "TimeoutError")));
  const options = { method, headers, signal: abort.signal };
  if (value !== undefined) {
    options.body = JSON.stringify(value);
    options.headers = { ...headers, "Content-Type": "application/json" };
  }
  const ended = first ? () => {} : givesWay(abort);
  try {
    const response = await request(path, token, options);
    if (!response.ok) throw await failure(response);
    return await body(response);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const { aborted, reason } = abort.signal;
    const gaveWay = reason === STOP_FIRST;
    const late = aborted && !gaveWay;
    const why = late ? `no answer within ${patience / 1000} s` : gaveWay ? reason.message : "the daemon can't be reached";
    throw Object.assign(new ApiError(0, why), { late, gaveWay });
  } finally {
    cancel();
    ended();
  }
}

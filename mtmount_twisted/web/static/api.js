// Speaks with the daemon's API: one function per thing that the page asks for.
//
// It touches the network and, for the token, sessionStorage: a token leaves with its tab, travels in the
// Authorization header and stands in no URL and no cookie.

const TOKEN = "mtmount-token";
const PATIENCE = 10_000; // ms until a request counts as failed
const SOON = 2000; // ms in which a daemon that is well has answered

// What the daemon answered instead of what was asked for; status 0 if it did not answer.
export class ApiError extends Error {
  constructor(status, title, body = {}) {
    super(title);
    this.status = status;
    this.body = body;
    this.faults = Array.isArray(body.faults) ? body.faults : [];
  }
}

// Whoever is to know that the daemon may be gone: a request that changes something had no answer soon, or any
// request had none at all.
let doubted = () => {};
export const onDoubt = (listener) => (doubted = listener);

export const keepToken = (token) => sessionStorage.setItem(TOKEN, token);
export const dropToken = () => sessionStorage.removeItem(TOKEN);
export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

// A request with the token, if there is one; relative to the page, so that it works below any path.
// It is not sent without credentials, though there are none: a browser would open more connections for that.
export async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  const token = sessionStorage.getItem(TOKEN);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  return fetch(new URL(path, document.baseURI), {
    cache: "no-store",
    redirect: "error",
    ...options,
    headers,
  });
}

async function body(response) {
  try {
    return (await response.json()) ?? {};
  } catch {
    return {};
  }
}

// The error that a response stands for.
export async function failure(response) {
  const said = await body(response);
  return new ApiError(response.status, said.error ?? `the daemon answered ${response.status}`, said);
}

async function ask(method, path, value, headers = {}, patience = PATIENCE) {
  const options = { method, headers, signal: AbortSignal.timeout(patience) };
  if (value !== undefined) {
    options.body = JSON.stringify(value);
    options.headers = { ...headers, "Content-Type": "application/json" };
  }
  const slow = method === "GET" ? null : setTimeout(() => doubted(), SOON);
  let response;
  try {
    response = await request(path, options);
  } catch (error) {
    doubted();
    const late = error.name === "TimeoutError";
    const why = late ? `no answer within ${patience / 1000} s` : "the daemon can't be reached";
    throw Object.assign(new ApiError(0, why), { late });
  } finally {
    clearTimeout(slow);
  }
  if (!response.ok) throw await failure(response);
  return body(response);
}

export const getState = () => ask("GET", "api/v1/state");
export const probeState = () => ask("GET", "api/v1/state", undefined, {}, SOON);
export const getCatalogue = () => ask("GET", "api/v1/catalogue");
export const getLife = (id) => ask("GET", `api/v1/commands/${encodeURIComponent(id)}`);
export const takeCommand = () => ask("POST", "api/v1/lease", { take: true });
export const requestCommand = () => ask("POST", "api/v1/lease", {});
export const grantCommand = (name) => ask("POST", "api/v1/lease", { grant: name });
export const giveUpCommand = () => ask("DELETE", "api/v1/lease");
export const getMessages = (query) => ask("GET", `api/v1/messages?${new URLSearchParams(query)}`);

// A connection that was kept may end just as it is used: then it is sent once more, and with the same key it
// is not done twice.
export async function postCommand(command, parameters, key) {
  const send = () => ask("POST", "api/v1/commands", { command, parameters }, { "Idempotency-Key": key });
  try {
    return await send();
  } catch (error) {
    if (error.status !== 0 || error.late) throw error;
    return send();
  }
}

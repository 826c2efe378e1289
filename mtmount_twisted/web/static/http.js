// Speaks HTTP with the daemon: one request, its answer or its error. It runs in a page and in a worker.
//
// It touches the network alone. A token travels in the Authorization header and stands in no URL and no cookie.

export const PATIENCE = 10_000; // ms until a request counts as failed

// What the daemon answered instead of what was asked for; status 0 if it did not answer.
export class ApiError extends Error {
  constructor(status, title, body = {}) {
    super(title);
    this.status = status;
    this.body = body;
    this.faults = Array.isArray(body.faults) ? body.faults : [];
  }
}

// A request with the token, if it is not null; relative to this module, so that it works below any path.
// It is not sent without credentials, though there are none: a browser would open more connections for that.
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

// Ask for JSON; a value that is not undefined is sent as JSON. Throws ApiError, with `late` if no answer came in time.
export async function ask(method, path, token, { value, headers = {}, patience = PATIENCE } = {}) {
  const options = { method, headers, signal: AbortSignal.timeout(patience) };
  if (value !== undefined) {
    options.body = JSON.stringify(value);
    options.headers = { ...headers, "Content-Type": "application/json" };
  }
  let response;
  try {
    response = await request(path, token, options);
  } catch (error) {
    const late = error.name === "TimeoutError";
    const why = late ? `no answer within ${patience / 1000} s` : "the daemon can't be reached";
    throw Object.assign(new ApiError(0, why), { late });
  }
  if (!response.ok) throw await failure(response);
  return body(response);
}

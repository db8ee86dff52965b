// The API client. It holds the token (in sessionStorage: gone with the tab, never in a URL or a
// cookie), turns every failure into an `ApiError` and tells a listener when the daemon cannot be
// reached and when it can again. It retries nothing: views decide.

import { encode } from "./router.js";

const TOKEN_KEY = "bartizan.token";
const TIMEOUT_MS = 20_000;
/** The daemon judges the past again, and one question waits for the other. */
const EXPLAIN_TIMEOUT_MS = 60_000;

/** `status` is 0 when there was no answer. `parameter` names the wrong one, where the API says it. */
class ApiError extends Error {
  constructor(status, title, detail, parameter = null) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.parameter = parameter;
  }
}

export const events = new EventTarget();

export function token() {
  return sessionStorage.getItem(TOKEN_KEY);
}

export function set_token(value) {
  if (value === null) sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, value);
}

async function problem(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's HTML page, or nothing: the status line has to do.
  }
  const title = typeof body?.title === "string" ? body.title : `HTTP ${response.status}`;
  const detail = typeof body?.detail === "string" ? body.detail : "";
  return new ApiError(response.status, title, detail, body?.parameter ?? null);
}

/** One request with the token; the raw response when it is 2xx, otherwise an `ApiError`. */
export async function request(path, { method = "GET", body, headers = {}, signal } = {}) {
  const all = { accept: "application/json", ...headers, authorization: `Bearer ${token() ?? ""}` };
  if (body !== undefined) all["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method, headers: all, signal, cache: "no-store", credentials: "omit", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted && signal.reason?.name !== "TimeoutError") throw error;
    events.dispatchEvent(new Event("unreachable"));
    throw new ApiError(0, "No answer", "The daemon does not answer.");
  }
  if (response.ok) {
    events.dispatchEvent(new Event("reached"));
    return response;
  }
  const failure = await problem(response);
  if (response.status === 401) events.dispatchEvent(new Event("signed_out"));
  else if (response.status === 502 || response.status === 504) events.dispatchEvent(new Event("unreachable"));
  else events.dispatchEvent(new Event("reached"));
  throw failure;
}

async function json(path, { limit_ms = TIMEOUT_MS, ...options } = {}) {
  const limit = AbortSignal.timeout(limit_ms);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  const response = await request(path, { ...options, signal });
  try {
    return await response.json();
  } catch {
    throw new ApiError(response.status, "Unreadable answer", "The answer is not JSON.");
  }
}

function with_query(path, query) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? `${path}?${new URLSearchParams(kept)}` : path;
}

export function get_status(signal) {
  return json("/api/v1/status", { signal });
}

// Alerts and incidents are asked for and triaged alike; `kind` is their name in the API's paths.

export function get_cases(kind, query, signal) {
  return json(with_query(`/api/v1/${kind}`, query), { signal });
}

export function get_case(kind, id, signal) {
  return json(`/api/v1/${kind}/${encode(id)}`, { signal });
}

export function patch_case(kind, id, changes) {
  return json(`/api/v1/${kind}/${encode(id)}`, { method: "PATCH", body: changes });
}

/** One change to many, each as if alone; with `preview` it is only told what would become of them. */
export function triage_cases(kind, ids, change, preview) {
  return json(with_query(`/api/v1/${kind}/triage`, { preview: preview || null }), { method: "POST", body: { ids, change } });
}

export function get_timeline(id, query, signal) {
  return json(with_query(`/api/v1/incidents/${encode(id)}/timeline`, query), { signal });
}

/** Answers the incident that the others are merged into. */
export function merge_incidents(id, incidents, note) {
  return json(`/api/v1/incidents/${encode(id)}/merge`, { method: "POST", body: { incidents, note } });
}

/** Answers the new incident of these alerts. */
export function split_incident(id, alerts, note) {
  return json(`/api/v1/incidents/${encode(id)}/split`, { method: "POST", body: { alerts, note } });
}

export function get_events(query, signal) {
  return json(with_query("/api/v1/events", query), { signal });
}

export function get_explanation(query, signal) {
  return json(with_query("/api/v1/explain", query), { signal, limit_ms: EXPLAIN_TIMEOUT_MS });
}

export function get_held_back(query, signal) {
  return json(with_query("/api/v1/suppressed", query), { signal });
}

export function get_breakers() {
  return json("/api/v1/breakers");
}

/** The answer has no body. */
export function close_breaker(detector, tenant) {
  return request(`/api/v1/breakers/${encode(detector)}/close`, { method: "POST", body: { tenant }, signal: AbortSignal.timeout(TIMEOUT_MS) });
}

export function get_entity(type, value, query, signal) {
  return json(with_query(`/api/v1/entities/${encode(type)}/${encode(value)}`, query), { signal });
}

// What machines do.

export function get_actions(query, signal) {
  return json(with_query("/api/v1/actions", query), { signal });
}

export function get_action(id, signal) {
  return json(`/api/v1/actions/${encode(id)}`, { signal });
}

/** `step`: `approve`, `reject` or `undo`. Answers the action as it stands, or the one that undoes it. */
export function decide_action(id, step) {
  return json(`/api/v1/actions/${encode(id)}/${step}`, { method: "POST" });
}

export function get_response() {
  return json("/api/v1/response");
}

export function stop_response(reason) {
  return json("/api/v1/response/stop", { method: "POST", body: { reason } });
}

export function start_response() {
  return json("/api/v1/response/start", { method: "POST" });
}

export function get_audit(query, signal) {
  return json(with_query("/api/v1/audit", query), { signal });
}

// The list of alerts as the console holds it: pages from the API, merged with the live stream.
// Kept across views, so that going back is instant and an alert knows its neighbours.
// Bounded: past `ALERTS_MAX` nothing more is loaded and live alerts push out the oldest.

import { get_alerts } from "./api.js";

export const ALERTS_MAX = 2000;
const PAGE_ALERTS = 100;
const WITHIN_MS = { "1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000, "30d": 2_592_000_000 };

/** What the API filters by; `text` and `within` are the console's own. */
const API_FILTERS = ["severity", "status", "detector", "user", "ip", "session", "tenant"];
export const FILTERS = [...API_FILTERS, "within", "text"];
export const WITHIN = Object.keys(WITHIN_MS);

function api_query(query) {
  const out = Object.fromEntries(API_FILTERS.map((name) => [name, query[name]]));
  if (Object.hasOwn(WITHIN_MS, query.within ?? "")) {
    out.since = new Date(Date.now() - WITHIN_MS[query.within]).toISOString();
  }
  return out;
}

function listed(alert, list, value) {
  return !value || (Array.isArray(alert.entities?.[list]) && alert.entities[list].includes(value));
}

/** Whether the API would list this alert under `query` (but for `since`: what is live is recent). */
export function matches(alert, query) {
  return ["severity", "status", "detector", "tenant"].every((name) => !query[name] || alert[name] === query[name])
    && listed(alert, "users", query.user) && listed(alert, "ips", query.ip) && listed(alert, "sessions", query.session);
}

/** The local text search: over what the row shows and whom the alert names. */
export function has_text(alert, text) {
  if (!text) return true;
  const where = [alert.title, alert.reason, alert.detector, alert.id, alert.assignee, ...Object.values(alert.entities ?? {}).flat()];
  const wanted = text.toLowerCase();
  return where.some((part) => typeof part === "string" && part.toLowerCase().includes(wanted));
}

/** Event `change` after anything that a view of the list would show differently. */
export class AlertFeed extends EventTarget {
  items = [];
  /** Ids that arrived live since the list was last looked at from its top. */
  fresh = new Set();
  cursor = null;
  loading = false;
  error = null;
  #key = null;
  #query = {};
  #abort = null;

  /** Shows the list for `query`; reads it again only when the query is another one. */
  open(query) {
    const key = JSON.stringify(API_FILTERS.concat("within").map((name) => query[name] ?? ""));
    if (key === this.#key && !this.error) return;
    this.#key = key;
    this.#query = query;
    this.items = [];
    this.reload();
  }

  reload() {
    if (this.#key === null) return Promise.resolve();
    this.#abort?.abort();
    this.cursor = null;
    return this.#load(null);
  }

  load_more() {
    if (!this.loading && this.cursor && this.items.length < ALERTS_MAX) return this.#load(this.cursor);
    return Promise.resolve();
  }

  /** An alert off the stream. True if it is new to the list. */
  take(alert) {
    if (this.#key === null) return false;
    const known = this.items.findIndex((item) => item.id === alert.id);
    if (known >= 0) {
      if ((alert.version ?? 0) >= (this.items[known].version ?? 0)) this.items[known] = { ...this.items[known], ...alert };
    } else if (matches(alert, this.#query)) {
      this.items = [alert, ...this.items].slice(0, ALERTS_MAX);
      this.fresh.add(alert.id);
    }
    this.#changed();
    return known < 0;
  }

  /** The ids before (newer) and after (older) `id` in the list. */
  neighbours(id) {
    const at = this.items.findIndex((item) => item.id === id);
    return at < 0 ? {} : { newer: this.items[at - 1]?.id, older: this.items[at + 1]?.id };
  }

  clear() {
    this.#abort?.abort();
    this.#key = null;
    this.items = [];
    this.fresh.clear();
    this.cursor = null;
    this.error = null;
  }

  async #load(cursor) {
    const abort = new AbortController();
    this.#abort = abort;
    this.loading = true;
    this.error = null;
    this.#changed();
    try {
      const page = await get_alerts({ ...api_query(this.#query), limit: PAGE_ALERTS, cursor }, abort.signal);
      if (abort.signal.aborted) return;
      const items = Array.isArray(page.items) ? page.items : [];
      this.items = cursor ? append_new(this.items, items) : items;
      this.cursor = page.next_cursor ?? null;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.error = error;
    }
    this.loading = false;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function append_new(items, more) {
  const known = new Set(items.map((item) => item.id));
  return items.concat(more.filter((item) => !known.has(item.id))).slice(0, ALERTS_MAX);
}

// A list of alerts or incidents as the console holds it: pages from the API, merged with what is live.
// Kept across views, so that going back is instant and one of them knows its neighbours.
// Bounded: past `ITEMS_MAX` nothing more is loaded and live ones push out the oldest.

import { get_cases } from "./api.js";

export const ITEMS_MAX = 2000;
const PAGE_ITEMS = 100;
const WITHIN_MS = { "1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000, "30d": 2_592_000_000 };
/** The newest page is read again no sooner than this after it was. */
const REFRESH_MS_MIN = 3000;
/** A burst of alerts is one reason to do so. */
const BURST_MS = 300;

/** What the API filters by; `text` and `within` are the console's own. */
const API_FILTERS = ["severity", "status", "detector", "user", "ip", "session", "device", "tenant"];
export const FILTERS = [...API_FILTERS, "within", "text"];
export const WITHIN = Object.keys(WITHIN_MS);

/** Where the time `within`, such as `24h`, begins; undefined for any time. */
export function since_of(within) {
  return Object.hasOwn(WITHIN_MS, within ?? "") ? new Date(Date.now() - WITHIN_MS[within]).toISOString() : undefined;
}

function api_query(query) {
  return { ...Object.fromEntries(API_FILTERS.map((name) => [name, query[name]])), since: since_of(query.within) };
}

/** An alert has one detector, an incident those of its alerts. */
function detectors_of(item) {
  return item.detectors ? Object.keys(item.detectors) : [item.detector];
}

function listed(item, list, value) {
  return !value || (Array.isArray(item.entities?.[list]) && item.entities[list].includes(value));
}

/** Whether the API would list this one under `query` (but for `since`: what is live is recent). */
export function matches(item, query) {
  return ["severity", "status", "tenant"].every((name) => !query[name] || item[name] === query[name])
    && (!query.detector || detectors_of(item).includes(query.detector))
    && listed(item, "users", query.user) && listed(item, "ips", query.ip) && listed(item, "sessions", query.session);
}

/** The local text search: over what the row shows and whom it names. */
export function has_text(item, text) {
  if (!text) return true;
  const where = [item.title, item.reason, item.summary, ...detectors_of(item), item.id, item.assignee, ...Object.values(item.entities ?? {}).flat()];
  const wanted = text.toLowerCase();
  return where.some((part) => typeof part === "string" && part.toLowerCase().includes(wanted));
}

/** Event `change` after anything that a view of the list would show differently. */
export class CaseFeed extends EventTarget {
  items = [];
  /** Ids that arrived live since the list was last looked at from its top. */
  fresh = new Set();
  cursor = null;
  loading = false;
  error = null;
  #kind;
  #key = null;
  #query = {};
  #abort = new AbortController();
  #watched = false;
  #stale = false;
  #timer = null;
  #read_ms = 0;

  /** `kind`: `alerts` or `incidents`. */
  constructor(kind) {
    super();
    this.#kind = kind;
  }

  /** Shows the list for `query`; reads it again only when the query is another one. */
  open(query) {
    this.#watched = true;
    const key = JSON.stringify(API_FILTERS.concat("within").map((name) => query[name] ?? ""));
    if (key === this.#key && !this.error) {
      if (this.#stale) this.stir();
      return;
    }
    this.#key = key;
    this.#query = query;
    this.items = [];
    this.reload();
  }

  /** Nobody looks at the list: what changes is read when somebody does. */
  leave() {
    this.#watched = false;
  }

  reload() {
    if (this.#key === null) return Promise.resolve();
    this.#start_over();
    return this.#load(null);
  }

  load_more() {
    if (!this.loading && this.cursor && this.items.length < ITEMS_MAX) return this.#load(this.cursor);
    return Promise.resolve();
  }

  /** One off the stream, or as it is after it was triaged. */
  take(item) {
    if (this.#key === null) return;
    const known = this.items.findIndex((other) => other.id === item.id);
    if (known >= 0) {
      if ((item.version ?? 0) >= (this.items[known].version ?? 0)) this.items[known] = item;
    } else if (matches(item, this.#query)) {
      this.items = [item, ...this.items].slice(0, ITEMS_MAX);
      this.fresh.add(item.id);
    }
    this.#changed();
  }

  /** Something in the list is not what it was: soon its newest page is read again. */
  stir() {
    if (this.#key === null) return;
    this.#stale = true;
    if (!this.#watched || this.#timer !== null) return;
    const wait = Math.max(BURST_MS, this.#read_ms + REFRESH_MS_MIN - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#refresh(this.#abort.signal);
    }, wait);
  }

  /** The ids before (newer) and after (older) `id` in the list. */
  neighbours(id) {
    const at = this.items.findIndex((item) => item.id === id);
    return at < 0 ? {} : { newer: this.items[at - 1]?.id, older: this.items[at + 1]?.id };
  }

  clear() {
    this.#start_over();
    this.#key = null;
    this.items = [];
    this.fresh.clear();
    this.loading = false;
    this.error = null;
  }

  #start_over() {
    this.#abort.abort();
    this.#abort = new AbortController();
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#stale = false;
    this.cursor = null;
  }

  async #page(cursor, signal) {
    const page = await get_cases(this.#kind, { ...api_query(this.#query), limit: PAGE_ITEMS, cursor }, signal);
    return { items: Array.isArray(page.items) ? page.items : [], next: page.next_cursor ?? null };
  }

  async #load(cursor) {
    const { signal } = this.#abort;
    this.loading = true;
    this.error = null;
    this.#changed();
    try {
      const page = await this.#page(cursor, signal);
      if (signal.aborted) return;
      this.items = cursor ? append_new(this.items, page.items) : this.#kept(page.items);
      this.cursor = page.next;
      if (!cursor) this.#read_ms = performance.now();
    } catch (error) {
      if (signal.aborted) return;
      this.error = error;
    }
    this.loading = false;
    this.#changed();
  }

  async #refresh(signal) {
    if (!this.#watched || signal.aborted) return;
    this.#read_ms = performance.now();
    if (this.loading) return void this.stir();
    this.#stale = false;
    try {
      const page = await this.#page(null, signal);
      if (signal.aborted) return;
      this.#merge(page);
      this.#changed();
    } catch {
      // That the daemon does not answer is said elsewhere; the next alert is the next reason to ask.
      this.#stale = true;
    }
  }

  /** Puts the newest page before what is older; what is not in it although it would be is not listed any more. */
  #merge({ items, next }) {
    const before = new Set(this.items.map((item) => item.id));
    for (const { id } of items) if (!before.has(id)) this.fresh.add(id);
    const end_ms = next ? Date.parse(items.at(-1)?.updated_time) : 0;
    const older = this.items.filter((item) => Date.parse(item.updated_time) <= end_ms);
    this.items = append_new(this.#kept(items), older);
    if (this.items.length === items.length) this.cursor = next;
  }

  /** What was read, but where it says nothing new what is there already: its row stays as it is. */
  #kept(items) {
    const before = new Map(this.items.map((item) => [item.id, item]));
    return items.map((item) => {
      const known = before.get(item.id);
      return known && JSON.stringify(known) === JSON.stringify(item) ? known : item;
    });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function append_new(items, more) {
  const known = new Set(items.map((item) => item.id));
  return items.concat(more.filter((item) => !known.has(item.id))).slice(0, ITEMS_MAX);
}

// A list of alerts or incidents: filters (kept in the address), rows, paging, live updates, and triage of
// those that are ticked.

import { triage_many } from "./bulk.js";
import { el, fill, row, table, untrusted } from "./dom.js";
import { FILTERS, ITEMS_MAX, has_text } from "./feed.js";
import { filter_bar } from "./filters.js";
import { count, words } from "./format.js";
import { SEVERITIES, status_el } from "./labels.js";
import { empty, failure, loading } from "./parts.js";
import { may_triage } from "./roles.js";
import { CASES, link, parse, replace_filters } from "./router.js";
import { Ticks } from "./ticks.js";

const RENDER_PAUSE_MS = 200;
/** Rows do not move while the mouse does: a click must hit what was aimed at. */
const POINTER_REST_MS = 1200;
const TYPING_REST_MS = 350;

/** Title and reason, of an alert or an incident; `reason` may be left out. */
export function title_cell(kind, item, reason) {
  return [el("a.title", { href: link([kind, item.id]), "data-move": "" }, untrusted(item.title ?? item.id, 200)), reason ? el("div.reason", {}, untrusted(reason, 260)) : null];
}

export function status_cell(item) {
  return [status_el(item), item.assignee ? el("div.more", {}, untrusted(item.assignee, 40)) : null];
}

/** Whose it is, for those who see several tenants. */
export function tenant_el(item, app) {
  return !app.caller?.tenant && item.tenant && item.tenant !== "default" ? el("div.more", {}, untrusted(item.tenant, 40)) : null;
}

export class CasesView {
  #list;
  #app;
  #feed;
  #query;
  #columns;
  #ticks = null;
  #rows = new Map();
  #timer = null;
  #pointer_ms = 0;
  #stop = new AbortController();

  /** `list`: `kind` in the API's paths, `columns`, and `cells(item, app)` of a row. */
  constructor(list, main, route, app) {
    this.#list = list;
    this.#app = app;
    this.#feed = app.feeds[list.kind];
    this.#query = only_filters(route.query);
    if (may_triage(app.caller)) this.#ticks = new Ticks(["Triage …", (ids) => this.#triage(ids)]);
    this.#columns = this.#ticks ? [this.#ticks.column, ...list.columns] : list.columns;
    this.bar = filter_bar(list.kind, this.#query, app);
    this.summary = el("p.summary", {});
    this.body = el("tbody", { role: "rowgroup" });
    this.table = table(`${words(list.kind)}, newest first`, this.#columns, [], { class: `cases ${list.kind} cards` });
    this.table.querySelector("tbody").replaceWith(this.body);
    this.foot = el("div.foot", {});
    this.pill = el("button.pill", { type: "button", hidden: true, onclick: () => this.#to_top() });
    fill(main, el("h1.away", {}, words(list.kind)), this.bar, this.pill, this.summary, this.table, this.foot, this.#ticks?.bar);
    this.#listen();
    this.#feed.open(this.#query);
    this.#render();
  }

  #listen() {
    const { signal } = this.#stop;
    this.#feed.addEventListener("change", () => this.#later(), { signal });
    this.body.addEventListener("pointermove", () => { this.#pointer_ms = performance.now(); }, { signal });
    addEventListener("scroll", () => this.#seen(), { signal, passive: true });
    let typing = null;
    this.bar.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#filter(), TYPING_REST_MS);
    }, { signal });
    this.bar.addEventListener("click", (event) => {
      if (event.target !== this.bar.elements.clear) return;
      for (const name of FILTERS) if (this.bar.elements[name]) this.bar.elements[name].value = "";
      this.#filter();
    }, { signal });
    signal.addEventListener("abort", () => clearTimeout(typing));
  }

  /** The address changed while this view was shown (back, or a link): take its filters. */
  update(route) {
    this.#query = only_filters(route.query);
    const bar = filter_bar(this.#list.kind, this.#query, this.#app);
    this.bar.replaceChildren(...bar.childNodes);
    this.#feed.open(this.#query);
    this.#render();
  }

  unmount() {
    clearTimeout(this.#timer);
    this.#stop.abort();
    this.#feed.leave();
  }

  /** The element that `/` focuses. */
  get filter() {
    return this.bar.elements.text;
  }

  focus_triage() {
    this.#ticks?.start();
  }

  #triage(ids) {
    const items = this.#feed.items.filter((item) => ids.includes(item.id));
    triage_many(this.#list.kind, items, this.#app.caller, (changed) => {
      this.#ticks.clear();
      this.#feed.reload();
      this.#app.announce(`${count(changed)} changed`);
    });
  }

  #filter() {
    const values = [...new FormData(this.bar)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value !== "");
    this.#query = { ...Object.fromEntries(values), ...(this.#query.tenant ? { tenant: this.#query.tenant } : {}) };
    replace_filters(this.#list.kind, this.#query);
    this.#app.seen(parse(location.hash));
    this.#feed.open(this.#query);
    this.#render();
  }

  // A burst of what is live is drawn once.
  #later() {
    if (this.#timer !== null) return;
    const rest = POINTER_REST_MS - (performance.now() - this.#pointer_ms);
    const wait = this.#pointer_ms > 0 && rest > 0 && !this.#feed.loading ? rest : RENDER_PAUSE_MS;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#render();
    }, wait);
  }

  #render() {
    const shown = this.#feed.items.filter((item) => has_text(item, this.#query.text));
    this.#reconcile(shown);
    this.#ticks?.show(shown.map((item) => item.id));
    this.table.hidden = shown.length === 0;
    fill(this.summary, this.#summary(shown));
    fill(this.foot, this.#footer(shown));
    this.#seen();
  }

  // Moves only rows that have to move: focus, selection and scroll position stay.
  #reconcile(shown) {
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr") : null;
    const refocus = shown.find((item) => this.#rows.get(item.id)?.node === focused && focused)?.id;
    const rows = new Map();
    for (const item of shown) {
      const old = this.#rows.get(item.id);
      const node = old?.item === item ? old.node : this.#row(item);
      if (old?.item !== item && (old || this.#feed.fresh.has(item.id))) node.classList.add("fresh");
      rows.set(item.id, { item, node });
    }
    const wanted = new Set([...rows.values()].map(({ node }) => node));
    for (const node of [...this.body.children]) if (!wanted.has(node)) node.remove();
    let at = this.body.firstChild;
    for (const { node } of rows.values()) {
      if (node === at) at = at.nextSibling;
      else this.body.insertBefore(node, at);
    }
    this.#rows = rows;
    if (refocus !== undefined && !this.body.contains(document.activeElement)) rows.get(refocus).node.querySelector("a").focus();
  }

  #row(item) {
    const { kind, cells } = this.#list;
    const href = link([kind, item.id]);
    const open = (event) => {
      if (event.target.closest("a, .c-tick") || event.button !== 0 || String(getSelection())) return;
      location.hash = href;
    };
    const tick = this.#ticks ? [this.#ticks.cell(item.id, item.title)] : [];
    const edge = SEVERITIES.includes(item.severity) ? item.severity : "info";
    return row(this.#columns, [...tick, ...cells(item, this.#app)], { class: `case ${CASES[kind]} edge-${edge}`, onclick: open });
  }

  #summary(shown) {
    const { length } = this.#feed.items;
    if (!length) return "";
    const all = this.#query.text ? `${count(shown.length)} of ${count(length)} loaded` : `${count(shown.length)} loaded`;
    const parts = SEVERITIES.map((severity) => [severity, shown.filter((item) => item.severity === severity).length])
      .filter(([, n]) => n > 0)
      .map(([severity, n]) => el("a.tally", { href: link([this.#list.kind], { ...parse(location.hash).query, severity }) },
        el(`span.dot.dot-${severity}`, { "aria-hidden": "true" }), `${count(n)} ${severity}`));
    return [el("span", {}, all), parts];
  }

  #footer(shown) {
    const feed = this.#feed;
    const { kind } = this.#list;
    if (feed.error) return failure(feed.error, () => feed.reload());
    if (feed.loading) return loading();
    const more = feed.cursor && feed.items.length < ITEMS_MAX
      ? el("button", { type: "button", onclick: () => feed.load_more() }, `Load older ${kind}`) : null;
    if (shown.length) return more ?? el("p.more", {}, feed.cursor ? `${count(ITEMS_MAX)} ${kind} are loaded, the most this page holds. Narrow the filters to see older ones.` : "These are all.");
    if (Object.keys(this.#query).length) return [empty("Nothing matches these filters", "The text search looks only through what is loaded."), more];
    return empty(`No ${kind}`, "Bartizan is watching. What it reads and how far it is: ", el("a", { href: link(["status"]) }, "status"), ".");
  }

  #seen() {
    const { fresh } = this.#feed;
    if (scrollY < 80) fresh.clear();
    this.pill.hidden = fresh.size === 0;
    if (fresh.size) fill(this.pill, `↑ ${count(fresh.size)} new`);
    this.#app.set_unseen(document.hidden ? fresh.size : 0);
  }

  #to_top() {
    scrollTo({ top: 0 });
    this.body.querySelector("a[data-move]")?.focus({ preventScroll: true });
  }
}

function only_filters(query) {
  return Object.fromEntries(FILTERS.filter((name) => query[name]).map((name) => [name, query[name]]));
}

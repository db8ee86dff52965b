// The list of alerts: filters (kept in the address), rows, paging, live updates.

import { el, fill, row, table, untrusted } from "./dom.js";
import { age_el, count, words } from "./format.js";
import { ALERTS_MAX, FILTERS, WITHIN, has_text } from "./feed.js";
import { DETECTORS, SEVERITIES, STATUSES, detector_el, severity_el, status_el } from "./labels.js";
import { plain } from "./visible.js";
import { empty, failure, loading } from "./parts.js";
import { link, parse, replace_filters } from "./router.js";

const COLUMNS = [
  { label: "Severity", class: "c-sev" }, { label: "Alert", class: "c-alert" }, { label: "Who", class: "c-who" },
  { label: "Detector", class: "c-detector" }, { label: "Events", class: "num c-count" },
  { label: "Last event", class: "c-age" }, { label: "Status", class: "c-status" },
];
const RENDER_PAUSE_MS = 200;
/** Rows do not move while the mouse does: a click must hit what was aimed at. */
const POINTER_REST_MS = 1200;
const TYPING_REST_MS = 350;

function select(name, label, options, value) {
  const known = options.includes(value) || !value ? options : [...options, value];
  return el("label", {}, el("span", {}, label), el("select", { name },
    el("option", { value: "" }, "any"),
    known.map((option) => el("option", { value: option, selected: option === value }, name === "within" ? `last ${option}` : plain(words(option), 60)))));
}

function input(name, label, value, props = {}) {
  return el("label", {}, el("span", {}, label), el("input", {
    name, value: value ?? "", type: "search", autocomplete: "off", spellcheck: "false", autocapitalize: "off", maxlength: 512, ...props,
  }));
}

/** On narrow screens the filters but for the search are folded behind this. */
function toggle(query) {
  const active = Object.keys(query).filter((name) => name !== "text").length;
  return el("button.toggle", { type: "button", "aria-expanded": "false", onclick: (event) => {
    const open = event.currentTarget.form.classList.toggle("open");
    event.currentTarget.setAttribute("aria-expanded", String(open));
  } }, active ? `Filters (${active})` : "Filters");
}

function filter_bar(query, app) {
  const ids = app.status?.detectors?.map((detector) => detector.id).filter((id) => typeof id === "string") ?? [];
  return el("form.filters", { role: "search", "aria-label": "Filter alerts", onsubmit: (event) => event.preventDefault() },
    input("text", "Search loaded", query.text, { placeholder: "title, reason, who …", "aria-keyshortcuts": "/", id: "filter" }),
    toggle(query),
    select("severity", "Severity", SEVERITIES, query.severity),
    select("status", "Status", STATUSES, query.status),
    select("detector", "Detector", ids.length ? ids : DETECTORS, query.detector),
    input("user", "User", query.user), input("ip", "Address", query.ip), input("session", "Session", query.session),
    select("within", "Time", WITHIN, query.within),
    el("button.quiet", { type: "button", name: "clear" }, "Clear"));
}

/** Whom to name first: what was hit, then who attacked, then the rest. */
function ranked(subjects) {
  const rank = (subject) => (subject.hit ? 0 : subject.role === "attacker" ? 1 : 2);
  return subjects.map((subject, i) => [rank(subject), i, subject]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((entry) => entry[2]);
}

function who(alert) {
  const subjects = ranked(Array.isArray(alert.subjects) ? alert.subjects : []).filter((subject) => subject?.type !== "network");
  const shown = subjects.slice(0, 2).map((subject) =>
    el("div.subject", { title: plain(`${subject.role ?? ""} ${subject.type}${subject.hit ? ", hit" : ""}`, 60) },
      el(`span.role.role-${subject.hit ? "hit" : subject.role === "attacker" ? "attacker" : "other"}`, { "aria-hidden": "true" }),
      el("span.away", {}, subject.hit ? "hit: " : `${plain(subject.role ?? "", 20)}: `),
      untrusted(subject.value, 64)));
  const more = subjects.length - shown.length;
  return [shown, more > 0 ? el("div.more", {}, `+ ${count(more)} more`) : null];
}

function alert_row(alert, app) {
  const href = link(["alerts", alert.id]);
  const tenant = !app.caller?.tenant && alert.tenant && alert.tenant !== "default" ? el("div.more", {}, untrusted(alert.tenant, 40)) : null;
  const open = (event) => {
    if (event.target.closest("a") || event.button !== 0 || String(getSelection())) return;
    location.hash = href;
  };
  return row(COLUMNS, [
    severity_el(alert.severity),
    [el("a.title", { href, "data-move": "" }, untrusted(alert.title ?? alert.id, 200)), el("div.reason", {}, untrusted(alert.reason ?? "", 260))],
    who(alert), [detector_el(alert.detector, true), tenant], count(alert.event_count), age_el(alert.last_event_time),
    [status_el(alert), alert.assignee ? el("div.more", {}, untrusted(alert.assignee, 40)) : null],
  ], { class: `alert edge-${SEVERITIES.includes(alert.severity) ? alert.severity : "info"}`, onclick: open });
}

export class AlertsView {
  title = "Alerts";
  #app;
  #query;
  #rows = new Map();
  #timer = null;
  #pointer_ms = 0;
  #stop = new AbortController();

  constructor(main, route, app) {
    this.#app = app;
    this.#query = only_filters(route.query);
    this.bar = filter_bar(this.#query, app);
    this.summary = el("p.summary", {});
    this.body = el("tbody", { role: "rowgroup" });
    this.table = table("Alerts, newest first", COLUMNS, [], { class: "alerts cards" });
    this.table.querySelector("tbody").replaceWith(this.body);
    this.foot = el("div.foot", {});
    this.pill = el("button.pill", { type: "button", hidden: true, onclick: () => this.#to_top() });
    fill(main, el("h1.away", {}, "Alerts"), this.bar, this.pill, this.summary, this.table, this.foot);
    this.#listen();
    app.feed.open(this.#query);
    this.#render();
  }

  #listen() {
    const { signal } = this.#stop;
    this.#app.feed.addEventListener("change", () => this.#later(), { signal });
    this.body.addEventListener("pointermove", () => { this.#pointer_ms = performance.now(); }, { signal });
    addEventListener("scroll", () => this.#seen(), { signal, passive: true });
    let typing = null;
    this.bar.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#filter(), TYPING_REST_MS);
    }, { signal });
    this.bar.elements.clear.addEventListener("click", () => {
      for (const name of FILTERS) if (this.bar.elements[name]) this.bar.elements[name].value = "";
      this.#filter();
    }, { signal });
    signal.addEventListener("abort", () => clearTimeout(typing));
  }

  /** The address changed while this view was shown (back, or a link): take its filters. */
  update(route) {
    this.#query = only_filters(route.query);
    const bar = filter_bar(this.#query, this.#app);
    this.bar.replaceChildren(...bar.childNodes);
    this.#app.feed.open(this.#query);
    this.#render();
  }

  unmount() {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }

  /** The element that `/` focuses. */
  get filter() {
    return this.bar.elements.text;
  }

  #filter() {
    const values = [...new FormData(this.bar)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value !== "");
    this.#query = { ...Object.fromEntries(values), ...(this.#query.tenant ? { tenant: this.#query.tenant } : {}) };
    replace_filters(this.#query);
    this.#app.list = location.hash;
    this.#app.feed.open(this.#query);
    this.#render();
  }

  // A burst of live alerts is drawn once.
  #later() {
    if (this.#timer !== null) return;
    const rest = POINTER_REST_MS - (performance.now() - this.#pointer_ms);
    const wait = this.#pointer_ms > 0 && rest > 0 && !this.#app.feed.loading ? rest : RENDER_PAUSE_MS;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#render();
    }, wait);
  }

  #render() {
    const { feed } = this.#app;
    const shown = feed.items.filter((alert) => has_text(alert, this.#query.text));
    this.#reconcile(shown);
    this.table.hidden = shown.length === 0;
    fill(this.summary, summary(shown, feed, this.#query));
    fill(this.foot, this.#footer(shown));
    this.#seen();
  }

  // Moves only rows that have to move: focus, selection and scroll position stay.
  #reconcile(shown) {
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr") : null;
    const refocus = shown.find((alert) => this.#rows.get(alert.id)?.node === focused && focused)?.id;
    const rows = new Map();
    for (const alert of shown) {
      const old = this.#rows.get(alert.id);
      const node = old?.alert === alert ? old.node : alert_row(alert, this.#app);
      if (old?.alert !== alert && (old || this.#app.feed.fresh.has(alert.id))) node.classList.add("fresh");
      rows.set(alert.id, { alert, node });
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

  #footer(shown) {
    const { feed } = this.#app;
    if (feed.error) return failure(feed.error, () => feed.reload());
    if (feed.loading) return loading();
    const more = feed.cursor && feed.items.length < ALERTS_MAX
      ? el("button", { type: "button", onclick: () => feed.load_more() }, "Load older alerts") : null;
    if (shown.length) return more ?? el("p.more", {}, feed.cursor ? `${count(ALERTS_MAX)} alerts are loaded, the most this page holds. Narrow the filters to see older ones.` : "These are all.");
    if (Object.keys(this.#query).length) return [empty("Nothing matches these filters", "The text search looks only through what is loaded."), more];
    return empty("No alerts", "Bartizan is watching. What it reads and how far it is: ", el("a", { href: link(["status"]) }, "status"), ".");
  }

  #seen() {
    const { fresh } = this.#app.feed;
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

function summary(shown, feed, query) {
  if (!feed.items.length) return "";
  const all = query.text ? `${count(shown.length)} of ${count(feed.items.length)} loaded` : `${count(shown.length)} loaded`;
  const parts = SEVERITIES.map((severity) => [severity, shown.filter((alert) => alert.severity === severity).length])
    .filter(([, n]) => n > 0)
    .map(([severity, n]) => el("a.tally", { href: link(["alerts"], { ...parse(location.hash).query, severity }) },
      el(`span.dot.dot-${severity}`, { "aria-hidden": "true" }), `${count(n)} ${severity}`));
  return [el("span", {}, all), parts];
}

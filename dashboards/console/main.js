// The console's composition: which view is shown, who is signed in, the live stream, the banner.

import * as api from "./api.js";
import { ActionView } from "./action.js";
import { ActionsView } from "./actions.js";
import { AlertView } from "./alert.js";
import { AlertsView } from "./alerts.js";
import { AuditView } from "./audit.js";
import { BlocksView } from "./blocks.js";
import { BreakerBar } from "./breakers.js";
import { close_dialogs } from "./dialog.js";
import { el, fill, untrusted } from "./dom.js";
import { EntityView } from "./entity.js";
import { CaseFeed } from "./feed.js";
import { count, refresh_ages, words } from "./format.js";
import { IncidentView } from "./incident.js";
import { IncidentsView } from "./incidents.js";
import { help_dialog, listen } from "./keys.js";
import { empty, failure, loading } from "./parts.js";
import { ResponseWatch } from "./response.js";
import { may_audit } from "./roles.js";
import { CASES, LISTS, link, parse } from "./router.js";
import { show_sign_in } from "./signin.js";
import { StatusView } from "./status.js";
import { AlertStream } from "./stream.js";
import { plain } from "./visible.js";

const AGES_MS = 5000;
/** Live alerts are spoken together, so that a burst is one sentence. */
const ANNOUNCE_MS = 1500;

const main = document.getElementById("main");
const bar = document.getElementById("bar");
const banner = document.getElementById("banner");
const live = document.getElementById("live");
const help = help_dialog();
// Made once: a bar drawn while the daemon is gone must not ask it for the picture.
const logo = el("img", { src: "/console/favicon.svg", alt: "", width: 22, height: 22 });

class LostView {
  title = "Not found";

  constructor(host) {
    fill(host, el("h1.away", {}, "Not found"), empty("There is no such page", el("a", { href: link(["incidents"]) }, "Incidents")));
  }

  unmount() {}
}

const VIEWS = { incidents: IncidentsView, incident: IncidentView, alerts: AlertsView, alert: AlertView, actions: ActionsView, action: ActionView,
  blocks: BlocksView, audit: AuditView, status: StatusView, entity: EntityView, lost: LostView };

/** Where one was: the lists with their filters and how far they were scrolled, the list or incident that was looked at
 * last, and what was opened from a list. */
function places() {
  return { lists: Object.fromEntries(Object.keys(LISTS).map((view) => [view, link([view])])), scrolls: {}, origin: { view: "incidents", href: link(["incidents"]) }, opened: null };
}

const app = {
  view: null,
  caller: null,
  status: null,
  feeds: { incidents: new CaseFeed("incidents"), alerts: new CaseFeed("alerts") },
  stream: new AlertStream(),
  unseen: 0,
  ...places(),
  /** Notes what is looked at, if one may want to come back to it. */
  seen: ({ view, params, query }) => {
    if (Object.hasOwn(LISTS, view)) {
      app.lists[view] = link([view], query);
      app.origin = { view, href: app.lists[view] };
    } else if (view === "incident") app.origin = { view, href: link(["incidents", ...params]) };
  },
  /** One level up from here. */
  up: () => {
    const list = (view) => ({ view, href: app.lists[view] });
    const { view } = app.route;
    const of_cases = Object.hasOwn(CASES, app.origin.view);
    const to = view === "incident" ? list("incidents") : view === "alert" && of_cases ? list("alerts") : view === "action" && of_cases ? list("actions") : app.origin;
    return { href: to.href, text: words(to.view) };
  },
  /** What to ask for: a token of one tenant may not name a tenant. */
  tenant_of: ({ tenant }) => (app.caller?.tenant ? undefined : tenant),
  announce: (text) => fill(live, text),
  set_title: (title) => {
    const unseen = app.unseen ? `(${count(app.unseen)}) ` : "";
    document.title = `${unseen}${plain(title, 80)} · Bartizan`;
  },
  set_unseen: (unseen) => {
    if (app.unseen === unseen) return;
    app.unseen = unseen;
    if (app.view) app.set_title(app.view.title);
  },
  set_status: (status) => {
    const changed = JSON.stringify(status.caller) !== JSON.stringify(app.caller);
    app.status = status;
    app.caller = status.caller ?? null;
    draw_health();
    if (changed) draw_bar();
  },
};

app.response = new ResponseWatch(document.getElementById("response"), app);
const breakers = new BreakerBar(document.getElementById("breakers"), app);

/** Which of the bar's links the present view belongs to. */
function section() {
  const view = app.route?.view === "entity" ? app.origin.view : app.route?.view;
  if (view === "blocks") return "actions";
  return Object.keys(LISTS).find((kind) => LISTS[kind] === view) ?? view;
}

function nav_link(name, text, key) {
  return el("a", { href: app.lists[name] ?? link([name]), "aria-current": section() === name ? "page" : null, "aria-keyshortcuts": key }, text);
}

function draw_bar() {
  if (!app.view) return void fill(bar);
  const who = app.caller ? el("span.who", { title: "signed in as" }, untrusted(app.caller.name ?? "", 40), el("span.tag", {}, untrusted(app.caller.role ?? "", 20))) : null;
  fill(bar,
    el("a.brand", { href: link(["incidents"]), "aria-label": "Bartizan" }, logo, el("span", {}, "Bartizan")),
    el("nav", { "aria-label": "Main" }, nav_link("incidents", "Incidents", "g i"), nav_link("alerts", "Alerts", "g a"), 
      nav_link("actions", ["Actions", el("span.badge", { id: "waiting" })], "g d"), may_audit(app.caller) ? nav_link("audit", "Audit") : null, nav_link("status", ["Status", el("span.badge", { id: "health" })], "g s")),
    el("span.gap", {}), el("span.stream", { id: "stream" }), who,
    el("button.quiet", { type: "button", title: "Keys (?)", "aria-label": "Keys", onclick: () => help.showModal() }, "?"),
    el("button.quiet", { type: "button", onclick: () => sign_out(null) }, "Sign out"));
  draw_stream();
  draw_health();
  draw_waiting();
}

function draw_stream() {
  const node = document.getElementById("stream");
  if (!node) return;
  const text = { live: "live", connecting: "connecting", off: "not live" }[app.stream.state];
  node.className = `stream stream-${app.stream.state}`;
  fill(node, text);
}

function draw_health() {
  const node = document.getElementById("health");
  const problems = Array.isArray(app.status?.health) ? app.status.health.length : 0;
  if (node) fill(node, problems ? [el("span", { "aria-hidden": "true" }, problems), el("span.away", {}, ` (${problems} health alerts)`)] : null);
}

function draw_waiting() {
  const node = document.getElementById("waiting");
  const waiting = app.response.state?.waiting ?? 0;
  if (node) fill(node, waiting ? [el("span", { "aria-hidden": "true" }, count(waiting)), el("span.away", {}, ` (${count(waiting)} wait for a person)`)] : null);
}

function show(route) {
  const in_list = Object.hasOwn(CASES, route.view);
  const same = app.view && app.route?.view === route.view && in_list;
  if (app.route) app.scrolls[app.route.view] = scrollY;
  close_dialogs();
  app.route = route;
  app.seen(route);
  if (same) return app.view.update(route);
  app.view?.unmount();
  app.view = new VIEWS[route.view](main, route, app);
  app.set_title(app.view.title);
  draw_bar();
  scrollTo(0, in_list ? app.scrolls[route.view] ?? 0 : 0);
  if (in_list && app.opened) focus_row(app.opened);
  else main.focus({ preventScroll: true });
  app.opened = Object.values(CASES).includes(route.view) ? link([section(), ...route.params]) : null;
}

/** Back in the list, the row of what one came from has the focus. */
function focus_row(href) {
  main.querySelector(`a[data-move][href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
}

function back() {
  if (!Object.hasOwn(CASES, app.route.view)) location.hash = app.up().href;
}

function search() {
  location.hash = app.lists[section()] ?? app.lists.incidents;
  setTimeout(() => app.view?.filter?.select());
}

function signed_in(status) {
  app.set_status(status);
  app.stream.start();
  show(parse(location.hash));
  app.response.load();
  breakers.load();
}

function sign_out(notice) {
  api.set_token(null);
  app.stream.stop();
  for (const feed of Object.values(app.feeds)) feed.clear();
  close_dialogs();
  app.view?.unmount();
  Object.assign(app, { view: null, caller: null, status: null, route: null, unseen: 0, ...places() });
  draw_bar();
  fill(banner);
  breakers.stop();
  app.response.stop();
  document.title = "Sign in · Bartizan";
  show_sign_in(main, notice, signed_in);
}

function draw_banner(gone) {
  if (!gone || !app.view) return void fill(banner);
  if (banner.firstChild) return;
  fill(banner, el("div.banner", {}, el("span", {}, "The daemon does not answer. What is shown may be old; trying again …"),
    el("button", { type: "button", onclick: retry }, "Try now")));
}

function retry() {
  app.stream.retry_now();
  app.view?.load?.();
}

function announce_live() {
  let waiting = [];
  let timer = null;
  return (alert) => {
    waiting.push(alert);
    timer ??= setTimeout(() => {
      const [first] = waiting;
      app.announce(waiting.length === 1 ? `New ${plain(first.severity, 20)} alert: ${plain(first.title, 160)}` : `${count(waiting.length)} new alerts`);
      waiting = [];
      timer = null;
    }, ANNOUNCE_MS);
  };
}

function start() {
  document.body.append(help);
  const announce = announce_live();
  app.stream.addEventListener("alert", ({ detail: { alert, opened } }) => {
    app.feeds.alerts.take(alert);
    // Of incidents nothing is sent, but they change with their alerts.
    app.feeds.incidents.stir();
    if (opened) announce(alert);
  });
  app.stream.addEventListener("resumed", () => {
    for (const feed of Object.values(app.feeds)) feed.reload();
    breakers.load();
    app.response.load();
    if (main.querySelector(".failure")) app.view?.load?.();
  });
  app.stream.addEventListener("state", draw_stream);
  app.response.addEventListener("change", draw_waiting);
  api.events.addEventListener("unreachable", () => draw_banner(true));
  api.events.addEventListener("reached", () => draw_banner(false));
  api.events.addEventListener("signed_out", () => { if (app.view || !main.querySelector(".sign-in")) sign_out("The session has ended: the token was revoked or has expired. Sign in again."); });
  addEventListener("hashchange", () => { if (app.view) show(parse(location.hash)); });
  addEventListener("online", retry);
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  listen(app, { back, search, help });
  setInterval(refresh_ages, AGES_MS);
  if (api.token()) resume();
  else sign_out(null);
}

/** After a reload: who the token belongs to is read again, as views depend on the role. */
function resume() {
  fill(main, loading());
  api.get_status().then(signed_in, (error) => { if (error.status !== 401) fill(main, failure(error, resume)); });
}

start();

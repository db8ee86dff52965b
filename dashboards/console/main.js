// The console's composition: which view is shown, who is signed in, the live stream, the banner.

import * as api from "./api.js";
import { AlertView } from "./alert.js";
import { AlertsView } from "./alerts.js";
import { BreakerBar } from "./breakers.js";
import { el, fill, untrusted } from "./dom.js";
import { EntityView } from "./entity.js";
import { AlertFeed } from "./feed.js";
import { count, refresh_ages } from "./format.js";
import { help_dialog, listen } from "./keys.js";
import { empty, failure, loading } from "./parts.js";
import { link, parse } from "./router.js";
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
    fill(host, empty("There is no such page", el("a", { href: link(["alerts"]) }, "Alerts")));
  }

  unmount() {}
}

const VIEWS = { alerts: AlertsView, alert: AlertView, status: StatusView, entity: EntityView, lost: LostView };

const app = {
  view: null,
  caller: null,
  status: null,
  feed: new AlertFeed(),
  stream: new AlertStream(),
  list: link(["alerts"]),
  unseen: 0,
  list_link: () => app.list,
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

const breakers = new BreakerBar(document.getElementById("breakers"), app);

function nav_link(view, parts, text, key) {
  const current = app.route?.view === view || (view === "alerts" && ["alert", "entity"].includes(app.route?.view));
  return el("a", { href: view === "alerts" ? app.list : link(parts), "aria-current": current ? "page" : null, "aria-keyshortcuts": key }, text);
}

function draw_bar() {
  if (!app.view) return void fill(bar);
  const who = app.caller ? el("span.who", { title: "signed in as" }, untrusted(app.caller.name ?? "", 40), el("span.tag", {}, untrusted(app.caller.role ?? "", 20))) : null;
  fill(bar,
    el("a.brand", { href: link(["alerts"]), "aria-label": "Bartizan" }, logo, el("span", {}, "Bartizan")),
    el("nav", { "aria-label": "Main" }, nav_link("alerts", ["alerts"], "Alerts", "g a"), nav_link("status", ["status"], ["Status", el("span.badge", { id: "health" })], "g s")),
    el("span.gap", {}), el("span.stream", { id: "stream" }), who,
    el("button.quiet", { type: "button", title: "Keys (?)", "aria-label": "Keys", onclick: () => help.showModal() }, "?"),
    el("button.quiet", { type: "button", onclick: () => sign_out(null) }, "Sign out"));
  draw_stream();
  draw_health();
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

function show(route) {
  const same = app.view && app.route?.view === route.view && route.view === "alerts";
  if (app.route?.view === "alerts") app.scroll = scrollY;
  app.route = route;
  if (route.view === "alerts") app.list = link(["alerts"], route.query);
  if (same) return app.view.update(route);
  app.view?.unmount();
  app.view = new VIEWS[route.view](main, route, app);
  app.set_title(app.view.title);
  draw_bar();
  scrollTo(0, route.view === "alerts" ? app.scroll ?? 0 : 0);
  if (route.view === "alerts" && app.opened) focus_row(app.opened);
  else main.focus({ preventScroll: true });
  app.opened = route.view === "alert" ? route.params[0] : null;
}

/** Back in the list, the alert one came from has the focus. */
function focus_row(id) {
  main.querySelector(`a[data-move][href="${CSS.escape(link(["alerts", id]))}"]`)?.focus({ preventScroll: true });
}

function back(to) {
  if (app.route.view !== "alerts") location.hash = app.list;
  if (to === "filter") setTimeout(() => app.view?.filter?.select());
}

function signed_in(status) {
  app.set_status(status);
  app.stream.start();
  show(parse(location.hash));
  breakers.load();
}

function sign_out(notice) {
  api.set_token(null);
  app.stream.stop();
  app.feed.clear();
  app.view?.unmount();
  Object.assign(app, { view: null, caller: null, status: null, route: null, opened: null, unseen: 0 });
  draw_bar();
  fill(banner);
  breakers.stop();
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
  app.stream.addEventListener("alert", ({ detail }) => { if (app.feed.take(detail)) announce(detail); });
  app.stream.addEventListener("resumed", () => {
    app.feed.reload();
    breakers.load();
    if (main.querySelector(".failure")) app.view?.load?.();
  });
  app.stream.addEventListener("state", draw_stream);
  api.events.addEventListener("unreachable", () => draw_banner(true));
  api.events.addEventListener("reached", () => draw_banner(false));
  api.events.addEventListener("signed_out", () => { if (app.view || !main.querySelector(".sign-in")) sign_out("The session has ended: the token was revoked or has expired. Sign in again."); });
  addEventListener("hashchange", () => { if (app.view) show(parse(location.hash)); });
  addEventListener("online", retry);
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  listen(app, back, help);
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

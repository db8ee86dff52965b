// What is known of one user, address, session or device, its alerts and its events.

import { acts_panel } from "./actions.js";
import { get_entity, get_events, get_held_back } from "./api.js";
import { title_cell } from "./cases.js";
import { el, fill, row, table, untrusted } from "./dom.js";
import { events_table } from "./events_table.js";
import { age_el, count, time_el, words } from "./format.js";
import { detector_el, severity_el, status_el } from "./labels.js";
import { ledger_table } from "./ledger.js";
import { paged } from "./paged.js";
import { crumbs, empty, facts, failure, loading, network_el, panel, pivot, place_text } from "./parts.js";
import { link } from "./router.js";
import { plain } from "./visible.js";

const ROWS_MAX = 100;
const ALERTS = [{ label: "Severity", class: "c-sev" }, { label: "Alert", class: "c-title" }, { label: "Detector", class: "c-detector" }, { label: "Last event", class: "c-age" }, { label: "Status", class: "c-status" }];

function seen_table(title, heading, entries, name_of) {
  if (!Array.isArray(entries) || !entries.length) return null;
  const columns = [{ label: heading, class: "c-value" }, { label: "Events", class: "num" }, { label: "First seen" }, { label: "Last seen" }];
  const rows = entries.slice(0, ROWS_MAX).map((entry) => row(columns, [name_of(entry), count(entry.event_count), time_el(entry.first_seen), age_el(entry.last_seen)]));
  const left = entries.length - rows.length;
  return panel(title, table(title, columns, rows, { class: "seen" }), left > 0 ? el("p.more", {}, `+ ${count(left)} more`) : null);
}

function alerts_panel(alerts) {
  if (!Array.isArray(alerts) || !alerts.length) return panel("Alerts", el("p.more", {}, "None."));
  return panel("Alerts", table("Alerts", ALERTS, alerts.slice(0, ROWS_MAX).map((alert) => row(ALERTS, [
    severity_el(alert.severity), title_cell("alerts", alert),
    detector_el(alert.detector, true), age_el(alert.last_event_time), status_el(alert),
  ])), { class: "cases cards" }));
}

function held_back_panel(page) {
  const lines = Array.isArray(page.items) ? page.items : [];
  return lines.length ? panel("Held back", ledger_table(lines), page.next_cursor ? el("p.more", {}, "Older lines are at /api/v1/suppressed.") : null) : null;
}

function risk_el(risk) {
  if (!risk || typeof risk.score !== "number") return null;
  const reasons = Array.isArray(risk.reasons) ? risk.reasons : [];
  return panel("Risk", el("p.risk", {}, el("strong.score", {}, count(risk.score)), el("span.more", {}, " of 100 "), risk.level ? severity_el(risk.level) : null),
    reasons.length ? el("ul.reasons", {}, reasons.slice(0, 20).map((reason) => el("li", {}, untrusted(reason, 300)))) : null);
}

function device_el(entry, tenant) {
  return [entry.device ? pivot("device", entry.device, tenant) : el("span.more", {}, "no device id"), entry.user_agent ? el("div.more", {}, untrusted(entry.user_agent, 120)) : null];
}

function events_el(events) {
  return events.length ? events_table("Events, newest first", events) : empty("No events", "None are stored for these values.");
}

export class EntityView {
  #main;
  #app;
  #abort = new AbortController();

  constructor(main, route, app) {
    [this.type, this.value] = route.params;
    this.tenant = app.tenant_of(route.query);
    this.title = plain(`${words(this.type)} ${this.value}`, 80);
    this.#main = main;
    this.#app = app;
    fill(main, loading());
    this.load();
  }

  async load() {
    try {
      const { type, value, tenant } = this;
      const { signal } = this.#abort;
      const [entity, held_back] = await Promise.all([get_entity(type, value, { tenant }, signal), get_held_back({ key: `${type}:${value}`, tenant }, signal)]);
      if (!signal.aborted) this.#render(entity, held_back);
    } catch (error) {
      if (!this.#abort.signal.aborted) fill(this.#main, failure(error, () => this.load()));
    }
  }

  unmount() {
    this.#abort.abort();
  }

  #render(entity, held_back) {
    const { type, value, tenant } = this;
    const related = (kind, title) => seen_table(title, words(kind === "ip" ? "address" : kind), entity[`${kind}s`], (entry) => pivot(kind, entry.value ?? entry, entity.tenant));
    const events = paged((query, signal) => get_events({ ...query, [type]: value, tenant }, signal), events_el, "Load older events", this.#abort.signal);
    fill(this.#main, el("article", {},
      crumbs(this.#app.up()),
      el("div.head", {}, el("p.more", {}, type === "ip" ? "Address" : words(type)), el("h1.mono", {}, untrusted(value, 300)),
        facts([["First seen", time_el(entity.first_seen)], ["Last seen", [time_el(entity.last_seen), " · ", age_el(entity.last_seen)]], ["Events", count(entity.event_count)], ["Tenant", untrusted(entity.tenant ?? "–", 60)],
          ["Filter", [el("a", { href: link(["incidents"], { [type]: value, tenant }) }, "incidents"), " or ", el("a", { href: link(["alerts"], { [type]: value, tenant }) }, "alerts"), " of it"]]])),
      el("div.grid", {}, risk_el(entity.risk), alerts_panel(entity.alerts),
        seen_table("Places", "Place", entity.places, (entry) => untrusted(place_text(entry) ?? "–", 80)),
        seen_table("Networks", "Network", entity.networks, network_el),
        seen_table("Devices", "Device", entity.devices?.filter((entry) => type !== "device" || entry.device !== value), (entry) => device_el(entry, entity.tenant)),
        related("user", "Users"), related("ip", "Addresses"), related("session", "Sessions")),
      // No action is about a device.
      type === "device" ? null : acts_panel("Actions", { [type === "ip" ? "address" : type]: value, tenant }, this.#app, this.#abort.signal), held_back_panel(held_back), panel("Events", events)));
  }
}

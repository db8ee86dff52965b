// One incident: alerts that have one cause. What happened to whom in which order, what people and machines
// did about it, and what it hangs together with.

import { waiting_panel } from "./actions.js";
import { get_case, get_timeline } from "./api.js";
import { CaseView, attack_panel } from "./case.js";
import { title_cell } from "./cases.js";
import { el, fill, row, table, untrusted } from "./dom.js";
import { count, duration_ms, time_el } from "./format.js";
import { history_list } from "./history.js";
import { attack_el, detector_el, severity_el, status_el } from "./labels.js";
import { paged } from "./paged.js";
import { facts, panel } from "./parts.js";
import { ask_to_merge, ask_to_split } from "./regroup.js";
import { may_triage } from "./roles.js";
import { link } from "./router.js";
import { subjects_panel } from "./subjects.js";
import { Ticks } from "./ticks.js";
import { timeline_entry } from "./timeline.js";

const ALERTS = [{ label: "Severity", class: "c-sev" }, { label: "Alert", class: "c-title" }, { label: "Detector", class: "c-detector" },
  { label: "Tactic", class: "c-tactic" }, { label: "First event", class: "c-age" }];
/** More of them are named by their ids alone. */
const RELATED_READ_MAX = 10;

function members(incident) {
  return Array.isArray(incident.alerts) ? incident.alerts : [];
}

function facts_panel(incident) {
  const span = Date.parse(incident.last_event_time) - Date.parse(incident.first_event_time);
  const detectors = Object.entries(incident.detectors ?? {}).slice(0, 50);
  return panel("Facts", facts([
    ["Alerts", count(incident.alert_count)], ["Hit", count(incident.hit_count)],
    ["First event", time_el(incident.first_event_time)], ["Last event", time_el(incident.last_event_time)],
    ["Lasted", span > 0 ? duration_ms(span) : null], ["Opened", time_el(incident.opened_time)], ["Changed", time_el(incident.updated_time)],
    ["Detectors", detectors.length ? el("ul.plain", {}, detectors.map(([id, n]) => el("li", {}, detector_el(id), ` ${count(n)}`))) : null],
    ["Tenant", untrusted(incident.tenant ?? "–", 60)], ["Version", count(incident.version)], ["Id", el("code", {}, untrusted(incident.id, 80))],
  ]));
}

/** A link to another incident, which gets its title once that is read. */
function incident_link(id, signal, read) {
  const node = el("a", { href: link(["incidents", id]) }, el("code", {}, untrusted(id, 40)));
  const state = el("span.more", {});
  if (read) {
    get_case("incidents", id, signal).then((other) => {
      fill(node, untrusted(other.title ?? id, 160));
      fill(state, " ", severity_el(other.severity), " ", status_el(other));
    }, () => { /* Another tenant's, or older than the retention: the id has to do. */ });
  }
  return [node, state];
}

export class IncidentView extends CaseView {
  constructor(main, route, app) {
    super("incidents", main, route, app);
  }

  live(alert) {
    if (alert.incident !== this.id) return;
    const known = members(this.item).find((member) => member.id === alert.id);
    // An alert that only follows what was said of its incident is nothing to show.
    if (known && known.severity === alert.severity && known.reason === alert.reason && alert.status === this.item.status) return;
    this.offer("There is more: ", untrusted(alert.title ?? alert.id, 160), ". Show it");
  }

  badge(incident) {
    return incident.hit_count > 0 ? el("span.hits", {}, `${count(incident.hit_count)} hit`) : null;
  }

  because(incident) {
    return incident.summary;
  }

  body(incident) {
    const titles = new Map(members(incident).map((alert) => [alert.id, alert.title]));
    const missing = el("p.more", {});
    const read = async (query, signal) => {
      const page = await get_timeline(this.id, query, signal);
      fill(missing, page.events_missing ? ["Without the events: ", untrusted(page.events_missing, 200), "."] : []);
      return page;
    };
    const timeline = paged(read,
      (entries) => history_list(entries.map((entry) => timeline_entry(entry, this.id, titles))), "Load what was before", this.signal);
    const merged = incident.merged_into ? ["It was merged into ", el("a", { href: link(["incidents", incident.merged_into]) }, "another incident"), ", which is the one to work on."] : null;
    return el("div.columns", {},
      el("div.side", {}, this.triage_panel(incident, merged), subjects_panel(incident), attack_panel(incident), this.#related_panel(incident)),
      el("div.wide", {}, el("div.span", {}, this.#alerts_panel(incident), waiting_panel(this.id, this.app, this.signal)), panel("Timeline", missing, timeline), facts_panel(incident)));
  }

  #may_regroup(incident) {
    return may_triage(this.app.caller) && !incident.merged_into;
  }

  #alerts_panel(incident) {
    const alerts = members(incident);
    const left = incident.alert_count - alerts.length;
    if (!alerts.length) return panel("Alerts", el("p.more", {}, "None any more."));
    const ticks = this.#may_regroup(incident) && incident.alert_count > 1 ? new Ticks(["Split off …", (ids) => this.#split(incident, ids)]) : null;
    const columns = ticks ? [ticks.column, ...ALERTS] : ALERTS;
    const rows = alerts.map((alert) => row(columns, [...(ticks ? [ticks.cell(alert.id, alert.title)] : []),
      severity_el(alert.severity), title_cell("alerts", alert, alert.reason), detector_el(alert.detector, true),
      alert.tactic ? attack_el(alert.tactic) : "–", time_el(alert.first_event_time)]));
    ticks?.show(alerts.map((alert) => alert.id));
    return panel("Alerts", table("Alerts, the worst first", columns, rows, { class: "cases members cards" }),
      left > 0 ? el("p.more", {}, `+ ${count(left)} more, milder ones`) : null, ticks?.bar);
  }

  #related_panel(incident) {
    const related = (Array.isArray(incident.related) ? incident.related : []).filter((id) => id !== incident.previous);
    const named = [["Merged into", incident.merged_into], ["Before it", incident.previous], ...related.map((id) => ["Related", id])].filter(([, id]) => id);
    const merge = this.#may_regroup(incident) ? el("button", { type: "button", onclick: () => this.#merge(incident, related) }, "Merge …") : null;
    if (!named.length && !merge) return null;
    return panel("Other incidents", named.length ? el("ul.plain.related", {}, named.map(([how, id], i) => el("li", {}, el("span.more", {}, `${how}: `), incident_link(id, this.signal, i < RELATED_READ_MAX))))
      : el("p.more", {}, "None shares an attacker or a victim with it."), merge);
  }

  #merge(incident, related) {
    const others = [incident.previous, ...related].filter(Boolean).slice(0, RELATED_READ_MAX);
    ask_to_merge(incident, others, async () => {
      await this.load();
      this.app.feeds.incidents.stir();
      this.app.announce("Merged");
    });
  }

  #split(incident, ids) {
    ask_to_split(incident, members(incident).filter((alert) => ids.includes(alert.id)), (own) => {
      this.app.feeds.incidents.stir();
      this.app.announce("Split off: this is the new incident");
      location.hash = link(["incidents", own.id]);
    });
  }
}

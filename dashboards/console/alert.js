// One alert: what happened, how sure, to whom, what proves it, and what people did about it.

import { acts_panel } from "./actions.js";
import { CaseView, attack_panel } from "./case.js";
import { el, untrusted } from "./dom.js";
import { evidence_table } from "./evidence.js";
import { events_table } from "./events_table.js";
import { count, counted, duration_ms, time_el, words } from "./format.js";
import { entry_el, history_list, lesson_text, step_text } from "./history.js";
import { detector_el, severity_el } from "./labels.js";
import { facts, panel } from "./parts.js";
import { link } from "./router.js";
import { subjects_panel } from "./subjects.js";
import { why_panel } from "./why.js";

function facts_panel(alert) {
  const span = Date.parse(alert.last_event_time) - Date.parse(alert.first_event_time);
  const confidence = typeof alert.confidence === "number" ? `${Math.round(alert.confidence * 100)} %` : null;
  return panel("Facts", facts([
    ["Detector", detector_el(alert.detector)], ["Confidence", confidence], ["Events", count(alert.event_count)],
    ["First event", time_el(alert.first_event_time)], ["Last event", time_el(alert.last_event_time)],
    ["Lasted", span > 0 ? duration_ms(span) : null], ["Detected", time_el(alert.detected_time)],
    ["Tenant", untrusted(alert.tenant ?? "–", 60)], ["Version", count(alert.version)],
    ["Recommended", alert.actions?.length ? alert.actions.map((action, i) => [i ? ", " : "", untrusted(words(action), 60)]) : null],
    ["Networks", alert.entities?.networks?.length ? el("ul.plain", {}, alert.entities.networks.slice(0, 20).map((name) => el("li", {}, untrusted(name, 60)))) : null],
    ["Id", el("code", {}, untrusted(alert.id, 80))],
  ]));
}

const CHANGES = { opened: "Opened", severity: "Severity rose", hit: "Something more was hit", grown: "Grew", closed: "Closed" };

function history_entry(entry) {
  const { time, note } = entry;
  if (entry.kind === "version") {
    const head = untrusted(CHANGES[entry.change] ?? words(entry.change ?? "updated"), 40);
    return entry_el({ head, text: [severity_el(entry.severity), ` version ${count(entry.version)}, ${counted(entry.event_count, "event")}`], note, time, human: false });
  }
  const text = entry.kind === "lesson" ? lesson_text(entry.lesson) : step_text(entry);
  return entry_el({ head: untrusted(entry.by ?? "someone", 60), text, note, time, human: true });
}

function history_panel(alert) {
  const entries = Array.isArray(alert.history) ? alert.history : [];
  return panel("History", history_list(entries.toReversed().map(history_entry)));
}

function events_panel(alert) {
  const events = Array.isArray(alert.events) ? alert.events : [];
  const total = alert.events_total ?? alert.event_count;
  const note = total > events.length ? el("p.more", {}, `${count(events.length)} of ${count(total)} events are shown.`) : null;
  return panel("Events behind it", note, events.length ? events_table("Events behind this alert", events) : el("p.more", {}, "No events are stored for this alert (any more)."));
}

export class AlertView extends CaseView {
  constructor(main, route, app) {
    super("alerts", main, route, app);
  }

  live(alert) {
    if (alert.id !== this.id || (alert.version ?? 0) <= (this.item.version ?? 0)) return;
    this.offer(`Version ${count(alert.version)} is there: ${counted(alert.event_count, "event")}. Show it`);
  }

  badge(alert) {
    return alert.incident ? el("a", { href: link(["incidents", alert.incident]) }, "Its incident") : null;
  }

  because(alert) {
    return alert.reason;
  }

  body(alert) {
    return [
      el("div.columns", {},
        el("div.side", {}, this.triage_panel(alert), subjects_panel(alert), attack_panel(alert)),
        el("div.wide", {}, panel("Evidence", evidence_table(alert.evidence)), el("div", {}, history_panel(alert), facts_panel(alert)))),
      acts_panel("Actions", { alert: alert.id }, this.app, this.signal), why_panel(alert, this.app.tenant_of(alert), this.signal), events_panel(alert),
    ];
  }
}

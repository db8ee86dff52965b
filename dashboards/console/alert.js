// One alert: what happened, how sure, to whom, what proves it, and what people did about it.

import { get_alert } from "./api.js";
import { el, fill, row, table, untrusted } from "./dom.js";
import { evidence_table } from "./evidence.js";
import { events_table } from "./events_table.js";
import { age_el, count, duration_ms, time_el, words } from "./format.js";
import { attack_el, detector_el, severity_el, status_el } from "./labels.js";
import { facts, failure, loading, panel, pivot } from "./parts.js";
import { ENTITY_TYPES, link } from "./router.js";
import { may_triage, triage_form } from "./triage.js";
import { why_panel } from "./why.js";

const SUBJECTS = [{ label: "Role", class: "c-role" }, { label: "Type", class: "c-type" }, { label: "Who", class: "c-value" }];
const SUBJECTS_MAX = 100;

function subject_row(subject, tenant) {
  const known = ENTITY_TYPES.includes(subject.type);
  const role = ["attacker", "victim", "shared"].includes(subject.role) ? subject.role : "other";
  return row(SUBJECTS, [
    [el(`span.tag.tag-${role}`, {}, untrusted(subject.role ?? "–", 20)), subject.hit ? [" ", el("span.tag.tag-hit", { title: "a success, or a stolen session" }, "hit")] : null],
    untrusted(subject.type ?? "–", 20),
    known ? pivot(subject.type, subject.value, tenant) : untrusted(subject.value, 96),
  ]);
}

function subjects_panel(alert) {
  const subjects = Array.isArray(alert.subjects) ? alert.subjects : [];
  if (!subjects.length) return null;
  const left = subjects.length - SUBJECTS_MAX;
  return panel("Who", table("Subjects", SUBJECTS, subjects.slice(0, SUBJECTS_MAX).map((subject) => subject_row(subject, alert.tenant)), { class: "subjects" }),
    left > 0 ? el("p.more", {}, `+ ${count(left)} more`) : null);
}

function attack_panel(alert) {
  const entries = Array.isArray(alert.attack) ? alert.attack : [];
  if (!entries.length) return null;
  return panel("ATT&CK", el("ul.plain", {}, entries.map((entry) => el("li", {}, attack_el(entry.technique), entry.tactic ? [el("span.more", {}, " in "), attack_el(entry.tactic)] : null))));
}

function facts_panel(alert) {
  const span = Date.parse(alert.last_event_time) - Date.parse(alert.first_event_time);
  const confidence = typeof alert.confidence === "number" ? `${Math.round(alert.confidence * 100)} %` : null;
  return panel("Facts", facts([
    ["Detector", detector_el(alert.detector)], ["Confidence", confidence], ["Events", count(alert.event_count)],
    ["First event", time_el(alert.first_event_time)], ["Last event", time_el(alert.last_event_time)],
    ["Lasted", span > 0 ? duration_ms(span) : null], ["Detected", time_el(alert.detected_time)],
    ["Tenant", untrusted(alert.tenant ?? "–", 60)], ["Version", count(alert.version)],
    ["Actions", alert.actions?.length ? alert.actions.map((action, i) => [i ? ", " : "", untrusted(words(action), 60)]) : null],
    ["Incident", alert.incident ? untrusted(alert.incident, 80) : null],
    ["Networks", alert.entities?.networks?.length ? el("ul.plain", {}, alert.entities.networks.slice(0, 20).map((name) => el("li", {}, untrusted(name, 60)))) : null],
    ["Id", el("code", {}, untrusted(alert.id, 80))],
  ]));
}

const CHANGES = { opened: "Opened", severity: "Severity rose", hit: "Something more was hit", grown: "Grew", closed: "Closed" };

function history_entry(entry) {
  const triage = entry.kind !== "version";
  const text = entry.kind === "lesson" ? [el("span.tag", {}, "lesson"), " ", untrusted(entry.lesson, 400)] : triage
    ? [entry.status ? ["set status to ", untrusted(entry.status, 20)] : null,
      entry.disposition ? [" as ", untrusted(words(entry.disposition).toLowerCase(), 30)] : null,
      entry.assignee ? [entry.status ? ", " : "", "assigned to ", untrusted(entry.assignee, 60)] : null,
      !entry.status && !entry.assignee && entry.note ? "noted" : null]
    : [severity_el(entry.severity), ` version ${count(entry.version)}, ${count(entry.event_count)} events`];
  const head = triage ? el("strong", {}, untrusted(entry.by ?? "someone", 60)) : el("strong", {}, untrusted(CHANGES[entry.change] ?? words(entry.change ?? "updated"), 40));
  return el(`li.entry.entry-${triage ? "triage" : "version"}`, {}, el("div", {}, head, " ", text),
    entry.note ? el("blockquote", {}, untrusted(entry.note, 4000)) : null, el("div.more", {}, time_el(entry.time), " · ", age_el(entry.time)));
}

function history_panel(alert) {
  const entries = Array.isArray(alert.history) ? alert.history : [];
  return panel("History", entries.length ? el("ol.history", {}, entries.toReversed().map(history_entry)) : el("p.more", {}, "Nothing yet."));
}

function events_panel(alert) {
  const events = Array.isArray(alert.events) ? alert.events : [];
  const total = alert.events_total ?? alert.event_count;
  const note = total > events.length ? el("p.more", {}, `${count(events.length)} of ${count(total)} events are shown.`) : null;
  return panel("Events behind it", note, events.length ? events_table("Events behind this alert", events) : el("p.more", {}, "No events are stored for this alert (any more)."));
}

export class AlertView {
  title = "Alert";
  #main;
  #id;
  #app;
  #abort = new AbortController();
  #alert = null;

  constructor(main, route, app) {
    this.#main = main;
    this.#id = route.params[0];
    this.#app = app;
    fill(main, loading());
    app.stream.addEventListener("alert", ({ detail }) => this.#live(detail), { signal: this.#abort.signal });
    this.load();
  }

  async load() {
    try {
      const alert = await get_alert(this.#id, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      this.#alert = alert;
      this.title = alert.title ?? "Alert";
      this.#app.set_title(this.title);
      this.#render(alert);
    } catch (error) {
      if (!this.#abort.signal.aborted) fill(this.#main, failure(error, () => this.load()));
    }
  }

  unmount() {
    this.#abort.abort();
  }

  /** `newer` or `older`: the neighbour in the list this alert was opened from. */
  go(direction) {
    const id = this.#app.feed.neighbours(this.#id)[direction];
    if (id) location.replace(link(["alerts", id]));
  }

  focus_triage() {
    this.#main.querySelector(".triage input:checked, .triage input")?.focus();
  }

  // A newer version is offered, not swapped in: a note half written must not vanish.
  #live(alert) {
    if (alert.id !== this.#id || !this.#alert || (alert.version ?? 0) <= (this.#alert.version ?? 0)) return;
    const note = this.#main.querySelector(".newer");
    if (note) fill(note, el("button", { type: "button", onclick: () => this.load() }, `Version ${count(alert.version)} is there: ${count(alert.event_count)} events. Show it`));
  }

  #render(alert) {
    const { newer, older } = this.#app.feed.neighbours(this.#id);
    const step = (id, text, key) => (id ? el("a", { href: link(["alerts", id]), "aria-keyshortcuts": key }, text) : el("span.off", {}, text));
    fill(this.#main, el("article.alert-page", {},
      el("nav.crumbs", { "aria-label": "Alerts" }, el("a", { href: this.#app.list_link() }, "← Alerts"), el("span.steps", {}, step(newer, "Newer", "["), step(older, "Older", "]"))),
      el("div.head", {}, el("div.badges", {}, severity_el(alert.severity), status_el(alert), alert.assignee ? el("span.more", {}, "assigned to ", untrusted(alert.assignee, 60)) : null, el("span.more", {}, "last event ", age_el(alert.last_event_time))),
        el("h1", {}, untrusted(alert.title ?? alert.id, 300)), el("p.because", {}, untrusted(alert.reason ?? "", 2000)), el("div.newer", { role: "status" })),
      el("div.columns", {},
        el("div.side", {}, this.#triage_panel(alert), subjects_panel(alert), attack_panel(alert)),
        el("div.wide", {}, panel("Evidence", evidence_table(alert.evidence)), el("div", {}, history_panel(alert), facts_panel(alert)))),
      why_panel(alert, this.#app.tenant_of(alert), this.#abort.signal), events_panel(alert)));
  }

  #triage_panel(alert) {
    if (!may_triage(this.#app.caller)) return panel("Triage", el("p.more", {}, "The role of this token only reads. Triage needs analyst or admin."));
    return panel("Triage", triage_form(alert, this.#app.caller, async () => {
      await this.load();
      this.#app.feed.take(summary_of(this.#alert));
      this.#app.announce("Saved");
      this.focus_triage();
    }));
  }
}

function summary_of(alert) {
  const { events, history, ...summary } = alert;
  return summary;
}

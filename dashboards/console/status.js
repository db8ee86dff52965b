// The pipeline's state: how far it is, how fast, and what does not work. Polled while visible.

import { get_status } from "./api.js";
import { el, fill, row, table, untrusted } from "./dom.js";
import { age_el, count, duration_us, refresh_ages, short_count, time_el, words } from "./format.js";
import { SEVERITIES, severity_el, state_el } from "./labels.js";
import { failure, loading, panel } from "./parts.js";
import { Poll } from "./poll.js";

const POLL_MS = 5000;
const ROWS_MAX = 500;

const STAGES = [{ label: "Stage" }, { label: "Count", class: "num" }, { label: "p50", class: "num" }, { label: "p90", class: "num" }, { label: "p99", class: "num" }, { label: "p99.9", class: "num" }, { label: "Max", class: "num" }];
const PARTITIONS = [{ label: "Log" }, { label: "Partition", class: "num" }, { label: "Lag", class: "num" }, { label: "Position", class: "num" }, { label: "Committed", class: "num" }, { label: "End", class: "num" }, { label: "Complete up to" }];
const CHANNELS = [{ label: "Channel" }, { label: "State" }, { label: "Waiting", class: "num" }, { label: "Delivered", class: "num" }, { label: "Failed", class: "num" }, { label: "Last success" }, { label: "Last error" }];
const SOURCES = [{ label: "Source" }, { label: "State" }, { label: "Detail" }];
const DETECTORS = [{ label: "Detector" }, { label: "State" }, { label: "Keys held", class: "num" }];

function list(value) {
  return Array.isArray(value) ? value.slice(0, ROWS_MAX) : [];
}

function tile(label, value, note) {
  return el("div.tile", {}, el("dt", {}, label), el("dd", {}, value, note ? el("div.more", {}, note) : null));
}

/** Events a second between two readings of the status document; null until there are two. */
function rate(before, after, member) {
  const seconds = (Date.parse(after?.now) - Date.parse(before?.now)) / 1000;
  const done = after?.events?.[member] - before?.events?.[member];
  return seconds > 0 && done >= 0 ? done / seconds : null;
}

function per_second(value) {
  return value === null ? null : `${short_count(Math.round(value))} a second`;
}

function tiles(status, before) {
  const events = status.events ?? {};
  const dropped = [["rejected", events.rejected], ["duplicate", events.duplicate], ["late", events.late]].filter(([, n]) => n > 0);
  return el("dl.tiles", {},
    tile("State", state_el(status.ready ? "ready" : "not_ready"), status.ready ? null : untrusted(status.ready_reason ?? "", 200)),
    tile("Complete up to", status.complete_up_to ? age_el(status.complete_up_to) : "–", status.complete_up_to ? time_el(status.complete_up_to) : "event time"),
    tile("Events in", short_count(events.in), per_second(rate(before, status, "in"))),
    tile("Events out", short_count(events.out), per_second(rate(before, status, "out"))),
    tile("Lag", short_count(status.lag), "events not yet judged"),
    tile("Set aside", short_count(dropped.reduce((sum, [, n]) => sum + n, 0)), dropped.map(([name, n]) => `${short_count(n)} ${name}`).join(", ") || "none"));
}

function health_panel(status) {
  const entries = list(status.health);
  if (!entries.length) return panel("Health", el("p.calm", {}, state_el("ok"), " Nothing needs attention."));
  return panel("Health", el("ul.health", {}, entries.map((entry) => el(`li.edge-${SEVERITIES.includes(entry.severity) ? entry.severity : "info"}`, {},
    severity_el(entry.severity), " ", untrusted(entry.summary ?? entry.id, 300), el("div.more", {}, el("code", {}, untrusted(entry.id ?? "", 60)), entry.since ? [" since ", time_el(entry.since)] : null)))));
}

function stages_panel(status) {
  const rows = list(status.latency).map((stage) => row(STAGES, [untrusted(words(stage.stage), 40), short_count(stage.count),
    ...["p50_us", "p90_us", "p99_us", "p999_us", "max_us"].map((name) => duration_us(stage[name]))]));
  return rows.length ? panel("Latency by stage", table("Latency by stage", STAGES, rows)) : null;
}

function partitions_panel(status) {
  const rows = list(status.partitions).map((part) => row(PARTITIONS, [[untrusted(part.topic ?? part.log, 80), part.log && part.topic ? el("div.more", {}, untrusted(part.log, 20)) : null],
    count(part.partition), count(part.lag), count(part.position), count(part.committed), count(part.end), part.complete_up_to ? age_el(part.complete_up_to) : "–"]));
  return rows.length ? panel("Lag by partition", table("Lag by partition", PARTITIONS, rows)) : null;
}

function channels_panel(status) {
  const rows = list(status.channels).map((channel) => row(CHANNELS, [[untrusted(channel.name, 60), el("div.more", {}, untrusted(channel.kind ?? "", 20))], state_el(channel.state),
    count(channel.pending), count(channel.delivered), count(channel.failed), age_el(channel.last_success_time),
    channel.last_error ? [untrusted(channel.last_error, 160), channel.next_attempt_time ? el("div.more", {}, "next try ", age_el(channel.next_attempt_time)) : null] : "–"]));
  return panel("Channels", rows.length ? table("Channels", CHANNELS, rows, { class: "cards" }) : el("p.more", {}, "No channel is configured: nobody is told of alerts."));
}

function sources_panel(status) {
  const store = status.store ? [{ name: `store: ${status.store.kind ?? ""}`, state: status.store.state,
    detail: [status.store.detail, status.store.rows_pending > 0 ? `${count(status.store.rows_pending)} rows waiting` : null].filter(Boolean).join(", ") }] : [];
  const rows = [...list(status.sources), ...store].map((source) => row(SOURCES, [untrusted(source.name, 60), state_el(source.state), untrusted(source.detail ?? "", 200)]));
  return rows.length ? panel("Sources and store", table("Sources and store", SOURCES, rows)) : null;
}

function detectors_panel(status) {
  const rows = list(status.detectors).map((detector) => row(DETECTORS, [untrusted(detector.title ?? words(detector.id), 60), state_el(detector.state), count(detector.keys)]));
  return rows.length ? panel("Detectors", table("Detectors", DETECTORS, rows)) : null;
}

export class StatusView {
  title = "Status";
  #main;
  #app;
  #abort = new AbortController();
  #before = null;
  #last = null;
  #poll = new Poll(() => this.#ask(), POLL_MS, this.#abort.signal);

  constructor(main, _route, app) {
    this.#main = main;
    this.#app = app;
    fill(main, el("h1.away", {}, "Status"), loading());
    this.load();
  }

  load() {
    this.#poll.now();
  }

  async #ask() {
    try {
      const status = await get_status(this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      if (this.#last?.now !== status.now) this.#before = this.#last;
      this.#last = status;
      this.#app.set_status(status);
      // Drawing anew would take the selection from under someone who is copying a figure.
      if (!String(getSelection())) this.#render(status);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!this.#last) fill(this.#main, failure(error, () => this.load()));
    }
  }

  unmount() {
    this.#abort.abort();
  }

  #render(status) {
    fill(this.#main, el("h1.away", {}, "Status"), tiles(status, this.#before), health_panel(status),
      el("div.grid", {}, stages_panel(status), partitions_panel(status)), channels_panel(status),
      el("div.grid", {}, sources_panel(status), detectors_panel(status)),
      el("p.more", {}, "Bartizan ", untrusted(status.version ?? "", 40), status.instance ? [", instance ", untrusted(status.instance, 60)] : null, status.started_time ? [", started ", age_el(status.started_time)] : null));
    refresh_ages(this.#main);
  }
}

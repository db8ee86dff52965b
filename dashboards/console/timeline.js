// An entry of an incident's timeline: what happened, what detection found of it, what people did and said, what was
// told, what machines were asked to do.

import { act_state_el, act_title } from "./acts.js";
import { el, untrusted } from "./dom.js";
import { outcome_el, request_text } from "./events_table.js";
import { count, counted, duration_ms, words } from "./format.js";
import { entry_el, lesson_text, step_text } from "./history.js";
import { severity_el } from "./labels.js";
import { pivot, place_text } from "./parts.js";
import { link } from "./router.js";

const COURSES = { opened: "Incident opened", reopened: "Incident opened again", changed: "Incident changed" };
const REASON_CHARS_MAX = 300;

function case_link(kind, id, text) {
  return el("a", { href: link([kind, id]) }, text ? untrusted(text, 120) : el("code", {}, untrusted(id, 40)));
}

/** Several of a kind by their ids, when people put incidents together or took them apart. */
function regrouped({ merged, merged_into, split_into, split_from, alerts }) {
  const incidents = (ids) => ids.slice(0, 20).map((id, i) => [i ? ", " : "", case_link("incidents", id)]);
  const of = Array.isArray(alerts) ? `${counted(alerts.length, "alert")} ` : "alerts ";
  if (Array.isArray(merged)) return ["merged in ", incidents(merged)];
  if (merged_into) return ["merged it into ", incidents([merged_into])];
  if (split_into) return ["split ", of, "off into ", incidents([split_into])];
  if (split_from) return ["split ", of, "off from ", incidents([split_from])];
  return null;
}

function of_incident({ by, change }, alert_link) {
  if (by === "silence") return { head: "Silence", text: ["resolved it: nothing came for ", duration_ms(change.quiet_ms)] };
  if (by === "detection") {
    return { head: untrusted(COURSES[change.course] ?? words(change.course ?? "changed"), 40), text: [severity_el(change.severity),
      ` ${counted(change.alert_count, "alert")}, ${count(change.hit_count)} hit, by `, change.alert ? alert_link(change.alert) : "an alert"] };
  }
  const text = regrouped(change) ?? [step_text(change) ?? "changed it", change.alert ? [", by ", alert_link(change.alert)] : null];
  return { head: untrusted(by ?? "Someone", 60), text, note: change.note, human: true };
}

function of_alert({ by, about, change }, alert_link) {
  if (by === "detection") {
    return { head: "Alert", text: [severity_el(change.severity), " ", alert_link(about), `, ${counted(change.event_count, "event")}`,
      change.ongoing === false ? ", over" : null, change.reason ? el("div.reason", {}, untrusted(change.reason, REASON_CHARS_MAX)) : null] };
  }
  const text = change.lesson ? lesson_text(change.lesson) : step_text(change) ?? "changed it";
  return { head: untrusted(by ?? "Someone", 60), text: [text, ", on ", alert_link(about)], note: change.note, human: true };
}

/** As `/api/v1/actions` has it: what was asked of whom, about whom, and where it stands. */
function of_action({ about, change }, alert_link) {
  const title = act_title(change);
  return { head: "Action", text: [change.id ? el("a", { href: link(["actions", change.id]) }, title) : title,
    change.target ? [" at ", untrusted(change.target, 60)] : null, ": ", act_state_el(change),
    change.remark ? [", ", untrusted(change.remark, 200)] : null, ", because of ", alert_link(about)] };
}

function of_message({ by, about, change }, alert_link) {
  const tries = change.attempts > 1 ? `, ${count(change.attempts)} tries` : "";
  return { head: "Told", text: [untrusted(change.type ?? "message", 60), by ? [" through ", untrusted(by, 60)] : null,
    ": ", untrusted(change.state ?? "–", 40), tries, change.error ? [", ", untrusted(change.error, 200)] : null, ", about ", alert_link(about)] };
}

/** As `/api/v1/events` has it. */
function of_event({ by, change: event }) {
  const what = request_text(event);
  return { head: "Event", text: [untrusted(words(event.kind ?? "–").toLowerCase(), 40), " ", outcome_el(event), what ? [" ", el("code", {}, untrusted(what, 80))] : null,
    event.user ? [" of ", pivot("user", event.user, event.tenant)] : null, event.ip ? [" from ", pivot("ip", event.ip, event.tenant)] : null,
    event.place ? [", ", untrusted(place_text(event.place) ?? "–", 60)] : null, event.user_agent ? [", ", untrusted(event.user_agent, 60)] : null,
    by ? [", by ", untrusted(by, 40)] : null] };
}

const KINDS = { incident: of_incident, alert: of_alert, notification: of_message, action: of_action, event: of_event };

/** `id` is the incident's, `titles` those of its alerts by their ids. */
export function timeline_entry(entry, id, titles) {
  const alert_link = (alert) => (alert === id ? "the incident" : case_link("alerts", alert, titles.get(alert)));
  const shape = KINDS[entry.kind] ?? of_message;
  return entry_el({ human: false, ...shape({ ...entry, change: entry.change ?? {} }, alert_link), time: entry.time });
}

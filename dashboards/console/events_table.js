// Events as rows; a row opens to show every member the API sent.

import { el, opening_row, table, untrusted } from "./dom.js";
import { time_el, words } from "./format.js";
import { facts, member_text, network_el, pivot, place_text } from "./parts.js";

const COLUMNS = [
  { label: "Time", class: "c-time" }, { label: "Kind", class: "c-kind" }, { label: "Outcome", class: "c-outcome" },
  { label: "User", class: "c-user" }, { label: "Address", class: "c-ip" }, { label: "Place", class: "c-place" },
  { label: "Network", class: "c-network" }, { label: "Device", class: "c-device" },
  { label: "User agent", class: "c-agent" }, { label: "Session", class: "c-session" },
];
const MEMBERS_MAX = 100;

export function outcome_el({ outcome }) {
  const kind = { success: "good", failure: "bad", denied: "bad" }[outcome] ?? "plain";
  return el(`span.outcome.outcome-${kind}`, {}, untrusted(outcome ?? "unknown", 20));
}

function ending(event) {
  return [outcome_el(event), event.reason ? el("div.more", {}, untrusted(words(event.reason), 60)) : null];
}

/** What was asked for, and the answer; empty for what is no request. */
export function request_text(event) {
  const what = [event.method, event.path].filter(Boolean).join(" ");
  return event.status ? `${what} → ${event.status}` : what;
}

function details(event) {
  const { attrs, time, ...members } = event;
  const rest = Object.entries(members).filter(([, value]) => value !== null && value !== "" && value !== undefined);
  const own = Object.entries(attrs && typeof attrs === "object" ? attrs : {}).map(([name, value]) => [`attrs.${name}`, value]);
  const pairs = [...rest, ...own].slice(0, MEMBERS_MAX).map(([name, value]) => [untrusted(name, 60), member_text(value)]);
  return facts([["time (UTC)", el("code", {}, untrusted(time ?? "–", 40))], ...pairs]);
}

function event_rows(event) {
  const what = request_text(event);
  return opening_row(COLUMNS, time_el(event.time), [
    [untrusted(words(event.kind ?? "–"), 40), what ? el("div.more", {}, untrusted(what, 80)) : null], ending(event),
    pivot("user", event.user, event.tenant), pivot("ip", event.ip, event.tenant), untrusted(place_text(event.place) ?? "–", 60),
    network_el(event.network), pivot("device", event.device, event.tenant), untrusted(event.user_agent ?? "–", 90),
    pivot("session", event.session, event.tenant),
  ], () => details(event));
}

export function events_table(caption, events) {
  return table(caption, COLUMNS, events.map(event_rows), { class: "events cards" });
}

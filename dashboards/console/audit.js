// The audit trail: who did what to what, newest first, and whether the records that were read follow one
// another as the chain of their hashes says.

import { get_audit, get_status } from "./api.js";
import { el, fill, opening_row, table, untrusted } from "./dom.js";
import { WITHIN, since_of } from "./feed.js";
import { input, select, toggle } from "./filters.js";
import { count, counted, time_el } from "./format.js";
import { Listing } from "./listing.js";
import { empty, facts, member_text, panel } from "./parts.js";
import { link, parse } from "./router.js";

const COLUMNS = [{ label: "Time", class: "c-time" }, { label: "Who", class: "c-user" }, { label: "Did", class: "c-kind" }, { label: "To what", class: "c-title" }, { label: "Alert", class: "c-link" }];
const MEMBERS_MAX = 100;

function details(record) {
  const detail = record.detail && typeof record.detail === "object" ? Object.entries(record.detail) : [];
  return facts([["number", count(record.id)], ["time (UTC)", el("code", {}, untrusted(record.time ?? "–", 40))],
    ...detail.filter(([, value]) => value !== null).slice(0, MEMBERS_MAX).map(([name, value]) => [untrusted(name, 60), member_text(value)]),
    ["previous", untrusted(record.previous ?? "–", 80)], ["hash", untrusted(record.hash ?? "–", 80)]]);
}

/** A value that leads to the list of all that has it. */
function same(name, value, chars_max) {
  return value ? el("a", { href: link(["audit"], { ...parse(location.hash).query, [name]: value }) }, untrusted(value, chars_max)) : "–";
}

function record_rows(record) {
  const alert = record.detail?.alert;
  return opening_row(COLUMNS, time_el(record.time), [same("actor", record.actor, 60), el("code", {}, same("action", record.action, 60)), same("subject", record.subject, 120),
    typeof alert === "string" && alert ? el("a", { href: link(["alerts", alert]) }, "its alert") : "–"], () => details(record));
}

/** Of records that follow each other by number, those whose hash is not that of the one before. */
function broken_links(records) {
  return records.filter((record, i) => records[i + 1]?.id === record.id - 1 && record.previous !== records[i + 1].hash);
}

function chain_el(records) {
  const broken = broken_links(records);
  if (broken.length) return el("p.refused", { role: "alert" }, `The chain is broken: record ${broken.slice(0, 10).map((record) => count(record.id)).join(", ")} does not follow the one before it. `, el("code", {}, "bartizan audit verify"), " checks all of it.");
  const linked = records.filter((record, i) => records[i + 1]?.id === record.id - 1).length;
  return linked ? el("p.more", {}, `${counted(linked, "record")} here name${linked === 1 ? "s" : ""} the hash of the one before, and it is right. `, el("code", {}, "bartizan audit verify"), " checks all of them, ", el("code", {}, "bartizan audit export"), " writes them to a file.") : null;
}

/** The newest record; a head that was noted elsewhere shows later whether the trail is still the same. */
function head_el(signal) {
  const host = el("div", {});
  get_status(signal).then(({ audit_head }) => {
    if (audit_head) fill(host, panel("Head of the trail", facts([["Record", count(audit_head.id)], ["Hash", el("code", {}, untrusted(audit_head.hash, 80))]])));
  }, () => { /* The list says what does not work. */ });
  return host;
}

const LIST = {
  view: "audit",
  title: "Audit trail",
  older: "Load older records",
  fields: (query, app) => [
    input("actor", "Who", query.actor, { placeholder: "name of a token, detection …" }), toggle(query, "actor"), input("action", "Did", query.action, { placeholder: "alert.triage …" }),
    input("subject", "To what", query.subject, { placeholder: "id of an alert, a session …" }), select("within", "Time", WITHIN.map((within) => [within, `last ${within}`]), query.within),
    app.caller?.tenant ? null : input("tenant", "Tenant", query.tenant),
  ],
  page: ({ within, ...query }, signal) => get_audit({ ...query, since: since_of(within) }, signal),
  draw: (records) => [chain_el(records), records.length ? table("Audit trail, newest first", COLUMNS, records.map(record_rows), { class: "events audit cards" })
    : empty("No such records so far", "Who, what and to what are compared to the letter.")],
};

export class AuditView extends Listing {
  constructor(main, route, app) {
    super(LIST, main, route, app);
    main.append(head_el(this.signal));
  }
}

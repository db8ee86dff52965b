// Why, and why not: what each detector makes of one event of an alert, and the rule, limit or gate where
// it ended. Asked for by hand: the daemon judges the past again for it, one question at a time.

import { get_explanation } from "./api.js";
import { el, fill, row, table, untrusted } from "./dom.js";
import { count, time_el, words } from "./format.js";
import { detector_el, severity_el } from "./labels.js";
import { by_el, ledger_table } from "./ledger.js";
import { failure, loading, panel, pivot } from "./parts.js";
import { link } from "./router.js";

const COLUMNS = [{ label: "Detector", class: "c-detector" }, { label: "Verdict", class: "c-verdict" }, { label: "Where it ended", class: "c-by" }, { label: "Why", class: "c-text" }];
/** From what is told to what is not even looked at. */
const VERDICTS = ["found", "suppressed", "held_back", "silent"];
const STANDINGS = {
  judged: "It was judged", late: "It was stored and not judged: it came after its time had passed", repeated: "It was not judged: it had come before",
};
const USERS_MAX = 50;
const ALERTS_MAX = 10;

function account_row(account) {
  return row(COLUMNS, [
    detector_el(account.detector, true),
    [el(`span.verdict${VERDICTS.includes(account.verdict) ? `.verdict-${account.verdict}` : ""}`, {}, untrusted(words(account.verdict ?? "–"), 40)), account.severity ? [" ", severity_el(account.severity)] : null],
    by_el(account), untrusted(account.text ?? "–", 1000),
  ]);
}

/** Those that have nothing to do with the event are named in one line. */
function accounts_el(accounts) {
  const of = (verdict) => accounts.filter((account) => account.verdict === verdict);
  const aside = of("not_concerned");
  const known = VERDICTS.flatMap(of);
  const rest = accounts.filter((account) => !known.includes(account) && !aside.includes(account));
  return [table("What each detector makes of it", COLUMNS, [...known, ...rest].map(account_row), { class: "accounts cards" }),
    aside.length ? el("p.more", {}, "Not concerned: ", aside.map((account, i) => [i ? ", " : "", detector_el(account.detector, true)]), ".") : null];
}

function event_el(event) {
  return el("p", {}, untrusted(words(event.kind ?? "event"), 40), " ", untrusted(event.outcome ?? "", 20), " of ", pivot("user", event.user, event.tenant),
    " from ", pivot("ip", event.ip, event.tenant), ", ", time_el(event.time), ", event ", el("code", {}, untrusted(event.id ?? "–", 80)));
}

function alerts_el(ids, own) {
  const others = ids.filter((id) => id !== own);
  if (!others.length) return null;
  const left = others.length - ALERTS_MAX;
  return el("p", {}, "Other alerts about its user, address or session around that time: ",
    others.slice(0, ALERTS_MAX).map((id, i) => [i ? ", " : "", el("a", { href: link(["alerts", id]) }, el("code", {}, untrusted(id, 40)))]),
    left > 0 ? ` and ${count(left)} more` : null, ".");
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

function explanation_el(explanation, own) {
  const { event = {}, standing, events_before, truncated } = explanation;
  const ledger = list(explanation.ledger);
  return [event_el(event),
    el("p.more", {}, untrusted(STANDINGS[standing] ?? words(standing ?? "unknown"), 100), `, after ${count(events_before)} stored events before it`,
      truncated ? "; there are more than were judged again, so what detectors know may be less than it was" : null, "."),
    accounts_el(list(explanation.detectors)), alerts_el(list(explanation.alerts), own),
    el("h3", {}, "Held back around that time"),
    ledger.length ? ledger_table(ledger) : el("p.more", {}, "Nothing about its user, address or session.")];
}

/** Whom an alert is about, those that were hit first. */
function users_of(alert) {
  const subjects = list(alert.subjects).filter((subject) => subject.type === "user");
  const named = [...subjects.filter((subject) => subject.hit), ...subjects].map((subject) => subject.value);
  return [...new Set([...named, ...list(alert.entities?.users)])].slice(0, USERS_MAX);
}

/** The panel of an alert; `tenant` is for tokens of all tenants, `signal` ends what is still asked. */
export function why_panel(alert, tenant, signal) {
  const users = users_of(alert);
  const event = list(alert.event_ids).at(-1);
  if (!users.length && !event) return null;
  const choice = users.length > 1 ? el("label", {}, el("span.away", {}, "User"), el("select", { name: "why" }, users.map((user) => el("option", { value: user }, untrusted(user, 60))))) : null;
  const answer = el("div.answer", { "aria-live": "polite" });
  const ask = el("button", { type: "button" }, "Ask the detectors");
  ask.addEventListener("click", async () => {
    const user = choice?.querySelector("select").value ?? users[0];
    const question = user === undefined ? { event } : { user, time: alert.last_event_time };
    ask.disabled = true;
    fill(answer, loading());
    try {
      fill(answer, explanation_el(await get_explanation({ ...question, tenant }, signal), alert.id));
    } catch (error) {
      if (!signal.aborted) fill(answer, failure(error, () => ask.click()));
    }
    ask.disabled = false;
  });
  const what = users.length ? ["The last event of ", choice ?? pivot("user", users[0], alert.tenant), " in this alert's time: "] : ["Its last event: "];
  return panel("Why, and why not", el("div.ask", {}, what, ask), answer);
}

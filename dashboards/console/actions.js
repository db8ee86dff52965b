// What machines were asked to do: the list of all of it, and of what concerns one alert or entity.

import { get_actions } from "./api.js";
import { ACT_KINDS, ACT_STATES, about_el, act_state_el, act_title, approvals_text, kind_text, state_text, took_text, waits } from "./acts.js";
import { tenant_el } from "./cases.js";
import { ask_to_decide_many, decision_buttons } from "./decide.js";
import { el, fill, row, table, untrusted } from "./dom.js";
import { input, select, toggle } from "./filters.js";
import { age_el, words } from "./format.js";
import { detector_el, severity_el } from "./labels.js";
import { Listing } from "./listing.js";
import { empty, panel } from "./parts.js";
import { may_triage } from "./roles.js";
import { link } from "./router.js";
import { act_tabs } from "./tabs.js";
import { Ticks } from "./ticks.js";

const COLUMNS = [{ label: "State", class: "c-status" }, { label: "Action", class: "c-title" }, { label: "About", class: "c-who" }, { label: "Because of", class: "c-cause" },
  { label: "Proof to end", class: "num c-took" }, { label: "Decided", class: "c-age" }, { label: "Decision", class: "c-do" }];
/** What a decision needs to be seen of it, where there is less room. */
const NARROW = COLUMNS.filter(({ label }) => ["State", "Action", "Decided", "Decision"].includes(label));
/** Those of one alert or entity; the rest stands in the list. */
const PART_ITEMS = 20;
/** Several states under one name, as the API takes them. */
const GROUPS = [["held,proposed", "waiting for a person"], ["requested,unconfirmed", "under way"], ["ended,contained,not_found,in_force", "done"], ["failed,expired,unconfirmed", "not done or not sure"]];

export function cause_el(act) {
  return [severity_el(act.severity), " ", el("a", { href: link(["alerts", act.alert]) }, detector_el(act.detector, true))];
}

/** Once it was decided on, the row shows what came of it, and keeps the focus; `decided(act)` is told. */
function act_row(act, app, columns, tick, decided) {
  const done = (answer) => {
    const next = answer.id === act.id ? answer : { ...act, undone_by: answer.id };
    const after = act_row(next, app, columns, tick, decided);
    decided(next);
    node.replaceWith(after);
    after.querySelector("a").focus();
  };
  const where = [act.target ? ["asked of ", untrusted(act.target, 60)] : null, act.policy ? [" by policy ", untrusted(act.policy, 60)] : null];
  const why = { proposed: () => [approvals_text(act), ", lapses ", age_el(act.not_after)], held: () => ["by the brake ", untrusted(words(act.brake ?? "unknown").toLowerCase(), 40)] };
  const cells = { "c-tick": tick(act), "c-who": [about_el(act), tenant_el(act, app)], "c-cause": cause_el(act), "c-took": took_text(act), "c-age": age_el(act.decided_time),
    "c-do": decision_buttons(act, app, done) ?? "–",
    "c-status": [act_state_el(act), Object.hasOwn(why, act.state) ? el("div.more", {}, why[act.state]()) : null],
    "c-title": [el("a.title", { href: link(["actions", act.id]), "data-move": "" }, act_title(act)), el("div.reason", {}, where), act.remark ? el("div.reason", {}, untrusted(act.remark, 200)) : null],
  };
  const node = row(columns, columns.map((column) => cells[column.class.split(" ").at(-1)]), { class: "case" });
  return node;
}

/** With `ticks`, those that wait can be ticked. */
function acts_table(caption, acts, app, own_columns = COLUMNS, ticks = null) {
  const columns = ticks ? [ticks.column, ...own_columns] : own_columns;
  const waiting = new Set(acts.filter(waits).map((act) => act.id));
  const tick = (act) => (ticks && waits(act) ? ticks.cell(act.id, el("span", {}, act_title(act)).textContent) : "");
  const decided = (act) => {
    if (!waits(act)) waiting.delete(act.id);
    ticks?.show([...waiting]);
  };
  const node = table(caption, columns, acts.map((act) => act_row(act, app, columns, tick, decided)), { class: "cases acts cards" });
  ticks?.show([...waiting]);
  return node;
}

/** What waits for a person because of one incident, in a panel; nothing where there is none. */
export function waiting_panel(incident, app, signal) {
  return acts_panel("Waits for a decision", { incident, state: "held,proposed" }, app, signal, NARROW);
}

/** What concerns what `query` says, in a panel of this `title`; nothing is shown where there is none. */
export function acts_panel(title, query, app, signal, columns = COLUMNS) {
  const host = el("div", {});
  get_actions({ ...query, limit: PART_ITEMS }, signal).then((page) => {
    if (signal.aborted || !page.items?.length) return;
    fill(host, panel(title, acts_table(title, page.items, app, columns), page.next_cursor ? el("p.more", {}, el("a", { href: link(["actions"], query) }, "All of them")) : null));
  }, (error) => {
    if (!signal.aborted) fill(host, panel(title, el("p.more", {}, "They cannot be read: ", untrusted(error.message, 200))));
  });
  return host;
}

function acts_list(acts, view) {
  const { app } = view;
  const decide = (step) => (ids) => ask_to_decide_many(step, acts.filter((act) => ids.includes(act.id)), app, () => view.load());
  const ticks = may_triage(app.caller) && acts.some(waits) ? new Ticks(["Approve …", decide("approve")], ["Refuse …", decide("reject")]) : null;
  view.ticks = ticks;
  return [acts_table("Actions, the last changed first", acts, app, COLUMNS, ticks), ticks?.bar];
}

const LIST = {
  view: "actions",
  title: "Actions",
  older: "Load older actions",
  fields: (query, app) => [
    select("state", "State", [...GROUPS, ...ACT_STATES.map((state) => [state, state_text(state)])], query.state), toggle(query, "state"),
    select("action", "Action", ACT_KINDS.map((kind) => [kind, kind_text(kind)]), query.action),
    input("user", "User", query.user), input("session", "Session", query.session), input("address", "Address", query.address), input("target", "Asked of", query.target),
    app.caller?.tenant ? null : input("tenant", "Tenant", query.tenant),
    query.alert ? input("alert", "Alert", query.alert) : null, query.incident ? input("incident", "Incident", query.incident) : null,
  ],
  page: get_actions,
  draw: (acts, view) => acts.length ? acts_list(acts, view)
    : empty("No such actions", "Machines are asked to do something once an alert hits somebody and a ", el("code", {}, "[[revocation]]"), " table or a policy is configured."),
};

export class ActionsView extends Listing {
  constructor(main, route, app) {
    super({ ...LIST, above: act_tabs("actions", app) }, main, route, app);
    let waiting = app.response.state?.waiting;
    app.response.addEventListener("change", () => {
      const before = waiting;
      ({ waiting } = app.response.state);
      // What was decided here is shown already.
      if (waiting > before) this.offer("More waits for a person. Show it");
    }, { signal: this.signal });
  }

  /** What `t` does. */
  focus_triage() {
    this.ticks?.start();
  }
}

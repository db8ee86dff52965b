// One action: what a machine was asked to do to whom and why, where it stands, how it got there, and what a
// person may decide about it.

import { get_action, get_case } from "./api.js";
import { about_el, act_state_el, act_title, approvals_of, approvals_text, effect_text, moves, state_meaning, took_ms, waits } from "./acts.js";
import { cause_el } from "./actions.js";
import { decision_buttons } from "./decide.js";
import { el, fill, untrusted } from "./dom.js";
import { age_el, count, duration_ms, time_el, words } from "./format.js";
import { entry_el, history_list } from "./history.js";
import { crumbs, facts, failure, loading, panel } from "./parts.js";
import { Poll } from "./poll.js";
import { may_triage } from "./roles.js";
import { link } from "./router.js";

const POLL_MS = 5000;

function act_link(id) {
  return id ? el("a", { href: link(["actions", id]) }, el("code", {}, untrusted(id, 40))) : null;
}

function cause(act, alert) {
  return [cause_el(act), alert ? el("div", {}, el("a", { href: link(["alerts", act.alert]) }, untrusted(alert.title ?? act.alert, 200))) : null];
}

function facts_panel(act, alert) {
  return panel("Facts", facts([
    ["About", about_el(act)], ["Because of", cause(act, alert)],
    ["Incident", alert?.incident ? el("a", { href: link(["incidents", alert.incident]) }, "its incident") : null],
    ["Asked of", act.target ? untrusted(act.target, 60) : "nobody: Bartizan keeps the block list"],
    ["Wanted by", act.policy ? ["policy ", untrusted(act.policy, 60)] : act.undoes ? "a person" : "its target's table"],
    ["Brake", act.brake ? untrusted(words(act.brake), 40) : null],
    ["Approval", act.approvals_needed > 0 ? approvals_text(act) : waits(act) ? "one person" : null],
    ["Undoes", act_link(act.undoes)], ["Undone by", act_link(act.undone_by)],
    ["Tenant", untrusted(act.tenant ?? "–", 60)], ["Version", count(act.version)], ["Id", el("code", {}, untrusted(act.id, 80))],
  ]));
}

/** What happened when, newest first; each with the time since the proof. */
function course_panel(act) {
  const since = (time) => {
    const ms = Date.parse(time) - Date.parse(act.event_time);
    return !act.undoes && ms >= 0 ? el("span.more", {}, `${duration_ms(ms)} after the proof`) : null;
  };
  const steps = [
    act.undoes ? null : [act.event_time, "Proof", "the event that proves it"], [act.decided_time, "Decided", act.undoes ? "by a person" : act.policy ? ["by policy ", untrusted(act.policy, 60)] : "by its target's table"],
    ...approvals_of(act).map((approval) => [approval.time, untrusted(approval.by ?? "someone", 60), "agreed", true]),
    act.target ? [act.requested_time, "Asked", ["of ", untrusted(act.target, 60)]] : null, [act.delivered_time, "Taken", "the target has it"],
    [act.confirmed_time, act.target ? "Ended" : "Blocked", act.state === "contained" ? "contained" : act.target ? "the target says so" : "on the list"],
  ].filter((step) => step?.[0]).reverse();
  steps.sort((a, b) => Date.parse(b[0]) - Date.parse(a[0]));
  return panel("Course", history_list(steps.map(([time, head, text, human = false]) => entry_el({ head, text: [text, " ", head === "Proof" ? null : since(time)], time, human }))));
}

/** Until when it waits, is tried or holds. */
function until_el(act) {
  const texts = { proposed: "lapses", requested: "void", unconfirmed: "asked again until", in_force: "ends" };
  return Object.hasOwn(texts, act.state) ? el("span.more", {}, `${texts[act.state]} `, age_el(act.not_after)) : null;
}

export class ActionView {
  #main;
  #id;
  #app;
  #abort = new AbortController();
  #poll = new Poll(() => this.#ask(), POLL_MS, this.#abort.signal);
  #act = null;
  #alert = null;
  title = "Action";

  constructor(main, route, app) {
    this.#main = main;
    [this.#id] = route.params;
    this.#app = app;
    fill(main, loading());
    this.load();
  }

  load() {
    return this.#poll.now();
  }

  unmount() {
    this.#abort.abort();
  }

  async #ask() {
    const { signal } = this.#abort;
    try {
      const act = await get_action(this.#id, signal);
      // Another tenant's, or older than the retention: its id has to do.
      this.#alert ??= await get_case("alerts", act.alert, signal).catch(() => null);
      if (signal.aborted) return;
      if (act.version !== this.#act?.version) this.#draw(act);
      this.#act = act;
      if (!moves(act)) this.#poll.stop();
    } catch (error) {
      if (!signal.aborted && !this.#act) fill(this.#main, failure(error, () => this.load()));
    }
  }

  #draw(act) {
    const title = el("h1", {}, act_title(act));
    this.title = title.textContent;
    this.#app.set_title(this.title);
    const took = took_ms(act);
    const buttons = decision_buttons(act, this.#app, () => this.load());
    const reads_only = waits(act) && !may_triage(this.#app.caller) ? el("p.more", {}, "The role of this token only reads. Deciding needs analyst or admin.") : null;
    fill(this.#main, el("article.act-page", {}, crumbs(this.#app.up()),
      el("div.head", {}, el("div.badges", {}, act_state_el(act), took === null ? null : el("span.more", {}, `${duration_ms(took)} from proof to end`), until_el(act)),
        title, el("p.because", {}, state_meaning(act)), act.remark ? el("p.more", {}, "Remark: ", untrusted(act.remark, 400)) : null),
      el("div.columns.halves", {},
        el("div", {}, waits(act) || buttons ? panel("Decision", el("p", {}, effect_text(act)), buttons ? el("div.actions", {}, buttons) : reads_only) : null, course_panel(act)), facts_panel(act, this.#alert))));
  }
}

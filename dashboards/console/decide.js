// What people decide on actions. Each is read anew first, told back with what will happen to whom, and only
// then done: it may have gone, lapsed or been decided since the page was drawn.

import { decide_action, get_action, get_case } from "./api.js";
import { act_state_el, act_title, approvals_of, approvals_text, effect_text, may_undo, state_meaning, undo_text, waits } from "./acts.js";
import { Dialog } from "./dialog.js";
import { el, untrusted } from "./dom.js";
import { age_el, count, counted, time_el, words } from "./format.js";
import { detector_el, severity_el } from "./labels.js";
import { facts, failure, loading } from "./parts.js";
import { may_triage } from "./roles.js";

/** `able(act)`: whether it is to be decided so; `title`, of many `title_many`, `button`, `said`: before, for and after it. */
const STEPS = {
  approve: { able: waits, title: "Approve this action?", title_many: (acts) => `Approve ${acts}?`, button: "Approve", said: "Approved" },
  reject: { able: waits, title: "Refuse this action?", title_many: (acts) => `Refuse ${acts}?`, button: "Refuse", said: "Refused" },
  undo: { able: may_undo, title: "Undo this action?", button: "Undo", said: "It is undone, or on its way to be" },
};

function agreed_by(act, caller) {
  return approvals_of(act).some((approval) => approval.token === caller?.id);
}

function whom_el(act, alert) {
  return facts([
    ["Asked of", act.target ? untrusted(act.target, 60) : "nobody: Bartizan keeps the block list"], ["Person", act.user ? untrusted(act.user, 120) : null],
    ["Session", act.session ? untrusted(act.session, 120) : null], ["Address", act.address ? untrusted(act.address, 60) : null],
    ["Tenant", untrusted(act.tenant ?? "–", 60)], ["Policy", act.policy ? untrusted(act.policy, 60) : null],
    ["Because of", [severity_el(act.severity), " ", alert ? untrusted(alert.title ?? alert.id, 160) : detector_el(act.detector, true)]],
    ["Proof at", time_el(act.event_time)],
  ]);
}

/** What comes after this person's word. */
function next_text(act, response) {
  const missing = (act.approvals_needed ?? 0) - approvals_of(act).length - 1;
  if (missing > 0) return ["Nothing is done yet: after you ", counted(missing, "more person").replace("persons", "people"), " must agree, ", age_el(act.not_after), " at the latest."];
  if (response?.stopped && act.target) return "Machines are stopped now: it goes once they may act again, and is void if that takes longer than its time.";
  return act.target ? ["Your word is the last one needed: ", untrusted(act.target, 60), " is asked at once."] : "Your word is the last one needed: it is done at once.";
}

const TELL = {
  approve: (act, response) => [el("p", {}, effect_text(act)),
    act.state === "held" ? el("p", {}, "A brake holds it (", untrusted(words(act.brake ?? "unknown").toLowerCase(), 40), "): machines were asked for unusually much. Look at the alert first.") : el("p.more", {}, `${approvals_text(act)} so far.`),
    el("p", {}, el("strong", {}, next_text(act, response)))],
  reject: () => [el("p", {}, "Nothing is done, and it is not asked for again because of this alert. That is final: to do it later, do it by hand.")],
  undo: (act) => [el("p", {}, undo_text(act)), act.target ? el("p", {}, untrusted(act.target, 60), " is asked at once, as an action of its own.") : null],
};

/** `step`: `approve`, `reject` or `undo`. `done(answer)` once it was taken. */
export async function ask_to_decide(step, id, app, done) {
  const { able, title, button, said } = STEPS[step];
  const dialog = new Dialog(title);
  dialog.show(loading(), null);
  let act;
  let alert;
  try {
    act = await get_action(id);
    // Another tenant's, or older than the retention: its detector has to do.
    alert = await get_case("alerts", act.alert).catch(() => null);
  } catch (error) {
    return dialog.show(failure(error), null);
  }
  const head = el("p", {}, act_title(act), ": ", act_state_el(act));
  if (!able(act)) return dialog.show([head, el("p", {}, "It stands elsewhere by now. ", state_meaning(act))], null);
  if (step === "approve" && agreed_by(act, app.caller)) return dialog.show([head, el("p", {}, "You agreed already: the word of another person is wanted, with a token of their own.")], null);
  dialog.show([head, whom_el(act, alert), TELL[step](act, app.response.state)], [button, async () => {
    const answer = await decide_action(id, step);
    dialog.close();
    app.announce(said);
    app.response.load();
    await done(answer);
  }]);
}

/** Agrees to many, or says no to them, one after the other: each stands or falls by itself. `done()` once all were tried. */
export function ask_to_decide_many(step, acts, app, done) {
  const { title_many, button, said } = STEPS[step];
  const dialog = new Dialog(title_many(counted(acts.length, "action")));
  const agreed = acts.filter((act) => step === "approve" && agreed_by(act, app.caller));
  const left = acts.filter((act) => !agreed.includes(act));
  const effects = [...new Set(left.map(effect_text))];
  dialog.show([
    step === "approve" ? effects.map((effect) => el("p", {}, effect)) : TELL.reject(),
    el("ul.plain", {}, left.map((act) => el("li", {}, act_title(act), el("span.more", {}, " in ", untrusted(act.tenant ?? "–", 60)), step === "approve" ? el("div.more", {}, next_text(act, app.response.state)) : null))),
    agreed.length ? el("p", {}, `You agreed already to ${count(agreed.length)} more: the word of another person is wanted.`) : null,
  ], left.length ? [`${button} ${count(left.length)}`, async () => {
    const failed = [];
    for (const act of left) await decide_action(act.id, step).catch((error) => failed.push([act, error]));
    app.response.load();
    app.announce(`${said}: ${count(left.length - failed.length)}`);
    done();
    if (!failed.length) return dialog.close();
    dialog.show([el("p", { role: "status" }, `${count(left.length - failed.length)} done, ${count(failed.length)} not:`),
      el("ul.plain", {}, failed.map(([act, error]) => el("li", {}, act_title(act), ": ", el("span.refused", {}, untrusted(error.message, 200)))))], null);
  }] : null);
}

/** The buttons for what this caller may decide on `act` now; `null` where there is nothing. */
export function decision_buttons(act, app, done) {
  if (!may_triage(app.caller)) return null;
  const button = (step, text) => el("button", { type: "button", onclick: () => ask_to_decide(step, act.id, app, done) }, text);
  if (waits(act)) return [button("approve", act.state === "held" ? "Let go …" : "Approve …"), button("reject", "Refuse …")];
  return may_undo(act) ? [button("undo", act.action === "block_address" ? "Lift …" : "Undo …")] : null;
}

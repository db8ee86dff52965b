// What people decide on actions. Each is read anew first, told back with what will happen to whom, and only
// then done: it may have gone, lapsed or been decided since the page was drawn.

import { decide_action, get_action, get_case } from "./api.js";
import { act_state_el, act_title, approvals_of, approvals_text, effect_text, may_undo, state_meaning, undo_text, waits } from "./acts.js";
import { Dialog } from "./dialog.js";
import { el, untrusted } from "./dom.js";
import { age_el, counted, time_el, words } from "./format.js";
import { detector_el, severity_el } from "./labels.js";
import { facts, failure, loading } from "./parts.js";
import { may_triage } from "./roles.js";

/** `able(act)`: whether it is to be decided so; `title`, `button`, `said`: before, for and after it. */
const STEPS = {
  approve: { able: waits, title: "Approve this action?", button: "Approve", said: "Approved" },
  reject: { able: waits, title: "Refuse this action?", button: "Refuse", said: "Refused" },
  undo: { able: may_undo, title: "Undo this action?", button: "Undo", said: "It is undone, or on its way to be" },
};

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
  const own = approvals_of(act).some((approval) => approval.token === app.caller?.id);
  if (step === "approve" && own) return dialog.show([head, el("p", {}, "You agreed already: the word of another person is wanted, with a token of their own.")], null);
  dialog.show([head, whom_el(act, alert), TELL[step](act, app.response.state)], [button, async () => {
    const answer = await decide_action(id, step);
    dialog.close();
    app.announce(said);
    app.response.load();
    await done(answer);
  }]);
}

/** The buttons for what this caller may decide on `act` now; `null` where there is nothing. */
export function decision_buttons(act, app, done) {
  if (!may_triage(app.caller)) return null;
  const button = (step, text) => el("button", { type: "button", onclick: () => ask_to_decide(step, act.id, app, done) }, text);
  if (waits(act)) return [button("approve", act.state === "held" ? "Let go …" : "Approve …"), button("reject", "Refuse …")];
  return may_undo(act) ? [button("undo", act.action === "block_address" ? "Lift …" : "Undo …")] : null;
}

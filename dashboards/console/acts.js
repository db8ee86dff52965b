// What machines can be asked to do, in words: what it is, what comes of it, and where it stands. Of a kind
// or a state that is not known here the API's own name is shown.

import { el, untrusted } from "./dom.js";
import { count, duration_ms, words } from "./format.js";
import { pivot } from "./parts.js";

const VALUE_CHARS_MAX = 96;

function value(text) {
  return el("strong", {}, untrusted(text ?? "unknown", VALUE_CHARS_MAX));
}

function of_user(act) {
  return act.user ? [" of ", value(act.user)] : null;
}

function of_what(act) {
  return act.what ? [" (", untrusted(act.what, VALUE_CHARS_MAX), ")"] : null;
}

/** `name`: what it is; `title`: what is to be done to whom; `effect`: what comes of it; `undo`: what undoing it comes to. */
const ACTS = {
  revoke_session: {
    name: "End session",
    title: (act) => ["End session ", value(act.session), of_user(act)],
    effect: "This one session is to end. What its owner signed in to after the proof lives on.",
  },
  revoke_user_sessions: {
    name: "End all sessions",
    title: (act) => ["End all sessions of ", value(act.user)],
    effect: "Every session of this person that began before the proof is to end, on all devices, the owner's own ones too. The person has to sign in again.",
  },
  revoke_token: {
    name: "Revoke token",
    title: (act) => ["Revoke token ", value(act.token_id), of_user(act)],
    effect: "This one token is to be good no more. What was issued after the proof lives on.",
  },
  require_sign_in: {
    name: "Ask more at sign-in",
    title: (act) => ["Ask more of ", value(act.user), " at the next sign-in"],
    effect: "At the next sign-in the identity provider asks this person for what is configured there, such as a new password.",
    undo: "The identity provider is told to ask no more than usual of this person.",
  },
  waive_sign_in: {
    name: "Ask no more at sign-in",
    title: (act) => ["Ask no more of ", value(act.user), " at the next sign-in"],
    effect: "The identity provider asks this person for no more than usual again.",
  },
  disable_user: {
    name: "Disable account",
    title: (act) => ["Disable the account of ", value(act.user)],
    effect: "This person can sign in nowhere any more until somebody enables the account again.",
    undo: "The account is enabled: this person, and whoever knows the password, can sign in again.",
  },
  enable_user: {
    name: "Enable account",
    title: (act) => ["Enable the account of ", value(act.user)],
    effect: "This person can sign in again.",
  },
  remove_factor: {
    name: "Remove factor",
    title: (act) => ["Remove a factor of ", value(act.user), of_what(act)],
    effect: "A factor that was added since the attack is to go; older ones and the password stay. It cannot be undone: if it was the person's own, they have to enrol it again.",
  },
  remove_grant: {
    name: "Remove grant",
    title: (act) => ["Take an application's access from ", value(act.user), of_what(act)],
    effect: "The application loses the access that was given since the attack, with its offline tokens. It cannot be undone: if it was the person's own, they have to give access again.",
  },
  remove_api_key: {
    name: "Remove API key",
    title: (act) => ["Remove an API key of ", value(act.user), of_what(act)],
    effect: "The key that was made since the attack is to be good no more. It cannot be undone: if it was the person's own, they have to make a new one.",
  },
  restore_email: {
    name: "Restore e-mail",
    title: (act) => ["Restore the e-mail address of ", value(act.user), of_what(act)],
    effect: "The address from before the attack is set again, if the attacker's is still there. It cannot be undone: if the change was the person's own, they have to make it again.",
  },
  block_address: {
    name: "Block address",
    title: (act) => ["Block address ", value(act.address)],
    effect: "Gateways that read the block list turn away everything from this address for the configured time, innocent people behind it included.",
    undo: "The address leaves the block list: gateways let it in again.",
  },
};

export const ACT_KINDS = Object.keys(ACTS);

function known(act) {
  return Object.hasOwn(ACTS, act.action ?? "") ? ACTS[act.action] : null;
}

/** The whole act as a phrase. */
export function act_title(act) {
  const whom = act.session ?? act.address ?? act.token_id ?? act.user;
  return known(act)?.title(act) ?? [untrusted(words(act.action ?? "action"), 60), whom ? [": ", value(whom)] : null, whom !== act.user ? of_user(act) : null];
}

export function kind_text(kind) {
  return known({ action: kind })?.name ?? words(kind);
}

export function effect_text(act) {
  return known(act)?.effect ?? "What this comes to, the target's documentation says.";
}

export function undo_text(act) {
  return known(act)?.undo ?? null;
}

/** The word for a state, how it is coloured, and what it means. */
const STATES = {
  shadow: ["dry run", "plain", "Only recorded: nothing was asked of anybody."],
  held: ["held", "warn", "A brake holds it, and a person decides. Nothing is done meanwhile."],
  proposed: ["waits for approval", "warn", "Nothing is done until people agree."],
  protected: ["protected", "plain", "Whom or what it is about is never acted on."],
  requested: ["on its way", "plain", "The target is being asked. It is tried again until it has it, or time runs out."],
  unconfirmed: ["not confirmed", "warn", "The target took it, but does not say that it is done, or says that it is not. What was to be ended may still live."],
  ended: ["done, confirmed", "good", "The target had it and said, when asked again, that it is done."],
  not_found: ["was gone", "plain", "The target did not know it: it had ended before, or was never its own."],
  contained: ["contained", "good", "It cannot be asked about, but a later use was refused, or what was issued before has run out."],
  in_force: ["in force", "good", "The address is on the block list."],
  lifted: ["over", "plain", "The address was blocked for its time, and is not any more."],
  failed: ["failed", "bad", "The target cannot do it. Do it by hand."],
  expired: ["lapsed", "bad", "It did not arrive, or nobody agreed, in time. Nothing was done."],
  cancelled: ["taken back", "plain", "People judged the alert false or harmless before it was done."],
  rejected: ["refused", "plain", "A person said no. Nothing was done."],
  undone: ["undone", "plain", "It was done, and then undone."],
};

export const ACT_STATES = Object.keys(STATES);
/** Those that time, the target or a person may still change soon. */
const MOVING = ["held", "proposed", "requested", "unconfirmed", "in_force"];

export function waits(act) {
  return act.state === "held" || act.state === "proposed";
}

export function moves(act) {
  return MOVING.includes(act.state);
}

export function may_undo(act) {
  if (undo_text(act) === null) return false;
  return act.action === "block_address" ? act.state === "in_force" : ["ended", "unconfirmed", "contained"].includes(act.state) && act.delivered_time && !act.undone_by;
}

export function state_text(state) {
  return Object.hasOwn(STATES, state ?? "") ? STATES[state][0] : words(state ?? "unknown").toLowerCase();
}

export function state_meaning(act) {
  return Object.hasOwn(STATES, act.state ?? "") ? STATES[act.state][2] : "";
}

/** The state with a dot; the colour repeats what the word says. */
export function act_state_el(act) {
  const kind = Object.hasOwn(STATES, act.state ?? "") ? STATES[act.state][1] : "plain";
  return el(`span.state.state-${kind}`, { title: state_meaning(act) }, untrusted(state_text(act.state), 40));
}

export function approvals_of(act) {
  return Array.isArray(act.approvals) ? act.approvals : [];
}

/** How many people are still to agree, who did, and until when. */
export function approvals_text(act) {
  const given = approvals_of(act);
  const wanted = Math.max(act.approvals_needed ?? 0, 1);
  return `${count(given.length)} of ${count(wanted)} ${wanted === 1 ? "person" : "people"} agreed`;
}

/** From the event that proves it to its end; `null` while there is none. */
export function took_ms(act) {
  const ms = Date.parse(act.confirmed_time) - Date.parse(act.event_time);
  return act.undoes || Number.isNaN(ms) ? null : Math.max(ms, 0);
}

export function took_text(act) {
  const ms = took_ms(act);
  return ms === null ? "–" : duration_ms(ms);
}

/** Whom and what it is about, as links to what is known of them. */
export function about_el(act) {
  const parts = [["session", act.session], ["user", act.user], ["ip", act.address]].filter(([, text]) => text);
  return parts.length ? parts.map(([type, text]) => el("div", {}, el("span.more", {}, `${type === "ip" ? "address" : type} `), pivot(type, text, act.tenant)))
    : act.token_id ? el("div", {}, el("span.more", {}, "token "), el("code", {}, untrusted(act.token_id, VALUE_CHARS_MAX))) : "–";
}

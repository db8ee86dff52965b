// Whom an alert or an incident is about: two names in a row of a list, all of them on its page.

import { el, row, table, untrusted } from "./dom.js";
import { count } from "./format.js";
import { panel, pivot } from "./parts.js";
import { ENTITY_TYPES } from "./router.js";
import { plain } from "./visible.js";

const COLUMNS = [{ label: "Role", class: "c-role" }, { label: "Type", class: "c-type" }, { label: "Who", class: "c-value" }];
const ROWS_MAX = 100;
const NAMED_MAX = 2;

function subjects_of(item) {
  return Array.isArray(item.subjects) ? item.subjects : [];
}

/** Whom to name first: what was hit, then who attacked, then the rest. */
function ranked(subjects) {
  const rank = (subject) => (subject.hit ? 0 : subject.role === "attacker" ? 1 : 2);
  return subjects.map((subject, i) => [rank(subject), i, subject]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((entry) => entry[2]);
}

/** The cell of a list's row. */
export function who(item) {
  const subjects = ranked(subjects_of(item)).filter((subject) => subject?.type !== "network");
  const shown = subjects.slice(0, NAMED_MAX).map((subject) =>
    el("div.subject", { title: plain(`${subject.role ?? ""} ${subject.type}${subject.hit ? ", hit" : ""}`, 60) },
      el(`span.role.role-${subject.hit ? "hit" : subject.role === "attacker" ? "attacker" : "other"}`, { "aria-hidden": "true" }),
      el("span.away", {}, subject.hit ? "hit: " : `${plain(subject.role ?? "", 20)}: `),
      untrusted(subject.value, 64)));
  const more = subjects.length - shown.length;
  return [shown, more > 0 ? el("div.more", {}, `+ ${count(more)} more`) : null];
}

function subject_row(subject, tenant) {
  const known = ENTITY_TYPES.includes(subject.type);
  const role = ["attacker", "victim", "shared"].includes(subject.role) ? subject.role : "other";
  return row(COLUMNS, [
    [el(`span.tag.tag-${role}`, {}, untrusted(subject.role ?? "–", 20)), subject.hit ? [" ", el("span.tag.tag-hit", { title: "a success, or a stolen session" }, "hit")] : null],
    subject.type === "ip" ? "address" : untrusted(subject.type ?? "–", 20),
    known ? pivot(subject.type, subject.value, tenant) : untrusted(subject.value, 96),
  ]);
}

export function subjects_panel(item) {
  const subjects = subjects_of(item);
  if (!subjects.length) return null;
  const left = subjects.length - ROWS_MAX;
  return panel("Who", table("Subjects", COLUMNS, subjects.slice(0, ROWS_MAX).map((subject) => subject_row(subject, item.tenant)), { class: "subjects" }),
    left > 0 ? el("p.more", {}, `+ ${count(left)} more`) : null);
}

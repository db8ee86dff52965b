// Triage of many alerts or incidents at once: a change is chosen, the daemon tells what it would do to each,
// and only then it is made.

import { triage_cases } from "./api.js";
import { Dialog } from "./dialog.js";
import { el, row, table, untrusted } from "./dom.js";
import { count, counted, words } from "./format.js";
import { CASES } from "./router.js";
import { changes, triage_fields } from "./triage.js";

const COLUMNS = [{ label: "Title", class: "c-title" }, { label: "What happens", class: "c-text" }];
const MEMBERS = ["status", "disposition", "assignee"];

function value_el(name, value) {
  if (!value) return "none";
  return untrusted(name === "assignee" ? value : words(value).toLowerCase(), 60);
}

function lines_of(answer) {
  return Array.isArray(answer.items) ? answer.items : [];
}

function line_el(line, change) {
  if (line.refused) return el("span.refused", {}, "refused: ", untrusted(line.refused, 200));
  const changed = MEMBERS.filter((name) => (line.from?.[name] ?? null) !== (line.to?.[name] ?? null));
  if (!changed.length) return change.note || change.link ? "noted" : "stays as it is";
  return changed.map((name, i) => [i ? ", " : "", `${name} `, value_el(name, line.from?.[name]), " → ", el("strong", {}, value_el(name, line.to?.[name]))]);
}

/** Those that are refused first: they are what one should look at. */
function answer_table(answer, change, titles) {
  const lines = lines_of(answer);
  const ordered = [...lines.filter((line) => line.refused), ...lines.filter((line) => !line.refused)];
  return el("div.preview", {}, table("What happens to each", COLUMNS, ordered.map((line) =>
    row(COLUMNS, [untrusted(line.title ?? titles.get(line.id) ?? line.id, 120), line_el(line, change)])), { class: "cards" }));
}

/** Asks for a change of `items` of a `kind` (`alerts` or `incidents`); `done(n)` with how many were changed. */
export function triage_many(kind, items, caller, done) {
  const ids = items.map((item) => item.id);
  const titles = new Map(items.map((item) => [item.id, item.title]));
  const dialog = new Dialog(`Triage of ${counted(ids.length, CASES[kind])}`);
  const fields = el("div", {}, triage_fields({}, caller));
  const choose = () => dialog.show(fields, ["Preview", async (form) => {
    const change = changes(form, {});
    if (!Object.keys(change).length) throw new Error("Choose what changes.");
    preview(change, await triage_cases(kind, ids, change, true));
  }]);
  const preview = (change, answer) => {
    const refused = answer.refused > 0 ? `, ${count(answer.refused)} refused` : "";
    const follow = kind === "incidents" ? " The alerts of each follow." : "";
    const willing = lines_of(answer).filter((line) => !line.refused).map((line) => line.id);
    const forward = willing.length ? [`Change ${count(willing.length)}`, async () => made(change, await triage_cases(kind, willing, change, false))] : null;
    dialog.show([el("p", { role: "status" }, `Nothing is changed yet. ${count(willing.length)} would be${refused}.${follow}`), answer_table(answer, change, titles)], forward, choose);
  };
  // Something may have become of one since the preview.
  const made = (change, answer) => {
    done(answer.changed);
    if (!answer.refused) return dialog.close();
    dialog.show([el("p", { role: "status" }, `${count(answer.changed)} changed, ${count(answer.refused)} refused.`), answer_table(answer, change, titles)], null);
  };
  choose();
}

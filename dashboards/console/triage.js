// Triage of alerts and incidents: the fields for one of them or for many, and the form of one. Sends only
// what was changed.

import { patch_case } from "./api.js";
import { el, fill } from "./dom.js";
import { words } from "./format.js";
import { DISPOSITIONS, STATUSES } from "./labels.js";
import { attempt } from "./parts.js";

const NOTE_CHARS_MAX = 4000;
const NAME_CHARS_MAX = 128;
const LINK_CHARS_MAX = 2000;

function choice(name, label, options, value) {
  return el("fieldset.choice", {}, el("legend", {}, label), el("div.choices", {}, options.map((option) =>
    el("label", {}, el("input", { type: "radio", name, value: option, checked: option === value }), el("span", {}, words(option))))));
}

export function note_field() {
  return el("label.field", {}, el("span", {}, "Note"), el("textarea", { name: "note", rows: 3, maxlength: NOTE_CHARS_MAX, placeholder: "What you found; kept in the history" }));
}

export function note_of(form) {
  return form.elements.note.value.trim() || undefined;
}

function link_field() {
  return el("label.field", {}, el("span", {}, "Link"), el("input", { name: "link", type: "url", pattern: "https?://.+", maxlength: LINK_CHARS_MAX,
    autocomplete: "off", spellcheck: "false", placeholder: "https:// of a ticket; kept in the history" }));
}

/** The fields, as `item` stands; of many at once nothing is chosen yet. */
export function triage_fields(item, caller) {
  const disposition = choice("disposition", "It was", DISPOSITIONS, item.disposition);
  const status = choice("status", "Status", STATUSES, item.status);
  const follow = () => { disposition.hidden = !status.querySelector("[value=resolved]").checked; };
  status.addEventListener("change", follow);
  follow();
  const assignee = el("input", { name: "assignee", value: item.assignee ?? "", maxlength: NAME_CHARS_MAX, autocomplete: "off", spellcheck: "false" });
  const mine = caller?.name ? el("button.quiet", { type: "button", onclick: () => { assignee.value = caller.name; } }, "Me") : null;
  return [status, disposition, el("label.field", {}, el("span", {}, "Assignee"), el("span.joined", {}, assignee, mine)), note_field(), link_field()];
}

/** What the fields say that `item` does not. */
export function changes(form, item) {
  const values = Object.fromEntries(new FormData(form));
  const out = {};
  if (values.status && values.status !== item.status) out.status = values.status;
  if (values.status === "resolved" && values.disposition && values.disposition !== item.disposition) out.disposition = values.disposition;
  const assignee = (values.assignee ?? "").trim();
  if (assignee !== (item.assignee ?? "")) out.assignee = assignee === "" ? null : assignee;
  const note = note_of(form);
  if (note) out.note = note;
  const linked = (values.link ?? "").trim();
  if (linked) out.link = linked;
  return out;
}

/** `kind`: `alerts` or `incidents`. `saved` is called after the API has taken the change. */
export function triage_form(kind, item, caller, saved) {
  const message = el("p.message", { role: "status" });
  const save = el("button.primary", { type: "submit" }, "Save");
  const form = el("form.triage", { "aria-label": "Triage" }, triage_fields(item, caller), el("div.actions", {}, save, message));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = changes(form, item);
    if (!Object.keys(wanted).length) return void fill(message, "Nothing was changed.");
    await attempt(save, message, async () => {
      await patch_case(kind, item.id, wanted);
      await saved();
    });
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}

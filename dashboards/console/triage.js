// The triage form of one alert: status, disposition, assignee, note. Sends only what was changed.

import { patch_alert } from "./api.js";
import { el, fill, untrusted } from "./dom.js";
import { words } from "./format.js";
import { DISPOSITIONS, STATUSES } from "./labels.js";

const NOTE_CHARS_MAX = 4000;
const NAME_CHARS_MAX = 128;

/** Unknown role: offer it and let the API decide. */
export function may_triage(caller) {
  return !caller?.role || caller.role === "analyst" || caller.role === "admin";
}

function choice(name, label, options, value) {
  return el("fieldset.choice", {}, el("legend", {}, label), el("div.choices", {}, options.map((option) =>
    el("label", {}, el("input", { type: "radio", name, value: option, checked: option === value }), el("span", {}, words(option))))));
}

function changes(form, alert) {
  const values = Object.fromEntries(new FormData(form));
  const out = {};
  if (values.status && values.status !== alert.status) out.status = values.status;
  if (values.status === "resolved" && values.disposition && values.disposition !== alert.disposition) out.disposition = values.disposition;
  const assignee = (values.assignee ?? "").trim();
  if (assignee !== (alert.assignee ?? "")) out.assignee = assignee === "" ? null : assignee;
  const note = (values.note ?? "").trim();
  if (note) out.note = note;
  return out;
}

/** `saved` is called after the API has taken the change. */
export function triage_form(alert, caller, saved) {
  const message = el("p.message", { role: "status" });
  const disposition = choice("disposition", "It was", DISPOSITIONS, alert.disposition);
  const save = el("button.primary", { type: "submit" }, "Save");
  const assignee = el("input", { name: "assignee", value: alert.assignee ?? "", maxlength: NAME_CHARS_MAX, autocomplete: "off", spellcheck: "false" });
  const mine = caller?.name ? el("button.quiet", { type: "button", onclick: () => { assignee.value = caller.name; } }, "Me") : null;
  const form = el("form.triage", { "aria-label": "Triage" },
    choice("status", "Status", STATUSES, alert.status), disposition,
    el("label.field", {}, el("span", {}, "Assignee"), el("span.joined", {}, assignee, mine)),
    el("label.field", {}, el("span", {}, "Note"), el("textarea", { name: "note", rows: 3, maxlength: NOTE_CHARS_MAX, placeholder: "What you found; kept in the history" })),
    el("div.actions", {}, save, message));
  const follow = () => { disposition.hidden = form.elements.status.value !== "resolved"; };
  form.addEventListener("change", follow);
  follow();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = changes(form, alert);
    if (!Object.keys(wanted).length) return void fill(message, "Nothing was changed.");
    save.disabled = true;
    message.classList.remove("bad");
    fill(message, "Saving …");
    try {
      await patch_alert(alert.id, wanted);
      await saved();
    } catch (error) {
      message.classList.add("bad");
      fill(message, error.parameter ? [el("strong", {}, untrusted(words(error.parameter), 40)), ": "] : null, untrusted(error.message, 300));
      form.elements[error.parameter]?.focus?.();
    }
    save.disabled = false;
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}

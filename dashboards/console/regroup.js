// What belongs together by hand: incidents are merged into one, or alerts split off into one of their own.
// Each is asked for, then told back with what will happen, and only then done.

import { get_case, merge_incidents, split_incident } from "./api.js";
import { Dialog } from "./dialog.js";
import { el, untrusted } from "./dom.js";
import { counted } from "./format.js";
import { severity_el, status_el } from "./labels.js";
import { loading } from "./parts.js";
import { note_field, note_of } from "./triage.js";

const ID_CHARS_MAX = 128;

function named(item, more = null) {
  return el("li", {}, severity_el(item.severity), " ", untrusted(item.title ?? item.id, 160), more);
}

function titled(item) {
  return el("strong", {}, untrusted(item.title ?? item.id, 160));
}

/** Those that are related can be ticked, another one is named by its id, as its page and its address have it. */
function merge_fields(others) {
  return el("div", {},
    others.length ? el("fieldset.choice", {}, el("legend", {}, "Related incidents"), others.map((other) =>
      el("label.option", {}, el("input", { type: "checkbox", name: "other", value: other.id }), el("span", {}, severity_el(other.severity), " ", untrusted(other.title ?? other.id, 160), " ", status_el(other))))) : null,
    el("label.field", {}, el("span", {}, "Another one's id"), el("input", { name: "incidents", maxlength: ID_CHARS_MAX, autocomplete: "off", spellcheck: "false" })), note_field());
}

/** `related`: ids to choose from. `done()` once they are merged into `incident`. */
export async function ask_to_merge(incident, related, done) {
  const dialog = new Dialog("Merge into this incident");
  dialog.show(loading(), null);
  const read = await Promise.allSettled(related.map((id) => get_case("incidents", id)));
  const others = read.filter((answer) => answer.status === "fulfilled").map((answer) => answer.value).filter((other) => !other.merged_into);
  const fields = merge_fields(others);
  const choose = () => dialog.show(fields, ["Go on", async (form) => {
    const pasted = form.elements.incidents.value.trim();
    const ids = new Set([...new FormData(form).getAll("other"), ...(pasted ? [pasted] : [])]);
    if (!ids.size) throw new Error("Tick an incident, or give the id of one.");
    if (ids.has(incident.id)) throw new Error("That is this incident itself.");
    tell(await Promise.all([...ids].map((id) => get_case("incidents", id))), note_of(form));
  }]);
  const tell = (chosen, note) => {
    const one = chosen.length === 1;
    dialog.show([
      el("p", {}, one ? "All alerts of this incident move" : "All alerts of these incidents move", " into ", titled(incident), ":"),
      el("ul.plain", {}, chosen.map((other) => named(other, el("span.more", {}, `, ${counted(other.alert_count, "alert")}`)))),
      el("p", {}, one ? "It ends as merged and points here from then on." : "They end as merged and point here from then on."),
    ], ["Merge", async () => {
      await merge_incidents(incident.id, chosen.map((other) => other.id), note);
      dialog.close();
      await done();
    }], choose);
  };
  choose();
}

/** `done(own)` with the new incident of these alerts. */
export function ask_to_split(incident, alerts, done) {
  const dialog = new Dialog(`Split off ${counted(alerts.length, "alert")}`);
  const staying = incident.alert_count - alerts.length;
  if (staying < 1) return dialog.show(el("p", {}, "At least one alert has to stay."), null);
  dialog.show([
    el("p", {}, alerts.length === 1 ? "This alert becomes an incident of its own:" : "These alerts become an incident of their own:"),
    el("ul.plain", {}, alerts.map((alert) => named(alert))),
    el("p", {}, `${counted(staying, "alert")} ${staying === 1 ? "stays" : "stay"} in `, titled(incident), ". Both incidents name each other as related."),
    note_field(),
  ], ["Split off", async (form) => {
    const own = await split_incident(incident.id, alerts.map((alert) => alert.id), note_of(form));
    dialog.close();
    done(own);
  }]);
}

// The filters above a list of alerts or incidents.

import { el } from "./dom.js";
import { WITHIN } from "./feed.js";
import { words } from "./format.js";
import { DETECTORS, SEVERITIES, STATUSES } from "./labels.js";
import { plain } from "./visible.js";

function select(name, label, options, value) {
  const known = options.includes(value) || !value ? options : [...options, value];
  return el("label", {}, el("span", {}, label), el("select", { name },
    el("option", { value: "" }, "any"),
    known.map((option) => el("option", { value: option, selected: option === value }, name === "within" ? `last ${option}` : plain(words(option), 60)))));
}

function input(name, label, value, props = {}) {
  return el("label", {}, el("span", {}, label), el("input", {
    name, value: value ?? "", type: "search", autocomplete: "off", spellcheck: "false", autocapitalize: "off", maxlength: 512, ...props,
  }));
}

/** On narrow screens the filters but for the search are folded behind this. */
function toggle(query) {
  const active = Object.keys(query).filter((name) => name !== "text").length;
  return el("button.toggle", { type: "button", "aria-expanded": "false", onclick: (event) => {
    const open = event.currentTarget.form.classList.toggle("open");
    event.currentTarget.setAttribute("aria-expanded", String(open));
  } }, active ? `Filters (${active})` : "Filters");
}

/** A form whose fields have the names of `FILTERS`, and a button `clear`. */
export function filter_bar(kind, query, app) {
  const ids = app.status?.detectors?.map((detector) => detector.id).filter((id) => typeof id === "string") ?? [];
  return el("form.filters", { role: "search", "aria-label": `Filter ${kind}`, onsubmit: (event) => event.preventDefault() },
    input("text", "Search loaded", query.text, { placeholder: "title, reason, who …", "aria-keyshortcuts": "/", id: "filter" }),
    toggle(query),
    select("severity", "Severity", SEVERITIES, query.severity),
    select("status", "Status", STATUSES, query.status),
    select("detector", "Detector", ids.length ? ids : DETECTORS, query.detector),
    input("user", "User", query.user), input("ip", "Address", query.ip), input("session", "Session", query.session),
    select("within", "Time", WITHIN, query.within),
    el("button.quiet", { type: "button", name: "clear" }, "Clear"));
}

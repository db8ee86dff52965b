// The filters above a list.

import { el } from "./dom.js";
import { WITHIN } from "./feed.js";
import { words } from "./format.js";
import { DETECTORS, SEVERITIES, STATUSES } from "./labels.js";
import { plain } from "./visible.js";

/** `options`: pairs of a value and its name. */
export function select(name, label, options, value) {
  const known = !value || options.some(([option]) => option === value) ? options : [...options, [value, words(value)]];
  return el("label", {}, el("span", {}, label), el("select", { name },
    el("option", { value: "" }, "any"),
    known.map(([option, text]) => el("option", { value: option, selected: option === value }, plain(text, 60)))));
}

export function input(name, label, value, props = {}) {
  return el("label", {}, el("span", {}, label), el("input", {
    name, value: value ?? "", type: "search", autocomplete: "off", spellcheck: "false", autocapitalize: "off", maxlength: 512, ...props,
  }));
}

/** On narrow screens the filters but for the first, which is called `first`, are folded behind this. */
export function toggle(query, first) {
  const active = Object.keys(query).filter((name) => name !== first).length;
  return el("button.toggle", { type: "button", "aria-expanded": "false", onclick: (event) => {
    const open = event.currentTarget.form.classList.toggle("open");
    event.currentTarget.setAttribute("aria-expanded", String(open));
  } }, active ? `Filters (${active})` : "Filters");
}

/** A form of such fields, and a button `clear`. */
export function filter_form(label, fields) {
  return el("form.filters", { role: "search", "aria-label": label, onsubmit: (event) => event.preventDefault() }, fields,
    el("button.quiet", { type: "button", name: "clear" }, "Clear"));
}

function named(options) {
  return options.map((option) => [option, words(option)]);
}

/** Those of alerts or incidents: fields with the names of `FILTERS`. */
export function filter_bar(kind, query, app) {
  const ids = app.status?.detectors?.map((detector) => detector.id).filter((id) => typeof id === "string") ?? [];
  return filter_form(`Filter ${kind}`, [
    input("text", "Search loaded", query.text, { placeholder: "title, reason, who …", "aria-keyshortcuts": "/", id: "filter" }),
    toggle(query, "text"),
    select("severity", "Severity", named(SEVERITIES), query.severity),
    select("status", "Status", named(STATUSES), query.status),
    select("detector", "Detector", named(ids.length ? ids : DETECTORS), query.detector),
    input("user", "User", query.user), input("ip", "Address", query.ip), input("session", "Session", query.session),
    input("device", "Device", query.device),
    select("within", "Time", WITHIN.map((within) => [within, `last ${within}`]), query.within),
  ]);
}

// The numbers a detector gave as evidence, as a table. Their names and shapes are the detector's
// own; the console reads units off the names' endings and knows nothing else of them.

import { el, row, table, untrusted } from "./dom.js";
import { duration_ms, number, time_el, words } from "./format.js";

const COLUMNS = [{ label: "Measure", class: "c-name" }, { label: "Value", class: "c-value" }];
const ROWS_MAX = 200;
const LIST_MAX = 20;
const DEPTH_MAX = 3;

const UNITS = [
  [/_(ms)$/, (value) => duration_ms(value)],
  [/_(secs?|seconds|s)$/, (value) => duration_ms(value * 1000)],
  [/_km_h$/, (value) => `${number(value)} km/h`],
  [/_km$/, (value) => `${number(value)} km`],
  [/_bytes$/, (value) => `${number(value)} bytes`],
  [/_(share|ratio)$/, (value) => `${number(Math.round(value * 1000) / 10)} %`],
];

function label(name) {
  return words(name.replace(/_(ms|secs?|seconds|km_h|km|bytes|share|ratio)$/, (unit) => (/share|ratio/.test(unit) ? unit : "")));
}

function value_el(name, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") {
    const unit = UNITS.find(([ending]) => ending.test(name));
    return unit ? unit[1](value) : number(value);
  }
  if (typeof value === "string" && /_time$|_at$/.test(name) && !Number.isNaN(Date.parse(value))) return time_el(value);
  if (Array.isArray(value)) return list_el(name, value);
  if (typeof value === "object") return untrusted(JSON.stringify(value), 300);
  return untrusted(value, 300);
}

function list_el(name, values) {
  if (!values.length) return "none";
  const left = values.length - LIST_MAX;
  return el("ul.plain", {}, values.slice(0, LIST_MAX).map((value) => el("li", {}, value_el(name, value))),
    left > 0 ? el("li.more", {}, `+ ${number(left)} more`) : null);
}

// Nested objects become rows of their own, named by their path: "Limits · failure share".
function flatten(evidence, prefix = [], depth = 0) {
  return Object.entries(evidence).flatMap(([name, value]) => {
    const nested = value && typeof value === "object" && !Array.isArray(value) && depth < DEPTH_MAX;
    return nested ? flatten(value, [...prefix, name], depth + 1) : [{ path: [...prefix, name], name, value }];
  });
}

export function evidence_table(evidence) {
  const entries = evidence && typeof evidence === "object" ? flatten(evidence) : [];
  if (!entries.length) return el("p.more", {}, "The detector gave no numbers beyond the reason.");
  const rows = entries.slice(0, ROWS_MAX).map(({ path, name, value }) => row(COLUMNS, [
    path.map((part, i) => [i ? " · " : "", untrusted(i === path.length - 1 ? label(part) : words(part), 80)]), value_el(name, value),
  ]));
  const left = entries.length - rows.length;
  return [table("Evidence", COLUMNS, rows, { class: "evidence" }), left > 0 ? el("p.more", {}, `+ ${number(left)} more`) : null];
}

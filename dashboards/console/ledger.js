// What was held back: findings that a suppression, a gate of the detector or an open circuit breaker
// kept from being told, as the ledger has them, hour by hour.

import { el, row, table, untrusted } from "./dom.js";
import { age_el, count, words } from "./format.js";
import { detector_el, severity_el } from "./labels.js";

const COLUMNS = [{ label: "Would have been", class: "c-sev" }, { label: "Detector", class: "c-detector" }, { label: "Held back by", class: "c-by" },
  { label: "Findings", class: "num" }, { label: "What it would have said", class: "c-text" }, { label: "Last event", class: "c-age" }];
const ROWS_MAX = 50;

/** A gate speaks for innocence by its name; a suppression is somebody's and has an id. */
export function by_el(line) {
  if (line.suppression) return ["suppression ", el("code", {}, untrusted(line.suppression, 40))];
  return line.gate ? untrusted(words(line.gate), 60) : "–";
}

export function ledger_table(lines) {
  const rows = lines.slice(0, ROWS_MAX).map((line) => row(COLUMNS, [
    severity_el(line.severity), detector_el(line.detector, true), by_el(line), count(line.findings),
    [untrusted(line.reason ?? "–", 400), el("div.more", {}, untrusted(line.key ?? "", 120))], age_el(line.last_event_time),
  ]));
  const left = lines.length - rows.length;
  return [table("Held back", COLUMNS, rows, { class: "ledger cards" }), left > 0 ? el("p.more", {}, `+ ${count(left)} more`) : null];
}

// The field's names for what the API sends as ids: severities, detectors, ATT&CK.

import { el, untrusted } from "./dom.js";
import { words } from "./format.js";
import { plain } from "./visible.js";

export const SEVERITIES = ["critical", "high", "medium", "low", "info"];
export const STATUSES = ["open", "acknowledged", "resolved"];
export const DISPOSITIONS = ["true_positive", "false_positive", "benign"];
export const DETECTORS = [
  "credential_stuffing", "password_spraying", "brute_force", "token_reuse", "impossible_travel",
  "unusual_location", "mfa_fatigue", "api_enumeration", "client_integrity", "account_takeover",
];

// MITRE ATT&CK Enterprise, the tactics and techniques that the detectors name.
const ATTACK = {
  TA0001: "Initial Access", TA0002: "Execution", TA0003: "Persistence", TA0004: "Privilege Escalation", TA0005: "Defense Evasion",
  TA0006: "Credential Access", TA0007: "Discovery", TA0008: "Lateral Movement", TA0009: "Collection", TA0010: "Exfiltration",
  TA0040: "Impact", TA0042: "Resource Development", TA0043: "Reconnaissance", T1036: "Masquerading",
  T1078: "Valid Accounts", "T1078.004": "Cloud Accounts", T1087: "Account Discovery", T1090: "Proxy",
  T1098: "Account Manipulation", T1110: "Brute Force", "T1110.001": "Password Guessing",
  "T1110.003": "Password Spraying", "T1110.004": "Credential Stuffing", T1190: "Exploit Public-Facing Application",
  T1213: "Data from Information Repositories", T1212: "Exploitation for Credential Access", T1528: "Steal Application Access Token",
  T1539: "Steal Web Session Cookie", "T1550.001": "Application Access Token", "T1550.004": "Web Session Cookie",
  T1556: "Modify Authentication Process", "T1556.006": "Multi-Factor Authentication", T1557: "Adversary-in-the-Middle",
  T1585: "Establish Accounts", T1589: "Gather Victim Identity Information",
  T1595: "Active Scanning", T1621: "Multi-Factor Authentication Request Generation",
};

export function severity_el(severity) {
  const known = SEVERITIES.includes(severity);
  return el(`span.sev${known ? `.sev-${severity}` : ""}`, {}, known ? severity : untrusted(severity ?? "–", 20));
}

/** What resolved an incident, where it was no person. */
const RESOLUTIONS = { alerts: "with its alerts", silence: "by silence", merged: "merged" };

/** Where an alert or an incident stands. */
export function status_el({ status, disposition, resolution }) {
  const known = STATUSES.includes(status);
  const detail = DISPOSITIONS.includes(disposition) ? words(disposition).toLowerCase() : Object.hasOwn(RESOLUTIONS, resolution ?? "") ? RESOLUTIONS[resolution] : null;
  return el(`span.status${known ? `.status-${status}` : ""}`, {}, known ? [status, detail].filter(Boolean).join(", ") : untrusted(status ?? "–", 20));
}

/** A Sigma rule's id is long and says little: `brief` leaves it to the title. */
export function detector_el(id, brief = false) {
  const text = String(id ?? "–");
  if (!text.startsWith("sigma:")) return untrusted(words(text), 80);
  return brief ? el("span", { title: plain(text, 120) }, "Sigma rule") : untrusted(text, 120);
}

function attack_url(id) {
  const found = /^(T\d{4})(?:\.(\d{3}))?$/.exec(id);
  if (found) return `https://attack.mitre.org/techniques/${found[1]}/${found[2] ? `${found[2]}/` : ""}`;
  return /^TA\d{4}$/.test(id) ? `https://attack.mitre.org/tactics/${id}/` : null;
}

/** Links out only when the id has ATT&CK's form; anything else is shown as text. */
export function attack_el(id) {
  const text = String(id);
  const url = attack_url(text);
  const name = url && ATTACK[text] ? ` ${ATTACK[text]}` : "";
  if (!url) return untrusted(text, 60);
  return el("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, el("code", {}, text), name);
}

const STATE_KIND = {
  running: "good", ok: "good", ready: "good", delivering: "good", idle: "good", healthy: "good",
  retrying: "warn", dry_run: "warn", degraded: "warn", paused: "warn", starting: "warn", disabled: "warn", untested: "warn",
  failed: "bad", stopped: "bad", down: "bad", ended: "bad", error: "bad",
};

/** A state as text with a dot; the colour repeats what the word says. */
export function state_el(state) {
  const kind = Object.hasOwn(STATE_KIND, state) ? STATE_KIND[state] : "plain";
  return el(`span.state.state-${kind}`, {}, untrusted(words(state ?? "unknown"), 40));
}

// Times, numbers and durations as people read them. Everything here takes what the API sent,
// which may be missing or malformed, and never throws.

import { el } from "./dom.js";

const MISSING = "–";
const DAY_MS = 86_400_000;
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

export function count(value) {
  return typeof value === "number" && Number.isFinite(value) ? value.toLocaleString("en") : MISSING;
}

/** "1 alert", "1,207 alerts". */
export function counted(value, one) {
  return `${count(value)} ${value === 1 ? one : `${one}s`}`;
}

/** 18,211,034 as 18.2 M: for figures where the size matters and the digits do not. */
export function short_count(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return MISSING;
  if (Math.abs(value) < 100_000) return count(value);
  return value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

export function number(value) {
  if (Number.isInteger(value)) return count(value);
  return value.toLocaleString("en", { maximumSignificantDigits: 6 });
}

export function duration_ms(ms) {
  if (typeof ms !== "number" || !Number.isFinite(ms)) return MISSING;
  const size = Math.abs(ms);
  if (size < 1) return `${trim(ms * 1000)} µs`;
  if (size < 1000) return `${trim(ms)} ms`;
  if (size < 60_000) return `${trim(ms / 1000)} s`;
  return two_units(ms);
}

export function duration_us(us) {
  return typeof us === "number" ? duration_ms(us / 1000) : MISSING;
}

function trim(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

function two_units(ms) {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) {
    const seconds = Math.round((ms % 60_000) / 1000);
    return seconds && minutes < 10 ? `${Math.floor(ms / 60_000)} min ${seconds % 60} s` : `${minutes} min`;
  }
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d${hours % 24 && hours < 240 ? ` ${hours % 24} h` : ""}`;
}

/** "4 min ago", coarse on purpose: ages are refreshed every few seconds. */
export function age(time, now_ms = Date.now()) {
  const at = Date.parse(time);
  if (Number.isNaN(at)) return MISSING;
  const ms = now_ms - at;
  const size = Math.abs(ms);
  const text = size < 5000 ? null
    : size < 60_000 ? `${Math.floor(size / 1000)} s`
      : size < 3_600_000 ? `${Math.floor(size / 60_000)} min`
        : size < 2 * DAY_MS ? `${Math.floor(size / 3_600_000)} h` : `${Math.floor(size / DAY_MS)} d`;
  if (text === null) return "now";
  return ms < 0 ? `in ${text}` : `${text} ago`;
}

export function local_time(time, now_ms = Date.now()) {
  const at = new Date(time ?? Number.NaN);
  if (Number.isNaN(at.getTime())) return MISSING;
  const clock = at.toLocaleTimeString("en", CLOCK);
  if (at.toDateString() === new Date(now_ms).toDateString()) return clock;
  const year = String(at.getFullYear()).padStart(4, "0");
  return `${year}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
}

function two(value) {
  return String(value).padStart(2, "0");
}

function utc(time) {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? null : at.toISOString().replace("T", " ").replace("Z", " UTC");
}

/** Local time; UTC on hover. A screen reader reads the local time. */
export function time_el(time) {
  if (!time) return MISSING;
  return el("time", { datetime: time, title: utc(time) }, local_time(time));
}

/** Age that `refresh_ages` keeps true; the exact local and UTC times on hover. */
export function age_el(time) {
  if (!time) return MISSING;
  return el("time", { datetime: time, "data-age": "", title: `${local_time(time)} local\n${utc(time)}` }, age(time));
}

export function refresh_ages(root = document) {
  for (const node of root.querySelectorAll("time[data-age]")) {
    const text = age(node.getAttribute("datetime"));
    if (node.textContent !== text) node.textContent = text;
  }
}

export function words(name) {
  const text = String(name).replaceAll("_", " ").replaceAll(/\b(api|ip|mfa|tls|vpn)\b/g, (short) => short.toUpperCase());
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// Pieces that several views show: panels, facts, pivot links, empty and error states.

import { el, fill, untrusted } from "./dom.js";
import { number, words } from "./format.js";
import { link } from "./router.js";

export function panel(title, ...body) {
  const id = `p-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return el("section.panel", { "aria-labelledby": id }, el("h2", { id }, title), body);
}

/** `[label, node]` pairs; pairs without a value are left out. */
export function facts(pairs) {
  const kept = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl.facts", {}, kept.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));
}

/** The value of a member whose meaning is not known here. */
export function member_text(value) {
  if (typeof value === "number") return number(value);
  return untrusted(value !== null && typeof value === "object" ? JSON.stringify(value) : value, 2000);
}

/** A link to what is known of a user, an address, a session or a device. */
export function pivot(type, value, tenant) {
  if (value === null || value === undefined || value === "") return "–";
  const text = String(value);
  return el("a.pivot", { href: link(["entities", type, text], { tenant }) }, untrusted(text, 96));
}

/** Where one came from, and what else stands above a page. */
export function crumbs({ href, text }, ...more) {
  return el("nav.crumbs", { "aria-label": "Back" }, el("a", { href }, `← ${text}`), more);
}

export function empty(title, ...more) {
  return el("div.empty", {}, el("p.empty-title", {}, title), more.length ? el("p", {}, more) : null);
}

export function loading() {
  return el("p.empty.loading", { role: "status" }, "Loading …");
}

/** What went wrong, and the one thing to do about it. */
export function failure(error, retry) {
  const hints = {
    0: "The daemon does not answer. It may be restarting.",
    403: "This token's role does not allow it.",
    404: "It does not exist, or belongs to another tenant, or is older than the retention.",
    429: "Too many requests; wait a little.",
  };
  return el("div.empty.failure", { role: "alert" },
    el("p.empty-title", {}, untrusted(error.title ?? "The page could not be shown", 120)),
    el("p", {}, untrusted(hints[error.status] ?? error.message, 400)),
    error.status !== 404 && retry ? el("button", { type: "button", onclick: retry }, "Try again") : null);
}

/** Does what a button is for, once at a time. What goes wrong is said in `message`, and the field that was wrong gets the focus. */
export async function attempt(button, message, work) {
  button.disabled = true;
  message.classList.remove("bad");
  fill(message, "A moment …");
  try {
    await work();
    fill(message);
  } catch (error) {
    message.classList.add("bad");
    fill(message, error.parameter ? [el("strong", {}, untrusted(words(error.parameter), 40)), ": "] : null, untrusted(error.message, 300));
    button.form?.elements[error.parameter]?.focus?.();
  }
  button.disabled = false;
}

/** Place and network as the API sends them: an object, a string or nothing. */
export function place_text(place) {
  if (!place) return null;
  if (typeof place === "string") return place;
  return [place.city, place.country ?? place.country_code].filter(Boolean).join(", ") || null;
}

function network_text(network) {
  if (!network) return null;
  if (typeof network === "string") return network;
  return [network.asn ? `AS${network.asn}` : null, network.name].filter(Boolean).join(" ") || null;
}

export function network_el(network) {
  const text = network_text(network);
  if (!text) return "–";
  const kind = typeof network === "object" && network.class && network.class !== "unknown"
    ? el("span.tag", {}, untrusted(network.class, 24)) : null;
  return [untrusted(text, 64), kind ? [" ", kind] : null];
}

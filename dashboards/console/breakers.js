// The circuit breakers that are open: detectors that open alerts out of all proportion, and whose further
// ones are folded into one campaign alert. Above every view, as the list is not what it was meanwhile.

import { close_breaker, get_breakers } from "./api.js";
import { el, fill, untrusted } from "./dom.js";
import { count, number, time_el } from "./format.js";
import { detector_el } from "./labels.js";
import { Poll } from "./poll.js";
import { may_triage } from "./roles.js";

const POLL_MS = 30_000;
const SHOWN_MAX = 5;

function key_of(open) {
  return JSON.stringify([open.tenant, open.detector, open.since]);
}

export class BreakerBar {
  #host;
  #app;
  #poll = new Poll(() => this.#ask(), POLL_MS);
  #shown = "";
  /** Closed here, which counts from the next batch of events on: until then the daemon still lists them. */
  #closed = new Set();

  constructor(host, app) {
    this.#host = host;
    this.#app = app;
  }

  load() {
    if (this.#app.view) this.#poll.now();
  }

  async #ask() {
    try {
      const { items } = await get_breakers();
      this.#draw(Array.isArray(items) ? items : []);
    } catch {
      // That the daemon does not answer is said elsewhere; what was open may still be.
    }
  }

  stop() {
    this.#poll.stop();
    this.#shown = "";
    this.#closed.clear();
    fill(this.#host);
  }

  #draw(items) {
    if (!this.#app.view) return;
    const open = items.filter((item) => !this.#closed.has(key_of(item)));
    const shown = JSON.stringify(open);
    // Drawing the same anew would take the focus from its button.
    if (shown === this.#shown) return;
    this.#shown = shown;
    const left = open.length - SHOWN_MAX;
    fill(this.#host, open.slice(0, SHOWN_MAX).map((item) => this.#line(item)),
      left > 0 ? el("div.banner", {}, `and ${count(left)} more circuit breakers are open`) : null);
  }

  #line(open) {
    const message = el("span.message.bad", { role: "status" });
    const close = may_triage(this.#app.caller)
      ? el("button", { type: "button", title: "From the next events on alerts are opened singly again, for a day at least", onclick: () => this.#close(open, close, message) }, "Close breaker") : null;
    return el("div.banner.breaker", {}, el("span", {}, el("strong", {}, detector_el(open.detector)), " in ", untrusted(open.tenant ?? "–", 60),
      ": since ", time_el(open.since), ` further alerts are folded into one campaign: ${count(open.alerts_folded)} so far, ${count(open.users_hit)} users and ${count(open.sessions_hit)} sessions hit. `,
      typeof open.usual_per_hour === "number" ? `Usual are ${number(open.usual_per_hour)} an hour.` : null), close, message);
  }

  async #close(open, button, message) {
    button.disabled = true;
    try {
      await close_breaker(open.detector, open.tenant);
      this.#closed.add(key_of(open));
      this.#app.announce("The breaker closes; alerts are opened singly again");
    } catch (error) {
      // Closed by itself, or by somebody else.
      if (error.status === 404) this.#closed.add(key_of(open));
      else fill(message, untrusted(error.message, 200));
    }
    button.disabled = false;
    this.load();
  }
}

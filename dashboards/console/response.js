// The stop switch of what machines do, and how many actions wait for a person: watched from every page,
// said above every view while machines are stopped, and counted in the bar.

import { get_actions, get_response, start_response, stop_response } from "./api.js";
import { act_title } from "./acts.js";
import { Dialog } from "./dialog.js";
import { el, fill, untrusted } from "./dom.js";
import { count, counted, time_el } from "./format.js";
import { failure, loading } from "./parts.js";
import { Poll } from "./poll.js";
import { may_start, may_stop } from "./roles.js";

const POLL_MS = 15_000;
const REASON_CHARS_MAX = 1000;
/** Of what goes out at once, so many are named. */
const NAMED_MAX = 20;

/** Event `change` after the state did. */
export class ResponseWatch extends EventTarget {
  #host;
  #app;
  #poll = new Poll(() => this.#ask(), POLL_MS);
  #shown = "";
  #switch = el("div.switch", {});
  /** As it was read last; `null` before. */
  state = null;

  constructor(host, app) {
    super();
    this.#host = host;
    this.#app = app;
  }

  load() {
    if (this.#app.view) this.#poll.now();
  }

  stop() {
    this.#poll.stop();
    this.state = null;
    this.#shown = "";
    fill(this.#host);
    fill(this.#switch);
  }

  /** How the switch stands and a button to turn it, for a page about what machines do; kept true while it is shown. */
  switch_el() {
    return this.#switch;
  }

  async #ask() {
    try {
      this.#take(await get_response());
    } catch {
      // That the daemon does not answer is said elsewhere; the switch may still be as it was.
    }
  }

  #take(state) {
    if (!this.#app.view) return;
    if (state.stopped && this.state && !this.state.stopped) this.#app.announce("Machines are stopped");
    this.state = state;
    const shown = JSON.stringify([state, this.#app.caller]);
    // Drawing the same anew would take the focus from its button.
    if (shown === this.#shown) return;
    this.#shown = shown;
    fill(this.#host, state.stopped ? this.#banner(state) : null);
    fill(this.#switch, state.stopped ? el("span.state.state-bad", {}, "Machines are stopped")
      : [el("span.state.state-good", {}, "Machines may act"), may_stop(this.#app.caller) ? el("button", { type: "button", onclick: () => this.#ask_to_stop() }, "Stop machines …") : null]);
    this.dispatchEvent(new Event("change"));
  }

  #banner(state) {
    const by = state.by ? [" by ", el("strong", {}, untrusted(state.by, 60))] : null;
    return el("div.banner.stopped", {}, el("span", {}, el("strong", {}, "Machines are stopped"), by, state.since ? [" since ", time_el(state.since)] : null,
      ": no call is made that ends, revokes or disables anything. ", state.reason ? ["Reason: ", untrusted(state.reason, 300)] : null),
    may_start(this.#app.caller) ? el("button", { type: "button", onclick: () => this.#ask_to_start() }, "Let them act again …") : null);
  }

  #ask_to_stop() {
    const dialog = new Dialog("Stop machines");
    dialog.show([
      el("p", {}, "From now on, and through restarts, no session is ended, no token revoked and no account disabled by the machine, for ", el("strong", {}, "all tenants"), ". Calls that failed are not tried again."),
      el("p", {}, "Detection, alerts and messages to people go on. What runs out of time meanwhile is told to people, to be done by hand. The list of blocked addresses stays as it is, and new ones wait for a person: lift blocks one by one."),
      el("p", {}, "Only an admin can let machines act again."),
      el("label.field", {}, el("span", {}, "Why, for those who find them stopped"), el("textarea", { name: "reason", rows: 2, required: true, maxlength: REASON_CHARS_MAX })),
    ], ["Stop machines", async (form) => {
      this.#take(await stop_response(form.elements.reason.value.trim()));
      dialog.close();
    }]);
  }

  async #ask_to_start() {
    const dialog = new Dialog("Let machines act again");
    dialog.show(loading(), null);
    let waiting;
    try {
      waiting = await get_actions({ state: "requested", limit: NAMED_MAX });
    } catch (error) {
      return dialog.show(failure(error), null);
    }
    const acts = Array.isArray(waiting.items) ? waiting.items : [];
    dialog.show([
      el("p", {}, "Machines do again what the configuration lets them do, for ", el("strong", {}, "all tenants"), "."),
      acts.length ? [el("p", {}, waiting.next_cursor ? `More than ${count(acts.length)} actions wait and go out at once, unless their time has run out, among them:` : `${counted(acts.length, "action")} ${acts.length === 1 ? "waits and goes" : "wait and go"} out at once, unless the time has run out:`),
        el("ul.plain", {}, acts.map((act) => el("li", {}, act_title(act), " in ", untrusted(act.tenant ?? "–", 60))))] : el("p", {}, "No action waits to go out."),
    ], ["Let them act again", async () => {
      this.#take(await start_response());
      dialog.close();
      this.#app.announce("Machines may act again");
    }]);
  }
}

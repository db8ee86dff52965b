// The page of one alert or incident, as far as both are alike: reading it, its head, triage, its neighbours
// in the list, and that what is newer is offered and not swapped in.

import { get_case } from "./api.js";
import { el, fill, untrusted } from "./dom.js";
import { age_el, words } from "./format.js";
import { attack_el, severity_el, status_el } from "./labels.js";
import { crumbs, failure, loading, panel } from "./parts.js";
import { may_triage } from "./roles.js";
import { CASES, link } from "./router.js";
import { triage_form } from "./triage.js";

export function attack_panel(item) {
  const entries = Array.isArray(item.attack) ? item.attack : [];
  if (!entries.length) return null;
  return panel("ATT&CK", el("ol.plain", {}, entries.map((entry) => el("li", {}, attack_el(entry.technique), entry.tactic ? [el("span.more", {}, " in "), attack_el(entry.tactic)] : null))));
}

export class CaseView {
  #kind;
  #main;
  #abort = new AbortController();
  /** As it was read last; `null` before. */
  item = null;
  id;
  app;
  title;

  /** `kind`: `alerts` or `incidents`. A view draws `body(item)` and says in `because(item)` what the case rests on. */
  constructor(kind, main, route, app) {
    this.#kind = kind;
    this.#main = main;
    this.id = route.params[0];
    this.app = app;
    this.title = words(CASES[kind]);
    fill(main, loading());
    app.stream.addEventListener("alert", ({ detail }) => { if (this.item) this.live(detail.alert); }, { signal: this.signal });
    this.load();
  }

  /** Ends with the view. */
  get signal() {
    return this.#abort.signal;
  }

  async load() {
    try {
      const item = await get_case(this.#kind, this.id, this.signal);
      if (this.signal.aborted) return;
      this.item = item;
      this.title = item.title ?? this.title;
      this.app.set_title(this.title);
      this.#render(item);
    } catch (error) {
      if (!this.signal.aborted) fill(this.#main, failure(error, () => this.load()));
    }
  }

  unmount() {
    this.#abort.abort();
  }

  /** `newer` or `older`: the neighbour in the list this one was opened from. */
  go(direction) {
    const id = this.app.feeds[this.#kind].neighbours(this.id)[direction];
    if (id) location.replace(link([this.#kind, id]));
  }

  focus_triage() {
    this.#main.querySelector(".triage input:checked, .triage input")?.focus();
  }

  // A note half written must not vanish.
  offer(...text) {
    const note = this.#main.querySelector(".newer");
    if (note) fill(note, el("button", { type: "button", onclick: () => this.load() }, text));
  }

  #render(item) {
    const { newer, older } = this.app.feeds[this.#kind].neighbours(this.id);
    const step = (id, text, key) => (id ? el("a", { href: link([this.#kind, id]), "aria-keyshortcuts": key }, text) : el("span.off", {}, text));
    const badges = el("div.badges", {}, severity_el(item.severity), status_el(item), item.assignee ? el("span.more", {}, "assigned to ", untrusted(item.assignee, 60)) : null,
      el("span.more", {}, "last event ", age_el(item.last_event_time)), this.badge(item));
    fill(this.#main, el(`article.case-page.${CASES[this.#kind]}-page`, {},
      crumbs(this.app.up(), el("span.steps", {}, step(newer, "Newer", "["), step(older, "Older", "]"))),
      el("div.head", {}, badges, el("h1", {}, untrusted(item.title ?? item.id, 300)), el("p.because", {}, untrusted(this.because(item) ?? "", 2000)), el("div.newer", { role: "status" })),
      this.body(item)));
  }

  /** `closed`: why it cannot be triaged here, if so. */
  triage_panel(item, closed = null) {
    if (closed) return panel("Triage", el("p.more", {}, closed));
    if (!may_triage(this.app.caller)) return panel("Triage", el("p.more", {}, "The role of this token only reads. Triage needs analyst or admin."));
    return panel("Triage", triage_form(this.#kind, item, this.app.caller, async () => {
      await this.load();
      this.app.feeds[this.#kind].take(summary_of(this.item));
      this.app.announce("Saved");
      this.focus_triage();
    }));
  }
}

/** As a list has it. */
function summary_of(item) {
  const { events, history, ...summary } = item;
  return summary;
}

// Rows that are ticked, to do something with them together: a column of boxes, and a bar that says how
// many there are and offers what can be done.

import { el, fill } from "./dom.js";
import { count } from "./format.js";
import { plain } from "./visible.js";

/** The API takes so many at once. */
const TICKED_MAX = 200;

export class Ticks {
  #ids = new Set();
  #boxes = new Map();
  #shown = [];
  #all;
  #status = el("span", { role: "status" });
  /** The column, first in its table. */
  column;
  /** Shows itself once something is ticked. */
  bar;

  /** What can be done with what is ticked: `[text, work]`, where `text` stands on a button and `work(ids)` is behind it. The first is what `t` does. */
  constructor(...steps) {
    this.bar = el("div.ticked", { role: "region", "aria-label": "Ticked rows", hidden: true }, this.#status,
      steps.map(([text, work], i) => el(i ? "button" : "button.primary", { type: "button", onclick: () => work([...this.#ids]) }, text)),
      el("button.quiet", { type: "button", onclick: () => this.clear() }, "Untick"));
    this.#all = el("input", { type: "checkbox", "aria-label": "Tick all", onchange: () => this.#tick_all(this.#all.checked) });
    this.column = { label: "Tick", class: "c-tick", head: el("label.tick", {}, this.#all, el("span.tick-all", {}, "Tick all")) };
  }

  /** The cell of a row. */
  cell(id, title) {
    const box = el("input", { type: "checkbox", checked: this.#ids.has(id), "aria-label": `Tick ${plain(title ?? id, 80)}`, "aria-keyshortcuts": "x",
      onchange: () => this.#tick(id, box.checked) });
    this.#boxes.set(id, box);
    return el("label.tick", {}, box);
  }

  /** What `t` does. */
  start() {
    if (!this.bar.hidden) this.bar.querySelector("button").click();
  }

  /** Says which rows there are, in their order. What is not among them is not ticked. */
  show(ids) {
    this.#shown = ids;
    const shown = new Set(ids);
    for (const id of this.#boxes.keys()) if (!shown.has(id)) this.#boxes.delete(id);
    for (const id of this.#ids) if (!shown.has(id)) this.#ids.delete(id);
    this.#draw();
  }

  clear() {
    this.#tick_all(false);
  }

  #tick(id, ticked) {
    if (!ticked) this.#ids.delete(id);
    else if (this.#ids.size < TICKED_MAX) this.#ids.add(id);
    this.#draw();
  }

  #tick_all(ticked) {
    this.#ids = new Set(ticked ? this.#shown.slice(0, TICKED_MAX) : []);
    this.#draw();
  }

  #draw() {
    for (const [id, box] of this.#boxes) box.checked = this.#ids.has(id);
    this.#all.checked = this.#ids.size > 0 && this.#ids.size === Math.min(this.#shown.length, TICKED_MAX);
    this.#all.indeterminate = this.#ids.size > 0 && !this.#all.checked;
    this.bar.hidden = this.#ids.size === 0;
    const most = this.#ids.size === TICKED_MAX ? ", the most at once" : "";
    const text = `${count(this.#ids.size)} ticked${most}`;
    if (this.#status.textContent !== text) fill(this.#status, text);
  }
}

// A dialog that asks in steps: what is to be done, then what will happen, and only then is it done.

import { el, fill } from "./dom.js";
import { attempt } from "./parts.js";

export class Dialog {
  #title;
  #node;

  constructor(title) {
    this.#title = el("h2", { id: "dialog-title", tabindex: -1 }, title);
    this.#node = el("dialog.steps-dialog", { "aria-labelledby": "dialog-title" });
    this.#node.addEventListener("close", () => this.#node.remove());
    document.body.append(this.#node);
  }

  /** One step. `forward` is `[text, work]`, or `null` where there is only to close; `backward` shows the step before. */
  show(content, forward, backward = null) {
    // Closed while an answer was waited for.
    if (!this.#node.isConnected) return;
    const message = el("p.message", { role: "status" });
    const go = forward ? el("button.primary", { type: "submit" }, forward[0]) : null;
    const form = el("form", { onsubmit: (event) => {
      event.preventDefault();
      if (go) attempt(go, message, () => forward[1](form));
    } }, content, el("div.actions", {}, go,
      backward ? el("button", { type: "button", onclick: backward }, "Back") : null,
      el("button", { type: "button", onclick: () => this.close() }, forward ? "Cancel" : "Close"), message));
    fill(this.#node, this.#title, form);
    if (!this.#node.open) this.#node.showModal();
    // Never a button: the Enter that led here, pressed twice, must not confirm what nobody read.
    (form.querySelector("input:checked, input, textarea") ?? this.#title).focus();
  }

  close() {
    this.#node.close();
  }
}

/** Whether a dialog is open, which has the keys then. */
export function dialog_is_open() {
  return document.querySelector("dialog[open]") !== null;
}

export function close_dialogs() {
  for (const node of document.querySelectorAll("dialog[open]")) node.close();
}

// Keys for the whole console, and the dialog that lists them. Views say what they offer: `filter`
// (an element to focus), `go(direction)`, `focus_triage()`.

import { dialog_is_open } from "./dialog.js";
import { el } from "./dom.js";
import { link } from "./router.js";

const SEQUENCE_MS = 1200;
const HELP = [
  ["j  k", "next, previous row"], ["Enter", "open"], ["u  Esc", "back to the list"], ["[  ]", "newer, older one"],
  ["x", "tick this row"], ["t", "triage this one (Ctrl Enter saves), or what is ticked; of actions, approve it"], ["/", "search"],
  ["g i", "incidents"], ["g a", "alerts"], ["g d", "what machines did"], ["g s", "status"], ["?", "this help"],
];

export function help_dialog() {
  const dialog = el("dialog", { id: "help", "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, "Keys"),
    el("dl.keys", {}, HELP.map(([keys, text]) => el("div", {}, el("dt", {}, keys.split(/\s+/).map((key) => el("kbd", {}, key))), el("dd", {}, text)))),
    el("button", { type: "button", onclick: () => dialog.close() }, "Close"));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  return dialog;
}

function typing(target) {
  return target.matches?.("input:not([type=radio], [type=checkbox]), textarea, select") ?? false;
}

/** Moves focus among the rows' links (marked `data-move`), from wherever it is. */
function move(step) {
  const stops = [...document.querySelectorAll("#main [data-move]")].filter((node) => node.checkVisibility());
  if (!stops.length) return;
  const line = document.activeElement?.closest?.("#main tr");
  const at = stops.findIndex((node) => line?.contains(node));
  const next = at < 0 ? (step > 0 ? 0 : stops.length - 1) : Math.min(Math.max(at + step, 0), stops.length - 1);
  stops[next].focus({ preventScroll: true });
  (stops[next].closest("tr") ?? stops[next]).scrollIntoView({ block: "nearest" });
}

function leave(target) {
  if (typing(target)) target.blur();
}

/** Ticks the row with the focus, or the other way. */
function tick() {
  document.activeElement?.closest?.("#main tr")?.querySelector("td input[type=checkbox]")?.click();
}

/** `app.view` is the present view or null while signed out; `back` goes up one level, `search` to the list. */
export function listen(app, { back, search, help }) {
  let armed_until_ms = 0;
  const actions = {
    j: () => move(1), k: () => move(-1), x: tick, u: back, Escape: back, "?": () => help.showModal(),
    "/": () => app.view.filter ? app.view.filter.select() : search(),
    "[": () => app.view.go?.("newer"), "]": () => app.view.go?.("older"), t: () => app.view.focus_triage?.(),
    g: () => { armed_until_ms = performance.now() + SEQUENCE_MS; },
  };
  const after_g = { i: () => { location.hash = app.lists.incidents; }, a: () => { location.hash = app.lists.alerts; }, d: () => { location.hash = app.lists.actions; }, s: () => { location.hash = link(["status"]); } };
  addEventListener("keydown", (event) => {
    if (!app.view || dialog_is_open() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (typing(event.target)) {
      if (event.key === "Escape") leave(event.target);
      return;
    }
    const armed = performance.now() < armed_until_ms;
    if (event.key !== "g") armed_until_ms = 0;
    const table = armed && Object.hasOwn(after_g, event.key) ? after_g : actions;
    if (!Object.hasOwn(table, event.key)) return;
    event.preventDefault();
    table[event.key]();
  });
}

// The head of the pages about what machines do: which of them this is, and the stop switch.

import { el } from "./dom.js";
import { link } from "./router.js";

const TABS = [["actions", "Actions"], ["blocks", "Blocked addresses"]];

/** `view`: the one that is shown. */
export function act_tabs(view, app) {
  return el("div.tabs-head", {}, el("h1.away", {}, TABS.find(([name]) => name === view)[1]),
    el("nav.tabs", { "aria-label": "What machines do" }, TABS.map(([name, text]) => el("a", { href: link([name]), "aria-current": name === view ? "page" : null }, text))),
    app.response.switch_el());
}

// Addresses that are blocked now, as gateways read them at `/api/v1/blocks`, each with why and until when.

import { get_actions } from "./api.js";
import { cause_el } from "./actions.js";
import { tenant_el } from "./cases.js";
import { decision_buttons } from "./decide.js";
import { el, row, table } from "./dom.js";
import { input } from "./filters.js";
import { age_el } from "./format.js";
import { Listing } from "./listing.js";
import { empty, pivot } from "./parts.js";
import { link } from "./router.js";
import { act_tabs } from "./tabs.js";

const COLUMNS = [{ label: "Address", class: "c-title" }, { label: "Because of", class: "c-cause" }, { label: "Since", class: "c-age" },
  { label: "Ends", class: "c-until" }, { label: "Action", class: "c-link" }, { label: "Decision", class: "c-do" }];

/** Once it is lifted its row goes, and the next one has the focus. */
function block_row(act, view) {
  const done = () => {
    const stop = (node.nextElementSibling ?? node.previousElementSibling)?.querySelector("[data-move]");
    node.remove();
    (stop ?? view.filter).focus();
  };
  const node = row(COLUMNS, [pivot("ip", act.address, act.tenant), [cause_el(act), tenant_el(act, view.app)], age_el(act.confirmed_time ?? act.decided_time),
    age_el(act.not_after), el("a", { href: link(["actions", act.id]), "data-move": "" }, "its action"), decision_buttons(act, view.app, done) ?? "–"], { class: "case" });
  return node;
}

const LIST = {
  view: "blocks",
  title: "Blocked addresses",
  older: "Load older blocks",
  fields: (query, app) => [input("address", "Address", query.address), app.caller?.tenant ? null : input("tenant", "Tenant", query.tenant)],
  page: (query, signal) => get_actions({ ...query, action: "block_address", state: "in_force" }, signal),
  draw: (acts, view) => acts.length ? table("Blocked addresses, the last first", COLUMNS, acts.map((act) => block_row(act, view)), { class: "cases blocks cards" })
    : empty("No address is blocked", "Gateways read the list at ", el("code", {}, "/api/v1/blocks"), "."),
};

export class BlocksView extends Listing {
  constructor(main, route, app) {
    super({ ...LIST, above: act_tabs("blocks", app) }, main, route, app);
  }
}

// A part of a page that is read page by page: the newest first, older ones at a button.

import { el, fill } from "./dom.js";
import { failure, loading } from "./parts.js";

const PAGE_ITEMS = 100;
const ITEMS_MAX = 1000;

/** `get_page(query)` asks the API, `draw(items)` shows all that were read, and `signal` ends it. */
export function paged(get_page, draw, older, signal) {
  const host = el("div", {}, loading());
  let items = [];
  const load = async (cursor) => {
    try {
      const page = await get_page({ limit: PAGE_ITEMS, cursor }, signal);
      if (signal.aborted) return;
      items = items.concat(page.items ?? []);
      const more = page.next_cursor && items.length < ITEMS_MAX
        ? el("div.foot", {}, el("button", { type: "button", onclick: () => load(page.next_cursor) }, older)) : null;
      fill(host, draw(items), more);
    } catch (error) {
      if (!signal.aborted) fill(host, failure(error, () => load(cursor)));
    }
  };
  load(null);
  return host;
}

// A list with filters that are kept in the address, read page by page: for what is looked up, not watched.

import { el, fill } from "./dom.js";
import { filter_form } from "./filters.js";
import { paged } from "./paged.js";
import { parse, replace_filters } from "./router.js";

const TYPING_REST_MS = 350;

export class Listing {
  #list;
  #app;
  #query;
  #timer = null;
  /** Of what is shown now, and of the whole view. */
  #reading = null;
  #abort = new AbortController();
  #form;
  #offer = el("div.newer", { role: "status" });
  #body = el("div.listing", {});

  /** `list`: its `view` in the address, `title`, `fields(query, app)` whose names are its filters, `page(query, signal)`, `draw(items, view)`, and
   * `older`, what the button for the next page says; `above`, if any, stands before the filters. */
  constructor(list, main, route, app) {
    this.#list = list;
    this.#app = app;
    this.title = list.title;
    this.#form = filter_form(`Filter ${list.view}`, list.fields(route.query, app));
    const names = [...this.#form.elements].map((field) => field.name).filter((name) => name && name !== "clear");
    this.#query = Object.fromEntries(names.filter((name) => route.query[name]).map((name) => [name, route.query[name]]));
    this.#form.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#filter(), TYPING_REST_MS);
    });
    this.#form.elements.clear.addEventListener("click", () => {
      for (const name of names) this.#form.elements[name].value = "";
      this.#filter();
    });
    fill(main, list.above ?? el("h1.away", {}, list.title), this.#form, this.#offer, this.#body);
    this.load();
  }

  get app() {
    return this.#app;
  }

  /** The element that `/` focuses. */
  get filter() {
    return this.#form.querySelector("input");
  }

  /** Ends with the view. */
  get signal() {
    return this.#abort.signal;
  }

  /** There is something newer; rows must not move under somebody's hand. */
  offer(text) {
    fill(this.#offer, el("button", { type: "button", onclick: () => this.load() }, text));
  }

  /** Reads it anew, from its first page. */
  load() {
    this.#reading?.abort();
    this.#reading = new AbortController();
    fill(this.#offer);
    const { page, draw, older } = this.#list;
    fill(this.#body, paged((query, signal) => page({ ...this.#query, ...query }, signal), (items) => draw(items, this), older, this.#reading.signal));
  }

  unmount() {
    clearTimeout(this.#timer);
    this.#reading.abort();
    this.#abort.abort();
  }

  #filter() {
    clearTimeout(this.#timer);
    const values = [...new FormData(this.#form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value !== "");
    this.#query = Object.fromEntries(values);
    replace_filters(this.#list.view, this.#query);
    this.#app.seen(parse(location.hash));
    this.load();
  }
}

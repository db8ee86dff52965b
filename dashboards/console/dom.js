// Builds DOM. The only file that creates elements, and it sets text as text: there is no way
// through here from a string to markup, so nothing from a log can become an element or a handler.

import { pieces } from "./visible.js";

/** A longer value may be broken anywhere, so that it cannot widen its column; an IPv6 address still fits. */
const UNBROKEN_CHARS_MAX = 39;
/** A short name keeps together, hyphens or not. */
const NAME_CHARS_MAX = 20;

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "value" || name === "checked" || name === "selected") node[name] = value;
  else node.setAttribute(name, value === true ? "" : String(value));
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** `el("a.link", {href}, children…)`; a name that begins with `on` and a function is a listener. */
export function el(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) set(node, name, value);
  append(node, children);
  return node;
}

/** A value out of a log: isolated in direction, its control characters marked, cut at `chars_max`. */
export function untrusted(value, chars_max) {
  const node = document.createElement("bdi");
  const { length } = String(value);
  if (length > UNBROKEN_CHARS_MAX) node.className = "long";
  else if (length <= NAME_CHARS_MAX && !/\s/.test(value)) node.className = "name";
  for (const piece of pieces(value, chars_max)) {
    if (piece.text !== undefined) node.append(piece.text);
    else node.append(el("span.mark", { title: piece.title }, piece.mark));
  }
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** A table with a caption for screen readers; a column with a `head` has that in its header instead of the label. ARIA roles are explicit: on narrow screens the rows
 * become cards, and a changed `display` would strip the table's meaning. */
export function table(caption, columns, rows, props = {}) {
  const head = columns.map((column) => el("th", { scope: "col", role: "columnheader", class: column.class }, column.head ?? column.label));
  // What scrolls sideways must be reachable by keyboard; cards do not scroll.
  const scrolls = /\bcards\b/.test(props.class ?? "") ? {} : { tabindex: 0, role: "group", "aria-label": caption };
  return el("div.scroll", scrolls, el("table", { role: "table", ...props },
    el("caption.away", {}, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
    el("tbody", { role: "rowgroup" }, rows)));
}

export function row(columns, cells, props = {}) {
  return el("tr", { role: "row", ...props }, cells.map((cell, i) =>
    el("td", { role: "cell", class: columns[i].class, "data-label": columns[i].label, "data-none": is_none(cell) }, cell)));
}

/** A row whose first cell is a button that opens `details()` below it. */
export function opening_row(columns, label, cells, details) {
  const detail = el("tr.detail", { hidden: true, role: "row" });
  const button = el("button.disclose", { type: "button", "aria-expanded": "false", "data-move": "", onclick: () => {
    if (!detail.firstChild) detail.append(el("td", { role: "cell", colspan: columns.length }, details()));
    detail.hidden = !detail.hidden;
    button.setAttribute("aria-expanded", String(!detail.hidden));
  } }, label, el("span.away", {}, ", all members"));
  return [row(columns, [button, ...cells]), detail];
}

// Cells without a value are left out where rows are cards.
function is_none(cell) {
  return cell === "–" || (cell instanceof Node && cell.textContent === "–");
}

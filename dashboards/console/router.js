// Where the console is, kept in the URL's fragment: it never reaches a server or its log, and
// a link to a view can be passed on. The token is never part of it.
//
//   #/incidents?severity=high   #/incidents/ID   #/alerts?…   #/alerts/ID
//   #/entities/user/VALUE?tenant=t   #/status   #/actions?state=held   #/actions/ID   #/blocks   #/audit?actor=ana

export const ENTITY_TYPES = ["user", "ip", "session", "device"];
/** Lists of what is triaged, and the view of one of each. */
export const CASES = { incidents: "incident", alerts: "alert" };
/** All lists, with the view of one of each, if there is one. */
export const LISTS = { ...CASES, actions: "action", blocks: null, audit: null };

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

/** `{view, params, query}`; an address that means nothing gives the view `lost`. */
export function parse(hash) {
  const [path, search = ""] = split_once(hash.replace(/^#\/?/, ""), "?");
  const parts = path.split("/").filter((part) => part !== "").map(decode);
  const query = Object.fromEntries(new URLSearchParams(search));
  const [view, ...params] = parts;
  const lost = { view: "lost", params: [], query };
  if (parts.includes(null)) return lost;
  if (parts.length === 0) return { view: "incidents", params: [], query };
  if (Object.hasOwn(LISTS, view) && params.length <= (LISTS[view] ? 1 : 0)) return { view: params.length ? LISTS[view] : view, params, query };
  if (view === "status" && params.length === 0) return { view, params, query };
  if (view === "entities" && params.length === 2 && ENTITY_TYPES.includes(params[0])) return { view: "entity", params, query };
  return lost;
}

function split_once(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** `link(["alerts", id], {query})`: each part is encoded; empty query members are left out. */
export function link(parts, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(kept).toString();
  return `#/${parts.map(encode).join("/")}${search ? `?${search}` : ""}`;
}

/** Percent-encodes a path segment; half a surrogate pair becomes U+FFFD instead of an exception. */
export function encode(part) {
  return encodeURIComponent(String(part).toWellFormed());
}

/** Changes a list's filters in the address without a step in the history. */
export function replace_filters(kind, query) {
  history.replaceState(null, "", link([kind], query));
}

// A stand-in for the daemon, for the console's own test: serves the real static files under the
// real Content-Security-Policy and answers the API from the fixtures. Not part of the product.

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const FILES = path.join(__dirname, "..", "..", "dashboards", "console");
const FIXTURES = path.join(__dirname, "fixtures");
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
  + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };

const fixture = (name) => JSON.parse(fs.readFileSync(path.join(FIXTURES, `${name}.json`), "utf8"));

/** Moves every time in a document so that its newest moment is now, keeping all distances. */
function rebase(document, shift_ms) {
  return JSON.parse(JSON.stringify(document), (_name, value) =>
    (typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) ? new Date(Date.parse(value) + shift_ms).toISOString() : value));
}

class Mock {
  constructor() {
    this.shift_ms = Date.now() - Date.parse(fixture("status").now);
    this.tokens = new Map([["good-token", "analyst"], ["viewer-token", "viewer"], ["admin-token", "admin"]]);
    this.requests = [];
    this.streams = new Set();
    this.patches = [];
    this.reload();
  }

  reload() {
    const load = (name) => rebase(fixture(name), this.shift_ms);
    this.alerts = load("alerts").items;
    this.incidents = load("incidents").items;
    this.alert = load("alert");
    this.timeline = load("timeline").items;
    Object.assign(this, { status: load("status"), entity: load("entity"), events: load("events"), explanation: load("explain") });
    this.acts = load("actions").items;
    this.audit = load("audit").items;
    this.response = { stopped: false, since: null, by: null, reason: null };
    this.decided = [];
    this.refuse = null;
    this.breakers = [];
    this.closed = [];
    this.bulk = [];
    this.regrouped = [];
    this.held = [];
    this.hold = false;
  }

  async listen(port = 0) {
    this.server = http.createServer((request, response) => this.answer(request, response));
    await new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    return this.port;
  }

  /** Stops at once, open streams included: a daemon that was killed. */
  async close() {
    for (const stream of this.streams) stream.destroy();
    this.streams.clear();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  send_alert(alert, event = "alert.opened", id = String(Date.now())) {
    for (const stream of this.streams) stream.write(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(alert)}\n\n`);
  }

  answer(request, response) {
    const url = new URL(request.url, "http://127.0.0.1");
    this.requests.push({ method: request.method, url: request.url, headers: request.headers });
    if (!url.pathname.startsWith("/api/")) return this.file(url.pathname, response);
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const role = this.tokens.get(token);
    if (!role) return problem(response, 401, "Unauthorized", "the token is unknown, expired or revoked");
    let body = "";
    request.on("data", (chunk) => { body += chunk; });
    const go = () => this.api(request, url, role, body, response);
    request.on("end", () => (this.hold ? this.held.push(go) : go()));
  }

  /** Answers what was asked while `hold` was set. */
  let_go() {
    this.hold = false;
    for (const go of this.held.splice(0)) go();
  }

  file(pathname, response) {
    const name = pathname === "/" ? "index.html" : pathname.replace(/^\/console\//, "");
    const file = path.join(FILES, path.normalize(`/${name}`));
    if (!fs.existsSync(file)) return problem(response, 404, "Not Found", "no such file");
    response.writeHead(200, { "content-type": TYPES[path.extname(file)], "content-security-policy": CSP, "x-content-type-options": "nosniff", "cache-control": "no-cache" });
    response.end(fs.readFileSync(file));
  }

  api(request, url, role, body, response) {
    const parts = url.pathname.split("/").slice(3).map(decodeURIComponent);
    const query = Object.fromEntries(url.searchParams);
    const found = { status: () => this.get_status(role), alerts: () => this.cases(this.alerts, this.alert, request, parts, query, role, body),
      incidents: () => this.get_incidents(request, parts, query, role, body),
      events: () => this.events, entities: () => ({ ...this.entity, type: parts[1], value: parts[2] }), stream: () => this.open_stream(response),
      explain: () => ({ ...this.explanation, event: { ...this.explanation.event, user: query.user } }), suppressed: () => this.held_back(query),
      actions: () => this.get_actions(request, parts, query, role), response: () => this.get_response(request, parts, role, body), audit: () => this.get_audit(query, role),
      breakers: () => this.get_breakers(request, parts, role, body, response) }[parts[0]];
    const answer = found ? found() : { problem: [404, "Not Found", "no such route"] };
    if (answer === null) return;
    if (answer.problem) return problem(response, ...answer.problem);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  }

  get_status(role) {
    const now = new Date();
    const done = Math.round((now - (this.first ??= now)) * 1.93);
    const events = { ...this.status.events, in: this.status.events.in + done, out: this.status.events.out + done };
    return { ...this.status, now: now.toISOString(), events, complete_up_to: new Date(now - 1700).toISOString(), caller: { ...this.status.caller, role } };
  }

  /** Alerts or incidents; `detail` is what a page has and a list has not. */
  cases(all, detail, request, parts, query, role, body) {
    if (parts.length === 1) return this.list(all, query);
    if (request.method !== "GET" && role === "viewer") return { problem: [403, "Forbidden", "the role viewer may not triage"] };
    if (parts[1] === "triage") return this.triage_many(all, query, JSON.parse(body));
    const one = all.find((item) => item.id === parts[1]);
    if (!one) return { problem: [404, "Not Found", "there is none of this id"] };
    if (request.method !== "PATCH") return { ...detail, ...one };
    const changes = JSON.parse(body);
    this.patches.push(changes);
    if (changes.assignee === "nobody") return { problem: [400, "Bad Request", "there is no such person", "assignee"] };
    const { note, ...members } = changes;
    Object.assign(one, members, { version: one.version + 1 });
    detail.history?.push({ time: new Date().toISOString(), kind: "triage", by: "ana", ...changes });
    return { ...detail, ...one };
  }

  triage_many(all, { preview }, { ids, change }) {
    this.bulk.push({ ids, change, preview: preview === "true" });
    if (change.assignee === "nobody") return { problem: [400, "Bad Request", "there is no such person", "assignee"] };
    const { note, ...members } = change;
    const standing = ({ status, disposition, assignee }) => ({ status, ...(disposition ? { disposition } : {}), ...(assignee ? { assignee } : {}) });
    const items = ids.map((id) => {
      const one = all.find((item) => item.id === id);
      if (!one || one.status === "resolved") return { id, refused: one ? "it is resolved <b>already</b>" : "there is none of this id" };
      const to = standing({ ...one, ...members });
      const line = { id, title: one.title, from: standing(one), to };
      if (!preview) Object.assign(one, members, { version: one.version + 1 });
      return line;
    });
    const refused = items.filter((line) => line.refused).length;
    return { items, changed: items.length - refused, refused };
  }

  get_incidents(request, parts, query, role, body) {
    const [, id, what] = parts;
    if (what === undefined) return this.cases(this.incidents, {}, request, parts, query, role, body);
    const incident = this.incidents.find((item) => item.id === id);
    if (!incident) return { problem: [404, "Not Found", "there is none of this id"] };
    if (what === "timeline") return this.get_timeline(query);
    if (role === "viewer") return { problem: [403, "Forbidden", "the role viewer may not triage"] };
    const asked = JSON.parse(body);
    this.regrouped.push([what, id, asked]);
    if (asked.note === "refuse") return { problem: [400, "Bad Request", "more than 2,000 alerts: too many for one step"] };
    return what === "merge" ? this.merge(incident, asked.incidents) : this.split(incident, asked.alerts);
  }

  get_timeline({ cursor }) {
    return cursor ? { items: this.timeline.slice(8), next_cursor: null } : { items: this.timeline.slice(0, 8), next_cursor: "more" };
  }

  merge(incident, ids) {
    for (const other of this.incidents.filter((item) => ids.includes(item.id))) {
      Object.assign(other, { status: "resolved", resolution: "merged", merged_into: incident.id, alerts: [], alert_count: 0 });
    }
    incident.related = incident.related.filter((id) => !ids.includes(id));
    incident.version += 1;
    return incident;
  }

  split(incident, ids) {
    const own = { ...incident, id: "4f1d0c9b7a6e4d21b0c3a5f6d7e80077", title: "Split off", alerts: incident.alerts.filter((alert) => ids.includes(alert.id)), alert_count: ids.length, related: [incident.id] };
    incident.alerts = incident.alerts.filter((alert) => !ids.includes(alert.id));
    incident.alert_count -= ids.length;
    this.incidents.unshift(own);
    return own;
  }

  held_back({ key }) {
    return { items: this.explanation.ledger.filter((line) => line.key === key), next_cursor: null };
  }

  get_breakers(request, parts, role, body, response) {
    if (request.method === "GET") return { items: this.breakers };
    if (role === "viewer") return { problem: [403, "Forbidden", "the role viewer may not triage"] };
    this.closed.push([parts[1], JSON.parse(body)]);
    response.writeHead(204).end();
    return null;
  }

  get_actions(request, [, id, step], query, role) {
    if (id === undefined) {
      const items = this.acts.filter((act) => (!query.state || query.state.split(",").includes(act.state))
        && (!query.incident || this.alerts.some((alert) => alert.id === act.alert && alert.incident === query.incident))
        && ["action", "user", "session", "address", "alert", "target", "tenant"].every((name) => !query[name] || act[name] === query[name]));
      return { items, next_cursor: null };
    }
    const act = this.acts.find((one) => one.id === id);
    if (!act) return { problem: [404, "Not Found", "there is none of this id"] };
    if (!step) return act;
    if (role === "viewer") return { problem: [403, "Forbidden", "the role viewer may not triage"] };
    this.decided.push([step, id]);
    if (id === this.refuse) return { problem: [409, "Conflict", "its order is not kept <b>any more</b>"] };
    const states = { reject: "rejected", undo: "undone", approve: (act.approvals.length + 1 >= act.approvals_needed) ? "requested" : act.state };
    if (step === "approve") act.approvals.push({ by: "ana", token: "tok_ana", time: new Date().toISOString() });
    Object.assign(act, { state: states[step], version: act.version + 1 });
    return act;
  }

  get_response(request, [, step], role, body) {
    if (step === "stop" && role === "viewer") return { problem: [403, "Forbidden", "the role viewer may not stop machines"] };
    if (step === "start" && role !== "admin") return { problem: [403, "Forbidden", "the role may not administer"] };
    if (step === "stop") {
      const { reason } = JSON.parse(body);
      if (reason === "refuse") return { problem: [400, "Bad Request", "must have 1 to 1000 bytes", "reason"] };
      this.response = { stopped: true, since: new Date().toISOString(), by: "ana", reason };
    } else if (step === "start") this.response = { stopped: false, since: null, by: null, reason: null };
    return { ...this.response, waiting: this.acts.filter((act) => ["held", "proposed"].includes(act.state)).length };
  }

  get_audit(query, role) {
    if (role !== "admin") return { problem: [403, "Forbidden", "the role may not read the audit trail"] };
    return { items: this.audit.filter((record) => ["actor", "action", "subject"].every((name) => !query[name] || record[name] === query[name])), next_cursor: null };
  }

  list(all, query) {
    const detectors = (item) => (item.detectors ? Object.keys(item.detectors) : [item.detector]);
    const items = all.filter((item) => ["severity", "status"].every((name) => !query[name] || item[name] === query[name])
      && (!query.detector || detectors(item).includes(query.detector))
      && (!query.user || item.entities.users.includes(query.user)) && (!query.ip || item.entities.ips.includes(query.ip)));
    return query.cursor ? { items: [], next_cursor: null } : { items, next_cursor: Object.keys(query).length > 1 ? null : "eyJ0IjoxfQ" };
  }

  open_stream(response) {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write("retry: 300\n\n: keep-alive\n\n");
    this.streams.add(response);
    response.on("close", () => this.streams.delete(response));
    return null;
  }
}

function problem(response, status, title, detail, parameter) {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ type: "about:blank", title, status, detail, parameter }));
}

module.exports = { Mock, fixture, rebase };

if (require.main === module) new Mock().listen(Number(process.argv[2] ?? 0)).then((port) => console.log(`http://127.0.0.1:${port}/ (token: good-token)`));

// The list of incidents: the console's first page.

import { CasesView, status_cell, tenant_el, title_cell } from "./cases.js";
import { el } from "./dom.js";
import { age_el, count } from "./format.js";
import { severity_el } from "./labels.js";
import { who } from "./subjects.js";

const LIST = {
  kind: "incidents",
  columns: [
    { label: "Severity", class: "c-sev" }, { label: "Incident", class: "c-title" }, { label: "Who", class: "c-who" },
    { label: "Alerts", class: "num c-count" }, { label: "Last event", class: "c-age" }, { label: "Status", class: "c-status" },
  ],
  cells: (incident, app) => [
    severity_el(incident.severity), title_cell("incidents", incident, incident.summary), [who(incident), tenant_el(incident, app)],
    [count(incident.alert_count), incident.hit_count > 0 ? el("div.hits", {}, `${count(incident.hit_count)} hit`) : null],
    age_el(incident.last_event_time), status_cell(incident),
  ],
};

export class IncidentsView extends CasesView {
  title = "Incidents";

  constructor(main, route, app) {
    super(LIST, main, route, app);
  }
}

// The list of alerts.

import { CasesView, status_cell, tenant_el, title_cell } from "./cases.js";
import { age_el, count } from "./format.js";
import { detector_el, severity_el } from "./labels.js";
import { who } from "./subjects.js";

const LIST = {
  kind: "alerts",
  columns: [
    { label: "Severity", class: "c-sev" }, { label: "Alert", class: "c-title" }, { label: "Who", class: "c-who" },
    { label: "Detector", class: "c-detector" }, { label: "Events", class: "num c-count" },
    { label: "Last event", class: "c-age" }, { label: "Status", class: "c-status" },
  ],
  cells: (alert, app) => [
    severity_el(alert.severity), title_cell("alerts", alert, alert.reason), who(alert),
    [detector_el(alert.detector, true), tenant_el(alert, app)], count(alert.event_count), age_el(alert.last_event_time), status_cell(alert),
  ],
};

export class AlertsView extends CasesView {
  title = "Alerts";

  constructor(main, route, app) {
    super(LIST, main, route, app);
  }
}

//! What people make of an incident, and how it hangs together with what they make of its alerts.
//!
//! A step on an incident is one on each of its alerts that is not resolved: `acknowledged` and `resolved` go down with the
//! disposition, so that an alert that is harmless teaches and calls back what machines still had to do. A few alerts
//! follow at once; the rest by [`follow`], since one incident may hold thousands and no transaction may take long. The
//! other way round, an incident whose last alert is resolved is resolved, and one alert opened again opens it again.

use super::model::{Incident, Resolution};
use crate::alert::Alert;
use crate::alert::model::Status;
use crate::db::alerts::{self, Change, TriageError, TriageStep};
use crate::db::{DbError, audit, incidents};
use bartizan_core::Severity;
use rusqlite::Connection;
use serde_json::json;

/// Alerts that follow a step on their incident within its transaction.
pub const AT_ONCE_MAX: u32 = 100;

/// Takes in a step. [`crate::notify::commit_incident_triage`] also has its alerts follow, and tells of it.
///
/// # Errors
/// No such incident; another version than expected; a change that makes no sense; the database.
pub fn triage(tx: &Connection, step: &TriageStep<'_>, now_ms: i64) -> Result<Incident, TriageError> {
    let mut incident = incidents::get(tx, step.id)?.ok_or(TriageError::NotFound)?;
    step.check(&incident.tenant, incident.version)?;
    if incident.merged_into.is_some() {
        return Err(TriageError::Invalid { member: None, reason: "this incident was merged: change the one that it was merged into" });
    }
    step.change.apply(&mut incident.status, &mut incident.disposition, &mut incident.assignee)?;
    incident.resolution = (incident.status == Status::Resolved).then_some(Resolution::Person);
    let change = serde_json::to_value(step.change).map_err(DbError::from)?;
    incidents::put_version(tx, &mut incident, step.actor, &change, now_ms)?;
    let detail = json!({"tenant": incident.tenant, "version": incident.version, "change": change});
    audit::record(tx, now_ms, step.actor, "incident.triage", step.id, &detail)?;
    Ok(incident)
}

/// What an alert of an incident has to follow with; `None`: nothing.
#[must_use]
pub fn following(incident: &Incident, alert: &Alert) -> Option<Change> {
    let status = (alert.status != incident.status && alert.status != Status::Resolved).then_some(incident.status)?;
    let disposition = incident.disposition.filter(|_| status == Status::Resolved);
    (status != Status::Open).then(|| Change { status: Some(status), disposition, ..Change::default() })
}

/// Brings an incident to what its alerts are, after one of them was triaged by itself.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn alert_triaged(tx: &Connection, alert: &Alert, actor: &str, now_ms: i64) -> Result<Option<Incident>, DbError> {
    let Some(mut incident) = alert.incident.as_deref().map(|id| incidents::get(tx, id)).transpose()?.flatten() else { return Ok(None) };
    let sum = alerts::sum_of_incident(tx, &incident.id)?;
    let severity = sum.severity.unwrap_or(Severity::Info);
    let status = match (incident.status, sum.unresolved) {
        (Status::Resolved, true) if incident.resolution == Some(Resolution::Alerts) => Status::Open,
        (Status::Resolved, _) => Status::Resolved,
        (_, false) => Status::Resolved,
        (Status::Open, true) if alert.status == Status::Acknowledged => Status::Acknowledged,
        (status, true) => status,
    };
    if (status, severity) == (incident.status, incident.severity) {
        return Ok(None);
    }
    if status != incident.status {
        let ends = status == Status::Resolved;
        incident.resolution = ends.then_some(Resolution::Alerts);
        incident.disposition = sum.disposition.filter(|_| ends);
    }
    (incident.status, incident.severity) = (status, severity);
    let change = json!({"status": status, "severity": severity, "disposition": incident.disposition, "alert": alert.id});
    incidents::put_version(tx, &mut incident, actor, &change, now_ms)?;
    Ok(Some(incident))
}

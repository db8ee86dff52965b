//! An alert version and all that follows from it, in one transaction.

use super::payload::Response;
use super::routing::Routing;
use super::tell::{Teller, Way};
use crate::alert::model::Disposition;
use crate::alert::{Alert, Status};
use crate::db::alerts::{self, TriageError, TriageStep};
use crate::db::{DbError, incidents};
use crate::incident::by_hand::{self, Hand};
use crate::incident::triage::AT_ONCE_MAX;
use crate::incident::{self, Incident, quiet};
use crate::respond::{Facts, plan, progress};
use crate::teach;
use rusqlite::Connection;

/// A version that detection wrote, with what the alert record does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Detected<'a> {
    /// The version; triage members at their defaults, `version` detection's own count.
    pub alert: &'a Alert,
    /// What the events that it names say; what is missing is taken from the alert itself.
    pub facts: &'a Facts,
    /// Sessions of the tenant that were active in the last day, if there is an estimate.
    pub active_sessions: Option<u64>,
}

/// What a version led to.
#[derive(Clone, Debug)]
pub struct Effects {
    /// The alert as it is shown now.
    pub alert: Alert,
    /// How was it told?
    pub told: Way,
    /// What machines were asked.
    pub response: Response,
}

/// Stores a version and writes everything that is to be delivered of it. `None`: a repetition of
/// what is stored, and nothing was done. Call [`super::Wake::wake`] once the transaction is committed.
///
/// # Errors
/// SQLite says no, or a stored record does not read; nothing must be committed then.
pub fn commit_alert(tx: &Connection, detected: &Detected<'_>, routing: &Routing, now_ms: i64) -> Result<Option<Effects>, DbError> {
    let Some(mut applied) = alerts::apply_detection(tx, detected.alert, now_ms)? else { return Ok(None) };
    let joined = incident::join(tx, &mut applied.alert, &routing.incidents, now_ms)?;
    let response = plan::plan(tx, &Detected { alert: &applied.alert, ..*detected }, routing, now_ms)?;
    let told = Teller::new(tx, routing, now_ms)?.detection(&applied, joined.as_ref(), response)?;
    Ok(Some(Effects { alert: applied.alert, told, response }))
}

/// Stores a triage step and writes what is to be delivered of it: `alert.resolved` when it resolves
/// the alert, `alert.updated` when it opens it again. What machines still have to do about an alert
/// that is judged false or harmless is taken back, and what there is to learn of it is noted.
///
/// # Errors
/// As [`alerts::triage`].
pub fn commit_triage(tx: &Connection, step: &TriageStep<'_>, routing: &Routing, now_ms: i64) -> Result<Alert, TriageError> {
    let alert = triage_alone(tx, step, routing, now_ms)?;
    if let Some(incident) = incident::triage::alert_triaged(tx, &alert, step.actor, now_ms)? {
        Teller::new(tx, routing, now_ms)?.incident(&incident)?;
    }
    Ok(alert)
}

/// The same, but for what it means for the alert's incident.
fn triage_alone(tx: &Connection, step: &TriageStep<'_>, routing: &Routing, now_ms: i64) -> Result<Alert, TriageError> {
    let before = alerts::get(tx, step.id)?.ok_or(TriageError::NotFound)?;
    let alert = alerts::triage(tx, step, now_ms)?;
    teach::triaged(tx, before.disposition, &alert, step.actor, now_ms)?;
    let kind = match (before.status, alert.status) {
        (Status::Open | Status::Acknowledged, Status::Resolved) => Some("alert.resolved"),
        (Status::Resolved, Status::Open | Status::Acknowledged) => Some("alert.updated"),
        _ => None,
    };
    Teller::new(tx, routing, now_ms)?.triage(&alert, kind)?;
    if alert.disposition.is_some_and(Disposition::is_harmless) {
        progress::cancel(tx, &alert.id, "the alert was judged false or harmless", now_ms)?;
    }
    Ok(alert)
}

/// Resolves up to `incidents_max` incidents that went silent, and tells of it. Returns how many.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn commit_silence(tx: &Connection, routing: &Routing, incidents_max: u32, now_ms: i64) -> Result<usize, DbError> {
    let ended = quiet::resolve_silent(tx, &routing.incidents, incidents_max, now_ms)?;
    let teller = Teller::new(tx, routing, now_ms)?;
    ended.iter().try_for_each(|incident| teller.incident(incident))?;
    Ok(ended.len())
}

/// Merges incidents into `id`, and tells of those that end by it.
///
/// # Errors
/// As [`by_hand::merge`].
pub fn commit_merge(tx: &Connection, (id, others): (&str, &[String]), routing: &Routing, hand: Hand<'_>) -> Result<Incident, TriageError> {
    let incident = by_hand::merge(tx, id, others, &routing.incidents, hand)?;
    let teller = Teller::new(tx, routing, hand.now_ms)?;
    for other in others {
        if let Some(merged) = incidents::get(tx, other)? {
            teller.incident(&merged)?;
        }
    }
    Ok(incident)
}

/// What a step on an incident led to.
#[derive(Clone, Debug)]
pub struct Triaged {
    /// The incident as it is shown now.
    pub incident: Incident,
    /// Alerts of it that followed.
    pub followers: Vec<Alert>,
}

/// Stores a step on an incident and has its alerts follow: up to [`AT_ONCE_MAX`] at once, further ones by
/// [`follow_incident`].
///
/// # Errors
/// As [`incident::triage::triage`].
pub fn commit_incident_triage(tx: &Connection, step: &TriageStep<'_>, routing: &Routing, now_ms: i64) -> Result<Triaged, TriageError> {
    let before = incidents::get(tx, step.id)?.map(|incident| incident.status);
    let incident = incident::triage::triage(tx, step, now_ms)?;
    if before != Some(incident.status) {
        Teller::new(tx, routing, now_ms)?.incident(&incident)?;
    }
    let followers = follow_incident(tx, &incident, step.actor, routing, now_ms)?;
    Ok(Triaged { incident, followers })
}

/// Has up to [`AT_ONCE_MAX`] alerts follow what people said of their incident, and notes whether more have to; returns
/// those that did.
///
/// # Errors
/// As [`commit_triage`].
pub fn follow_incident(
    tx: &Connection,
    incident: &Incident,
    actor: &str,
    routing: &Routing,
    now_ms: i64,
) -> Result<Vec<Alert>, TriageError> {
    let behind = incidents::behind(tx, incident, AT_ONCE_MAX)?;
    let mut followers = Vec::new();
    for id in &behind {
        let alert = alerts::get(tx, id)?.ok_or(TriageError::NotFound)?;
        if let Some(change) = incident::triage::following(incident, &alert) {
            // The incident knows already.
            let step = TriageStep { id, tenant: None, expected_version: None, change: &change, actor };
            followers.push(triage_alone(tx, &step, routing, now_ms)?);
        }
    }
    let more = behind.len() == AT_ONCE_MAX as usize;
    incidents::set_follows(tx, &incident.id, more.then_some(actor))?;
    Ok(followers)
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;

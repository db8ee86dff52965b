//! An alert version and all that follows from it, in one transaction.

use super::payload::Response;
use super::routing::Routing;
use super::tell::{Teller, Way};
use crate::alert::model::Disposition;
use crate::alert::{Alert, Status};
use crate::db::alerts::{self, TriageError, TriageStep};
use crate::db::{DbError, outbox};
use crate::respond::SessionFacts;
use crate::respond::plan::{self, REVOKE};
use crate::teach;
use rusqlite::Connection;

/// A version that detection wrote, with what the alert record does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Detected<'a> {
    /// The version; triage members at their defaults, `version` detection's own count.
    pub alert: &'a Alert,
    /// What is known of sessions that were hit; what is missing is taken from the alert itself.
    pub facts: &'a [SessionFacts],
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
    let Some(applied) = alerts::apply_detection(tx, detected.alert, now_ms)? else { return Ok(None) };
    let response = plan::plan(tx, &Detected { alert: &applied.alert, ..*detected }, routing, now_ms)?;
    let told = Teller::new(tx, routing, now_ms)?.detection(&applied, response)?;
    Ok(Some(Effects { alert: applied.alert, told, response }))
}

/// Stores a triage step and writes what is to be delivered of it: `alert.resolved` when it resolves
/// the alert, `alert.updated` when it opens it again. What machines still have to do about an alert
/// that is judged false or harmless is taken back, and what there is to learn of it is noted.
///
/// # Errors
/// As [`alerts::triage`].
pub fn commit_triage(tx: &Connection, step: &TriageStep<'_>, routing: &Routing, now_ms: i64) -> Result<Alert, TriageError> {
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
        outbox::cancel(tx, &alert.id, REVOKE, "the alert was judged false or harmless", now_ms)?;
    }
    Ok(alert)
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;

//! What people put together or take apart, where the rules of joining saw it differently.
//!
//! Merging moves all alerts of one incident into another, which from then on is found by what both were found by; the
//! merged one stays, resolved, and names where it went. Splitting takes some alerts out into an incident of their own. Both
//! sides are summed up anew from the alerts that they have.

use super::config::IncidentConfig;
use super::join::fill;
use super::model::{Incident, Resolution};
use crate::alert::model::Status;
use crate::db::alerts::{self, TriageError};
use crate::db::{DbError, audit, incidents};
use rusqlite::Connection;
use serde_json::{Value, json};

/// Alerts of the incidents that are merged or split by one step: they are summed up within a transaction.
pub const ALERTS_MAX: u64 = 2_000;

/// Who takes a step by hand, and why.
#[derive(Clone, Copy, Debug)]
pub struct Hand<'a> {
    /// Name of their token.
    pub actor: &'a str,
    /// The only tenant whose there are for that person; `None`: those of all.
    pub tenant: Option<&'a str>,
    /// A remark, kept in the history.
    pub note: Option<&'a str>,
    /// When.
    pub now_ms: i64,
}

/// Merges incidents into `id`.
///
/// # Errors
/// One is not there, is merged already, is another tenant's or `id` itself; too many alerts; the database.
pub fn merge(tx: &Connection, id: &str, others: &[String], config: &IncidentConfig, hand: Hand<'_>) -> Result<Incident, TriageError> {
    let mut into = hand.find(tx, id)?;
    let mut alert_count = into.alert_count;
    for other in others {
        let mut merged = hand.find(tx, other)?;
        if merged.id == into.id || merged.tenant != into.tenant {
            return Err(invalid("incidents", "an incident is merged with others of its tenant"));
        }
        alert_count = bounded(alert_count + merged.alert_count)?;
        incidents::move_all(tx, &merged.id, &into.id)?;
        (merged.status, merged.disposition, merged.resolution) = (Status::Resolved, None, Some(Resolution::Merged));
        merged.merged_into = Some(into.id.clone());
        into.related.retain(|related| *related != merged.id);
        hand.put(tx, &mut merged, "incident.merged", json!({"merged_into": into.id}))?;
    }
    sum_up(tx, &mut into, config)?;
    if into.status == Status::Resolved && into.resolution != Some(Resolution::Person) {
        (into.status, into.resolution, into.disposition) = (Status::Open, None, None);
    }
    hand.put(tx, &mut into, "incident.merge", json!({"merged": others}))?;
    Ok(into)
}

/// Takes alerts out of `id` into an incident of their own, which is returned.
///
/// # Errors
/// It is not there, or is merged; an alert is not in it; none would stay; too many alerts; the database.
pub fn split(tx: &Connection, id: &str, taken: &[String], config: &IncidentConfig, hand: Hand<'_>) -> Result<Incident, TriageError> {
    let mut from = hand.find(tx, id)?;
    bounded(from.alert_count)?;
    let mut own = None;
    for alert_id in taken {
        let mut alert = alerts::get(tx, alert_id)?.filter(|alert| alert.incident.as_deref() == Some(id));
        let alert = alert.as_mut().ok_or(invalid("alerts", "an alert is not in this incident"))?;
        let into = match &own {
            Some(into) => into,
            None => {
                let new = Incident { related: vec![from.id.clone()], assignee: from.assignee.clone(), ..Incident::split(&from, alert) };
                incidents::put(tx, &new)?;
                own.insert(new)
            }
        };
        incidents::assign(tx, alert, &into.id)?;
    }
    let mut own = own.ok_or(invalid("alerts", "name at least one"))?;
    sum_up(tx, &mut from, config)?;
    sum_up(tx, &mut own, config)?;
    if from.alert_count == 0 {
        return Err(invalid("alerts", "at least one has to stay"));
    }
    from.relate(&own.id);
    hand.put(tx, &mut from, "incident.split", json!({"split_into": own.id, "alerts": taken}))?;
    hand.put(tx, &mut own, "incident.split", json!({"split_from": from.id, "alerts": taken}))?;
    Ok(own)
}

/// Makes the incident what its alerts say, and has it found by what they name.
fn sum_up(tx: &Connection, incident: &mut Incident, config: &IncidentConfig) -> Result<(), DbError> {
    incidents::lose_all(tx, &incident.id)?;
    incident.empty();
    for alert in incidents::alerts_of(tx, &incident.id, ALERTS_MAX)? {
        fill(tx, config, incident, &alert, true)?;
    }
    Ok(())
}

fn bounded(alert_count: u64) -> Result<u64, TriageError> {
    if alert_count > ALERTS_MAX {
        return Err(TriageError::Invalid { member: None, reason: "more than 2,000 alerts: too many for one step" });
    }
    Ok(alert_count)
}

fn invalid(member: &'static str, reason: &'static str) -> TriageError {
    TriageError::Invalid { member: Some(member), reason }
}

impl Hand<'_> {
    fn find(&self, tx: &Connection, id: &str) -> Result<Incident, TriageError> {
        let found = incidents::get(tx, id)?.filter(|incident| self.tenant.is_none_or(|own| own == incident.tenant));
        let incident = found.ok_or(TriageError::NotFound)?;
        if incident.merged_into.is_some() {
            return Err(TriageError::Invalid { member: None, reason: "it was merged: take the one that it was merged into" });
        }
        Ok(incident)
    }

    fn put(&self, tx: &Connection, incident: &mut Incident, action: &str, mut change: Value) -> Result<(), DbError> {
        if let (Some(note), Some(change)) = (self.note, change.as_object_mut()) {
            change.insert("note".to_owned(), note.into());
        }
        incidents::put_version(tx, incident, self.actor, &change, self.now_ms)?;
        let detail = json!({"tenant": incident.tenant, "version": incident.version, "change": change});
        audit::record(tx, self.now_ms, self.actor, action, &incident.id, &detail)?;
        Ok(())
    }
}

//! The working copy of alerts: detection's newest version joined with what people made of it.
//!
//! Two writers meet in one row. Detection writes everything but the triage members, people write
//! only those. Each counts its own versions, and the version shown is their sum; so it only grows,
//! and a version that detection repeats after a crash is recognised by detection's own count.
//!
//! All functions take the transaction of their caller, because a version and what follows from it
//! (deliveries, history, audit) must stand or fall together. Not here: lists ([`super::alert_list`])
//! and the full history of versions, which the event store keeps.

use super::DbError;
use crate::alert::model::{Alert, Disposition, Status};
use bartizan_core::time::MINUTE_MS;
use bartizan_core::{EntityKind, Severity};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// While nothing gets worse, a growing alert is told no more often than this, in detected time.
const TOLD_AGAIN_MS: i64 = 5 * MINUTE_MS;
/// A note is a remark, not a document. It and the next stand in the OpenAPI document as part of the interface.
pub const NOTE_BYTES_MAX: usize = 8 * 1024;
/// Longest link.
pub const LINK_BYTES_MAX: usize = 2_048;
/// Names of people are short.
pub const ASSIGNEE_BYTES_MAX: usize = 256;

/// What had been told of an alert before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Severity at that time.
    pub severity: Severity,
}

/// A version of detection that was new.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The alert as it is shown now, triage included.
    pub alert: Alert,
    /// Severity of the version before; `None`: this is the first.
    pub severity_before: Option<Severity>,
    /// What had been told of it; `None`: nothing yet.
    pub told: Option<Told>,
    /// Is there news that people should hear: an opening, a higher severity, a further hit, growth
    /// that was not told for five minutes?
    pub news: bool,
}

/// What a person changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What it turned out to be; only of a resolved alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// Who works on it; an empty text means nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// A remark, kept in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where more of it stands, such as a ticket: an address of the web, kept in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// What a person asks for, of an alert or an incident.
#[derive(Clone, Copy, Debug)]
pub struct TriageStep<'a> {
    /// The alert or incident.
    pub id: &'a str,
    /// The only tenant whose there are for that person; `None`: those of all.
    pub tenant: Option<&'a str>,
    /// The version they saw, if they say so.
    pub expected_version: Option<u32>,
    /// What they change.
    pub change: &'a Change,
    /// Name of their token.
    pub actor: &'a str,
}

impl TriageStep<'_> {
    /// Is what is found there for that person, as it was when they saw it?
    ///
    /// # Errors
    /// It is another tenant's, or has another version.
    pub fn check(&self, tenant: &str, version: u32) -> Result<(), TriageError> {
        if self.tenant.is_some_and(|own| own != tenant) {
            return Err(TriageError::NotFound);
        }
        if self.expected_version.is_some_and(|expected| expected != version) {
            return Err(TriageError::Conflict { current: version });
        }
        Ok(())
    }
}

/// Why a triage step is refused.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// No such alert or incident.
    #[error("there is none of this id")]
    NotFound,
    /// Somebody was faster.
    #[error("it has version {current} by now")]
    Conflict {
        /// Version shown now.
        current: u32,
    },
    /// The change makes no sense.
    #[error("{reason}")]
    Invalid {
        /// The member that is wrong; none: the change as a whole.
        member: Option<&'static str>,
        /// Why.
        reason: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<rusqlite::Error> for TriageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Db(error.into())
    }
}

/// One line of an alert's history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryEntry {
    /// Version that it led to.
    pub version: u32,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `detection`, or the name of the token.
    pub actor: String,
    /// What changed.
    pub change: Value,
}

/// Subjects of an alert that were hit.
#[must_use]
pub fn hits(alert: &Alert) -> i64 {
    alert.subjects.iter().filter(|subject| subject.hit).count() as i64
}

struct Stored {
    detection_version: u32,
    triage_version: u32,
    detected_ms: i64,
    told_ms: i64,
    told_severity: i64,
    told_hits: i64,
    alert: Alert,
}

fn stored(tx: &Connection, id: &str) -> Result<Option<Stored>, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT detection_version, triage_version, detected_ms, told_ms, told_severity, told_hits, body FROM alerts WHERE id = ?1",
    )?;
    let found = statement.query_row([id], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get::<_, String>(6)?))
    });
    let Some((detection_version, triage_version, detected_ms, told_ms, told_severity, told_hits, body)) = found.optional()? else {
        return Ok(None);
    };
    let alert = serde_json::from_str(&body)?;
    Ok(Some(Stored { detection_version, triage_version, detected_ms, told_ms, told_severity, told_hits, alert }))
}

/// Takes in a version that detection wrote. `alert.version` is detection's own count and its triage
/// members stand at their defaults; those that people set are kept. `None`: not newer than what is
/// stored, so a repetition, and nothing was done.
///
/// # Errors
/// SQLite says no, or the stored record does not read.
pub fn apply_detection(tx: &Connection, detected: &Alert, at_ms: i64) -> Result<Option<Applied>, DbError> {
    let before = stored(tx, &detected.id)?;
    if before.as_ref().is_some_and(|stored| detected.version <= stored.detection_version) {
        return Ok(None);
    }
    let mut alert = detected.clone();
    let (mut told, mut news, mut triage_version, mut detected_ms) = (None, true, 0, detected.detected_time.0);
    let severity_before = before.as_ref().map(|stored| stored.alert.severity);
    if let Some(before) = before {
        alert.status = before.alert.status;
        alert.disposition = before.alert.disposition;
        alert.assignee.clone_from(&before.alert.assignee);
        alert.incident.clone_from(&before.alert.incident);
        triage_version = before.triage_version;
        detected_ms = before.detected_ms;
        told = severity_of(before.told_severity).map(|severity| Told { severity });
        news = is_news(&before, &alert, told);
    }
    alert.version = detected.version.saturating_add(triage_version);
    write_alert(tx, &alert, detected.version, triage_version, detected_ms)?;
    write_entities(tx, &alert)?;
    let change = json!({"severity": alert.severity, "event_count": alert.event_count, "ongoing": alert.ongoing, "reason": alert.reason});
    write_history(tx, &alert, at_ms, "detection", &change)?;
    Ok(Some(Applied { alert, severity_before, told, news }))
}

/// Growth alone is no news once someone resolved the alert, and neither is the end of the episode.
fn is_news(before: &Stored, now: &Alert, told: Option<Told>) -> bool {
    let Some(told) = told else {
        return now.ongoing || now.severity > before.alert.severity || hits(now) > hits(&before.alert);
    };
    let worse = now.severity > told.severity || hits(now) > before.told_hits;
    let grows = now.ongoing && now.status != Status::Resolved;
    worse || (grows && now.detected_time.0.saturating_sub(before.told_ms) >= TOLD_AGAIN_MS)
}

fn severity_of(number: i64) -> Option<Severity> {
    Severity::ALL.iter().copied().find(|severity| *severity as i64 == number)
}

/// Notes that this version of the alert was told.
///
/// # Errors
/// SQLite says no.
pub fn mark_told(tx: &Connection, alert: &Alert) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE alerts SET told_ms = ?2, told_severity = ?3, told_hits = ?4 WHERE id = ?1")?.execute((
        &alert.id,
        alert.detected_time.0,
        alert.severity as i64,
        hits(alert),
    ))?;
    Ok(())
}

/// The severity at which the alert was last told; `None`: not told yet, or no such alert.
///
/// # Errors
/// SQLite says no.
pub fn told_severity(tx: &Connection, id: &str) -> Result<Option<Severity>, DbError> {
    let number: Option<i64> = tx.query_row("SELECT told_severity FROM alerts WHERE id = ?1", [id], |row| row.get(0)).optional()?;
    Ok(number.and_then(severity_of))
}

/// How many alerts of its detector and tenant were opened in the `window_ms` that end with the
/// opening of this stored alert, itself included, counted up to `count_max`.
///
/// # Errors
/// SQLite says no.
pub fn opened_within(tx: &Connection, alert: &Alert, window_ms: i64, count_max: u32) -> Result<u32, DbError> {
    let mut statement = tx.prepare_cached(
        "WITH this AS (SELECT detected_ms AS at_ms FROM alerts WHERE id = ?1)
         SELECT count(*) FROM (SELECT 1 FROM alerts, this
         WHERE tenant = ?2 AND detector = ?3 AND detected_ms > at_ms - ?4 AND detected_ms <= at_ms LIMIT ?5)",
    )?;
    let row = params![alert.id, alert.tenant, alert.detector, window_ms, count_max];
    Ok(statement.query_row(row, |row| row.get(0))?)
}

/// Takes in what a person changed. [`crate::notify::commit_triage`] also tells of it.
///
/// # Errors
/// No such alert; another version than expected; a change that makes no sense; the database.
pub fn triage(tx: &Connection, step: &TriageStep<'_>, now_ms: i64) -> Result<Alert, TriageError> {
    let before = stored(tx, step.id)?.ok_or(TriageError::NotFound)?;
    step.check(&before.alert.tenant, before.alert.version)?;
    let mut alert = before.alert;
    step.change.apply(&mut alert.status, &mut alert.disposition, &mut alert.assignee)?;
    let triage_version = before.triage_version.saturating_add(1);
    alert.version = before.detection_version.saturating_add(triage_version);
    write_alert(tx, &alert, before.detection_version, triage_version, before.detected_ms)?;
    let change = serde_json::to_value(step.change).map_err(DbError::from)?;
    write_history(tx, &alert, now_ms, step.actor, &change)?;
    let detail = json!({"tenant": alert.tenant, "detector": alert.detector, "version": alert.version, "change": change});
    super::audit::record(tx, now_ms, step.actor, "alert.triage", step.id, &detail)?;
    Ok(alert)
}

fn invalid(member: Option<&'static str>, reason: &'static str) -> TriageError {
    TriageError::Invalid { member, reason }
}

impl Change {
    /// Changes where an alert or incident stands; nothing is changed if the change makes no sense.
    ///
    /// # Errors
    /// It says nothing, too much, or a disposition of what is not resolved.
    pub fn apply(
        &self,
        status: &mut Status,
        disposition: &mut Option<Disposition>,
        assignee: &mut Option<String>,
    ) -> Result<(), TriageError> {
        if *self == Self::default() {
            return Err(invalid(None, "nothing to change: give status, disposition, assignee, note or link"));
        }
        if self.note.as_ref().is_some_and(|note| note.len() > NOTE_BYTES_MAX) {
            return Err(invalid(Some("note"), "note: longer than 8192 bytes"));
        }
        if self.link.as_ref().is_some_and(|link| link.len() > LINK_BYTES_MAX) {
            return Err(invalid(Some("link"), "link: longer than 2048 bytes"));
        }
        if self.assignee.as_ref().is_some_and(|name| name.len() > ASSIGNEE_BYTES_MAX) {
            return Err(invalid(Some("assignee"), "assignee: longer than 256 bytes"));
        }
        let becomes = self.status.unwrap_or(*status);
        *disposition = match (becomes, self.disposition) {
            (Status::Resolved, Some(given)) => Some(given),
            (Status::Resolved, None) => *disposition,
            (_, Some(_)) => return Err(invalid(Some("disposition"), "disposition: only a resolved alert or incident has one")),
            (_, None) => None,
        };
        *status = becomes;
        if let Some(name) = &self.assignee {
            *assignee = Some(name.clone()).filter(|name| !name.is_empty());
        }
        Ok(())
    }
}

/// One alert as it is shown now.
///
/// # Errors
/// SQLite says no, or the record does not read.
pub fn get(tx: &Connection, id: &str) -> Result<Option<Alert>, DbError> {
    Ok(stored(tx, id)?.map(|stored| stored.alert))
}

/// The newest `entries_max` lines of an alert's history, oldest of them first.
///
/// # Errors
/// SQLite says no, or a line does not read.
pub fn history(tx: &Connection, id: &str, entries_max: u32) -> Result<Vec<HistoryEntry>, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT version, at_ms, actor, change FROM alert_history WHERE alert_id = ?1 ORDER BY version DESC, line DESC LIMIT ?2",
    )?;
    let rows = statement.query_map((id, entries_max), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?)))?;
    let mut entries = Vec::new();
    for row in rows {
        let (version, at_ms, actor, change) = row?;
        entries.push(HistoryEntry { version, at_ms, actor, change: serde_json::from_str(&change)? });
    }
    entries.reverse();
    Ok(entries)
}

/// What an incident comes to by the alerts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The worst severity that nobody judged harmless; `None`: all were.
    pub severity: Option<Severity>,
    /// Is any of them not resolved?
    pub unresolved: bool,
    /// What they turned out to be, taken together: an attack if one of them was; wrong if all were.
    pub disposition: Option<Disposition>,
}

/// What an incident comes to by the alerts in it.
///
/// # Errors
/// SQLite says no.
pub fn sum_of_incident(tx: &Connection, incident_id: &str) -> Result<Sum, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT max(severity) FILTER (WHERE harmless = 0), max(unresolved), max(attack), min(wrong), count(*) FROM (
             SELECT severity, status <> 'resolved' AS unresolved, coalesce(disposition IN ('false_positive', 'benign'), 0) AS harmless,
                    coalesce(disposition = 'true_positive', 0) AS attack, coalesce(disposition = 'false_positive', 0) AS wrong
             FROM (SELECT severity, status, json_extract(body, '$.disposition') AS disposition FROM alerts WHERE incident_id = ?1))",
    )?;
    let sum = statement.query_row([incident_id], |row| {
        let (attack, wrong): (Option<bool>, Option<bool>) = (row.get(2)?, row.get(3)?);
        let harmless = row.get::<_, Option<i64>>(0)?.is_none() && row.get::<_, i64>(4)? > 0;
        let disposition = match () {
            () if attack == Some(true) => Some(Disposition::TruePositive),
            () if wrong == Some(true) => Some(Disposition::FalsePositive),
            () => harmless.then_some(Disposition::Benign),
        };
        let severity = row.get::<_, Option<i64>>(0)?.and_then(severity_of);
        Ok(Sum { severity, unresolved: row.get::<_, Option<bool>>(1)? == Some(true), disposition })
    })?;
    Ok(sum)
}

/// Removes up to `rows_max` alerts whose newest version is older than `before_ms`, with all that
/// hangs on them; returns how many.
///
/// # Errors
/// SQLite says no.
pub fn prune(tx: &Connection, before_ms: i64, rows_max: u32) -> Result<usize, DbError> {
    let sql = "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE updated_ms < ?1 ORDER BY updated_ms LIMIT ?2)";
    Ok(tx.execute(sql, (before_ms, rows_max))?)
}

fn write_alert(tx: &Connection, alert: &Alert, detection_version: u32, triage_version: u32, detected_ms: i64) -> Result<(), DbError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO alerts (id, tenant, detector, severity, status, detection_version, triage_version,
                             first_event_ms, last_event_ms, detected_ms, updated_ms, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET severity = ?4, status = ?5, detection_version = ?6, triage_version = ?7,
             first_event_ms = ?8, last_event_ms = ?9, updated_ms = ?11, body = ?12",
    )?;
    statement.execute(params![
        alert.id,
        alert.tenant,
        alert.detector,
        alert.severity as i64,
        alert.status.as_str(),
        detection_version,
        triage_version,
        alert.first_event_time.0,
        alert.last_event_time.0,
        detected_ms,
        alert.detected_time.0,
        serde_json::to_string(alert)?,
    ])?;
    Ok(())
}

/// Brings the index of entities to what the alert names now: what a bounded list dropped goes too.
fn write_entities(tx: &Connection, alert: &Alert) -> Result<(), DbError> {
    let entities = &alert.entities;
    let lists = [
        (EntityKind::User, &entities.users),
        (EntityKind::Ip, &entities.ips),
        (EntityKind::Session, &entities.sessions),
        (EntityKind::Device, &entities.devices),
        (EntityKind::Network, &entities.networks),
        (EntityKind::Token, &entities.tokens),
    ];
    let wanted: BTreeSet<(String, String)> =
        lists.iter().flat_map(|(kind, list)| list.iter().map(|value| (kind.as_str().to_owned(), value.clone()))).collect();
    let known: BTreeSet<(String, String)> = tx
        .prepare_cached("SELECT kind, value FROM alert_entities WHERE alert_id = ?1")?
        .query_map([&alert.id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut remove = tx.prepare_cached("DELETE FROM alert_entities WHERE kind = ?1 AND value = ?2 AND alert_id = ?3")?;
    for (kind, value) in known.difference(&wanted) {
        remove.execute((kind, value, &alert.id))?;
    }
    let mut add = tx.prepare_cached("INSERT INTO alert_entities (kind, value, alert_id) VALUES (?1, ?2, ?3)")?;
    for (kind, value) in wanted.difference(&known) {
        add.execute((kind, value, &alert.id))?;
    }
    Ok(())
}

fn write_history(tx: &Connection, alert: &Alert, at_ms: i64, actor: &str, change: &Value) -> Result<(), DbError> {
    let sql = "INSERT INTO alert_history (alert_id, version, line, at_ms, actor, change) VALUES (?1, ?2, 0, ?3, ?4, ?5)";
    tx.prepare_cached(sql)?.execute((&alert.id, alert.version, at_ms, actor, change.to_string()))?;
    Ok(())
}

/// Adds a line to an alert's history that tells what people's normal gained by it. It belongs to the version that the
/// alert has: nothing of the alert itself changes. An alert that there is no more has none.
///
/// # Errors
/// SQLite says no.
pub fn tell_lesson(tx: &Connection, id: &str, actor: &str, text: &str, at_ms: i64) -> Result<(), DbError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO alert_history (alert_id, version, line, at_ms, actor, change)
         SELECT id, version, 1 + coalesce((SELECT max(line) FROM alert_history AS h WHERE h.alert_id = this.id AND h.version = this.version), 0), ?2, ?3, ?4
         FROM (SELECT id, detection_version + triage_version AS version FROM alerts WHERE id = ?1) AS this",
    )?;
    statement.execute((id, at_ms, actor, json!({ "lesson": text }).to_string()))?;
    Ok(())
}

#[cfg(test)]
#[path = "alerts_tests.rs"]
mod tests;

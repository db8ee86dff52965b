//! Rows of incidents: the record itself, by whom and what further alerts find it, and its history.
//!
//! All functions take the transaction of their caller: an incident changes with the alert that changes it.

use super::DbError;
use super::alert_list::{Conditions, Filter, PAGE_MAX, Page};
use crate::alert::Alert;
use crate::alert::model::Status;
use crate::incident::Incident;
use bartizan_core::{EntityKind, Subject, TimeMs};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::Value;

/// One line of an incident's history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryEntry {
    /// Version that it led to.
    pub version: u32,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `detection`, `silence`, or the name of a token.
    pub actor: String,
    /// What changed.
    pub change: Value,
}

/// A subject by which an incident is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The incident.
    pub id: String,
    /// When it last took part.
    pub last_ms: i64,
}

/// One incident.
///
/// # Errors
/// SQLite says no, or the record does not read.
pub fn get(tx: &Connection, id: &str) -> Result<Option<Incident>, DbError> {
    let body: Option<String> =
        tx.prepare_cached("SELECT body FROM incidents WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// Writes the record as it is now.
///
/// # Errors
/// SQLite says no.
pub fn put(tx: &Connection, incident: &Incident) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO incidents (id, tenant, severity, status, version, first_event_ms, last_event_ms, opened_ms, updated_ms, hit_count, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET severity = ?3, status = ?4, version = ?5, first_event_ms = ?6, last_event_ms = ?7,
             updated_ms = ?9, hit_count = ?10, body = ?11",
    )?
    .execute(params![
        incident.id,
        incident.tenant,
        incident.severity as i64,
        incident.status.as_str(),
        incident.version,
        incident.first_event_time.0,
        incident.last_event_time.0,
        incident.opened_time.0,
        incident.updated_time.0,
        i64::try_from(incident.hit_count).unwrap_or(i64::MAX),
        serde_json::to_string(incident)?,
    ])?;
    Ok(())
}

/// Writes the record as its next version, with the line of its history that says what led to it.
///
/// # Errors
/// SQLite says no.
pub fn put_version(tx: &Connection, incident: &mut Incident, actor: &str, change: &Value, at_ms: i64) -> Result<(), DbError> {
    incident.version = incident.version.saturating_add(1);
    incident.updated_time = incident.updated_time.max(TimeMs(at_ms));
    put(tx, incident)?;
    tx.prepare_cached("INSERT INTO incident_history (incident_id, version, at_ms, actor, change) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((&incident.id, incident.version, at_ms, actor, change.to_string()))?;
    Ok(())
}

/// The newest `entries_max` lines of an incident's history, oldest of them first.
///
/// # Errors
/// SQLite says no, or a line does not read.
pub fn history(tx: &Connection, id: &str, entries_max: u32) -> Result<Vec<HistoryEntry>, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT version, at_ms, actor, change FROM incident_history WHERE incident_id = ?1 ORDER BY version DESC LIMIT ?2",
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

/// Incidents of the tenant in which this subject was the attacker's or was hit, and took part between `from_ms` and
/// `to_ms`; newest first, at most eight.
///
/// # Errors
/// SQLite says no.
pub fn with(tx: &Connection, tenant: &str, subject: &Subject, (from_ms, to_ms): (i64, i64)) -> Result<Vec<Found>, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT entity.incident_id, entity.last_ms FROM incident_entities AS entity JOIN incidents AS incident ON incident.id = entity.incident_id
         WHERE entity.tenant = ?1 AND entity.kind = ?2 AND entity.value = ?3 AND entity.last_ms >= ?4 AND incident.first_event_ms <= ?5
           AND (entity.hit AND ?6 OR entity.role = ?7)
         ORDER BY entity.last_ms DESC, entity.incident_id LIMIT 8",
    )?;
    let row = params![tenant, subject.kind.as_str(), subject.value, from_ms, to_ms, subject.hit, subject.role.as_str()];
    let found = statement.query_map(row, |row| Ok(Found { id: row.get(0)?, last_ms: row.get(1)? }))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Writes by what the incident is found from now on, of at most `entities_max`. Returns how many of them were hit.
///
/// # Errors
/// SQLite says no.
pub fn find_by<'a>(
    tx: &Connection,
    incident: &Incident,
    subjects: impl Iterator<Item = &'a Subject>,
    last_ms: i64,
    entities_max: usize,
) -> Result<u64, DbError> {
    let mut known = tx.prepare_cached("SELECT hit FROM incident_entities WHERE incident_id = ?1 AND kind = ?2 AND value = ?3")?;
    let mut write = tx.prepare_cached(
        "INSERT INTO incident_entities (incident_id, tenant, kind, value, role, hit, last_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET hit = hit OR ?6, last_ms = max(last_ms, ?7), role = iif(?5 = 'attacker', ?5, role)",
    )?;
    let (mut hits, mut room) = (incident.hit_count, None);
    for subject in subjects {
        let before: Option<bool> = known.query_row((&incident.id, subject.kind.as_str(), &subject.value), |row| row.get(0)).optional()?;
        if before.is_none() {
            let left = match room {
                Some(left) => left,
                None => entities_max.saturating_sub(count(tx, &incident.id)?),
            };
            if left == 0 {
                // Counted here, it would be counted again with each further version.
                continue;
            }
            room = Some(left - 1);
        }
        hits += u64::from(subject.hit && before != Some(true));
        let row = params![incident.id, incident.tenant, subject.kind.as_str(), subject.value, subject.role.as_str(), subject.hit, last_ms];
        write.execute(row)?;
    }
    Ok(hits)
}

fn count(tx: &Connection, id: &str) -> Result<usize, DbError> {
    let count: i64 =
        tx.prepare_cached("SELECT count(*) FROM incident_entities WHERE incident_id = ?1")?.query_row([id], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Puts an alert into an incident.
///
/// # Errors
/// SQLite says no.
pub fn assign(tx: &Connection, alert: &mut Alert, id: &str) -> Result<(), DbError> {
    alert.incident = Some(id.to_owned());
    tx.prepare_cached("UPDATE alerts SET incident_id = ?2, body = ?3 WHERE id = ?1")?.execute((
        &alert.id,
        id,
        serde_json::to_string(alert)?,
    ))?;
    Ok(())
}

/// Moves all alerts of an incident into another one.
///
/// # Errors
/// SQLite says no.
pub fn move_all(tx: &Connection, from: &str, into: &str) -> Result<(), DbError> {
    tx.execute("UPDATE alerts SET incident_id = ?2, body = json_set(body, '$.incident', ?2) WHERE incident_id = ?1", [from, into])?;
    lose_all(tx, from)
}

/// An incident is found by nothing any more.
///
/// # Errors
/// SQLite says no.
pub fn lose_all(tx: &Connection, id: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM incident_entities WHERE incident_id = ?1", [id])?;
    Ok(())
}

/// Alerts of an incident, the earliest first.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn alerts_of(tx: &Connection, id: &str, alerts_max: u64) -> Result<Vec<Alert>, DbError> {
    let mut statement = tx.prepare_cached("SELECT body FROM alerts WHERE incident_id = ?1 ORDER BY first_event_ms, id LIMIT ?2")?;
    let rows = statement.query_map(params![id, alerts_max as i64], |row| row.get::<_, String>(0))?;
    rows.map(|body| Ok(serde_json::from_str(&body?)?)).collect()
}

/// Events that alerts name.
#[derive(Debug, Default)]
pub struct NamedEvents {
    /// Their ids.
    pub ids: Vec<String>,
    /// When the first and the last event of these alerts were.
    pub span_ms: Option<(i64, i64)>,
}

/// Events that the alerts of an incident name, of those that began by `until_ms` and the latest first: as many alerts as
/// `ids_max` has room for.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn named_events(tx: &Connection, id: &str, until_ms: i64, ids_max: usize) -> Result<NamedEvents, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT first_event_ms, last_event_ms, json_extract(body, '$.event_ids') FROM alerts
         WHERE incident_id = ?1 AND first_event_ms <= ?2 ORDER BY first_event_ms DESC, id DESC",
    )?;
    let mut rows = statement.query(params![id, until_ms])?;
    let mut named = NamedEvents::default();
    while let Some(row) = rows.next()? {
        let (first_ms, last_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
        let ids: Vec<String> = serde_json::from_str(&row.get::<_, String>(2)?)?;
        if named.ids.len() + ids.len() > ids_max {
            break;
        }
        named.ids.extend(ids);
        named.span_ms = Some(named.span_ms.map_or((first_ms, last_ms), |(first, last)| (first.min(first_ms), last.max(last_ms))));
    }
    Ok(named)
}

/// Alerts that are in no incident, name this subject and have an event between `from_ms` and `to_ms`; newest first.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn unassigned(
    tx: &Connection,
    tenant: &str,
    (kind, value): (EntityKind, &str),
    (from_ms, to_ms): (i64, i64),
    alerts_max: u32,
) -> Result<Vec<Alert>, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT body FROM alerts JOIN alert_entities ON alert_id = id
         WHERE kind = ?1 AND value = ?2 AND tenant = ?3 AND incident_id IS NULL AND last_event_ms >= ?4 AND first_event_ms <= ?5
         ORDER BY last_event_ms DESC, id LIMIT ?6",
    )?;
    let rows = statement.query_map(params![kind.as_str(), value, tenant, from_ms, to_ms, alerts_max], |row| row.get::<_, String>(0))?;
    rows.map(|body| Ok(serde_json::from_str(&body?)?)).collect()
}

/// Ids of alerts that have to follow what people said of their incident, up to `alerts_max`.
///
/// # Errors
/// SQLite says no.
pub fn behind(tx: &Connection, incident: &Incident, alerts_max: u32) -> Result<Vec<String>, DbError> {
    let mut statement =
        tx.prepare_cached("SELECT id FROM alerts WHERE incident_id = ?1 AND status IN (?2, ?3) AND status <> ?4 ORDER BY id LIMIT ?5")?;
    let also = if incident.status == Status::Resolved { Status::Acknowledged } else { Status::Open };
    let row = params![incident.id, Status::Open.as_str(), also.as_str(), incident.status.as_str(), alerts_max];
    Ok(statement.query_map(row, |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Notes whose word the alerts of an incident still have to follow; `None`: they all do.
///
/// # Errors
/// SQLite says no.
pub fn set_follows(tx: &Connection, id: &str, actor: Option<&str>) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE incidents SET follows = ?2 WHERE id = ?1 AND follows IS NOT ?2")?.execute((id, actor))?;
    Ok(())
}

/// An incident whose alerts still have to follow, and whose word.
///
/// # Errors
/// SQLite says no, or the record does not read.
pub fn to_follow(tx: &Connection) -> Result<Option<(Incident, String)>, DbError> {
    let mut statement = tx.prepare_cached("SELECT body, follows FROM incidents WHERE follows IS NOT NULL ORDER BY id LIMIT 1")?;
    let row: Option<(String, String)> = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    row.map(|(body, actor)| Ok((serde_json::from_str(&body)?, actor))).transpose()
}

/// Unresolved incidents to which nothing came since `before_ms` and which nobody has to look at first, oldest first.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn silent_since(tx: &Connection, before_ms: i64, incidents_max: u32) -> Result<Vec<Incident>, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT body FROM incidents WHERE (status = 'acknowledged' OR (status = 'open' AND hit_count = 0)) AND updated_ms < ?1
         ORDER BY updated_ms LIMIT ?2",
    )?;
    let rows = statement.query_map((before_ms, incidents_max), |row| row.get::<_, String>(0))?;
    rows.map(|body| Ok(serde_json::from_str(&body?)?)).collect()
}

/// Removes up to `rows_max` incidents that have no alert any more and did not change since `before_ms`.
///
/// # Errors
/// SQLite says no.
pub fn prune(tx: &Connection, before_ms: i64, rows_max: u32) -> Result<usize, DbError> {
    let sql = "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE updated_ms < ?1
               AND NOT EXISTS (SELECT 1 FROM alerts WHERE incident_id = incidents.id) ORDER BY updated_ms LIMIT ?2)";
    Ok(tx.execute(sql, (before_ms, rows_max))?)
}

/// One page of incidents, newest first. Of the filter, the detector and the entities are those of their alerts.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn list(tx: &Connection, filter: &Filter) -> Result<Page<Incident>, DbError> {
    let mut all = Conditions::default();
    if let Some(since) = filter.since_ms {
        all.add("last_event_ms >= ?", [since.into()]);
    }
    if let Some(until) = filter.until_ms {
        all.add("first_event_ms < ?", [until.into()]);
    }
    if let Some(tenant) = &filter.tenant {
        all.add("tenant = ?", [tenant.clone().into()]);
    }
    if let Some(detector) = &filter.detector {
        all.add("EXISTS (SELECT 1 FROM alerts WHERE incident_id = incidents.id AND detector = ?)", [detector.clone().into()]);
    }
    all.any_of("severity", filter.severities.iter().map(|severity| (*severity as i64).into()).collect());
    all.any_of("status", filter.statuses.iter().map(|status| status.as_str().to_owned().into()).collect());
    for (kind, value) in &filter.entities {
        let sql = "id IN (SELECT incident_id FROM alert_entities JOIN alerts ON alerts.id = alert_id WHERE kind = ? AND value = ?)";
        all.add(sql, [kind.as_str().to_owned().into(), value.clone().into()]);
    }
    if let Some(cursor) = &filter.cursor {
        all.add("(updated_ms, id) < (?, ?)", [cursor.updated_ms.into(), cursor.id.clone().into()]);
    }
    all.page(tx, "incidents", filter.limit.clamp(1, PAGE_MAX))
}

/// Something that happened in the course of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// When.
    pub at_ms: i64,
    /// Tells entries of one time apart.
    pub key: String,
    /// `incident`, `alert`, `notification` or `action`.
    pub kind: String,
    /// Who or what did it, or through which channel it went.
    pub by: String,
    /// The incident, or the alert.
    pub about: String,
    /// JSON: what it was.
    pub change: String,
}

/// What happened in the course of an incident, newest first: to it, to its alerts, what was told and done.
///
/// # Errors
/// SQLite says no.
pub fn timeline(tx: &Connection, id: &str, before: (i64, &str), limit: u32) -> Result<Vec<Happened>, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT at_ms, key, kind, by, about, change FROM (
             SELECT at_ms, printf('i:%010d', version) AS key, 'incident' AS kind, actor AS by, incident_id AS about, change
             FROM incident_history WHERE incident_id = ?1
             UNION ALL
             SELECT at_ms, printf('a:%s:%010d:%05d', alert_id, version, line), 'alert', actor, alert_id, change
             FROM alerts JOIN alert_history ON alert_id = alerts.id WHERE incident_id = ?1
             UNION ALL
             SELECT coalesce(finished_ms, created_ms), printf('m:%020d', outbox.id), 'notification', channel,
                    about, json_object('type', kind, 'state', state, 'attempts', attempts, 'error', last_error)
             FROM (SELECT ?1 AS of UNION ALL SELECT id FROM alerts WHERE incident_id = ?1) JOIN outbox ON outbox.about = of
             WHERE kind <> 'alert' AND not_after_ms IS NULL
             UNION ALL
             SELECT actions.updated_ms, 'x:' || actions.id, 'action', 'revoke:' || target, alert_id, actions.body
             FROM alerts JOIN actions ON alert_id = alerts.id WHERE incident_id = ?1)
         WHERE (at_ms, key) < (?2, ?3) ORDER BY at_ms DESC, key DESC LIMIT ?4",
    )?;
    let rows = statement.query_map((id, before.0, before.1, limit), |row| {
        Ok(Happened { at_ms: row.get(0)?, key: row.get(1)?, kind: row.get(2)?, by: row.get(3)?, about: row.get(4)?, change: row.get(5)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

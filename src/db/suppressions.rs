//! Suppressions and the ledger of what they held back.

use super::DbError;
use crate::suppress::{About, Expression, Kind, Suppression, Tally};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "id, tenant, detector, kind, value, expression, owner, reason, created_ms, expires_ms, added, removed";

fn entry(row: &Row<'_>) -> rusqlite::Result<Suppression> {
    Ok(Suppression {
        id: row.get(0)?,
        tenant: row.get(1)?,
        detector: row.get(2)?,
        about: about(row)?,
        owner: row.get(6)?,
        reason: row.get(7)?,
        created_ms: row.get(8)?,
        expires_ms: row.get(9)?,
        added: row.get::<_, i64>(10)? as u64,
        removed: row.get::<_, Option<i64>>(11)?.map(|version| version as u64),
    })
}

fn about(row: &Row<'_>) -> rusqlite::Result<About> {
    if let Some(expression) = row.get::<_, Option<String>>(5)? {
        let unreadable = |error| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, Box::new(error));
        return Expression::try_from(expression).map(About::When).map_err(unreadable);
    }
    let kind: String = row.get(3)?;
    let kind = Kind::parse(&kind).ok_or(rusqlite::Error::InvalidColumnType(3, kind, Type::Text))?;
    Ok(About::Entity { kind, value: row.get(4)? })
}

/// All entries that there are or were, oldest first.
///
/// # Errors
/// SQLite says no.
pub fn all(connection: &Connection) -> Result<Vec<Suppression>, DbError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM suppressions ORDER BY added, id"))?;
    Ok(statement.query_map([], entry)?.collect::<Result<_, _>>()?)
}

/// The newest version of a list with these entries.
#[must_use]
pub fn newest_of(entries: &[Suppression]) -> u64 {
    entries.iter().map(|entry| entry.removed.unwrap_or(0).max(entry.added)).max().unwrap_or(0)
}

/// The version of the list that the next change makes.
fn next_version(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(max(added, coalesce(removed, 0))), 0) FROM suppressions";
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? as u64 + 1)
}

/// Adds an entry, unless there are `entries_max` in force already; its version is set here. None: the list is full.
///
/// # Errors
/// SQLite says no.
pub fn add(tx: &Connection, new: Suppression, entries_max: usize, now_ms: i64) -> Result<Option<Suppression>, DbError> {
    let sql = "SELECT count(*) FROM suppressions WHERE removed IS NULL AND expires_ms > ?1";
    let in_force: i64 = tx.query_row(sql, [now_ms], |row| row.get(0))?;
    if in_force >= entries_max as i64 {
        return Ok(None);
    }
    let new = Suppression { added: next_version(tx)?, removed: None, ..new };
    let sql = format!("INSERT INTO suppressions ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL)");
    let Suppression { id, tenant, detector, about, owner, reason, created_ms, expires_ms, added, .. } = &new;
    let (kind, value, expression) = match about {
        About::Entity { kind, value } => (Some(kind.as_str()), Some(value), None),
        About::When(expression) => (None, None, Some(expression.json())),
    };
    let added = *added as i64;
    tx.execute(&sql, params![id, tenant, detector, kind, value, expression, owner, reason, created_ms, expires_ms, added])?;
    Ok(Some(new))
}

/// The entry of this id, if it is in force.
///
/// # Errors
/// SQLite says no.
pub fn get(connection: &Connection, id: &str, now_ms: i64) -> Result<Option<Suppression>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM suppressions WHERE id = ?1 AND removed IS NULL AND expires_ms > ?2");
    Ok(connection.query_row(&sql, params![id, now_ms], entry).optional()?)
}

/// Takes an entry out of the list. It stays for as long as an earlier version may be needed.
///
/// # Errors
/// SQLite says no.
pub fn remove(tx: &Connection, id: &str) -> Result<(), DbError> {
    let version = next_version(tx)? as i64;
    tx.execute("UPDATE suppressions SET removed = ?2 WHERE id = ?1 AND removed IS NULL", params![id, version])?;
    Ok(())
}

/// Drops up to `rows_max` entries that ended before `before_ms`, but never the one of the newest version, which
/// the next one counts on from.
///
/// # Errors
/// SQLite says no.
pub fn prune(tx: &Connection, before_ms: i64, rows_max: u32) -> Result<usize, DbError> {
    let newest = next_version(tx)? as i64 - 1;
    let sql = "DELETE FROM suppressions WHERE id IN (SELECT id FROM suppressions WHERE expires_ms < ?1 AND added <> ?3
               AND coalesce(removed, 0) <> ?3 ORDER BY expires_ms LIMIT ?2)";
    Ok(tx.execute(sql, params![before_ms, rows_max, newest])?)
}

/// Counts findings that were held back. What a repetition of the recorded order brings again is not counted again.
///
/// # Errors
/// SQLite says no.
pub fn count_held(tx: &Connection, tallies: &[Tally]) -> Result<(), DbError> {
    let sql = "INSERT INTO suppressed (tenant, suppression, gate, detector, key, hour, severity, findings, first_event_ms, last_event_ms, event_id, reason, last_seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
               ON CONFLICT (tenant, suppression, gate, detector, key, hour) DO UPDATE SET
                 findings = findings + excluded.findings, first_event_ms = min(first_event_ms, excluded.first_event_ms),
                 last_event_ms = max(last_event_ms, excluded.last_event_ms), last_seq = excluded.last_seq,
                 event_id = iif(excluded.severity >= severity, excluded.event_id, event_id),
                 reason = iif(excluded.severity >= severity, excluded.reason, reason), severity = max(severity, excluded.severity)
               WHERE excluded.last_seq > last_seq";
    let mut statement = tx.prepare_cached(sql)?;
    for Tally { sample, findings, times_ms, last_seq } in tallies {
        let (hour, (suppression, gate)) = (sample.time_ms.div_euclid(Tally::HOUR_MS), sample.by.names());
        statement.execute(params![
            sample.tenant,
            suppression,
            gate,
            sample.detector,
            sample.key,
            hour,
            sample.severity as i64,
            *findings as i64,
            times_ms.0,
            times_ms.1,
            sample.event_id,
            sample.reason,
            *last_seq as i64
        ])?;
    }
    Ok(())
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number: later ones are larger.
    pub id: i64,
    /// Tenant.
    pub tenant: String,
    /// Id of the suppression; empty if it was a gate.
    pub suppression: String,
    /// The gate of the detector that held it back; empty if it was a suppression.
    pub gate: String,
    /// Detector.
    pub detector: String,
    /// What the alert would have been about.
    pub key: String,
    /// Severity by number.
    pub severity: u8,
    /// Findings within the hour.
    pub findings: u64,
    /// Event time of the first.
    pub first_event_ms: i64,
    /// Event time of the last.
    pub last_event_ms: i64,
    /// Event of the worst finding.
    pub event_id: String,
    /// What that said.
    pub reason: String,
}

/// Which lines of the ledger; absent members do not filter.
#[derive(Clone, Debug, Default)]
pub struct LineFilter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Held back by the suppression of this id.
    pub suppression: Option<String>,
    /// Held back by this gate.
    pub gate: Option<String>,
    /// Of this detector.
    pub detector: Option<String>,
    /// About this key.
    pub key: Option<String>,
    /// Of the hour of this event time.
    pub around_ms: Option<i64>,
    /// With an event at or after this time.
    pub since_ms: Option<i64>,
    /// Only what suppressions held back, not gates.
    pub by_suppressions: bool,
}

/// Lines before the one of number `before`, newest first.
///
/// # Errors
/// SQLite says no.
pub fn held(connection: &Connection, filter: &LineFilter, before: i64, limit: u32) -> Result<Vec<Line>, DbError> {
    let sql = "SELECT id, tenant, suppression, gate, detector, key, severity, findings, first_event_ms, last_event_ms, event_id, reason
               FROM suppressed WHERE id < ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR suppression = ?3)
               AND (?4 IS NULL OR gate = ?4) AND (?5 IS NULL OR detector = ?5) AND (?6 IS NULL OR key = ?6) AND (?7 IS NULL OR hour = ?7)
               AND (?8 IS NULL OR last_event_ms >= ?8) AND (NOT ?9 OR gate = '') ORDER BY id DESC LIMIT ?10";
    let mut statement = connection.prepare_cached(sql)?;
    let line = |row: &Row<'_>| {
        Ok(Line {
            id: row.get(0)?,
            tenant: row.get(1)?,
            suppression: row.get(2)?,
            gate: row.get(3)?,
            detector: row.get(4)?,
            key: row.get(5)?,
            severity: row.get(6)?,
            findings: row.get::<_, i64>(7)? as u64,
            first_event_ms: row.get(8)?,
            last_event_ms: row.get(9)?,
            event_id: row.get(10)?,
            reason: row.get(11)?,
        })
    };
    let LineFilter { tenant, suppression, gate, detector, key, around_ms, since_ms, by_suppressions } = filter;
    let hour = around_ms.map(|time_ms| time_ms.div_euclid(Tally::HOUR_MS));
    let wanted = params![before, tenant, suppression, gate, detector, key, hour, since_ms, by_suppressions, limit];
    Ok(statement.query_map(wanted, line)?.collect::<Result<_, _>>()?)
}

/// Drops lines of the ledger whose last event is older than `before_ms`, and the oldest beyond `lines_max`; up to `rows_max` at once.
///
/// # Errors
/// SQLite says no.
pub fn prune_held(tx: &Connection, before_ms: i64, lines_max: usize, rows_max: u32) -> Result<usize, DbError> {
    let sql = "DELETE FROM suppressed WHERE id IN (SELECT id FROM suppressed WHERE last_event_ms < ?1
               OR id <= (SELECT id FROM suppressed ORDER BY id DESC LIMIT 1 OFFSET ?2) ORDER BY id LIMIT ?3)";
    Ok(tx.execute(sql, params![before_ms, lines_max as i64, rows_max])?)
}

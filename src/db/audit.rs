//! The audit trail: who did what, when, why. Records are only ever added, each with the hash of the one before
//! ([`super::chain`]); retention removes the oldest, and says so in a record of its own.

use super::chain::{Broken, Link, PRUNED, Pruned, Record, Verifier};
use super::{Db, DbError};
use bartizan_core::TimeMs;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;
use serde_json::value::RawValue;

/// The fact that holds the last record that retention removed.
const PRUNED_UNTIL: &str = "audit.pruned_until";
/// Records that one call of [`list`] looks at: readers share the connection with the pipeline.
const LOOKED_AT_MAX: i64 = 10_000;
const COLUMNS: &str = "id, at_ms, actor, action, subject, detail, previous, hash";

/// Writes one record of the trail, in the transaction of what it tells of.
///
/// `actor` is the name of a token, or `detection`, `delivery`, `brakes`; `action` is a dotted constant such as
/// `revocation.held`; `subject` names what it was done to. `detail` is an object without secrets, whose member `tenant`
/// says whose the record is: without it, only callers of all tenants see it.
///
/// # Errors
/// SQLite says no.
pub fn record(tx: &Connection, at_ms: i64, actor: &str, action: &str, subject: &str, detail: &Value) -> rusqlite::Result<()> {
    let unwritable = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let before = head(tx)?;
    let mut record = Record {
        id: before.id.saturating_add(1),
        time: TimeMs(at_ms),
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: RawValue::from_string(detail.to_string()).map_err(unwritable)?,
        previous: before.hash,
        hash: String::new(),
    };
    record.seal().map_err(unwritable)?;
    let sql = "INSERT INTO audit (id, at_ms, actor, action, subject, detail, previous, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let Record { id, actor, action, subject, detail, previous, hash, .. } = record;
    tx.prepare_cached(sql)?.execute(params![id, at_ms, actor, action, subject, detail.get(), previous, hash])?;
    Ok(())
}

/// The newest record, or what the first one has to follow.
///
/// # Errors
/// SQLite says no.
pub fn head(tx: &Connection) -> rusqlite::Result<Link> {
    let sql = "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1";
    let newest = tx.prepare_cached(sql)?.query_row([], |row| Ok(Link { id: row.get(0)?, hash: row.get(1)? })).optional()?;
    newest.map_or_else(|| start(tx), Ok)
}

/// What the oldest record that is kept has to follow.
fn start(tx: &Connection) -> rusqlite::Result<Link> {
    let sql = "SELECT value FROM facts WHERE name = ?1";
    let fact: Option<Vec<u8>> = tx.prepare_cached(sql)?.query_row([PRUNED_UNTIL], |row| row.get(0)).optional()?;
    let Some(fact) = fact else { return Ok(Link::origin()) };
    serde_json::from_slice(&fact).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, error.into()))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Record> {
    let unreadable = |error: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, error.into());
    Ok(Record {
        id: row.get(0)?,
        time: TimeMs(row.get(1)?),
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        detail: RawValue::from_string(row.get(5)?).map_err(unreadable)?,
        previous: row.get(6)?,
        hash: row.get(7)?,
    })
}

/// Which records.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// At or after this time, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Before this time.
    pub until_ms: Option<i64>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
}

/// Up to `limit` records that fit, newest first, of those below the number `below`; and below which number to go on
/// (`None`: there are no older ones). Looks at a bounded number of records, so there may be fewer, or none, although
/// there are older ones.
///
/// # Errors
/// SQLite says no.
pub fn list(tx: &Connection, filter: &Filter, below: i64, limit: u32) -> rusqlite::Result<(Vec<Record>, Option<i64>)> {
    let below = below.min(head(tx)?.id.saturating_add(1));
    let lowest = below.saturating_sub(LOOKED_AT_MAX);
    let sql = format!(
        "SELECT {COLUMNS} FROM audit
         WHERE id < ?1 AND id >= ?2 AND (?3 IS NULL OR at_ms >= ?3) AND (?4 IS NULL OR at_ms < ?4) AND (?5 IS NULL OR tenant = ?5)
           AND (?6 IS NULL OR actor = ?6) AND (?7 IS NULL OR action = ?7) AND (?8 IS NULL OR subject = ?8)
         ORDER BY id DESC LIMIT ?9"
    );
    let Filter { since_ms, until_ms, tenant, actor, action, subject } = filter;
    let wanted = params![below, lowest, since_ms, until_ms, tenant, actor, action, subject, limit];
    let found: Vec<Record> = tx.prepare_cached(&sql)?.query_map(wanted, read)?.collect::<Result<_, _>>()?;
    let full = found.len() >= limit as usize;
    let next = found.last().filter(|_| full).map_or(lowest, |last| last.id);
    let older: bool = tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM audit WHERE id < ?1)")?.query_row([next], |row| row.get(0))?;
    Ok((found, older.then_some(next)))
}

/// Removes up to `rows_max` of the oldest records, up to the first that is not older than `before_ms`; returns how many.
/// A record says that they were removed, and up to where: the rest can still be verified.
///
/// # Errors
/// SQLite says no.
pub fn prune(tx: &Connection, now_ms: i64, before_ms: i64, rows_max: u32) -> Result<usize, DbError> {
    // The clock may have stepped: what is removed is a beginning of the chain all the same.
    let sql = "SELECT id, hash FROM (SELECT id, hash FROM audit
                   WHERE id < coalesce((SELECT id FROM audit WHERE at_ms >= ?1 ORDER BY id LIMIT 1), 9223372036854775807)
                   ORDER BY id LIMIT ?2) ORDER BY id DESC LIMIT 1";
    let last = tx.query_row(sql, (before_ms, rows_max), |row| Ok(Link { id: row.get(0)?, hash: row.get(1)? })).optional()?;
    let Some(until) = last else { return Ok(0) };
    // First the record, so that the chain goes on from the newest one even if that is removed.
    record(tx, now_ms, "retention", PRUNED, "audit", &serde_json::to_value(Pruned { until: until.clone() })?)?;
    let removed = tx.execute("DELETE FROM audit WHERE id <= ?1", [until.id])?;
    let sql = "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    tx.execute(sql, (PRUNED_UNTIL, serde_json::to_vec(&until)?))?;
    Ok(removed)
}

/// Why a trail is not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// The database says no.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The chain is broken.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// What was read cannot be written.
    #[error("cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

impl From<rusqlite::Error> for TrailError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<serde_json::Error> for TrailError {
    fn from(error: serde_json::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Checks the whole trail as it stands at one moment; others may write meanwhile. `wanted` is a hash that should be met.
///
/// # Errors
/// SQLite says no, or the chain is broken.
pub fn verify(db: &Db, wanted: Option<String>) -> Result<Verifier, TrailError> {
    db.read(|connection| {
        let moment = connection.unchecked_transaction()?;
        let start = start(&moment)?;
        let mut verifier = Verifier::new(Some(start.clone()), wanted);
        each(&moment, i64::MIN, i64::MAX, |line| Ok(verifier.check(&line)?))?;
        if verifier.pruned().is_some_and(|until| *until != start) || (verifier.pruned().is_none() && start != Link::origin()) {
            return Err(Broken { id: start.id, why: "it is missing, and no record tells that retention removed it" }.into());
        }
        Ok(verifier)
    })
}

/// Hands the records from `since_ms` until `until_ms` to `take`, oldest first, each as a line of JSON: a stretch without
/// gaps, as it stands at one moment.
///
/// # Errors
/// SQLite says no, or `take` does.
pub fn export(db: &Db, (since_ms, until_ms): (i64, i64), take: impl FnMut(String) -> Result<(), TrailError>) -> Result<(), TrailError> {
    db.read(|connection| {
        let moment = connection.unchecked_transaction()?;
        let id = |sql: &str, at_ms: i64| moment.query_row(sql, [at_ms], |row| row.get::<_, i64>(0)).optional();
        let first = id("SELECT id FROM audit WHERE at_ms >= ?1 ORDER BY id LIMIT 1", since_ms)?;
        let last = id("SELECT id FROM audit WHERE at_ms < ?1 ORDER BY id DESC LIMIT 1", until_ms)?;
        first.zip(last).map_or(Ok(()), |(first, last)| each(&moment, first, last, take))
    })
}

fn each(tx: &Connection, first: i64, last: i64, mut take: impl FnMut(String) -> Result<(), TrailError>) -> Result<(), TrailError> {
    let mut statement = tx.prepare(&format!("SELECT {COLUMNS} FROM audit WHERE id BETWEEN ?1 AND ?2 ORDER BY id"))?;
    let mut rows = statement.query([first, last])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let record = read(row).map_err(|_| Broken { id, why: "it cannot be read" })?;
        take(record.line()?)?;
    }
    Ok(())
}

/// Takes the trail of before there was a chain into the chain.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub(super) fn take_in(tx: &Connection) -> Result<(), DbError> {
    {
        let mut statement = tx.prepare("SELECT at_ms, actor, action, subject, detail FROM audit_before ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (actor, action, subject): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let detail: String = row.get(4)?;
            record(tx, row.get(0)?, &actor, &action, &subject, &serde_json::from_str(&detail)?)?;
        }
    }
    Ok(tx.execute_batch("DROP TABLE audit_before")?)
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;

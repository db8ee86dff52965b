//! The audit trail: who did what, when. Rows are only ever added here; retention prunes them.

use rusqlite::Connection;
use serde_json::Value;

/// Writes one line of the trail, in the transaction of what it tells of.
///
/// `actor` is the name of a token, or `detection`, `delivery`, `brakes`; `action` is a dotted
/// constant such as `revocation.held`; `subject` names what it was done to.
///
/// # Errors
/// SQLite says no.
pub fn record(tx: &Connection, at_ms: i64, actor: &str, action: &str, subject: &str, detail: &Value) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO audit (at_ms, actor, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
        at_ms,
        actor,
        action,
        subject,
        detail.to_string(),
    ))?;
    Ok(())
}

/// Removes up to `rows_max` lines older than `before_ms`; returns how many.
///
/// # Errors
/// SQLite says no.
pub fn prune(tx: &Connection, before_ms: i64, rows_max: u32) -> rusqlite::Result<usize> {
    tx.execute("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at_ms < ?1 ORDER BY id LIMIT ?2)", (before_ms, rows_max))
}

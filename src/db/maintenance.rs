//! Maintenance windows: one for each tenant, in which people hear of no incident.

use super::DbError;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whose incidents wait.
    pub tenant: String,
    /// When it begins, in milliseconds since 1970.
    pub from_ms: i64,
    /// When it ends.
    pub until_ms: i64,
    /// Name of the token that made it.
    pub owner: String,
    /// Why.
    pub reason: String,
}

fn window(row: &Row<'_>) -> rusqlite::Result<Window> {
    Ok(Window { tenant: row.get(0)?, from_ms: row.get(1)?, until_ms: row.get(2)?, owner: row.get(3)?, reason: row.get(4)? })
}

/// The window of a tenant at `now_ms`; `None`: it is in none.
///
/// # Errors
/// SQLite says no.
pub fn at(tx: &Connection, tenant: &str, now_ms: i64) -> Result<Option<Window>, DbError> {
    let sql = "SELECT tenant, from_ms, until_ms, owner, reason FROM maintenance WHERE tenant = ?1 AND from_ms <= ?2 AND until_ms > ?2";
    Ok(tx.prepare_cached(sql)?.query_row(params![tenant, now_ms], window).optional()?)
}

/// Windows that are not over, of one tenant or of all.
///
/// # Errors
/// SQLite says no.
pub fn list(tx: &Connection, tenant: Option<&str>, now_ms: i64) -> Result<Vec<Window>, DbError> {
    let sql = "SELECT tenant, from_ms, until_ms, owner, reason FROM maintenance
               WHERE until_ms > ?1 AND (?2 IS NULL OR tenant = ?2) ORDER BY tenant";
    Ok(tx.prepare_cached(sql)?.query_map(params![now_ms, tenant], window)?.collect::<Result<_, _>>()?)
}

/// Makes a window, in place of the one that the tenant had. Those that are over are dropped.
///
/// # Errors
/// SQLite says no.
pub fn set(tx: &Connection, new: &Window, now_ms: i64) -> Result<(), DbError> {
    tx.execute("DELETE FROM maintenance WHERE until_ms <= ?1", [now_ms])?;
    tx.execute(
        "INSERT OR REPLACE INTO maintenance (tenant, from_ms, until_ms, owner, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![new.tenant, new.from_ms, new.until_ms, new.owner, new.reason],
    )?;
    Ok(())
}

/// Ends the window of a tenant. False: it has none.
///
/// # Errors
/// SQLite says no.
pub fn end(tx: &Connection, tenant: &str, now_ms: i64) -> Result<bool, DbError> {
    Ok(tx.execute("DELETE FROM maintenance WHERE tenant = ?1 AND until_ms > ?2", params![tenant, now_ms])? > 0)
}

//! Sealed tokens that orders need, each as long as its order waits and no longer than it may be held.
//!
//! The key is not in the database: see [`crate::normalise::held`].

use crate::normalise::held::SealedToken;
use rusqlite::{Connection, OptionalExtension, params};

/// Keeps the token of an order's message, unless so many are kept already.
///
/// # Errors
/// SQLite says no.
pub fn put(tx: &Connection, message_id: &str, token: &SealedToken, tokens_max: u32) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO held_tokens (message_id, sealed, until_ms)
               SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM held_tokens) < ?4";
    tx.prepare_cached(sql)?.execute(params![message_id, token.sealed, token.until_ms, tokens_max])?;
    Ok(())
}

/// The sealed token of an order's message, if its time is not over.
///
/// # Errors
/// SQLite says no.
pub fn get(tx: &Connection, message_id: &str, now_ms: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT sealed FROM held_tokens WHERE message_id = ?1 AND until_ms > ?2";
    tx.prepare_cached(sql)?.query_row(params![message_id, now_ms], |row| row.get(0)).optional()
}

/// Erases the token of an order that is over.
///
/// # Errors
/// SQLite says no.
pub fn erase(tx: &Connection, message_id: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM held_tokens WHERE message_id = ?1")?.execute([message_id])?;
    Ok(())
}

/// Is the time of any over?
///
/// # Errors
/// SQLite says no.
pub fn is_any_over(tx: &Connection, now_ms: i64) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM held_tokens WHERE until_ms <= ?1)")?.query_row([now_ms], |row| row.get(0))
}

/// Erases those whose time is over.
///
/// # Errors
/// SQLite says no.
pub fn erase_over(tx: &Connection, now_ms: i64) -> rusqlite::Result<usize> {
    tx.prepare_cached("DELETE FROM held_tokens WHERE until_ms <= ?1")?.execute([now_ms])
}

//! What is known of the other end of each channel: did it end itself, did it pass its test call.
//!
//! Either is learned of one address. The fingerprint ties it to that address: a channel that is
//! configured anew starts afresh.

use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeSet;

/// Takes a channel up as configured now; what was known of another address is forgotten.
///
/// # Errors
/// SQLite says no.
pub fn configure(tx: &Connection, name: &str, fingerprint: &str) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO channels (name, fingerprint) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET
             fingerprint = excluded.fingerprint, ended_ms = NULL, ended_reason = NULL, tested_ms = NULL
         WHERE fingerprint <> excluded.fingerprint",
        (name, fingerprint),
    )?;
    Ok(())
}

/// Marks a channel as ended by its other end. False if it was already.
///
/// # Errors
/// SQLite says no.
pub fn end(tx: &Connection, name: &str, reason: &str, now_ms: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE channels SET ended_ms = ?3, ended_reason = ?2 WHERE name = ?1 AND ended_ms IS NULL";
    Ok(tx.execute(sql, (name, reason, now_ms))? > 0)
}

/// Lets an ended channel live again. False if it was not ended.
///
/// # Errors
/// SQLite says no.
pub fn revive(tx: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "UPDATE channels SET ended_ms = NULL, ended_reason = NULL WHERE name = ?1 AND ended_ms IS NOT NULL";
    Ok(tx.execute(sql, [name])? > 0)
}

/// The channels that ended.
///
/// # Errors
/// SQLite says no.
pub fn ended(tx: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    tx.prepare_cached("SELECT name FROM channels WHERE ended_ms IS NOT NULL")?.query_map([], |row| row.get(0))?.collect()
}

/// Remembers that the channel's address passed its test call.
///
/// # Errors
/// SQLite says no.
pub fn passed_test(tx: &Connection, name: &str, now_ms: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE channels SET tested_ms = ?2 WHERE name = ?1", (name, now_ms))?;
    Ok(())
}

/// Has the channel's present address passed its test call?
///
/// # Errors
/// SQLite says no.
pub fn is_tested(tx: &Connection, name: &str) -> rusqlite::Result<bool> {
    let tested: Option<Option<i64>> =
        tx.query_row("SELECT tested_ms FROM channels WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    Ok(tested.flatten().is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::db::{Db, DbError};

    #[test]
    fn a_channel_configured_anew_starts_afresh() {
        let db = Db::in_memory().unwrap();
        db.write::<_, DbError>(|tx| {
            configure(tx, "a", "one")?;
            passed_test(tx, "a", 5)?;
            assert!(end(tx, "a", "410", 5)?);
            assert!(!end(tx, "a", "410", 6)?);
            configure(tx, "a", "one")?;
            assert!(ended(tx)?.contains("a") && is_tested(tx, "a")?);
            configure(tx, "a", "two")?;
            assert!(ended(tx)?.is_empty() && !is_tested(tx, "a")?);
            Ok(())
        })
        .unwrap();
    }
}

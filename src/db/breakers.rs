//! Breakers that people closed.

use super::DbError;
use crate::detect::breaker::Closing;
use rusqlite::{Connection, params};

/// Closings that are kept, which go into the recorded order together.
const CLOSINGS_MAX: u32 = 1_000;

/// The newest closing of each breaker, oldest first.
///
/// # Errors
/// SQLite says no.
pub fn closings(connection: &Connection) -> Result<Vec<Closing>, DbError> {
    let mut statement = connection.prepare_cached("SELECT number, detector, tenant FROM breakers_closed ORDER BY number")?;
    let closing =
        |row: &rusqlite::Row<'_>| Ok(Closing { number: row.get::<_, i64>(0)? as u64, detector: row.get(1)?, tenant: row.get(2)? });
    Ok(statement.query_map([], closing)?.collect::<Result<_, _>>()?)
}

/// Notes that a person closed a breaker.
///
/// # Errors
/// SQLite says no.
pub fn close(tx: &Connection, detector: &str, tenant: &str) -> Result<(), DbError> {
    let newest: i64 = tx.query_row("SELECT coalesce(max(number), 0) FROM breakers_closed", [], |row| row.get(0))?;
    let sql = "INSERT OR REPLACE INTO breakers_closed (detector, tenant, number) VALUES (?1, ?2, ?3)";
    tx.execute(sql, params![detector, tenant, newest + 1])?;
    let sql = "DELETE FROM breakers_closed WHERE number <= (SELECT number FROM breakers_closed ORDER BY number DESC LIMIT 1 OFFSET ?1)";
    tx.execute(sql, [CLOSINGS_MAX])?;
    Ok(())
}

//! The working database: SQLite in WAL mode, one file under `data_dir`, several processes at once.
//!
//! It holds what changes by single rows: the newest version of each alert with its triage, the
//! outbox, API tokens, the audit trail. Everything that must happen together happens in one
//! transaction. `synchronous = FULL`: a committed transaction survives a power cut.
//!
//! Calls block for as long as a small transaction takes; async callers go through
//! `tokio::task::spawn_blocking`.

pub mod actions;
pub mod alert_list;
pub mod alerts;
pub mod audit;
pub mod breakers;
pub mod chain;
pub mod channels;
pub mod held_tokens;
pub mod incidents;
pub mod lessons;
pub mod maintenance;
pub mod orders;
pub mod outbox;
pub mod suppressions;
pub mod tokens;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Numbered migrations; the position in the list is the schema version.
const MIGRATIONS: &[Migration] = &[
    (include_str!("../../deploy/sqlite/0001_initial.sql"), none),
    (include_str!("../../deploy/sqlite/0002_incidents.sql"), none),
    (include_str!("../../deploy/sqlite/0003_audit.sql"), audit::take_in),
    (include_str!("../../deploy/sqlite/0004_actions.sql"), none),
];

/// A change of the schema, and what is done with the rows after it.
type Migration = (&'static str, fn(&Connection) -> Result<(), DbError>);

fn none(_: &Connection) -> Result<(), DbError> {
    Ok(())
}

/// What can go wrong in the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// SQLite says no.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file was written by a newer program.
    #[error("the database has schema version {found}, this program knows up to {known}: use a newer bartizan")]
    TooNew {
        /// Version in the file.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// A stored record does not read back.
    #[error("stored record does not read: {0}")]
    Record(#[from] serde_json::Error),
    /// A stored entry of the recorded order does not read back.
    #[error("recorded order does not read: {0}")]
    Order(#[from] postcard::Error),
}

/// A handle on the working database; clones share one connection for writing.
#[derive(Clone)]
pub struct Db {
    connection: Arc<Mutex<Connection>>,
}

impl Db {
    /// Opens or makes the database at `path` and brings its schema up to date.
    ///
    /// # Errors
    /// The file cannot be opened, is no database, or is from a newer program.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        Self::prepare(Connection::open(path)?)
    }

    /// A database in memory, for tests.
    ///
    /// # Errors
    /// SQLite cannot make one.
    pub fn in_memory() -> Result<Self, DbError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, DbError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // A statement keeps its plan whatever is bound to it: else SQLite plans it anew each time, to see whether a
        // partial index would do.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let known = MIGRATIONS.len() as i64;
        if found > known {
            return Err(DbError::TooNew { found, known });
        }
        for (schema, take_in) in MIGRATIONS.iter().skip(found.max(0) as usize) {
            tx.execute_batch(schema)?;
            take_in(&tx)?;
        }
        tx.pragma_update(None, "user_version", known)?;
        tx.commit()?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` in one immediate transaction and commits it if it succeeds.
    ///
    /// # Errors
    /// Whatever `work` or the commit returns; nothing of it is kept then.
    pub fn write<T, E: From<rusqlite::Error>>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut connection = self.connection.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&tx)?;
        tx.commit()?;
        Ok(value)
    }

    /// Runs `work` in one immediate transaction that is taken back: tells what would become of it.
    ///
    /// # Errors
    /// Whatever `work` returns.
    pub fn rehearse<T, E: From<rusqlite::Error>>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut connection = self.connection.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // It is rolled back where it is dropped.
        work(&tx)
    }

    /// Runs `work` for reading.
    ///
    /// # Errors
    /// Whatever `work` returns.
    pub fn read<T, E: From<rusqlite::Error>>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        work(&self.connection.lock())
    }

    /// Is this fact known?
    ///
    /// # Errors
    /// SQLite says no.
    pub fn has_fact(&self, name: &str) -> Result<bool, DbError> {
        self.read(|connection| Ok(connection.query_row("SELECT 1 FROM facts WHERE name = ?1", [name], |_| Ok(())).optional()?.is_some()))
    }

    /// Has `refuse` asked before each commit; where it says true, the transaction fails.
    ///
    /// # Errors
    /// SQLite says no.
    #[cfg(test)]
    pub(crate) fn before_commit(&self, refuse: impl FnMut() -> bool + Send + 'static) -> rusqlite::Result<()> {
        self.connection.lock().commit_hook(Some(refuse))
    }

    /// A small fact of this installation; made by `make` when it is asked for the first time.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn fact(&self, name: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, DbError> {
        self.write(|tx| {
            let known: Option<Vec<u8>> = tx.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0)).optional()?;
            if let Some(known) = known {
                return Ok(known);
            }
            let made = make();
            tx.execute("INSERT INTO facts (name, value) VALUES (?1, ?2)", (name, &made))?;
            Ok(made)
        })
    }
}

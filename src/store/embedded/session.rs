//! Sessions of the engine, and small pools of them.
//!
//! A session runs one statement at a time and remembers the settings and the current database that
//! it was last given, so that a request only changes what differs and never sees what another
//! request had set. Reads and inserts have pools of their own: a read never waits behind an insert.

use super::ffi::{Answer, Connection, EngineError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one request asks the engine to do.
pub(super) struct Statement {
    /// The SQL; of an insert with rows, the part before its `FORMAT`.
    pub(super) sql: String,
    /// The rows of an insert, and their format.
    pub(super) rows: Option<(String, axum::body::Bytes)>,
    /// Format of the answer where the SQL names none.
    pub(super) format: String,
    /// Current database.
    pub(super) database: String,
    /// Query-level settings of this request.
    pub(super) settings: BTreeMap<String, String>,
    /// Server-side parameters, in ClickHouse's escaped text form.
    pub(super) parameters: Vec<(String, String)>,
}

/// What came out.
pub(super) enum Done {
    Answer(Answer),
    Inserted(u64),
}

/// One connection with what was set on it.
pub(super) struct Session {
    connection: Connection,
    /// Settings that every request starts from.
    base: BTreeMap<String, String>,
    applied: BTreeMap<String, String>,
    database: String,
}

impl Session {
    pub(super) fn new(connection: Connection, base: BTreeMap<String, String>) -> Self {
        Self { connection, base, applied: BTreeMap::new(), database: String::new() }
    }

    /// Runs a statement with its own settings and database.
    pub(super) fn run(&mut self, statement: &Statement) -> Result<Done, EngineError> {
        self.apply_settings(&statement.settings)?;
        if self.database != statement.database {
            self.command(&format!("USE {}", quoted(&statement.database, '`')))?;
            self.database.clone_from(&statement.database);
        }
        match &statement.rows {
            Some((format, body)) => self.connection.insert(&statement.sql, format, &statement.parameters, body).map(Done::Inserted),
            None => self.connection.query(&statement.sql, &statement.format, &statement.parameters).map(Done::Answer),
        }
    }

    fn apply_settings(&mut self, asked: &BTreeMap<String, String>) -> Result<(), EngineError> {
        let mut wanted = self.base.clone();
        wanted.extend(asked.iter().map(|(name, value)| (name.clone(), value.clone())));
        let stale: Vec<String> = self.applied.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in stale {
            self.command(&format!("SET {name} = DEFAULT"))?;
            self.applied.remove(&name);
        }
        for (name, value) in wanted {
            if self.applied.get(&name) != Some(&value) {
                self.command(&format!("SET {name} = {}", quoted(&value, '\'')))?;
                self.applied.insert(name, value);
            }
        }
        Ok(())
    }

    fn command(&mut self, sql: &str) -> Result<(), EngineError> {
        self.connection.query(sql, "Null", &[]).map(drop)
    }
}

/// Quotes a text as a ClickHouse literal (`'`) or identifier (`` ` ``).
fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for letter in text.chars() {
        if letter == quote || letter == '\\' {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push(quote);
    quoted
}

/// A fixed number of sessions; who finds none free waits.
pub(super) struct Pool {
    free: Arc<Mutex<Vec<Session>>>,
    permits: Arc<Semaphore>,
}

/// A borrowed session; goes back to its pool when dropped.
pub(super) struct Lease {
    free: Arc<Mutex<Vec<Session>>>,
    session: Option<Session>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(sessions: Vec<Session>) -> Self {
        Self { permits: Arc::new(Semaphore::new(sessions.len())), free: Arc::new(Mutex::new(sessions)) }
    }

    /// Waits for a free session; `None` once the pool is closed.
    pub(super) async fn lease(&self) -> Option<Lease> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let session = self.free.lock().pop();
        Some(Lease { free: Arc::clone(&self.free), session, _permit: permit })
    }
}

impl Lease {
    /// Runs a statement; blocks the thread until the engine has answered.
    pub(super) fn run(&mut self, statement: &Statement) -> Result<Done, EngineError> {
        let closed = || EngineError::Statement("Code: 210. DB::Exception: the store is shutting down. (NETWORK_ERROR)".to_owned());
        self.session.as_mut().ok_or_else(closed)?.run(statement)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The session goes back before the permit, which is dropped after this.
        self.free.lock().extend(self.session.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(quoted(r"it's \ `x`", '\''), r"'it\'s \\ `x`'");
        assert_eq!(quoted("a`b", '`'), r"`a\`b`");
    }
}

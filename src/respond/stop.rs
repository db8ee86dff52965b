//! The stop switch of everything that machines do, for all tenants: a file in `data_dir`.
//!
//! While the file is there no call begins that acts upon others ([`crate::notify::Channel::acts`]); what waits runs out
//! of time and is escalated as ever. A file, so that it works when neither database nor daemon does: making one by hand
//! is enough, whatever stands in it. Who threw the switch and why is told to people, and recorded, by whoever sees the
//! change first, once: what was last told is a fact of the database.

use crate::db::{Db, DbError, audit};
use crate::notify::notice::{Announcement, tell_everyone};
use crate::notify::payload::Notice;
use crate::notify::routing::Routing;
use bartizan_core::TimeMs;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Name of the file within `data_dir`.
const FILE: &str = "response.stopped";
/// The fact that holds what was last told of the switch; absent: that machines act.
const TOLD: &str = "response.stopped";
/// Bytes of the file that are read.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// Stands for somebody who changed the file by hand.
const UNKNOWN: &str = "unknown";
/// Bytes of a reason.
pub const REASON_BYTES_MAX: usize = 1_000;

/// Who stopped machines from acting, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// When; `null`: the file does not say.
    pub time: Option<TimeMs>,
    /// Name of a token, or `command line`.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Why the switch cannot be turned.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The file says no.
    #[error("the file of the stop switch: {0}")]
    File(#[from] io::Error),
    /// The database says no.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<rusqlite::Error> for SwitchError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Db(error.into())
    }
}

/// The switch.
#[derive(Clone, Debug)]
pub struct StopSwitch {
    file: PathBuf,
}

impl StopSwitch {
    /// That of a `data_dir`.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self { file: data_dir.join(FILE) }
    }

    /// May machines not act now? To be asked right before each call that acts. If it cannot be told, they may not.
    #[must_use]
    pub fn is_thrown(&self) -> bool {
        !matches!(fs::symlink_metadata(&self.file), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Who threw it and why; `None`: machines may act.
    #[must_use]
    pub fn stopped(&self) -> Option<Stopped> {
        self.is_thrown().then(|| {
            let read = File::open(&self.file).and_then(|file| {
                let mut text = String::new();
                file.take(FILE_BYTES_MAX).read_to_string(&mut text).map(|_| text)
            });
            let said = read.ok().and_then(|text| serde_json::from_str(&text).ok());
            said.unwrap_or_else(|| Stopped { time: None, by: UNKNOWN.to_owned(), reason: "the file does not say".to_owned() })
        })
    }

    /// Throws the switch, without a database. False: it was thrown before, and stays as it was.
    ///
    /// # Errors
    /// There can be no such file. One that says nothing, as on a full disk, stops machines all the same.
    pub fn stop(&self, by: &str, reason: &str, now_ms: i64) -> io::Result<bool> {
        let stopped = Stopped { time: Some(TimeMs(now_ms)), by: by.to_owned(), reason: reason.to_owned() };
        let beside = self.file.with_extension("new");
        // Under its name only with all that it says, so that nobody reads half of it.
        let whole = File::create(&beside).and_then(|mut file| {
            file.write_all(serde_json::to_string(&stopped)?.as_bytes())?;
            file.sync_all()?;
            fs::hard_link(&beside, &self.file)
        });
        fs::remove_file(&beside).ok();
        let made = match whole {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => File::create_new(&self.file).map(drop),
            done => done,
        };
        match made {
            Ok(()) => {
                if let Err(error) = self.sync_folder() {
                    tracing::warn!(%error, "machines are stopped, but a power cut may undo it");
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets machines act again, without a database: nobody learns who did it. False: they could.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self) -> io::Result<bool> {
        match fs::remove_file(&self.file) {
            Ok(()) => self.sync_folder().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets machines act again, recorded and told as done by `by`. False: they could.
    ///
    /// # Errors
    /// The file cannot be removed, or SQLite says no.
    pub fn start(&self, db: &Db, routing: &Routing, by: &str, now_ms: i64) -> Result<bool, SwitchError> {
        // Within the transaction, so that nobody else tells of it first; a stop that nobody told of yet comes before it.
        db.write(|tx| {
            self.tell_in(tx, routing, None, now_ms)?;
            let removed = self.remove()?;
            self.tell_in(tx, routing, Some(by), now_ms)?;
            Ok(removed)
        })
    }

    /// Records and tells how the switch stands, if that is news; whether it was.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn tell(&self, db: &Db, routing: &Routing, now_ms: i64) -> Result<bool, DbError> {
        if db.read(told)? == self.stopped() {
            return Ok(false);
        }
        db.write(|tx| self.tell_in(tx, routing, None, now_ms)).map(|()| true)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    fn tell_in(&self, tx: &Connection, routing: &Routing, started_by: Option<&str>, now_ms: i64) -> Result<(), DbError> {
        let (told, now) = (told(tx)?, self.stopped());
        if told == now {
            return Ok(());
        }
        let (by, action, detail, title, text) = match &now {
            Some(Stopped { time, by, reason }) => {
                let text = "No session is ended and nothing else is done by the machine until an admin lets it act again. What runs out of time meanwhile is told singly, to be done by hand.";
                let detail = json!({"by": by, "reason": reason, "time": time});
                (by.as_str(), "response.stopped", detail, format!("Machines were stopped by {by}"), text)
            }
            None => {
                let by = started_by.unwrap_or(UNKNOWN);
                let text = "What waits and has not run out of time is done now.";
                (by, "response.started", json!({"by": by, "was_stopped": told}), format!("Machines may act again, by {by}"), text)
            }
        };
        remember(tx, now.as_ref())?;
        audit::record(tx, now_ms, by, action, "response", &detail)?;
        let notice = Notice { title, text: text.to_owned(), details: detail };
        let key = now_ms.to_string();
        tell_everyone(tx, routing, &Announcement { kind: action, key: &[&key], except: None, notice: &notice }, now_ms)
    }
}

/// Do people know that machines are stopped? For what is decided in a transaction, where the file is not asked.
///
/// # Errors
/// SQLite says no, or the fact does not read.
pub fn is_told(tx: &Connection) -> Result<bool, DbError> {
    Ok(told(tx)?.is_some())
}

fn told(tx: &Connection) -> Result<Option<Stopped>, DbError> {
    let sql = "SELECT value FROM facts WHERE name = ?1";
    let fact: Option<Vec<u8>> = tx.prepare_cached(sql)?.query_row([TOLD], |row| row.get(0)).optional()?;
    Ok(fact.map(|json| serde_json::from_slice(&json)).transpose()?)
}

fn remember(tx: &Connection, stopped: Option<&Stopped>) -> Result<(), DbError> {
    tx.execute("DELETE FROM facts WHERE name = ?1", [TOLD])?;
    if let Some(stopped) = stopped {
        tx.execute("INSERT INTO facts (name, value) VALUES (?1, ?2)", (TOLD, serde_json::to_vec(stopped)?))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "stop_tests.rs"]
mod tests;

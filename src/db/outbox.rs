//! The outbox: what is to be delivered, one row for each message and channel.
//!
//! A row is written in the transaction of its cause and stays until its channel has it, so nothing
//! that was decided is lost, whatever dies in between. `(channel, message_id)` is unique: the same
//! cause, met again after a crash, adds nothing. A row is claimed (its tries counted) before it is
//! sent; a message still gathering counts may change only until then.
//!
//! Not here: when to try again ([`crate::notify::schedule`]) and how to send.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Errors from far ends are kept this short.
const ERROR_BYTES_MAX: usize = 500;

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To be sent.
    Pending,
    /// The other end has it.
    Delivered,
    /// Given up after a day of tries, or because the channel ended.
    Failed,
    /// A revocation that did not arrive in time.
    Expired,
    /// A revocation that a brake held back: a person decides.
    Held,
    /// No longer wanted: people judged the alert false or harmless.
    Cancelled,
    /// A revocation that was only recorded.
    DryRun,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Pending, Self::Delivered, Self::Failed, Self::Expired, Self::Held, Self::Cancelled, Self::DryRun];

    /// The name as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
            Self::DryRun => "dry_run",
        }
    }
}

/// A message to be written.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Name of the channel in the outbox.
    pub channel: String,
    /// Stays the same over retries and restarts.
    pub message_id: String,
    /// `alert.opened`, `session.revoke` …
    pub kind: String,
    /// The alert or incident (or, to the topic of actions, the action) that it tells of; empty: none, and no order among
    /// such messages.
    pub about: String,
    /// Its version.
    pub version: u32,
    /// JSON as it is sent.
    pub body: String,
    /// [`State::Pending`], [`State::Held`] or [`State::DryRun`].
    pub state: State,
    /// Not to be sent before.
    pub next_ms: i64,
    /// Not to be sent after: what has a limit is an order.
    pub not_after_ms: Option<i64>,
}

/// A message that is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// Row.
    pub id: i64,
    /// Name of the channel in the outbox.
    pub channel: String,
    /// Stays the same over retries and restarts.
    pub message_id: String,
    /// `alert.opened`, `session.revoke` …
    pub kind: String,
    /// The alert or incident that it tells of, or empty.
    pub about: String,
    /// Its version.
    pub version: u32,
    /// JSON as it is sent.
    pub body: String,
    /// Tries begun.
    pub attempts: u32,
    /// When the tries began to count.
    pub created_ms: i64,
    /// Not to be sent after: what has a limit is an order.
    pub not_after_ms: Option<i64>,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

impl Message {
    /// Does it order a target to act?
    #[must_use]
    pub fn is_order(&self) -> bool {
        self.not_after_ms.is_some()
    }
}

const COLUMNS: &str = "id, channel, message_id, kind, about, version, body, attempts, created_ms, not_after_ms, last_error";

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: row.get(0)?,
        channel: row.get(1)?,
        message_id: row.get(2)?,
        kind: row.get(3)?,
        about: row.get(4)?,
        version: row.get(5)?,
        body: row.get(6)?,
        attempts: row.get(7)?,
        created_ms: row.get(8)?,
        not_after_ms: row.get(9)?,
        last_error: row.get(10)?,
    })
}

/// Writes a message. False: this channel knows the message id already, and nothing was written.
///
/// # Errors
/// SQLite says no.
pub fn enqueue(tx: &Connection, new: &NewMessage, now_ms: i64) -> rusqlite::Result<bool> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO outbox (channel, message_id, kind, about, version, body, state, created_ms, next_ms, not_after_ms, finished_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (channel, message_id) DO NOTHING",
    )?;
    let finished = (new.state != State::Pending).then_some(now_ms);
    let row = params![
        new.channel,
        new.message_id,
        new.kind,
        new.about,
        new.version,
        new.body,
        new.state.as_str(),
        now_ms.max(new.next_ms),
        new.next_ms,
        new.not_after_ms,
        finished
    ];
    Ok(statement.execute(row)? > 0)
}

/// The body of a message with that id, and whether it may still be changed (no try has begun).
///
/// # Errors
/// SQLite says no.
pub fn find(tx: &Connection, channel: &str, message_id: &str) -> rusqlite::Result<Option<(String, bool)>> {
    let sql = "SELECT body, state = 'pending' AND attempts = 0 FROM outbox WHERE channel = ?1 AND message_id = ?2";
    tx.prepare_cached(sql)?.query_row([channel, message_id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Changes the body of a message that no try has begun for, and has it sent at `by_ms` if it was due later.
///
/// # Errors
/// SQLite says no.
pub fn rewrite(tx: &Connection, channel: &str, message_id: &str, body: &str, by_ms: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE outbox SET body = ?3, next_ms = min(next_ms, ?4)
               WHERE channel = ?1 AND message_id = ?2 AND state = 'pending' AND attempts = 0";
    Ok(tx.prepare_cached(sql)?.execute(params![channel, message_id, body, by_ms])? > 0)
}

/// The newest message of a channel about an alert or incident, as far as another one depends on it.
#[derive(Clone, Debug)]
pub struct Newest {
    /// Its id.
    pub message_id: String,
    /// Its kind.
    pub kind: String,
    /// Its body.
    pub body: String,
    /// Has no try begun, so that it may be changed?
    pub waits: bool,
}

/// The newest message of a channel about an alert or incident, whatever became of it.
///
/// # Errors
/// SQLite says no.
pub fn newest_about(tx: &Connection, channel: &str, about: &str) -> rusqlite::Result<Option<Newest>> {
    let sql = "SELECT message_id, kind, body, state = 'pending' AND attempts = 0 FROM outbox
               WHERE channel = ?1 AND about = ?2 AND state <> 'cancelled' ORDER BY id DESC LIMIT 1";
    let newest = |row: &Row<'_>| Ok(Newest { message_id: row.get(0)?, kind: row.get(1)?, body: row.get(2)?, waits: row.get(3)? });
    tx.prepare_cached(sql)?.query_row([channel, about], newest).optional()
}

/// Messages about a tenant's incidents that wait for `until_ms` are due at once.
///
/// # Errors
/// SQLite says no.
pub fn hasten(tx: &Connection, tenant: &str, until_ms: i64, now_ms: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE outbox SET next_ms = ?3, created_ms = ?3 WHERE state = 'pending' AND attempts = 0 AND next_ms = ?2
               AND about IN (SELECT id FROM incidents WHERE tenant = ?1)";
    tx.execute(sql, params![tenant, until_ms, now_ms])?;
    Ok(())
}

/// Takes back a message that no try has begun for.
///
/// # Errors
/// SQLite says no.
pub fn withdraw(tx: &Connection, channel: &str, message_id: &str, reason: &str, now_ms: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE outbox SET state = 'cancelled', finished_ms = ?3, last_error = ?4
               WHERE channel = ?1 AND message_id = ?2 AND state = 'pending' AND attempts = 0";
    Ok(tx.prepare_cached(sql)?.execute(params![channel, message_id, now_ms, reason])? > 0)
}

/// Incidents of which a channel heard the opening since `since_ms`, and how many of them were milder than high then.
///
/// # Errors
/// SQLite says no.
pub fn openings_since(tx: &Connection, channel: &str, since_ms: i64) -> rusqlite::Result<(u32, u32)> {
    // The kind stands in the index.
    let sql = "SELECT count(*), count(*) FILTER (WHERE json_extract(body, '$.data.severity') NOT IN ('high', 'critical'))
               FROM outbox WHERE kind = 'incident.opened' AND channel = ?1 AND created_ms > ?2";
    tx.prepare_cached(sql)?.query_row(params![channel, since_ms], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// What may be sent now, longest due first: rows whose time has come and that no earlier row of the
/// same alert holds up (orders, which have a time limit, do not wait for each other).
///
/// # Errors
/// SQLite says no.
pub fn due(tx: &Connection, channel: &str, now_ms: i64, limit: usize) -> rusqlite::Result<Vec<Message>> {
    let waits = if sabotaged!(VersionsOvertake) { "about <> '' OR " } else { "" };
    let sql = format!(
        "SELECT {COLUMNS} FROM outbox AS o WHERE channel = ?1 AND state = 'pending' AND next_ms <= ?2
         AND ({waits}about = '' OR not_after_ms IS NOT NULL OR NOT EXISTS (
             SELECT 1 FROM outbox AS e WHERE e.channel = ?1 AND e.about = o.about AND e.state = 'pending' AND e.id < o.id))
         ORDER BY next_ms, id LIMIT ?3"
    );
    tx.prepare_cached(&sql)?.query_map(params![channel, now_ms, limit as i64], message)?.collect()
}

/// What may not be sent any more and was not, up to `limit` rows.
///
/// # Errors
/// SQLite says no.
pub fn overdue(tx: &Connection, channel: &str, now_ms: i64, limit: usize) -> rusqlite::Result<Vec<Message>> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE channel = ?1 AND state = 'pending' AND not_after_ms <= ?2 ORDER BY id LIMIT ?3");
    tx.prepare_cached(&sql)?.query_map(params![channel, now_ms, limit as i64], message)?.collect()
}

/// When the next row is due, if any waits.
///
/// # Errors
/// SQLite says no.
pub fn next_due_ms(tx: &Connection, channel: &str, after_ms: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT min(next_ms) FROM outbox WHERE channel = ?1 AND state = 'pending' AND next_ms > ?2";
    tx.prepare_cached(sql)?.query_row(params![channel, after_ms], |row| row.get(0))
}

/// Counts a try that is about to begin.
///
/// # Errors
/// SQLite says no.
pub fn claim(tx: &Connection, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// A channel's interrupted and waiting tries are due at once: called when its deliverer starts.
///
/// # Errors
/// SQLite says no.
pub fn wake(tx: &Connection, channel: &str, now_ms: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE outbox SET next_ms = ?2 WHERE channel = ?1 AND state = 'pending' AND attempts > 0 AND next_ms > ?2";
    tx.execute(sql, params![channel, now_ms])?;
    Ok(())
}

/// Ends a pending row in a final state, with a remark.
///
/// # Errors
/// SQLite says no.
pub fn finish(tx: &Connection, id: i64, state: State, remark: Option<&str>, now_ms: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE outbox SET state = ?2, finished_ms = ?3, last_error = ?4 WHERE id = ?1 AND state = 'pending'";
    Ok(tx.prepare_cached(sql)?.execute(params![id, state.as_str(), now_ms, remark.map(shortened)])? > 0)
}

/// The row is tried again at `next_ms`.
///
/// # Errors
/// SQLite says no.
pub fn retry(tx: &Connection, id: i64, next_ms: i64, error: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE outbox SET next_ms = ?2, last_error = ?3 WHERE id = ?1 AND state = 'pending'";
    tx.prepare_cached(sql)?.execute(params![id, next_ms, shortened(error)])?;
    Ok(())
}

/// Everything that waits for a channel has failed: it ended. Returns how many.
///
/// # Errors
/// SQLite says no.
pub fn fail_all(tx: &Connection, channel: &str, reason: &str, now_ms: i64) -> rusqlite::Result<usize> {
    let sql = "UPDATE outbox SET state = 'failed', finished_ms = ?2, last_error = ?3 WHERE channel = ?1 AND state = 'pending'";
    tx.execute(sql, params![channel, now_ms, shortened(reason)])
}

/// What waits for a channel that is configured no longer has failed; configured again, it can be
/// tried again. Returns how many.
///
/// # Errors
/// SQLite says no.
pub fn fail_orphans(tx: &Connection, channels: &BTreeSet<String>, now_ms: i64) -> rusqlite::Result<usize> {
    let mut statement = tx.prepare("SELECT DISTINCT channel FROM outbox WHERE state = 'pending'")?;
    let waiting: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut failed = 0;
    for orphan in waiting.iter().filter(|name| !channels.contains(*name)) {
        failed += fail_all(tx, orphan, "the channel is not configured any more", now_ms)?;
    }
    Ok(failed)
}

/// Takes back a message that waits or is held. False: there is no such message any more.
///
/// # Errors
/// SQLite says no.
pub fn cancel(tx: &Connection, channel: &str, message_id: &str, reason: &str, now_ms: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE outbox SET state = 'cancelled', finished_ms = ?3, last_error = ?4
               WHERE channel = ?1 AND message_id = ?2 AND state IN ('pending', 'held')";
    Ok(tx.prepare_cached(sql)?.execute(params![channel, message_id, now_ms, reason])? > 0)
}

/// Lets a held row go, with a new body and time limit. False: there is no such held row.
///
/// # Errors
/// SQLite says no.
pub fn release(tx: &Connection, channel: &str, message_id: &str, body: &str, not_after_ms: i64, now_ms: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE outbox SET state = 'pending', body = ?3, not_after_ms = ?4, created_ms = ?5, next_ms = ?5,
               finished_ms = NULL WHERE channel = ?1 AND message_id = ?2 AND state = 'held'";
    Ok(tx.execute(sql, params![channel, message_id, body, not_after_ms, now_ms])? > 0)
}

/// Rows by channel and state.
///
/// # Errors
/// SQLite says no.
pub fn counts(tx: &Connection) -> rusqlite::Result<Vec<(String, String, i64)>> {
    tx.prepare_cached("SELECT channel, state, count(*) FROM outbox GROUP BY channel, state ORDER BY channel, state")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// How a channel is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// When a message last arrived.
    pub last_success_ms: Option<i64>,
    /// When the next one that failed before is tried again.
    pub next_attempt_ms: Option<i64>,
    /// Why its last try failed.
    pub last_error: Option<String>,
}

/// How each channel is doing that has rows.
///
/// # Errors
/// SQLite says no.
pub fn progress(tx: &Connection) -> rusqlite::Result<BTreeMap<String, Progress>> {
    // From channel to channel by the index: it is asked often, and the outbox may be long.
    let sql = "WITH RECURSIVE names (name) AS (
                   SELECT min(channel) FROM outbox
                   UNION ALL SELECT (SELECT min(channel) FROM outbox WHERE channel > name) FROM names WHERE name IS NOT NULL)
               SELECT name, (SELECT max(finished_ms) FROM outbox WHERE channel = name AND state = 'delivered'),
                      (SELECT min(next_ms) FROM outbox WHERE channel = name AND state = 'pending' AND attempts > 0),
                      (SELECT max(last_error) FROM outbox WHERE channel = name AND state = 'pending' AND attempts > 0)
               FROM names WHERE name IS NOT NULL";
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get(0)?, Progress { last_success_ms: row.get(1)?, next_attempt_ms: row.get(2)?, last_error: row.get(3)? }))
    };
    tx.prepare_cached(sql)?.query_map([], row)?.collect()
}

/// Newest rows of a channel in one state.
///
/// # Errors
/// SQLite says no.
pub fn in_state(tx: &Connection, channel: &str, state: State, limit: u32) -> rusqlite::Result<Vec<Message>> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE channel = ?1 AND state = ?2 ORDER BY id DESC LIMIT ?3");
    tx.prepare_cached(&sql)?.query_map(params![channel, state.as_str(), limit], message)?.collect()
}

/// A row as people look at it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Name of its [`State`].
    pub state: String,
    /// When it may be sent next.
    pub next_ms: i64,
    /// When it reached a final state.
    pub finished_ms: Option<i64>,
}

/// Rows of a channel (`None`: of all) in a state (`None`: in any), newest first, before row `before`.
///
/// # Errors
/// SQLite says no.
pub fn list(tx: &Connection, channel: Option<&str>, state: Option<State>, before: i64, limit: u32) -> rusqlite::Result<Vec<Delivery>> {
    let sql = format!(
        "SELECT {COLUMNS}, state, next_ms, finished_ms FROM outbox
         WHERE id < ?1 AND (?2 IS NULL OR channel = ?2) AND (?3 IS NULL OR state = ?3) ORDER BY id DESC LIMIT ?4"
    );
    let delivery =
        |row: &Row<'_>| Ok(Delivery { message: message(row)?, state: row.get(11)?, next_ms: row.get(12)?, finished_ms: row.get(13)? });
    tx.prepare_cached(&sql)?.query_map(params![before, channel, state.map(State::as_str), limit], delivery)?.collect()
}

/// Rows of a channel in a state that are trouble now, and the error of one of them. Pending rows count
/// when a try failed and they were written before `limit_ms` (orders at once), held ones
/// while their own time limit lies after it, finished ones when they were finished after it.
///
/// # Errors
/// SQLite says no.
pub fn trouble(tx: &Connection, channel: &str, state: State, limit_ms: i64) -> rusqlite::Result<(i64, String)> {
    let sql = "SELECT count(*), coalesce(max(last_error), '') FROM outbox WHERE channel = ?1 AND state = ?2 AND CASE ?2
                   WHEN 'pending' THEN last_error IS NOT NULL AND (not_after_ms IS NOT NULL OR created_ms < ?3)
                   WHEN 'held' THEN not_after_ms > ?3 ELSE finished_ms > ?3 END";
    tx.prepare_cached(sql)?.query_row(params![channel, state.as_str(), limit_ms], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Tries a channel's failed rows again, with a new day of tries. Returns how many.
///
/// # Errors
/// SQLite says no.
pub fn retry_failed(tx: &Connection, channel: &str, now_ms: i64) -> rusqlite::Result<usize> {
    let sql = "UPDATE outbox SET state = 'pending', attempts = 0, created_ms = ?2, next_ms = ?2, finished_ms = NULL
               WHERE channel = ?1 AND state = 'failed'";
    tx.execute(sql, params![channel, now_ms])
}

/// Removes up to `rows_max` rows that were finished before `before_ms`; returns how many. A message
/// id is forgotten with its row, so keep rows for longer than a cause can come again.
///
/// # Errors
/// SQLite says no.
pub fn prune(tx: &Connection, before_ms: i64, rows_max: u32) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE finished_ms < ?1 ORDER BY finished_ms LIMIT ?2)";
    tx.execute(sql, params![before_ms, rows_max])
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(ERROR_BYTES_MAX)).unwrap_or(text)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;

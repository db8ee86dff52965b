//! Rows of actions: the record itself, and what is asked about many of them.
//!
//! All functions take the transaction of their caller: an action is decided with the version of its alert, and
//! changes with the message that carries it.

use super::DbError;
use super::alert_list::{Conditions, Cursor, PAGE_MAX, Page};
use crate::respond::order::ActionKind;
use crate::respond::record::{ActionRecord, State};
use rusqlite::{Connection, OptionalExtension, params};

/// One action.
///
/// # Errors
/// SQLite says no, or the record does not read.
pub fn get(tx: &Connection, id: &str) -> Result<Option<ActionRecord>, DbError> {
    let body: Option<String> = tx.prepare_cached("SELECT body FROM actions WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// Writes the record as it is now. At `due_ms` its state changes by time alone ([`due`]).
///
/// # Errors
/// SQLite says no.
pub fn put(tx: &Connection, action: &ActionRecord, due_ms: Option<i64>, now_ms: i64) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO actions (id, target, action, tenant, user, session, address, alert_id, state, by_machine, decided_ms, updated_ms, due_ms, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (id) DO UPDATE SET state = ?9, updated_ms = ?12, due_ms = ?13, body = ?14",
    )?
    .execute(params![
        action.id,
        action.target,
        action.action.as_str(),
        action.tenant,
        action.user,
        action.session,
        action.address,
        action.alert,
        action.state.as_str(),
        action.is_by_machine(),
        action.decided_time.0,
        now_ms,
        due_ms,
        serde_json::to_string(action)?,
    ])?;
    Ok(())
}

/// Which actions; members that are empty do not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One tenant.
    pub tenant: Option<String>,
    /// Any of these.
    pub states: Vec<State>,
    /// What is done.
    pub action: Option<ActionKind>,
    /// Name of a target.
    pub target: Option<String>,
    /// Whom it concerns.
    pub user: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The address.
    pub address: Option<String>,
    /// The alert that is the cause.
    pub alert: Option<String>,
    /// The incident of that alert.
    pub incident: Option<String>,
    /// The page after this place.
    pub cursor: Option<Cursor>,
    /// Actions on the page; at least 1, at most [`PAGE_MAX`].
    pub limit: u32,
}

/// One page of actions, the last changed first.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn list(tx: &Connection, filter: &Filter) -> Result<Page<ActionRecord>, DbError> {
    let mut all = Conditions::default();
    let texts = [
        ("tenant = ?", &filter.tenant),
        ("target = ?", &filter.target),
        ("user = ?", &filter.user),
        ("session = ?", &filter.session),
        ("address = ?", &filter.address),
        ("alert_id = ?", &filter.alert),
        ("alert_id IN (SELECT id FROM alerts WHERE incident_id = ?)", &filter.incident),
    ];
    for (sql, value) in texts {
        if let Some(value) = value {
            all.add(sql, [value.clone().into()]);
        }
    }
    all.any_of("action", filter.action.iter().map(|action| action.as_str().to_owned().into()).collect());
    all.any_of("state", filter.states.iter().map(|state| state.as_str().to_owned().into()).collect());
    if let Some(cursor) = &filter.cursor {
        all.add("(updated_ms, id) < (?, ?)", [cursor.updated_ms.into(), cursor.id.clone().into()]);
    }
    all.page(tx, "actions", filter.limit.clamp(1, PAGE_MAX))
}

/// Actions of an alert in one of these states.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn of_alert(tx: &Connection, alert: &str, states: &[State]) -> Result<Vec<ActionRecord>, DbError> {
    let mut statement = tx.prepare_cached("SELECT body FROM actions WHERE alert_id = ?1 ORDER BY id")?;
    let bodies: Vec<String> = statement.query_map([alert], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let actions: Vec<ActionRecord> = bodies.iter().map(|body| serde_json::from_str(body)).collect::<Result<_, _>>()?;
    Ok(actions.into_iter().filter(|action| states.contains(&action.state)).collect())
}

/// Up to `limit` actions whose state changes by time alone, and whose time has come.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn due(tx: &Connection, now_ms: i64, limit: u32) -> Result<Vec<ActionRecord>, DbError> {
    let mut statement = tx.prepare_cached("SELECT body FROM actions WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?2")?;
    let bodies: Vec<String> = statement.query_map((now_ms, limit), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(bodies.iter().map(|body| serde_json::from_str(body)).collect::<Result<_, _>>()?)
}

/// Up to `limit` actions about sessions that were delivered and that their targets cannot confirm.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn unconfirmed(tx: &Connection, limit: u32) -> Result<Vec<ActionRecord>, DbError> {
    let sql = "SELECT body FROM actions WHERE due_ms IS NOT NULL AND state = 'unconfirmed' AND session IS NOT NULL LIMIT ?1";
    let bodies: Vec<String> = tx.prepare_cached(sql)?.query_map([limit], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(bodies.iter().map(|body| serde_json::from_str(body)).collect::<Result<_, _>>()?)
}

/// Blocks of addresses in a state, of one tenant or of all.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn blocks(tx: &Connection, tenant: Option<&str>, state: State, since_ms: i64) -> Result<Vec<ActionRecord>, DbError> {
    let mut statement = tx.prepare_cached(
        "SELECT body FROM actions WHERE action = 'block_address' AND state = ?1 AND (?2 IS NULL OR tenant = ?2) AND updated_ms > ?3
         ORDER BY updated_ms, id",
    )?;
    let bodies: Vec<String> = statement.query_map((state.as_str(), tenant, since_ms), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(bodies.iter().map(|body| serde_json::from_str(body)).collect::<Result<_, _>>()?)
}

/// How many actions wait for a person, of one tenant or of all.
///
/// # Errors
/// SQLite says no.
pub fn count_waiting(tx: &Connection, tenant: Option<&str>) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM actions WHERE state IN ('held', 'proposed') AND (?1 IS NULL OR tenant = ?1)";
    let count: i64 = tx.prepare_cached(sql)?.query_row([tenant], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// How many addresses a tenant has blocked.
///
/// # Errors
/// SQLite says no.
pub fn count_blocks(tx: &Connection, tenant: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM actions WHERE action = 'block_address' AND state = ?1 AND tenant = ?2";
    let count: i64 = tx.prepare_cached(sql)?.query_row((State::InForce.as_str(), tenant), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Removes up to `rows_max` actions that last changed before `before_ms`; returns how many. An id is forgotten with
/// its row, so keep rows for longer than a cause can come again.
///
/// # Errors
/// SQLite says no.
pub fn prune(tx: &Connection, before_ms: i64, rows_max: u32) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM actions WHERE id IN (SELECT id FROM actions WHERE updated_ms < ?1 ORDER BY updated_ms LIMIT ?2)";
    tx.execute(sql, (before_ms, rows_max))
}

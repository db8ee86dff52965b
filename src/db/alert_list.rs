//! Lists of alerts for the API: filters in SQL with bound parameters, pages by key set.
//!
//! The order is newest first by detection's newest version, then by id. An alert that is updated
//! while someone pages moves to the front; it never appears twice on later pages.

use super::DbError;
use crate::alert::model::{Alert, Status};
use bartizan_core::{EntityKind, Severity};
use rusqlite::Connection;
use rusqlite::types::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Most alerts on a page; the API's contract fixes it.
pub const PAGE_MAX: u32 = 1000;

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// When the last one was last changed: of an alert the detected time of its newest version.
    pub updated_ms: i64,
    /// Its id.
    pub id: String,
}

/// Which alerts; members that are empty do not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Alerts with an event at or after this time.
    pub since_ms: Option<i64>,
    /// Alerts with an event before this time.
    pub until_ms: Option<i64>,
    /// Detector id.
    pub detector: Option<String>,
    /// Any of these severities.
    pub severities: Vec<Severity>,
    /// Any of these.
    pub statuses: Vec<Status>,
    /// One tenant.
    pub tenant: Option<String>,
    /// All of these entities, e.g. a user and an address.
    pub entities: Vec<(EntityKind, String)>,
    /// The page after this place.
    pub cursor: Option<Cursor>,
    /// Alerts on the page; at least 1, at most [`PAGE_MAX`].
    pub limit: u32,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<Cursor>,
}

/// A `WHERE` clause under construction: conditions with `?` for each bound value.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    pub(super) fn add(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push(sql.to_owned());
        self.values.extend(values);
    }

    pub(super) fn any_of(&mut self, column: &str, values: Vec<Value>) {
        if !values.is_empty() {
            let marks = vec!["?"; values.len()].join(", ");
            self.add(&format!("{column} IN ({marks})"), values);
        }
    }

    /// One page of a table's records that fulfil all of them, newest first.
    pub(super) fn page<T: DeserializeOwned>(mut self, tx: &Connection, table: &str, limit: u32) -> Result<Page<T>, DbError> {
        let clause = if self.sql.is_empty() { "TRUE".to_owned() } else { self.sql.join(" AND ") };
        let sql = format!("SELECT updated_ms, id, body FROM {table} WHERE {clause} ORDER BY updated_ms DESC, id DESC LIMIT ?");
        self.values.push(i64::from(limit).saturating_add(1).into());
        let mut statement = tx.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(self.values))?;
        let (mut items, mut last, mut next) = (Vec::new(), None, None);
        while let Some(row) = rows.next()? {
            if items.len() == limit as usize {
                next = last;
                break;
            }
            last = Some(Cursor { updated_ms: row.get(0)?, id: row.get(1)? });
            items.push(serde_json::from_str(&row.get::<_, String>(2)?)?);
        }
        Ok(Page { items, next })
    }

    fn of(filter: &Filter) -> Self {
        let mut all = Self::default();
        if let Some(since) = filter.since_ms {
            all.add("last_event_ms >= ?", [since.into()]);
        }
        if let Some(until) = filter.until_ms {
            all.add("first_event_ms < ?", [until.into()]);
        }
        if let Some(detector) = &filter.detector {
            all.add("detector = ?", [detector.clone().into()]);
        }
        if let Some(tenant) = &filter.tenant {
            all.add("tenant = ?", [tenant.clone().into()]);
        }
        all.any_of("severity", filter.severities.iter().map(|severity| (*severity as i64).into()).collect());
        all.any_of("status", filter.statuses.iter().map(|status| status.as_str().to_owned().into()).collect());
        for (kind, value) in &filter.entities {
            let sql = "id IN (SELECT alert_id FROM alert_entities WHERE kind = ? AND value = ?)";
            all.add(sql, [kind.as_str().to_owned().into(), value.clone().into()]);
        }
        if let Some(cursor) = &filter.cursor {
            all.add("(updated_ms, id) < (?, ?)", [cursor.updated_ms.into(), cursor.id.clone().into()]);
        }
        all
    }
}

/// One page of alerts, newest first.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn list(tx: &Connection, filter: &Filter) -> Result<Page<Alert>, DbError> {
    let conditions = Conditions::of(filter);
    let limit = filter.limit.clamp(1, PAGE_MAX);
    conditions.page(tx, "alerts", limit)
}

/// How many alerts are open, of one tenant or of all.
///
/// # Errors
/// SQLite says no.
pub fn count_open(tx: &Connection, tenant: Option<&str>) -> Result<u64, DbError> {
    let sql = "SELECT count(*) FROM alerts WHERE status = ?1 AND (?2 IS NULL OR tenant = ?2)";
    let count: i64 = tx.prepare_cached(sql)?.query_row((Status::Open.as_str(), tenant), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

//! The store: events and every version of every alert, in ClickHouse.
//!
//! One store, two addresses: a ClickHouse server by URL, or the engine embedded in this program
//! ([`embedded`]), both through the official client, with one schema and one set of questions.
//!
//! Invariants: what is written twice counts once (the sort keys hold the whole identity, reads
//! deduplicate), so an insert may always be repeated; an insert that returned is on the disk
//! (`fsync_after_insert`, no asynchronous inserts) and survives a power cut; every question has a
//! bound on rows and time; no secret is logged.
//!
//! Deliberately absent: the working copy of alerts, tokens and the outbox (single rows that change
//! live in the transactional database), and clusters. On a replicated cluster, make the tables by
//! hand with a replicated engine of the same columns and sort keys; the daemon keeps what exists.

mod alert;
mod config;
pub mod embedded;
mod error;
mod event;
mod query;
mod schema;

#[cfg(test)]
pub(crate) mod tests;

pub use config::{ClickHouseConfig, StoreConfig};
pub use error::{ErrorClass, StoreError};
pub use event::{EventRow, Position, StoredEvent};
pub use query::{Entity, EntitySummary, EventCursor, EventFilter, EventPage, IDS_MAX, Name, PAGE_MAX, Seen, SeenNetwork, SeenPlace};

use crate::alert::Alert;
use alert::AlertRow;
use bartizan_core::time::DAY_MS;
use clickhouse::{Client, Compression};
use embedded::Endpoint;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Months in one insert; ClickHouse refuses over 100 partitions.
const INSERT_MONTHS_MAX: usize = 90;
/// Bytes of a password file.
const PASSWORD_BYTES_MAX: u64 = 4 << 10;

/// A handle to the store; clones share one pool of HTTP connections.
#[derive(Clone)]
pub struct Store {
    client: Client,
    /// The same, which takes for granted that events fit their table: once some did, the others do.
    trusting: Client,
    fits: Arc<AtomicBool>,
    database: String,
    config: StoreConfig,
}

impl Store {
    /// A store on a ClickHouse server. Does not talk to it yet.
    ///
    /// # Errors
    /// The address is no HTTP address, the database's name is none, or the password file cannot be read.
    pub fn server(server: &ClickHouseConfig, config: &StoreConfig) -> Result<Self, StoreError> {
        let wrong = |reason: String| StoreError::new(ErrorClass::Fatal, "configure", reason);
        if let Some((key, problem)) = server.errors().into_iter().next() {
            return Err(wrong(format!("clickhouse.{key}: {problem}")));
        }
        let mut client = Client::default().with_url(&server.url).with_user(&server.user).with_compression(Compression::Lz4);
        if let Some(path) = server.password_file.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            let password = read_password(path).map_err(|error| wrong(format!("clickhouse.password_file {}: {error}", path.display())))?;
            client = client.with_password(password);
        }
        Ok(Self::new(client, &server.database, config))
    }

    /// A store on the embedded engine. Nothing is compressed on the way: it does not leave the machine.
    #[must_use]
    pub fn embedded(endpoint: &Endpoint, config: &StoreConfig) -> Self {
        let client = Client::default().with_url(&endpoint.url).with_user(&endpoint.user).with_password(&endpoint.password);
        Self::new(client.with_compression(Compression::None), config::DATABASE, config)
    }

    fn new(client: Client, database: &str, config: &StoreConfig) -> Self {
        let client = client.with_database(database).with_product_info("bartizan", env!("CARGO_PKG_VERSION"));
        let trusting = client.clone().with_validation(false);
        Self { client, trusting, fits: Arc::default(), database: database.to_owned(), config: config.clone() }
    }

    /// Rows in one insert. One insert is one request and, per month, one part.
    #[must_use]
    pub fn insert_rows_max(&self) -> usize {
        self.config.insert_rows_max
    }

    /// Makes the schema or brings it up to date, and applies the retention. Wants to run once at
    /// start; running it again does no harm.
    ///
    /// # Errors
    /// The store is away ([`ErrorClass::Retry`]), or something an operator must mend.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        schema::migrate(&self.client, &self.database, &self.config).await
    }

    /// Is the store there, with its schema?
    ///
    /// # Errors
    /// The reason why not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.question("SELECT 1 FROM events LIMIT 0").execute().await.map_err(StoreError::of("ping"))
    }

    /// Stores events; returns once all of them are on the disk. On an error any part of them may be
    /// stored: give the same ones again. Walks over `rows` twice where it must know their months.
    ///
    /// # Errors
    /// See [`ErrorClass`].
    pub async fn insert_events<'a, I>(&self, rows: I) -> Result<(), StoreError>
    where
        I: Iterator<Item = EventRow<'a>> + Clone + Send,
    {
        if spans_few_months(rows.clone()) {
            return self.insert_in_blocks(rows).await;
        }
        let mut months: BTreeMap<i64, Vec<EventRow<'a>>> = BTreeMap::new();
        for row in rows {
            months.entry(month(row.time)).or_default().push(row);
        }
        let mut months = months.into_values().peekable();
        while months.peek().is_some() {
            let group: Vec<_> = months.by_ref().take(INSERT_MONTHS_MAX).flatten().collect();
            self.insert_in_blocks(group.into_iter()).await?;
        }
        Ok(())
    }

    async fn insert_in_blocks<'a>(&self, rows: impl Iterator<Item = EventRow<'a>> + Send) -> Result<(), StoreError> {
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            let client = if self.fits.load(Ordering::Relaxed) { &self.trusting } else { &self.client };
            let mut insert = self.insert::<EventRow<'_>>(client, "events").await?;
            for row in rows.by_ref().take(self.config.insert_rows_max) {
                insert.write(&row).await.map_err(StoreError::of("insert events"))?;
            }
            insert.end().await.map_err(StoreError::of("insert events"))?;
            self.fits.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Stores versions of alerts; returns once they are on the disk. The same ones may be given again.
    ///
    /// # Errors
    /// See [`ErrorClass`].
    pub async fn insert_alert_versions(&self, alerts: &[Alert], now_ms: i64) -> Result<(), StoreError> {
        if alerts.is_empty() {
            return Ok(());
        }
        let mut insert = self.insert::<AlertRow<'_>>(&self.client, "alerts").await?;
        for alert in alerts {
            let row = AlertRow::new(alert, now_ms);
            let row = row.map_err(|error| StoreError::new(ErrorClass::Refused, "insert alerts", error.to_string()))?;
            insert.write(&row).await.map_err(StoreError::of("insert alerts"))?;
        }
        insert.end().await.map_err(StoreError::of("insert alerts"))
    }

    async fn insert<T: clickhouse::Row>(&self, client: &Client, table: &str) -> Result<clickhouse::insert::Insert<T>, StoreError> {
        let limit = Duration::from_millis(self.config.insert_time_max_ms);
        let insert = client.insert::<T>(table).await.map_err(StoreError::of("describe a table"))?;
        // A server's profile may have asynchronous inserts on: they would be acknowledged from memory.
        Ok(insert.with_timeouts(Some(limit), Some(limit)).with_setting("async_insert", "0"))
    }

    /// A question with the bound on its time.
    fn question(&self, sql: &str) -> clickhouse::query::Query {
        let seconds = self.config.query_time_max_ms.div_ceil(1_000);
        self.client.query(sql).with_setting("max_execution_time", seconds.to_string())
    }
}

fn read_password(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut password = String::new();
    std::fs::File::open(path)?.take(PASSWORD_BYTES_MAX).read_to_string(&mut password)?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

/// Can these rows touch at most [`INSERT_MONTHS_MAX`] months? Asked without counting any.
fn spans_few_months<'a>(rows: impl Iterator<Item = EventRow<'a>>) -> bool {
    const MONTH_DAYS_MIN: i64 = 28;
    let (first, last) = rows.fold((i64::MAX, i64::MIN), |(first, last), row| (first.min(row.time), last.max(row.time)));
    last.saturating_sub(first) / DAY_MS < (INSERT_MONTHS_MAX as i64 - 2) * MONTH_DAYS_MIN
}

/// The month of a time, counted from year 0; one number for times out of any calendar.
fn month(time_ms: i64) -> i64 {
    jiff::Timestamp::from_millisecond(time_ms).map_or(i64::MIN, |time| {
        let date = time.to_zoned(jiff::tz::TimeZone::UTC);
        i64::from(date.year()) * 12 + i64::from(date.month())
    })
}

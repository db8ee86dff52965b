//! What the store can be told.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Retention and limits, the same for both addresses of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Days for which events are kept; default 90.
    pub retention_days: u32,
    /// Days for which the versions of alerts are kept; default 400.
    pub alert_retention_days: u32,
    /// How long one question may take, in milliseconds (rounded up to whole seconds); default 15,000.
    pub query_time_max_ms: u64,
    /// How long one insert may take until it counts as failed, in milliseconds; default 60,000.
    pub insert_time_max_ms: u64,
    /// Rows in one insert; default 80,000.
    pub insert_rows_max: usize,
    /// Newest events that the summary of a user, address or session counts; default 100,000.
    pub summary_events_max: u32,
    /// Values of each kind in such a summary, those with most events; default 20.
    pub summary_values_max: u32,
    /// Versions of one alert that are read; default 1,000.
    pub alert_versions_max: u32,
    /// Tenants whose active sessions are counted for the brakes of revocation, those with most; default 10,000.
    pub tenants_counted_max: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            retention_days: 90,
            alert_retention_days: 400,
            query_time_max_ms: 15_000,
            insert_time_max_ms: 60_000,
            insert_rows_max: 80_000,
            summary_events_max: 100_000,
            summary_values_max: 20,
            alert_versions_max: 1_000,
            tenants_counted_max: 10_000,
        }
    }
}

impl StoreConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        // A time to live is a 32-bit time: beyond 2106 it would wrap, and rows would vanish at once.
        const DAYS_MAX: u32 = 18_250;
        let days = [("retention_days", self.retention_days), ("alert_retention_days", self.alert_retention_days)];
        let times = [("query_time_max_ms", self.query_time_max_ms), ("insert_time_max_ms", self.insert_time_max_ms)];
        let days = days.into_iter().filter(|(_, days)| !(1..=DAYS_MAX).contains(days));
        let times = times.into_iter().filter(|(_, time)| !(1_000..=3_600_000).contains(time));
        let counts = out_of_range!(self;
            insert_rows_max: 1..=10_000_000,
            summary_events_max: 1..=10_000_000,
            summary_values_max: 1..=1_000,
            alert_versions_max: 1..=100_000,
            tenants_counted_max: 1..=1_000_000,
        );
        days.map(|(key, days)| (key, format!("{days} is not between 1 and {DAYS_MAX} days")))
            .chain(times.map(|(key, time)| (key, format!("{time} is not between 1000 and 3600000 ms"))))
            .chain(counts)
            .collect()
    }
}

/// A ClickHouse server, 24.8 or later, by its HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickHouseConfig {
    /// `http://host:8123` or `https://host:8443`. TLS trusts the system's certificates, or those of
    /// the file that the environment variable `SSL_CERT_FILE` names.
    pub url: String,
    /// Database; made at the first start where the user may.
    pub database: String,
    /// User name.
    pub user: String,
    /// File that holds the password, without a line end; absent or empty: no password.
    pub password_file: Option<PathBuf>,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:8123".to_owned(), database: DATABASE.to_owned(), user: "default".to_owned(), password_file: None }
    }
}

impl ClickHouseConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        let mut errors = Vec::new();
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            errors.push(("url", format!("{:?} begins with neither http:// nor https://", self.url)));
        }
        let letters = self.database.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !letters || self.database.is_empty() {
            errors.push(("database", format!("{:?} may hold letters, digits and _ only, and at least one", self.database)));
        }
        errors
    }
}

/// Database of the embedded store, and default of a server's.
pub(super) const DATABASE: &str = "bartizan";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        assert_eq!(StoreConfig::default().errors(), []);
        let config = StoreConfig { retention_days: 0, query_time_max_ms: 5, ..StoreConfig::default() };
        let keys: Vec<_> = config.errors().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["retention_days", "query_time_max_ms"]);
        assert_eq!(ClickHouseConfig::default().errors(), []);
        let config =
            ClickHouseConfig { url: "clickhouse:8123".to_owned(), database: "it's `mine`".to_owned(), ..ClickHouseConfig::default() };
        let keys: Vec<_> = config.errors().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["url", "database"]);
    }
}

//! What the daemon tells about itself: logs, metrics, latencies, health.
//!
//! Every metric's name stands in [`metrics`], every health alert's in [`health`]; a test holds the
//! Grafana boards in `dashboards/grafana` against them and against the store's schema.

pub mod config;
pub mod health;
pub mod latency;
pub mod logging;
pub mod metrics;

pub use config::TelemetryConfig;
pub use health::{Health, HealthAlert, HealthId};
pub use latency::{Latencies, Percentiles, Stage};
pub use metrics::Metrics;

#[cfg(test)]
mod boards;
#[cfg(test)]
mod used;

use std::sync::Arc;

/// What every part of the daemon tells of itself. Clones share it.
#[derive(Clone)]
pub struct Telemetry {
    /// What is wrong now.
    pub health: Arc<Health>,
    /// Counters and gauges.
    pub metrics: Metrics,
    /// How long stages take.
    pub latencies: Arc<Latencies>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new(&TelemetryConfig::default())
    }
}

impl Telemetry {
    /// Tells within these limits.
    #[must_use]
    pub fn new(limits: &TelemetryConfig) -> Self {
        Self {
            health: Arc::new(Health::new(limits.health_alerts_max)),
            metrics: Metrics::new(limits.series_max),
            latencies: Arc::default(),
        }
    }

    /// Raises a health alert while there is a problem and clears it when there is none.
    pub fn report(&self, id: HealthId, subject: &str, problem: Option<&str>) {
        match problem {
            Some(detail) => self.health.raise(id, subject, jiff::Timestamp::now().as_millisecond(), detail),
            None => self.health.clear(id, subject),
        };
    }
}

//! What the daemon tells about itself: logs, metrics, latencies, health.
//!
//! Every metric's name stands in [`metrics`], every health alert's in [`health`]; a test holds the
//! Grafana boards in `dashboards/grafana` against them and against the store's schema.

pub mod health;
pub mod latency;
pub mod logging;
pub mod metrics;

pub use health::{Health, HealthAlert, HealthId};
pub use latency::{Latencies, Percentiles, Stage};
pub use metrics::Metrics;

#[cfg(test)]
mod boards;

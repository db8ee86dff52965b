//! `[telemetry]`: how much the daemon tells of itself.

use serde::{Deserialize, Serialize};

/// `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Series that one metric may have, past which values are counted under `other`; default 1,000.
    pub series_max: usize,
    /// Health alerts that can be raised at once; more are not recorded; default 500.
    pub health_alerts_max: usize,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { series_max: 1_000, health_alerts_max: 500 }
    }
}

impl TelemetryConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        // Fewer would leave no room for one of each kind.
        out_of_range!(self; series_max: 100..=1_000_000, health_alerts_max: 50..=100_000).collect()
    }
}

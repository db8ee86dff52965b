//! `[telemetry]`: how much the daemon tells of itself.

use bartizan_core::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use serde::{Deserialize, Serialize};

/// `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Series that one metric may have, past which values are counted under `other`; default 1,000.
    pub series_max: usize,
    /// Health alerts that can be raised at once; more are not recorded; default 500.
    pub health_alerts_max: usize,
    /// A record that waits for longer to be judged raises `pipeline_late`; default 5 min.
    pub late_ms: i64,
    /// No record for so long raises `pipeline_silent`; 0: never; default 24 h.
    pub silent_ms: i64,
    /// A health alert that lasts for so long is told to the channels for people; 0: none is; default 1 min.
    pub tell_after_ms: i64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { series_max: 1_000, health_alerts_max: 500, late_ms: 5 * MINUTE_MS, silent_ms: DAY_MS, tell_after_ms: MINUTE_MS }
    }
}

impl TelemetryConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        // Fewer would leave no room for one of each kind.
        out_of_range!(self;
            series_max: 100..=1_000_000,
            health_alerts_max: 50..=100_000,
            late_ms: 10 * SECOND_MS..=DAY_MS,
            silent_ms: 0..=365 * DAY_MS,
            tell_after_ms: 0..=DAY_MS,
        )
        .collect()
    }
}

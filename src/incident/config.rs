//! `[incidents]`: what belongs together, and how much of it is kept.

use bartizan_core::Severity;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use serde::{Deserialize, Serialize};

/// The table.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentConfig {
    /// Alerts at least this bad open an incident; milder ones join what is open. Default `medium`.
    pub min_severity: Severity,
    /// So long without an alert resolves an incident. Default 6 h.
    pub quiet_ms: i64,
    /// Event time between an incident and an alert that still belongs to it. Default 24 h.
    pub reopen_ms: i64,
    /// Risk, from 0 to 100, at which alerts that are each too mild open an incident together; 0: never. Default 50.
    pub risk_opens: u8,
    /// Alerts that an incident lists; more are counted. Default 200.
    pub alerts_max: usize,
    /// Subjects that an incident shows, those that were hit first; more are counted. Default 200.
    pub subjects_max: usize,
    /// Subjects of an incident by which further alerts find it, and of which hits are counted. Default 10,000.
    pub entities_max: usize,
}

impl Default for IncidentConfig {
    fn default() -> Self {
        Self {
            min_severity: Severity::Medium,
            quiet_ms: 6 * HOUR_MS,
            reopen_ms: DAY_MS,
            risk_opens: 50,
            alerts_max: 200,
            subjects_max: 200,
            entities_max: 10_000,
        }
    }
}

impl IncidentConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        out_of_range!(self;
            quiet_ms: MINUTE_MS..=30 * DAY_MS,
            reopen_ms: 0..=30 * DAY_MS,
            risk_opens: 0..=100,
            alerts_max: 1..=10_000,
            subjects_max: 1..=10_000,
            entities_max: 1..=1_000_000,
        )
        .collect()
    }
}

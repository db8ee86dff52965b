//! What was held back, to be counted.

use super::Suppression;
use bartizan_core::{Event, Finding, Severity};
use std::collections::BTreeMap;

/// One finding that was held back.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Id of the suppression.
    pub suppression: String,
    /// Tenant.
    pub tenant: String,
    /// Detector.
    pub detector: &'static str,
    /// What the alert would have been about.
    pub key: String,
    /// How bad it would have been.
    pub severity: Severity,
    /// What it would have said.
    pub reason: String,
    /// Its event.
    pub event_id: String,
    /// Time of the event.
    pub time_ms: i64,
    /// Number of the event in the recorded order.
    pub seq: u64,
}

impl Held {
    /// A finding that an entry holds back.
    #[must_use]
    pub fn new(by: &Suppression, detector: &'static str, event: &Event<'_>, finding: Finding) -> Self {
        Self {
            suppression: by.id.clone(),
            tenant: event.tenant().to_owned(),
            detector,
            key: finding.key,
            severity: finding.severity,
            reason: finding.reason,
            event_id: event.id().to_owned(),
            time_ms: event.time_ms(),
            seq: event.seq(),
        }
    }
}

/// Findings of one batch that are one line of the ledger: the same suppression, detector, key and hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// The one that says most: the worst, of those the latest.
    pub sample: Held,
    /// How many.
    pub findings: u64,
    /// Earliest and latest event time.
    pub times_ms: (i64, i64),
    /// Number of the latest of them in the recorded order.
    pub last_seq: u64,
}

impl Tally {
    /// Milliseconds of the hours by which lines are kept apart.
    pub const HOUR_MS: i64 = bartizan_core::time::HOUR_MS;

    /// Sums up the findings of a batch.
    #[must_use]
    pub fn of(held: &[Held]) -> Vec<Self> {
        let mut lines: BTreeMap<(&str, &str, &str, i64), Self> = BTreeMap::new();
        for one in held {
            let line = (one.suppression.as_str(), one.detector, one.key.as_str(), one.time_ms.div_euclid(Self::HOUR_MS));
            let new = || Self { sample: one.clone(), findings: 0, times_ms: (one.time_ms, one.time_ms), last_seq: one.seq };
            let tally = lines.entry(line).or_insert_with(new);
            tally.findings += 1;
            tally.times_ms = (tally.times_ms.0.min(one.time_ms), tally.times_ms.1.max(one.time_ms));
            tally.last_seq = tally.last_seq.max(one.seq);
            if one.severity >= tally.sample.severity {
                tally.sample.clone_from(one);
            }
        }
        lines.into_values().collect()
    }
}

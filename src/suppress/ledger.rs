//! What was held back, to be counted.

use super::Suppression;
use crate::detect::breaker::CIRCUIT_BREAKER;
use bartizan_core::{Event, Excuse, Finding, Severity};
use std::collections::BTreeMap;

/// What held a finding back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The suppression of this id.
    Suppression(String),
    /// A gate of the detector itself, like `own_client`: it knows something that speaks for innocence. Or
    /// [`CIRCUIT_BREAKER`]: it is told within a campaign.
    Gate(&'static str),
}

impl By {
    /// Id of the suppression, and name of the gate: one of them is empty.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        match self {
            Self::Suppression(id) => (id, ""),
            Self::Gate(gate) => ("", gate),
        }
    }
}

/// One finding that was held back.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// What held it back.
    pub by: By,
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
    pub fn suppressed(by: &Suppression, detector: &'static str, event: &Event<'_>, finding: Finding) -> Self {
        let Finding { key, severity, reason, .. } = finding;
        Self::new(By::Suppression(by.id.clone()), detector, event, (key, severity, reason))
    }

    /// What a detector itself excuses.
    #[must_use]
    pub fn excused(detector: &'static str, event: &Event<'_>, excuse: Excuse) -> Self {
        let Excuse { gate, key, severity, reason } = excuse;
        Self::new(By::Gate(gate), detector, event, (key, severity, reason))
    }

    /// A finding that an open circuit breaker folds into a campaign.
    #[must_use]
    pub fn folded(detector: &'static str, event: &Event<'_>, finding: &Finding) -> Self {
        let said = (finding.key.clone(), finding.severity, finding.reason.clone());
        Self::new(By::Gate(CIRCUIT_BREAKER), detector, event, said)
    }

    fn new(by: By, detector: &'static str, event: &Event<'_>, (key, severity, reason): (String, Severity, String)) -> Self {
        Self {
            by,
            tenant: event.tenant().to_owned(),
            detector,
            key,
            severity,
            reason,
            event_id: event.id().to_owned(),
            time_ms: event.time_ms(),
            seq: event.seq(),
        }
    }
}

/// Findings that are one line of the ledger: held back by the same, of one detector, key and hour.
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
        let mut lines: BTreeMap<(&str, &By, &str, &str, i64), Self> = BTreeMap::new();
        for one in held {
            let line = (one.tenant.as_str(), &one.by, one.detector, one.key.as_str(), one.time_ms.div_euclid(Self::HOUR_MS));
            lines.entry(line).or_insert_with(|| Self::new(one)).add(one);
        }
        lines.into_values().collect()
    }

    /// The line of a finding, which is still to be added.
    #[must_use]
    pub fn new(one: &Held) -> Self {
        Self { sample: one.clone(), findings: 0, times_ms: (one.time_ms, one.time_ms), last_seq: one.seq }
    }

    /// Adds a finding of the same line.
    pub fn add(&mut self, one: &Held) {
        self.findings += 1;
        self.times_ms = (self.times_ms.0.min(one.time_ms), self.times_ms.1.max(one.time_ms));
        self.last_seq = self.last_seq.max(one.seq);
        if one.severity >= self.sample.severity {
            self.sample.clone_from(one);
        }
    }
}

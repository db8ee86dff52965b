//! Judging without a daemon, for `replay` and `evaluate`: batches in the order they come in, no clock, nothing stored.

use super::Enabled;
use super::engine::Engine;
use crate::alert::Alert;
use crate::config::Config;
use crate::flow::EventFlow;
use bartizan_core::{EventBatch, KeyHasher};
use std::collections::BTreeMap;

/// What became of the batches so far.
#[derive(Debug, Default)]
pub struct Totals {
    /// Events too late to be judged.
    pub late: u64,
    /// Events seen before.
    pub repeated: u64,
    /// Alerts by detector.
    pub opened: BTreeMap<String, u64>,
    /// Alerts closed early for want of room.
    pub closed_early: u64,
    /// Detectors that failed and were switched off.
    pub disabled: Vec<&'static str>,
}

/// An engine with what came of it.
pub struct Offline {
    /// The detectors with their state.
    pub engine: Engine,
    /// What became of the batches.
    pub totals: Totals,
}

impl Offline {
    /// The detectors that a configuration switches on, without state.
    ///
    /// # Errors
    /// The tables of the detectors are wrong.
    pub fn new(config: &Config, hasher: KeyHasher) -> Result<Self, String> {
        let enabled = Enabled::new(bartizan_catalogue::all(), &config.detectors).map_err(|errors| errors.join("\n"))?;
        Ok(Self { engine: Engine::new(&config.detect, &enabled, hasher), totals: Totals::default() })
    }

    /// Judges a batch of enriched events. Gives its memory back, with the versions of alerts that it caused.
    pub fn batch(&mut self, events: EventBatch) -> (EventBatch, Vec<Alert>) {
        let mut flow = EventFlow::replayed(events, self.engine.next_seq());
        let alerts = self.flow(&mut flow);
        (flow.events, alerts)
    }

    /// Judges a piece of a recorded order.
    pub fn flow(&mut self, flow: &mut EventFlow) -> Vec<Alert> {
        let outcome = self.engine.process(flow);
        self.totals.late += outcome.late;
        self.totals.repeated += outcome.repeated;
        self.totals.closed_early += outcome.closed_early;
        self.totals.disabled.extend(outcome.disabled);
        for alert in outcome.alerts.iter().filter(|alert| alert.version == 1) {
            *self.totals.opened.entry(alert.detector.clone()).or_default() += 1;
        }
        outcome.alerts
    }
}

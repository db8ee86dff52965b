//! Simulates a seed, judges it as `replay` does, and scores it; nothing goes through a file.

use super::{Cases, Score, SignIns, score};
use crate::config::Config;
use crate::detect::offline::Offline;
use crate::enrich::Enricher;
use crate::normalise::{Context, Format, Normaliser};
use crate::simulate::{Simulation, SimulationConfig};
use bartizan_core::{EventBatch, KeyHasher};

/// Events of one batch; the same alerts come out of any size.
const BATCH_EVENTS: usize = 1_024;

/// What seeds are judged with, one after the other.
pub struct Workbench {
    config: Config,
    normaliser: Normaliser,
    enricher: Enricher,
}

impl Workbench {
    /// Judges with a configuration, and what was opened for it.
    #[must_use]
    pub fn new(config: Config, normaliser: Normaliser, enricher: Enricher) -> Self {
        Self { config, normaliser, enricher }
    }

    /// Scores one seed, with detectors that know nothing yet.
    ///
    /// # Errors
    /// A wrong configuration, an event that the normaliser rejects, a detector that fails.
    pub fn score(&self, simulated: SimulationConfig) -> Result<Score, String> {
        let seed = simulated.seed;
        let context = Context { default_id: &"none", tenant: None, window: None, reference_ms: simulated.start_ms };
        let hasher = KeyHasher::new([0; 16]);
        let mut judge = Offline::new(&self.config, hasher)?;
        let mut simulation = Simulation::new(simulated);
        let (mut cache, mut events, mut line) = (self.enricher.cache(), EventBatch::default(), String::new());
        let (mut labels, mut cases, mut sign_ins) = (Vec::new(), Cases::default(), SignIns::default());
        loop {
            events.clear();
            while events.len() < BATCH_EVENTS && simulation.next_event(&mut line) {
                self.normaliser
                    .normalise_into(Format::BARTIZAN, line.as_bytes(), &context, &mut events)
                    .map_err(|reject| format!("seed {seed}: {}: {line}", reject.reason))?;
                line.clear();
            }
            labels.extend(simulation.take_labels());
            if events.is_empty() {
                break;
            }
            self.enricher.enrich(&mut events, &mut cache);
            events.hash_keys(&hasher);
            sign_ins.see(&events);
            let alerts;
            (events, alerts) = judge.batch(events);
            alerts.iter().for_each(|alert| cases.add(alert));
        }
        labels.extend(simulation.finish());
        if !judge.totals.disabled.is_empty() {
            return Err(format!("seed {seed}: detectors failed and were switched off: {}", judge.totals.disabled.join(", ")));
        }
        if judge.totals.closed_early > 0 {
            tracing::warn!(seed, alerts = judge.totals.closed_early, "alerts closed early for want of room");
        }
        Ok(score(Some(seed), &labels, &cases, Some(&sign_ins)))
    }
}

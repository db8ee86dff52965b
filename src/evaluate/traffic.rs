//! Traffic of a simulated seed, read as `replay` reads a file of it; nothing goes through a file.

use crate::enrich::{AddressCache, Enricher};
use crate::normalise::{Context, Format, Normaliser};
use crate::simulate::{Label, Simulation, SimulationConfig};
use bartizan_core::EventBatch;

/// Events of one batch; the same alerts come out of any size.
const BATCH_EVENTS: usize = 1_024;

/// A seed that is being read.
pub(super) struct Traffic<'a> {
    seed: u64,
    start_ms: i64,
    simulation: Simulation,
    normaliser: &'a Normaliser,
    enricher: &'a Enricher,
    cache: AddressCache,
    line: String,
    labels: Vec<Label>,
}

impl<'a> Traffic<'a> {
    pub(super) fn new(simulated: SimulationConfig, normaliser: &'a Normaliser, enricher: &'a Enricher) -> Self {
        Self {
            seed: simulated.seed,
            start_ms: simulated.start_ms,
            simulation: Simulation::new(simulated),
            normaliser,
            enricher,
            cache: enricher.cache(),
            line: String::new(),
            labels: Vec::new(),
        }
    }

    /// Fills a batch with the next events, which lack nothing but their keys. False at the end.
    ///
    /// # Errors
    /// An event that the normaliser rejects.
    pub(super) fn next(&mut self, events: &mut EventBatch) -> Result<bool, String> {
        events.clear();
        let context = Context { default_id: &"none", tenant: None, window: None, reference_ms: self.start_ms };
        while events.len() < BATCH_EVENTS && self.simulation.next_event(&mut self.line) {
            self.normaliser
                .normalise_into(Format::BARTIZAN, self.line.as_bytes(), &context, events)
                .map_err(|reject| format!("seed {}: {}: {}", self.seed, reject.reason, self.line))?;
            self.line.clear();
        }
        self.labels.extend(self.simulation.take_labels());
        self.enricher.enrich(events, &mut self.cache);
        Ok(!events.is_empty())
    }

    /// The labels of what was read.
    pub(super) fn into_labels(mut self) -> Vec<Label> {
        self.labels.extend(self.simulation.finish());
        self.labels
    }

    /// A batch with room for as much as there is in one.
    pub(super) fn batch() -> EventBatch {
        EventBatch::with_capacity(BATCH_EVENTS)
    }
}

//! Why, and why not: what each detector makes of one event.
//!
//! The answer comes of judging again, through the engine itself, with every detector asked for the rule, limit or gate
//! where it ended: the same code as in the daemon, so an explanation cannot drift from what it explains. Over files
//! that is exact. Over the store it goes by [what is stored](crate::store::Store::events_before) of those whom the event
//! concerns, in order of event time, and says how many events that were; what lies beyond them is not known to it.

mod account;
pub mod around;

pub use account::{DetectorAccount, Standing, Verdict};

use crate::config::Config;
use crate::detect::engine::{Engine, Outcome};
use crate::detect::{DetectConfig, Enabled};
use crate::flow::EventFlow;
use crate::suppress::Suppressions;
use around::Around;
use bartizan_core::{Event, EventBatch, KeyHasher, Spec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Events that one batch has when the past is judged again.
const BATCH_EVENTS: usize = 1_024;

/// What the detectors make of one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Was it judged at all?
    pub standing: Standing,
    /// One account of each detector, in the order of the catalogue.
    pub detectors: Vec<DetectorAccount>,
    /// Events before it that were judged again for this.
    pub events_before: u64,
}

/// An engine that is about to explain.
pub struct Explainer {
    engine: Engine,
    specs: Vec<&'static Spec>,
    events_before: u64,
    around: Option<Around>,
}

impl Explainer {
    /// With the detectors and limits of a configuration.
    ///
    /// # Errors
    /// What is wrong with the detectors' configuration.
    pub fn of(config: &Config) -> Result<Self, Vec<String>> {
        Ok(Self::new(&config.detect, &Enabled::new(bartizan_catalogue::all(), &config.detectors)?))
    }

    /// With these detectors and limits.
    #[must_use]
    pub fn new(config: &DetectConfig, enabled: &Enabled) -> Self {
        // One thread: an explanation must not take what the daemon judges with.
        let config = DetectConfig { threads: 1, ..config.clone() };
        let specs = enabled.detectors.iter().map(|(spec, _)| *spec).collect();
        Self { engine: Engine::new(&config, enabled, KeyHasher::new([0; 16])), specs, events_before: 0, around: None }
    }

    /// Gathers from now on what becomes of those whom the event concerns.
    pub fn gather(&mut self, around: Around) {
        self.around = Some(around);
    }

    /// What was gathered.
    #[must_use]
    pub fn gathered(self) -> Option<Around> {
        self.around
    }

    /// Judges other events: those before the one to explain, and those after it.
    pub fn judge<'a>(&mut self, events: impl Iterator<Item = Event<'a>>) {
        let mut piece = EventBatch::default();
        for event in events {
            piece.copy(&event);
            if piece.len() == BATCH_EVENTS {
                self.judge_piece(std::mem::take(&mut piece));
            }
        }
        self.judge_piece(piece);
    }

    /// Learns what people vouched for before the next event.
    pub fn learn(&mut self, lessons: EventBatch) {
        self.engine.process(&mut EventFlow { lessons, ..EventFlow::replayed(EventBatch::default(), self.engine.next_seq()) });
    }

    fn judge_piece(&mut self, events: EventBatch) {
        if !events.is_empty() {
            self.events_before += events.len() as u64;
            let outcome = self.engine.process(&mut EventFlow::replayed(events, self.engine.next_seq()));
            self.around.iter_mut().for_each(|around| around.take(&outcome));
        }
    }

    /// Explains the next event, with the suppressions that are to count.
    #[must_use]
    pub fn explain(&mut self, event: &Event<'_>, suppressions: Option<Arc<Suppressions>>) -> Explanation {
        let mut events = EventBatch::default();
        events.copy(event);
        let mut flow = EventFlow { suppressions, ..EventFlow::replayed(events, self.engine.next_seq()) };
        let outcome = self.engine.explain(&mut flow);
        self.around.iter_mut().for_each(|around| around.take(&outcome));
        // With its keys, which tell what a detector lacks.
        let event = flow.events.get(0).unwrap_or(*event);
        Explanation {
            standing: standing(&outcome),
            detectors: account::all(&outcome.accounts, &self.specs, &event),
            events_before: self.events_before,
        }
    }
}

fn standing(outcome: &Outcome) -> Standing {
    match outcome {
        Outcome { late: 1.., .. } => Standing::Late,
        Outcome { repeated: 1.., .. } => Standing::Repeated,
        _ => Standing::Judged,
    }
}

#[cfg(test)]
mod tests;

//! The detect stage: shows batches to the engine, and lets checkpoints be cut between them.

use super::cut::Cutter;
use super::queue;
use crate::alert::Alert;
use crate::detect::engine::{Engine, Outcome};
use crate::flow::EventFlow;
use crate::suppress::Held;
use crate::telemetry::Telemetry;
use crate::telemetry::health::HealthId;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// A batch after detection, on its way to the store and to the database.
#[derive(Debug)]
pub struct Detected {
    /// The events.
    pub flow: EventFlow,
    /// The versions of alerts that they caused.
    pub alerts: Vec<Alert>,
    /// Those of the canary, which end here.
    pub canary: Vec<Alert>,
    /// Findings that suppressions held back.
    pub held: Vec<Held>,
    /// When the batch was taken from the log, for latencies.
    pub read_at: Instant,
}

impl Detected {
    /// Sequence number after the batch.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.flow.order.next_seq()
    }
}

/// Where the detect stage sends.
pub struct Outputs {
    /// To the store stage.
    pub store: queue::Sender<Arc<Detected>>,
    /// To the commit stage.
    pub commit: mpsc::Sender<Arc<Detected>>,
}

/// The detect stage.
pub struct DetectStage {
    engine: Engine,
    outputs: Outputs,
    cutter: Cutter,
    telemetry: Telemetry,
}

impl DetectStage {
    /// A stage around an engine that has its state.
    #[must_use]
    pub fn new(engine: Engine, outputs: Outputs, cutter: Cutter, telemetry: Telemetry) -> Self {
        Self { engine, outputs, cutter, telemetry }
    }

    /// The engine, for what others may see of it.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Takes one batch; `None` when a later stage is gone.
    pub async fn take(&mut self, mut flow: EventFlow, read_at: Instant) -> Option<Outcome> {
        let mut outcome = self.engine.process(&mut flow);
        for id in &outcome.disabled {
            self.telemetry.report(
                HealthId::DetectorDisabled,
                "",
                Some(&format!("{id} failed on an event and is switched off until the next start")),
            );
        }
        let (alerts, held) = (std::mem::take(&mut outcome.alerts), std::mem::take(&mut outcome.held));
        let detected = Arc::new(Detected { flow, alerts, canary: std::mem::take(&mut outcome.canary), held, read_at });
        self.outputs.commit.send(Arc::clone(&detected)).await.ok()?;
        let events = detected.flow.events.len();
        self.outputs.store.send(detected, events).await?;
        self.cutter.turn(&mut self.engine);
        Some(outcome)
    }

    /// Nothing comes: a checkpoint that is due may begin.
    pub fn quiet(&mut self) {
        self.cutter.turn(&mut self.engine);
    }

    /// Has a checkpoint begun, so that time without a batch is of use?
    #[must_use]
    pub fn is_cutting(&self) -> bool {
        self.cutter.is_busy()
    }

    /// Uses the time until the next batch for the checkpoint that has begun.
    pub async fn use_pause(&mut self) {
        self.cutter.has_room().await;
        self.cutter.turn(&mut self.engine);
        // Where one thread drives all stages, the others may go on.
        tokio::task::yield_now().await;
    }

    /// Takes a whole checkpoint now, if anything came since the last one.
    pub async fn checkpoint(&mut self) {
        self.cutter.take(&mut self.engine).await;
    }
}

//! The detect stage: shows batches to the engine, cuts checkpoints.

use crate::alert::Alert;
use crate::detect::checkpoint::Snapshot;
use crate::detect::engine::{Engine, Outcome};
use crate::flow::EventFlow;
use crate::telemetry::Telemetry;
use crate::telemetry::health::HealthId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::Instant as Moment;

/// A batch after detection, on its way to the store and to the database.
#[derive(Debug)]
pub struct Detected {
    /// The events.
    pub flow: EventFlow,
    /// The versions of alerts that they caused.
    pub alerts: Vec<Alert>,
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
    pub store: mpsc::Sender<Arc<Detected>>,
    /// To the commit stage.
    pub commit: mpsc::Sender<Arc<Detected>>,
    /// To the checkpoint writer; full while it writes one.
    pub checkpoint: mpsc::Sender<Snapshot>,
}

/// The detect stage.
pub struct DetectStage {
    engine: Engine,
    outputs: Outputs,
    telemetry: Telemetry,
    interval: Duration,
    last: (Moment, u64),
}

impl DetectStage {
    /// A stage around an engine that has its state.
    #[must_use]
    pub fn new(engine: Engine, outputs: Outputs, telemetry: Telemetry, interval: Duration) -> Self {
        let last = (Moment::now(), engine.next_seq());
        Self { engine, outputs, telemetry, interval, last }
    }

    /// The engine, for what others may see of it.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
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
        let alerts = std::mem::take(&mut outcome.alerts);
        let detected = Arc::new(Detected { flow, alerts, read_at });
        self.outputs.commit.send(Arc::clone(&detected)).await.ok()?;
        self.outputs.store.send(detected).await.ok()?;
        if self.last.0.elapsed() >= self.interval {
            self.checkpoint(false).await;
        }
        Some(outcome)
    }

    /// Cuts a checkpoint if anything came since the last one. Unless it `must`, it is put off while
    /// the writer is still busy with the one before.
    pub async fn checkpoint(&mut self, must: bool) {
        if self.engine.next_seq() == self.last.1 {
            return;
        }
        let permit = match self.outputs.checkpoint.clone().try_reserve_owned() {
            Ok(permit) => Some(permit),
            Err(mpsc::error::TrySendError::Full(_)) if !must => return,
            Err(_) => None,
        };
        match self.engine.snapshot() {
            Ok(snapshot) => {
                self.last = (Moment::now(), snapshot.next_seq);
                match permit {
                    Some(permit) => drop(permit.send(snapshot)),
                    None => self.outputs.checkpoint.send(snapshot).await.unwrap_or_else(|_| tracing::warn!("checkpoint writer is gone")),
                }
            }
            Err(error) => self.telemetry.report(HealthId::CheckpointFailed, "", Some(&error.to_string())),
        }
    }
}

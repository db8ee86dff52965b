//! Cuts checkpoints on the detect stage's thread: when one begins, and how much of it is handed to the
//! writer between two batches.
//!
//! The flow waits for [`Pace::pause`] at most each time, however large the state is. A checkpoint begins once the
//! interval is over, but not before the process has done nineteen times the work that the last one took, so
//! that all of them together stay within a twentieth of it; what a restart has to repeat is bounded by that
//! work, too. After [`LONGEST`] one begins in any case: the log keeps what lies behind it. A writer that is
//! slow is not waited for; if too much piles up before it, the checkpoint is given up.

use super::PipelineConfig;
use super::checkpoint::{Finished, Piece};
use crate::clock::Effort;
use crate::detect::checkpoint::{CheckpointError, Parts};
use crate::detect::engine::Engine;
use crate::telemetry::{HealthId, Stage, Telemetry};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How fast checkpoints are cut.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Time between two checkpoints.
    pub interval: Duration,
    /// How long the flow stands still at a time.
    pub pause: Duration,
    /// Bytes handed out before the time is looked at.
    pub step_bytes: usize,
    /// Bytes given to the writer at once.
    pub piece_bytes: usize,
    /// Bytes that may wait for the writer beside those in its queue.
    pub waiting_bytes_max: usize,
    /// What processor time is taken for.
    pub effort: Effort,
}

impl Pace {
    /// The daemon's, with this time between two checkpoints.
    #[must_use]
    pub fn every(interval: Duration, limits: &PipelineConfig) -> Self {
        Self {
            interval,
            pause: Duration::from_millis(1),
            step_bytes: 32 << 10,
            piece_bytes: 1 << 20,
            waiting_bytes_max: limits.checkpoint_waiting_bytes_max,
            effort: Effort::MACHINE,
        }
    }
}

/// How much more work than the last checkpoint there is before the next.
const WORK_BETWEEN: u32 = 19;
/// The longest time without a checkpoint.
const LONGEST: Duration = Duration::from_secs(600);

/// Cuts checkpoints.
pub struct Cutter {
    pieces: mpsc::Sender<Piece>,
    finished: watch::Receiver<Finished>,
    telemetry: Telemetry,
    pace: Pace,
    /// The last one: when it began, at which record, and the process's work by then.
    last: (Instant, u64, Duration),
    cutting: Option<Cutting>,
    /// The one that was handed out to its end last, while it may still be on its way to the disk.
    awaited: Option<u64>,
    /// What handing out the last one took.
    cost: Duration,
}

/// A checkpoint that is being handed out.
#[derive(Debug, Default)]
struct Cutting {
    parts: Parts,
    cost: Duration,
    whole: bool,
}

impl Cutter {
    /// A cutter for an engine that stands before `next_seq`. `finished` tells what the writer is done with.
    #[must_use]
    pub fn new(next_seq: u64, pieces: mpsc::Sender<Piece>, finished: watch::Receiver<Finished>, telemetry: Telemetry, pace: Pace) -> Self {
        let last = (Instant::now(), next_seq, (pace.effort.of_process)());
        Self { pieces, finished, telemetry, pace, last, cutting: None, awaited: None, cost: Duration::ZERO }
    }

    /// Is one being handed out, so that time without a batch is of use?
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.cutting.is_some()
    }

    /// Waits until the writer has room for a piece, or is gone.
    pub async fn has_room(&self) {
        self.pieces.reserve().await.map(drop).unwrap_or_default();
    }

    /// Begins a checkpoint if it is time, and hands out a part of one that has begun.
    pub fn turn(&mut self, engine: &mut Engine) {
        if self.cutting.is_none() && self.is_due(engine) {
            // Where the writer has no room for it, later will do.
            if let Ok(permit) = self.pieces.clone().try_reserve_owned() {
                let result = self.begin(engine, |begin| drop(permit.send(begin)));
                self.told(result);
            }
        }
        if self.cutting.is_some() {
            let started = Instant::now();
            let result = self.hand_out(engine, started);
            self.told(result);
            self.telemetry.latencies.record(Stage::CheckpointPause, started.elapsed());
        }
    }

    /// Takes a checkpoint now if anything came since the last one, and waits until the writer has all of it.
    pub async fn take(&mut self, engine: &mut Engine) {
        if engine.next_seq() != self.last.1 || self.cutting.is_some() {
            let result = self.take_whole(engine).await;
            self.told(result);
        }
    }

    async fn take_whole(&mut self, engine: &mut Engine) -> Result<(), CheckpointError> {
        let pieces = self.pieces.clone();
        let send = async |piece| pieces.send(piece).await.unwrap_or_else(|_| tracing::warn!("checkpoint writer is gone"));
        let mut beginning = None;
        self.begin(engine, |begin| beginning = Some(begin))?;
        if let Some(begin) = beginning {
            send(begin).await;
        }
        while let Some(mut cutting) = self.cutting.take() {
            if engine.save_some(self.pace.piece_bytes, &mut cutting.parts)? {
                send(Piece::Last(cutting.parts)).await;
                self.awaited = Some(self.last.1);
            } else {
                send(Piece::Parts(cutting.parts)).await;
                self.cutting = Some(Cutting::default());
            }
        }
        Ok(())
    }

    fn is_due(&self, engine: &Engine) -> bool {
        let (began, next_seq, work_then) = self.last;
        let finished = *self.finished.borrow();
        if engine.next_seq() == next_seq || self.awaited.is_some_and(|awaited| awaited != finished.next_seq) {
            return false;
        }
        let since = began.elapsed();
        let worked = || (self.pace.effort.of_process)().saturating_sub(work_then) >= (self.cost + finished.cost) * WORK_BETWEEN;
        since >= self.pace.interval && (worked() || since >= LONGEST.max(self.pace.interval))
    }

    fn begin(&mut self, engine: &mut Engine, send: impl FnOnce(Piece)) -> Result<(), CheckpointError> {
        let started = Instant::now();
        self.last = (started, engine.next_seq(), (self.pace.effort.of_process)());
        send(Piece::Begin { next_seq: engine.next_seq(), positions: engine.positions().clone() });
        let mut parts = Parts::default();
        engine.begin_checkpoint(&mut parts)?;
        self.cutting = Some(Cutting { parts, cost: started.elapsed(), whole: false });
        self.telemetry.latencies.record(Stage::CheckpointPause, started.elapsed());
        Ok(())
    }

    fn hand_out(&mut self, engine: &mut Engine, started: Instant) -> Result<(), CheckpointError> {
        let Some(cutting) = &mut self.cutting else { return Ok(()) };
        loop {
            if cutting.whole || cutting.parts.len() >= self.pace.piece_bytes {
                match self.pieces.try_reserve() {
                    Ok(permit) if cutting.whole => {
                        permit.send(Piece::Last(std::mem::take(&mut cutting.parts)));
                        self.awaited = Some(self.last.1);
                        self.cost = cutting.cost + started.elapsed();
                        self.cutting = None;
                        return Ok(());
                    }
                    Ok(permit) => permit.send(Piece::Parts(std::mem::take(&mut cutting.parts))),
                    Err(TrySendError::Full(())) if cutting.parts.len() <= self.pace.waiting_bytes_max => break,
                    Err(_) => return Err(CheckpointError::TooSlow),
                }
            }
            cutting.whole = engine.save_some(self.pace.step_bytes, &mut cutting.parts)?;
            if started.elapsed() >= self.pace.pause && !cutting.whole {
                break;
            }
        }
        cutting.cost += started.elapsed();
        Ok(())
    }

    fn told(&mut self, result: Result<(), CheckpointError>) {
        if let Err(error) = result {
            self.cutting = None;
            self.telemetry.metrics.checkpoint_errors.inc();
            self.telemetry.report(HealthId::CheckpointFailed, "", Some(&error.to_string()));
        }
    }
}

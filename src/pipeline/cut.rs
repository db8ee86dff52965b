//! Cuts checkpoints on the detect stage's thread: when one begins, and how much of it is handed to the
//! writer between two batches.
//!
//! The flow waits for [`PAUSE`] at most each time, however large the state is. A checkpoint begins once the
//! interval is over, but not before the process has done nineteen times the work that the last one took, so
//! that all of them together stay within a twentieth of it; what a restart has to repeat is bounded by that
//! work, too. After [`LONGEST`] one begins in any case: the log keeps what lies behind it. A writer that is
//! slow is not waited for; if too much piles up before it, the checkpoint is given up.

use super::checkpoint::{Finished, Piece};
use crate::detect::checkpoint::{CheckpointError, Parts};
use crate::detect::engine::Engine;
use crate::telemetry::{HealthId, Stage, Telemetry};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

/// How long the flow stands still at a time.
const PAUSE: Duration = Duration::from_millis(1);
/// Bytes handed out before the time is looked at.
const STEP_BYTES: usize = 32 << 10;
/// Bytes given to the writer at once.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes that may wait for the writer beside those in its queue.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// How much more work than the last checkpoint there is before the next.
const WORK_BETWEEN: u32 = 19;
/// The longest time without a checkpoint.
const LONGEST: Duration = Duration::from_secs(600);

/// Cuts checkpoints.
pub struct Cutter {
    pieces: mpsc::Sender<Piece>,
    finished: watch::Receiver<Finished>,
    telemetry: Telemetry,
    interval: Duration,
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

/// Processor time of this process.
fn work() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Cutter {
    /// A cutter for an engine that stands before `next_seq`. `finished` tells what the writer is done with.
    #[must_use]
    pub fn new(
        next_seq: u64,
        pieces: mpsc::Sender<Piece>,
        finished: watch::Receiver<Finished>,
        telemetry: Telemetry,
        interval: Duration,
    ) -> Self {
        let last = (Instant::now(), next_seq, work());
        Self { pieces, finished, telemetry, interval, last, cutting: None, awaited: None, cost: Duration::ZERO }
    }

    /// Is one being handed out, so that time without a batch is of use?
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.cutting.is_some()
    }

    /// Does the writer have to take something before anything more can be handed out?
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.cutting.is_some() && self.pieces.capacity() == 0
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
    pub fn take(&mut self, engine: &mut Engine) {
        if engine.next_seq() != self.last.1 || self.cutting.is_some() {
            let result = self.take_whole(engine);
            self.told(result);
        }
    }

    fn take_whole(&mut self, engine: &mut Engine) -> Result<(), CheckpointError> {
        let pieces = self.pieces.clone();
        let send = |piece| pieces.blocking_send(piece).unwrap_or_else(|_| tracing::warn!("checkpoint writer is gone"));
        self.begin(engine, send)?;
        while let Some(mut cutting) = self.cutting.take() {
            if engine.save_some(PIECE_BYTES, &mut cutting.parts)? {
                send(Piece::Last(cutting.parts));
                self.awaited = Some(self.last.1);
            } else {
                send(Piece::Parts(cutting.parts));
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
        let worked = || work().saturating_sub(work_then) >= (self.cost + finished.cost) * WORK_BETWEEN;
        since >= self.interval && (worked() || since >= LONGEST.max(self.interval))
    }

    fn begin(&mut self, engine: &mut Engine, send: impl FnOnce(Piece)) -> Result<(), CheckpointError> {
        let started = Instant::now();
        self.last = (started, engine.next_seq(), work());
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
            if cutting.whole || cutting.parts.len() >= PIECE_BYTES {
                match self.pieces.try_reserve() {
                    Ok(permit) if cutting.whole => {
                        permit.send(Piece::Last(std::mem::take(&mut cutting.parts)));
                        self.awaited = Some(self.last.1);
                        self.cost = cutting.cost + started.elapsed();
                        self.cutting = None;
                        return Ok(());
                    }
                    Ok(permit) => permit.send(Piece::Parts(std::mem::take(&mut cutting.parts))),
                    Err(TrySendError::Full(())) if cutting.parts.len() <= WAITING_BYTES_MAX => break,
                    Err(_) => return Err(CheckpointError::TooSlow),
                }
            }
            if started.elapsed() >= PAUSE {
                break;
            }
            cutting.whole = engine.save_some(STEP_BYTES, &mut cutting.parts)?;
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

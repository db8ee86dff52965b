//! The checkpoint writer: takes a checkpoint piece by piece from the detect stage, makes it durable once
//! everything before it is acknowledged, then commits the log's offsets.

use super::Acknowledged;
use super::commit::Unrecorded;
use crate::blocking::blocking;
use crate::clock::{Effort, now_ms};
use crate::db::Db;
use crate::detect::checkpoint::{CheckpointError, Checkpoints, Parts, Writing};
use crate::flow::Positions;
use crate::log::Committer;
use crate::telemetry::{HealthId, Stage, Telemetry};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc::Receiver, watch};
use tokio_util::sync::CancellationToken;

/// The newest durable checkpoint, for others to see.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    /// Where a start would begin to read.
    pub positions: Positions,
}

/// Fact that there was a checkpoint: without one a later start has lost something.
pub const CHECKPOINTED: &str = "checkpointed";

/// A piece of a checkpoint.
#[derive(Debug)]
pub enum Piece {
    /// One begins. If another one was begun, that is given up.
    Begin {
        /// Sequence number of the next record.
        next_seq: u64,
        /// Next offset of each partition.
        positions: Positions,
    },
    /// Parts of it.
    Parts(Parts),
    /// The last parts of it.
    Last(Parts),
}

/// The last checkpoint that the writer is done with, whether it got to the disk or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finished {
    /// Sequence number of the next record.
    pub next_seq: u64,
    /// Processor time that writing it took.
    pub cost: Duration,
}

/// The checkpoint writer.
pub struct CheckpointWriter {
    /// The folder.
    pub checkpoints: Checkpoints,
    /// The database, whose recorded order is cut behind the oldest checkpoint.
    pub db: Db,
    /// The order that is not in it yet.
    pub unrecorded: Unrecorded,
    /// Does the log keep the order itself?
    pub keeps_order: bool,
    /// The log.
    pub committer: Arc<dyn Committer>,
    /// What is told of the stage.
    pub telemetry: Telemetry,
    /// What is acknowledged.
    pub acknowledged: watch::Receiver<Acknowledged>,
    /// Sequence and positions of the checkpoint before: the oldest that is kept.
    pub previous: (u64, Positions),
    /// Told of each checkpoint.
    pub durable: Arc<Mutex<Durable>>,
    /// Told of each checkpoint that is over, written or not.
    pub finished: watch::Sender<Finished>,
    /// What processor time is taken for.
    pub effort: Effort,
    /// Gives up waiting.
    pub abandon: CancellationToken,
}

/// A checkpoint on its way to the disk.
struct Begun {
    writing: Writing,
    next_seq: u64,
    positions: Positions,
    started: Instant,
    cost: Duration,
}

impl CheckpointWriter {
    /// Writes checkpoints until the channel closes.
    pub async fn run(mut self, mut pieces: Receiver<Piece>) {
        let mut begun = None;
        while let Some(piece) = pieces.recv().await {
            let result = match piece {
                Piece::Begin { next_seq, positions } => self.begin(next_seq, positions).await.map(|one| begun = Some(one)),
                Piece::Parts(parts) => self.write(&mut begun, parts).await,
                Piece::Last(parts) => match self.write(&mut begun, parts).await {
                    Ok(()) => match begun.take() {
                        Some(begun) if self.is_acknowledged(begun.next_seq).await => self.finish(begun).await,
                        Some(_) => return,
                        // Its beginning failed, and was told.
                        None => Ok(()),
                    },
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = result {
                begun = None;
                self.telemetry.metrics.checkpoint_errors.inc();
                self.telemetry.report(HealthId::CheckpointFailed, "", Some(&error));
            }
        }
    }

    async fn is_acknowledged(&mut self, next_seq: u64) -> bool {
        if sabotaged!(CheckpointUnacknowledged) {
            return true;
        }
        tokio::select! {
            biased;
            done = self.acknowledged.wait_for(|acknowledged| acknowledged.both() >= next_seq) => done.is_ok(),
            () = self.abandon.cancelled() => false,
        }
    }

    async fn begin(&self, next_seq: u64, positions: Positions) -> Result<Begun, String> {
        let (checkpoints, started) = (self.checkpoints.clone(), Instant::now());
        let (writing, cost) = timed(move || checkpoints.begin(next_seq), self.effort).await?;
        Ok(Begun { writing, next_seq, positions, started, cost })
    }

    async fn write(&self, begun: &mut Option<Begun>, parts: Parts) -> Result<(), String> {
        let Some(one) = begun.take() else { return Ok(()) };
        let Begun { mut writing, next_seq, positions, started, cost } = one;
        let (writing, more) = timed(move || writing.write(&parts).map(|()| writing), self.effort).await?;
        *begun = Some(Begun { writing, next_seq, positions, started, cost: cost + more });
        Ok(())
    }

    async fn finish(&mut self, begun: Begun) -> Result<(), String> {
        let Begun { writing, next_seq, positions, started, cost } = begun;
        let (db, unrecorded, committer) = (self.db.clone(), self.unrecorded.clone(), Arc::clone(&self.committer));
        let (oldest_seq, oldest) = self.previous.clone();
        let keeps_order = self.keeps_order;
        let newest = positions.clone();
        let oldest_seq = if sabotaged!(OrderCutTooFar) { next_seq } else { oldest_seq };
        let oldest = if sabotaged!(LogCutTooFar) { newest.clone() } else { oldest };
        let finish = move || -> Result<u64, CheckpointError> {
            if sabotaged!(CommittedTooEarly) {
                committer.commit(&newest, &oldest).ok();
            }
            unrecorded.record(&db, next_seq)?;
            let bytes = writing.finish()?;
            if let Err(error) = db.fact(CHECKPOINTED, Vec::new) {
                tracing::warn!(%error, "it cannot be noted that there is a checkpoint");
            }
            // A log that is its own order counts anew after a restart: what is recorded of it goes by arrival, and then.
            if !keeps_order && let Err(error) = db.prune_orders(oldest_seq) {
                tracing::warn!(%error, "recorded order cannot be cut");
            }
            if let Err(error) = committer.commit(&newest, &oldest) {
                tracing::debug!(%error, "offsets not committed, the next checkpoint covers them");
            }
            Ok(bytes)
        };
        let finished = timed(finish, self.effort).await;
        let more = finished.as_ref().map_or(Duration::ZERO, |(_, more)| *more);
        self.finished.send_replace(Finished { next_seq, cost: cost + more });
        let (bytes, _) = finished?;
        // Only one that is on the disk is a generation to fall back to: what lies behind it must stay until then.
        self.previous = (next_seq, positions.clone());
        self.durable.lock().positions = positions;
        self.telemetry.report(HealthId::CheckpointFailed, "", None);
        self.telemetry.latencies.record(Stage::Checkpoint, started.elapsed());
        let metrics = &self.telemetry.metrics;
        metrics.checkpoint_seconds.observe(started.elapsed().as_secs_f64());
        metrics.checkpoint_bytes.set(bytes as i64);
        metrics.checkpoint_time.set(now_ms() as f64 / 1e3);
        Ok(())
    }
}

/// Runs `work` where it may block; returns what it gives, and the processor time that it took.
async fn timed<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CheckpointError> + Send + 'static,
    effort: Effort,
) -> Result<(T, Duration), String> {
    let timed = move || {
        let before = (effort.of_thread)();
        work().map(|value| (value, (effort.of_thread)().saturating_sub(before)))
    };
    blocking(timed).await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::flow::PartitionId;
    use crate::log::LogError;

    /// Remembers up to where the log may be cut.
    #[derive(Default)]
    struct Cuts(Mutex<Vec<i64>>);

    impl Committer for Cuts {
        fn commit(&self, _newest: &Positions, oldest: &Positions) -> Result<(), LogError> {
            self.0.lock().extend(oldest.values());
            Ok(())
        }
        fn ends(&self) -> Positions {
            Positions::new()
        }
    }

    fn at(offset: i64) -> Positions {
        Positions::from([(PartitionId::new("auth-logs", 0), offset)])
    }

    async fn write_one(writer: &mut CheckpointWriter, offset: i64) -> Result<(), String> {
        let begun = writer.begin(offset as u64, at(offset)).await?;
        writer.finish(begun).await
    }

    #[tokio::test]
    async fn nothing_is_cut_behind_a_checkpoint_that_was_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let cuts = Arc::new(Cuts::default());
        let mut writer = CheckpointWriter {
            checkpoints: Checkpoints::open(&path).unwrap(),
            db: Db::in_memory().unwrap(),
            unrecorded: Unrecorded::default(),
            keeps_order: false,
            committer: cuts.clone(),
            telemetry: Telemetry::default(),
            acknowledged: watch::channel(Acknowledged::default()).1,
            previous: (0, at(0)),
            durable: Arc::default(),
            finished: watch::channel(Finished::default()).0,
            effort: Effort::MACHINE,
            abandon: CancellationToken::new(),
        };
        write_one(&mut writer, 10).await.unwrap();
        std::fs::rename(&path, folder.path().join("away")).unwrap();
        assert!(write_one(&mut writer, 20).await.is_err());
        std::fs::rename(folder.path().join("away"), &path).unwrap();
        write_one(&mut writer, 30).await.unwrap();
        assert_eq!(*cuts.0.lock(), [0, 10], "10 is still the generation to fall back to");
    }
}

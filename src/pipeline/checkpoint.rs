//! The checkpoint writer: makes a checkpoint durable once everything before it is acknowledged, then
//! commits the log's offsets.

use super::Acknowledged;
use crate::blocking::blocking;
use crate::clock::now_ms;
use crate::db::Db;
use crate::detect::checkpoint::{CheckpointError, Checkpoints, Snapshot};
use crate::flow::Positions;
use crate::log::Committer;
use crate::telemetry::{HealthId, Stage, Telemetry};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc::Receiver, watch};
use tokio_util::sync::CancellationToken;

/// The newest durable checkpoint, for others to see.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    /// Where a start would begin to read.
    pub positions: Positions,
}

/// The checkpoint writer.
pub struct CheckpointWriter {
    /// The folder.
    pub checkpoints: Checkpoints,
    /// The database, whose recorded order is cut behind the oldest checkpoint.
    pub db: Db,
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
    /// Gives up waiting.
    pub abandon: CancellationToken,
}

impl CheckpointWriter {
    /// Writes checkpoints until the channel closes.
    pub async fn run(mut self, mut snapshots: Receiver<Snapshot>) {
        while let Some(snapshot) = snapshots.recv().await {
            let next_seq = snapshot.next_seq;
            let acknowledged = tokio::select! {
                biased;
                done = self.acknowledged.wait_for(|acknowledged| acknowledged.both() >= next_seq) => done.is_ok(),
                () = self.abandon.cancelled() => false,
            };
            if !acknowledged {
                return;
            }
            let started = Instant::now();
            let positions = snapshot.positions.clone();
            match self.write(snapshot).await {
                Ok(bytes) => {
                    self.durable.lock().positions = positions;
                    self.telemetry.report(HealthId::CheckpointFailed, "", None);
                    self.telemetry.latencies.record(Stage::Checkpoint, started.elapsed());
                    let metrics = &self.telemetry.metrics;
                    metrics.checkpoint_seconds.observe(started.elapsed().as_secs_f64());
                    metrics.checkpoint_bytes.set(bytes as i64);
                    metrics.checkpoint_time.set(now_ms() as f64 / 1e3);
                }
                Err(error) => {
                    self.telemetry.metrics.checkpoint_errors.inc();
                    self.telemetry.report(HealthId::CheckpointFailed, "", Some(&error));
                }
            }
        }
    }

    async fn write(&mut self, snapshot: Snapshot) -> Result<u64, String> {
        let (checkpoints, db, committer) = (self.checkpoints.clone(), self.db.clone(), Arc::clone(&self.committer));
        let newest = (snapshot.next_seq, snapshot.positions.clone());
        let (oldest_seq, oldest) = self.previous.clone();
        let written = newest.clone();
        let write = move || -> Result<u64, CheckpointError> {
            let bytes = checkpoints.write(&snapshot)?;
            if let Err(error) = db.prune_orders(oldest_seq) {
                tracing::warn!(%error, "recorded order cannot be cut");
            }
            if let Err(error) = committer.commit(&newest.1, &oldest) {
                tracing::debug!(%error, "offsets not committed, the next checkpoint covers them");
            }
            Ok(bytes)
        };
        let bytes = blocking(write).await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        // Only one that is on the disk is a generation to fall back to: what lies behind it must stay until then.
        self.previous = written;
        Ok(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::detect::watermark::Watermarks;
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

    fn snapshot(offset: i64) -> Snapshot {
        let watermarks = Watermarks::default();
        let (dedup, episodes, detectors) = (Vec::new(), Vec::new(), Vec::new());
        Snapshot { next_seq: offset as u64, positions: at(offset), watermarks, dedup, episodes, detectors }
    }

    #[tokio::test]
    async fn nothing_is_cut_behind_a_checkpoint_that_was_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let cuts = Arc::new(Cuts::default());
        let mut writer = CheckpointWriter {
            checkpoints: Checkpoints::open(&path).unwrap(),
            db: Db::in_memory().unwrap(),
            committer: cuts.clone(),
            telemetry: Telemetry::default(),
            acknowledged: watch::channel(Acknowledged::default()).1,
            previous: (0, at(0)),
            durable: Arc::default(),
            abandon: CancellationToken::new(),
        };
        writer.write(snapshot(10)).await.unwrap();
        std::fs::rename(&path, folder.path().join("away")).unwrap();
        assert!(writer.write(snapshot(20)).await.is_err());
        std::fs::rename(folder.path().join("away"), &path).unwrap();
        writer.write(snapshot(30)).await.unwrap();
        assert_eq!(*cuts.0.lock(), [0, 10], "10 is still the generation to fall back to");
    }
}

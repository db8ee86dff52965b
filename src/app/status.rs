//! How the pipeline stands, for `/api/v1/status` and `/readyz`.

use super::pipeline::Seen;
use crate::api::status::{
    CanaryStatus, ChannelStatus, DetectorStatus, EventCounts, PartitionStatus, PipelineStatus, SourceStatus, StatusSource, StoreStatus,
};
use crate::canary::Watch;
use crate::clock::now_ms;
use crate::config::Config;
use crate::db::{Db, DbError, channels, outbox};
use crate::detect::breaker::OpenBreaker;
use crate::flow::Positions;
use crate::log::Committer;
use crate::notify::routing::{ALERTS_TOPIC_CHANNEL, HISTORY_CHANNEL};
use crate::pipeline::read::Reading;
use crate::pipeline::{Acknowledged, checkpoint::Durable};
use crate::store::Store;
use bartizan_core::TimeMs;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// Everything that the status is read from.
pub(super) struct Status {
    pub started_ms: i64,
    pub db: Db,
    pub seen: Arc<Mutex<Seen>>,
    pub reading: Arc<Reading>,
    pub committer: Arc<dyn Committer>,
    pub durable: Arc<Mutex<Durable>>,
    pub acknowledged: watch::Receiver<Acknowledged>,
    pub store: watch::Receiver<Option<Store>>,
    /// None if it is off.
    pub canary: Option<Watch>,
    pub kind: Kinds,
}

/// What the configuration says of each part.
pub(super) struct Kinds {
    instance: String,
    log: &'static str,
    store: &'static str,
    /// Channels in the outbox, with kind and whether they are in dry run.
    channels: Vec<(String, &'static str, bool)>,
    detectors: Vec<(&'static str, &'static str)>,
}

impl Kinds {
    pub fn of(config: &Config, detectors: Vec<(&'static str, &'static str)>) -> Self {
        let configured = config.channels.iter().map(|channel| (channel.name.clone(), channel.kind.as_str(), false));
        let targets = config.revocation.iter().map(|target| (target.channel(), "revocation", target.dry_run));
        let own = [(ALERTS_TOPIC_CHANNEL.to_owned(), "kafka", false), (HISTORY_CHANNEL.to_owned(), "clickhouse", false)];
        Self {
            instance: config.data_dir.display().to_string(),
            log: if config.kafka.is_some() { "kafka" } else { "journal" },
            store: if config.clickhouse.is_some() { "server" } else { "embedded" },
            channels: configured.chain(targets).chain(own).collect(),
            detectors,
        }
    }
}

impl Status {
    fn partitions(&self, seen: &Seen, ends: &Positions) -> Vec<PartitionStatus> {
        let committed = self.durable.lock().positions.clone();
        let known: std::collections::BTreeSet<_> = seen.positions.keys().chain(ends.keys()).cloned().collect();
        let status = known.into_iter().map(|partition| {
            let (position, end) = (seen.positions.get(&partition).copied(), ends.get(&partition).copied());
            PartitionStatus {
                log: self.kind.log.to_owned(),
                topic: partition.topic.to_string(),
                partition: partition.partition,
                position,
                committed: committed.get(&partition).copied(),
                end,
                lag: end.map(|end| u64::try_from(end - position.unwrap_or(0)).unwrap_or(0)),
                complete_up_to: seen.newest_ms.get(&partition).map(|ms| TimeMs(*ms)),
            }
        });
        status.collect()
    }

    fn channels(&self) -> Result<Vec<ChannelStatus>, DbError> {
        let (counts, ended, progress) = self.db.read(|connection| {
            Ok::<_, DbError>((outbox::counts(connection)?, channels::ended(connection)?, outbox::progress(connection)?))
        })?;
        let mut by_state: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (channel, state, count) in &counts {
            by_state.insert((channel, state), u64::try_from(*count).unwrap_or(0));
        }
        let status = self.kind.channels.iter().map(|(name, kind, dry_run)| {
            let count = |state| by_state.get(&(name.as_str(), state)).copied().unwrap_or(0);
            let progress = progress.get(name).cloned().unwrap_or_default();
            let state = match (ended.contains(name), *dry_run, &progress.last_error) {
                (true, ..) => "ended",
                (_, true, _) => "dry_run",
                (_, _, Some(_)) => "retrying",
                _ => "delivering",
            };
            ChannelStatus {
                name: name.clone(),
                kind: (*kind).to_owned(),
                state: state.to_owned(),
                pending: count("pending"),
                delivered: count("delivered"),
                failed: count("failed"),
                last_success_time: progress.last_success_ms.map(TimeMs),
                next_attempt_time: progress.next_attempt_ms.map(TimeMs),
                last_error: progress.last_error,
            }
        });
        Ok(status.collect())
    }

    fn source(&self) -> SourceStatus {
        let assigned = self.reading.assigned.load(Ordering::Acquire);
        SourceStatus {
            name: self.kind.log.to_owned(),
            kind: self.kind.log.to_owned(),
            state: if assigned { "running" } else { "waiting" }.to_owned(),
            detail: if assigned { String::new() } else { "not all partitions are held".to_owned() },
        }
    }

    fn detectors(&self, seen: &Seen) -> Vec<DetectorStatus> {
        let keys: BTreeMap<_, _> = seen.state_keys.iter().map(|(id, keys, _)| (*id, *keys as u64)).collect();
        let status = self.kind.detectors.iter().map(|(id, title)| DetectorStatus {
            id: (*id).to_owned(),
            title: (*title).to_owned(),
            state: if seen.disabled.contains(id) { "disabled" } else { "running" }.to_owned(),
            keys: keys.get(id).copied().unwrap_or(0),
        });
        status.collect()
    }
}

impl StatusSource for Status {
    fn pipeline(&self) -> PipelineStatus {
        let seen = self.seen.lock().clone();
        let partitions = self.partitions(&seen, &self.committer.ends());
        let stored = self.acknowledged.borrow().stored;
        PipelineStatus {
            instance: self.kind.instance.clone(),
            started_time: TimeMs(self.started_ms),
            complete_up_to: seen.watermark_ms.map(TimeMs),
            events: Some(EventCounts {
                received: seen.records,
                out: seen.judged,
                rejected: seen.rejected,
                duplicate: seen.repeated,
                late: seen.late,
            }),
            lag: Some(partitions.iter().filter_map(|partition| partition.lag).sum()),
            partitions,
            sources: vec![self.source()],
            store: Some(StoreStatus {
                kind: self.kind.store.to_owned(),
                state: if self.store.borrow().is_some() { "running" } else { "starting" }.to_owned(),
                detail: String::new(),
                rows_pending: seen.next_seq.saturating_sub(stored),
            }),
            channels: self.channels().unwrap_or_else(|error| {
                tracing::warn!(%error, at_ms = now_ms(), "channels cannot be counted");
                Vec::new()
            }),
            detectors: self.detectors(&seen),
            canary: self.canary.as_ref().map(|watch| CanaryStatus::from(watch.standing())),
        }
    }

    fn breakers(&self) -> Vec<OpenBreaker> {
        self.seen.lock().breakers.clone()
    }

    fn waiting_for(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        if !self.reading.assigned.load(Ordering::Acquire) {
            waiting.push("not all partitions are held".to_owned());
        }
        if self.store.borrow().is_none() {
            waiting.push("the store is not there yet".to_owned());
        }
        waiting
    }
}

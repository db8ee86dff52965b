//! The store stage: events to ClickHouse, rejects to the dead-letter topic.
//!
//! What comes within a second is joined into one insert, up to its largest: a store wants few and
//! large ones, each costs it a part to write and to merge. A failed insert is repeated with the same rows until it
//! succeeds; the same rows twice count once, so a repetition is safe.

use super::detect::Detected;
use super::queue::Receiver;
use super::{Acknowledge, Backoff, PipelineConfig};
use crate::canary;
use crate::flow::{EventFlow, Rejected};
use crate::log::{Appender, DEAD_LETTER_TOPIC, LogError, Outgoing};
use crate::store::{EventRow, Position, Store, StoreError};
use crate::telemetry::Telemetry;
use crate::telemetry::health::HealthId;
use crate::telemetry::latency::Stage;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How long an insert that is not full waits for more.
const LINGER: Duration = Duration::from_secs(1);

/// What the stage asks of a store.
pub trait EventStore: Send + Sync {
    /// Rows that it takes in one insert.
    fn insert_rows_max(&self) -> usize;

    /// Stores events; done once all of them are durable. On an error any part of them may be stored:
    /// the same ones are given again, and count once.
    fn insert<'a>(&'a self, rows: Rows<'a>) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl EventStore for Store {
    fn insert_rows_max(&self) -> usize {
        Self::insert_rows_max(self)
    }

    fn insert<'a>(&'a self, rows: Rows<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.insert_events(rows))
    }
}

/// The store stage.
pub struct StoreStage<S> {
    /// The store.
    pub store: S,
    /// Where dead letters go.
    pub appender: Arc<dyn Appender>,
    /// What is told of the stage.
    pub telemetry: Telemetry,
    /// Told when a group is stored.
    pub acknowledge: Acknowledge,
    /// How much is kept of a dead letter that the topic does not take whole.
    pub limits: PipelineConfig,
    /// Gives up; what is not stored comes again after the next start.
    pub abandon: CancellationToken,
}

impl<S: EventStore> StoreStage<S> {
    /// Stores batches until the channel closes.
    pub async fn run(self, mut batches: Receiver<Arc<Detected>>) {
        while let Some(first) = batches.recv().await {
            let mut rows = first.flow.events.len();
            let mut group = vec![first];
            let until = tokio::time::Instant::now() + LINGER;
            while rows < self.store.insert_rows_max()
                && let Ok(Some(next)) = tokio::time::timeout_at(until, batches.recv()).await
            {
                rows += next.flow.events.len();
                group.push(next);
            }
            let first_seq = group.first().map(|first| first.flow.order.first_seq);
            if sabotaged!(AcknowledgedBeforeStored) {
                self.acknowledge.send_modify(|acknowledged| acknowledged.stored = group.last().map_or(0, |last| last.next_seq()));
            }
            let span = tracing::debug_span!("store", first_seq, rows);
            if !async { self.insert(&group).await && self.bury(&group).await }.instrument(span).await {
                return;
            }
            if let Some(last) = group.last() {
                let next_seq = last.next_seq();
                self.acknowledge.send_modify(|acknowledged| acknowledged.stored = next_seq);
            }
        }
    }

    /// Inserts the events of a group; false when it was given up.
    async fn insert(&self, group: &[Arc<Detected>]) -> bool {
        let mut backoff = Backoff::new();
        loop {
            let started = Instant::now();
            let inserting = self.store.insert(Rows::new(group));
            // A store that hangs must not hold up a stop; the same rows again count once.
            let Some(inserted) = self.abandon.run_until_cancelled(inserting).await else { return false };
            self.telemetry.metrics.insert_seconds.with(["events"]).observe(started.elapsed().as_secs_f64());
            self.telemetry.latencies.record(Stage::Store, started.elapsed());
            match inserted {
                Ok(()) => {
                    let stored: usize = group.iter().map(|detected| detected.flow.stored()).sum();
                    self.telemetry.metrics.stored.inc_by(stored as u64);
                    self.telemetry.report(HealthId::StoreDown, "", None);
                    return true;
                }
                Err(_) if sabotaged!(FailedInsertIgnored) => return true,
                Err(error) => {
                    self.telemetry.metrics.insert_errors.with(["events"]).inc();
                    self.telemetry.report(HealthId::StoreDown, "", Some(&error.to_string()));
                }
            }
            if !backoff.wait(&self.abandon).await {
                return false;
            }
        }
    }

    /// Appends rejects to the dead-letter topic; false when it was given up. Records that the topic
    /// does not take whole are cut, as they must not stop what comes behind them.
    async fn bury(&self, group: &[Arc<Detected>]) -> bool {
        let mut backoff = Backoff::new();
        let (mut payload_bytes_max, cut_bytes_max) = (usize::MAX, self.limits.dead_letter_bytes_max);
        loop {
            let rejected = group.iter().flat_map(|detected| &detected.flow.rejected);
            let records: Vec<_> = rejected.map(|rejected| dead_letter(rejected, payload_bytes_max)).collect();
            if records.is_empty() || sabotaged!(DeadLettersForgotten) {
                return true;
            }
            // Nor must a topic that hangs.
            let appending = self.appender.append(DEAD_LETTER_TOPIC, records);
            let Some(appended) = self.abandon.run_until_cancelled(appending).await else { return false };
            match appended {
                Ok(()) => return true,
                Err(LogError::TooLarge(_)) if payload_bytes_max > cut_bytes_max => {
                    payload_bytes_max = cut_bytes_max;
                    continue;
                }
                Err(error) => tracing::warn!(%error, "dead letters cannot be written"),
            }
            if !backoff.wait(&self.abandon).await {
                return false;
            }
        }
    }
}

/// The rows of a group, encoded straight from its batches. A type of its own, since closures over
/// borrowed batches do not pass through the client's generic futures.
#[derive(Clone)]
pub struct Rows<'a> {
    group: std::slice::Iter<'a, Arc<Detected>>,
    flow: Option<&'a EventFlow>,
    event: usize,
    run: usize,
    left_in_run: u32,
}

impl<'a> Rows<'a> {
    fn new(group: &'a [Arc<Detected>]) -> Self {
        Self { group: group.iter(), flow: None, event: 0, run: 0, left_in_run: 0 }
    }

    /// The next row of the batch in hand.
    fn in_flow(&mut self) -> Option<EventRow<'a>> {
        let flow = self.flow?;
        while self.left_in_run == 0 {
            let events = *flow.events_by_run.get(self.run)?;
            // The canary's are nobody's to see.
            if flow.order.runs.get(self.run).is_some_and(|run| canary::is_own(&run.partition)) {
                self.event += events as usize;
            } else {
                self.left_in_run = events;
            }
            self.run += 1;
        }
        let event = flow.events.get(self.event)?;
        self.left_in_run -= 1;
        let run = (self.run - 1).saturating_sub(usize::from(sabotaged!(RowsOfTheWrongPartition)));
        let partition = &flow.order.runs.get(run)?.partition;
        let offset = *flow.offsets.get(self.event)?;
        self.event += 1;
        Some(EventRow::new(&event, Position { topic: &partition.topic, partition: partition.partition, offset }))
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = EventRow<'a>;

    fn next(&mut self) -> Option<EventRow<'a>> {
        loop {
            if let Some(row) = self.in_flow() {
                return Some(row);
            }
            let next: &'a Arc<Detected> = self.group.next()?;
            (self.flow, self.event, self.run, self.left_in_run) = (Some(&next.flow), 0, 0, 0);
        }
    }
}

/// The original bytes, with headers that say where they were read and what is wrong with them, and,
/// if they had to be cut, how many there were.
fn dead_letter(rejected: &Rejected, payload_bytes_max: usize) -> Outgoing {
    let whole = &rejected.payload;
    let kept = whole.get(..payload_bytes_max).unwrap_or(whole);
    let cut = (kept.len() < whole.len()).then(|| ("bytes", whole.len().to_string().into_bytes()));
    let mut record = Outgoing {
        key: String::new(),
        headers: vec![
            ("topic", rejected.partition.topic.as_bytes().to_vec()),
            ("partition", rejected.partition.partition.to_string().into_bytes()),
            ("offset", rejected.offset.to_string().into_bytes()),
            ("code", rejected.code.as_bytes().to_vec()),
            ("reason", rejected.reason.clone().into_bytes()),
        ],
        payload: kept.to_vec(),
    };
    record.headers.extend(cut);
    record
}

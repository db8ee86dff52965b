//! The store stage: events to ClickHouse, rejects to the dead-letter topic.
//!
//! What comes within a second is joined into one insert, up to its largest: a store wants few and
//! large ones, each costs it a part to write and to merge. A failed insert is repeated with the same rows until it
//! succeeds; the same rows twice count once, so a repetition is safe.

use super::detect::Detected;
use super::queue::Receiver;
use super::{Acknowledge, Backoff, PipelineConfig};
use crate::canary;
use crate::flow::Rejected;
use crate::log::{Appender, DEAD_LETTER_TOPIC, LogError, Outgoing};
use crate::store::{EventRow, Position, Store, StoreError};
use crate::telemetry::Telemetry;
use crate::telemetry::health::HealthId;
use crate::telemetry::latency::Stage;
use bartizan_core::Event;
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

/// The rows of a group in the order of their table, encoded straight from its batches: partitions come side by side, and
/// a store that gets rows in order need not move each column of them. A type of its own, since closures over borrowed
/// batches do not pass through the client's generic futures.
#[derive(Clone)]
pub struct Rows<'a> {
    group: &'a [Arc<Detected>],
    order: Arc<[At]>,
    next: usize,
}

/// Where the event of a row is: its time, its batch within the group, and its run and number within that.
#[derive(Clone, Copy)]
struct At {
    time_ms: i64,
    batch: u32,
    run: u32,
    event: u32,
}

impl<'a> Rows<'a> {
    fn new(group: &'a [Arc<Detected>]) -> Self {
        let mut order = Vec::with_capacity(group.iter().map(|detected| detected.flow.events.len()).sum());
        for (batch, Detected { flow, .. }) in group.iter().map(Arc::as_ref).enumerate() {
            let mut events = flow.events.iter().enumerate();
            for (run, count) in flow.events_by_run.iter().enumerate() {
                // The canary's are nobody's to see.
                let is_seen = flow.order.runs.get(run).is_some_and(|run| !canary::is_own(&run.partition));
                let of_run = events.by_ref().take(*count as usize).filter(|_| is_seen);
                order.extend(of_run.map(|(event, of)| At {
                    time_ms: of.time_ms(),
                    batch: batch as u32,
                    run: run as u32,
                    event: event as u32,
                }));
            }
        }
        let names = |at: &At| at.event_in(group).map(|event| (event.tenant(), event.id()));
        order.sort_by(|a: &At, b: &At| a.time_ms.cmp(&b.time_ms).then_with(|| names(a).cmp(&names(b))));
        Self { group, order: order.into(), next: 0 }
    }

    fn row(&self, at: At) -> Option<EventRow<'a>> {
        let flow = &self.group.get(at.batch as usize)?.flow;
        let run = (at.run as usize).saturating_sub(usize::from(sabotaged!(RowsOfTheWrongPartition)));
        let partition = &flow.order.runs.get(run)?.partition;
        let offset = *flow.offsets.get(at.event as usize)?;
        Some(EventRow::new(&at.event_in(self.group)?, Position { topic: &partition.topic, partition: partition.partition, offset }))
    }
}

impl At {
    fn event_in(self, group: &[Arc<Detected>]) -> Option<Event<'_>> {
        group.get(self.batch as usize)?.flow.events.get(self.event as usize)
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = EventRow<'a>;

    fn next(&mut self) -> Option<EventRow<'a>> {
        let at = *self.order.get(self.next)?;
        self.next += 1;
        self.row(at)
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

//! The read stage: keeps the source alive, merges partitions, hands on batches.
//!
//! The thread never blocks on the pipeline without polling the source, or a group's coordinator would
//! take its partitions away: when the next stage is full, all partitions are held and polling goes on.

use crate::clock::now_ms;
use crate::flow::{Order, Positions, RawBatch};
use crate::log::sequencer::{Event, Sequencer};
use crate::log::{LogError, Notice, Source};
use crate::telemetry::Telemetry;
use crate::telemetry::health::HealthId;
use crate::telemetry::latency::Stage;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

/// How long one call waits for news.
const FETCH_WAIT: Duration = Duration::from_millis(100);
/// How long a batch that is not full waits for more.
const LINGER: Duration = Duration::from_millis(20);
/// Wait between two looks at a full pipeline.
const FULL_WAIT: Duration = Duration::from_millis(5);
/// How long the source may be held before it is a condition that people are told of.
const HELD_TOLD: Duration = Duration::from_secs(30);

/// What the read stage hands on.
pub enum Piece {
    /// The next records.
    Batch(RawBatch),
    /// Make a checkpoint now: partitions were lost.
    Checkpoint,
}

/// What others see of the read stage.
#[derive(Debug, Default)]
pub struct Reading {
    /// All input partitions are held.
    pub assigned: AtomicBool,
}

/// The read stage.
pub struct Reader {
    source: Box<dyn Source>,
    sequencer: Sequencer,
    next: Sender<Piece>,
    telemetry: Telemetry,
    reading: Arc<Reading>,
    stop: CancellationToken,
    partial_since: Option<Instant>,
    /// When the first records came that were not handed on yet.
    fetched_at: Option<Instant>,
}

impl Reader {
    /// A read stage that goes on from `positions` and `next_seq`, through the recorded order first.
    pub fn new(source: Box<dyn Source>, start: (Positions, u64, Vec<Order>), next: Sender<Piece>, telemetry: Telemetry) -> Self {
        let (positions, next_seq, recorded) = start;
        let keeps_order = source.keeps_order();
        Self {
            sequencer: Sequencer::new(positions, next_seq, recorded, keeps_order),
            source,
            next,
            telemetry,
            reading: Arc::default(),
            stop: CancellationToken::new(),
            partial_since: None,
            fetched_at: None,
        }
    }

    /// Ends with `stop`.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// What others see.
    #[must_use]
    pub fn reading(&self) -> Arc<Reading> {
        Arc::clone(&self.reading)
    }

    /// Reads until stopped; then the channel closes and the stages behind it drain.
    pub fn run(mut self) {
        self.source.resume_at(&self.sequencer.start());
        while !self.stop.is_cancelled() {
            let wait = self.partial_since.map_or(FETCH_WAIT, |since| LINGER.saturating_sub(since.elapsed()));
            if !self.fetch(wait) {
                return;
            }
            if self.sequencer.is_partial() && self.partial_since.get_or_insert_with(Instant::now).elapsed() < LINGER {
                continue;
            }
            self.partial_since = None;
            while let Some(batch) = self.sequencer.next(now_ms()) {
                if let Some(fetched_at) = self.fetched_at.take() {
                    self.telemetry.latencies.record(Stage::Fetch, fetched_at.elapsed());
                }
                if !self.hand_on(Piece::Batch(batch)) {
                    return;
                }
            }
        }
    }

    /// Takes what the source tells; false when the pipeline is gone.
    fn fetch(&mut self, wait: Duration) -> bool {
        let mut notices = Vec::new();
        match self.source.fetch(wait, &mut notices) {
            Ok(()) => self.telemetry.report(HealthId::BrokerDown, "", None),
            Err(error) => {
                self.telemetry.report(HealthId::BrokerDown, "", Some(&error.to_string()));
                if matches!(error, LogError::Fatal(_)) {
                    tracing::error!(%error, "log cannot be read");
                }
                // A source that fails at once must not spin.
                std::thread::park_timeout(FULL_WAIT);
            }
        }
        let mut lost = false;
        for notice in notices {
            lost |= self.accept(notice);
        }
        if let Err(error) = self.source.hold(&self.sequencer.full()) {
            tracing::warn!(%error, "partitions cannot be held");
        }
        !lost || self.hand_on(Piece::Checkpoint)
    }

    /// Takes one notice; true if partitions were lost.
    fn accept(&mut self, notice: Notice) -> bool {
        if matches!(notice, Notice::Records(..)) {
            self.fetched_at.get_or_insert_with(Instant::now);
        }
        match self.sequencer.accept(notice) {
            None => false,
            Some(Event::Ready) => {
                self.reading.assigned.store(true, Ordering::Release);
                self.telemetry.report(HealthId::PartitionsLost, "", None);
                tracing::info!("all partitions assigned");
                false
            }
            Some(Event::Lost(partitions)) => {
                self.reading.assigned.store(false, Ordering::Release);
                self.source.resume_at(&self.sequencer.start());
                let names: Vec<_> = partitions.iter().take(10).map(ToString::to_string).collect();
                self.telemetry.report(HealthId::PartitionsLost, "", Some(&format!("{} not held: {}", partitions.len(), names.join(", "))));
                true
            }
            Some(Event::Gone(partition, from, to)) => {
                self.telemetry.report(
                    HealthId::PositionsLost,
                    "",
                    Some(&format!("{partition}: offsets {from} to {to} are no longer in the log")),
                );
                false
            }
        }
    }

    /// Hands a piece on, polling the source while the next stage is full; false when it is gone.
    fn hand_on(&mut self, piece: Piece) -> bool {
        let mut piece = piece;
        let mut since = None;
        loop {
            // On a full disk what is in hand waits like behind a full queue.
            let disk_full = self.telemetry.health.is_disk_full();
            let sent = if disk_full { Err(TrySendError::Full(piece)) } else { self.next.try_send(piece) };
            match sent {
                Ok(()) => break,
                Err(TrySendError::Closed(_)) => return false,
                Err(TrySendError::Full(back)) => piece = back,
            }
            let held = since.get_or_insert_with(Instant::now).elapsed();
            if held > HELD_TOLD {
                self.telemetry.report(
                    HealthId::SourcePaused,
                    "",
                    Some(if disk_full { "the disk is full" } else { "the pipeline is slower than the log" }),
                );
            }
            // While a stop waits for the pipeline to drain, the batch in hand waits for the next start.
            if self.stop.is_cancelled() {
                return false;
            }
            let held: BTreeSet<_> = self.sequencer.partitions();
            let mut notices = Vec::new();
            let polled = self.source.hold(&held).and_then(|()| self.source.fetch(FULL_WAIT, &mut notices));
            if let Err(error) = polled {
                tracing::debug!(%error, "polling while held failed");
            }
            for notice in notices {
                self.accept(notice);
            }
        }
        if since.is_some() {
            self.telemetry.report(HealthId::SourcePaused, "", None);
        }
        true
    }
}

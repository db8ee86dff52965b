//! The read stage: keeps the source alive, merges partitions, hands on batches.
//!
//! It goes by turns: one look at the source, then what can be handed on. So it never waits for the
//! pipeline without polling the source, or a group's coordinator would take its partitions away: when
//! the next stage is full, the piece in hand waits, all partitions are held, and the turns go on.

use crate::clock::Clock;
use crate::detect::closings::Closings;
use crate::enrich::Enricher;
use crate::flow::{Change, RawBatch, Start};
use crate::log::sequencer::{Event, Limits, Sequencer};
use crate::log::{LogError, Notice, Source};
use crate::suppress::Lists;
use crate::teach::Lessons;
use crate::telemetry::Telemetry;
use crate::telemetry::health::HealthId;
use crate::telemetry::latency::Stage;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long one call waits for news.
const FETCH_WAIT: Duration = Duration::from_millis(100);
/// How long a batch that is not full waits for more.
const LINGER: Duration = Duration::from_millis(20);
/// Wait between two looks at a full pipeline.
const FULL_WAIT: Duration = Duration::from_millis(5);
/// How long the others wait for a partition with a backlog that has nothing to hand on.
const BEHIND_WAIT: Duration = Duration::from_secs(2);
/// Nothing for so long is quiet.
const QUIET: Duration = Duration::from_secs(10);
/// How long the source may be held before it is a condition that people are told of.
const HELD_TOLD: Duration = Duration::from_secs(30);

/// What the read stage hands on.
pub enum Piece {
    /// The next records.
    Batch(RawBatch),
    /// Make a checkpoint now: partitions were lost.
    Checkpoint,
    /// Nothing came for a while: time for a checkpoint, if one is due.
    Quiet,
}

/// What others see of the read stage.
#[derive(Debug, Default)]
pub struct Reading {
    /// All input partitions are held.
    pub assigned: AtomicBool,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Take the next one.
    GoOn,
    /// The source failed: take the next one, but not at once.
    Failed,
    /// Stopped, or the pipeline is gone.
    Over,
}

/// What else than records changes findings, as people and files have it at the moment.
pub struct Changing {
    /// Place files.
    pub places: Arc<Enricher>,
    /// Suppressions.
    pub suppressions: Arc<Lists>,
    /// What people taught.
    pub lessons: Arc<Lessons>,
    /// Breakers that people closed.
    pub closings: Arc<Closings>,
}

/// The read stage.
pub struct Reader {
    source: Box<dyn Source>,
    sequencer: Sequencer,
    next: Sender<Piece>,
    telemetry: Telemetry,
    clock: Clock,
    /// What may change while it reads, which becomes part of the order.
    changing: Option<Changing>,
    reading: Arc<Reading>,
    stop: CancellationToken,
    /// What the next stage had no room for, and since when.
    in_hand: Option<(Piece, Instant)>,
    /// Partitions were lost: after the piece in hand comes a checkpoint.
    lost: bool,
    partial_since: Option<Instant>,
    /// Since when the others wait for a partition with a backlog. It stays when they wait no longer, until that
    /// partition goes on, so that one which is stuck holds them up once.
    behind_since: Option<Instant>,
    /// When something was handed on last.
    handed_on: Instant,
    /// When the first records came that were not handed on yet.
    fetched_at: Option<Instant>,
}

impl Reader {
    /// A read stage that goes on from `start`, through the recorded order first.
    pub fn new(mut source: Box<dyn Source>, start: Start, next: Sender<Piece>, telemetry: Telemetry) -> Self {
        let sequencer = Sequencer::new(start, source.keeps_order());
        source.resume_at(&sequencer.start());
        Self {
            sequencer,
            source,
            next,
            telemetry,
            clock: Clock::system(),
            changing: None,
            reading: Arc::default(),
            stop: CancellationToken::new(),
            in_hand: None,
            lost: false,
            partial_since: None,
            behind_since: None,
            handed_on: Instant::now(),
            fetched_at: None,
        }
    }

    /// Ends with `stop`.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Takes the arrival of records from `clock`.
    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Puts into the order when other place files or suppressions count, what is learnt, and when people close breakers.
    #[must_use]
    pub fn with_changes_of(self, changing: Changing) -> Self {
        let sequencer = self.sequencer.since(self.clock.now_ms());
        Self { changing: Some(changing), sequencer, ..self }
    }

    /// Holds no more than `limits`.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { sequencer: self.sequencer.within(limits), ..self }
    }

    /// What others see.
    #[must_use]
    pub fn reading(&self) -> Arc<Reading> {
        Arc::clone(&self.reading)
    }

    /// Reads until stopped; then the channel closes and the stages behind it drain. A batch in hand
    /// waits for the next start then.
    pub fn run(mut self) {
        loop {
            match self.turn() {
                Turn::GoOn => {}
                Turn::Failed => std::thread::park_timeout(FULL_WAIT),
                Turn::Over => return,
            }
        }
    }

    /// Looks at the source once, and hands on what there is room for.
    pub fn turn(&mut self) -> Turn {
        if self.stop.is_cancelled() {
            return Turn::Over;
        }
        let looked = self.look();
        while let Some(piece) = self.next_piece() {
            match self.hand_on(piece) {
                Some(true) => {}
                Some(false) => break,
                None => return Turn::Over,
            }
        }
        looked
    }

    /// Takes what the source tells.
    fn look(&mut self) -> Turn {
        let full = if sabotaged!(HoldIgnored) {
            BTreeSet::new()
        } else if self.in_hand.is_some() {
            self.sequencer.partitions()
        } else {
            self.sequencer.full()
        };
        if let Err(error) = self.source.hold(&full) {
            tracing::warn!(%error, "partitions cannot be held");
        }
        let wait = match (&self.in_hand, self.partial_since) {
            (Some(_), _) => FULL_WAIT,
            (None, Some(since)) => LINGER.saturating_sub(since.elapsed()),
            (None, None) => FETCH_WAIT,
        };
        let mut notices = Vec::new();
        let looked = match self.source.fetch(wait, &mut notices) {
            Ok(()) => {
                self.telemetry.report(HealthId::BrokerDown, "", None);
                Turn::GoOn
            }
            Err(error) => {
                self.telemetry.report(HealthId::BrokerDown, "", Some(&error.to_string()));
                if matches!(error, LogError::Fatal(_)) {
                    tracing::error!(%error, "log cannot be read");
                }
                Turn::Failed
            }
        };
        notices.into_iter().for_each(|notice| self.accept(notice));
        looked
    }

    fn accept(&mut self, notice: Notice) {
        if matches!(notice, Notice::Records(..)) {
            self.fetched_at.get_or_insert_with(Instant::now);
        }
        match self.sequencer.accept(notice) {
            None => {}
            Some(Event::Ready) => {
                self.reading.assigned.store(true, Ordering::Release);
                self.telemetry.report(HealthId::PartitionsLost, "", None);
                tracing::info!("all partitions assigned");
            }
            Some(Event::Lost(partitions)) => {
                self.lost = true;
                self.reading.assigned.store(false, Ordering::Release);
                if !sabotaged!(ResumedAtTheStart) {
                    self.source.resume_at(&self.sequencer.start());
                }
                let names: Vec<_> = partitions.iter().take(10).map(ToString::to_string).collect();
                self.telemetry.report(HealthId::PartitionsLost, "", Some(&format!("{} not held: {}", partitions.len(), names.join(", "))));
            }
            Some(Event::Gone(partition, from, to)) => {
                self.telemetry.report(
                    HealthId::PositionsLost,
                    "",
                    Some(&format!("{partition}: offsets {from} to {to} are no longer in the log")),
                );
            }
        }
    }

    /// What comes next: the piece in hand, the checkpoint that a loss asks for, or a batch, which waits a
    /// little for more if it is not full.
    fn next_piece(&mut self) -> Option<(Piece, Option<Instant>)> {
        if let Some((piece, since)) = self.in_hand.take() {
            return Some((piece, Some(since)));
        }
        if std::mem::take(&mut self.lost) {
            return Some((Piece::Checkpoint, None));
        }
        if self.waits_for_backlog() {
            return None;
        }
        if self.sequencer.is_partial() && self.partial_since.get_or_insert_with(Instant::now).elapsed() < LINGER {
            return None;
        }
        self.partial_since = None;
        if let Some(Changing { places, suppressions, lessons, closings }) = &self.changing {
            self.sequencer.announce(&Change::Places(Arc::clone(places.places().version_shared())));
            self.sequencer.announce(&Change::Suppressions(suppressions.newest()));
            self.sequencer.announce(&Change::Lessons(lessons.newest()));
            let closings = closings.latest();
            if !closings.is_empty() {
                self.sequencer.announce(&Change::BreakersClosed(closings));
            }
        }
        let Some(batch) = self.sequencer.next(self.clock.now_ms()) else {
            return (self.handed_on.elapsed() >= QUIET).then_some((Piece::Quiet, None));
        };
        if let Some(fetched_at) = self.fetched_at.take() {
            self.telemetry.latencies.record(Stage::Fetch, fetched_at.elapsed());
        }
        Some((Piece::Batch(batch), None))
    }

    /// Have the others to wait for a partition that is behind?
    fn waits_for_backlog(&mut self) -> bool {
        if !self.sequencer.awaits(self.source.behind()) {
            self.behind_since = None;
            return false;
        }
        let waits = self.behind_since.get_or_insert_with(Instant::now).elapsed() < BEHIND_WAIT;
        if !waits {
            self.sequencer.awaits(BTreeSet::new());
        }
        waits
    }

    /// Hands a piece on, or keeps it in hand where there is no room (`Some(false)`). `None`: the pipeline
    /// is gone.
    fn hand_on(&mut self, (piece, since): (Piece, Option<Instant>)) -> Option<bool> {
        // On a full disk what is in hand waits like behind a full queue.
        let disk_full = self.telemetry.health.is_disk_full();
        let sent = if disk_full { Err(TrySendError::Full(piece)) } else { self.next.try_send(piece) };
        match sent {
            Ok(()) => {
                self.handed_on = Instant::now();
                if since.is_some() {
                    self.telemetry.report(HealthId::SourcePaused, "", None);
                }
                Some(true)
            }
            Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(piece)) => {
                let since = since.unwrap_or_else(Instant::now);
                if since.elapsed() > HELD_TOLD {
                    let reason = if disk_full { "the disk is full" } else { "the pipeline is slower than the log" };
                    self.telemetry.report(HealthId::SourcePaused, "", Some(reason));
                }
                self.in_hand = Some((piece, since));
                Some(false)
            }
        }
    }
}

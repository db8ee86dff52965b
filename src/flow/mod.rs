//! What moves through the pipeline: positions, raw batches, event batches.
//!
//! Work moves in batches from end to end. A [`RawBatch`] is a piece of the recorded order: records as
//! they came, in runs of one partition each. `normalise` turns it into an [`EventFlow`], the engine
//! adds findings, and the commit stage acknowledges it; the positions travel with the batch, so
//! nothing is committed that was not acknowledged.

use crate::canary;
use crate::detect::breaker::Closing;
use crate::suppress::Suppressions;
use bartizan_core::EventBatch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One partition of one topic of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// Topic.
    pub topic: Arc<str>,
    /// Number of the partition.
    pub partition: i32,
}

impl PartitionId {
    /// The partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: Arc::from(topic), partition }
    }
}

impl std::fmt::Display for PartitionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The next offset to read of each partition.
pub type Positions = BTreeMap<PartitionId, i64>;

/// Consecutive records of one partition within the recorded order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The partition.
    pub partition: PartitionId,
    /// Offset of the first record.
    pub first: i64,
    /// Offset after the last record.
    pub next: i64,
    /// Records in the run; fewer than `next - first` where the log has gaps.
    pub records: u32,
}

/// What else than records changes findings, as of a place in the recorded order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// From here on addresses are looked up in the place files of this [version](crate::enrich::Places::version).
    Places(Arc<str>),
    /// From here on this version of the list of [suppressions](crate::suppress) counts.
    Suppressions(u64),
    /// From here on everything up to this version of the list of [lessons](crate::teach) is learnt.
    Lessons(u64),
    /// From here on these [breakers](crate::detect::breaker) are closed. It holds the newest closing of each, also those
    /// that took effect before: of several changes between two batches only the last one counts.
    BreakersClosed(Arc<[Closing]>),
}

impl Change {
    /// Is it about the same as another one, so that the later of both counts?
    #[must_use]
    pub fn is_of_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Puts it in force among others.
    pub fn put_in_force(&self, in_force: &mut Vec<Self>) {
        match in_force.iter_mut().find(|other| other.is_of_kind(self)) {
            Some(before) => before.clone_from(self),
            None => in_force.push(self.clone()),
        }
    }
}

/// One entry of the recorded order: what was read next, and what became known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Sequence number of the first record, and of the entry.
    pub first_seq: u64,
    /// When these records arrived, in milliseconds since 1970.
    pub arrival_ms: i64,
    /// Partitions that were assigned before these records.
    pub assigned: Vec<PartitionId>,
    /// The records.
    pub runs: Vec<Run>,
    /// Partitions that were found read to their end after these records.
    pub idle: Vec<PartitionId>,
    /// What changed before these records.
    pub changes: Vec<Change>,
}

/// Where the order goes on after a start.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The next offset of each partition.
    pub positions: Positions,
    /// Sequence number of the next record.
    pub next_seq: u64,
    /// The changes that are in force there.
    pub in_force: Vec<Change>,
    /// The entries recorded since. Of a log that is its own order those with changes alone, by arrival.
    pub recorded: Vec<Order>,
}

impl Order {
    /// Records in all runs.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.records)).sum()
    }

    /// The same without the canary's.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.runs.iter().filter(|run| !canary::is_own(&run.partition)).map(|run| u64::from(run.records)).sum()
    }

    /// Are there events of the canary among them?
    #[must_use]
    pub fn has_canary(&self) -> bool {
        self.runs.iter().any(|run| canary::is_own(&run.partition))
    }

    /// Sequence number of the next entry. An entry without records takes a number, too: each has its
    /// own, under which it is recorded.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.records().max(1)
    }

    /// Moves `positions` past these records.
    pub fn advance(&self, positions: &mut Positions) {
        for run in &self.runs {
            positions.insert(run.partition.clone(), run.next + i64::from(sabotaged!(PositionsOffByOne)));
        }
    }
}

/// Where one record's bytes lie in its batch.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord {
    /// Offset in its partition.
    pub offset: i64,
    start: usize,
    len: usize,
}

/// Records as they came, in recorded order.
#[derive(Clone, Debug, Default)]
pub struct RawBatch {
    /// Which records these are.
    pub order: Order,
    bytes: Vec<u8>,
    records: Vec<RawRecord>,
}

impl RawBatch {
    /// Adds a record; the caller keeps `order.runs` in step.
    pub fn push(&mut self, offset: i64, payload: &[u8]) {
        self.records.push(RawRecord { offset, start: self.bytes.len(), len: payload.len() });
        self.bytes.extend_from_slice(payload);
    }

    /// Adds a record of `partition` and extends or opens its run.
    pub fn push_run(&mut self, partition: &PartitionId, offset: i64, payload: &[u8]) {
        match self.order.runs.last_mut() {
            Some(run) if run.partition == *partition => {
                run.next = offset + 1;
                run.records += 1;
            }
            _ => self.order.runs.push(Run { partition: partition.clone(), first: offset, next: offset + 1, records: 1 }),
        }
        self.push(offset, payload);
    }

    /// Records in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Neither records nor news of partitions?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.order.idle.is_empty() && self.order.assigned.is_empty()
    }

    /// Bytes of all records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Each record with its partition, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&PartitionId, i64, &[u8])> {
        let partitions = self.order.runs.iter().flat_map(|run| std::iter::repeat_n(&run.partition, run.records as usize));
        partitions.zip(&self.records).map(|(partition, record)| {
            (partition, record.offset, self.bytes.get(record.start..record.start + record.len).unwrap_or_default())
        })
    }
}

/// A record that broke a rule, on its way to the dead-letter topic.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Where it was read.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: i64,
    /// Class of the reason, for metrics.
    pub code: &'static str,
    /// Why, for people.
    pub reason: String,
    /// The original bytes.
    pub payload: Vec<u8>,
}

/// Normalised events of one batch with what the later stages need to know of their origin.
#[derive(Clone, Debug, Default)]
pub struct EventFlow {
    /// Which records these come from.
    pub order: Order,
    /// The events, with `seq` and `arrival_ms` set.
    pub events: EventBatch,
    /// For each run of the order, how many events it became.
    pub events_by_run: Vec<u32>,
    /// Offset of each event in its partition.
    pub offsets: Vec<i64>,
    /// What broke a rule.
    pub rejected: Vec<Rejected>,
    /// Records that hold nothing for us.
    pub ignored: u64,
    /// The suppressions that count from here on, where the order says so.
    pub suppressions: Option<Arc<Suppressions>>,
    /// The events of the lessons that are learnt before these events, where the order says so.
    pub lessons: EventBatch,
}

impl EventFlow {
    /// Events that are stored: all but the canary's.
    #[must_use]
    pub fn stored(&self) -> usize {
        let runs = self.order.runs.iter().zip(&self.events_by_run);
        runs.filter(|(run, _)| !canary::is_own(&run.partition)).map(|(_, events)| *events as usize).sum()
    }

    /// Events of files as a piece of the recorded order: one partition, arrival = event time.
    #[must_use]
    pub fn replayed(mut events: EventBatch, first_seq: u64) -> Self {
        let records = events.len() as u32;
        for (seq, record) in (first_seq..).zip(events.records_mut()) {
            record.seq = seq;
        }
        let (first, next) = (first_seq as i64, first_seq as i64 + i64::from(records));
        let run = Run { partition: PartitionId::new("replay", 0), first, next, records };
        Self {
            order: Order { first_seq, runs: vec![run], ..Order::default() },
            offsets: (first..next).collect(),
            events,
            events_by_run: vec![records],
            ..Self::default()
        }
    }
}

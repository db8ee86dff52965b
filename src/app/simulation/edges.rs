//! The fakes at the daemon's edges: a log in partitions, a store, topics, channels.

use super::plan::Edge;
use super::world::{Receipt, Share, Step, World};
use crate::db::outbox::Message;
use crate::flow::{PartitionId, Positions};
use crate::log::journal::JournalSource;
use crate::log::sequencer::Limits;
use crate::log::{Appender, Appending, Committer, Fetched, INGEST_TOPIC, LogError, Notice, Outgoing, Source};
use crate::notify::{Channel, Outcome};
use crate::pipeline::store::{EventStore, Rows};
use crate::respond::Answer;
use crate::respond::config::CHANNEL_PREFIX;
use crate::store::{ErrorClass, StoreError};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a record that a topic takes.
const TOPIC_RECORD_BYTES_MAX: usize = 280 << 10;
/// A record counts for no more than this where waiting bytes are counted.
pub(super) const COUNTED_BYTES_MAX: usize = 500;

/// Waiting bytes of a partition at which nothing more may be asked for: a buffer, and the batches on
/// their way to the order.
fn waiting_bytes_max(limits: Limits) -> usize {
    limits.buffer_bytes_max + 3 * (limits.batch_bytes_max + COUNTED_BYTES_MAX)
}

/// Partitions of a group, as the source of Kafka shows them.
pub(super) struct Partitions {
    world: Arc<World>,
    start: Positions,
    /// Next offset of each partition, while they are held.
    next: Option<BTreeMap<PartitionId, i64>>,
    held: BTreeSet<PartitionId>,
    ended: BTreeSet<PartitionId>,
    assigned_at_ms: i64,
}

impl Partitions {
    pub(super) fn new(world: &Arc<World>) -> Self {
        let assigned_at_ms = {
            let mut state = world.lock();
            let wait = state.dice.between(0, 3_000);
            state.now_ms() + wait
        };
        Self {
            world: Arc::clone(world),
            start: Positions::new(),
            next: None,
            held: BTreeSet::new(),
            ended: BTreeSet::new(),
            assigned_at_ms,
        }
    }
}

impl Source for Partitions {
    fn fetch(&mut self, timeout: Duration, notices: &mut Vec<Notice>) -> Result<(), LogError> {
        let mut state = self.world.lock();
        state.asked = timeout;
        if state.is_out(Edge::Log) {
            return Err(LogError::Retry("no broker answers".to_owned()));
        }
        let now_ms = state.now_ms();
        let Some(next) = &mut self.next else {
            if now_ms < self.assigned_at_ms {
                return Ok(());
            }
            let partitions: Vec<_> = state.log.keys().cloned().collect();
            let wanted = |id: &PartitionId| self.start.get(id).copied();
            let positions: Positions = partitions.iter().map(|id| (id.clone(), wanted(id).unwrap_or(-1))).collect();
            let committed = |id: &PartitionId| state.committed.get(id).copied().unwrap_or(0);
            self.next = Some(partitions.iter().map(|id| (id.clone(), wanted(id).unwrap_or_else(|| committed(id)))).collect());
            for id in &partitions {
                let end = state.end_of(id);
                if let Some(wanted) = wanted(id).filter(|wanted| *wanted > end) {
                    notices.push(Notice::Gone(id.clone(), wanted, end));
                }
            }
            self.held = partitions.into_iter().collect();
            self.ended.clear();
            state.note(|| format!("assigned at {positions:?}"));
            notices.insert(0, Notice::Assigned(positions));
            return Ok(());
        };
        let rebalances = if state.calm { 0.0 } else { state.plan.rebalances };
        if state.dice.chance(rebalances) {
            let lost: Vec<_> = next.keys().take(1).cloned().collect();
            state.note(|| format!("lost {lost:?}"));
            notices.push(Notice::Lost(lost));
            self.next = None;
            self.assigned_at_ms = now_ms + state.dice.between(0, 5_000);
            state.buffered.clear();
            return Ok(());
        }
        for (id, next) in next.iter_mut().filter(|(id, _)| !self.held.contains(*id)) {
            let most = state.plan.chunk_max;
            let most = state.dice.between(0, most) as usize;
            let come = state.log.get(id).into_iter().flatten().filter(|record| record.offset >= *next && record.at_ms <= now_ms);
            let fetch = |record: &super::world::Record| Fetched {
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                payload: record.text.clone(),
            };
            let records: Vec<_> = come.take(most).map(fetch).collect();
            if let Some(last) = records.last() {
                *next = last.offset + 1;
                self.ended.remove(id);
                let bytes: usize = records.iter().map(|record| record.payload.len().min(COUNTED_BYTES_MAX)).sum();
                let waiting = state.buffered.entry(id.clone()).or_default();
                let before = std::mem::replace(waiting, *waiting + bytes);
                if before > waiting_bytes_max(state.plan.limits) {
                    state.violations.push(format!("{id}: {before} bytes wait to be put in order, and more are asked for"));
                }
                notices.push(Notice::Records(id.clone(), records));
            }
            if *next >= state.end_of(id) && self.ended.insert(id.clone()) {
                let end = *next;
                state.ends.entry(id.clone()).or_default().insert(end);
                notices.push(Notice::End(id.clone()));
            }
        }
        Ok(())
    }

    fn behind(&self) -> BTreeSet<PartitionId> {
        let state = self.world.lock();
        let now_ms = state.now_ms();
        let holds_more = |(id, next): &(&PartitionId, &i64)| {
            state.log.get(*id).is_some_and(|records| records.iter().any(|record| record.offset >= **next && record.at_ms <= now_ms))
        };
        self.next.iter().flatten().filter(holds_more).map(|(id, _)| id.clone()).collect()
    }

    fn hold(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), LogError> {
        self.held.clone_from(partitions);
        Ok(())
    }

    fn resume_at(&mut self, positions: &Positions) {
        self.start.clone_from(positions);
    }

    fn keeps_order(&self) -> bool {
        false
    }
}

/// Where the offsets of [`Partitions`] are committed.
pub(super) struct Offsets {
    pub world: Arc<World>,
    /// Positions of the newest checkpoint that would survive now.
    pub durable: Box<dyn Fn() -> Positions + Send + Sync>,
}

impl Committer for Offsets {
    fn commit(&self, newest: &Positions, _oldest: &Positions) -> Result<(), LogError> {
        let step = self.world.step(|| format!("offsets {newest:?}"));
        if step == Step::Dead {
            return Err(LogError::Retry("dead".to_owned()));
        }
        let durable = (self.durable)();
        let mut state = self.world.lock();
        let trouble = state.trouble();
        if state.dice.chance(trouble) {
            return Err(LogError::Retry("the coordinator does not answer".to_owned()));
        }
        for (id, offset) in newest {
            if durable.get(id).is_none_or(|durable| durable < offset) {
                state.violations.push(format!("{id}: offset {offset} is committed, the durable checkpoint says {:?}", durable.get(id)));
            }
        }
        state.committed.extend(newest.iter().map(|(id, offset)| (id.clone(), *offset)));
        Ok(())
    }

    fn ends(&self) -> Positions {
        let state = self.world.lock();
        state.log.keys().map(|id| (id.clone(), state.end_of(id))).collect()
    }
}

/// The journal's source, which waits in virtual time.
pub(super) struct Stepped {
    pub world: Arc<World>,
    /// Offset after the last record that it gave.
    pub next: i64,
    pub inner: JournalSource,
}

impl Source for Stepped {
    fn fetch(&mut self, timeout: Duration, notices: &mut Vec<Notice>) -> Result<(), LogError> {
        {
            let mut state = self.world.lock();
            state.asked = timeout;
            if state.is_out(Edge::Log) {
                return Err(LogError::Retry("the disk does not answer".to_owned()));
            }
        }
        let fetched = self.inner.fetch(Duration::ZERO, notices);
        for notice in notices {
            match notice {
                Notice::Assigned(positions) => self.next = positions.get(&PartitionId::new(INGEST_TOPIC, 0)).copied().unwrap_or(0),
                Notice::Records(_, records) => self.next = records.last().map_or(self.next, |last| last.offset + 1),
                Notice::End(id) => self.world.lock().ends.entry(id.clone()).or_default().extend([self.next]),
                _ => {}
            }
        }
        fetched
    }

    fn hold(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), LogError> {
        self.inner.hold(partitions)
    }

    fn resume_at(&mut self, positions: &Positions) {
        self.inner.resume_at(positions);
    }

    fn keeps_order(&self) -> bool {
        self.inner.keeps_order()
    }
}

/// The journal's committer, which may die.
pub(super) struct Cuts {
    pub world: Arc<World>,
    pub inner: Arc<dyn Committer>,
}

impl Committer for Cuts {
    fn commit(&self, newest: &Positions, oldest: &Positions) -> Result<(), LogError> {
        match self.world.step(|| format!("cut {oldest:?}")) {
            Step::Dead => Err(LogError::Retry("dead".to_owned())),
            Step::Done | Step::Last => self.inner.commit(newest, oldest),
        }
    }

    fn ends(&self) -> Positions {
        self.inner.ends()
    }

    fn is_full(&self) -> bool {
        self.inner.is_full()
    }
}

/// Topics of a Kafka.
pub(super) struct Topics(pub Arc<World>);

impl Appender for Topics {
    fn append<'a>(&'a self, topic: &'a str, records: Vec<Outgoing>) -> Appending<'a> {
        Box::pin(async move {
            if records.iter().any(|record| record.payload.len() > TOPIC_RECORD_BYTES_MAX) {
                return Err(LogError::TooLarge("too large for the topic".to_owned()));
            }
            let what = || format!("append {} to {topic}", records.len());
            let effect = |state: &mut super::world::State, share| {
                let count = if share == Share::Part { records.len() / 2 } else { records.len() };
                state.topics.entry(topic.to_owned()).or_default().extend(records.iter().take(count).cloned());
            };
            self.0.request(Edge::Topics, what, effect).await.map_err(LogError::Retry)
        })
    }
}

/// A store that keeps one row for each identity, as ClickHouse does in the end.
#[derive(Clone)]
pub(super) struct Tables(pub Arc<World>);

impl EventStore for Tables {
    fn insert_rows_max(&self) -> usize {
        80_000
    }

    fn insert<'a>(&'a self, rows: Rows<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        let row = |row: crate::store::EventRow<'_>| {
            let key = (row.tenant.to_owned(), row.id.to_owned(), row.time);
            (key, (row.topic.to_owned(), row.partition, row.offset))
        };
        let rows: Vec<_> = rows.map(row).collect();
        Box::pin(async move {
            let what = || format!("insert {} rows", rows.len());
            let effect = |state: &mut super::world::State, share| {
                let count = if share == Share::Part { rows.len() / 2 } else { rows.len() };
                for (key, at) in rows.iter().take(count) {
                    state.rows.entry(key.clone()).or_default().insert(at.clone());
                }
            };
            let inserted = self.0.request(Edge::Store, what, effect).await;
            inserted.map_err(|error| StoreError::new(ErrorClass::Retry, "insert events", error))
        })
    }
}

/// A receiver that notes what it gets.
pub(super) struct Receiver {
    pub name: String,
    pub world: Arc<World>,
}

impl Channel for Receiver {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> String {
        self.name.clone()
    }

    fn acts(&self) -> bool {
        self.name.starts_with(CHANNEL_PREFIX)
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let what = || format!("{} gets {} {} v{} {}", self.name, message.kind, message.about, message.version, message.message_id);
            let effect = |state: &mut super::world::State, share| {
                if share == Share::Whole {
                    state.receipts.push(Receipt {
                        channel: self.name.clone(),
                        message_id: message.message_id.clone(),
                        kind: message.kind.clone(),
                        about: message.about.clone(),
                        version: message.version,
                        body: message.body.clone(),
                    });
                }
            };
            match self.world.request(Edge::Channels, what, effect).await {
                Ok(()) if message.is_order() => Outcome::Answered(Answer::Taken),
                Ok(()) => Outcome::Delivered(None),
                Err(error) => {
                    let mut state = self.world.lock();
                    let after = state.dice.chance(0.2).then(|| Duration::from_secs(state.dice.between(1, 20) as u64));
                    Outcome::Retry { error, after }
                }
            }
        })
    }
}

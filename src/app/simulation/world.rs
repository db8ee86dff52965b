//! What outlives a daemon: the log's records, the store's rows, what receivers got, and the time.
//!
//! Everything that leaves the daemon passes [`World::step`], which can be the step at which it dies:
//! from then on nothing has an effect any more, and whether this last one had is left to chance.

use super::edges::COUNTED_BYTES_MAX;
use super::plan::{Edge, Plan};
use super::traffic::EPOCH_MS;
use crate::clock::Clock;
use crate::flow::{Order, PartitionId, Positions, RawBatch};
use crate::log::Outgoing;
use crate::simulate::dice::Dice;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A record as it lies in the log.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub offset: i64,
    pub at_ms: i64,
    pub timestamp_ms: i64,
    pub text: Vec<u8>,
}

/// What a receiver got, each time it got it.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub channel: String,
    pub message_id: String,
    pub kind: String,
    pub about: String,
    pub version: u32,
    pub body: String,
}

/// The identity of an event: tenant, id, time.
pub(super) type Key = (String, String, i64);
/// Where a row says that its event was read.
pub(super) type At = (String, i32, i64);

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    /// It was the last one, and has its effect.
    Last,
    /// It has no effect.
    Dead,
}

/// How much of an effect takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Whole,
    Part,
}

pub(super) struct State {
    pub plan: Plan,
    pub dice: Dice,
    /// Nothing goes wrong any more.
    pub calm: bool,
    alive: bool,
    steps_left: Option<u32>,
    before_ms: i64,
    began: Option<Instant>,
    trace: DefaultHasher,
    told: bool,

    pub log: BTreeMap<PartitionId, Vec<Record>>,
    pub committed: Positions,
    /// Wait that the source was last asked for.
    pub asked: Duration,
    /// Bytes that the source gave out and that have not passed into the order yet, by partition.
    pub buffered: BTreeMap<PartitionId, usize>,
    /// Offsets at which partitions were told to be read to their end.
    pub ends: BTreeMap<PartitionId, BTreeSet<i64>>,
    /// The order that stands: by sequence number.
    pub order: BTreeMap<u64, RawBatch>,
    /// What stood once, by sequence number: a later life may repeat it.
    pub former: BTreeMap<u64, Order>,
    /// The next offsets after it; unknown until the first batch of a life.
    pub reached: Option<Positions>,
    /// Lines that the journal has taken.
    pub accepted: BTreeSet<usize>,

    /// The checkpoint that was given its name last.
    pub named: String,
    /// The two newest checkpoints that are durable and sound.
    pub generations: Vec<String>,

    pub rows: BTreeMap<Key, BTreeSet<At>>,
    pub topics: BTreeMap<String, Vec<Outgoing>>,
    pub receipts: Vec<Receipt>,
    pub violations: Vec<String>,
}

pub(super) struct World {
    state: Mutex<State>,
    pub died: Notify,
}

impl World {
    pub(super) fn new(plan: Plan, log: BTreeMap<PartitionId, Vec<Record>>, told: bool) -> Arc<Self> {
        let dice = Dice::new(plan.seed ^ 0xda_ce);
        let state = State {
            plan,
            dice,
            calm: false,
            alive: true,
            steps_left: None,
            before_ms: 0,
            began: None,
            trace: DefaultHasher::new(),
            told,
            log,
            committed: Positions::new(),
            asked: Duration::ZERO,
            buffered: BTreeMap::new(),
            ends: BTreeMap::new(),
            order: BTreeMap::new(),
            former: BTreeMap::new(),
            reached: None,
            accepted: BTreeSet::new(),
            named: String::new(),
            generations: Vec::new(),
            rows: BTreeMap::new(),
            topics: BTreeMap::new(),
            receipts: Vec::new(),
            violations: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state), died: Notify::new() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A daemon begins to live.
    pub(super) fn begin(&self, steps: Option<u32>) {
        let mut state = self.lock();
        (state.alive, state.steps_left, state.began, state.reached) = (true, steps, Some(Instant::now()), None);
        state.buffered.clear();
        state.ends.clear();
        state.note(|| "a daemon begins".to_owned());
    }

    /// It ended; the next one begins `pause_ms` later.
    pub(super) fn end(&self, pause_ms: i64) {
        let mut state = self.lock();
        state.note(|| "it ended".to_owned());
        state.before_ms = state.now_ms() + pause_ms;
        (state.alive, state.began) = (false, None);
    }

    /// Dies between two steps.
    pub(super) fn kill(&self) {
        self.lock().alive = false;
        self.died.notify_one();
    }

    pub(super) fn is_alive(&self) -> bool {
        self.lock().alive
    }

    pub(super) fn clock(self: &Arc<Self>) -> Clock {
        let world = Arc::clone(self);
        Clock::new(move || world.lock().wall_ms())
    }

    /// Takes one step out of the daemon.
    pub(super) fn step(&self, what: impl FnOnce() -> String) -> Step {
        let mut state = self.lock();
        if !state.alive {
            return Step::Dead;
        }
        state.note(what);
        match state.steps_left {
            None => Step::Done,
            Some(0) => {
                state.alive = false;
                let last = state.dice.chance(0.5);
                state.note(|| format!("dies, with this step done: {last}"));
                drop(state);
                self.died.notify_one();
                if last { Step::Last } else { Step::Dead }
            }
            Some(left) => {
                state.steps_left = Some(left - 1);
                Step::Done
            }
        }
    }

    /// A request to something outside: takes its time, and fails before, half-way or after, when only the
    /// answer is lost.
    pub(super) async fn request(
        &self,
        edge: Edge,
        what: impl FnOnce() -> String,
        effect: impl FnOnce(&mut State, Share),
    ) -> Result<(), String> {
        let (delay_ms, fate) = {
            let mut state = self.lock();
            let trouble = state.trouble();
            let delay_ms = if state.dice.chance(trouble / 2.0) { state.dice.between(1_000, 45_000) } else { state.dice.between(0, 15) };
            (delay_ms, if state.dice.chance(trouble) { state.dice.of(&["before", "part", "after"]) } else { "" })
        };
        tokio::time::sleep(Duration::from_millis(delay_ms as u64)).await;
        let step = self.step(what);
        if self.lock().is_out(edge) && step == Step::Done {
            return Err("it does not answer".to_owned());
        }
        if step != Step::Dead && fate != "before" {
            effect(&mut self.lock(), if fate == "part" { Share::Part } else { Share::Whole });
        }
        match (step, fate) {
            (Step::Done, "") => Ok(()),
            (Step::Done, fate) => Err(format!("failed {fate} its effect")),
            // Nobody hears of it.
            _ => std::future::pending().await,
        }
    }

    pub(super) fn violated(&self, what: String) {
        let mut state = self.lock();
        state.note(|| format!("VIOLATED {what}"));
        state.violations.push(what);
    }

    /// A fingerprint of everything that happened, in order.
    pub(super) fn trace(&self) -> u64 {
        self.lock().trace.finish()
    }
}

impl State {
    /// Virtual time.
    pub(super) fn now_ms(&self) -> i64 {
        self.before_ms + self.began.map_or(0, |began| began.elapsed().as_millis() as i64)
    }

    /// What the wall clock shows.
    pub(super) fn wall_ms(&self) -> i64 {
        let now_ms = self.now_ms();
        let jumped: i64 = self.plan.jumps.iter().filter(|(at_ms, _)| *at_ms <= now_ms).map(|(_, by_ms)| by_ms).sum();
        EPOCH_MS + now_ms + jumped
    }

    pub(super) fn trouble(&self) -> f64 {
        if self.calm { 0.0 } else { self.plan.trouble }
    }

    pub(super) fn is_out(&self, edge: Edge) -> bool {
        let now_ms = self.now_ms();
        !self.calm && self.plan.outages.iter().any(|(out, from_ms, to_ms)| *out == edge && (*from_ms..*to_ms).contains(&now_ms))
    }

    pub(super) fn generation_is_durable(&mut self) {
        let name = std::mem::take(&mut self.named);
        self.generations.retain(|known| *known != name);
        self.generations.push(name);
        if self.generations.len() > 2 {
            self.generations.remove(0);
        }
    }

    /// Notes what happens in the trace.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        let (now_ms, what) = (self.now_ms(), what());
        (now_ms, &what).hash(&mut self.trace);
        if self.told {
            eprintln!("{now_ms:>8} {what}");
        }
    }

    /// The partition's offset after the last record that has come in.
    pub(super) fn end_of(&self, partition: &PartitionId) -> i64 {
        let now_ms = self.now_ms();
        let come = self.log.get(partition).into_iter().flatten().take_while(|record| record.at_ms <= now_ms);
        come.last().map_or(0, |record| record.offset + 1)
    }

    /// A batch passes into the order. It must follow what stands, leave nothing out, and find partitions
    /// idle only where they were.
    pub(super) fn order_passes(&mut self, batch: RawBatch) {
        let order = batch.order.clone();
        self.note(|| format!("order {} of {} records at {} {:?}", order.first_seq, order.records(), order.arrival_ms, order.idle));
        // What an earlier daemon had read beyond here is gone with it.
        let gone = self.order.split_off(&order.first_seq);
        let next_seq = self.order.values().next_back().map_or(0, |last| last.order.next_seq());
        if next_seq != order.first_seq {
            self.violations.push(format!("after {next_seq} the order goes on with {}", order.first_seq));
        }
        let reached = match self.reached.take() {
            Some(reached) if gone.is_empty() => reached,
            _ => self.order.values().fold(Positions::new(), |mut reached, batch| {
                reached.extend(batch.order.runs.iter().map(|run| (run.partition.clone(), run.next)));
                reached
            }),
        };
        let mut reached = reached;
        let mut records = batch.iter();
        for run in &order.runs {
            let from = reached.get(&run.partition).copied().unwrap_or(0);
            let read: Vec<i64> = records.by_ref().take(run.records as usize).map(|(_, offset, _)| offset).collect();
            let expected: Vec<i64> = match self.log.get(&run.partition) {
                Some(log) => log.iter().map(|record| record.offset).filter(|offset| (from..run.next).contains(offset)).collect(),
                None => (from..run.next).collect(),
            };
            if read != expected {
                self.violations.push(format!("{} was read {read:?} where {expected:?} came next", run.partition));
            }
            reached.insert(run.partition.clone(), run.next);
        }
        drop(records);
        for (partition, _, payload) in batch.iter() {
            if let Some(bytes) = self.buffered.get_mut(partition) {
                *bytes = bytes.saturating_sub(payload.len().min(COUNTED_BYTES_MAX));
            }
        }
        self.former.extend(gone.into_iter().map(|(seq, batch)| (seq, batch.order)));
        let former = self.former.get(&order.first_seq);
        let repeated = former == Some(&order);
        // A batch that is merged anew arrives anew.
        let alike = |former: &&Order| (former.arrival_ms, &former.runs) == (order.arrival_ms, &order.runs) && !order.runs.is_empty();
        if let Some(former) = former.filter(alike)
            && !repeated
            && self.log.contains_key(&order.runs[0].partition)
        {
            self.violations.push(format!("{former:?} was repeated as {order:?}"));
        }
        for partition in order.idle.iter().filter(|_| !repeated) {
            let at = reached.get(partition).copied().unwrap_or(0);
            if !self.ends.get(partition).is_some_and(|ends| ends.contains(&at)) {
                self.violations.push(format!("{partition} was called idle at {at}, ends were {:?}", self.ends.get(partition)));
            }
        }
        self.reached = Some(reached);
        self.order.insert(order.first_seq, batch);
    }
}

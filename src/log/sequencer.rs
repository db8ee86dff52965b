//! Merges the partitions into one order and cuts it into batches.
//!
//! After a restart the recorded order comes first: each batch is cut exactly as its record says, so
//! that the detectors see the same records in the same order and come to the same alerts. Only what
//! was never recorded is merged anew, by the log's own times: in short runs, so that partitions that
//! are far behind advance side by side in event time. For that a batch ends where a partition that is known to
//! hold a backlog has nothing buffered, and the next one waits for it ([`Sequencer::awaits`]). A journal is its own order, and its groups are
//! the batches; of its entries those with changes alone are recorded.
//!
//! What else changes findings (other place files, another list of suppressions, lessons) is part of the order, too: an
//! entry says from which batch on it counts: the next one. In a journal that is none that arrived before this process
//! began, since it may have been judged already without an entry; and its entries are told apart by their arrival.

use super::{Fetched, Notice};
use crate::flow::{Change, Order, PartitionId, Positions, RawBatch, Run, Start};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How much is held at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records of one batch.
    pub batch_records_max: usize,
    /// Bytes of one batch; the record that passes it is its last.
    pub batch_bytes_max: usize,
    /// Bytes waiting in one partition's buffer above which the partition is held.
    pub buffer_bytes_max: usize,
}

impl Limits {
    fn leave_room(&self, batch: &RawBatch) -> bool {
        batch.len() < self.batch_records_max && batch.bytes() < self.batch_bytes_max
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_records_max: 8_192, batch_bytes_max: 16 << 20, buffer_bytes_max: 16 << 20 }
    }
}

/// Log time by which one partition may run ahead of another within a batch.
const SKEW_MS: i64 = 1_000;

#[derive(Debug)]
struct Buffer {
    next: i64,
    bytes: usize,
    queue: VecDeque<Fetched>,
}

/// What the pipeline has to be told besides batches.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// All partitions are held.
    Ready,
    /// Partitions were lost; where to go on when they come back.
    Lost(Vec<PartitionId>),
    /// The log no longer holds what was to be read next.
    Gone(PartitionId, i64, i64),
}

/// The merge of all partitions.
#[derive(Debug)]
pub struct Sequencer {
    buffers: BTreeMap<PartitionId, Buffer>,
    recorded: VecDeque<Order>,
    positions: Positions,
    next_seq: u64,
    keeps_order: bool,
    limits: Limits,
    assigned: Vec<PartitionId>,
    ended: Vec<PartitionId>,
    /// Partitions that the others wait for while they have nothing buffered.
    awaited: BTreeSet<PartitionId>,
    /// Changes in force before the next record.
    in_force: Vec<Change>,
    /// The latest changes that were announced, in force or not yet.
    announced: Vec<Change>,
    /// When this process began. What a journal got before may have been judged already.
    since_ms: i64,
    /// Arrival of the latest group of a journal.
    group_ms: Option<i64>,
}

impl Sequencer {
    /// A sequencer that goes on from `start`, through the recorded order first.
    #[must_use]
    pub fn new(start: Start, keeps_order: bool) -> Self {
        let Start { positions, next_seq, in_force, recorded } = start;
        Self {
            buffers: BTreeMap::new(),
            recorded: if sabotaged!(RecordedOrderIgnored) { VecDeque::new() } else { recorded.into() },
            positions,
            next_seq,
            keeps_order,
            limits: Limits::default(),
            assigned: Vec::new(),
            ended: Vec::new(),
            awaited: BTreeSet::new(),
            in_force,
            announced: Vec::new(),
            since_ms: i64::MIN,
            group_ms: None,
        }
    }

    /// Begins at this time.
    #[must_use]
    pub fn since(self, since_ms: i64) -> Self {
        Self { since_ms, ..self }
    }

    /// Something changed, or is as it was announced before.
    pub fn announce(&mut self, change: &Change) {
        change.put_in_force(&mut self.announced);
    }

    /// Holds no more than `limits`.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Where reading has to begin: the checkpoint's positions, and for partitions that it does not
    /// know the first record of the recorded order. A log that is its own order is read from its beginning: what is
    /// recorded of it is not all.
    #[must_use]
    pub fn start(&self) -> Positions {
        let mut start = self.positions.clone();
        if self.keeps_order {
            return start;
        }
        for run in self.recorded.iter().flat_map(|order| &order.runs) {
            start.entry(run.partition.clone()).or_insert(run.first);
        }
        start
    }

    /// Is the recorded order not used up yet?
    #[must_use]
    pub fn is_repeating(&self) -> bool {
        !self.recorded.is_empty()
    }

    /// Takes what the source tells.
    pub fn accept(&mut self, notice: Notice) -> Option<Event> {
        match notice {
            Notice::Assigned(positions) => {
                let empty = |next| Buffer { next, bytes: 0, queue: VecDeque::new() };
                self.buffers = positions.iter().map(|(partition, next)| (partition.clone(), empty(*next))).collect();
                self.assigned.extend(positions.into_keys());
                Some(Event::Ready)
            }
            Notice::Lost(partitions) => {
                self.buffers.clear();
                self.assigned.clear();
                self.ended.clear();
                Some(Event::Lost(partitions))
            }
            Notice::Records(partition, records) => {
                if let Some(buffer) = self.buffers.get_mut(&partition) {
                    self.ended.retain(|ended| *ended != partition || sabotaged!(IdleWithRecords));
                    buffer.bytes += records.iter().map(|record| record.payload.len()).sum::<usize>();
                    buffer.queue.extend(records);
                }
                None
            }
            Notice::End(partition) => {
                if self.buffers.contains_key(&partition) {
                    self.ended.push(partition);
                }
                None
            }
            Notice::Gone(partition, from, to) => Some(Event::Gone(partition, from, to)),
        }
    }

    /// Partitions whose buffers are full.
    #[must_use]
    pub fn full(&self) -> BTreeSet<PartitionId> {
        let full = self.buffers.iter().filter(|(_, buffer)| buffer.bytes > self.limits.buffer_bytes_max);
        full.map(|(partition, _)| partition.clone()).collect()
    }

    /// All partitions, to hold them all.
    #[must_use]
    pub fn partitions(&self) -> BTreeSet<PartitionId> {
        self.buffers.keys().cloned().collect()
    }

    /// Where the next batch begins.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Would waiting a little let partitions that are behind catch up, or fill the batch?
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let waiting: usize = self.buffers.values().map(|buffer| buffer.queue.len()).sum();
        waiting > 0 && waiting < self.limits.batch_records_max && !self.keeps_order && self.recorded.is_empty()
    }

    /// Has the merge to wait for one of these partitions, since it has a backlog and nothing buffered? It waits until
    /// it is told that there is none such.
    pub fn awaits(&mut self, behind: BTreeSet<PartitionId>) -> bool {
        self.awaited = if self.keeps_order || !self.recorded.is_empty() { BTreeSet::new() } else { behind };
        self.is_waiting()
    }

    fn is_waiting(&self) -> bool {
        let is_empty = |id: &PartitionId| self.buffers.get(id).is_some_and(|buffer| buffer.queue.is_empty());
        self.awaited.iter().any(is_empty)
    }

    /// The next batch, if there is one; `now_ms` becomes its recorded arrival.
    pub fn next(&mut self, now_ms: i64) -> Option<RawBatch> {
        let mut batch = match self.recorded.front().filter(|_| !self.keeps_order) {
            Some(order) if !self.holds(order) && !sabotaged!(RepeatedTooEarly) => return None,
            Some(_) => self.repeat(now_ms)?,
            None if self.is_waiting() => return None,
            None => self.merge(now_ms),
        };
        if batch.is_empty() {
            return None;
        }
        batch.order.first_seq = self.next_seq;
        self.next_seq = batch.order.next_seq();
        batch.order.changes.iter().for_each(|change| change.put_in_force(&mut self.in_force));
        batch.order.advance(&mut self.positions);
        Some(batch)
    }

    /// Are all records of `order` buffered? What the log lost does not count.
    fn holds(&self, order: &Order) -> bool {
        let held = |run: &Run| {
            let last = self.buffers.get(&run.partition).and_then(|buffer| buffer.queue.back());
            last.is_some_and(|last| last.offset + 1 >= run.next)
        };
        let mut furthest = BTreeMap::new();
        for run in &order.runs {
            furthest.insert(&run.partition, run);
        }
        furthest.into_values().all(held)
    }

    fn repeat(&mut self, now_ms: i64) -> Option<RawBatch> {
        let order = self.recorded.pop_front()?;
        let mut batch = RawBatch::default();
        for run in &order.runs {
            let Some(buffer) = self.buffers.get_mut(&run.partition) else { continue };
            while let Some(record) = buffer.queue.pop_front_if(|record| record.offset < run.next) {
                buffer.bytes -= record.payload.len();
                buffer.next = record.offset + 1;
                batch.push_run(&run.partition, record.offset, &record.payload);
            }
        }
        let runs = std::mem::take(&mut batch.order.runs);
        batch.order = Order { runs, ..order };
        if sabotaged!(ArrivalOfTheRepetition) {
            batch.order.arrival_ms = now_ms;
        }
        Some(batch)
    }

    fn merge(&mut self, now_ms: i64) -> RawBatch {
        let mut batch = RawBatch::default();
        batch.order.arrival_ms = now_ms;
        batch.order.assigned = std::mem::take(&mut self.assigned);
        let mut group = None;
        while self.limits.leave_room(&batch) {
            let head = |buffer: &Buffer| buffer.queue.front().map(|record| record.timestamp_ms);
            let mut heads: Vec<_> = self.buffers.iter().filter_map(|(id, buffer)| Some((head(buffer)?, id))).collect();
            heads.sort_unstable();
            let Some((oldest_ms, partition)) = heads.first().map(|(ms, id)| (*ms, (*id).clone())) else { break };
            if self.keeps_order {
                if *group.get_or_insert(oldest_ms) != oldest_ms {
                    break;
                }
                batch.order.arrival_ms = oldest_ms;
            }
            let until_ms = heads.get(1).map_or(i64::MAX, |(ms, _)| ms.saturating_add(SKEW_MS));
            self.take_run(&partition, until_ms, group, &mut batch);
            if self.is_waiting() {
                break;
            }
        }
        batch.order.idle = std::mem::take(&mut self.ended);
        let waiting = |id: &PartitionId| self.buffers.get(id).is_some_and(|buffer| !buffer.queue.is_empty());
        batch.order.idle.retain(|id| !waiting(id) || sabotaged!(IdleWithRecords));
        if !batch.order.runs.is_empty() {
            batch.order.changes = self.due_changes(batch.order.arrival_ms);
        }
        batch
    }

    /// What changes before a batch.
    fn due_changes(&mut self, arrival_ms: i64) -> Vec<Change> {
        let mut due = Vec::new();
        while let Some(order) = self.recorded.pop_front_if(|order| order.arrival_ms <= arrival_ms) {
            order.changes.iter().for_each(|change| change.put_in_force(&mut due));
        }
        let before_ms = self.group_ms.replace(arrival_ms);
        // Of a group that was cut in two, one half may have been judged already.
        let is_new_group = before_ms.is_none_or(|before_ms| arrival_ms > before_ms);
        if self.recorded.is_empty() && due.is_empty() {
            let is_fresh = is_new_group && arrival_ms >= self.since_ms;
            due.extend(self.announced.iter().filter(|_| is_fresh || !self.keeps_order).cloned());
        }
        due.retain(|change| !self.in_force.contains(change));
        due
    }

    /// Moves records of one partition into the batch, up to a log time or the end of a journal group.
    fn take_run(&mut self, partition: &PartitionId, until_ms: i64, group: Option<i64>, batch: &mut RawBatch) {
        let limits = self.limits;
        let Some(buffer) = self.buffers.get_mut(partition) else { return };
        let fits = |record: &mut Fetched| record.timestamp_ms <= until_ms && group.is_none_or(|group| record.timestamp_ms == group);
        while limits.leave_room(batch) {
            let Some(record) = buffer.queue.pop_front_if(fits) else { return };
            buffer.bytes -= record.payload.len();
            buffer.next = record.offset + 1;
            batch.push_run(partition, record.offset, &record.payload);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn id(number: i32) -> PartitionId {
        PartitionId::new("auth-logs", number)
    }

    fn records(from: i64, times: &[i64]) -> Vec<Fetched> {
        let record = |(index, time): (usize, &i64)| Fetched { offset: from + index as i64, timestamp_ms: *time, payload: vec![b'x'; 4] };
        times.iter().enumerate().map(record).collect()
    }

    fn ready(recorded: Vec<Order>) -> Sequencer {
        let mut sequencer = Sequencer::new(Start { recorded, ..Start::default() }, false);
        sequencer.accept(Notice::Assigned(Positions::from([(id(0), -1), (id(1), -1)])));
        sequencer
    }

    #[test]
    fn partitions_advance_side_by_side_in_log_time() {
        let mut sequencer = ready(Vec::new());
        sequencer.accept(Notice::Records(id(0), records(0, &[0, 500, 5_000, 9_000])));
        sequencer.accept(Notice::Records(id(1), records(0, &[100, 4_500])));
        let batch = sequencer.next(77).unwrap();
        let order: Vec<_> = batch.iter().map(|(partition, offset, _)| (partition.partition, offset)).collect();
        assert_eq!(order, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3)]);
        assert_eq!(batch.order.arrival_ms, 77);
    }

    #[test]
    fn a_restart_repeats_the_recorded_order_however_records_arrive() {
        let mut first = ready(Vec::new());
        first.accept(Notice::Records(id(1), records(0, &[5, 6])));
        let mut orders = vec![first.next(1).unwrap().order];
        first.accept(Notice::Records(id(0), records(0, &[1, 2, 3])));
        orders.push(first.next(2).unwrap().order);

        let mut second = ready(orders.clone());
        second.accept(Notice::Records(id(0), records(0, &[1, 2, 3, 4])));
        assert!(second.next(9).is_none(), "the recorded order wants partition 1 first");
        second.accept(Notice::Records(id(1), records(0, &[5, 6, 7])));
        assert_eq!(second.next(9).unwrap().order, orders[0]);
        assert_eq!(second.next(9).unwrap().order, orders[1]);
        let fresh = second.next(9).unwrap();
        assert_eq!((fresh.order.first_seq, fresh.len(), fresh.order.arrival_ms), (5, 2, 9));
    }

    fn places(batch: &RawBatch) -> Vec<String> {
        let version = |change: &Change| if let Change::Places(version) = change { version.to_string() } else { "another".to_owned() };
        batch.order.changes.iter().map(version).collect()
    }

    #[test]
    fn other_place_files_are_used_behind_the_recorded_order() {
        let mut first = ready(Vec::new());
        first.announce(&Change::Places("a".into()));
        first.accept(Notice::Records(id(0), records(0, &[1])));
        let recorded = vec![first.next(1).unwrap().order];

        let mut second = ready(recorded);
        second.announce(&Change::Places("b".into()));
        second.accept(Notice::Records(id(0), records(0, &[1, 2])));
        let batches = [second.next(9).unwrap(), second.next(9).unwrap()];
        assert_eq!(batches.each_ref().map(places), [["a"], ["b"]]);
        second.accept(Notice::Records(id(0), records(2, &[3])));
        assert_eq!(places(&second.next(9).unwrap()), [""; 0], "said once");
    }

    #[test]
    fn in_a_journal_changes_are_for_what_arrives_while_this_process_lives() {
        let journal = |start: Start, since_ms: i64, arrivals: &[i64]| {
            let mut sequencer = Sequencer::new(start, true).since(since_ms);
            sequencer.accept(Notice::Assigned(Positions::from([(id(0), 0)])));
            sequencer.accept(Notice::Records(id(0), records(0, arrivals)));
            sequencer
        };
        let used = |sequencer: &mut Sequencer| {
            let batches: Vec<_> = std::iter::from_fn(|| sequencer.next(100)).filter(|batch| !batch.order.runs.is_empty()).collect();
            batches.into_iter().map(|batch| (batch.order.arrival_ms, batch.order.changes)).collect::<Vec<_>>()
        };
        let change = |version: &str| vec![Change::Places(version.into())];
        let mut first = journal(Start::default(), 20, &[10, 10, 20]);
        first.announce(&Change::Places("a".into()));
        let told = used(&mut first);
        assert_eq!(told, [(10, vec![]), (20, change("a"))]);
        // What came before the second start keeps its files, however its entries are numbered.
        let order = Order { first_seq: 77, arrival_ms: 20, changes: change("a"), ..Order::default() };
        let mut second = journal(Start { recorded: vec![order], ..Start::default() }, 40, &[10, 10, 20, 30, 50]);
        second.announce(&Change::Places("b".into()));
        assert_eq!(used(&mut second), [(10, vec![]), (20, change("a")), (30, vec![]), (50, change("b"))]);
    }

    #[test]
    fn a_journal_is_read_from_its_beginning_whatever_is_recorded_of_it() {
        let run = Run { partition: id(0), first: 26, next: 31, records: 5 };
        let recorded = vec![Order { first_seq: 26, runs: vec![run], changes: vec![Change::Suppressions(1)], ..Order::default() }];
        let start = |keeps_order| Sequencer::new(Start { recorded: recorded.clone(), ..Start::default() }, keeps_order).start();
        assert_eq!((start(true), start(false)), (Positions::new(), Positions::from([(id(0), 26)])));
    }

    #[test]
    fn a_group_that_is_cut_in_two_is_looked_up_in_the_same_files() {
        let mut sequencer = Sequencer::new(Start::default(), true).within(Limits { batch_records_max: 1, ..Limits::default() });
        sequencer.accept(Notice::Assigned(Positions::from([(id(0), 0)])));
        sequencer.accept(Notice::Records(id(0), records(0, &[10, 10, 20])));
        assert_eq!(sequencer.next(10).unwrap().len(), 1);
        sequencer.announce(&Change::Places("a".into()));
        assert_eq!(places(&sequencer.next(10).unwrap()), [""; 0]);
        assert_eq!(places(&sequencer.next(10).unwrap()), ["a"]);
    }

    #[test]
    fn a_partition_with_a_backlog_is_waited_for() {
        let mut sequencer = ready(Vec::new());
        sequencer.accept(Notice::Records(id(0), records(0, &[0, 9_000, 9_500])));
        assert!(sequencer.awaits(BTreeSet::from([id(1)])));
        assert!(sequencer.next(0).is_none());
        sequencer.accept(Notice::Records(id(1), records(0, &[100, 8_500])));
        assert!(!sequencer.awaits(BTreeSet::from([id(0), id(1)])));
        let batch = sequencer.next(0).unwrap();
        let order: Vec<_> = batch.iter().map(|(partition, offset, _)| (partition.partition, offset)).collect();
        assert_eq!(order, [(0, 0), (1, 0), (1, 1)], "it ends where the backlog's buffer is empty");
        assert!(sequencer.next(0).is_none());
        assert!(!sequencer.awaits(BTreeSet::new()), "nobody waits longer than the reader does");
        assert_eq!(sequencer.next(0).unwrap().len(), 2);
    }

    #[test]
    fn an_end_is_told_only_behind_the_last_record() {
        let mut sequencer = ready(Vec::new());
        sequencer.accept(Notice::End(id(0)));
        sequencer.accept(Notice::Records(id(0), records(0, &[1])));
        assert!(sequencer.next(0).unwrap().order.idle.is_empty());
        sequencer.accept(Notice::End(id(0)));
        assert_eq!(sequencer.next(0).unwrap().order.idle, [id(0)]);
        assert!(sequencer.next(0).is_none());
    }
}

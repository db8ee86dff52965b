//! The same tenant, id and time again is the same event, within the lateness.
//!
//! Later repetitions are older than the watermark and so late anyway. What was seen is kept in
//! buckets of event time, dropped as the watermark passes them; so adding and expiring are O(1) for
//! each event. A bucket is a list with an index beside it: since the list only grows at its end, it can be
//! saved piece by piece while events go on coming.

use bartizan_core::time::SECOND_MS;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Event time in one bucket: short, so that a bucket's index is made larger in little time.
const BUCKET_MS: i64 = 15 * SECOND_MS;

/// Events that a new bucket has room for at most.
const ROOM_MAX: usize = 1 << 16;

/// Events that the room of a dropped bucket may be for, to be kept for another.
const SPARE_MAX: usize = 256;

/// The events of one bucket, as keyed hashes.
#[derive(Debug, Default)]
struct Bucket {
    hashes: Vec<u64>,
    /// Positions in `hashes`. The hashes are used as they are.
    index: HashTable<u32>,
}

impl Bucket {
    /// A bucket with room for about as many events as its neighbour has, so that it seldom grows.
    fn beside(neighbour: Option<&Bucket>, spare: &mut Bucket) -> Self {
        let events = neighbour.map_or(0, |bucket| bucket.hashes.len()).min(ROOM_MAX);
        if spare.hashes.capacity() >= events {
            return std::mem::take(spare);
        }
        Self { hashes: Vec::with_capacity(events), index: HashTable::with_capacity(events) }
    }

    /// The room of a bucket that is dropped, emptied; none of a large one, which would take long to empty.
    fn emptied(mut self) -> Self {
        if self.index.capacity() > SPARE_MAX {
            return Self::default();
        }
        self.hashes.clear();
        self.index.clear();
        self
    }

    /// Adds a hash; false if it is there.
    fn insert(&mut self, hash: u64) -> bool {
        let hashes = &self.hashes;
        let at = |position: &u32| hashes.get(*position as usize).copied().unwrap_or_default();
        let entry = self.index.entry(hash, |position| at(position) == hash, at);
        let hashbrown::hash_table::Entry::Vacant(vacant) = entry else { return false };
        vacant.insert(hashes.len() as u32);
        self.hashes.push(hash);
        true
    }
}

/// Events seen within the lateness.
#[derive(Debug)]
pub struct Dedup {
    /// By number, in order; nearly every event belongs to one of the last.
    buckets: VecDeque<(i64, Bucket)>,
    events: usize,
    events_max: usize,
    forgotten: u64,
    saving: Option<Saving>,
    /// One that was dropped, for its room: where events are few, a bucket begins every few events.
    spare: Bucket,
}

/// What is still to be saved: of each bucket the events that it held at the beginning.
#[derive(Debug)]
struct Saving {
    /// Bucket, events written, events to write.
    todo: BTreeMap<i64, (usize, usize)>,
    /// Buckets that were dropped meanwhile.
    dropped: BTreeMap<i64, Vec<u64>>,
}

/// What is saved beside the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedupHeader {
    events: usize,
    forgotten: u64,
}

/// A saved piece of a bucket.
#[derive(Debug, Serialize, Deserialize)]
struct Piece {
    bucket: i64,
    hashes: Vec<u64>,
}

impl Dedup {
    /// Remembers up to `events_max` events; beyond it the oldest bucket is forgotten early.
    #[must_use]
    pub fn new(events_max: usize) -> Self {
        Self { buckets: VecDeque::new(), events: 0, events_max, forgotten: 0, saving: None, spare: Bucket::default() }
    }

    /// Is this the first time? `hash` stands for tenant, id and time.
    pub fn first(&mut self, hash: u64, time_ms: i64) -> bool {
        let first = self.bucket(time_ms.div_euclid(BUCKET_MS)).insert(hash);
        if first {
            self.events += 1;
            if self.events > self.events_max {
                self.forgotten += self.drop_oldest() as u64;
            }
        }
        first
    }

    /// The bucket of this number, which is made if need be.
    fn bucket(&mut self, number: i64) -> &mut Bucket {
        let is_last = self.buckets.back().is_some_and(|(last, _)| *last == number);
        let at = if is_last { self.buckets.len() - 1 } else { self.buckets.partition_point(|(other, _)| *other < number) };
        if self.buckets.get(at).is_none_or(|(other, _)| *other != number) {
            let neighbour = at.checked_sub(1).and_then(|before| self.buckets.get(before));
            let bucket = Bucket::beside(neighbour.map(|(_, bucket)| bucket), &mut self.spare);
            self.buckets.insert(at, (number, bucket));
        }
        #[expect(clippy::indexing_slicing, reason = "it was found there, or put there in the lines above")]
        &mut self.buckets[at].1
    }

    /// Forgets what can only come late from now on.
    pub fn advance(&mut self, watermark_ms: i64) {
        while let Some((bucket, _)) = self.buckets.front() {
            let buckets = if sabotaged!(DedupOneBucketShort) { 0 } else { 1 };
            if bucket.saturating_add(buckets).saturating_mul(BUCKET_MS) > watermark_ms {
                return;
            }
            self.drop_oldest();
        }
    }

    /// Drops the oldest bucket and says how many events it held.
    fn drop_oldest(&mut self) -> usize {
        let Some((number, bucket)) = self.buckets.pop_front() else { return 0 };
        let events = bucket.hashes.len();
        self.events -= events;
        if let Some(saving) = self.saving.as_mut().filter(|saving| saving.todo.contains_key(&number)) {
            // A bucket of the same number that came after it has nothing to be saved.
            saving.dropped.entry(number).or_insert(bucket.hashes);
        } else {
            self.spare = bucket.emptied();
        }
        events
    }

    /// Events remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events
    }

    /// None remembered?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Events forgotten early for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Begins to save what is remembered now; the events follow by [`Self::save_some`].
    pub fn begin_save(&mut self) -> DedupHeader {
        let todo = self.buckets.iter().map(|(number, bucket)| (*number, (0, bucket.hashes.len())));
        self.saving = Some(Saving { todo: todo.collect(), dropped: BTreeMap::new() });
        DedupHeader { events: self.events, forgotten: self.forgotten }
    }

    /// Appends up to `events_max` further events to `out`; true when that was all.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn save_some(&mut self, events_max: usize, out: &mut Vec<u8>) -> Result<bool, postcard::Error> {
        let Some(saving) = &mut self.saving else { return Ok(true) };
        if let Some(mut next) = saving.todo.first_entry() {
            let number = *next.key();
            let (written, all) = next.get_mut();
            let held = || self.buckets.binary_search_by_key(&number, |(number, _)| *number).ok().and_then(|at| self.buckets.get(at));
            let hashes = saving.dropped.get(&number).or_else(|| held().map(|(_, bucket)| &bucket.hashes));
            let end = written.saturating_add(events_max).min(*all);
            let hashes = hashes.and_then(|hashes| hashes.get(*written..end)).unwrap_or_default().to_vec();
            *out = postcard::to_extend(&Piece { bucket: number, hashes }, std::mem::take(out))?;
            *written = end;
            if *written == *all {
                next.remove();
                saving.dropped.remove(&number);
            }
        }
        let done = saving.todo.is_empty();
        if done {
            self.saving = None;
        }
        Ok(done)
    }

    /// Begins to load: forgets everything.
    pub fn begin_load(&mut self, header: DedupHeader) {
        *self = Self { forgotten: header.forgotten, ..Self::new(self.events_max) };
    }

    /// Takes saved pieces.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn load_some(&mut self, bytes: &[u8]) -> Result<(), postcard::Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after): (Piece, _) = postcard::take_from_bytes(rest)?;
            rest = after;
            let mut events = 0;
            let bucket = self.bucket(piece.bucket);
            bucket.index.reserve(piece.hashes.len(), |position| bucket.hashes.get(*position as usize).copied().unwrap_or_default());
            for hash in piece.hashes {
                events += usize::from(bucket.insert(hash));
            }
            self.events += events;
        }
        Ok(())
    }

    /// All pieces were given.
    ///
    /// # Errors
    /// Some were not.
    pub fn end_load(&self, header: DedupHeader) -> Result<(), postcard::Error> {
        if self.events == header.events { Ok(()) } else { Err(postcard::Error::DeserializeUnexpectedEnd) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_once_until_it_could_only_come_late() {
        let mut dedup = Dedup::new(10);
        assert!(dedup.first(1, BUCKET_MS / 2));
        assert!(!dedup.first(1, BUCKET_MS / 2));
        dedup.advance(BUCKET_MS - 1);
        assert!(!dedup.first(1, BUCKET_MS / 2));
        dedup.advance(BUCKET_MS);
        assert!(dedup.first(1, BUCKET_MS / 2));
    }

    #[test]
    fn room_is_bounded() {
        let mut dedup = Dedup::new(10);
        for n in 0..100 {
            dedup.first(n, n as i64 * BUCKET_MS);
        }
        assert_eq!((dedup.forgotten(), dedup.len()), (90, 10));
    }

    #[test]
    fn a_bucket_in_the_room_of_another_knows_nothing_of_what_that_held() {
        let mut dedup = Dedup::new(10_000);
        // Few, many, and more than room is kept for.
        for (round, many) in [3, 40, 700].into_iter().cycle().take(60).enumerate() {
            let (hashes, time_ms) = (0..many, round as i64 * BUCKET_MS);
            assert!(hashes.clone().all(|hash| dedup.first(hash, time_ms)));
            assert!(!hashes.clone().any(|hash| dedup.first(hash, time_ms)));
            dedup.advance(time_ms);
            assert_eq!(dedup.len(), hashes.count());
        }
    }

    #[test]
    fn what_is_saved_is_what_was_there_whatever_comes_meanwhile() {
        let mut dedup = Dedup::new(1_000);
        for n in 0..300 {
            dedup.first(n, n as i64 * BUCKET_MS / 50);
        }
        let (header, mut saved) = (dedup.begin_save(), Vec::new());
        for n in 300_u64.. {
            dedup.first(n, (n % 600) as i64 * BUCKET_MS / 50);
            dedup.advance((n as i64 - 300) * BUCKET_MS / 7);
            if dedup.save_some(13, &mut saved).unwrap() {
                break;
            }
        }
        let mut loaded = Dedup::new(1_000);
        loaded.begin_load(header);
        loaded.load_some(&saved).unwrap();
        loaded.end_load(header).unwrap();
        assert_eq!(loaded.len(), 300);
        assert!((0..300).all(|n| !loaded.first(n, n as i64 * BUCKET_MS / 50)));
        assert!(loaded.first(300, 300 * BUCKET_MS / 50));
        loaded.begin_load(header);
        assert!(loaded.end_load(header).is_err(), "pieces are missing");
    }
}

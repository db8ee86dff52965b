//! Where a key's slot is: an open-addressing table of 32-bit entries.
//!
//! An entry is 8 bits of the key and the 24-bit position of its slot, so a key costs 4 bytes at a load
//! between 0.4 and 0.8, and a wrong slot is looked at once in 256 probes. Linear probing with backward
//! shifts: there are no tombstones, so what is held depends on the keys and the chosen size alone, which
//! a general hash map does not promise, and the limit in bytes needs. Keys are keyed hashes already;
//! their bits are used as they are.

/// Positions that an entry can hold.
pub(super) const POSITIONS_MAX: usize = (1 << POSITION_BITS) - 1;
const POSITION_BITS: u32 = 24;
const EMPTY: u32 = u32::MAX;
const BUCKETS_MIN: usize = 8;

/// A table from keys to positions.
#[derive(Debug, Default)]
pub(super) struct Index {
    table: Vec<u32>,
}

/// The 8 bits that stand in the entry: others than those that choose the bucket.
const fn tag(key: u64) -> u32 {
    (key >> 40) as u32 & 0xff
}

impl Index {
    /// Buckets of a table for so many keys.
    pub fn buckets_for(keys: usize) -> usize {
        (keys + keys / 4 + 1).next_power_of_two().max(BUCKETS_MIN)
    }

    /// Bytes of a table for so many keys.
    pub fn bytes_for(keys: usize) -> usize {
        Self::buckets_for(keys) * size_of::<u32>()
    }

    /// Makes the table anew for `room` keys, if that has another size, from the keys of all slots in order.
    pub fn resize(&mut self, room: usize, keys: impl Iterator<Item = u64>) {
        let buckets = Self::buckets_for(room);
        if buckets != self.table.len() {
            self.table = vec![EMPTY; buckets];
            for (position, key) in keys.enumerate() {
                self.insert(key, position);
            }
        }
    }

    fn mask(&self) -> usize {
        self.table.len().wrapping_sub(1)
    }

    fn at(&self, bucket: usize) -> u32 {
        self.table.get(bucket).copied().unwrap_or(EMPTY)
    }

    fn set(&mut self, bucket: usize, entry: u32) {
        if let Some(slot) = self.table.get_mut(bucket) {
            *slot = entry;
        }
    }

    /// The position of a key, where `is` says that a position is that of the key.
    pub fn find(&self, key: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        self.bucket(key, is).map(|(_, position)| position)
    }

    fn bucket(&self, key: u64, is: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        let mut bucket = key as usize & self.mask();
        loop {
            let entry = self.at(bucket);
            if entry == EMPTY {
                return None;
            }
            let position = (entry & POSITIONS_MAX as u32) as usize;
            if entry >> POSITION_BITS == tag(key) && is(position) {
                return Some((bucket, position));
            }
            bucket = (bucket + 1) & self.mask();
        }
    }

    /// Adds a key that is not there. The caller keeps room: at most 0.8 of the buckets are used.
    pub fn insert(&mut self, key: u64, position: usize) {
        let mut bucket = key as usize & self.mask();
        while self.at(bucket) != EMPTY {
            bucket = (bucket + 1) & self.mask();
        }
        self.set(bucket, tag(key) << POSITION_BITS | position as u32);
    }

    /// The slot of a key has moved.
    pub fn moved(&mut self, key: u64, from: usize, to: usize) {
        if let Some((bucket, _)) = self.bucket(key, |position| position == from) {
            self.set(bucket, tag(key) << POSITION_BITS | to as u32);
        }
    }

    /// Takes out the key of the slot at `position`; `key_of` gives the key of any other slot.
    pub fn remove(&mut self, key: u64, position: usize, key_of: impl Fn(usize) -> Option<u64>) {
        let Some((mut hole, _)) = self.bucket(key, |other| other == position) else { return };
        let mut next = hole;
        loop {
            next = (next + 1) & self.mask();
            let entry = self.at(next);
            if entry == EMPTY {
                break;
            }
            // An entry may move into the hole if its own bucket does not lie behind the hole.
            let home = key_of((entry & POSITIONS_MAX as u32) as usize).map_or(next, |key| key as usize & self.mask());
            if next.wrapping_sub(home) & self.mask() >= next.wrapping_sub(hole) & self.mask() {
                self.set(hole, entry);
                hole = next;
            }
        }
        self.set(hole, EMPTY);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list of keys that is searched from end to end. Few distinct keys with few distinct
        /// buckets, so that runs of buckets wrap, collide and close up again.
        #[test]
        fn it_finds_what_is_there_and_nothing_else(steps in prop::collection::vec((0_u64..24, any::<bool>()), 1..200)) {
            let key_of = |number: u64| (number % 5 + 3) | (number << 40);
            let (mut index, mut keys) = (Index::default(), Vec::<u64>::new());
            index.resize(24, std::iter::empty());
            for (number, add) in steps {
                let key = key_of(number);
                let position = keys.iter().position(|known| *known == key);
                match position {
                    None if add => {
                        index.insert(key, keys.len());
                        keys.push(key);
                    }
                    Some(position) if !add => {
                        index.remove(key, position, |other| keys.get(other).copied());
                        keys.swap_remove(position);
                        if let Some(moved) = keys.get(position) {
                            index.moved(*moved, keys.len(), position);
                        }
                    }
                    _ => {}
                }
                for number in 0..24 {
                    let key = key_of(number);
                    let found = index.find(key, |position| keys[position] == key);
                    prop_assert_eq!(found, keys.iter().position(|known| *known == key));
                }
            }
        }
    }

    #[test]
    fn a_table_has_room_for_what_it_is_made_for() {
        for keys in [0, 1, 7, 8, 100, 1_000, 1_000_000] {
            assert!(Index::buckets_for(keys) * 4 >= keys * 5, "{keys}");
        }
    }
}

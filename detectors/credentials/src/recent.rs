//! A few values by key, in order of time; the oldest makes room.
//!
//! Values lie in one vector and are linked twice: by time, and, beyond a handful, by the bits of their
//! key, which is a keyed hash already. Finding, adding, moving to the newest end and taking the oldest
//! are O(1); a value that comes out of order walks past those that are newer, [`VALUES_MAX`] at most.
//! Memory grows and shrinks in stated steps, and the step is part of the saved form, so that a loaded
//! copy holds as much.

use bartizan_core::heap_bytes;
use serde::{Deserialize, Serialize};

/// Values held; beyond them the oldest goes.
pub(crate) const VALUES_MAX: usize = 256;
/// The first step, within which keys are compared one by one; each further step is twice the one before.
const ROOM_MIN: usize = 4;
/// Of how many places one is used when the room shrinks.
const SPARSE: usize = 4;
/// No value.
const NONE: u16 = u16::MAX;

/// Values by key, in order of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Saved<V>", into = "Saved<V>")]
#[serde(bound(serialize = "V: Serialize + Copy", deserialize = "V: Deserialize<'de> + Copy"))]
pub(crate) struct Recent<V> {
    slots: Vec<Slot<V>>,
    /// First slot of each chain; empty while there is room for a handful only.
    chains: Vec<u16>,
    oldest: u16,
    newest: u16,
    /// First free slot, linked by `chain`.
    free: u16,
    len: u16,
    room: u16,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    time_ms: i64,
    key: u32,
    older: u16,
    newer: u16,
    chain: u16,
    value: V,
}

/// The saved form: values from the oldest to the newest.
#[derive(Serialize, Deserialize)]
struct Saved<V> {
    room: u16,
    values: Vec<(u32, i64, V)>,
}

impl<V: Copy> From<Saved<V>> for Recent<V> {
    fn from(saved: Saved<V>) -> Self {
        let mut recent = Self::with_room(usize::from(saved.room).max(saved.values.len().min(VALUES_MAX)));
        for (key, time_ms, value) in saved.values {
            recent.insert(key, time_ms, value);
        }
        recent
    }
}

impl<V: Copy> From<Recent<V>> for Saved<V> {
    fn from(recent: Recent<V>) -> Self {
        Self { room: recent.room, values: recent.iter().map(|(key, time_ms, value)| (key, time_ms, *value)).collect() }
    }
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { slots: Vec::new(), chains: Vec::new(), oldest: NONE, newest: NONE, free: NONE, len: 0, room: 0 }
    }
}

/// The step that holds so many values.
fn step_for(values: usize) -> usize {
    values.clamp(ROOM_MIN, VALUES_MAX).next_power_of_two()
}

impl<V: Copy> Recent<V> {
    fn with_room(values: usize) -> Self {
        if values == 0 {
            return Self::default();
        }
        let room = step_for(values);
        let mut slots = Vec::new();
        slots.reserve_exact(room);
        let chains = if room > ROOM_MIN { vec![NONE; room] } else { Vec::new() };
        Self { slots, chains, room: room as u16, ..Self::default() }
    }

    /// Values held.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Nothing held?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory.
    pub fn heap_bytes(&self) -> usize {
        let room = usize::from(self.room);
        let chains = if room > ROOM_MIN { room } else { 0 };
        heap_bytes(room * size_of::<Slot<V>>()) + heap_bytes(chains * size_of::<u16>())
    }

    /// Keys, times and values from the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = (u32, i64, &V)> {
        let slots = std::iter::successors(self.slot(self.oldest), |slot| self.slot(slot.newer));
        slots.map(|slot| (slot.key, slot.time_ms, &slot.value))
    }

    /// Time and value of a key.
    pub fn get(&self, key: u32) -> Option<(i64, &V)> {
        self.slot(self.find(key)).map(|slot| (slot.time_ms, &slot.value))
    }

    /// Time and value of a key, the value for writing.
    pub fn get_mut(&mut self, key: u32) -> Option<(i64, &mut V)> {
        let found = self.find(key);
        self.slot_mut(found).map(|slot| (slot.time_ms, &mut slot.value))
    }

    /// The oldest time.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.slot(self.oldest).map(|slot| slot.time_ms)
    }

    /// Moves a key to another time.
    pub fn touch(&mut self, key: u32, time_ms: i64) {
        let found = self.find(key);
        if self.slot(found).is_some_and(|slot| slot.time_ms != time_ms) {
            self.unlink_time(found);
            self.link_time(found, time_ms);
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: u32) -> Option<V> {
        self.remove_at(self.find(key))
    }

    fn remove_at(&mut self, found: u16) -> Option<V> {
        let value = self.slot(found)?.value;
        self.unlink_time(found);
        self.unlink_chain(found);
        let free = std::mem::replace(&mut self.free, found);
        if let Some(slot) = self.slot_mut(found) {
            slot.chain = free;
        }
        self.len -= 1;
        if self.is_empty() {
            *self = Self::default();
        } else if usize::from(self.room) > ROOM_MIN && self.len() * SPARSE <= usize::from(self.room) {
            self.rebuild(self.len());
        }
        Some(value)
    }

    /// Takes the oldest value out.
    pub fn pop(&mut self) -> Option<V> {
        self.remove_at(self.oldest)
    }

    /// Adds a key that is not there. The caller keeps to [`VALUES_MAX`]; what is beyond it is not taken.
    pub fn insert(&mut self, key: u32, time_ms: i64, value: V) {
        if self.len() >= VALUES_MAX {
            return;
        }
        if self.len == self.room {
            self.rebuild(self.len() + 1);
        }
        let slot = Slot { time_ms, key, older: NONE, newer: NONE, chain: NONE, value };
        let position = match self.slot(self.free).map(|free| free.chain) {
            Some(next) => {
                let position = std::mem::replace(&mut self.free, next);
                if let Some(free) = self.slot_mut(position) {
                    *free = slot;
                }
                position
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u16
            }
        };
        self.len += 1;
        self.link_time(position, time_ms);
        self.link_chain(position);
    }

    /// The same values in a room for `values`.
    fn rebuild(&mut self, values: usize) {
        let old = std::mem::replace(self, Self::with_room(values));
        for (key, time_ms, value) in old.iter() {
            self.insert(key, time_ms, *value);
        }
    }

    fn slot(&self, position: u16) -> Option<&Slot<V>> {
        self.slots.get(usize::from(position))
    }

    fn slot_mut(&mut self, position: u16) -> Option<&mut Slot<V>> {
        self.slots.get_mut(usize::from(position))
    }

    fn chain_of(&self, key: u32) -> usize {
        // The number of chains is a power of two.
        key as usize & self.chains.len().wrapping_sub(1)
    }

    fn find(&self, key: u32) -> u16 {
        if self.chains.is_empty() {
            let mut at = self.newest;
            while let Some(slot) = self.slot(at).filter(|slot| slot.key != key) {
                at = slot.older;
            }
            return at;
        }
        let mut at = self.chains.get(self.chain_of(key)).copied().unwrap_or(NONE);
        while let Some(slot) = self.slot(at).filter(|slot| slot.key != key) {
            at = slot.chain;
        }
        at
    }

    fn link_chain(&mut self, position: u16) {
        let chain = self.slot(position).map_or(0, |slot| self.chain_of(slot.key));
        if let Some(first) = self.chains.get_mut(chain) {
            let next = std::mem::replace(first, position);
            if let Some(slot) = self.slot_mut(position) {
                slot.chain = next;
            }
        }
    }

    fn unlink_chain(&mut self, position: u16) {
        let Some((key, next)) = self.slot(position).map(|slot| (slot.key, slot.chain)) else { return };
        let chain = self.chain_of(key);
        let Some(mut at) = self.chains.get(chain).copied() else { return };
        if at == position {
            if let Some(first) = self.chains.get_mut(chain) {
                *first = next;
            }
            return;
        }
        while let Some(slot) = self.slot_mut(at) {
            if slot.chain == position {
                slot.chain = next;
                return;
            }
            at = slot.chain;
        }
    }

    /// Links a slot behind the newest one that is not newer than it.
    fn link_time(&mut self, position: u16, time_ms: i64) {
        let mut older = self.newest;
        while let Some(slot) = self.slot(older).filter(|slot| slot.time_ms > time_ms) {
            older = slot.older;
        }
        let newer = match self.slot_mut(older) {
            Some(slot) => std::mem::replace(&mut slot.newer, position),
            None => std::mem::replace(&mut self.oldest, position),
        };
        match self.slot_mut(newer) {
            Some(slot) => slot.older = position,
            None => self.newest = position,
        }
        if let Some(slot) = self.slot_mut(position) {
            (slot.time_ms, slot.older, slot.newer) = (time_ms, older, newer);
        }
    }

    fn unlink_time(&mut self, position: u16) {
        let Some((older, newer)) = self.slot(position).map(|slot| (slot.older, slot.newer)) else { return };
        match self.slot_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slot_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32, i64),
        Touch(u32, i64),
        Remove(u32),
        Pop,
        Reload,
    }

    fn step() -> impl Strategy<Value = Step> {
        // Keys that share chains, and times that often agree.
        let key = (0_u32..400).prop_map(|key| key * 64 % 1_000);
        let time = 0_i64..300;
        prop_oneof![
            8 => (key.clone(), time.clone()).prop_map(|(key, time)| Step::Insert(key, time)),
            3 => (key.clone(), time).prop_map(|(key, time)| Step::Touch(key, time)),
            2 => key.prop_map(Step::Remove),
            1 => Just(Step::Pop),
            1 => Just(Step::Reload),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Against a list that is searched from end to end and kept sorted by time, older arrivals first.
        #[test]
        fn it_is_a_list_sorted_by_time(steps in prop::collection::vec(step(), 1..900)) {
            let (mut recent, mut list) = (Recent::<u32>::default(), Vec::<(u32, i64, u32)>::new());
            let put = |list: &mut Vec<(u32, i64, u32)>, one: (u32, i64, u32)| {
                let at = list.partition_point(|(_, time_ms, _)| *time_ms <= one.1);
                list.insert(at, one);
            };
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(key, time_ms) if list.iter().all(|one| one.0 != key) && list.len() < VALUES_MAX => {
                        recent.insert(key, time_ms, number as u32);
                        put(&mut list, (key, time_ms, number as u32));
                    }
                    Step::Insert(..) => {}
                    Step::Touch(key, time_ms) => {
                        recent.touch(key, time_ms);
                        if let Some(at) = list.iter().position(|one| one.0 == key && one.1 != time_ms) {
                            let one = list.remove(at);
                            put(&mut list, (one.0, time_ms, one.2));
                        }
                    }
                    Step::Remove(key) => {
                        let at = list.iter().position(|one| one.0 == key);
                        prop_assert_eq!(recent.remove(key), at.map(|at| list.remove(at).2));
                    }
                    Step::Pop => {
                        let first = (!list.is_empty()).then(|| list.remove(0).2);
                        prop_assert_eq!(recent.pop(), first);
                    }
                    Step::Reload => {
                        let before = recent.heap_bytes();
                        recent = Saved::from(recent).into();
                        prop_assert_eq!(recent.heap_bytes(), before);
                    }
                }
                prop_assert_eq!(recent.iter().map(|(key, time_ms, value)| (key, time_ms, *value)).collect::<Vec<_>>(), list.clone());
                prop_assert!(list.iter().all(|one| recent.get(one.0) == Some((one.1, &one.2))));
                prop_assert_eq!((recent.len(), recent.oldest_ms()), (list.len(), list.first().map(|one| one.1)));
                prop_assert!(recent.get(1_001).is_none());
                let really = heap_bytes(recent.slots.capacity() * size_of::<Slot<u32>>()) + heap_bytes(recent.chains.capacity() * 2);
                prop_assert!(really <= recent.heap_bytes() && recent.len() <= usize::from(recent.room));
            }
        }
    }
}

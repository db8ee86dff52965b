//! Bounded state by key.
//!
//! A map from key hash to value that never holds more than its limit. When it is full the CLOCK hand
//! looks at a few slots for the one that is worth least, used least lately, so that a flood of passing
//! strangers pushes out strangers and leaves baselines alone. Each insertion also looks at a few slots and drops what has expired:
//! adding and expiring are O(1), and what is held depends on the sequence of calls alone, never on
//! batch borders or time of day.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Slots looked at for expiry at each insertion.
const SWEEP_SLOTS: usize = 2;
/// Slots looked at for a victim.
const SEARCH_SLOTS_MAX: usize = 64;

/// A value that knows how long it matters and how much.
pub trait Retained {
    /// Event time after which the value says nothing any more.
    fn expires_ms(&self) -> i64;
    /// What is kept when room is needed: 0 for passing strangers, more for a baseline of long standing.
    fn worth(&self) -> u8;
    /// Bytes that the value owns outside its slot, as the allocator rounds them ([`heap_bytes`]).
    fn heap_bytes(&self) -> usize;
}

/// Bytes that an allocation of `bytes` takes: a header of eight bytes, steps of sixteen, at least 32
/// (glibc's malloc on 64 bits; others take no more).
#[must_use]
pub const fn heap_bytes(bytes: usize) -> usize {
    if bytes == 0 {
        0
    } else if bytes <= 24 {
        32
    } else {
        (bytes + 8).next_multiple_of(16)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slot<V> {
    key: u64,
    used: bool,
    value: V,
}

/// State by key hash with a fixed maximum.
#[derive(Clone, Debug)]
pub struct KeyedState<V> {
    index: HashMap<u64, u32, FixedState>,
    slots: Vec<Slot<V>>,
    hand: usize,
    keys_max: usize,
    evicted: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved<S> {
    hand: usize,
    evicted: u64,
    slots: S,
}

impl<V: Retained> KeyedState<V> {
    /// Empty state for at most `keys_max` keys (at least one).
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        let keys_max = keys_max.clamp(1, u32::MAX as usize);
        Self { index: HashMap::with_hasher(FixedState::default()), slots: Vec::new(), hand: 0, keys_max, evicted: 0 }
    }

    /// Keys held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Nothing held?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Keys pushed out for want of room (expired ones do not count).
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The value of a key, unless it has expired by `watermark_ms`.
    #[must_use]
    pub fn get(&self, key: u64, watermark_ms: i64) -> Option<&V> {
        let slot = self.slots.get(*self.index.get(&key)? as usize)?;
        (slot.value.expires_ms() >= watermark_ms).then_some(&slot.value)
    }

    /// The value of a key for writing, unless it has expired by `watermark_ms`.
    pub fn get_mut(&mut self, key: u64, watermark_ms: i64) -> Option<&mut V> {
        let slot = self.slots.get_mut(*self.index.get(&key)? as usize)?;
        if slot.value.expires_ms() < watermark_ms {
            return None;
        }
        slot.used = true;
        Some(&mut slot.value)
    }

    /// The value of a key for writing, made by `make` if there is none or it has expired.
    pub fn entry(&mut self, key: u64, watermark_ms: i64, make: impl FnOnce() -> V) -> &mut V {
        let position = match self.index.get(&key).map(|position| *position as usize) {
            Some(position) => {
                if let Some(slot) = self.slots.get_mut(position) {
                    if slot.value.expires_ms() < watermark_ms {
                        slot.value = make();
                    }
                    slot.used = true;
                }
                position
            }
            None => {
                self.sweep(watermark_ms);
                if self.slots.len() >= self.keys_max {
                    self.evict(watermark_ms);
                }
                let position = self.slots.len();
                self.index.insert(key, position as u32);
                self.slots.push(Slot { key, used: false, value: make() });
                position
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the index points into the slots; both change together in this file only")]
        &mut self.slots[position].value
    }

    /// Drops a key.
    pub fn remove(&mut self, key: u64) {
        if let Some(position) = self.index.get(&key).map(|position| *position as usize) {
            self.remove_at(position);
        }
    }

    fn sweep(&mut self, watermark_ms: i64) {
        for _ in 0..SWEEP_SLOTS {
            self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
            if self.slots.get(self.hand).is_some_and(|slot| slot.value.expires_ms() < watermark_ms) {
                self.remove_at(self.hand);
            }
        }
    }

    fn evict(&mut self, watermark_ms: i64) {
        let (mut victim, mut least) = (self.hand, u16::MAX);
        for _ in 0..SEARCH_SLOTS_MAX.min(self.slots.len()) {
            self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
            let Some(slot) = self.slots.get_mut(self.hand) else { break };
            if slot.value.expires_ms() < watermark_ms {
                self.remove_at(self.hand);
                return;
            }
            let rank = u16::from(slot.value.worth()) * 2 + u16::from(std::mem::take(&mut slot.used));
            if rank < least {
                (victim, least) = (self.hand, rank);
            }
            if rank == 0 {
                break;
            }
        }
        self.evicted += 1;
        self.remove_at(victim);
    }

    fn remove_at(&mut self, position: usize) {
        if position >= self.slots.len() {
            return;
        }
        let gone = self.slots.swap_remove(position);
        self.index.remove(&gone.key);
        if let Some(moved) = self.slots.get(position) {
            self.index.insert(moved.key, position as u32);
        }
    }
}

impl<V: Retained + Serialize + DeserializeOwned> KeyedState<V> {
    /// Writes the state, its order included, so that a loaded copy goes on exactly as this one.
    pub fn save(&self, out: &mut Vec<u8>) {
        let saved = Saved { hand: self.hand, evicted: self.evicted, slots: &self.slots };
        match postcard::to_extend(&saved, std::mem::take(out)) {
            Ok(written) => *out = written,
            Err(error) => debug_assert!(false, "state does not serialise: {error}"),
        }
    }

    /// Reads a saved state from the front of `bytes` and returns the rest. Keys beyond the limit are
    /// left out.
    ///
    /// # Errors
    /// The bytes are not a saved state.
    pub fn load<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], postcard::Error> {
        let (saved, rest): (Saved<Vec<Slot<V>>>, _) = postcard::take_from_bytes(bytes)?;
        self.slots = saved.slots;
        self.slots.truncate(self.keys_max);
        self.hand = saved.hand;
        self.evicted = saved.evicted;
        self.index.clear();
        self.index.extend(self.slots.iter().enumerate().map(|(position, slot)| (slot.key, position as u32)));
        Ok(rest)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Seen {
        until: i64,
        worth: u8,
    }
    impl Retained for Seen {
        fn expires_ms(&self) -> i64 {
            self.until
        }
        fn worth(&self) -> u8 {
            self.worth
        }
        fn heap_bytes(&self) -> usize {
            0
        }
    }
    fn stranger() -> Seen {
        Seen { until: i64::MAX, worth: 0 }
    }

    #[test]
    fn random_keys_never_pass_the_limit_and_spare_what_is_worth_more() {
        let mut state = KeyedState::new(100);
        for key in 1..=10 {
            *state.entry(key, 0, stranger) = Seen { until: i64::MAX, worth: 3 };
            state.entry(key, 0, stranger);
        }
        for key in 1_000..1_200 {
            state.entry(key, 0, stranger);
            assert!(state.len() <= 100);
        }
        assert!((1..=10).all(|key| state.get(key, 0).is_some()));
        assert!(state.evicted() > 0);
    }

    #[test]
    fn what_has_expired_is_gone_at_once_and_swept_in_time() {
        let mut state = KeyedState::new(1_000);
        for key in 1..=100 {
            state.entry(key, 0, || Seen { until: 10, worth: 0 });
        }
        assert!(state.get(5, 11).is_none());
        for key in 1_000..1_200 {
            state.entry(key, 11, stranger);
        }
        assert_eq!(state.len(), 200);
        assert_eq!(state.evicted(), 0);
    }

    #[test]
    fn a_loaded_copy_goes_on_like_the_original() {
        let mut one = KeyedState::new(50);
        for key in 1..=80 {
            one.entry(key, 0, stranger);
        }
        let mut bytes = Vec::new();
        one.save(&mut bytes);
        let mut two = KeyedState::new(50);
        assert!(two.load(&bytes).unwrap().is_empty());
        for key in 100..=180 {
            one.entry(key, 0, stranger);
            two.entry(key, 0, stranger);
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        one.save(&mut a);
        two.save(&mut b);
        assert_eq!(a, b);
    }
}

//! Bounded state by key.
//!
//! A map from key hash to value within a budget in bytes that all states of a slice share. Values lie in
//! one vector of slots; a compact index says where. Each insertion looks at a few slots and drops what has
//! expired, so adding and expiring are O(1). When the budget is used up, the CLOCK hand looks for the slot
//! that is worth least, used least lately: strangers make room for strangers, and baselines of long
//! standing stay. What is held depends on the sequence of calls alone, never on batch borders, the time of
//! day or what the allocator does: bytes are counted by what was asked for, and growing and shrinking
//! follow stated steps.
//!
//! **Saving without standing still.** [`State::begin_save`] marks a point in the sequence of calls;
//! [`State::save_some`] then writes a part of the slots at a time, while the state goes on changing: a slot
//! that is about to change before it was written is written first (copy on write). What comes out is the
//! state as of the mark, exactly. A slot knows by one bit whether it was written.

mod budget;
mod index;
#[cfg(test)]
mod tests;

pub use budget::{Budget, EachState, give_way};

use index::{Index, POSITIONS_MAX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Slots looked at for expiry at each insertion.
const SWEEP_SLOTS: usize = 2;
/// Slots looked at for a victim.
const SEARCH_SLOTS_MAX: usize = 64;
/// Slots that there is always room for.
const ROOM_MIN: usize = 8;

/// A value that knows how long it matters and how much.
pub trait Retained {
    /// Event time after which the value says nothing any more.
    fn expires_ms(&self) -> i64;
    /// What is kept when room is needed: 0 for passing strangers, more for a baseline of long standing.
    fn worth(&self) -> u8;
    /// Bytes that the value owns outside its slot, as the allocator rounds them ([`heap_bytes`]). Asked
    /// before and after each change, so it should be O(1) or nearly. It must depend on the content alone,
    /// so that a loaded copy counts the same, and not be below what is really allocated.
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

/// How much a slot is worth when one has to go: twice [`Retained::worth`], and one more if it was used
/// since the hand last passed.
pub type Rank = u16;

/// The highest rank of a passing stranger.
pub const STRANGER: Rank = 1;

/// The side of a [`KeyedState`] that does not depend on what it holds.
pub trait State {
    /// Keys held.
    fn len(&self) -> usize;

    /// Nothing held?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys pushed out for want of room (expired ones do not count).
    fn evicted(&self) -> u64;

    /// Bytes held.
    fn bytes(&self) -> usize;

    /// Drops a slot of at most this rank, if the hand finds one among the next few; says so.
    fn give_way(&mut self, watermark_ms: i64, rank_max: Rank) -> bool;

    /// Gives back the room that is not used.
    fn shrink(&mut self);

    /// Begins to save the state as it is now: appends its header to `out`. The slots follow by
    /// [`Self::save_some`], until that says that they are all written.
    fn begin_save(&mut self, out: &mut Vec<u8>);

    /// Appends what was changed since the last call, as it was at the beginning, and then up to
    /// `slots_max` further slots. True when all slots are written, and when nothing is being saved.
    fn save_some(&mut self, slots_max: usize, out: &mut Vec<u8>) -> bool;

    /// Begins to load a saved state in place of this one.
    ///
    /// # Errors
    /// The header is none.
    fn begin_load(&mut self, header: &[u8]) -> Result<(), postcard::Error>;

    /// Takes slots, in any order.
    ///
    /// # Errors
    /// The bytes are no slots of this state.
    fn load_some(&mut self, bytes: &[u8]) -> Result<(), postcard::Error>;

    /// All slots were given.
    ///
    /// # Errors
    /// Some were not.
    fn end_load(&mut self) -> Result<(), postcard::Error>;
}

/// A key with two bits about its slot. Keys are told apart by their other 62 bits; of the hashes of one
/// slice the upper six are alike anyway.
#[derive(Clone, Copy, Debug)]
struct Tag(u64);

impl Tag {
    /// Used since the hand last passed.
    const USED: u64 = 1 << 63;
    /// Written in the phase of this parity.
    const PHASE: u64 = 1 << 62;
    const KEY: u64 = Self::PHASE - 1;

    fn key(self) -> u64 {
        self.0 & Self::KEY
    }
}

#[derive(Debug)]
struct Slot<V> {
    tag: Tag,
    value: V,
}

/// State by key hash within a budget.
#[derive(Debug)]
pub struct KeyedState<V: Retained> {
    index: Index,
    slots: Vec<Slot<V>>,
    hand: usize,
    /// Where the key was that was asked for last: it is often asked for again, by who shares the state. A hint only.
    latest: usize,
    /// Slots that memory was asked for.
    room: usize,
    /// Bytes that values own outside their slots.
    heap: usize,
    evicted: u64,
    budget: Arc<Budget>,
    /// What [`Tag::PHASE`] is in slots that were written in this phase, or came into being in it.
    phase: u64,
    saving: Option<Saving>,
    loading: Option<Loading<V>>,
}

/// A state that is being loaded.
#[derive(Debug)]
struct Loading<V> {
    room: usize,
    slots: Vec<Option<Slot<V>>>,
}

/// A state that is being saved.
#[derive(Debug)]
struct Saving {
    /// Slots before this one are written.
    next: usize,
    /// Slots written before their turn, and not taken yet.
    early: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    len: usize,
    hand: usize,
    room: usize,
    evicted: u64,
}

/// A value for writing. What it owns is counted when the guard is dropped.
pub struct Held<'a, V: Retained> {
    value: &'a mut V,
    heap: &'a mut usize,
    budget: &'a Budget,
    before: usize,
}

impl<V: Retained> Deref for Held<'_, V> {
    type Target = V;
    fn deref(&self) -> &V {
        self.value
    }
}

impl<V: Retained> DerefMut for Held<'_, V> {
    fn deref_mut(&mut self) -> &mut V {
        self.value
    }
}

impl<V: Retained> Drop for Held<'_, V> {
    fn drop(&mut self) {
        let after = self.value.heap_bytes();
        if after != self.before {
            *self.heap = (*self.heap + after).saturating_sub(self.before);
            self.budget.change(self.before, after);
        }
    }
}

impl<V: Retained> Drop for KeyedState<V> {
    fn drop(&mut self) {
        self.budget.change(self.held_bytes(), 0);
    }
}

/// The next size of the slots' memory: an eighth more, so that little of it lies idle.
const fn room_for(len: usize) -> usize {
    len + len / 8 + ROOM_MIN
}

/// The same where the budget is nearly used up: others have to give way for it.
const fn tight_room_for(len: usize) -> usize {
    len + len / 256 + 1
}

impl<V: Retained> KeyedState<V> {
    fn room_bytes(room: usize) -> usize {
        room * size_of::<Slot<V>>() + Index::bytes_for(room)
    }

    fn held_bytes(&self) -> usize {
        if self.room == 0 { 0 } else { Self::room_bytes(self.room) + self.heap }
    }

    fn key_at(&self, position: usize) -> Option<u64> {
        self.slots.get(position).map(|slot| slot.tag.key())
    }

    fn position(&self, key: u64) -> Option<usize> {
        let key = key & Tag::KEY;
        if self.key_at(self.latest) == Some(key) {
            return Some(self.latest);
        }
        if self.room == 0 {
            return None;
        }
        self.index.find(key, |position| self.key_at(position) == Some(key))
    }

    fn set_room(&mut self, room: usize) {
        let before = self.held_bytes();
        if room > self.slots.len() {
            self.slots.reserve_exact(room - self.slots.len());
        }
        self.slots.shrink_to(room);
        self.room = room;
        self.index.resize(room, self.slots.iter().map(|slot| slot.tag.key()));
        self.budget.change(before, self.held_bytes());
    }

    fn count_heap(&mut self, before: usize, after: usize) {
        self.heap = (self.heap + after).saturating_sub(before);
        self.budget.change(before, after);
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
        self.lasting(self.position(key)?, watermark_ms)
    }

    /// The value of a slot, unless it has expired by `watermark_ms`.
    fn lasting(&self, position: usize, watermark_ms: i64) -> Option<&V> {
        let slot = self.slots.get(position)?;
        (slot.value.expires_ms() >= watermark_ms).then_some(&slot.value)
    }

    /// The same for a key that is soon asked for again: it is found at once then.
    #[must_use]
    pub fn get_first(&mut self, key: u64, watermark_ms: i64) -> Option<&V> {
        self.latest = self.position(key)?;
        self.lasting(self.latest, watermark_ms)
    }
}

impl<V: Retained + Serialize + DeserializeOwned> KeyedState<V> {
    /// Empty state that takes its memory from `budget`.
    #[must_use]
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self {
            index: Index::default(),
            slots: Vec::new(),
            hand: 0,
            latest: 0,
            room: 0,
            heap: 0,
            evicted: 0,
            budget: Arc::clone(budget),
            phase: 0,
            saving: None,
            loading: None,
        }
    }

    /// The value of a key for writing, unless it has expired by `watermark_ms`.
    pub fn get_mut(&mut self, key: u64, watermark_ms: i64) -> Option<Held<'_, V>> {
        let position = self.position(key)?;
        if self.slots.get(position)?.value.expires_ms() < watermark_ms {
            return None;
        }
        self.write_early(position);
        Some(self.hold(position))
    }

    /// The value of a key for writing, made by `make` if there is none or it has expired.
    pub fn entry(&mut self, key: u64, watermark_ms: i64, make: impl FnOnce() -> V) -> Held<'_, V> {
        let Some(position) = self.position(key) else {
            let position = self.make_room(watermark_ms);
            let value = make();
            self.count_heap(0, value.heap_bytes());
            self.index.insert(key & Tag::KEY, position);
            self.slots.push(Slot { tag: Tag(key & Tag::KEY | self.phase), value });
            // New: not used again so far.
            return self.hold_as(position, 0);
        };
        self.write_early(position);
        if let Some(slot) = self.slots.get_mut(position)
            && slot.value.expires_ms() < watermark_ms
        {
            let before = slot.value.heap_bytes();
            slot.value = make();
            let after = slot.value.heap_bytes();
            self.count_heap(before, after);
        }
        self.hold(position)
    }

    fn hold(&mut self, position: usize) -> Held<'_, V> {
        self.hold_as(position, Tag::USED)
    }

    fn hold_as(&mut self, position: usize, used: u64) -> Held<'_, V> {
        self.latest = position;
        #[expect(clippy::indexing_slicing, reason = "the index points into the slots; both change together in this file only")]
        let slot = &mut self.slots[position];
        slot.tag.0 |= used;
        let before = slot.value.heap_bytes();
        Held { value: &mut slot.value, heap: &mut self.heap, budget: &self.budget, before }
    }

    /// Drops a key.
    pub fn remove(&mut self, key: u64) {
        if let Some(position) = self.position(key) {
            self.remove_at(position);
        }
    }

    /// Makes room for one more slot, by dropping what has expired, a stranger where the budget is used up,
    /// or else by growing (the caller of the detector then sees to it that something gives way). Returns
    /// the new slot's position.
    fn make_room(&mut self, watermark_ms: i64) -> usize {
        self.sweep(watermark_ms);
        if self.slots.len() >= self.room {
            let len = self.slots.len();
            let refused = |room| self.budget.refuses(Self::room_bytes(room).saturating_sub(Self::room_bytes(self.room)));
            let (full, tight) = (len >= POSITIONS_MAX, refused(room_for(len)));
            let rank_max = if full { Rank::MAX } else { STRANGER };
            if !((full || tight) && self.give_way(watermark_ms, rank_max)) {
                let room = if tight { tight_room_for(len) } else { room_for(len) };
                self.set_room(room.min(POSITIONS_MAX));
            }
        }
        self.slots.len()
    }

    fn step_hand(&mut self) {
        self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
    }

    /// Drops what has expired among the next few slots. Each insertion does so; a state whose keys nearly
    /// all come again needs it more often.
    pub fn sweep(&mut self, watermark_ms: i64) {
        for _ in 0..SWEEP_SLOTS {
            self.step_hand();
            if self.slots.get(self.hand).is_some_and(|slot| slot.value.expires_ms() < watermark_ms) {
                self.remove_at(self.hand);
            }
        }
        if self.slots.len() < self.room / 2 && self.room > room_for(ROOM_MIN) {
            self.set_room(room_for(self.slots.len()));
        }
    }

    fn remove_at(&mut self, position: usize) {
        let Some(key) = self.key_at(position) else { return };
        self.write_early(position);
        let last = self.slots.len() - 1;
        self.write_early(last);
        let (slots, index) = (&self.slots, &mut self.index);
        index.remove(key, position, |other| slots.get(other).map(|slot| slot.tag.key()));
        if position != last
            && let Some(moved) = self.key_at(last)
        {
            self.index.moved(moved, last, position);
        }
        let gone = self.slots.swap_remove(position);
        self.count_heap(gone.value.heap_bytes(), 0);
    }

    /// Writes a slot that is about to change, if its turn has not come.
    fn write_early(&mut self, position: usize) {
        // Seldom is anything being saved.
        if let Some(saving) = &mut self.saving
            && let Some(slot) = self.slots.get_mut(position)
            && slot.tag.0 & Tag::PHASE != self.phase
        {
            write(position, slot, &mut saving.early);
            slot.tag.0 ^= Tag::PHASE;
        }
    }
}

/// One slot as it is saved: its position, key, whether it was used, and its value.
fn write<V: Serialize>(position: usize, slot: &Slot<V>, out: &mut Vec<u8>) {
    let saved = (position as u32, slot.tag.key(), slot.tag.0 & Tag::USED != 0, &slot.value);
    match postcard::to_extend(&saved, std::mem::take(out)) {
        Ok(written) => *out = written,
        Err(error) => debug_assert!(false, "state does not serialise: {error}"),
    }
}

impl<V: Retained + Serialize + DeserializeOwned> State for KeyedState<V> {
    fn len(&self) -> usize {
        self.slots.len()
    }

    fn evicted(&self) -> u64 {
        self.evicted
    }

    fn bytes(&self) -> usize {
        self.held_bytes()
    }

    fn give_way(&mut self, watermark_ms: i64, rank_max: Rank) -> bool {
        let mut victim: Option<(usize, Rank)> = None;
        for _ in 0..SEARCH_SLOTS_MAX.min(self.slots.len()) {
            self.step_hand();
            let Some(slot) = self.slots.get(self.hand) else { break };
            if slot.value.expires_ms() < watermark_ms {
                self.remove_at(self.hand);
                return true;
            }
            let used = slot.tag.0 & Tag::USED != 0;
            let rank = Rank::from(slot.value.worth()) * 2 + Rank::from(used);
            if used {
                // The mark is part of what is saved.
                self.write_early(self.hand);
                if let Some(slot) = self.slots.get_mut(self.hand) {
                    slot.tag.0 &= !Tag::USED;
                }
            }
            if rank <= rank_max && victim.is_none_or(|(_, least)| rank < least) {
                victim = Some((self.hand, rank));
            }
            if rank == 0 {
                break;
            }
        }
        let Some((victim, _)) = victim else { return false };
        self.evicted += 1;
        self.remove_at(victim);
        true
    }

    fn shrink(&mut self) {
        let room = self.slots.len().max(ROOM_MIN);
        if room < self.room {
            self.set_room(room);
        }
    }

    fn begin_save(&mut self, out: &mut Vec<u8>) {
        if self.saving.is_some() {
            // It is given up; the rest counts as written.
            self.slots.iter_mut().for_each(|slot| slot.tag.0 = slot.tag.0 & !Tag::PHASE | self.phase);
        }
        let header = Header { len: self.slots.len(), hand: self.hand, room: self.room, evicted: self.evicted };
        match postcard::to_extend(&header, std::mem::take(out)) {
            Ok(written) => *out = written,
            Err(error) => debug_assert!(false, "a header does not serialise: {error}"),
        }
        self.phase ^= Tag::PHASE;
        self.saving = Some(Saving { next: 0, early: Vec::new() });
    }

    fn save_some(&mut self, slots_max: usize, out: &mut Vec<u8>) -> bool {
        let Some(saving) = &mut self.saving else { return true };
        out.append(&mut saving.early);
        let end = saving.next.saturating_add(slots_max).min(self.slots.len());
        for (position, slot) in self.slots.iter_mut().enumerate().take(end).skip(saving.next) {
            if slot.tag.0 & Tag::PHASE != self.phase {
                write(position, slot, out);
                slot.tag.0 ^= Tag::PHASE;
            }
        }
        saving.next = end;
        let done = end == self.slots.len();
        if done {
            self.saving = None;
        }
        done
    }

    fn begin_load(&mut self, header: &[u8]) -> Result<(), postcard::Error> {
        let header: Header = postcard::from_bytes(header)?;
        if header.len > header.room || header.room > POSITIONS_MAX {
            return Err(postcard::Error::DeserializeBadEncoding);
        }
        self.budget.change(self.held_bytes(), 0);
        (self.index, self.heap, self.saving, self.room) = (Index::default(), 0, None, 0);
        self.slots = Vec::new();
        (self.hand, self.evicted) = (header.hand, header.evicted);
        let mut slots = Vec::new();
        slots.resize_with(header.len, || None);
        self.loading = Some(Loading { room: header.room, slots });
        Ok(())
    }

    fn load_some(&mut self, bytes: &[u8]) -> Result<(), postcard::Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let ((position, key, used, value), after): ((u32, u64, bool, V), _) = postcard::take_from_bytes(rest)?;
            rest = after;
            let slots = self.loading.as_mut().map(|loading| &mut loading.slots);
            let slot = slots.and_then(|slots| slots.get_mut(position as usize)).filter(|slot| slot.is_none());
            let slot = slot.ok_or(postcard::Error::DeserializeBadEncoding)?;
            let used = if used { Tag::USED } else { 0 };
            *slot = Some(Slot { tag: Tag(key & Tag::KEY | used | self.phase), value });
        }
        Ok(())
    }

    fn end_load(&mut self) -> Result<(), postcard::Error> {
        let loading = self.loading.take().ok_or(postcard::Error::DeserializeBadEncoding)?;
        let slots: Option<Vec<_>> = loading.slots.into_iter().collect();
        self.slots = slots.ok_or(postcard::Error::DeserializeBadEncoding)?;
        self.heap = self.slots.iter().map(|slot| slot.value.heap_bytes()).sum();
        if loading.room > 0 {
            self.set_room(loading.room);
        }
        Ok(())
    }
}

//! Ids that are names: places of a path where many different texts stand, learnt from a tenant's traffic.
//!
//! A place is what stands before it. What was answered teaches; what was refused or is not there does not, so that a
//! scanner's paths make up no places. One that has had some seventy different texts takes ids from then on, and its texts are
//! the objects of one route. No API has so many resources side by side, and few websites so many sections.
//!
//! All slices read them, and report a text that is new: once it is known, never again. Where places are more than are
//! held, and to tell which of those that take names are still in use, one event of [`SAMPLE`] speaks for all.

use super::route::{Segments, Sort, mix};
use bartizan_core::heap_bytes;
use serde::{Deserialize, Serialize};

/// Places watched: of a small tenant, and at most.
const PLACES: (usize, usize) = (16, 128);
/// Bits of a place's sketch that are set when it has had about seventy different texts.
const VARIES_BITS: u32 = 64;
/// Reports by which a place outlives others that fall on it.
const LIFE_MAX: u8 = 15;
/// One event of so many speaks for all.
pub(super) const SAMPLE: u64 = 64;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Place {
    print: u32,
    life: u8,
    varies: bool,
    texts: [u64; 4],
}

/// What a tenant's paths are made of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Names {
    places: Vec<Place>,
    /// Print of all that came to be known: where it is the same, so is what a look sees.
    edition: u64,
}

/// What is known of a text at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has stood there.
    Yes,
    /// It has not, so far.
    No,
    /// The place is not held, for want of room.
    Unheld,
    /// Names stand there.
    Name,
}

/// The bit of a text in the sketch of its place, from the hash of both.
pub(super) fn bit_of(hash: u64) -> u8 {
    (hash >> 56) as u8
}

impl Names {
    /// None known.
    pub const fn new() -> Self {
        Self { places: Vec::new(), edition: 0 }
    }

    /// Names this state of knowledge.
    pub fn edition(&self) -> u64 {
        self.edition
    }

    pub fn heap_bytes(&self) -> usize {
        heap_bytes(self.places.capacity() * size_of::<Place>())
    }

    /// What is known of a text at a place.
    #[inline]
    pub fn look(&self, place: u32, bit: u8) -> Known {
        match self.places.get(place as usize & self.places.len().wrapping_sub(1)) {
            Some(held) if held.print == place => match held.texts.get(usize::from(bit / 64)) {
                _ if held.varies => Known::Name,
                Some(word) if word >> (bit % 64) & 1 != 0 => Known::Yes,
                _ => Known::No,
            },
            Some(held) if held.print != 0 && self.places.len() >= PLACES.1 => Known::Unheld,
            _ => Known::No,
        }
    }

    /// Tells `report` which texts of a path, at which places, are to be learnt; with `sampled` not only those that are new.
    #[inline(never)]
    pub fn to_learn(&self, path: &str, sampled: bool, mut report: impl FnMut(u32, u8)) {
        let (mut prefix, mut before) = (super::route::SEED, &b""[..]);
        for segment in (Segments { rest: path.as_bytes() }).take(super::route::SEGMENTS_MAX) {
            let next = mix(prefix, segment.bytes);
            let sort = segment.sort(before);
            let known = if sort == Sort::Fixed { self.look(prefix as u32, bit_of(next)) } else { Known::Yes };
            if known == Known::No || (sampled && known != Known::Yes) {
                report(prefix as u32, bit_of(next));
            }
            prefix = sort.stands_for(known).map_or(next, |text| mix(prefix, text));
            before = segment.bytes;
        }
    }

    /// Learns that a text stands at a place.
    pub fn learn(&mut self, place: u32, bit: u8) {
        let room = self.places.len();
        if self.learn_text(place, bit) || self.places.len() != room {
            self.edition = mix(self.edition, &(u64::from(place) << 8 | u64::from(bit)).to_le_bytes());
        }
    }

    /// True if it was not known.
    fn learn_text(&mut self, place: u32, bit: u8) -> bool {
        if self.places.is_empty() {
            self.places = vec![Place::default(); PLACES.0];
        }
        while self.places.len() < PLACES.1 && self.look_at(place).is_some_and(|held| held.print != 0 && held.print != place) {
            self.grow();
        }
        let Some(held) = self.look_at(place) else { return false };
        let mut is_new = held.print != place;
        if is_new {
            held.life = held.life.saturating_sub(1);
            if held.life > 0 {
                return false;
            }
            *held = Place { print: place, ..Place::default() };
        }
        held.life = if held.varies { LIFE_MAX } else { (held.life + 1).min(LIFE_MAX) };
        if let Some(word) = held.texts.get_mut(usize::from(bit / 64)) {
            is_new |= *word >> (bit % 64) & 1 == 0;
            *word |= 1 << (bit % 64);
        }
        held.varies |= held.texts.iter().map(|word| word.count_ones()).sum::<u32>() >= VARIES_BITS;
        is_new
    }

    fn look_at(&mut self, place: u32) -> Option<&mut Place> {
        let at = place as usize & self.places.len().wrapping_sub(1);
        self.places.get_mut(at)
    }

    /// Makes twice the room.
    fn grow(&mut self) {
        let twice = vec![Place::default(); 2 * self.places.len()];
        for place in std::mem::replace(&mut self.places, twice).into_iter().filter(|place| place.print != 0) {
            if let Some(slot) = self.look_at(place.print) {
                *slot = place;
            }
        }
    }
}

//! Ids that are names: places of a path where many different texts stand, learnt from a tenant's traffic.
//!
//! A place is what stands before it. What was answered teaches; what was refused or is not there does not, so that a
//! scanner's paths make up no places. One that has had some seventy different texts takes ids from then on, and its texts are
//! the objects of one route. No API has so many resources side by side, and few websites so many sections.
//!
//! Paths of routes that are known are looked up by their print alone; only others are gone through.

use super::route::{ANY, Asked, SEED, Segments, Sort, mix};
use bartizan_core::heap_bytes;
use serde::{Deserialize, Serialize};

/// Routes remembered, in pairs, and places watched: of a small tenant, and at most.
const KNOWN: (usize, usize) = (32, 512);
const PLACES: (usize, usize) = (16, 128);
/// Bits of a place's sketch that are set when it has had about seventy different texts.
const VARIES_BITS: u32 = 64;
/// Hits by which a place outlives others that fall on it.
const LIFE_MAX: u8 = 15;
/// Segments looked at.
const SEGMENTS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Known {
    written: u32,
    route: u32,
    /// What its names add to the object; 0: it has none.
    object: u32,
}

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
    known: Vec<Known>,
    places: Vec<Place>,
    /// Routes that gave way to others since there was more room for them.
    gave_way: u16,
}

impl Names {
    pub fn heap_bytes(&self) -> usize {
        heap_bytes(self.known.capacity() * size_of::<Known>()) + heap_bytes(self.places.capacity() * size_of::<Place>())
    }

    /// Takes the names out of what was asked for. What was `answered` is learnt.
    #[inline]
    pub fn resolve(&mut self, asked: Asked, path: &str, answered: bool) -> Asked {
        let at = asked.route as usize & self.known.len().wrapping_sub(1);
        for at in [at, at ^ 1] {
            if let Some(known) = self.known.get(at)
                && known.written == asked.route
            {
                return known.apply(asked);
            }
        }
        self.go_through(asked, path, answered)
    }

    #[inline(never)]
    fn go_through(&mut self, asked: Asked, path: &str, answered: bool) -> Asked {
        if self.known.is_empty() {
            (self.known, self.places) = (vec![Known::default(); KNOWN.0], vec![Place::default(); PLACES.0]);
        }
        let (mut prefix, mut object, mut before) = (SEED, SEED, &b""[..]);
        for segment in (Segments { rest: path.as_bytes() }).take(SEGMENTS_MAX) {
            let varies = segment.sort(before) != Sort::Fixed || self.varies(prefix as u32, segment.bytes, answered);
            if varies && segment.sort(before) == Sort::Fixed {
                object = mix(object, segment.bytes);
            }
            prefix = mix(prefix, if varies { ANY } else { segment.bytes });
            before = segment.bytes;
        }
        let known = match object {
            SEED => Known { written: asked.route, route: asked.route, object: 0 },
            // Parameters of the query that name an object are rare enough beside names to be left out.
            _ => Known { written: asked.route, route: prefix as u32, object: (object as u32).max(1) },
        };
        if answered {
            self.remember(known);
        }
        known.apply(asked)
    }

    fn remember(&mut self, known: Known) {
        if usize::from(self.gave_way) >= self.known.len() && self.known.len() < KNOWN.1 {
            self.grow();
        }
        let at = known.written as usize & (self.known.len() - 1);
        let first = self.known.get_mut(at).map(|slot| std::mem::replace(slot, known)).unwrap_or_default();
        // The pair's older one goes.
        if first.written != 0
            && let Some(slot) = self.known.get_mut(at ^ 1)
        {
            self.gave_way = self.gave_way.saturating_add(u16::from(slot.written != 0));
            *slot = first;
        }
    }

    /// Makes twice the room.
    fn grow(&mut self) {
        self.gave_way = 0;
        let twice = vec![Known::default(); 2 * self.known.len()];
        let known = std::mem::replace(&mut self.known, twice);
        known.into_iter().filter(|known| known.written != 0).for_each(|known| self.remember(known));
        if self.places.len() < PLACES.1 {
            let twice = vec![Place::default(); 2 * self.places.len()];
            let places = std::mem::replace(&mut self.places, twice);
            let mask = self.places.len() - 1;
            for place in places.into_iter().filter(|place| place.print != 0) {
                if let Some(slot) = self.places.get_mut(place.print as usize & mask) {
                    *slot = place;
                }
            }
        }
    }

    /// Does this text stand where many do?
    fn varies(&mut self, print: u32, text: &[u8], learn: bool) -> bool {
        let at = print as usize & self.places.len().wrapping_sub(1);
        let Some(place) = self.places.get_mut(at) else { return false };
        if place.print != print {
            if learn {
                place.life = place.life.saturating_sub(1);
                if place.life == 0 {
                    *place = Place { print, life: 1, ..Place::default() };
                }
            }
            if place.print != print {
                return false;
            }
        }
        place.life = (place.life + u8::from(learn)).min(LIFE_MAX);
        if learn && !place.varies {
            let bit = mix(SEED, text) >> 56;
            if let Some(word) = place.texts.get_mut(bit as usize / 64) {
                *word |= 1 << (bit % 64);
            }
            if place.texts.iter().map(|word| word.count_ones()).sum::<u32>() >= VARIES_BITS {
                place.varies = true;
                // What is known of the paths behind it is not so any more.
                self.known.fill(Known::default());
                return true;
            }
        }
        self.places.get(at).is_some_and(|place| place.varies)
    }
}

impl Known {
    fn apply(&self, asked: Asked) -> Asked {
        let object = match (self.object, asked.object) {
            (0, object) => object,
            (name, None) => Some(name),
            (name, Some(id)) => Some(id ^ name.rotate_left(7)),
        };
        Asked { route: self.route, object, number: asked.number }
    }
}

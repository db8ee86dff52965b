//! About how many different objects: a few exactly, many by the bits of a sketch that they set.
//!
//! Each new bit counts for as many objects as it takes on average to set one more (the historic inverse probability
//! estimator: Ting, KDD 2014; Cohen, 2015). That needs no logarithm, is right to a few per cent up to some thousands, and the
//! count is there whenever it is asked for.

use bartizan_core::heap_bytes;
use serde::{Deserialize, Serialize};

/// Objects counted without a sketch.
const FEW: usize = 4;
const WORDS: usize = 16;
const BITS: u32 = 64 * WORDS as u32;
/// Parts of one object that are counted.
pub(super) const ONE: u32 = 256;

/// Objects that were there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Objects {
    sketch: Option<Box<[u64; WORDS]>>,
    /// Objects, or bits of the sketch that are set.
    set: u32,
    /// The first ones; with a sketch, the last one alone.
    few: [u32; FEW],
}

impl Objects {
    /// Takes in an object, and says for how much it counts: nothing if it was there before, [`ONE`] or more.
    #[inline]
    pub fn add(&mut self, object: u32) -> u32 {
        if let Some(sketch) = &mut self.sketch {
            let [last, ..] = &mut self.few;
            if *last == object {
                return 0;
            }
            *last = object;
            if !set(sketch, object) {
                return 0;
            }
            self.set += 1;
            return ONE * BITS / (BITS + 1).saturating_sub(self.set).max(1);
        }
        if self.few.iter().take(self.set as usize).any(|known| *known == object) {
            return 0;
        }
        if let Some(slot) = self.few.get_mut(self.set as usize) {
            *slot = object;
            self.set += 1;
            return ONE;
        }
        self.begin_sketch(object);
        ONE
    }

    #[inline(never)]
    fn begin_sketch(&mut self, object: u32) {
        let mut sketch = Box::new([0; WORDS]);
        self.set = self.few.iter().chain([&object]).map(|object| u32::from(set(&mut sketch, *object))).sum();
        (self.sketch, self.few) = (Some(sketch), [object, 0, 0, 0]);
    }

    pub fn heap_bytes(&self) -> usize {
        if self.sketch.is_some() { heap_bytes(size_of::<[u64; WORDS]>()) } else { 0 }
    }
}

fn set(sketch: &mut [u64; WORDS], object: u32) -> bool {
    let bit = object.wrapping_mul(0x9e37_79b1) >> 16 & (BITS - 1);
    let Some(word) = sketch.get_mut(bit as usize / 64) else { return false };
    let is_new = *word >> (bit % 64) & 1 == 0;
    *word |= 1 << (bit % 64);
    is_new
}

#[cfg(test)]
mod tests {
    use super::super::route::{SEED, mix};
    use super::*;

    #[test]
    fn counts_are_right_to_a_few_per_cent() {
        for true_count in [1_u32, 4, 5, 30, 200, 1_000, 3_000] {
            let mut objects = Objects::default();
            let parts: u32 = (0..3 * true_count).map(|n| objects.add(mix(SEED, &(n % true_count).to_le_bytes()) as u32)).sum();
            let count = parts / ONE;
            let off = (f64::from(count) / f64::from(true_count) - 1.0).abs();
            assert!(off < 0.12, "{true_count}: {count}");
        }
    }
}

//! The one source of chance of a simulation.
//!
//! Everything random is drawn from one seeded ChaCha stream, in one order, by integer arithmetic and
//! comparisons only, so that a seed gives the same bytes on every machine. No transcendental
//! functions: their last bit differs between platforms.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded stream of chance.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.0.random_bool(p.clamp(0.0, 1.0))
    }

    /// Uniform between both ends, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        if high <= low { low } else { self.0.random_range(low..=high) }
    }

    /// Uniform in `0..len`; 0 if `len` is 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        if len == 0 { 0 } else { usize::try_from(self.0.random_range(0..len as u64)).unwrap_or(0) }
    }

    /// One of a fixed set.
    pub(crate) fn of<T: Copy, const N: usize>(&mut self, set: &[T; N]) -> T {
        const { assert!(N > 0) };
        set.get(self.index(N)).copied().unwrap_or(set[0])
    }

    /// A waiting time around `mean_ms`: the sum of two uniform draws, between 0 and twice the mean.
    pub(crate) fn around(&mut self, mean_ms: i64) -> i64 {
        self.between(0, mean_ms) + self.between(0, mean_ms)
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.random()
    }
}

/// Spreads the bits of a number (the finaliser of SplitMix64), for names and addresses that must look
/// unrelated but be the same each time.
pub(crate) fn mix(number: u64) -> u64 {
    let a = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

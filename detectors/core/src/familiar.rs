//! A memory of facts that never forgets within a month, and now and then takes something strange for familiar.
//!
//! Six bits for each fact (a Bloom filter), in tables of which each is four times as large as the one before and begins
//! when that is an eighth full, so that one fact of some hundred thousand is taken for another: what is found must not
//! depend on the installation's key, by which facts are hashed. A fact that was forgotten would make a stranger of
//! somebody at home. So when the largest table is full, it fills up further, and a detector sees less of such a tenant
//! rather than the wrong things.

use crate::heap_bytes;
use crate::time::DAY_MS;
use serde::{Deserialize, Serialize};

/// Words of 64 bits of each table; the last one has two mebibytes.
const WORDS: [usize; 7] = [64, 1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18];
/// Bits of a fact.
const BITS: u64 = 6;
/// A table is written for so long, and looked at for as long again.
const GENERATION_MS: i64 = 30 * DAY_MS;

/// One fact.
#[derive(Clone, Copy, Debug)]
pub struct Fact(u64);

impl Fact {
    /// A fact of one user (0: of the tenant); `of`, below 16, tells kinds of facts apart. User keys are keyed hashes, so nobody can
    /// aim at a bit.
    #[must_use]
    pub fn new(of: u8, user: u64, value: u32) -> Self {
        let mut x = user ^ (u64::from(value) << 4 | u64::from(of)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(x ^ (x >> 31))
    }
}

/// The facts of two generations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Familiar {
    since_ms: i64,
    now: Tables,
    before: Tables,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tables {
    list: Vec<Vec<u64>>,
    /// Bits set in the last one.
    set: u32,
}

/// The words and bits of a fact in a table, the number of whose words is a power of two.
fn bits(fact: Fact, table: &[u64]) -> impl Iterator<Item = (usize, u64)> + use<> {
    let (first, step, mask) = (fact.0, fact.0 >> 32 | 1, table.len().wrapping_sub(1));
    (0..BITS).map(move |number| {
        let bit = first.wrapping_add(number.wrapping_mul(step));
        ((bit >> 6) as usize & mask, 1 << (bit & 63))
    })
}

impl Tables {
    fn heap_bytes(&self) -> usize {
        let list = if self.list.is_empty() { 0 } else { heap_bytes(WORDS.len() * size_of::<Vec<u64>>()) };
        list + self.list.iter().map(|table| heap_bytes(size_of_val(table.as_slice()))).sum::<usize>()
    }

    fn has(&self, fact: Fact) -> bool {
        let has = |table: &Vec<u64>| bits(fact, table).all(|(word, bit)| table.get(word).is_some_and(|word| word & bit != 0));
        // The last ones hold most.
        self.list.iter().rev().any(has)
    }

    /// Was it not there yet?
    fn put(&mut self, fact: Fact) -> bool {
        let is_new = !self.has(fact);
        if is_new {
            self.add(fact);
        }
        is_new
    }

    /// Adds what is not there.
    fn add(&mut self, fact: Fact) {
        let is_full = self.list.last().is_none_or(|table| self.set as usize > table.len() * 8);
        if let Some(words) = WORDS.get(self.list.len()).filter(|_| is_full) {
            self.list.reserve_exact(WORDS.len() - self.list.len());
            self.list.push(vec![0; *words]);
            self.set = 0;
        }
        let Some(table) = self.list.last_mut() else { return };
        for (word, bit) in bits(fact, table) {
            if let Some(word) = table.get_mut(word) {
                self.set += u32::from(*word & bit == 0);
                *word |= bit;
            }
        }
    }
}

impl Familiar {
    /// Bytes of memory.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.now.heap_bytes() + self.before.heap_bytes()
    }

    /// Goes on to the next generation when it is time; says so.
    pub fn advance(&mut self, time_ms: i64) -> bool {
        let is_over = !self.now.list.is_empty() && time_ms.saturating_sub(self.since_ms) >= GENERATION_MS;
        if is_over {
            let lapsed = time_ms.saturating_sub(self.since_ms) >= 2 * GENERATION_MS;
            let last = std::mem::take(&mut self.now);
            self.before = if lapsed { Tables::default() } else { last };
        }
        if is_over || self.now.list.is_empty() {
            self.since_ms = time_ms;
        }
        is_over
    }

    /// Is this known?
    #[must_use]
    pub fn knows(&self, fact: Fact) -> bool {
        self.now.has(fact) || self.before.has(fact)
    }

    /// Is this known? Then it is learnt anew, to be known for longer.
    pub fn keeps(&mut self, fact: Fact) -> bool {
        let is_fresh = self.now.has(fact);
        let is_known = is_fresh || self.before.has(fact);
        if is_known && !is_fresh {
            self.now.add(fact);
        }
        is_known
    }

    /// Learns it.
    pub fn learn(&mut self, fact: Fact) {
        self.now.put(fact);
    }

    /// Learns it, or that it still is so. Is that the first time in this generation?
    pub fn renew(&mut self, fact: Fact) -> bool {
        self.now.put(fact)
    }

    /// Was it learnt in this generation?
    #[must_use]
    pub fn is_fresh(&self, fact: Fact) -> bool {
        self.now.has(fact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(number: u32) -> Fact {
        Fact::new(1, u64::from(number).wrapping_mul(0x2545_f491_4f6c_dd1d), number % 7)
    }

    #[test]
    fn what_was_learnt_stays_known_while_the_table_grows() {
        let mut familiar = Familiar::default();
        familiar.advance(0);
        (0..50_000).for_each(|number| familiar.learn(fact(number)));
        assert!((0..50_000).all(|number| familiar.knows(fact(number))));
        let mistaken = (50_000..60_000).filter(|number| familiar.knows(fact(*number))).count();
        assert!(mistaken < 5, "{mistaken} of 10000");
        assert!(familiar.heap_bytes() < 750_000, "{}", familiar.heap_bytes());
    }

    #[test]
    fn a_full_table_forgets_nothing_and_grows_no_more() {
        let mut familiar = Familiar::default();
        familiar.advance(0);
        (0..3_000_000).for_each(|number| familiar.learn(fact(number)));
        assert!((0..3_000_000).step_by(997).all(|number| familiar.knows(fact(number))));
        assert!(familiar.heap_bytes() < 3_000_000);
    }

    #[test]
    fn it_forgets_after_two_months() {
        let mut familiar = Familiar::default();
        familiar.advance(0);
        familiar.learn(fact(1));
        familiar.advance(GENERATION_MS);
        familiar.learn(fact(2));
        assert!(familiar.knows(fact(1)));
        familiar.advance(2 * GENERATION_MS);
        familiar.learn(fact(3));
        assert!(!familiar.keeps(fact(1)) && familiar.keeps(fact(2)) && familiar.keeps(fact(3)));
        assert!(!familiar.knows(fact(1)) && familiar.is_fresh(fact(2)));
        familiar.advance(3 * GENERATION_MS);
        familiar.learn(fact(5));
        assert!(!familiar.knows(fact(1)) && familiar.knows(fact(2)));
        familiar.advance(10 * GENERATION_MS);
        familiar.learn(fact(4));
        assert!(!familiar.knows(fact(2)) && !familiar.knows(fact(3)));
    }
}

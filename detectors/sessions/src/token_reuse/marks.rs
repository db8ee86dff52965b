//! Who is worth a look-up.
//!
//! Few people are watched at any time, and every request would have to ask whether its user is one of them. Two small
//! sets of bits answer nearly always at once, and never wrongly that somebody is not. They are made anew from
//! time to time, and are no part of the state: after a load they let everybody through, until what was loaded has ended.

use bartizan_core::time::DAY_MS;

const WORDS: usize = 64;

/// Where a hash stands: the middle of it, since slices are chosen by its ends.
fn place(hash: u64) -> (usize, u64) {
    ((hash >> 26) as usize % WORDS, 1 << (hash >> 20 & 63))
}

/// Those who may be watched.
#[derive(Debug)]
pub(super) struct Marks {
    period_ms: i64,
    since_ms: i64,
    /// How often anybody was marked: as many can be watched, unless they were loaded.
    made: usize,
    all_until_ms: i64,
    /// Who was marked in this period, and in the one before.
    bits: [[u64; 2]; WORDS],
    /// Until when that matters.
    until_ms: [i64; 2],
}

impl Marks {
    /// Nobody is marked; `period_ms` is the longest that anybody is watched.
    pub fn new(period_ms: i64) -> Self {
        Self { period_ms, since_ms: i64::MIN, made: 0, all_until_ms: i64::MIN, bits: [[0; 2]; WORDS], until_ms: [i64::MIN; 2] }
    }

    /// Is this one perhaps among the `watched`?
    #[inline]
    pub fn may_have(&mut self, hash: u64, watched: usize, watermark_ms: i64) -> bool {
        if watched > self.made {
            self.made = usize::MAX;
            self.all_until_ms = watermark_ms.saturating_add(2 * self.period_ms + DAY_MS);
        }
        let (word, bit) = place(hash);
        let [now, before] = self.bits.get(word).copied().unwrap_or_default();
        (now | before) & bit != 0 || (watermark_ms <= self.all_until_ms && watched > 0)
    }

    /// Marks somebody until then.
    pub fn mark(&mut self, hash: u64, until_ms: i64, watched: usize, watermark_ms: i64) {
        self.may_have(hash, watched, watermark_ms);
        self.made = self.made.saturating_add(1);
        let [now_until_ms, before_until_ms] = &mut self.until_ms;
        if watermark_ms >= self.since_ms.saturating_add(self.period_ms) && watermark_ms > *before_until_ms {
            self.bits.iter_mut().for_each(|[now, before]| *before = std::mem::take(now));
            *before_until_ms = std::mem::replace(now_until_ms, i64::MIN);
            self.since_ms = watermark_ms;
        }
        *now_until_ms = until_ms.max(*now_until_ms);
        let (word, bit) = place(hash);
        if let Some([now, _]) = self.bits.get_mut(word) {
            *now |= bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_marked_is_found_until_the_end_and_forgotten_after_it() {
        let mut marks = Marks::new(DAY_MS);
        marks.mark(7 << 26, DAY_MS, 0, 0);
        for n in 0..10 {
            marks.mark(n << 20, n as i64 * DAY_MS / 2 + DAY_MS, 1, n as i64 * DAY_MS / 2);
            assert!(marks.may_have(7 << 26, 1, n as i64 * DAY_MS / 2) || n > 2, "{n}");
        }
        assert!(!marks.may_have(7 << 26, 1, 5 * DAY_MS));
        assert!(!marks.may_have(9 << 26, 1, 5 * DAY_MS));
    }

    #[test]
    fn what_was_loaded_is_looked_up() {
        let mut marks = Marks::new(DAY_MS);
        assert!(!marks.may_have(7, 0, 0) && marks.may_have(7, 3, 0) && marks.may_have(8, 2, DAY_MS));
        assert!(!marks.may_have(7, 3, 4 * DAY_MS));
    }
}

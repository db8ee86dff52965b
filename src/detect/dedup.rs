//! The same tenant, id and time again is the same event, within the lateness.
//!
//! Later repetitions are older than the watermark and so late anyway. What was seen is kept in
//! buckets of one minute of event time, dropped as the watermark passes them; so adding and expiring
//! are O(1) for each event.

use bartizan_core::time::MINUTE_MS;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use std::collections::BTreeMap;

/// Events seen within the lateness.
#[derive(Debug)]
pub struct Dedup {
    buckets: BTreeMap<i64, HashSet<u64, FixedState>>,
    events: usize,
    events_max: usize,
    forgotten: u64,
}

impl Dedup {
    /// Remembers up to `events_max` events; beyond it the oldest minute is forgotten early.
    #[must_use]
    pub fn new(events_max: usize) -> Self {
        Self { buckets: BTreeMap::new(), events: 0, events_max, forgotten: 0 }
    }

    /// Is this the first time? `hash` stands for tenant, id and time.
    pub fn first(&mut self, hash: u64, time_ms: i64) -> bool {
        let first = self.buckets.entry(time_ms.div_euclid(MINUTE_MS)).or_default().insert(hash);
        if first {
            self.events += 1;
            if self.events > self.events_max
                && let Some((_, oldest)) = self.buckets.pop_first()
            {
                self.events -= oldest.len();
                self.forgotten += oldest.len() as u64;
            }
        }
        first
    }

    /// Forgets what can only come late from now on.
    pub fn advance(&mut self, watermark_ms: i64) {
        while let Some(bucket) = self.buckets.first_entry() {
            if bucket.key().saturating_add(1).saturating_mul(MINUTE_MS) > watermark_ms {
                return;
            }
            self.events -= bucket.remove().len();
        }
    }

    /// Events forgotten early for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What is remembered, in a stable order.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn save(&self) -> Result<Vec<u8>, postcard::Error> {
        let sorted: Vec<(i64, Vec<u64>)> = self
            .buckets
            .iter()
            .map(|(minute, seen)| {
                let mut seen: Vec<_> = seen.iter().copied().collect();
                seen.sort_unstable();
                (*minute, seen)
            })
            .collect();
        postcard::to_allocvec(&sorted)
    }

    /// Replaces what is remembered.
    ///
    /// # Errors
    /// The bytes are no saved state.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), postcard::Error> {
        let sorted: Vec<(i64, Vec<u64>)> = postcard::from_bytes(bytes)?;
        self.events = sorted.iter().map(|(_, seen)| seen.len()).sum();
        self.buckets = sorted.into_iter().map(|(minute, seen)| (minute, seen.into_iter().collect())).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_once_until_it_could_only_come_late() {
        let mut dedup = Dedup::new(10);
        assert!(dedup.first(1, 30_000));
        assert!(!dedup.first(1, 30_000));
        dedup.advance(59_999);
        assert!(!dedup.first(1, 30_000));
        dedup.advance(60_000);
        assert!(dedup.first(1, 30_000));
    }

    #[test]
    fn room_is_bounded() {
        let mut dedup = Dedup::new(10);
        for n in 0..100 {
            dedup.first(n, n as i64 * MINUTE_MS);
        }
        assert_eq!(dedup.forgotten(), 90);
    }
}

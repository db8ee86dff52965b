//! When a message that did not arrive is tried again.
//!
//! After 1 s, doubling with jitter to 30 s; after ten minutes every 5 minutes, for a day. The jitter
//! is "full" in its upper half: a delay lies between one half and the whole of its step, so that
//! channels that failed together do not come back together. It is drawn from the message and the number
//! of the try, which differ enough, and so the same again in a rerun.

use bartizan_core::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Steps of retrying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Delay after the first try.
    pub first_ms: i64,
    /// Longest delay of the quick part.
    pub quick_max_ms: i64,
    /// How long the quick part lasts.
    pub quick_for_ms: i64,
    /// Delay after that.
    pub slow_ms: i64,
    /// When it is given up.
    pub give_up_ms: i64,
    /// The longest that another end can ask to be left alone.
    pub asked_max_ms: i64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            first_ms: SECOND_MS,
            quick_max_ms: 30 * SECOND_MS,
            quick_for_ms: 10 * MINUTE_MS,
            slow_ms: 5 * MINUTE_MS,
            give_up_ms: DAY_MS,
            asked_max_ms: 60 * MINUTE_MS,
        }
    }
}

impl Schedule {
    /// Milliseconds until the next try of a message that is `age_ms` old and has had `attempts`
    /// tries, or `None` when it is given up. `jitter` lies between 0 and 1.
    #[must_use]
    pub fn delay_ms(&self, attempts: u32, age_ms: i64, jitter: f64) -> Option<i64> {
        if age_ms >= self.give_up_ms {
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(30);
        let quick = self.first_ms.saturating_mul(1_i64 << doublings).min(self.quick_max_ms);
        let step = if age_ms < self.quick_for_ms { quick } else { self.slow_ms };
        let share = 0.5 + jitter.clamp(0.0, 1.0) / 2.0;
        Some(((step as f64) * share).round().max(1.0) as i64)
    }

    /// The same with the jitter of this message and try.
    #[must_use]
    pub fn jittered_ms(&self, message_id: &str, attempts: u32, age_ms: i64) -> Option<i64> {
        let mut hash = DefaultHasher::new();
        (message_id, attempts).hash(&mut hash);
        self.delay_ms(attempts, age_ms, f64::from((hash.finish() >> 32) as u32) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_thirty_seconds_then_five_minutes_for_a_day() {
        let schedule = Schedule::default();
        let quick: Vec<_> = (1..=7).map(|attempts| schedule.delay_ms(attempts, 0, 1.0)).collect();
        assert_eq!(quick, [1, 2, 4, 8, 16, 30, 30].map(|s| Some(s * SECOND_MS)));
        assert_eq!(schedule.delay_ms(1, 0, 0.0), Some(500));
        assert_eq!(schedule.delay_ms(u32::MAX, 10 * MINUTE_MS - 1, 1.0), Some(30 * SECOND_MS));
        assert_eq!(schedule.delay_ms(1, 10 * MINUTE_MS, 1.0), Some(5 * MINUTE_MS));
        assert_eq!(schedule.delay_ms(1, DAY_MS - 1, 1.0), Some(5 * MINUTE_MS));
        assert_eq!(schedule.delay_ms(1, DAY_MS, 1.0), None);
    }

    #[test]
    fn messages_that_fail_together_come_back_apart() {
        let schedule = Schedule::default();
        let delays: std::collections::BTreeSet<_> =
            (0..100).filter_map(|number| schedule.jittered_ms(&format!("msg_{number}"), 7, 0)).collect();
        assert!(delays.len() > 90, "{} different delays", delays.len());
        assert!(delays.iter().all(|delay| (15 * SECOND_MS..=30 * SECOND_MS).contains(delay)));
    }
}

//! How many users a window holds when they are too many to be kept one by one.
//!
//! A sample, drawn by the first bits of the users' keyed hashes, which nobody outside can steer: one user in
//! two to the power of the level. When the sample is full the level rises, and half of it goes. So it holds
//! 128 users or more, and the number is right within a tenth in two cases of three.

use crate::recent::{Recent, VALUES_MAX};
use bartizan_core::heap_bytes;
use serde::{Deserialize, Serialize};

/// A sample of the users of a window, with the part of the place each was tried from last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Multitude {
    level: u8,
    sample: Recent<u32>,
}

impl Multitude {
    /// Bytes of memory, its own included.
    pub fn heap_bytes(&self) -> usize {
        heap_bytes(size_of::<Self>()) + self.sample.heap_bytes()
    }

    fn takes(level: u8, user: u32) -> bool {
        user.leading_zeros() >= u32::from(level)
    }

    /// Takes a try in.
    pub fn add(&mut self, user: u32, part: u32, time_ms: i64) {
        if !Self::takes(self.level, user) {
            return;
        }
        if let Some((before_ms, known_part)) = self.sample.get_mut(user) {
            if time_ms >= before_ms {
                *known_part = part;
                self.sample.touch(user, time_ms);
            }
            return;
        }
        while self.sample.len() >= VALUES_MAX {
            self.level += 1;
            let gone: Vec<u32> = self.sample.iter().map(|(user, ..)| user).filter(|user| !Self::takes(self.level, *user)).collect();
            for user in gone {
                self.sample.remove(user);
            }
        }
        if Self::takes(self.level, user) {
            self.sample.insert(user, time_ms, part);
        }
    }

    /// Drops what lies before the window.
    pub fn expire(&mut self, from_ms: i64) {
        while self.sample.oldest_ms().is_some_and(|oldest_ms| oldest_ms < from_ms) {
            self.sample.pop();
        }
    }

    /// About how many users were tried from the parts that `takes` chooses.
    pub fn users(&self, takes: impl Fn(u32) -> bool) -> u32 {
        let sampled = self.sample.iter().filter(|(_, _, part)| takes(**part)).count() as u32;
        sampled.saturating_mul(1_u32.checked_shl(self.level.into()).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_users_are_counted_about_and_leave_with_the_window() {
        for users in [100_u32, 1_000, 20_000] {
            let mut multitude = Multitude::default();
            for number in 0..users * 3 {
                let hash = u64::from(number % users + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                multitude.add((hash ^ hash >> 29) as u32, number % 2, i64::from(number));
            }
            let exact = f64::from(users);
            assert!((f64::from(multitude.users(|_| true)) / exact - 1.0).abs() < 0.2, "{users}: {}", multitude.users(|_| true));
            assert!((f64::from(multitude.users(|part| part == 1)) / exact * 2.0 - 1.0).abs() < 0.3, "{users}");
            multitude.expire(i64::from(users * 3));
            assert_eq!(multitude.users(|_| true), 0);
        }
    }
}

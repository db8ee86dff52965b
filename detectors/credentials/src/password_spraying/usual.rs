//! What is usual in a tenant: how many names a day fail where they are strangers, and how many an hour fail
//! at home. When far more than that fail at home, sign-in is broken for everybody, and that strangers fail
//! too says nothing.

use crate::recent::{Recent, VALUES_MAX};
use bartizan_core::time::{DAY_MS, HOUR_MS};
use serde::{Deserialize, Serialize};

/// Before anything is known: names a day, and how many days that weighs.
const PRIOR: (f32, f32) = (2.0, 1.0);
/// What is left of a day's weight a day later.
const DAY_FADES: f32 = 0.93;
/// Days after which all is faded.
const FADED_DAYS: i64 = 90;
/// What an hour weighs.
const HOUR_WEIGHT: f32 = 1.0 / 48.0;
/// A storm: so many names an hour fail at home, and so many times as many as usual.
const STORM: (f32, f32) = (10.0, 3.0);

/// What is usual.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Usual {
    /// Names that failed at home within an hour, and did not get in since.
    at_home: Recent<()>,
    newest_ms: Option<i64>,
    at_home_hourly: f32,
    /// Weighted sum of names by day, and of days.
    names: f32,
    days: f32,
    /// Names of the day that is counted.
    today: f32,
}

impl Usual {
    /// Bytes of memory.
    pub fn heap_bytes(&self) -> usize {
        self.at_home.heap_bytes()
    }

    /// Days counted, faded.
    pub fn days(&self) -> u8 {
        self.days as u8
    }

    /// Goes on to a time.
    pub fn advance(&mut self, newest_ms: i64) {
        let (day, hour) = (newest_ms.div_euclid(DAY_MS), newest_ms.div_euclid(HOUR_MS));
        let before_ms = self.newest_ms.replace(newest_ms).unwrap_or(newest_ms);
        if hour > before_ms.div_euclid(HOUR_MS) {
            self.at_home_hourly += (self.at_home.len() as f32 - self.at_home_hourly) * HOUR_WEIGHT;
        }
        let days = day - before_ms.div_euclid(DAY_MS);
        for _ in 0..days.min(FADED_DAYS) {
            self.names = self.names * DAY_FADES + std::mem::take(&mut self.today);
            self.days = self.days * DAY_FADES + 1.0;
        }
        let from_ms = newest_ms.saturating_sub(HOUR_MS);
        while self.at_home.oldest_ms().is_some_and(|oldest_ms| oldest_ms < from_ms) {
            self.at_home.pop();
        }
    }

    /// A name failed for good where it is a stranger.
    pub fn count(&mut self) {
        self.today += 1.0;
    }

    /// Names a day.
    pub fn daily(&self) -> f32 {
        let (names, days) = PRIOR;
        // The first day's names are counted on the second.
        (self.names + names) / ((self.days - 1.0).max(0.0) + days)
    }

    pub fn failed_at_home(&mut self, user: u32, time_ms: i64) {
        if self.at_home.get(user).is_some() {
            self.at_home.touch(user, time_ms);
            return;
        }
        if self.at_home.len() >= VALUES_MAX {
            self.at_home.pop();
        }
        self.at_home.insert(user, time_ms, ());
    }

    pub fn got_in(&mut self, user: u32) {
        self.at_home.remove(user);
    }

    /// Does sign-in fail for everybody? `strangers` tells how many failed as strangers since a time.
    pub fn is_storm(&self, strangers: impl Fn(i64) -> usize) -> bool {
        let (at_home, from_ms) = (self.at_home.len(), self.newest_ms.map_or(i64::MIN, |newest_ms| newest_ms.saturating_sub(HOUR_MS)));
        let (least, times) = STORM;
        at_home as f32 > least + times * self.at_home_hourly && at_home > strangers(from_ms)
    }
}

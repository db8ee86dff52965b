//! What one person usually has: countries, regions, networks, devices, user agents, with weights that
//! fade.
//!
//! One short list for all features, each feature with its own maximum; the faintest value of a full
//! feature makes room. A weight halves in [`HALF_LIFE_DAYS`], so that a place from last winter's
//! holiday is forgotten by and by; history beyond half a year says little (Wiefling et al., TOPS 2022).

use bartizan_core::time::DAY_MS;
use serde::{Deserialize, Serialize};

/// Days after which a value weighs half.
const HALF_LIFE_DAYS: f32 = 60.0;
/// Weight from which a value is known: one sign-in counts 1 and is known for about 100 days.
const KNOWN_WEIGHT_MIN: f32 = 0.3;

/// A feature of sign-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Feature {
    Country,
    Region,
    Network,
    Device,
    Agent,
}

impl Feature {
    /// Values kept.
    fn values_max(self) -> usize {
        match self {
            Self::Country | Self::Region => 6,
            Self::Network | Self::Device => 8,
            Self::Agent => 4,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Habit {
    value: u32,
    weight: f32,
    first_day: u16,
    last_day: u16,
    days: u16,
    feature: Feature,
}

impl Habit {
    fn weight_on(&self, day: u16) -> f32 {
        self.weight * (-f32::from(day.saturating_sub(self.last_day)) / HALF_LIFE_DAYS).exp2()
    }
}

/// One person's habits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Habits(Vec<Habit>);

/// The number of a day since 1970, within what 16 bits hold (until 2149).
pub(crate) fn day_of(time_ms: i64) -> u16 {
    u16::try_from(time_ms.div_euclid(DAY_MS).max(0)).unwrap_or(u16::MAX)
}

impl Habits {
    fn of(&self, feature: Feature) -> impl Iterator<Item = &Habit> {
        self.0.iter().filter(move |habit| habit.feature == feature)
    }

    fn get(&self, feature: Feature, value: u32) -> Option<&Habit> {
        self.of(feature).find(|habit| habit.value == value)
    }

    /// Weight of a value, and of all values of its feature.
    pub fn weights(&self, feature: Feature, value: u32, day: u16) -> (f32, f32) {
        let one = self.get(feature, value).map_or(0.0, |habit| habit.weight_on(day));
        (one, self.of(feature).map(|habit| habit.weight_on(day)).sum())
    }

    /// Is this value part of the person's life? What is absent is.
    pub fn knows(&self, feature: Feature, value: u32, day: u16) -> bool {
        value == 0 || self.weights(feature, value, day).0 >= KNOWN_WEIGHT_MIN
    }

    /// On how many days was the value seen?
    pub fn days(&self, feature: Feature, value: u32) -> u16 {
        self.get(feature, value).map_or(0, |habit| habit.days)
    }

    /// Was the value seen on an earlier day?
    pub fn seen_before(&self, feature: Feature, value: u32, day: u16) -> bool {
        self.get(feature, value).is_some_and(|habit| habit.first_day < day)
    }

    /// Learns a value with a weight of 1 for a sign-in beyond doubt, less for one that is not.
    pub fn learn(&mut self, feature: Feature, value: u32, day: u16, weight: f32) {
        if value == 0 {
            return;
        }
        if let Some(habit) = self.0.iter_mut().find(|habit| habit.feature == feature && habit.value == value) {
            habit.days = habit.days.saturating_add(u16::from(day != habit.last_day));
            habit.weight = habit.weight_on(day) + weight;
            habit.first_day = habit.first_day.min(day);
            habit.last_day = habit.last_day.max(day);
            return;
        }
        if self.of(feature).count() >= feature.values_max() {
            let faint = |(_, a): &(usize, &Habit), (_, b): &(usize, &Habit)| a.weight_on(day).total_cmp(&b.weight_on(day));
            let faintest = self.0.iter().enumerate().filter(|(_, habit)| habit.feature == feature).min_by(faint).map(|(index, _)| index);
            if let Some(index) = faintest {
                self.0.remove(index);
            }
        }
        self.0.push(Habit { value, weight, first_day: day, last_day: day, days: 1, feature });
    }

    /// How many values of a feature are known?
    pub fn known(&self, feature: Feature, day: u16) -> usize {
        self.of(feature).filter(|habit| habit.weight_on(day) >= KNOWN_WEIGHT_MIN).count()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn heap_bytes(&self) -> usize {
        bartizan_core::heap_bytes(size_of_val(self.0.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_for_a_season_and_then_forgotten() {
        let mut habits = Habits::default();
        habits.learn(Feature::Country, 7, 100, 1.0);
        assert!(habits.knows(Feature::Country, 7, 190));
        assert!(!habits.knows(Feature::Country, 7, 230));
        assert!(!habits.knows(Feature::Country, 8, 100));
        assert!(habits.knows(Feature::Country, 0, 100), "absent is no news");
    }

    #[test]
    fn a_full_feature_gives_up_its_faintest_value_and_leaves_others_alone() {
        let mut habits = Habits::default();
        habits.learn(Feature::Device, 1, 100, 1.0);
        (0..5).for_each(|_| habits.learn(Feature::Network, 1, 100, 1.0));
        (2..50).for_each(|value| habits.learn(Feature::Network, value, 101, 1.0));
        assert!(habits.knows(Feature::Network, 1, 101) && habits.knows(Feature::Device, 1, 101));
        assert_eq!(habits.of(Feature::Network).count(), 8);
    }

    #[test]
    fn extreme_times_have_a_day() {
        assert_eq!((day_of(i64::MIN), day_of(i64::MAX)), (0, u16::MAX));
    }
}

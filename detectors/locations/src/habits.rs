//! What one person usually has: countries, regions, networks, devices, user agents, with weights that
//! fade.
//!
//! One short list for all features, each feature with its own maximum; the faintest value of a full
//! feature makes room. A weight halves in [`HALF_LIFE_DAYS`], so that a place from last winter's
//! holiday is forgotten by and by; history beyond half a year says little (Wiefling et al., TOPS 2022).
//!
//! A value takes eight bytes. It is known by 22 bits of its print: within the few values of one person
//! chance meets once in some 100,000 new values. Weights have 11 significant bits, so a sum of many
//! sign-ins is off by less than one in a thousand.

use bartizan_core::heap_bytes;
use bartizan_core::time::DAY_MS;
use serde::{Deserialize, Serialize};

/// Days after which a value weighs half.
const HALF_LIFE_DAYS: u16 = 60;
/// Weight from which a value is known: one sign-in counts 1 and is known for about 100 days.
const KNOWN_WEIGHT_MIN: f32 = 0.3;

/// A feature of sign-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
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

/// What is left of a weight on each day of one half-life.
#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const FADING: [f32; HALF_LIFE_DAYS as usize] = {
    /// The sixtieth root of a half.
    const DAILY: f64 = 0.988_514_020_352_896_1;
    let mut fading = [0.0; HALF_LIFE_DAYS as usize];
    let (mut day, mut left) = (0, 1.0);
    while day < fading.len() {
        fading[day] = left as f32;
        left *= DAILY;
        day += 1;
    }
    fading
};

/// What is left of a weight after so many days.
fn fading(days: u16) -> f32 {
    let halvings = u32::from(days / HALF_LIFE_DAYS).min(126);
    let part = FADING.get(usize::from(days % HALF_LIFE_DAYS)).copied().unwrap_or(0.0);
    part * f32::from_bits((127 - halvings) << 23)
}

/// A value in 64 bits: from the lowest, 16 for the last day, 15 for the weight, 5 for the number of days
/// (up to 31), 3 for the days from the first to the last one (up to 7), 3 for the feature, 22 for the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Habit(u64);

/// The parts of a habit that change.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Course {
    last_day: u16,
    weight: f32,
    days: u8,
    age: u8,
}

impl Habit {
    const DAYS_MAX: u8 = 31;
    const AGE_MAX: u8 = 7;
    const NAME: u32 = 39;

    /// Feature and value, as they stand in the upper bits.
    fn name(feature: Feature, value: u32) -> u64 {
        u64::from(value.wrapping_mul(0x9e37_79b1) >> 10) << 3 | feature as u64
    }

    fn new(name: u64, course: Course) -> Self {
        let weight = u64::from(weight_bits(course.weight));
        let (days, age) = (u64::from(course.days.min(Self::DAYS_MAX)), u64::from(course.age.min(Self::AGE_MAX)));
        Self(name << Self::NAME | age << 36 | days << 31 | weight << 16 | u64::from(course.last_day))
    }

    fn is(self, name: u64) -> bool {
        self.0 >> Self::NAME == name
    }

    fn is_of(self, feature: Feature) -> bool {
        self.0 >> Self::NAME & 7 == feature as u64
    }

    fn course(self) -> Course {
        Course {
            last_day: self.0 as u16,
            weight: weight_of((self.0 >> 16) as u16 & WEIGHT_MAX),
            days: (self.0 >> 31) as u8 & Self::DAYS_MAX,
            age: (self.0 >> 36) as u8 & Self::AGE_MAX,
        }
    }

    fn weight_on(self, day: u16) -> f32 {
        self.course().weight_on(day)
    }
}

impl Course {
    fn weight_on(&self, day: u16) -> f32 {
        self.weight * fading(day.saturating_sub(self.last_day))
    }

    fn seen(&mut self, day: u16, weight: f32) {
        self.days = self.days.saturating_add(u8::from(day != self.last_day)).min(Habit::DAYS_MAX);
        self.weight = self.weight_on(day) + weight;
        let small = |days: u16| u8::try_from(days).unwrap_or(u8::MAX).min(Habit::AGE_MAX);
        self.age = match day.checked_sub(self.last_day) {
            Some(later) => small(u16::from(self.age).saturating_add(later)),
            None => self.age.max(small(self.last_day - day)),
        };
        self.last_day = self.last_day.max(day);
    }
}

/// The largest weight: 5 bits of exponent, from a half to the power of 15 on, and 10 of mantissa.
const WEIGHT_MAX: u16 = 0x7fff;
/// The exponent of single precision at which the shorter one begins, above the mantissa.
const WEIGHT_START: u32 = (127 - 15) << 10;

fn weight_bits(weight: f32) -> u16 {
    let rounded = (weight.max(0.0).to_bits() + (1 << 12)) >> 13;
    u16::try_from(rounded.saturating_sub(WEIGHT_START)).unwrap_or(WEIGHT_MAX).min(WEIGHT_MAX)
}

fn weight_of(bits: u16) -> f32 {
    if bits == 0 { 0.0 } else { f32::from_bits((u32::from(bits) + WEIGHT_START) << 13) }
}

/// One person's habits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Habits(Box<[Habit]>);

/// The number of a day since 1970, within what 16 bits hold (until 2149).
pub(crate) fn day_of(time_ms: i64) -> u16 {
    u16::try_from(time_ms.div_euclid(DAY_MS).max(0)).unwrap_or(u16::MAX)
}

impl Habits {
    fn of(&self, feature: Feature) -> impl Iterator<Item = &Habit> {
        self.0.iter().filter(move |habit| habit.is_of(feature))
    }

    fn get(&self, feature: Feature, value: u32) -> Option<Course> {
        let name = Habit::name(feature, value);
        self.0.iter().find(|habit| habit.is(name)).map(|habit| habit.course())
    }

    /// Weight of a value, and of all values of its feature.
    pub fn weights(&self, feature: Feature, value: u32, day: u16) -> (f32, f32) {
        let one = self.get(feature, value).map_or(0.0, |habit| habit.weight_on(day));
        (one, self.of(feature).map(|habit| habit.weight_on(day)).sum())
    }

    /// Is this value part of the person's life? What is absent is.
    pub fn knows(&self, feature: Feature, value: u32, day: u16) -> bool {
        value == 0 || self.get(feature, value).is_some_and(|habit| habit.weight_on(day) >= KNOWN_WEIGHT_MIN)
    }

    /// On how many days was the value seen? Up to 31.
    pub fn days(&self, feature: Feature, value: u32) -> u16 {
        self.get(feature, value).map_or(0, |habit| habit.days.into())
    }

    /// Was the value seen on an earlier day? Of a day a week before the value's last one this is not known, and denied.
    pub fn seen_before(&self, feature: Feature, value: u32, day: u16) -> bool {
        self.get(feature, value).is_some_and(|habit| habit.last_day.saturating_sub(habit.age.into()) < day)
    }

    /// Learns a value with a weight of 1 for a sign-in beyond doubt, less for one that is not.
    pub fn learn(&mut self, feature: Feature, value: u32, day: u16, weight: f32) {
        if value == 0 {
            return;
        }
        let name = Habit::name(feature, value);
        if let Some(habit) = self.0.iter_mut().find(|habit| habit.is(name)) {
            let mut course = habit.course();
            course.seen(day, weight);
            *habit = Habit::new(name, course);
            return;
        }
        let mut list = std::mem::take(&mut self.0).into_vec();
        if list.iter().filter(|habit| habit.is_of(feature)).count() >= feature.values_max() {
            let faint = |(_, a): &(usize, &Habit), (_, b): &(usize, &Habit)| a.weight_on(day).total_cmp(&b.weight_on(day));
            let faintest = list.iter().enumerate().filter(|(_, habit)| habit.is_of(feature)).min_by(faint).map(|(index, _)| index);
            if let Some(index) = faintest {
                list.remove(index);
            }
        } else {
            list.reserve_exact(1);
        }
        list.push(Habit::new(name, Course { last_day: day, weight, days: 1, age: 0 }));
        self.0 = list.into_boxed_slice();
    }

    /// How many values of a feature are known?
    pub fn known(&self, feature: Feature, day: u16) -> usize {
        self.of(feature).filter(|habit| habit.weight_on(day) >= KNOWN_WEIGHT_MIN).count()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of memory.
    pub fn heap_bytes(&self) -> usize {
        heap_bytes(size_of_val(&*self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same with nothing packed.
    #[derive(Default)]
    struct Plain(Vec<(Feature, u32, f32, u16, u16, u16)>);

    impl Plain {
        fn learn(&mut self, feature: Feature, value: u32, day: u16, weight: f32) {
            let left = |weight: f32, last: u16| weight * (-f32::from(day.saturating_sub(last)) / 60.0).exp2();
            if let Some(one) = self.0.iter_mut().find(|one| (one.0, one.1) == (feature, value)) {
                one.5 += u16::from(day != one.4);
                (one.2, one.3, one.4) = (left(one.2, one.4) + weight, one.3.min(day), one.4.max(day));
                return;
            }
            if self.0.iter().filter(|one| one.0 == feature).count() >= feature.values_max() {
                let weight = |one: &(Feature, u32, f32, u16, u16, u16)| left(one.2, one.4);
                let all = self.0.iter().enumerate().filter(|(_, one)| one.0 == feature);
                let faintest = all.min_by(|(_, a), (_, b)| weight(a).total_cmp(&weight(b))).map_or(0, |(index, _)| index);
                self.0.remove(faintest);
            }
            self.0.push((feature, value, weight, day, day, 1));
        }
    }

    proptest! {
        /// What is packed agrees with what is not, as far as it claims to.
        #[test]
        fn packed_habits_are_like_plain_ones(steps in prop::collection::vec((0_u8..5, 1_u32..12, 0_u16..3, 0_u8..4), 1..120)) {
            let (mut habits, mut plain, mut day) = (Habits::default(), Plain::default(), 100_u16);
            for (feature, value, later, weight) in steps {
                let feature = [Feature::Country, Feature::Region, Feature::Network, Feature::Device, Feature::Agent]
                    .into_iter().nth(feature.into()).unwrap_or(Feature::Agent);
                day = day + later - u16::from(weight == 3);
                let weight = if weight == 0 { 0.12 } else { 1.0 };
                // Weights of equal sign-ins tie in one and not in the other, so a full feature is left as it is.
                let is_full = plain.0.iter().filter(|one| one.0 == feature).count() >= feature.values_max();
                if is_full && plain.0.iter().all(|one| (one.0, one.1) != (feature, value)) {
                    continue;
                }
                habits.learn(feature, value, day, weight);
                plain.learn(feature, value, day, weight);
                for (feature, value, weight, first, last, days) in &plain.0 {
                    let course = habits.get(*feature, *value);
                    prop_assert!(course.is_some_and(|course| (course.weight / weight - 1.0).abs() < 0.01), "{course:?} {weight}");
                    prop_assert_eq!(course.map(|course| (course.last_day, u16::from(course.days))), Some((*last, *days.min(&31))));
                    for day in last.saturating_sub(6)..last + 2 {
                        prop_assert_eq!(habits.seen_before(*feature, *value, day), *first < day);
                    }
                }
                prop_assert_eq!(habits.len(), plain.0.len());
            }
        }

        #[test]
        fn weights_keep_eleven_bits(weight in 0.0001_f32..60_000.0) {
            prop_assert!((weight_of(weight_bits(weight)) / weight - 1.0).abs() <= 1.0 / 2_048.0);
        }

        #[test]
        fn fading_halves_in_sixty_days(days in 0_u16..1_000) {
            let exact = (-f32::from(days) / 60.0).exp2();
            prop_assert!((fading(days) / exact - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn extreme_weights_are_held() {
        assert_eq!([0.0, 1.0, 3.0, 1_000.0].map(|weight| weight_of(weight_bits(weight))), [0.0, 1.0, 3.0, 1_000.0]);
        assert!(weight_of(weight_bits(f32::MAX)) > 100_000.0);
        assert_eq!(weight_bits(-1.0), 0);
        assert!(fading(u16::MAX) < 1e-30);
    }

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

//! What one person usually has: countries, regions, networks, devices, user agents, with weights that
//! fade.
//!
//! One short list, feature by feature, each feature with its own maximum; the faintest value of a full
//! feature makes room. A weight halves in [`HALF_LIFE_DAYS`], so that a place from last winter's
//! holiday is forgotten by and by; history beyond half a year says little (Wiefling et al., TOPS 2022).
//!
//! A value takes five bytes. It is known by 19 bits of its print: among a person's four devices chance
//! takes one new value in 130,000 for a known one. Of a weight its logarithm is kept, in steps so small
//! that four of them are what a day takes away: so fading is a subtraction, exact however often it is done,
//! and a value needs no date of its own. All values are as of the person's latest day. Sums are off by less
//! than a hundredth up to some 50 sign-ins and by a fifth beyond 200, where it makes no difference.

use crate::heap_bytes;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Days after which a value weighs half.
const HALF_LIFE_DAYS: u16 = 60;
/// Logarithm of the weight 0.3, from which on a value is known: one sign-in counts 1 and is known for about 100 days.
const KNOWN_LOG_MIN: u16 = 1024;

/// A feature of sign-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Feature {
    /// Country.
    Country,
    /// Region within its country.
    Region,
    /// Network, of a fixed line within its region.
    Network,
    /// Device id.
    Device,
    /// Family of user agents.
    Agent,
}

impl Feature {
    /// Values kept; at most 15.
    const fn values_max(self) -> usize {
        match self {
            Self::Country | Self::Region => 6,
            Self::Network | Self::Device => 8,
            Self::Agent => 4,
        }
    }
}

/// Steps in which the logarithm of a weight is kept, by halving.
const STEPS: u16 = 240;
/// Steps that a day takes away.
const STEPS_A_DAY: u16 = STEPS / HALF_LIFE_DAYS;
/// The logarithm of the weight 1: below it are six halvings, above it eleven doublings.
const ONE: u16 = 6 * STEPS;

/// The weights from 1 to 2, by step.
#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const OCTAVE: [f32; STEPS as usize] = {
    /// The 240th root of two.
    const STEP: f64 = 1.002_892_287_869_367_1;
    let mut octave = [0.0; STEPS as usize];
    let (mut step, mut weight) = (0, 1.0);
    while step < octave.len() {
        octave[step] = weight as f32;
        weight *= STEP;
        step += 1;
    }
    octave
};

/// The nearest logarithm of a weight; 0 stands for none.
fn log_of(weight: f32) -> u16 {
    let halvings = i32::from(ONE / STEPS);
    let (exponent, part) = ((weight.to_bits() >> 23) as i32 - 127, f32::from_bits(weight.to_bits() & 0x7f_ffff | 127 << 23));
    if weight <= 0.0 || exponent < -halvings {
        return 0;
    }
    let above = OCTAVE.partition_point(|step| *step <= part);
    let middle = |below: f32| below + OCTAVE.get(above).copied().unwrap_or(2.0);
    let nearest = match above.checked_sub(1).and_then(|below| OCTAVE.get(below)) {
        Some(below) if 2.0 * part < middle(*below) => above - 1,
        _ => above,
    };
    u16::try_from((exponent + halvings) * i32::from(STEPS) + nearest as i32).unwrap_or(u16::MAX).min(Habit::LOG_MAX)
}

fn weight_of(log: u16) -> f32 {
    if log == 0 {
        return 0.0;
    }
    let part = OCTAVE.get(usize::from(log % STEPS)).copied().unwrap_or(1.0);
    part * f32::from_bits((u32::from(log / STEPS) + 127 - u32::from(ONE / STEPS)) << 23)
}

/// A value in 40 bits: from the lowest, 1 for whether it was seen on the latest day, 3 for the days since it was
/// first seen (up to 7), 5 for the number of days that count (up to 31), 12 for the weight, 19 for the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Habit([u8; 5]);

/// The parts of a habit that change.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Course {
    /// Logarithm of the weight on the person's latest day.
    log: u16,
    /// Days that count, up to 31.
    days: u8,
    /// Days from the first sight to the person's latest day, up to 7.
    since: u8,
    /// Counted on that day already.
    today: bool,
}

impl Habit {
    const DAYS_MAX: u8 = 31;
    const SINCE_MAX: u8 = 7;
    const LOG_MAX: u16 = 0xfff;
    const NAME: u32 = 21;

    fn name(value: u32) -> u64 {
        u64::from(value.wrapping_mul(0x9e37_79b1) >> 13)
    }

    fn new(name: u64, course: Course) -> Self {
        let (log, days, since) = (u64::from(course.log), u64::from(course.days), u64::from(course.since));
        let [a, b, c, d, e, ..] = (name << Self::NAME | log << 9 | days << 4 | since << 1 | u64::from(course.today)).to_le_bytes();
        Self([a, b, c, d, e])
    }

    fn bits(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
    }

    fn is(self, name: u64) -> bool {
        self.bits() >> Self::NAME == name
    }

    fn course(self) -> Course {
        let bits = self.bits();
        Course {
            log: (bits >> 9) as u16 & Self::LOG_MAX,
            days: (bits >> 4) as u8 & Self::DAYS_MAX,
            since: (bits >> 1) as u8 & Self::SINCE_MAX,
            today: bits & 1 != 0,
        }
    }
}

fn small(days: u16) -> u8 {
    u8::try_from(days).unwrap_or(u8::MAX).min(Habit::SINCE_MAX)
}

impl Course {
    /// So many days later.
    fn aged(self, days: u16) -> Self {
        Self {
            log: self.log.saturating_sub(days.saturating_mul(STEPS_A_DAY)),
            since: small(u16::from(self.since).saturating_add(days)),
            today: self.today && days == 0,
            ..self
        }
    }

    /// Seen so many days before the person's latest one.
    fn seen(&mut self, days_ago: u16, weight: f32, counts: bool) {
        self.log = log_of(weight_of(self.log) + weight);
        self.since = self.since.max(small(days_ago));
        // Of an earlier day it is not known whether it was counted.
        let is_first = self.days == 0 || (days_ago == 0 && !self.today);
        if counts && is_first {
            self.days = (self.days + 1).min(Habit::DAYS_MAX);
            self.today = days_ago == 0;
        }
    }
}

/// One person's habits, as of the latest day on which any was learnt.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Habits {
    list: Box<[Habit]>,
    /// How many values each feature has: four bits for each.
    counts: u32,
    day: u16,
    days: u16,
}

impl Habits {
    /// The latest day.
    #[must_use]
    pub fn day(&self) -> u16 {
        self.day
    }

    /// Days on which anything was learnt.
    #[must_use]
    pub fn days(&self) -> u16 {
        self.days
    }

    /// The same with a day on which something will be.
    #[must_use]
    pub fn days_by(&self, day: u16) -> u16 {
        self.days.saturating_add(u16::from(self.days == 0 || day > self.day))
    }

    /// Days from the first to `day`, up to 7.
    #[must_use]
    pub fn age_by(&self, day: u16) -> u16 {
        let oldest = self.list.iter().map(|habit| habit.course().since).max().unwrap_or(0);
        u16::from(small(u16::from(oldest).saturating_add(day.saturating_sub(self.day))))
    }

    /// Goes on to a day, unless it is past already: all weights fade.
    pub(super) fn advance(&mut self, day: u16) {
        let later = day.saturating_sub(self.day);
        self.days = self.days_by(day);
        self.day = self.day.max(day);
        if later > 0 {
            for habit in &mut self.list {
                *habit = Habit::new(habit.bits() >> Habit::NAME, habit.course().aged(later));
            }
        }
    }

    /// Where the values of a feature stand.
    fn range(&self, feature: Feature) -> Range<usize> {
        let nibble = |number: u32| (self.counts >> (4 * number) & 0xf) as usize;
        let start = (0..feature as u32).map(nibble).sum();
        start..start + nibble(feature as u32)
    }

    fn of(&self, feature: Feature) -> &[Habit] {
        self.list.get(self.range(feature)).unwrap_or_default()
    }

    fn get(&self, feature: Feature, value: u32) -> Option<Course> {
        let name = Habit::name(value);
        self.of(feature).iter().find(|habit| habit.is(name)).map(|habit| habit.course())
    }

    fn log_on(&self, course: Course, day: u16) -> u16 {
        course.aged(day.saturating_sub(self.day)).log
    }

    fn weight_on(&self, course: Course, day: u16) -> f32 {
        weight_of(self.log_on(course, day))
    }

    fn is_known(&self, course: Course, day: u16) -> bool {
        self.log_on(course, day) >= KNOWN_LOG_MIN
    }

    /// Weight of a value, and of all values of its feature.
    #[must_use]
    pub fn weights(&self, feature: Feature, value: u32, day: u16) -> (f32, f32) {
        let one = self.get(feature, value).map_or(0.0, |course| self.weight_on(course, day));
        (one, self.of(feature).iter().map(|habit| self.weight_on(habit.course(), day)).sum())
    }

    /// Is this value part of the person's life? What is absent is.
    #[must_use]
    pub fn knows(&self, feature: Feature, value: u32, day: u16) -> bool {
        value == 0 || self.get(feature, value).is_some_and(|course| self.is_known(course, day))
    }

    /// How many values of a feature are known?
    #[must_use]
    pub fn known(&self, feature: Feature, day: u16) -> usize {
        self.of(feature).iter().filter(|habit| self.is_known(habit.course(), day)).count()
    }

    /// On how many days was the value seen, beyond doubt? Up to 31.
    #[must_use]
    pub fn days_of(&self, feature: Feature, value: u32) -> u16 {
        self.get(feature, value).map_or(0, |course| course.days.into())
    }

    /// Would a sight of this value on this day be the first that counts? Of a value that is not known, or on the day of its
    /// first sight not yet beyond doubt, it would not.
    #[must_use]
    pub(super) fn is_due(&self, feature: Feature, value: u32, day: u16) -> bool {
        let is_first = |course: Course| day > self.day || (day == self.day && course.days > 0 && !course.today);
        value != 0 && self.get(feature, value).is_some_and(|course| is_first(course) && self.is_known(course, day))
    }

    /// Was the value seen before this day? Of a day a week before the person's latest one this is not known, and denied.
    #[must_use]
    pub fn seen_before(&self, feature: Feature, value: u32, day: u16) -> bool {
        self.get(feature, value).is_some_and(|course| self.day.saturating_sub(course.since.into()) < day)
    }

    /// Was the value seen before this day, and ever beyond doubt?
    #[must_use]
    pub fn owned_before(&self, feature: Feature, value: u32, day: u16) -> bool {
        self.days_of(feature, value) > 0 && self.seen_before(feature, value, day)
    }

    /// Learns a value with a weight of 1 for a sign-in beyond doubt, less for one that is not; `counts` says
    /// whether the day counts for it.
    pub(super) fn learn(&mut self, feature: Feature, value: u32, day: u16, weight: f32, counts: bool) {
        if value == 0 {
            return;
        }
        let (name, range, days_ago) = (Habit::name(value), self.range(feature), self.day.saturating_sub(day));
        if let Some(habit) = self.list.get_mut(range.clone()).unwrap_or_default().iter_mut().find(|habit| habit.is(name)) {
            let mut course = habit.course();
            course.seen(days_ago, weight, counts);
            *habit = Habit::new(name, course);
            return;
        }
        let mut course = Course::default();
        course.seen(days_ago, weight, counts);
        self.add(feature, range, Habit::new(name, course));
    }

    fn add(&mut self, feature: Feature, range: Range<usize>, new: Habit) {
        if range.len() >= feature.values_max() {
            let values = self.list.get_mut(range).unwrap_or_default();
            // The newest stands last.
            if let Some((faintest, _)) = values.iter().enumerate().min_by_key(|(_, habit)| habit.course().log) {
                values.get_mut(faintest..).unwrap_or_default().rotate_left(1);
            }
            if let Some(last) = values.last_mut() {
                *last = new;
            }
            return;
        }
        let mut list = std::mem::take(&mut self.list).into_vec();
        list.reserve_exact(1);
        list.insert(range.end.min(list.len()), new);
        self.list = list.into_boxed_slice();
        self.counts += 1 << (4 * feature as u32);
    }

    /// Values held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of memory.
    pub(super) fn heap_bytes(&self) -> usize {
        heap_bytes(size_of_val(&*self.list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FEATURES: [Feature; 5] = [Feature::Country, Feature::Region, Feature::Network, Feature::Device, Feature::Agent];

    fn learn(habits: &mut Habits, feature: Feature, value: u32, day: u16, weight: f32) {
        habits.advance(day);
        habits.learn(feature, value, day, weight, weight >= 1.0);
    }

    /// The same with nothing packed.
    #[derive(Default)]
    struct Plain {
        day: u16,
        values: Vec<Value>,
    }

    struct Value {
        feature: Feature,
        value: u32,
        weight: f64,
        first: u16,
        last_counted: Option<u16>,
        days: u16,
    }

    impl Plain {
        fn learn(&mut self, feature: Feature, value: u32, day: u16, weight: f32) {
            let later = day.saturating_sub(self.day);
            self.day = self.day.max(day);
            self.values.iter_mut().for_each(|one| one.weight *= (-f64::from(later) / 60.0).exp2());
            if self.values.iter().all(|one| (one.feature, one.value) != (feature, value)) {
                self.values.push(Value { feature, value, weight: 0.0, first: day, last_counted: None, days: 0 });
            }
            let Some(one) = self.values.iter_mut().find(|one| (one.feature, one.value) == (feature, value)) else { return };
            one.weight += f64::from(weight);
            one.first = one.first.min(day);
            if weight >= 1.0 && (one.days == 0 || (day == self.day && one.last_counted != Some(day))) {
                one.days += 1;
                one.last_counted = Some(day);
            }
        }
    }

    proptest! {
        /// What is packed agrees with what is not, as far as it claims to.
        #[test]
        fn packed_habits_are_like_plain_ones(steps in prop::collection::vec((0_usize..5, 1_u32..12, 0_u16..3, 0_u8..4), 1..120)) {
            let (mut habits, mut plain, mut day) = (Habits::default(), Plain::default(), 100_u16);
            for (feature, value, later, weight) in steps {
                let feature = FEATURES.into_iter().nth(feature).unwrap_or(Feature::Agent);
                day = day + later - u16::from(weight == 3);
                let weight = if weight == 0 { 0.12 } else { 1.0 };
                // Weights of equal sign-ins tie in one and not in the other, so a full feature is left as it is.
                let is_full = plain.values.iter().filter(|one| one.feature == feature).count() >= feature.values_max();
                if is_full && plain.values.iter().all(|one| (one.feature, one.value) != (feature, value)) {
                    continue;
                }
                learn(&mut habits, feature, value, day, weight);
                plain.learn(feature, value, day, weight);
                prop_assert_eq!(habits.day(), plain.day);
                for Value { feature, value, weight, first, days, .. } in &plain.values {
                    let (one, _) = habits.weights(*feature, *value, plain.day);
                    prop_assert!((f64::from(one) / weight - 1.0).abs() < 0.03, "{} {}", one, weight);
                    prop_assert_eq!(habits.days_of(*feature, *value), *days.min(&31));
                    for day in plain.day.saturating_sub(6)..plain.day + 2 {
                        prop_assert_eq!(habits.seen_before(*feature, *value, day), *first < day);
                    }
                }
                prop_assert_eq!(habits.len(), plain.values.len());
                let oldest = plain.values.iter().map(|one| plain.day - one.first).max().unwrap_or(0);
                prop_assert_eq!(habits.age_by(plain.day), oldest.min(7));
            }
        }

        /// Whatever a loaded list says of itself, it is read without harm.
        #[test]
        fn any_habits_can_be_used(bytes in prop::collection::vec(any::<u8>(), 0..120), value in any::<u32>(), day in any::<u16>()) {
            if let Ok(mut habits) = postcard::from_bytes::<Habits>(&bytes) {
                habits.counts &= 0x0007_7777;
                for feature in FEATURES {
                    prop_assert!(habits.weights(feature, value, day).0 >= 0.0);
                    learn(&mut habits, feature, value, day, 1.0);
                }
            }
        }

        #[test]
        fn weights_are_kept_to_a_sixth_of_a_percent(weight in 0.016_f32..2_000.0) {
            prop_assert!((weight_of(log_of(weight)) / weight - 1.0).abs() <= 0.001_5, "{}", weight);
        }

        #[test]
        fn every_logarithm_is_its_own(log in 1_u16..=Habit::LOG_MAX) {
            prop_assert_eq!(log_of(weight_of(log)), log);
        }

        #[test]
        fn fading_halves_in_sixty_days_however_often_it_is_done(days in prop::collection::vec(0_u16..9, 0..40)) {
            let (mut habits, mut day) = (Habits::default(), 100);
            learn(&mut habits, Feature::Country, 7, day, 1.0);
            for later in days {
                day += later;
                habits.advance(day);
            }
            let exact = (-f32::from(day - 100) / 60.0).exp2();
            prop_assert!((habits.weights(Feature::Country, 7, day).0 / exact - 1.0).abs() < 1e-5);
            prop_assert!((habits.weights(Feature::Country, 7, day + 60).0 / exact - 0.5).abs() < 1e-5);
        }
    }

    #[test]
    fn a_logarithm_says_as_well_whether_a_value_is_known() {
        assert!((0..=Habit::LOG_MAX).all(|log| (log >= KNOWN_LOG_MIN) == (weight_of(log) >= 0.3)));
    }

    #[test]
    fn extreme_weights_are_held() {
        assert_eq!([0.0, 0.25, 1.0, 1_024.0].map(|weight| weight_of(log_of(weight))), [0.0, 0.25, 1.0, 1_024.0]);
        assert!(weight_of(log_of(f32::MAX)) > 2_000.0);
        assert_eq!([-1.0, 1e-9, f32::MIN_POSITIVE].map(log_of), [0; 3]);
    }

    #[test]
    fn a_sign_in_each_day_comes_to_what_it_should() {
        let mut habits = Habits::default();
        (0..1_000).for_each(|day| learn(&mut habits, Feature::Country, 7, day, 1.0));
        let (weight, exact) = (habits.weights(Feature::Country, 7, 999).0, 1.0 / (1.0 - (-1.0_f32 / 60.0).exp2()));
        assert!((weight / exact - 1.0).abs() < 0.12, "{weight} for {exact}");
    }

    #[test]
    fn a_value_is_known_for_a_season_and_then_forgotten() {
        let mut habits = Habits::default();
        learn(&mut habits, Feature::Country, 7, 100, 1.0);
        assert!(habits.knows(Feature::Country, 7, 190));
        assert!(!habits.knows(Feature::Country, 7, 230));
        assert!(!habits.knows(Feature::Country, 8, 100));
        assert!(habits.knows(Feature::Country, 0, 100), "absent is no news");
    }

    #[test]
    fn what_was_seen_in_doubt_alone_is_not_owned() {
        let mut habits = Habits::default();
        (100..103).for_each(|day| learn(&mut habits, Feature::Device, 7, day, 0.12));
        assert!(habits.seen_before(Feature::Device, 7, 102) && habits.knows(Feature::Device, 7, 102));
        assert!(!habits.owned_before(Feature::Device, 7, 102));
        learn(&mut habits, Feature::Device, 7, 103, 1.0);
        assert!(habits.owned_before(Feature::Device, 7, 104));
    }

    #[test]
    fn a_full_feature_gives_up_its_faintest_value_and_leaves_others_alone() {
        let mut habits = Habits::default();
        learn(&mut habits, Feature::Device, 1, 100, 1.0);
        (0..5).for_each(|_| learn(&mut habits, Feature::Network, 1, 100, 1.0));
        (2..50).for_each(|value| learn(&mut habits, Feature::Network, value, 101, 1.0));
        assert!(habits.knows(Feature::Network, 1, 101) && habits.knows(Feature::Device, 1, 101));
        assert_eq!((habits.of(Feature::Network).len(), habits.of(Feature::Device).len()), (8, 1));
    }
}

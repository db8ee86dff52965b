//! Scores of one or more seeds summed up; its text form is the tables, its JSON the same.

use super::score::{FalseAlert, Habit, Kind, Missed, Raised, Score};
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Sign-ins that rates are told per.
const RATE_PER: f64 = 100_000.0;

/// Attacks of one kind and variant.
#[derive(Clone, Debug, Serialize)]
pub struct KindLine {
    /// Kind and variant.
    pub kind: String,
    /// Attacks, without those cut off.
    pub total: u64,
    /// Told at medium or above, in time, by a fitting detector.
    pub found: u64,
    /// `found` of `total`; absent if there are none.
    pub recall: Option<f64>,
    /// Cut off by the end of the traffic and not found.
    pub cut_off: u64,
    /// Attacks in which somebody got in.
    pub hits: u64,
    /// Those of them that were told at high or above in time.
    pub hits_high: u64,
    /// Seconds from the first event to the version that reached the severity needed: the median.
    pub delay_median_s: Option<i64>,
    /// The longest of them.
    pub delay_worst_s: Option<i64>,
    /// Most alerts of medium or above about one attack.
    pub alerts_max: u64,
}

/// Alerts of one detector.
#[derive(Clone, Debug, Serialize)]
pub struct DetectorLine {
    /// Its id.
    pub detector: String,
    /// Alerts of any severity.
    pub alerts: u64,
    /// Of medium or above, about an attack that it is for.
    pub fitting: u64,
    /// Of medium or above, about another attack.
    pub other_attack: u64,
    /// How often its alerts count as false.
    pub false_alerts: u64,
    /// Those of them that are about an attack about which there are enough already.
    pub too_many: u64,
    /// Innocent people in its alerts about attacks.
    pub bystanders: u64,
    /// Alerts below medium.
    pub low: u64,
}

/// Innocent happenings of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct HabitLine {
    /// Kind.
    pub habit: String,
    /// How many there were.
    pub happenings: u64,
    /// Alerts about no attack that name somebody in one of them.
    pub false_alerts: u64,
}

/// Sums of one seed, or of all.
#[derive(Clone, Debug, Serialize)]
pub struct Totals {
    /// The seed; absent for all, and for files.
    pub seed: Option<u64>,
    /// Attacks, without those cut off.
    pub attacks: u64,
    /// Attacks found.
    pub found: u64,
    /// `found` of `attacks`.
    pub recall: Option<f64>,
    /// Attacks cut off and not found.
    pub cut_off: u64,
    /// Attacks in which somebody got in.
    pub hits: u64,
    /// Those told at high or above.
    pub hits_high: u64,
    /// `hits_high` of `hits`.
    pub hits_recall: Option<f64>,
    /// The kind with the lowest recall.
    pub worst_kind: Option<String>,
    /// Its recall.
    pub worst_kind_recall: Option<f64>,
    /// Sign-ins of people that belong to no attack.
    pub sign_ins: Option<u64>,
    /// False alerts.
    pub false_alerts: u64,
    /// The same per 100,000 sign-ins.
    pub false_rate: Option<f64>,
    /// False alerts that are about an attack about which there are enough already.
    pub too_many: u64,
    /// Alerts below medium.
    pub low: u64,
    /// The same per 100,000 sign-ins.
    pub low_rate: Option<f64>,
    /// Innocent people in alerts about attacks.
    pub bystanders: u64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Over everything.
    pub total: Totals,
    /// Of each seed.
    pub seeds: Vec<Totals>,
    /// The seed with the lowest recall; among equals the one with the most false alerts.
    pub worst_seed: Option<u64>,
    /// By kind and variant of attack.
    pub kinds: Vec<KindLine>,
    /// By detector.
    pub detectors: Vec<DetectorLine>,
    /// By kind of innocent happening.
    pub habits: Vec<HabitLine>,
    pub(super) missed: Vec<Missed>,
    pub(super) false_alerts: Vec<FalseAlert>,
}

impl Report {
    /// Sums scores up.
    #[must_use]
    pub fn of(scores: Vec<Score>) -> Self {
        let mut all = Score::default();
        let mut seeds = Vec::new();
        for score in scores {
            seeds.push(Totals::of(&score));
            all.add(score);
        }
        let worst_seed = seeds.iter().min_by(|a, b| worse_first(a, b)).and_then(|worst| worst.seed);
        let total = Totals { seed: None, ..Totals::of(&all) };
        seeds.retain(|line| line.seed.is_some());
        Self {
            total,
            seeds,
            worst_seed,
            kinds: all.kinds.into_iter().map(|(name, kind)| KindLine::of(name, kind)).collect(),
            detectors: all.detectors.into_iter().map(|(id, raised)| DetectorLine::of(id, raised)).collect(),
            habits: all
                .habits
                .into_iter()
                .map(|(habit, Habit { happenings, false_alerts })| HabitLine { habit, happenings, false_alerts })
                .collect(),
            missed: all.missed,
            false_alerts: all.false_alerts,
        }
    }

    /// The kind of attack with the lowest recall, and that.
    #[must_use]
    pub fn worst_kind(&self) -> Option<(&str, f64)> {
        Some((self.total.worst_kind.as_deref()?, self.total.worst_kind_recall?))
    }
}

fn worse_first(a: &Totals, b: &Totals) -> Ordering {
    let recall = |line: &Totals| line.recall.unwrap_or(1.0);
    let false_rate = |line: &Totals| line.false_rate.unwrap_or(line.false_alerts as f64);
    recall(a).total_cmp(&recall(b)).then(false_rate(b).total_cmp(&false_rate(a)))
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Totals {
    fn of(score: &Score) -> Self {
        let sum = |of: fn(&Kind) -> u64| score.kinds.values().map(of).sum::<u64>();
        let alerts = |of: fn(&Raised) -> u64| score.detectors.values().map(of).sum::<u64>();
        let (attacks, found, hits, hits_high) = (sum(|k| k.total), sum(|k| k.found), sum(|k| k.hits), sum(|k| k.hits_high));
        let (false_alerts, low) = (alerts(|d| d.false_alerts), alerts(|d| d.low));
        let by_recall = score.kinds.iter().filter_map(|(name, kind)| Some((name, share(kind.found, kind.total)?)));
        let worst = by_recall.min_by(|(_, a), (_, b)| a.total_cmp(b));
        let rate = |count: u64| score.sign_ins.and_then(|all| share(count, all)).map(|rate| rate * RATE_PER);
        Self {
            seed: score.seed,
            attacks,
            found,
            recall: share(found, attacks),
            cut_off: sum(|k| k.cut_off),
            hits,
            hits_high,
            hits_recall: share(hits_high, hits),
            worst_kind: worst.map(|(name, _)| name.clone()),
            worst_kind_recall: worst.map(|(_, recall)| recall),
            sign_ins: score.sign_ins,
            false_alerts,
            false_rate: rate(false_alerts),
            too_many: alerts(|d| d.too_many),
            low,
            low_rate: rate(low),
            bystanders: alerts(|d| d.bystanders),
        }
    }
}

impl KindLine {
    fn of(name: String, kind: Kind) -> Self {
        let Kind { total, found, cut_off, hits, hits_high, mut delays_ms, alerts_max } = kind;
        delays_ms.sort_unstable();
        let seconds = |delay_ms: &i64| (delay_ms + 500) / 1_000;
        Self {
            kind: name,
            total,
            found,
            recall: share(found, total),
            cut_off,
            hits,
            hits_high,
            delay_median_s: delays_ms.get(delays_ms.len().saturating_sub(1) / 2).map(seconds),
            delay_worst_s: delays_ms.last().map(seconds),
            alerts_max,
        }
    }
}

impl DetectorLine {
    fn of(detector: String, raised: Raised) -> Self {
        let Raised { alerts, fitting, other_attack, false_alerts, too_many, bystanders, low } = raised;
        Self { detector, alerts, fitting, other_attack, false_alerts, too_many, bystanders, low }
    }
}

impl Score {
    fn add(&mut self, other: Self) {
        add_each(&mut self.kinds, other.kinds, |sum, kind| {
            sum.total += kind.total;
            sum.found += kind.found;
            sum.cut_off += kind.cut_off;
            sum.hits += kind.hits;
            sum.hits_high += kind.hits_high;
            sum.delays_ms.extend(kind.delays_ms);
            sum.alerts_max = sum.alerts_max.max(kind.alerts_max);
        });
        add_each(&mut self.detectors, other.detectors, |sum, raised| {
            sum.alerts += raised.alerts;
            sum.fitting += raised.fitting;
            sum.other_attack += raised.other_attack;
            sum.false_alerts += raised.false_alerts;
            sum.too_many += raised.too_many;
            sum.bystanders += raised.bystanders;
            sum.low += raised.low;
        });
        add_each(&mut self.habits, other.habits, |sum, habit| {
            sum.happenings += habit.happenings;
            sum.false_alerts += habit.false_alerts;
        });
        self.sign_ins = self.sign_ins.map_or(other.sign_ins, |sum| Some(sum + other.sign_ins.unwrap_or(0)));
        self.missed.extend(other.missed);
        self.false_alerts.extend(other.false_alerts);
    }
}

fn add_each<T: Default>(sums: &mut BTreeMap<String, T>, others: BTreeMap<String, T>, add: impl Fn(&mut T, T)) {
    for (name, other) in others {
        add(sums.entry(name).or_default(), other);
    }
}

//! The counting itself, of one set of labels and alerts.

use super::cases::{Case, Cases, Version};
use super::parties::Parties;
use super::sign_ins::SignIns;
use crate::simulate::Label;
use bartizan_core::Severity;
use bartizan_core::time::MINUTE_MS;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How long after the end of an attack an alert may still be told.
const LATE_MS: i64 = 10 * MINUTE_MS;
/// Alerts about one attack that nobody minds.
const ALERTS_PER_ATTACK: usize = 3;
/// Habit of people whom no label names.
pub(super) const ORDINARY: &str = "(none of these)";

/// Attacks of one kind and variant.
#[derive(Clone, Debug, Default)]
pub(super) struct Kind {
    pub(super) total: u64,
    pub(super) found: u64,
    /// Cut off by the end of the traffic and not found; not in `total`.
    pub(super) cut_off: u64,
    /// Attacks in which somebody got in, and those of them that were told at high.
    pub(super) hits: u64,
    pub(super) hits_high: u64,
    /// From the first event to the version that reached the severity it needs, for each that did.
    pub(super) delays_ms: Vec<i64>,
    /// Most alerts of medium or above about one of them.
    pub(super) alerts_max: u64,
}

/// Alerts of one detector.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Raised {
    pub(super) alerts: u64,
    pub(super) fitting: u64,
    pub(super) other_attack: u64,
    pub(super) false_alerts: u64,
    /// Those of them that are beyond what one attack may have.
    pub(super) too_many: u64,
    pub(super) bystanders: u64,
    pub(super) low: u64,
}

/// Innocent happenings of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habit {
    pub(super) happenings: u64,
    /// False alerts that name somebody in one of them, at its time.
    pub(super) false_alerts: u64,
}

/// An attack that was not told as it should be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Missed {
    pub(super) seed: Option<u64>,
    pub(super) attack: String,
    pub(super) kind: String,
    pub(super) tenant: String,
    /// Found, and only below the severity that it needs.
    pub(super) told_low: bool,
}

/// An alert that should not be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FalseAlert {
    pub(super) seed: Option<u64>,
    pub(super) alert: String,
    pub(super) detector: String,
    pub(super) severity: Severity,
    pub(super) tenant: String,
    pub(super) key: String,
    /// How often it counts.
    pub(super) count: u64,
    /// It is about an attack about which there are enough already.
    pub(super) one_too_many: bool,
    pub(super) reason: String,
}

/// What came of one comparison.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub(super) seed: Option<u64>,
    pub(super) kinds: BTreeMap<String, Kind>,
    pub(super) detectors: BTreeMap<String, Raised>,
    pub(super) habits: BTreeMap<String, Habit>,
    /// Sign-ins of people that belong to no attack; absent if the events are not known.
    pub(super) sign_ins: Option<u64>,
    pub(super) missed: Vec<Missed>,
    pub(super) false_alerts: Vec<FalseAlert>,
}

/// What alerts say of one attack.
#[derive(Clone, Debug, Default)]
struct Told {
    /// When a fitting alert first told it at medium, and at high.
    medium_ms: Option<i64>,
    high_ms: Option<i64>,
    /// Alerts of medium or above about it: when they reached that, and their number.
    alerts: Vec<(i64, usize)>,
}

/// Compares labels with alerts.
#[must_use]
pub fn score(seed: Option<u64>, labels: &[Label], cases: &Cases, sign_ins: Option<&SignIns>) -> Score {
    let parties = Parties::new(labels);
    let mut score = Score { seed, sign_ins: sign_ins.map(|all| all.innocent(labels, &parties)), ..Score::default() };
    let mut told = vec![Told::default(); labels.len()];
    for (number, case) in cases.iter().enumerate() {
        note_found(case, labels, &parties, &mut told);
        score.raised(number, case, labels, &parties, &mut told);
    }
    score.too_many(cases, &mut told);
    for (label, told) in labels.iter().zip(&told) {
        match &label.attack {
            Some(attack) => score.attack(attack, label, told),
            None => score.habits.entry(label.kind.clone()).or_default().happenings += 1,
        }
    }
    score
}

/// Notes when an alert told the attacks that its detector is for.
fn note_found(case: &Case, labels: &[Label], parties: &Parties<'_>, told: &mut [Told]) {
    let mut note = |version: &Option<Version>, slot: fn(&mut Told) -> &mut Option<i64>| {
        let Some(version) = version else { return };
        for number in parties.of(&case.tenant, &version.entities) {
            let (Some(label), Some(told)) = (labels.get(number), told.get_mut(number)) else { continue };
            let in_time = (label.start.0..=label.end.0.saturating_add(LATE_MS)).contains(&version.told_ms);
            if in_time && label.detectors.contains(&case.detector) {
                let slot = slot(told);
                *slot = Some(slot.map_or(version.told_ms, |earlier| earlier.min(version.told_ms)));
            }
        }
    };
    note(&case.medium, |told| &mut told.medium_ms);
    note(&case.high, |told| &mut told.high_ms);
}

/// Of the attacks that an alert may be about, those that it is: if there are any, those of which it names what is the
/// attacker's, as the same names are tried in many; and of these, if there are any, those that its detector is for.
fn meant(attacks: Vec<(usize, &Label)>, traced: &[usize], fits: impl Fn(&Label) -> bool) -> Vec<usize> {
    let by_trace = some_or_all(attacks, |(number, _)| traced.contains(number));
    some_or_all(by_trace, |(_, label)| fits(label)).into_iter().map(|(number, _)| number).collect()
}

/// Those that pass, or all if none does.
fn some_or_all<T: Copy>(all: Vec<T>, passes: impl Fn(&T) -> bool) -> Vec<T> {
    let some: Vec<T> = all.iter().filter(|one| passes(one)).copied().collect();
    if some.is_empty() { all } else { some }
}

fn overlaps(label: &Label, version: &Version) -> bool {
    label.start.0 <= version.told_ms && version.first_ms <= label.end.0.saturating_add(LATE_MS)
}

impl Score {
    /// Counts an alert for its detector: about an attack, false, or low.
    fn raised(&mut self, number: usize, case: &Case, labels: &[Label], parties: &Parties<'_>, told: &mut [Told]) {
        let raised = self.detectors.entry(case.detector.clone()).or_default();
        raised.alerts += 1;
        let Some(medium) = case.medium.as_ref().filter(|_| case.last.severity >= Severity::Medium) else {
            raised.low += 1;
            return;
        };
        let entities = &case.last.entities;
        let named = parties.of(&case.tenant, entities).into_iter().filter_map(|number| Some((number, labels.get(number)?)));
        let (attacks, habits): (Vec<_>, Vec<_>) =
            named.filter(|(_, label)| overlaps(label, &case.last)).partition(|(_, label)| label.attack.is_some());
        if attacks.is_empty() {
            let count = entities.users.len().max(entities.sessions.len()).max(1) as u64;
            raised.false_alerts += count;
            self.false_alerts.push(FalseAlert { count, ..self.false_alert(case) });
            let mut kinds: BTreeSet<&str> = habits.iter().map(|(_, label)| label.kind.as_str()).collect();
            if kinds.is_empty() {
                kinds.insert(ORDINARY);
            }
            for kind in kinds {
                self.habits.entry(kind.to_owned()).or_default().false_alerts += 1;
            }
            return;
        }
        let fits = |label: &Label| label.detectors.contains(&case.detector);
        let fits_any = attacks.iter().any(|(_, label)| fits(label));
        if fits_any {
            raised.fitting += 1;
        } else {
            raised.other_attack += 1;
        }
        let took_part = |user: &String| attacks.iter().any(|(_, label)| label.entities.users.contains(user));
        raised.bystanders += entities.users.iter().filter(|user| !took_part(user)).count() as u64;
        // What finds one attack is not one more about another that happens to name the same person.
        for attack in meant(attacks, &parties.traced(&case.tenant, entities), fits) {
            if let Some(told) = told.get_mut(attack) {
                told.alerts.push((medium.told_ms, number));
            }
        }
    }

    /// Counts the alerts beyond those that an attack may have, each once.
    fn too_many(&mut self, cases: &Cases, told: &mut [Told]) {
        let mut beyond = BTreeSet::new();
        for told in told {
            told.alerts.sort_unstable();
            beyond.extend(told.alerts.iter().skip(ALERTS_PER_ATTACK).map(|(_, number)| *number));
        }
        for (_, case) in cases.iter().enumerate().filter(|(number, _)| beyond.contains(number)) {
            let raised = self.detectors.entry(case.detector.clone()).or_default();
            raised.false_alerts += 1;
            raised.too_many += 1;
            self.false_alerts.push(FalseAlert { one_too_many: true, ..self.false_alert(case) });
        }
    }

    fn false_alert(&self, case: &Case) -> FalseAlert {
        FalseAlert {
            seed: self.seed,
            alert: case.id.clone(),
            detector: case.detector.clone(),
            severity: case.last.severity,
            tenant: case.tenant.clone(),
            key: case.key.clone(),
            count: 1,
            one_too_many: false,
            reason: case.reason.clone(),
        }
    }

    fn attack(&mut self, attack: &str, label: &Label, told: &Told) {
        let name = if label.variant.is_empty() { label.kind.clone() } else { format!("{}/{}", label.kind, label.variant) };
        let needed_ms = if label.hit { told.high_ms } else { told.medium_ms };
        let found = told.medium_ms.is_some();
        let kind = self.kinds.entry(name.clone()).or_default();
        kind.alerts_max = kind.alerts_max.max(told.alerts.len() as u64);
        if label.truncated && !found {
            kind.cut_off += 1;
            return;
        }
        kind.total += 1;
        kind.found += u64::from(found);
        kind.hits += u64::from(label.hit);
        kind.hits_high += u64::from(label.hit && needed_ms.is_some());
        kind.delays_ms.extend(needed_ms.map(|told_ms| told_ms - label.start.0));
        if needed_ms.is_none() {
            let tenant = label.tenant.clone();
            self.missed.push(Missed { seed: self.seed, attack: attack.to_owned(), kind: name, tenant, told_low: found });
        }
    }
}

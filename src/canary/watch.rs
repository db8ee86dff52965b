//! Listens whether a round is found.

use super::RETURN_MS;
use super::round::Round;
use crate::alert::Alert;
use bartizan_core::time::{DAY_MS, MINUTE_MS};
use bartizan_core::{EventBatch, TimeMs};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Days of judged rounds that are remembered: more than habits take.
const DAYS_KEPT: i64 = 10;

/// A round that was sent and is not judged yet.
#[derive(Debug)]
struct Underway {
    sent_ms: i64,
    due_ms: i64,
    expected: BTreeSet<&'static str>,
    /// What the id of its last event begins with.
    end: String,
}

/// What came of a detector's latest attack.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    sent_ms: i64,
    heard: bool,
}

#[derive(Debug, Default)]
struct State {
    underway: Option<Underway>,
    /// What the ids of the events of each detector's latest attack begin with.
    marks: BTreeMap<&'static str, String>,
    /// Which attack each detector found last, by the same.
    heard: BTreeMap<&'static str, String>,
    /// When the latest round that was judged was sent.
    judged_ms: Option<i64>,
    /// When the first one was sent that did not come back, of those since.
    missing_ms: Option<i64>,
    verdicts: BTreeMap<&'static str, Verdict>,
    learning: BTreeSet<&'static str>,
    uncovered: BTreeMap<&'static str, &'static str>,
    days: BTreeSet<i64>,
}

/// Knows the round that is under way. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<State>>);

/// How the canary stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When the latest round that was judged was sent.
    pub judged_ms: Option<i64>,
    /// When a round was sent that did not come back; none if one came back since.
    pub missing_ms: Option<i64>,
    /// Detectors that found their latest attack.
    pub heard: Vec<&'static str>,
    /// Detectors that did not.
    pub silent: Vec<&'static str>,
    /// Detectors that cannot be asked yet.
    pub learning: Vec<&'static str>,
    /// Detectors that cannot be asked, and why.
    pub uncovered: Vec<(&'static str, &'static str)>,
}

impl Watch {
    /// May a round begin, since none is under way that may still come back?
    #[must_use]
    pub fn is_free(&self, now_ms: i64) -> bool {
        self.0.lock().underway.as_ref().is_none_or(|underway| now_ms >= underway.due_ms)
    }

    /// Days on which rounds were judged.
    #[must_use]
    pub fn days(&self) -> BTreeSet<i64> {
        self.0.lock().days.clone()
    }

    /// This round is about to be sent.
    pub fn begin(&self, round: &Round) {
        let mut state = self.0.lock();
        state.learning.clone_from(&round.learning);
        state.uncovered.clone_from(&round.uncovered);
        state.verdicts.retain(|detector, _| !round.uncovered.contains_key(detector));
        let due_ms = round.sent_ms.saturating_add(RETURN_MS);
        state.marks.extend(round.marks.clone());
        state.underway = Some(Underway { sent_ms: round.sent_ms, due_ms, expected: round.expected.clone(), end: round.end.clone() });
    }

    /// It could not be sent.
    pub fn give_up(&self) {
        self.0.lock().underway = None;
    }

    /// Takes a batch that was judged and committed, with the canary's alerts of it. Returns the detectors that have just spoken.
    pub fn hear(&self, alerts: &[Alert], events: &EventBatch) -> Vec<&'static str> {
        let mut state = self.0.lock();
        let State { underway, marks, heard, .. } = &mut *state;
        let mut spoke = Vec::new();
        for alert in alerts {
            let Some((detector, mark)) = marks.get_key_value(alert.detector.as_str()) else { continue };
            // Another attack's alert may close only now.
            let is_its = alert.event_ids.iter().any(|id| id.starts_with(mark));
            if is_its && heard.get(detector) != Some(mark) {
                heard.insert(detector, mark.clone());
                spoke.push(*detector);
            }
        }
        let ends = |underway: &Underway| {
            events.iter().any(|event| event.is_judged() && event.id().starts_with(&underway.end) && super::is_reserved(event.tenant()))
        };
        if underway.as_ref().is_some_and(ends) {
            state.judged();
        }
        spoke
    }

    /// What is wrong at this time, by its subject: a detector, or nothing for a round that did not come back. While it
    /// `is_known` why nothing comes back, the time does not count.
    pub fn look(&self, now_ms: i64, is_known: bool) -> BTreeMap<String, String> {
        let mut state = self.0.lock();
        let State { underway, missing_ms, .. } = &mut *state;
        if let Some(underway) = underway {
            if is_known {
                underway.due_ms = now_ms.saturating_add(RETURN_MS);
            } else if now_ms >= underway.due_ms {
                missing_ms.get_or_insert(underway.sent_ms);
            }
        }
        let silent = state.verdicts.iter().filter(|(_, verdict)| !verdict.heard);
        let silent =
            silent.map(|(detector, verdict)| ((*detector).to_owned(), format!("not found: the attack of {}", TimeMs(verdict.sent_ms))));
        let missing = state.missing_ms.map(|sent_ms| {
            (String::new(), format!("the round of {} was not judged within {} minutes", TimeMs(sent_ms), RETURN_MS / MINUTE_MS))
        });
        silent.chain(missing).collect()
    }

    /// How the canary stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let state = self.0.lock();
        let who = |heard| state.verdicts.iter().filter(move |(_, verdict)| verdict.heard == heard).map(|(detector, _)| *detector).collect();
        Standing {
            judged_ms: state.judged_ms,
            missing_ms: state.missing_ms,
            heard: who(true),
            silent: who(false),
            learning: state.learning.iter().copied().filter(|detector| !state.verdicts.contains_key(detector)).collect(),
            uncovered: state.uncovered.iter().map(|(detector, why)| (*detector, *why)).collect(),
        }
    }
}

impl State {
    /// The round under way is over: who has not spoken is silent.
    fn judged(&mut self) {
        let Some(Underway { sent_ms, expected, .. }) = self.underway.take() else { return };
        for detector in expected {
            let heard = self.heard.get(detector) == self.marks.get(detector);
            self.verdicts.insert(detector, Verdict { sent_ms, heard });
        }
        (self.judged_ms, self.missing_ms) = (Some(sent_ms), None);
        let day = sent_ms.div_euclid(DAY_MS);
        self.days.insert(day);
        self.days.retain(|kept| day - kept < DAYS_KEPT);
    }
}

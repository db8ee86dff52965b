//! Joins findings into alerts, in the order of events.
//!
//! On its way a finding may be held back: by a suppression, by a hit that another detector tells of the same event or
//! session, or by an open circuit breaker, which folds it into a campaign. Whatever is, goes to the ledger.

use super::heard::{Heard, join_halves};
use super::{Engine, Outcome};
use crate::canary;
use crate::suppress::Held;
use bartizan_core::{Event, EventBatch, Excuse, Finding, Said, Spec};

/// What is found beside a hit that another detector tells of the same event, or told of the same session.
pub(crate) const TOLD_BESIDE: &str = "told_beside";

impl Engine {
    /// Joins findings into episodes and closes episodes as the watermark passes them.
    pub(super) fn join(&mut self, events: &EventBatch, heard: Vec<Heard>, outcome: &mut Outcome) {
        let mut heard = heard.into_iter().peekable();
        for (index, event) in events.iter().enumerate() {
            if self.episodes.next_close_ms() < event.watermark_ms() {
                self.episodes.advance(event.watermark_ms(), event.arrival_ms(), &mut outcome.alerts);
            }
            self.breakers.advance(event.watermark_ms());
            if heard.peek().is_none_or(|next| next.index != index) {
                continue;
            }
            let of_event: Vec<Heard> = std::iter::from_fn(|| heard.next_if(|next| next.index == index)).collect();
            let of_event = join_halves(of_event);
            let tellers: Vec<usize> = of_event.iter().filter(|heard| tells_hit(&heard.said)).map(|heard| heard.detector).collect();
            for next in of_event {
                let Some(spec) = self.specs.get(next.detector) else { continue };
                if canary::is_reserved(event.tenant()) {
                    // Whatever else it is: an attack on the reserved names is to be told, and each round by itself.
                    if let Said::Finding(finding) = next.said {
                        let finding = Finding { sign: None, ..finding };
                        self.episodes.apply(spec, finding, event.arrival_ms(), &mut outcome.alerts);
                    }
                    continue;
                }
                let is_told = self.yields && spec.yields && self.is_told_beside(next.detector, spec, &next.said, &tellers);
                match (next.said, self.suppressions.of(&event, Some(spec.id))) {
                    (Said::Finding(Finding { key, severity, reason, .. }), None) if is_told => {
                        outcome.held.push(Held::excused(spec.id, &event, Excuse { gate: TOLD_BESIDE, key, severity, reason }));
                    }
                    (Said::Finding(finding), by) => {
                        *outcome.findings.entry(spec.id).or_default() += 1;
                        match by {
                            Some(by) => outcome.held.push(Held::suppressed(by, spec.id, &event, finding)),
                            None => self.take_finding(spec, &event, finding, outcome),
                        }
                    }
                    (Said::Excuse(excuse), _) => outcome.held.push(Held::excused(spec.id, &event, excuse)),
                    (Said::Remark(_) | Said::Half(..) | Said::OtherHalf(_), _) => {}
                }
            }
        }
    }

    /// Is it no news: beside a hit that another detector tells of the same event, or told of the same session before? Of
    /// two that yield, what is itself a hit stands.
    fn is_told_beside(&self, detector: usize, spec: &Spec, said: &Said, tellers: &[usize]) -> bool {
        let yields = |other: usize| self.specs.get(other).is_none_or(|spec| spec.yields);
        let tells = |other: usize| other != detector && !(yields(other) && tells_hit(said));
        let was_told = || matches!(said, Said::Finding(finding) if self.episodes.tell_hit(spec, finding));
        tellers.iter().any(|other| tells(*other)) || was_told()
    }

    /// Joins a finding into its episode, or folds it where it would open one and the breaker is open.
    fn take_finding(&mut self, spec: &'static Spec, event: &Event<'_>, finding: Finding, outcome: &mut Outcome) {
        if let Some(open) = self.breakers.open_of(spec.id, &finding.tenant)
            && !self.episodes.goes_on(spec, &finding)
        {
            *outcome.folded.entry(spec.id).or_default() += 1;
            outcome.held.push(Held::folded(spec.id, event, &finding));
            let (spec, campaign) = open.fold(spec, finding);
            self.episodes.apply(&spec, campaign, event.arrival_ms(), &mut outcome.alerts);
            return;
        }
        let tenant = finding.tenant.clone();
        if self.episodes.apply(spec, finding, event.arrival_ms(), &mut outcome.alerts) {
            self.breakers.count(spec.id, &tenant, event.time_ms());
        }
    }
}

/// Is it a finding of something that was hit?
fn tells_hit(said: &Said) -> bool {
    matches!(said, Said::Finding(finding) if finding.subjects.iter().any(|subject| subject.hit))
}

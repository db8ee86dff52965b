//! The common parts of detectors, and what was reported for them in the running epoch.

use super::Enabled;
use super::checkpoint::{CheckpointError, StateId};
use super::engine::Part;
use bartizan_core::common::{REPORTS_MAX, Waiting};
use bartizan_core::{Budget, Common, Epoch, Report, Reports, State, state};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The share of all bytes of state that common parts may take, one in so many.
const SHARE: usize = 16;

/// What the slices of each detector have in common.
#[derive(Debug)]
pub struct CommonParts {
    /// By the number of the detector.
    parts: Vec<Option<Box<dyn Common>>>,
    budget: Arc<Budget>,
    reports: Reports,
}

impl CommonParts {
    /// Those of the detectors that are on, within a share of `state_bytes_max`.
    pub fn new(enabled: &Enabled, state_bytes_max: usize) -> Self {
        let none = Arc::new(Budget::new(0));
        let budget = Arc::new(Budget::new(state_bytes_max / SHARE));
        let parts = enabled.detectors.iter().map(|(spec, parameters)| (spec.build)(parameters, &none).common(&budget)).collect();
        Self { parts, budget, reports: Reports::default() }
    }

    /// Does no detector have one?
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Option::is_none)
    }

    /// Does anything wait for the end of the running epoch?
    pub fn waits(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Bytes that they may hold.
    pub fn bytes_max(&self) -> usize {
        if self.is_empty() { 0 } else { self.budget.bytes_max() }
    }

    /// Bytes that they hold.
    pub fn bytes(&self) -> usize {
        self.budget.held()
    }

    /// That of a detector.
    pub fn of(&self, detector: usize) -> Option<&dyn Common> {
        self.parts.get(detector)?.as_deref()
    }

    /// Adds what was reported in the running epoch, in the order of events.
    pub fn add(&mut self, reports: impl Iterator<Item = (usize, i64, Report)>) {
        self.reports.add(reports.map(|(detector, watermark_ms, report)| Waiting { detector: detector as u16, watermark_ms, report }));
    }

    /// Goes on to an epoch. If that is another one, what was reported in the one before is applied. One that panics is
    /// switched off and named to `disabled`.
    pub fn advance(&mut self, epoch: Epoch, enabled: &mut [bool], mut disabled: impl FnMut(usize)) {
        for Waiting { detector, watermark_ms, report } in self.reports.advance(epoch) {
            let number = usize::from(detector);
            let Some(on) = enabled.get_mut(number).filter(|on| **on) else { continue };
            let Some(Some(part)) = self.parts.get_mut(number) else { continue };
            if catch_unwind(AssertUnwindSafe(|| part.apply(&report, watermark_ms))).is_err() {
                *on = false;
                disabled(number);
            }
            if self.budget.excess() > 0 {
                let parts = &mut self.parts;
                state::give_way(&self.budget, watermark_ms, &mut |visit| {
                    parts.iter_mut().flatten().for_each(|part| part.each_state(visit));
                });
            }
        }
    }

    /// Shows each state with the number of its detector and its own within that.
    pub fn each_state(&mut self, visit: &mut dyn FnMut(usize, usize, &mut dyn State)) {
        for (detector, part) in self.parts.iter_mut().enumerate() {
            let mut states = 0;
            part.iter_mut().for_each(|part| {
                part.each_state(&mut |state| {
                    visit(detector, states, state);
                    states += 1;
                });
            });
        }
    }

    /// Appends the reports of the running epoch.
    pub fn save_reports(&self, out: &mut Vec<u8>) -> Result<(), CheckpointError> {
        *out = postcard::to_extend(&self.reports, std::mem::take(out))?;
        Ok(())
    }

    /// Takes reports of an epoch that was running; `ours` says for each detector of theirs which of ours it is.
    pub fn load_reports(&mut self, bytes: &[u8], ours: &[Option<usize>]) -> Result<(), CheckpointError> {
        self.reports = postcard::from_bytes(bytes)?;
        if self.reports.len() > REPORTS_MAX {
            return Err(postcard::Error::DeserializeBadEncoding.into());
        }
        self.reports.renumber(|theirs| ours.get(usize::from(theirs)).copied().flatten().map(|own| own as u16));
        Ok(())
    }

    /// Loads a part into one state.
    pub fn load(&mut self, id: StateId, part: Part, ours: &[Option<usize>]) -> Result<(), CheckpointError> {
        // A detector that is none of ours any more is left out.
        let Some(Some(own)) = ours.get(usize::from(id.detector)) else { return Ok(()) };
        let mut result = Err(postcard::Error::DeserializeBadEncoding);
        self.each_state(&mut |detector, number, state| {
            if (detector, number) == (*own, usize::from(id.state)) {
                result = part.load(state);
            }
        });
        Ok(result?)
    }

    /// All was given.
    pub fn end_load(&mut self, ours: &[Option<usize>]) -> Result<(), postcard::Error> {
        let mut result = Ok(());
        self.each_state(&mut |detector, _, state| {
            if result.is_ok() && ours.contains(&Some(detector)) {
                result = state.end_load();
            }
        });
        result
    }
}

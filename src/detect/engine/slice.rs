//! A slice: what one part of all keys is known by, in the state of each detector, of people and of their colleagues.
//!
//! A key belongs to one slice by its hash, and slices know nothing of each other: so a thread can own some of them, and
//! a checkpoint does not depend on how many threads there are. Each has its share of the bytes of all state, which its
//! detectors, people and colleagues share among them.

use super::restore::Part;
use super::routes::Route;
use crate::detect::{Enabled, SLICES};
use bartizan_core::{Budget, Colleagues, Common, Detector, Event, Findings, Key, People, State, state};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub(super) struct Slice {
    pub(super) detectors: Vec<Box<dyn Detector>>,
    pub(super) people: People,
    pub(super) colleagues: Colleagues,
    pub(super) budget: Arc<Budget>,
}

impl Slice {
    pub(super) fn new(enabled: &Enabled, bytes_max: usize) -> Self {
        let budget = Arc::new(Budget::new(bytes_max));
        let detectors = enabled.detectors.iter().map(|(spec, parameters)| (spec.build)(parameters, &budget)).collect();
        Self { detectors, people: People::new(&budget), colleagues: Colleagues::new(&budget), budget }
    }

    /// Lets a detector see an event, or people be learnt from it when all have.
    pub(super) fn observe(&mut self, route: &Route, key: Key, event: &Event<'_>, common: Option<&dyn Common>, findings: &mut Findings) {
        match self.detectors.get_mut(route.detector) {
            Some(detector) if route.by_people => detector.observe(key, &self.people.known(key, event).with_common(common), findings),
            Some(detector) => detector.observe(key, &event.with_common(common), findings),
            None => self.people.learn(key, event, findings),
        }
    }

    /// Teaches one of its people. False: that failed.
    pub(super) fn teach(&mut self, key: Key, event: &Event<'_>) -> bool {
        let taught = catch_unwind(AssertUnwindSafe(|| self.people.teach(key, event))).is_ok();
        self.keep_within_budget(event.watermark_ms());
        taught
    }

    /// Makes room when the last event took the slice beyond its share.
    pub(super) fn keep_within_budget(&mut self, watermark_ms: i64) {
        if self.budget.excess() > 0 {
            let (detectors, people, colleagues) = (&mut self.detectors, &mut self.people, &mut self.colleagues);
            state::give_way(&self.budget, watermark_ms, &mut |visit| {
                detectors.iter_mut().for_each(|detector| detector.each_state(visit));
                visit(people.state());
                visit(colleagues.state());
            });
        }
    }

    /// Loads a part into one state of a detector, of people or of colleagues.
    pub(super) fn load(&mut self, detector: usize, state_number: usize, part: Part) -> Result<(), postcard::Error> {
        let mut result = Err(postcard::Error::DeserializeBadEncoding);
        self.each_state(&mut |of, number, state| {
            if (of, number) == (detector, state_number) {
                result = part.load(state);
            }
        });
        result
    }

    /// Shows each state with the number of its detector and its own within that; people and colleagues come last.
    pub(super) fn each_state(&mut self, visit: &mut dyn FnMut(usize, usize, &mut dyn State)) {
        for (number, detector) in self.detectors.iter_mut().enumerate() {
            let mut states = 0;
            detector.each_state(&mut |state| {
                visit(number, states, state);
                states += 1;
            });
        }
        visit(self.detectors.len(), 0, self.people.state());
        visit(self.detectors.len() + 1, 0, self.colleagues.state());
    }
}

/// The slice that a key belongs to.
pub(super) fn slice_of(key: Key) -> usize {
    // The top bits choose it; the maps within use the lower ones.
    (key.hash >> (u64::BITS - SLICES.trailing_zeros())) as usize
}

//! Where an event goes: for each kind of event, which detectors look at it for which of its keys.
//!
//! Their order is that of findings, and the same on every slice: detectors as in the catalogue, keys as the detector
//! lists them. People come last, as they learn from an event that all have seen.

use super::slice::Slice;
use bartizan_core::{Event, KeyKind, Kind, People, Spec, people};

/// One key kind of one detector.
pub(super) struct Route {
    /// Its number; one more than the last is that of people.
    pub(super) detector: usize,
    /// Does it go by people?
    pub(super) by_people: bool,
    /// Is it where people are learnt?
    pub(super) learns: bool,
    /// Position in the detector's list of key kinds.
    pub(super) kind: usize,
    pub(super) key: KeyKind,
}

/// For each kind of event, where it goes, in the order of findings.
pub(super) struct Routes {
    of: [Vec<Route>; Kind::ALL.len()],
    /// Does any detector go by people?
    pub(super) learn_people: bool,
}

impl Routes {
    pub(super) fn new(specs: &[&'static Spec], slices: &[Slice]) -> Self {
        let detectors = slices.first().map_or(&[][..], |slice| &slice.detectors);
        let learn_people = detectors.iter().any(|detector| detector.goes_by_people());
        let mut routes = Self { of: Default::default(), learn_people };
        for (kind_of_event, list) in Kind::ALL.iter().zip(&mut routes.of) {
            for (detector, (spec, instance)) in specs.iter().zip(detectors).enumerate() {
                let keys = spec.keys.iter().enumerate().filter(|(_, key)| instance.looks_at(**key, *kind_of_event));
                let by_people = |key: KeyKind| instance.goes_by_people() && key == people::KEY;
                list.extend(keys.map(|(kind, key)| Route { detector, by_people: by_people(*key), learns: false, kind, key: *key }));
            }
            if People::looks_at(*kind_of_event) && learn_people {
                list.push(Route { detector: detectors.len(), by_people: false, learns: true, kind: 0, key: people::KEY });
            }
        }
        routes
    }

    pub(super) fn of(&self, event: &Event<'_>) -> &[Route] {
        self.of.get(event.kind() as usize).map_or(&[], Vec::as_slice)
    }
}

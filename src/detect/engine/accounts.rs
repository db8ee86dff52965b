//! What each detector said of an event, for who asks why, and why not ([`explain`](crate::explain)).

use super::Engine;
use super::heard::Heard;
use super::routes::Route;
use bartizan_core::{Event, EventBatch, KeyKind, Said};

/// What a detector said of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// The detector.
    pub detector: &'static str,
    /// The key that it looked at the event for.
    pub key: KeyKind,
    /// What it said. Nothing: it saw nothing worth a word.
    pub said: Vec<Said>,
    /// Id of the suppression that holds back what was found.
    pub suppression: Option<String>,
}

impl Engine {
    /// What the detectors that look at the first event said of it.
    pub(super) fn accounts(&self, events: &EventBatch, heard: &[Heard]) -> Vec<Account> {
        let Some(event) = events.get(0).filter(Event::is_judged) else { return Vec::new() };
        let routes = self.routes.of(&event).iter().filter(|route| event.key(route.key).is_some());
        let account = |route: &Route| {
            let of_route = |heard: &&Heard| (heard.index, heard.detector, heard.kind) == (0, route.detector, route.kind);
            let detector = self.specs.get(route.detector)?.id;
            Some(Account {
                detector,
                key: route.key,
                said: heard.iter().filter(of_route).map(|heard| heard.said.clone()).collect(),
                suppression: self.suppressions.of(&event, Some(detector)).map(|by| by.id.clone()),
            })
        };
        routes.filter_map(account).collect()
    }
}

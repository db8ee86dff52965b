//! The interface between a detector and whoever runs it.
//!
//! A detector is a set of small state machines, one for each key (a user, an address, a session …).
//! The runner routes an event once to every key kind that the detector names, on the slice that owns
//! the key; so a detector never sees another slice's state, needs no lock, and gives the same
//! findings however many slices there are. What all slices have to know is a [common part](crate::common). It is synchronous and deterministic: no clock, no
//! randomness, no dependence on batch borders or on the order of a hash map.

use crate::common::Common;
use crate::event::{Event, Kind};
use crate::finding::Findings;
use crate::keys::{Key, KeyKind};
use crate::params::{Parameter, Parameters};
use crate::state::{Budget, State};
use std::sync::Arc;

/// Everything static about a detector: help, API, configuration, docs and tests derive from it.
#[derive(Debug)]
pub struct Spec {
    /// Id, snake case; stands in alerts and in the configuration.
    pub id: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// What it looks for, in one or two sentences.
    pub looks_for: &'static str,
    /// Known blind spots.
    pub blind_spots: &'static str,
    /// Known innocent causes, and what keeps them silent.
    pub innocent_causes: &'static str,
    /// Keys that it holds state for.
    pub keys: &'static [KeyKind],
    /// Parameters with defaults.
    pub parameters: &'static [Parameter],
    /// MITRE ATT&CK tactic and technique.
    pub attack: &'static [(&'static str, &'static str)],
    /// Is what it finds no news beside a hit that another detector finds in the same event, or found of the same session? A
    /// stranger's place is none where the stranger is told as an attacker.
    pub yields: bool,
    /// Findings with no more than this between them belong to one episode.
    pub quiet_gap_ms: i64,
    /// Version of the saved state; a checkpoint with another one is migrated or dropped.
    pub state_version: u32,
    /// Makes one instance, for one slice; its states take their memory from the slice's budget.
    pub build: fn(&Parameters, &Arc<Budget>) -> Box<dyn Detector>,
}

/// One instance of a detector, for one slice of the keys.
pub trait Detector: Send {
    /// Looks at an event for one of its keys. Called for judged events only (in time, no duplicate),
    /// once for each key kind of [`Spec::keys`] that the event has, in the order of that list, where
    /// [`Self::looks_at`] says so.
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings);

    /// Whether events of this kind can matter to it under keys of this kind. The runner asks once, when it
    /// starts, and spares the detector all others; so the answer must not depend on state. A detector that
    /// answers nothing sees everything.
    fn looks_at(&self, _key: KeyKind, _event: Kind) -> bool {
        true
    }

    /// Does it judge people by what is known of them? Then each event that it sees under the key of people has
    /// that in [`Event::person`], as of before the event; what the event adds is learnt when all detectors have seen it,
    /// unless one [doubts](Findings::doubt) it.
    fn goes_by_people(&self) -> bool {
        false
    }

    /// The part that all its slices have in common, if it has one, with memory from `budget`. The runner asks one
    /// instance when it starts; each event is then shown with it ([`Event::common`]), as of the epochs before, and what
    /// there is to be learnt is [reported](Findings::report).
    fn common(&self, _budget: &Arc<Budget>) -> Option<Box<dyn Common>> {
        None
    }

    /// Shows its states, always in the same order. Everything that it remembers is in them: they are
    /// counted, bounded, saved and loaded by whoever runs it.
    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State));
}

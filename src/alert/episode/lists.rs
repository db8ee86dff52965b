//! The lists of an alert, whom it is about and which events prove it, within their bounds.
//!
//! An attacker chooses how many names are tried, so what was only tried is cut at [`Limits::attempts_max`]; what was
//! hit is kept, and takes no room from it. Of event ids the first, the last and those of hits are kept. The detector's
//! evidence says how many there really were.

use super::Limits;
use super::versions::AlertState;
use bartizan_core::Subject;
use std::collections::HashSet;

impl AlertState {
    /// Joins subjects and returns how many were hit that had not been.
    pub(super) fn merge_subjects(&mut self, newer: Vec<Subject>, limits: &Limits) -> usize {
        let mut hits = 0;
        for subject in newer {
            match self.subjects.iter_mut().find(|known| known.kind == subject.kind && known.value == subject.value) {
                Some(known) if subject.hit && !known.hit => {
                    (known.hit, known.role) = (true, subject.role);
                    hits += 1;
                }
                Some(_) => {}
                None if subject.hit => {
                    hits += 1;
                    if self.subjects.len() < limits.hits_max.saturating_add(self.attempts) {
                        self.subjects.push(subject);
                    }
                }
                None if self.attempts < limits.attempts_max => {
                    self.attempts += 1;
                    self.subjects.push(subject);
                }
                None => {}
            }
        }
        hits
    }

    pub(super) fn merge_ids(&mut self, newer: Vec<String>, hit: bool, each_max: usize) {
        for id in newer {
            if hit && self.ids_hit.len() < each_max {
                self.ids_hit.push(id);
            } else if self.ids_head.len() < each_max {
                self.ids_head.push(id);
            } else {
                if self.ids_tail.len() >= each_max {
                    self.ids_tail.remove(0);
                }
                self.ids_tail.push(id);
            }
        }
    }

    pub(super) fn event_ids(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        self.ids_head.iter().chain(&self.ids_hit).chain(&self.ids_tail).filter(|id| seen.insert(*id)).cloned().collect()
    }
}

//! Detection: the deterministic machine over the recorded order.

pub mod breaker;
pub mod checkpoint;
pub mod closings;
mod common;
pub mod dedup;
pub(crate) mod disk;
pub mod engine;
pub mod offline;
pub mod watermark;

#[cfg(test)]
mod fold_tests;
#[cfg(test)]
mod lesson_tests;
#[cfg(test)]
mod tests;

use crate::alert::episode;
use bartizan_core::{Parameters, Spec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Slices that state is cut into by key hash. Fixed, so that a checkpoint does not depend on threads.
pub const SLICES: usize = 64;
/// The least that state may be given: a quarter of a megabyte for each slice.
const STATE_BYTES_MIN: usize = SLICES << 18;

/// `[detect]`: limits of detection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectConfig {
    /// How far events may come out of order, or be repeated, and still be judged (once).
    pub lateness_ms: i64,
    /// Threads that prepare and detect; the latter half of them own the slices.
    pub threads: usize,
    /// Bytes that the state of all detectors may take.
    pub state_bytes_max: usize,
    /// Events remembered to recognise repetitions.
    pub dedup_events_max: usize,
    /// Time between two checkpoints.
    pub checkpoint_interval_ms: u64,
    /// Open episodes, each of which is an alert that may still grow. Beyond it, as beyond
    /// `episodes_bytes_max`, the one that would close first is closed early.
    pub episodes_max: usize,
    /// Bytes of all open episodes.
    pub episodes_bytes_max: usize,
    /// Subjects of one alert that were hit; beyond it only their number is told.
    pub episode_hits_max: usize,
    /// Subjects of one alert that were attacked without being hit.
    pub episode_attempts_max: usize,
    /// Event ids at the head and at the tail of an alert's list, and ids of deciding events of hits.
    pub episode_event_ids_each_max: usize,
    /// Suppressions in force, of all tenants.
    pub suppressions_max: usize,
    /// Lines of the ledger of what was held back; beyond it the oldest go.
    pub suppressed_lines_max: usize,
    /// Lessons that are kept, of all tenants; beyond it the oldest go once no checkpoint needs them.
    pub lessons_max: usize,
    /// Alerts of medium severity or higher that one detector opens in one tenant within an hour, below which its
    /// circuit breaker stays closed.
    pub breaker_alerts_min: u32,
    /// How many times the usual number of an hour they have to be as well.
    pub breaker_factor: u32,
    /// Pairs of detector and tenant whose usual number is known; beyond it the ones that were quiet for longest go.
    pub breaker_tenants_max: usize,
}

impl Default for DetectConfig {
    fn default() -> Self {
        let episode::Limits { episodes_max, bytes_max, hits_max, attempts_max, event_ids_each_max } = episode::Limits::default();
        Self {
            lateness_ms: 600_000,
            threads: 1,
            state_bytes_max: 1 << 30,
            dedup_events_max: 20_000_000,
            checkpoint_interval_ms: 10_000,
            episodes_max,
            episodes_bytes_max: bytes_max,
            episode_hits_max: hits_max,
            episode_attempts_max: attempts_max,
            episode_event_ids_each_max: event_ids_each_max,
            suppressions_max: 1_000,
            suppressed_lines_max: 100_000,
            lessons_max: 10_000,
            breaker_alerts_min: 50,
            breaker_factor: 10,
            breaker_tenants_max: 10_000,
        }
    }
}

impl DetectConfig {
    /// What open episodes may hold.
    #[must_use]
    pub const fn episodes(&self) -> episode::Limits {
        episode::Limits {
            episodes_max: self.episodes_max,
            bytes_max: self.episodes_bytes_max,
            hits_max: self.episode_hits_max,
            attempts_max: self.episode_attempts_max,
            event_ids_each_max: self.episode_event_ids_each_max,
        }
    }

    /// When circuit breakers open.
    #[must_use]
    pub const fn breakers(&self) -> breaker::Limits {
        breaker::Limits { alerts_min: self.breaker_alerts_min, factor: self.breaker_factor, pairs_max: self.breaker_tenants_max }
    }

    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        let mut errors = Vec::new();
        if !(0..=bartizan_core::time::DAY_MS).contains(&self.lateness_ms) {
            errors.push(("lateness_ms", "must be from 0 to a day".to_owned()));
        }
        if !(1..=SLICES).contains(&self.threads) {
            errors.push(("threads", format!("must be from 1 to {SLICES}")));
        }
        if self.checkpoint_interval_ms == 0 {
            errors.push(("checkpoint_interval_ms", "must be above 0".to_owned()));
        }
        errors.extend(out_of_range!(self;
            state_bytes_max: STATE_BYTES_MIN..=1 << 44,
            dedup_events_max: 1..=1 << 36,
            episodes_max: 1..=10_000_000,
            episodes_bytes_max: 1 << 20..=1 << 40,
            episode_hits_max: 1..=1_000_000,
            episode_attempts_max: 0..=1_000_000,
            // The store is asked for at most a thousand events of an alert.
            episode_event_ids_each_max: 1..=333,
            suppressions_max: 0..=100_000,
            suppressed_lines_max: 1..=100_000_000,
            lessons_max: 1..=1_000_000,
            breaker_alerts_min: 1..=100_000_000,
            breaker_factor: 1..=1_000_000,
            breaker_tenants_max: 1..=1_000_000,
        ));
        errors
    }
}

/// The detectors that are switched on, with their parameters.
#[derive(Clone, Debug)]
pub struct Enabled {
    /// In catalogue order.
    pub detectors: Vec<(&'static Spec, Parameters)>,
}

/// `[detectors.<id>]`: `enabled` and the parameters of its table.
pub type DetectorTables = BTreeMap<String, BTreeMap<String, serde_json::Value>>;

impl Enabled {
    /// Reads the tables of the configuration; every error at once, each with its key.
    ///
    /// # Errors
    /// An unknown detector or parameter, a value of the wrong type or out of range.
    pub fn new(catalogue: impl Iterator<Item = &'static Spec> + Clone, tables: &DetectorTables) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        for id in tables.keys().filter(|id| !catalogue.clone().any(|spec| spec.id == **id)) {
            errors.push(format!("detectors.{id}: there is no such detector"));
        }
        let mut detectors = Vec::new();
        for spec in catalogue {
            let mut table = tables.get(spec.id).cloned().unwrap_or_default();
            let enabled = match table.remove("enabled") {
                None => true,
                Some(serde_json::Value::Bool(enabled)) => enabled,
                Some(_) => {
                    errors.push(format!("detectors.{}.enabled: must be true or false", spec.id));
                    true
                }
            };
            match Parameters::new(spec.parameters, &table) {
                Ok(parameters) if enabled => detectors.push((spec, parameters)),
                Ok(_) => {}
                Err(wrong) => errors.extend(wrong.into_iter().map(|error| format!("detectors.{}.{error}", spec.id))),
            }
        }
        if errors.is_empty() { Ok(Self { detectors }) } else { Err(errors) }
    }
}

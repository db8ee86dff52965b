//! What all slices of a detector have in common, like the habits of a tenant.
//!
//! A detector sees the events of its own keys alone; what is to be judged by what others do has to come together.
//! So it may have one common part, held once by whoever runs it. While events are looked at, the common part is read
//! only, and what slices have to say for it waits as [reports](Report). They are [applied](Common::apply) in the order of
//! events when the [epoch](Epoch) is over. What is read is therefore as of the epochs before, whatever the number of
//! slices and threads, and wherever batches are cut.
//!
//! Reports are for what is rare beside events: a day that is over, a number that has doubled.

use crate::event::Event;
use crate::state::State;
use serde::{Deserialize, Serialize};
use std::any::Any;

/// Records after which an epoch is over at the latest.
pub const EPOCH_RECORDS: u64 = 4_096;
/// Watermark by which it is over at the latest, where few records come.
pub const EPOCH_MS: i64 = 10_000;
/// Reports of one epoch; those beyond are dropped.
pub const REPORTS_MAX: usize = 4 * EPOCH_RECORDS as usize;

/// The part of a detector that its slices have in common.
pub trait Common: Any + Send + Sync {
    /// Takes in a report, with the watermark of the event that gave rise to it.
    fn apply(&mut self, report: &Report, watermark_ms: i64);

    /// Shows its states, always in the same order. Everything that it remembers is in them.
    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State));
}

impl std::fmt::Debug for dyn Common {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Common")
    }
}

/// What a slice says for the common part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Hash of the key that it is about, mostly of a tenant.
    pub key: u64,
    /// What it says, by the detector's own count.
    pub what: u8,
    /// The numbers that belong to it.
    pub values: [u32; 4],
}

/// A stretch of the recorded order. Two events belong to the same one wherever batches are cut: it goes by their
/// numbers and watermarks alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    records: u64,
    times: i64,
}

impl Epoch {
    /// The epoch of an event.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        Self { records: event.seq() / EPOCH_RECORDS, times: event.watermark_ms().div_euclid(EPOCH_MS) }
    }
}

/// A report that waits for the end of its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The detector, by the runner's count.
    pub detector: u16,
    /// Watermark of the event that gave rise to it.
    pub watermark_ms: i64,
    /// What it says.
    pub report: Report,
}

/// The reports of the running epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    epoch: Epoch,
    waiting: Vec<Waiting>,
}

impl Reports {
    /// Goes on to an epoch. If that is another one, the reports of the one before are to be applied.
    #[must_use]
    pub fn advance(&mut self, epoch: Epoch) -> Vec<Waiting> {
        if self.epoch == epoch {
            return Vec::new();
        }
        self.epoch = epoch;
        std::mem::take(&mut self.waiting)
    }

    /// Adds reports, in the order of events.
    pub fn add(&mut self, reports: impl IntoIterator<Item = Waiting>) {
        let room = REPORTS_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend(reports.into_iter().take(room));
    }

    /// Keeps those of some detectors, under new numbers.
    pub fn renumber(&mut self, number: impl Fn(u16) -> Option<u16>) {
        self.waiting.retain_mut(|waiting| {
            number(waiting.detector).is_some_and(|own| {
                waiting.detector = own;
                true
            })
        });
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

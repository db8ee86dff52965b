//! Scenarios and the contract for detectors.
//!
//! [`event`] builds an event as its log would tell it, enrichment included; [`Runner`] feeds events to
//! one detector as the daemon does: keys hashed once, each key owned by one slice, findings in the
//! order of the events and of the detector's key kinds. [`contract`] holds what every detector must
//! pass. What the daemon does before detection (removing duplicates and late events) is done here in
//! its simplest form: an event under the watermark is left out.

pub mod contract;
mod event;
mod runner;
mod verdicts;

pub use event::{TestEvent, at, event};
pub use runner::{LATENESS_MS, Runner, run};
pub use verdicts::{named, worst};

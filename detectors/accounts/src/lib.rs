//! Detectors of what is done with accounts that were taken.

pub mod account_takeover;

use bartizan_core::Spec;

/// The detectors of this family.
pub static DETECTORS: &[&Spec] = &[&account_takeover::SPEC];

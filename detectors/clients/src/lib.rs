//! Detectors of clients that are not what they say they are.

pub mod client_integrity;

use bartizan_core::Spec;

/// The detectors of this family.
pub static DETECTORS: &[&Spec] = &[&client_integrity::SPEC];

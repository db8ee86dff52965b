//! Detectors of attacks on second factors.

pub mod mfa_fatigue;

use bartizan_core::Spec;

/// The detectors of this family.
pub static DETECTORS: &[&Spec] = &[&mfa_fatigue::SPEC];

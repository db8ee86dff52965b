//! Detectors of sign-ins from places where their user is not.

pub mod impossible_travel;
pub mod unusual_location;

use bartizan_core::Spec;

/// The detectors of this family.
pub static DETECTORS: &[&Spec] = &[&impossible_travel::SPEC, &unusual_location::SPEC];

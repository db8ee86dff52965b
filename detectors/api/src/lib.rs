//! Detectors of the abuse of APIs.

pub mod api_enumeration;

use bartizan_core::Spec;

/// The detectors of this family.
pub static DETECTORS: &[&Spec] = &[&api_enumeration::SPEC];

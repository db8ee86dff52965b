//! Detectors of stolen sessions and tokens.

pub mod token_reuse;

use bartizan_core::Spec;

/// The detectors of this family.
pub static DETECTORS: &[&Spec] = &[&token_reuse::SPEC];

//! Detectors of attacks on credentials.

pub mod brute_force;
pub mod credential_stuffing;
mod recent;

use bartizan_core::Spec;

/// The detectors of this family.
pub static DETECTORS: &[&Spec] = &[&credential_stuffing::SPEC, &brute_force::SPEC];

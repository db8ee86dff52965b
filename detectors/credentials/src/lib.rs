//! Detectors of attacks on credentials.

pub mod brute_force;
pub mod credential_stuffing;
mod facts;
mod guess;
pub mod password_spraying;
mod recent;
mod sign;

use bartizan_core::Spec;

/// The detectors of this family.
pub static DETECTORS: &[&Spec] = &[&credential_stuffing::SPEC, &password_spraying::SPEC, &brute_force::SPEC];

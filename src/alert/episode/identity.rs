//! Which episode a finding belongs to, and the id of its alert.
//!
//! An id is a hash of tenant, detector, key and start, fixed when the episode opens: the same events in the same order
//! give the same ids anywhere, so whoever is told twice of one alert can know it, and a finding that turns out to be
//! older than the first does not rename it.

use bartizan_core::{Finding, Spec};
use sha2::{Digest, Sha256};

/// Tenant, detector and the key of its findings.
pub(super) type EpisodeKey = (String, String, String);

/// When an episode that a finding opens began, as far as its id goes. A detector that looks back further than its quiet
/// gap may count what belonged to an episode of the same key before, which had that beginning: an id's never lies
/// further back than the gap.
pub(super) fn start_ms(spec: &Spec, finding: &Finding) -> i64 {
    finding.first_time_ms.max(finding.time_ms.saturating_sub(spec.quiet_gap_ms))
}

pub(super) fn alert_id((tenant, detector, key): &EpisodeKey, start_ms: i64) -> String {
    let mut hash = Sha256::new();
    for part in [tenant, detector, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(start_ms.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(digest.split_at(16).0);
    bartizan_core::TokenHash(id).to_hex()
}

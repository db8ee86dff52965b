//! Free space under `data_dir`: below a reserve nothing new is taken, so that checkpoints and the outbox
//! can still be written.

use crate::telemetry::health::DATA_DIR;
use crate::telemetry::{HealthId, Telemetry};
use std::path::Path;

/// Bytes that are kept free.
const RESERVE_BYTES: u64 = 256 << 20;
/// Bytes that must be free again before more is taken: space that comes and goes must not flap.
const ENOUGH_BYTES: u64 = RESERVE_BYTES + RESERVE_BYTES / 4;

/// Raises or clears the health alert by the free space of the file system that holds `folder`.
pub(super) fn check(folder: &Path, telemetry: &Telemetry) {
    match rustix::fs::statvfs(folder) {
        Ok(system) => judge(system.f_bavail.saturating_mul(system.f_frsize), telemetry),
        Err(error) => tracing::warn!(%error, "free space cannot be read"),
    }
}

fn judge(free_bytes: u64, telemetry: &Telemetry) {
    let limit = if telemetry.health.is_disk_full() { ENOUGH_BYTES } else { RESERVE_BYTES };
    let problem = (free_bytes < limit).then(|| format!("{} MiB free, {} MiB are kept in reserve", free_bytes >> 20, RESERVE_BYTES >> 20));
    telemetry.report(HealthId::DiskFull, DATA_DIR, problem.as_deref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_kept_without_flapping() {
        let telemetry = Telemetry::default();
        let full = |free| {
            judge(free, &telemetry);
            telemetry.health.is_disk_full()
        };
        assert!(!full(RESERVE_BYTES));
        assert!(full(RESERVE_BYTES - 1));
        assert!(full(ENOUGH_BYTES - 1));
        assert!(!full(ENOUGH_BYTES));
    }

    #[test]
    fn a_real_folder_has_space_and_a_missing_one_changes_nothing() {
        let telemetry = Telemetry::default();
        judge(0, &telemetry);
        check(Path::new("/nowhere/at/all"), &telemetry);
        assert!(telemetry.health.is_disk_full());
    }
}

//! The place files that the recorded order may still need.

use super::daemon::CHECKPOINTS;
use crate::db::Db;
use crate::detect::checkpoint::{CheckpointError, Checkpoints, Saved};
use crate::enrich::{Enricher, Kept};
use crate::flow::Change;
use std::path::Path;
use std::sync::Arc;

/// Folder of kept place files within `data_dir`.
const PLACES: &str = "places";

/// Where they are kept.
pub(super) fn kept(data_dir: &Path) -> Kept {
    Kept::at(data_dir.join(PLACES))
}

/// Forgets the versions that no checkpoint and no entry of the order names, and that are not in use. What cannot be
/// done now is done the next time.
pub(super) fn forget_unneeded(data_dir: &Path, enricher: &Enricher, db: &Db) {
    let forget = || -> Result<(), CheckpointError> {
        let mut needed = vec![enricher.places().version_shared().clone()];
        for path in Checkpoints::at(&data_dir.join(CHECKPOINTS)).all()? {
            needed.extend(Saved::open(&path)?.header()?.in_force.iter().filter_map(version_of));
        }
        let changes = db.changes_after(i64::MIN)?.into_iter().flat_map(|order| order.changes);
        needed.extend(changes.filter_map(|change| version_of(&change)));
        Ok(kept(data_dir).forget_all_but(needed.iter().map(|version| &**version))?)
    };
    if let Err(error) = forget() {
        tracing::warn!(%error, "earlier place files cannot be looked through: all stay");
    }
}

fn version_of(change: &Change) -> Option<Arc<str>> {
    if let Change::Places(version) = change { Some(Arc::clone(version)) } else { None }
}

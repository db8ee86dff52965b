//! What silence ends: an incident to which nothing came for a while, unless something was hit and nobody acknowledged it.

use super::config::IncidentConfig;
use super::model::{Incident, Resolution};
use crate::alert::model::Status;
use crate::db::{DbError, incidents};
use rusqlite::Connection;
use serde_json::json;

/// Resolves up to `incidents_max` silent incidents. Returns them, so that they can be told.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn resolve_silent(tx: &Connection, config: &IncidentConfig, incidents_max: u32, now_ms: i64) -> Result<Vec<Incident>, DbError> {
    let mut resolved = incidents::silent_since(tx, now_ms.saturating_sub(config.quiet_ms), incidents_max)?;
    for incident in &mut resolved {
        (incident.status, incident.resolution) = (Status::Resolved, Some(Resolution::Silence));
        incidents::put_version(tx, incident, "silence", &json!({"status": incident.status, "quiet_ms": config.quiet_ms}), now_ms)?;
    }
    Ok(resolved)
}

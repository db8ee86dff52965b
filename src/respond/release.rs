//! A person lets go what a brake held.

use super::order::Order;
use super::plan::VALID_MS;
use super::progress;
use crate::db::outbox::State;
use crate::db::{DbError, audit, outbox};
use crate::notify::payload::Payload;
use bartizan_core::TimeMs;
use rusqlite::Connection;
use serde_json::json;

/// Releases up to `limit` of the newest held revocations of a target (`revoke:NAME`), each with a
/// new time limit. Returns how many.
///
/// # Errors
/// SQLite says no, or a stored order does not read.
pub fn release_held(tx: &Connection, channel: &str, limit: u32, actor: &str, now_ms: i64) -> Result<usize, DbError> {
    let mut released = 0;
    for held in outbox::in_state(tx, channel, State::Held, limit)? {
        let mut payload: Payload<Order> = serde_json::from_str(&held.body)?;
        let not_after_ms = now_ms.saturating_add(VALID_MS);
        payload.data.not_after = TimeMs(not_after_ms);
        if outbox::release(tx, held.id, &serde_json::to_string(&payload)?, not_after_ms, now_ms)? {
            progress::released(tx, &held.message_id, payload.data.not_after, now_ms)?;
            let detail = json!({"channel": channel, "alert": held.alert_id, "message_id": held.message_id});
            audit::record(tx, now_ms, actor, "revocation.released", payload.data.session.as_deref().unwrap_or_default(), &detail)?;
            released += 1;
        }
    }
    Ok(released)
}

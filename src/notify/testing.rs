//! What the tests of delivery share.

#![allow(clippy::unwrap_used, reason = "tests")]
use crate::alert::Alert;
use crate::db::outbox::{Message, State};
use crate::db::{Db, DbError, outbox};
use crate::notify::{Detected, Effects, Route, Routing, commit_alert};
use crate::respond::{Facts, RevocationConfig};
use bartizan_core::Severity;
use serde_json::json;

pub use crate::notify::sample::{START_MS, alert};

/// The secret of the published test vector.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A channel for people.
pub fn people(name: &str, min_severity: Severity) -> Route {
    Route::people(name, min_severity)
}

/// A revocation target of the default limits.
pub fn target(name: &str, url: &str, dry_run: bool) -> RevocationConfig {
    let text = json!({
        "name": name, "url": url, "secret": SECRET, "detectors": ["token_reuse"], "dry_run": dry_run, "allow_private": true,
    });
    serde_json::from_value(text).unwrap()
}

/// What the database holds for a channel, oldest first.
pub fn messages(db: &Db, channel: &str, state: State) -> Vec<Message> {
    let mut found = db.read::<_, DbError>(|tx| Ok(outbox::in_state(tx, channel, state, 10_000)?)).unwrap();
    found.reverse();
    found
}

/// Commits a version at a time and returns what followed.
pub fn commit_at(db: &Db, alert: &Alert, routing: &Routing, now_ms: i64) -> Option<Effects> {
    let detected = Detected { alert, facts: &Facts::default(), active_sessions: None };
    db.write(|tx| commit_alert(tx, &detected, routing, now_ms)).unwrap()
}

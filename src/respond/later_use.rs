//! Uses of a session after its end was ordered, where no target can say that it is over.
//!
//! The events themselves can: a refresh that is refused later proves that the session is contained, and one
//! that is granted that it is not. The commit stage shows every batch of events to [`LaterUses`], which looks
//! only while such sessions are waited for; what it saw is written by whoever looks after actions.

use super::record::ActionRecord;
use bartizan_core::batch::EventBatch;
use bartizan_core::time::SECOND_MS;
use bartizan_core::{Kind, Outcome};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A use so soon after the order proves nothing: it may have begun before, and clocks differ.
const SOON_MS: i64 = 5 * SECOND_MS;
/// Uses that wait to be written.
const SEEN_MAX: usize = 1_000;

/// A use of a session whose end was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterUse {
    /// The action that was to end it.
    pub action: String,
    /// Event time.
    pub time_ms: i64,
    /// Was it refused?
    pub refused: bool,
}

/// What is waited for, and what was seen. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LaterUses(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Is any session waited for? Asked for each batch, so without a lock.
    waits: AtomicBool,
    sessions: Mutex<HashMap<String, Vec<Waiting>>>,
    seen: Mutex<Vec<LaterUse>>,
}

/// What is waited for about a session.
#[derive(Debug)]
struct Waiting {
    tenant: String,
    action: String,
    /// Event time from which on a use counts.
    from_ms: i64,
}

impl LaterUses {
    /// Waits for the sessions of these actions, and for no others.
    pub fn wait_for(&self, actions: &[ActionRecord]) {
        let mut sessions = HashMap::<String, Vec<Waiting>>::new();
        for action in actions {
            if let (Some(session), Some(delivered)) = (&action.session, action.delivered_time) {
                let (tenant, action) = (action.tenant.clone(), action.id.clone());
                let waiting = Waiting { tenant, action, from_ms: delivered.0.saturating_add(SOON_MS) };
                sessions.entry(session.clone()).or_default().push(waiting);
            }
        }
        self.0.waits.store(!sessions.is_empty(), Ordering::Relaxed);
        *self.0.sessions.lock() = sessions;
    }

    /// Looks through events for uses.
    pub fn look(&self, events: &EventBatch) {
        if !self.0.waits.load(Ordering::Relaxed) {
            return;
        }
        let sessions = self.0.sessions.lock();
        for event in events.iter().filter(|event| event.kind() == Kind::TokenRefresh) {
            let refused = match event.outcome() {
                Outcome::Failure | Outcome::Denied => true,
                Outcome::Success => false,
                Outcome::Unknown => continue,
            };
            let waiting = event.session().and_then(|session| sessions.get(session)).into_iter().flatten();
            let is_meant = |waiting: &&Waiting| event.tenant() == waiting.tenant && event.time_ms() >= waiting.from_ms;
            for waiting in waiting.filter(is_meant) {
                let mut seen = self.0.seen.lock();
                if seen.len() < SEEN_MAX {
                    seen.push(LaterUse { action: waiting.action.clone(), time_ms: event.time_ms(), refused });
                }
            }
        }
    }

    /// What was seen since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<LaterUse> {
        std::mem::take(&mut *self.0.seen.lock())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::db::{Db, actions};
    use crate::normalise::{Context, Format, NormaliseConfig, Normaliser, TokenKey};
    use crate::notify::Routing;
    use crate::notify::testing::{START_MS, alert, commit_at, target};
    use bartizan_core::TimeMs;
    use serde_json::json;

    /// An action about `ses-1` of the tenant `acme` that was delivered at `START_MS`.
    fn delivered() -> ActionRecord {
        let (db, routing) =
            (Db::in_memory().unwrap(), Routing { targets: vec![target("t", "http://127.0.0.1:9/", false)], ..Routing::default() });
        commit_at(&db, &alert("a1"), &routing, START_MS + 6_000);
        let action = db.read(|tx| actions::list(tx, &actions::Filter { limit: 1, ..Default::default() })).unwrap().items.pop().unwrap();
        ActionRecord { delivered_time: Some(TimeMs(START_MS)), ..action }
    }

    fn events(all: &[(&str, i64, &str, &str, &str)]) -> EventBatch {
        let normaliser = Normaliser::new(&NormaliseConfig::default(), &TokenKey([0; 32])).unwrap();
        let mut batch = EventBatch::default();
        for (tenant, after_ms, session, kind, outcome) in all {
            let line =
                json!({"time": START_MS + after_ms, "tenant": tenant, "session": session, "kind": kind, "outcome": outcome}).to_string();
            let context = Context { default_id: &"1", tenant: None, window: None, reference_ms: START_MS };
            batch.push(&normaliser.normalise(Format::BARTIZAN, line.as_bytes(), &context).unwrap().unwrap());
        }
        batch
    }

    #[test]
    fn only_later_refreshes_of_a_session_that_is_waited_for_count() {
        let (uses, action) = (LaterUses::default(), delivered());
        let batch = events(&[
            ("acme", 4_999, "ses-1", "token_refresh", "success"),
            ("acme", 5_000, "ses-1", "token_refresh", "failure"),
            ("acme", 6_000, "ses-1", "token_refresh", "success"),
            ("acme", 6_000, "ses-1", "token_refresh", "unknown"),
            ("acme", 6_000, "ses-1", "logout", "success"),
            ("acme", 6_000, "ses-2", "token_refresh", "success"),
            ("globex", 6_000, "ses-1", "token_refresh", "success"),
        ]);
        uses.look(&batch);
        assert_eq!(uses.take(), [], "nothing is waited for");
        uses.wait_for(std::slice::from_ref(&action));
        uses.look(&batch);
        let seen = |after_ms, refused| LaterUse { action: action.id.clone(), time_ms: START_MS + after_ms, refused };
        assert_eq!(uses.take(), [seen(5_000, true), seen(6_000, false)]);
        uses.wait_for(&[]);
        uses.look(&batch);
        assert_eq!(uses.take(), []);
    }
}

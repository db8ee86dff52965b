//! What the tests of delivery share: one alert, written out.

#![allow(clippy::unwrap_used, reason = "tests")]
use crate::alert::model::{Attack, Entities};
use crate::alert::{Alert, Status};
use crate::db::outbox::{Message, State};
use crate::db::{Db, DbError, outbox};
use crate::notify::{Detected, Effects, Route, Routing, commit_alert};
use crate::respond::RevocationConfig;
use bartizan_core::{Action, EntityKind, Role, Severity, Subject, TimeMs};
use serde_json::{Map, json};

/// The secret of the published test vector.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// 2026-03-01T12:00:00Z.
pub const START_MS: i64 = 1_772_366_400_000;

/// A first version of a stolen session's alert, detected four seconds after its last event.
pub fn alert(id: &str) -> Alert {
    let subjects = vec![
        Subject::new(EntityKind::User, "u1", Role::Victim),
        Subject::new(EntityKind::Session, "ses-1", Role::Victim).hit(),
        Subject::new(EntityKind::Ip, "198.51.100.7", Role::Attacker),
        Subject::new(EntityKind::Network, "AS64496", Role::Attacker),
    ];
    let evidence = json!({"source": "auth-service", "clients": 2, "grace_ms": 30_000, "token_age_ms": 4_200});
    let evidence: Map<_, _> = evidence.as_object().cloned().unwrap_or_default();
    Alert {
        id: id.to_owned(),
        version: 1,
        detector: "token_reuse".to_owned(),
        title: "Refresh token used again".to_owned(),
        severity: Severity::High,
        confidence: 0.93,
        status: Status::Open,
        disposition: None,
        assignee: None,
        tenant: "acme".to_owned(),
        key: "session:ses-1".to_owned(),
        ongoing: true,
        first_event_time: TimeMs(START_MS),
        last_event_time: TimeMs(START_MS + 1_000),
        detected_time: TimeMs(START_MS + 5_000),
        event_count: 3,
        entities: Entities::of(&subjects),
        subjects,
        reason: "a refresh token of u1 was presented 4.2 s after its successor was used (grace 30 s), from another network".to_owned(),
        evidence,
        event_ids: vec!["e1".to_owned(), "e2".to_owned()],
        attack: vec![Attack { tactic: "TA0006".to_owned(), technique: "T1528".to_owned() }],
        actions: vec![Action::RevokeSessions],
        incident: None,
    }
}

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
    let detected = Detected { alert, facts: &[], active_sessions: None };
    db.write(|tx| commit_alert(tx, &detected, routing, now_ms)).unwrap()
}

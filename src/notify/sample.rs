//! Messages that no alert caused: one of each type, made up, to try templates and preview channels; tests of a channel; signs
//! of life.

use super::notice::{Tally, url_of};
use super::payload::{Notice, Payload, Response, message_id};
use crate::alert::model::{Attack, Entities};
use crate::alert::{Alert, Status};
use crate::db::outbox::Message;
use crate::incident::{Incident, IncidentConfig};
use bartizan_core::{Action, EntityKind, Role, Severity, Subject, TimeMs};
use serde::Serialize;
use serde_json::{Map, json};

/// 2026-03-01T12:00:00Z.
pub const START_MS: i64 = 1_772_366_400_000;
/// The type of the message that tests a channel.
pub const TEST: &str = "channel.test";
/// The type of a sign of life.
const HEARTBEAT: &str = "heartbeat";
/// The types of messages that people get.
pub const KINDS: [&str; 22] = [
    "alert.opened",
    "alert.updated",
    "alert.resolved",
    "incident.opened",
    "incident.updated",
    "incident.acknowledged",
    "incident.resolved",
    "alert.campaign",
    "backlog.notice",
    "alert.digest",
    "incident.digest",
    "health.raised",
    "health.cleared",
    "heartbeat",
    "action.proposed",
    "response.stopped",
    "response.started",
    "revocation.held",
    "revocation.failed",
    "delivery.failed",
    "channel.ended",
    TEST,
];

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

/// The incident that this alert opens.
#[must_use]
pub fn incident(alert: &Alert) -> Incident {
    let mut incident = Incident::of(alert);
    incident.take_in(alert, true, &IncidentConfig::default());
    incident.version = 1;
    incident.hit_count = alert.subjects.iter().filter(|subject| subject.hit).count() as u64;
    incident
}

/// A message of one of the [`KINDS`] (another counts as a notice), as it waits in the outbox; `console` is where people
/// reach the console.
#[must_use]
pub fn message(channel: &str, kind: &str, console: Option<&str>) -> Message {
    let alert = alert("a1");
    let (status, version) = match kind.split_once('.') {
        Some((_, "updated")) => (Status::Open, 2),
        Some((_, "acknowledged")) => (Status::Acknowledged, 3),
        Some((_, "resolved")) => (Status::Resolved, 4),
        _ => (Status::Open, 1),
    };
    let link = |page: &str, id: &str| console.map(|console| format!("{console}/#/{page}/{id}"));
    let body = match kind.split_once('.') {
        Some(("incident", "opened" | "updated" | "acknowledged" | "resolved")) => {
            let incident = Incident { status, version, ..incident(&alert) };
            let url = link("incidents", &incident.id);
            body(kind, alert.detected_time, incident, url)
        }
        Some(("alert", "opened" | "updated" | "resolved")) => {
            let url = link("alerts", &alert.id);
            body(kind, alert.detected_time, Alert { status, version, ..alert }, url)
        }
        _ => {
            let notice = notice(kind, &alert);
            let url = url_of(kind, &notice.details, console);
            body(kind, TimeMs(START_MS), notice, url)
        }
    };
    outgoing(channel, kind, body, message_id(&["sample", channel, kind]), START_MS)
}

/// A message that says that it is a test.
#[must_use]
pub fn test(channel: &str, now_ms: i64) -> Message {
    let notice = Notice {
        title: "Test of this channel".to_owned(),
        text: "Somebody asked for this message, to see that it arrives. Nothing has happened.".to_owned(),
        details: json!({"channel": channel}),
    };
    let id = message_id(&[TEST, channel, &now_ms.to_string()]);
    outgoing(channel, TEST, body(TEST, TimeMs(now_ms), notice, None), id, now_ms)
}

/// A message that says that all is well.
#[must_use]
pub fn sign_of_life(channel: &str, now_ms: i64) -> Message {
    let notice = Notice {
        title: "Bartizan is watching".to_owned(),
        text: "Events are read and judged. When this stays away, look at the daemon.".to_owned(),
        details: json!({}),
    };
    let id = message_id(&[HEARTBEAT, channel, &now_ms.to_string()]);
    outgoing(channel, HEARTBEAT, body(HEARTBEAT, TimeMs(now_ms), notice, None), id, now_ms)
}

fn notice(kind: &str, alert: &Alert) -> Notice {
    let mut tally = Tally::default();
    tally.add(alert, 10);
    let details = match kind {
        "alert.campaign" | "backlog.notice" | "alert.digest" => json!(tally),
        "incident.digest" => json!({"incidents": 1, "held_back": 0, "samples": [incident(alert)]}),
        "health.raised" | "health.cleared" => {
            json!({"id": "pipeline_late", "subject": "", "detail": "10 records have waited for over 300 s"})
        }
        "action.proposed" => json!({"action": "msg_00", "kind": "disable_user", "user": "u1", "alert": alert.id}),
        "response.stopped" | "response.started" => json!({"by": "kim", "reason": "it ends the wrong sessions"}),
        _ => json!({"channel": "oncall", "error": "HTTP 503", "alert": alert.id, "message_id": "msg_00"}),
    };
    Notice { title: format!("A notice of the type {kind}"), text: "What happened, and what there is to do.".to_owned(), details }
}

fn body(kind: &str, timestamp: TimeMs, data: impl Serialize, url: Option<String>) -> String {
    let payload = Payload { kind: kind.to_owned(), timestamp, data, response: Response::default(), url };
    // A record of this program's own types is always written.
    serde_json::to_string(&payload).unwrap_or_default()
}

fn outgoing(channel: &str, kind: &str, body: String, message_id: String, now_ms: i64) -> Message {
    Message {
        id: 0,
        channel: channel.to_owned(),
        message_id,
        kind: kind.to_owned(),
        about: String::new(),
        version: 0,
        body,
        attempts: 0,
        created_ms: now_ms,
        not_after_ms: None,
        last_error: None,
    }
}

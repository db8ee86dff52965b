#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::db::Db;
use crate::db::alerts::Change;
use crate::db::outbox::{self, State};
use crate::notify::Route;
use crate::notify::testing::{START_MS, alert, commit_at, messages, people, target};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use bartizan_core::{EntityKind, Role, Severity, Subject, TimeMs};

const NOW_MS: i64 = START_MS + 6_000;

fn routing() -> Routing {
    Routing {
        channels: vec![people("oncall", Severity::Medium), people("pager", Severity::Critical), Route::every_version("alerts-topic")],
        targets: vec![target("identity", "http://127.0.0.1:9/revoke", false)],
        public_url: Some("https://bartizan.example".to_owned()),
        ..Routing::default()
    }
}

fn kinds(db: &Db, channel: &str) -> Vec<String> {
    messages(db, channel, State::Pending).into_iter().map(|message| message.kind).collect()
}

#[test]
fn goldens_of_the_messages() {
    let db = Db::in_memory().unwrap();
    let effects = commit_at(&db, &alert("a1"), &routing(), NOW_MS).unwrap();
    assert_eq!(effects.told, Way::Singly);
    let opened = &messages(&db, "oncall", State::Pending)[0].body;
    assert_eq!(format!("{opened}\n"), include_str!("../../tests/goldens/alert_opened.json"));
    let revoke = &messages(&db, "revoke:identity", State::Pending)[0].body;
    assert_eq!(format!("{revoke}\n"), include_str!("../../tests/goldens/session_revoke.json"));
    let version = &messages(&db, "alerts-topic", State::Pending)[0];
    assert_eq!(version.body, serde_json::to_string(&effects.alert).unwrap());
    assert!(effects.alert.incident.is_some());
    assert_eq!(effects.alert, crate::alert::Alert { incident: effects.alert.incident.clone(), ..alert("a1") });
}

#[test]
fn a_repetition_adds_nothing() {
    let db = Db::in_memory().unwrap();
    assert!(commit_at(&db, &alert("a1"), &routing(), NOW_MS).is_some());
    assert!(commit_at(&db, &alert("a1"), &routing(), NOW_MS + 1).is_none());
    assert_eq!(kinds(&db, "oncall"), ["alert.opened"]);
    assert_eq!(kinds(&db, "revoke:identity"), ["session.revoke"]);
}

#[test]
fn a_channel_meets_an_alert_when_it_is_bad_enough_for_it() {
    let (db, first) = (Db::in_memory().unwrap(), alert("a1"));
    commit_at(&db, &first, &routing(), NOW_MS);
    let worse = crate::alert::Alert { version: 2, severity: Severity::Critical, ..first };
    commit_at(&db, &worse, &routing(), NOW_MS + 1);
    assert_eq!(kinds(&db, "oncall"), ["alert.opened", "alert.updated"]);
    assert_eq!(kinds(&db, "pager"), ["alert.opened"]);
    assert_eq!(kinds(&db, "alerts-topic"), ["alert", "alert"]);
    assert_eq!(kinds(&db, "revoke:identity").len(), 1, "the same session is asked for once for each cause");
}

#[test]
fn a_backlog_is_one_notice_and_no_machine_acts() {
    let db = Db::in_memory().unwrap();
    for number in 0..40 {
        let id = format!("a{number}");
        assert_ne!(commit_at(&db, &alert(&id), &routing(), START_MS + 2 * DAY_MS).unwrap().told, Way::Singly);
        let again = crate::alert::Alert { version: 2, ..alert(&id) };
        commit_at(&db, &again, &routing(), START_MS + 2 * DAY_MS);
    }
    let waiting = messages(&db, "oncall", State::Pending);
    assert_eq!(waiting.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&waiting[0].body).unwrap();
    assert_eq!((body["type"].as_str(), body["data"]["details"]["alerts"].as_u64()), (Some("backlog.notice"), Some(40)));
    assert_eq!(body["data"]["details"]["samples"].as_array().unwrap().len(), 10);
    assert!(kinds(&db, "pager").is_empty() && kinds(&db, "revoke:identity").is_empty());
    assert_eq!(kinds(&db, "alerts-topic").len(), 80);
}

#[test]
fn what_is_too_mild_comes_in_a_digest_once_a_day() {
    let db = Db::in_memory().unwrap();
    let channel = Route { digest_severity: Some(Severity::Low), ..people("oncall", Severity::Medium) };
    let routing = Routing { channels: vec![channel], ..Routing::default() };
    let mild = |id: &str, severity| crate::alert::Alert { severity, ..alert(id) };
    for (id, severity) in [("a1", Severity::Low), ("a2", Severity::Low), ("a3", Severity::Info)] {
        commit_at(&db, &mild(id, severity), &routing, NOW_MS);
    }
    commit_at(&db, &crate::alert::Alert { version: 2, event_count: 9, ..mild("a1", Severity::Low) }, &routing, NOW_MS + 1);
    let [message] = messages(&db, "oncall", State::Pending).try_into().unwrap();
    let body: serde_json::Value = serde_json::from_str(&message.body).unwrap();
    assert_eq!((message.kind.as_str(), body["data"]["details"]["alerts"].as_u64()), ("alert.digest", Some(2)));
    let due = db.read::<_, DbError>(|tx| Ok(outbox::next_due_ms(tx, "oncall", NOW_MS)?)).unwrap();
    assert_eq!(due, Some(NOW_MS + DAY_MS));
    commit_at(&db, &crate::alert::Alert { version: 3, ..mild("a1", Severity::High) }, &routing, NOW_MS + 2);
    assert_eq!(kinds(&db, "oncall"), ["alert.digest", "alert.opened"]);
}

#[test]
fn a_tally_that_is_on_its_way_is_followed_by_the_next_periods() {
    let db = Db::in_memory().unwrap();
    let now = START_MS + 2 * DAY_MS;
    commit_at(&db, &alert("a1"), &routing(), now);
    let first = messages(&db, "oncall", State::Pending)[0].id;
    db.write::<_, DbError>(|tx| Ok(outbox::claim(tx, first)?)).unwrap();
    commit_at(&db, &alert("a2"), &routing(), now + 1);
    commit_at(&db, &alert("a3"), &routing(), now + 2);
    let waiting = messages(&db, "oncall", State::Pending);
    assert_eq!(waiting.len(), 2);
    assert!(waiting[1].body.contains("\"alerts\":2"));
    let next = db.read::<_, DbError>(|tx| Ok(outbox::next_due_ms(tx, "oncall", now + MINUTE_MS)?)).unwrap();
    assert_eq!(next, Some((now.div_euclid(HOUR_MS) + 1) * HOUR_MS));
}

#[test]
fn a_backlog_alert_that_comes_to_life_is_told_and_one_that_ends_is_not() {
    let db = Db::in_memory().unwrap();
    let now = START_MS + 2 * DAY_MS;
    commit_at(&db, &alert("a1"), &routing(), now);
    commit_at(&db, &alert("a2"), &routing(), now);
    let time = TimeMs(now + MINUTE_MS);
    let alive = crate::alert::Alert { version: 2, last_event_time: time, detected_time: time, ..alert("a1") };
    assert_eq!(commit_at(&db, &alive, &routing(), time.0).unwrap().told, Way::Singly);
    let over = crate::alert::Alert { version: 2, ongoing: false, detected_time: time, ..alert("a2") };
    assert_ne!(commit_at(&db, &over, &routing(), time.0).unwrap().told, Way::Singly);
    assert_eq!(kinds(&db, "oncall"), ["backlog.notice", "alert.opened"]);
}

#[test]
fn a_storm_is_folded_but_hits_are_told_singly() {
    let db = Db::in_memory().unwrap();
    let attempt = |number: i64| {
        let mut one = alert(&format!("a{number}"));
        one.detected_time = TimeMs(one.detected_time.0 + number);
        one.subjects.iter_mut().for_each(|subject| subject.hit = false);
        one
    };
    for number in 0..150 {
        commit_at(&db, &attempt(number), &routing(), NOW_MS + number);
    }
    let told = kinds(&db, "oncall");
    assert_eq!(told.iter().filter(|kind| *kind == "alert.opened").count(), 100);
    assert_eq!(told.iter().filter(|kind| *kind == "alert.campaign").count(), 1);
    assert!(messages(&db, "oncall", State::Pending).iter().any(|message| message.body.contains("\"alerts\":50")));
    let mut hit = attempt(151);
    hit.subjects.push(Subject::new(EntityKind::User, "u9", Role::Victim).hit());
    assert_eq!(commit_at(&db, &hit, &routing(), NOW_MS + 151).unwrap().told, Way::Singly);
    let mut campaign = attempt(153);
    campaign.key = crate::alert::model::campaign_key(&campaign.detector);
    assert_eq!(commit_at(&db, &campaign, &routing(), NOW_MS + 153).unwrap().told, Way::Singly, "and so is a campaign");
    let later = crate::alert::Alert { version: 2, detected_time: TimeMs(NOW_MS + HOUR_MS), ..attempt(149) };
    assert_ne!(commit_at(&db, &later, &routing(), NOW_MS + HOUR_MS).unwrap().told, Way::Singly, "what was folded stays folded");
    let mut calm = attempt(152);
    calm.detected_time = TimeMs(NOW_MS + HOUR_MS);
    assert_eq!(commit_at(&db, &calm, &routing(), NOW_MS + HOUR_MS).unwrap().told, Way::Singly, "the storm is over");
}

#[test]
fn resolving_is_told_to_those_who_knew_and_stops_machines() {
    let db = Db::in_memory().unwrap();
    commit_at(&db, &alert("a1"), &routing(), NOW_MS);
    let step = |change: Change| {
        let step = TriageStep { id: "a1", tenant: None, expected_version: None, change: &change, actor: "kim" };
        db.write(|tx| commit_triage(tx, &step, &routing(), NOW_MS + 10)).unwrap()
    };
    step(Change { status: Some(Status::Acknowledged), ..Change::default() });
    step(Change { status: Some(Status::Resolved), disposition: Some(Disposition::FalsePositive), ..Change::default() });
    step(Change { status: Some(Status::Open), ..Change::default() });
    assert_eq!(kinds(&db, "oncall"), ["alert.opened", "alert.resolved", "alert.updated"]);
    assert!(kinds(&db, "pager").is_empty());
    assert_eq!(kinds(&db, "alerts-topic").len(), 4);
    assert_eq!(messages(&db, "revoke:identity", State::Cancelled).len(), 1);
}

#[test]
fn nothing_is_kept_of_a_transaction_that_fails() {
    let db = Db::in_memory().unwrap();
    let detected = Detected { alert: &alert("a1"), facts: &crate::respond::Facts::default(), active_sessions: None };
    let failed: Result<(), DbError> = db.write(|tx| {
        commit_alert(tx, &detected, &routing(), NOW_MS)?;
        Err(rusqlite::Error::InvalidQuery.into())
    });
    assert!(failed.is_err());
    assert!(kinds(&db, "oncall").is_empty());
    assert!(commit_at(&db, &alert("a1"), &routing(), NOW_MS).is_some());
}

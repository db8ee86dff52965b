#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::db::Db;
use crate::notify::commit_alert;
use crate::notify::testing::{START_MS, alert, commit_at, messages, people, target};
use crate::notify::{Detected, Effects};
use crate::respond::Facts;
use crate::respond::decide::{Decision, Person};
use bartizan_core::time::SECOND_MS;
use bartizan_core::{Action, EntityKind, Role, Subject};

const CHANNEL: &str = "revoke:identity";

fn routing(dry_run: bool) -> Routing {
    Routing {
        channels: vec![people("oncall", Severity::Info)],
        targets: vec![target("identity", "http://127.0.0.1:9/", dry_run)],
        ..Routing::default()
    }
}

/// An alert about one session of one user.
fn about(number: i64, user: &str) -> Alert {
    let mut one = alert(&format!("a{number}"));
    let time = START_MS + number * SECOND_MS;
    (one.last_event_time, one.detected_time) = (TimeMs(time), TimeMs(time));
    one.subjects = vec![
        Subject::new(EntityKind::User, user, Role::Victim),
        Subject::new(EntityKind::Session, format!("ses-{number}"), Role::Victim).hit(),
    ];
    one.entities = crate::alert::Entities::of(&one.subjects);
    one
}

fn held(db: &Db) -> usize {
    messages(db, CHANNEL, outbox::State::Held).len()
}

fn orders(db: &Db, state: outbox::State) -> Vec<Order> {
    let parse = |body: &str| serde_json::from_str::<Payload<Order>>(body).unwrap().data;
    messages(db, CHANNEL, state).iter().map(|message| parse(&message.body)).collect()
}

/// Lets go what is held.
fn released(db: &Db, routing: &Routing, now_ms: i64) -> usize {
    let person = Person { name: "kim".to_owned(), token: "1".to_owned(), tenant: None };
    db.write(|tx| Decision { tx, routing, person: &person, now_ms }.release_held("identity", 10)).unwrap()
}

#[test]
fn a_dry_run_is_recorded_and_never_due() {
    let db = Db::in_memory().unwrap();
    let effects = commit_at(&db, &alert("a1"), &routing(true), START_MS).unwrap();
    assert_eq!(effects.response, Response { dry_run: 1, ..Response::default() });
    assert_eq!(messages(&db, CHANNEL, outbox::State::DryRun).len(), 1);
    assert!(db.read::<_, DbError>(|tx| Ok(outbox::due(tx, CHANNEL, i64::MAX, 10)?)).unwrap().is_empty());
    let audited: String = db.read::<_, DbError>(|tx| Ok(tx.query_row("SELECT action FROM audit", [], |row| row.get(0))?)).unwrap();
    assert_eq!(audited, "revocation.dry_run");
}

#[test]
fn only_fresh_unjudged_matching_alerts_with_an_action_are_acted_upon() {
    let asked = |alert: &Alert, now_ms: i64| {
        let db = Db::in_memory().unwrap();
        commit_at(&db, alert, &routing(false), now_ms).unwrap().response.requested
    };
    let fresh = alert("a1");
    assert_eq!(asked(&fresh, START_MS), 1);
    let limit = fresh.last_event_time.0 + ACTED_UPON_MS;
    assert_eq!((asked(&fresh, limit), asked(&fresh, limit + 1)), (1, 0));
    assert_eq!(asked(&Alert { severity: Severity::Medium, ..fresh.clone() }, START_MS), 0);
    assert_eq!(asked(&Alert { detector: "brute_force".to_owned(), ..fresh.clone() }, START_MS), 0);
    assert_eq!(asked(&Alert { actions: Vec::new(), ..fresh }, START_MS), 0);
}

#[test]
fn a_target_is_never_asked_about_another_tenant() {
    let asked = |tenants: &[&str]| {
        let db = Db::in_memory().unwrap();
        let tenants = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
        let identity = RevocationConfig { tenants, ..target("identity", "http://127.0.0.1:9/", false) };
        // Neither by itself nor because a policy names it.
        let policy = json!({"name": "p", "actions": ["revoke_user_sessions"], "target": "identity", "shadow": false});
        let policies = vec![serde_json::from_value(policy).unwrap()];
        let routing = Routing { targets: vec![identity], policies, ..routing(false) };
        commit_at(&db, &about(1, "ann"), &routing, START_MS + SECOND_MS).unwrap().response.requested
    };
    assert_eq!([asked(&[]), asked(&["other", "acme"]), asked(&["other"])], [2, 2, 0]);
    let mine = RevocationConfig { tenants: vec!["acme".to_owned()], ..target("identity", "http://127.0.0.1:9/", false) };
    let problems = |tenant: &str| {
        let policy = json!({"name": "p", "tenant": tenant, "actions": ["revoke_user_sessions"], "target": "identity"});
        serde_json::from_value::<PolicyConfig>(policy).unwrap().problems(std::slice::from_ref(&mine)).len()
    };
    assert_eq!([problems(""), problems("acme"), problems("other")], [0, 0, 1]);
}

#[test]
fn a_policy_is_about_those_of_an_alert_whom_it_means() {
    let policy = |entities: serde_json::Value, action: &str| -> PolicyConfig {
        let target = if action == "block_address" { "" } else { "identity" };
        let table =
            json!({"name": "p", "actions": [action], "target": target, "entities": entities, "shadow": false, "min_severity": "info"});
        serde_json::from_value(table).unwrap()
    };
    let asked = |policy: PolicyConfig| {
        let db = Db::in_memory().unwrap();
        // By itself the target is about none of it.
        let identity = RevocationConfig { detectors: vec!["none".to_owned()], ..target("identity", "http://127.0.0.1:9/", false) };
        let routing = Routing { targets: vec![identity], policies: vec![policy], ..routing(false) };
        let mut two = about(1, "ann@acme.example");
        two.subjects =
            ["ann@acme.example", "kim@board.example"].map(|user| Subject::new(EntityKind::User, user, Role::Victim).hit()).to_vec();
        two.subjects.push(Subject::new(EntityKind::Ip, "198.51.100.7", Role::Attacker));
        commit_at(&db, &two, &routing, two.last_event_time.0).unwrap();
        let states = [State::Requested, State::InForce, State::Held];
        let actions = db.read(|tx| actions::of_alert(tx, &two.id, &states)).unwrap();
        let mut named: Vec<String> = actions.into_iter().filter_map(|action| action.user.or(action.address)).collect();
        named.sort();
        named
    };
    let end_all = "revoke_user_sessions";
    assert_eq!(asked(policy(json!([]), end_all)), ["ann@acme.example", "kim@board.example"]);
    assert_eq!(asked(policy(json!(["user:*@board.example"]), end_all)), ["kim@board.example"]);
    assert_eq!(asked(policy(json!(["ip:198.51.100.0/24"]), end_all)).len(), 2, "an address chooses alerts, not people");
    assert_eq!(asked(policy(json!(["user:*@board.example"]), "block_address")), ["198.51.100.7"]);
    assert_eq!(asked(policy(json!(["ip:203.0.113.7"]), "block_address")), [""; 0]);
}

#[test]
fn facts_of_a_session_come_before_what_the_alert_says() {
    let db = Db::in_memory().unwrap();
    let mut two = alert("a1");
    two.subjects.push(Subject::new(EntityKind::User, "u2", Role::Victim));
    two.subjects.push(Subject::new(EntityKind::Session, "ses-2", Role::Victim).hit());
    two.entities = crate::alert::Entities::of(&two.subjects);
    let sessions = vec![SessionFacts {
        session: Some("ses-2".to_owned()),
        user: Some("u2".to_owned()),
        token_id: Some("jti-2".to_owned()),
        time_ms: Some(START_MS + 500),
        ..SessionFacts::default()
    }];
    let facts = Facts { sessions, ..Facts::default() };
    let detected = Detected { alert: &two, facts: &facts, active_sessions: None };
    db.write(|tx| commit_alert(tx, &detected, &routing(false), START_MS)).unwrap();
    let orders = orders(&db, outbox::State::Pending);
    assert_eq!(orders[0].user, None, "of two users it is not known whose the session is");
    assert_eq!(orders[0].issued_before, two.last_event_time);
    assert_eq!((orders[1].user.as_deref(), orders[1].token_id.as_deref()), (Some("u2"), Some("jti-2")));
    assert_eq!((orders[1].issued_before, orders[1].source.as_deref()), (TimeMs(START_MS + 500), Some("auth-service")));
}

#[test]
fn a_token_without_a_session_is_named_by_itself() {
    let db = Db::in_memory().unwrap();
    let mut token = alert("a1");
    token.actions = vec![Action::RevokeTokens];
    token.subjects = vec![Subject::new(EntityKind::Token, "hash:0a0b", Role::Victim).hit()];
    commit_at(&db, &token, &routing(false), START_MS);
    let orders = orders(&db, outbox::State::Pending);
    assert_eq!((orders[0].session.as_ref(), orders[0].token_hash.as_deref()), (None, Some("0a0b")));
}

#[test]
fn a_token_that_is_named_by_its_handle_has_the_hash_of_its_event() {
    let db = Db::in_memory().unwrap();
    let mut token = alert("a1");
    token.actions = vec![Action::RevokeTokens];
    token.subjects = vec![Subject::new(EntityKind::Token, "jti-1", Role::Victim).hit()];
    let fact =
        |id: &str, hash: &str| SessionFacts { token_id: Some(id.to_owned()), token_hash: Some(hash.to_owned()), ..SessionFacts::default() };
    let facts = Facts { sessions: vec![fact("jti-2", "0c0d"), fact("jti-1", "0a0b")], ..Facts::default() };
    let detected = Detected { alert: &token, facts: &facts, active_sessions: None };
    db.write(|tx| commit_alert(tx, &detected, &routing(false), START_MS)).unwrap();
    let orders = orders(&db, outbox::State::Pending);
    assert_eq!((orders[0].token_id.as_deref(), orders[0].token_hash.as_deref()), (Some("jti-1"), Some("0a0b")));
}

#[test]
fn brakes_hold_and_keep_a_part_for_critical_alerts() {
    let (db, routing) = (Db::in_memory().unwrap(), routing(false));
    let go = |number: i64, severity: Severity| {
        let one = Alert { severity, ..about(number, &format!("u{number}")) };
        commit_at(&db, &one, &routing, START_MS + number * SECOND_MS).unwrap().response
    };
    let high: u32 = (0..40).map(|number| go(number, Severity::High).requested).sum();
    assert_eq!(high, 24, "four fifths of thirty in ten minutes");
    let critical: u32 = (40..60).map(|number| go(number, Severity::Critical).requested).sum();
    assert_eq!(critical, 6, "the rest is for critical alerts");
    assert_eq!(held(&db), 30);
    let told = messages(&db, "oncall", outbox::State::Pending);
    assert_eq!(told.iter().filter(|message| message.kind == "revocation.held").count(), 1, "people are told once");
    assert_eq!(go(700, Severity::High).requested, 1, "ten minutes later there is room again");
}

#[test]
fn the_hour_and_the_user_have_limits_too() {
    let (db, routing) = (Db::in_memory().unwrap(), routing(false));
    let mut requested = 0;
    // One every 25 seconds keeps to 24 in ten minutes, and comes to 144 in an hour.
    for number in 0..144 {
        let at = number * 25;
        let one = about(at, &format!("u{number}"));
        requested += commit_at(&db, &one, &routing, START_MS + at * SECOND_MS).unwrap().response.requested;
    }
    assert_eq!(requested, 80);
    let db = Db::in_memory().unwrap();
    let one_user: u32 = (0..5)
        .map(|number| {
            commit_at(&db, &about(number * 3_000, "u"), &routing, START_MS + number * 3_000 * SECOND_MS).unwrap().response.requested
        })
        .sum();
    assert_eq!(one_user, 2);
}

#[test]
fn no_more_than_a_fifth_of_many_active_sessions_end_in_a_day() {
    let db = Db::in_memory().unwrap();
    let ask = |number: i64, active: u64| -> Effects {
        let one = Alert { severity: Severity::Critical, ..about(number, &format!("u{number}")) };
        let detected = Detected { alert: &one, facts: &Facts::default(), active_sessions: Some(active) };
        db.write(|tx| commit_alert(tx, &detected, &routing(false), START_MS + number * SECOND_MS)).unwrap().unwrap()
    };
    let requested: u32 = (0..60).map(|number| ask(number * 100, 205).response.requested).sum();
    assert_eq!(requested, 41);
    assert_eq!(ask(6_100, 200).response.requested, 1, "where few are active the share does not count");
}

#[test]
fn what_a_campaign_names_waits_for_a_person() {
    let (db, routing) = (Db::in_memory().unwrap(), routing(false));
    let mut campaign = Alert { severity: Severity::Critical, ..about(1, "u1") };
    campaign.key = crate::alert::model::campaign_key(&campaign.detector);
    campaign.subjects.push(Subject::new(EntityKind::Session, "ses-2", Role::Victim).hit());
    campaign.entities = crate::alert::Entities::of(&campaign.subjects);
    let effects = commit_at(&db, &campaign, &routing, START_MS).unwrap();
    assert_eq!(effects.response, Response { held: 2, ..Response::default() });
    let told = messages(&db, "oncall", outbox::State::Pending);
    let notice = told.iter().find(|message| message.kind == "revocation.held").unwrap();
    assert!(notice.body.contains("circuit_breaker"), "{}", notice.body);
    assert_eq!(released(&db, &routing, START_MS), 2);
    assert_eq!(orders(&db, outbox::State::Pending).len(), 2);
}

#[test]
fn what_is_held_can_be_released_with_a_new_time_limit() {
    let (db, routing) = (Db::in_memory().unwrap(), routing(false));
    for number in 0..3 {
        commit_at(&db, &about(number, "u"), &routing, START_MS + number * SECOND_MS);
    }
    assert_eq!(held(&db), 1);
    let later = START_MS + HOUR_MS;
    assert_eq!(released(&db, &routing, later), 1);
    assert_eq!(held(&db), 0);
    let order = orders(&db, outbox::State::Pending).pop().unwrap();
    assert_eq!(order.not_after, TimeMs(later + VALID_MS));
}

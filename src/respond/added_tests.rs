#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::db::outbox::State as Sent;
use crate::db::{Db, DbError, actions};
use crate::normalise::{Context, Format, NormaliseConfig, Normaliser, TokenKey};
use crate::notify::testing::{START_MS, alert, messages, people, target};
use crate::notify::{Detected, Routing, commit_alert};
use crate::respond::decide::{Decision, Person};
use crate::respond::record::{ActionRecord, State};
use crate::respond::{Answer, Facts, progress};
use bartizan_core::batch::EventBatch;
use bartizan_core::{EntityKind, Role, Severity, Subject};
use serde_json::{Value, json};

const CHANNEL: &str = "revoke:identity";
const NOW_MS: i64 = START_MS + 6_000;

fn changes(format: Format, line: &Value) -> Vec<Change> {
    let normaliser = Normaliser::new(&NormaliseConfig::default(), &TokenKey([0; 32])).unwrap();
    let context = Context { default_id: &"1", tenant: None, window: None, reference_ms: START_MS };
    let (mut batch, line) = (EventBatch::default(), line.to_string());
    batch.push(&normaliser.normalise(format, line.as_bytes(), &context).unwrap().unwrap());
    batch.iter().flat_map(|event| Change::all_of(&event)).collect()
}

/// What a native event with these members shows.
fn shown(members: Value) -> Vec<(ActionKind, String)> {
    let mut line = json!({"time": START_MS, "tenant": "acme", "user": "u1", "kind": "account_change", "outcome": "success"});
    line.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    changes(Format::BARTIZAN, &line).into_iter().map(|change| (change.remedy, change.added.shown())).collect()
}

#[test]
fn an_event_shows_what_was_added_and_by_which_id() {
    let one = |remedy, what: &str| vec![(remedy, what.to_owned())];
    assert_eq!(shown(json!({"factor": "totp"})), one(ActionKind::RemoveFactor, "totp"));
    assert_eq!(shown(json!({"factor": "webauthn", "credential_id": "c-1"})), one(ActionKind::RemoveFactor, "webauthn c-1"));
    assert_eq!(shown(json!({"kind": "token_issue", "app": "mail-merge"})), one(ActionKind::RemoveGrant, "mail-merge"));
    assert_eq!(shown(json!({"api_key_id": "key-7"})), one(ActionKind::RemoveApiKey, "key-7"));
    let email = json!({"previous_email": "ann@example.org", "updated_email": "eve@example.net"});
    assert_eq!(shown(email), one(ActionKind::RestoreEmail, "a…@example.org"));
    let nothing = [
        json!({}),
        json!({"outcome": "failure", "factor": "totp"}),
        json!({"user_kind": "service", "factor": "totp"}),
        json!({"kind": "mfa_result", "factor": "totp"}),
        json!({"factor": "totp", "action": "remove_totp"}),
        json!({"updated_email": "eve@example.net"}),
        json!({"previous_email": "ann@example.org", "updated_email": "ann@example.org"}),
        json!({"previous_email": format!("{}@example.org", "a".repeat(300)), "updated_email": "eve@example.net"}),
        json!({"previous_email": "ann@example.org\nbcc: all", "updated_email": "eve@example.net"}),
        json!({"api_key_id": "k".repeat(257)}),
        json!({"api_key_id": 7}),
    ];
    for members in nothing {
        assert_eq!(shown(members.clone()), [], "{members}");
    }
}

#[test]
fn keycloak_s_own_events_show_it_too() {
    let event = |kind: &str, details: Value| {
        let line =
            json!({"id": "e1", "time": START_MS, "type": kind, "realmId": "r", "clientId": "web", "userId": "u1", "details": details});
        changes(Format::Auto, &line)
    };
    let totp = event("UPDATE_TOTP", json!({"credential_type": "otp"}));
    assert_eq!((totp[0].remedy, totp[0].added.factor.as_deref()), (ActionKind::RemoveFactor, Some("totp")));
    assert_eq!((totp[0].of.source.as_deref(), totp[0].added.since), (Some("keycloak"), TimeMs(START_MS - FORM_MS)));
    assert_eq!(event("REMOVE_TOTP", json!({"credential_type": "otp"})), []);
    let email = event("UPDATE_EMAIL", json!({"previous_email": "ann@example.org", "updated_email": "eve@example.net"}));
    assert_eq!(email[0].added.former_email.as_ref().map(Email::expose), Some("ann@example.org"));
    let grant = event("CODE_TO_TOKEN", json!({"grant_type": "authorization_code", "scope": "openid"}));
    assert_eq!((grant[0].remedy, grant[0].added.client.as_deref()), (ActionKind::RemoveGrant, Some("web")));
}

/// A takeover of `u1`, of which the events in `facts` are known, under a policy that would do all of it without a person.
struct House {
    db: Db,
    routing: Routing,
}

impl House {
    fn new(evidence: Value, members: &[Value]) -> Self {
        let mut target = target("identity", "http://127.0.0.1:9/", false);
        target.detectors = vec!["another".to_owned()];
        let all = ["remove_factor", "remove_grant", "remove_api_key", "restore_email"];
        let policy = json!({"name": "p", "target": "identity", "shadow": false, "approvals": 0, "actions": all});
        let policies = vec![serde_json::from_value(policy).unwrap()];
        let routing = Routing { channels: vec![people("oncall", Severity::Info)], targets: vec![target], policies, ..Routing::default() };
        let house = Self { db: Db::in_memory().unwrap(), routing };
        house.commit(1, evidence, members);
        house
    }

    fn commit(&self, version: u32, evidence: Value, members: &[Value]) {
        let mut taken = alert("a1");
        taken.version = version;
        taken.event_count += u64::from(version);
        taken.subjects.push(Subject::new(EntityKind::User, "u1", Role::Victim).hit());
        taken.evidence.extend(evidence.as_object().unwrap().clone());
        let changes = members.iter().flat_map(|members| {
            let mut line = json!({"time": START_MS + 1_000, "user": "u1", "kind": "account_change", "outcome": "success"});
            line.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            changes(Format::BARTIZAN, &line)
        });
        let facts = Facts { changes: changes.collect(), ..Facts::default() };
        let detected = Detected { alert: &taken, facts: &facts, active_sessions: None };
        self.db.write(|tx| commit_alert(tx, &detected, &self.routing, NOW_MS)).unwrap();
    }

    fn actions(&self) -> Vec<ActionRecord> {
        let filter = actions::Filter { limit: 100, ..actions::Filter::default() };
        self.db.read(|tx| actions::list(tx, &filter)).unwrap().items
    }
}

#[test]
fn nothing_is_taken_back_without_a_person_and_each_thing_is_proposed_once() {
    let members = [
        json!({"factor": "totp"}),
        json!({"kind": "token_issue", "app": "mail-merge"}),
        json!({"api_key_id": "key-7"}),
        json!({"previous_email": "ann@example.org", "updated_email": "eve@example.net"}),
        json!({"user": "bystander", "factor": "totp"}),
    ];
    let house = House::new(json!({}), &members);
    house.commit(2, json!({}), &members);
    let mut found: Vec<_> =
        house.actions().into_iter().map(|one| (one.action, one.what.unwrap(), one.state, one.approvals_needed)).collect();
    found.sort();
    let wanted = [
        (ActionKind::RemoveFactor, "totp"),
        (ActionKind::RemoveGrant, "mail-merge"),
        (ActionKind::RemoveApiKey, "key-7"),
        (ActionKind::RestoreEmail, "a…@example.org"),
    ];
    assert_eq!(found, wanted.map(|(action, what)| (action, what.to_owned(), State::Proposed, 1)));
    assert!(messages(&house.db, CHANNEL, Sent::Pending).is_empty());
    let told = messages(&house.db, "oncall", Sent::Pending);
    let factor = told.iter().find(|message| message.body.contains("remove_factor")).unwrap();
    assert!(factor.body.contains("if it was wrong, the person has to enrol the factor again"), "{}", factor.body);
}

#[test]
fn a_person_lets_the_order_go_and_the_address_is_in_it_alone() {
    let house = House::new(json!({}), &[json!({"previous_email": "ann@example.org", "updated_email": "eve@example.net"})]);
    let action = house.actions().remove(0);
    let person = Person { name: "kim".to_owned(), token: "1".to_owned(), tenant: None };
    house.db.write(|tx| Decision { tx, routing: &house.routing, person: &person, now_ms: NOW_MS + 1 }.approve(&action.id)).unwrap();
    let order = messages(&house.db, CHANNEL, Sent::Pending).remove(0);
    assert_eq!(order.kind, "user.restore_email");
    let body: Value = serde_json::from_str(&order.body).unwrap();
    let added = json!({"since": TimeMs(START_MS + 1_000 - FORM_MS), "email": "eve@example.net", "former_email": "ann@example.org"});
    assert_eq!((&body["data"]["added"], &body["data"]["issued_before"]), (&added, &json!(TimeMs(START_MS + 1_000))));
    let elsewhere = house.db.read::<_, DbError>(|tx| {
        let rows = |sql: &str| -> rusqlite::Result<Vec<String>> { tx.prepare(sql)?.query_map([], |row| row.get(0))?.collect() };
        let audit = rows("SELECT detail FROM audit")?;
        let told = rows("SELECT body FROM outbox WHERE channel <> 'revoke:identity'")?;
        Ok([audit, told, rows("SELECT body FROM actions")?].concat().join("\n"))
    });
    let elsewhere = elsewhere.unwrap();
    assert!(elsewhere.contains("a…@example.org") && !elsewhere.contains("ann@") && !elsewhere.contains("eve@"), "{elsewhere}");
    assert!(!format!("{:?}", Email::new("ann@example.org")).contains("ann@"));
}

#[test]
fn a_factor_is_looked_for_from_the_attacker_s_sign_in_on_and_known_from_the_alert_alone() {
    let evidence = json!({"changed": "second factor", "changed_time": TimeMs(START_MS + 1_000), "after_sign_in_ms": 700});
    let house = House::new(evidence.clone(), &[json!({"factor": "totp"})]);
    assert_eq!(house.actions().into_iter().map(|one| one.since).collect::<Vec<_>>(), [Some(TimeMs(START_MS + 300))]);
    house.commit(2, evidence.clone(), &[]);
    assert_eq!(house.actions().len(), 1, "the same, though its event is in another batch");
    let alone = House::new(evidence, &[]);
    let action = alone.actions().remove(0);
    assert_eq!((action.action, action.since, action.user.as_deref()), (ActionKind::RemoveFactor, Some(TimeMs(START_MS + 300)), Some("u1")));
    assert_eq!(action.id, house.actions()[0].id);
    let another = json!({"changed": "password", "changed_time": TimeMs(START_MS + 1_000), "after_sign_in_ms": 700});
    assert_eq!(House::new(another, &[]).actions(), []);
}

#[test]
fn what_was_taken_back_cannot_be_undone_and_time_does_not_do_it() {
    let house = House::new(json!({}), &[json!({"factor": "totp"})]);
    let person = Person { name: "kim".to_owned(), token: "1".to_owned(), tenant: None };
    let id = house.actions().remove(0).id;
    let (now_ms, person, routing) = (NOW_MS + 1, &person, &house.routing);
    house.db.write(|tx| Decision { tx, routing, person, now_ms }.approve(&id)).unwrap();
    let order = messages(&house.db, CHANNEL, Sent::Pending).remove(0);
    house.db.write(|tx| progress::answered(tx, routing, &order, &Answer::Taken, now_ms)).unwrap();
    assert_eq!(house.db.write(|tx| progress::pass_time(tx, 10, i64::MAX)).unwrap(), 0);
    assert_eq!(house.actions()[0].state, State::Unconfirmed);
    let undo = house.db.write(|tx| Decision { tx, routing, person, now_ms }.undo(&id)).unwrap_err();
    assert!(undo.to_string().contains("the person has to enrol the factor again"), "{undo}");
}

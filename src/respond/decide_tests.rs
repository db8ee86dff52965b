#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::db::Db;
use crate::db::outbox::Message;
use crate::notify::testing::{START_MS, alert, commit_at, messages, people, target};
use crate::respond::adapter::Answer;
use crate::respond::policy::PolicyConfig;
use bartizan_core::Severity;
use bartizan_core::time::{HOUR_MS, MINUTE_MS};
use serde_json::json;

const CHANNEL: &str = "revoke:identity";
const NOW_MS: i64 = START_MS + 6_000;

fn policy(table: serde_json::Value) -> PolicyConfig {
    let mut all = json!({"name": "p", "target": "identity", "shadow": false});
    all.as_object_mut().unwrap().extend(table.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

/// One policy, at a target that by itself ends nothing.
fn routing(table: serde_json::Value) -> Routing {
    let mut target = target("identity", "http://127.0.0.1:9/", false);
    target.detectors = vec!["another".to_owned()];
    Routing { channels: vec![people("oncall", Severity::Info)], targets: vec![target], policies: vec![policy(table)], ..Routing::default() }
}

fn person(name: &str) -> Person {
    Person { name: name.to_owned(), token: format!("token of {name}"), tenant: None }
}

/// A database in which an alert was committed under a policy.
struct House {
    db: Db,
    routing: Routing,
}

impl House {
    fn new(table: serde_json::Value) -> Self {
        let house = Self { db: Db::in_memory().unwrap(), routing: routing(table) };
        commit_at(&house.db, &alert("a1"), &house.routing, NOW_MS);
        house
    }

    fn actions(&self) -> Vec<ActionRecord> {
        let filter = actions::Filter { limit: 100, ..actions::Filter::default() };
        self.db.read(|tx| actions::list(tx, &filter)).unwrap().items
    }

    fn only(&self) -> ActionRecord {
        let mut actions = self.actions();
        assert_eq!(actions.len(), 1, "{actions:?}");
        actions.remove(0)
    }

    fn decide<T>(&self, person: &Person, work: impl FnOnce(&Decision<'_>) -> Result<T, DecisionError>) -> Result<T, DecisionError> {
        self.db.write(|tx| work(&Decision { tx, routing: &self.routing, person, now_ms: NOW_MS + MINUTE_MS }))
    }

    /// The target answers the order that waits.
    fn answered(&self, answer: &Answer) {
        let message: Message = messages(&self.db, CHANNEL, outbox::State::Pending).pop().unwrap();
        self.db.write(|tx| progress::answered(tx, &self.routing, &message, answer, NOW_MS + 2 * MINUTE_MS)).unwrap();
    }

    fn state(&self, id: &str) -> State {
        self.db.read(|tx| actions::get(tx, id)).unwrap().unwrap().state
    }
}

#[test]
fn what_wants_two_people_goes_with_the_second() {
    let house = House::new(json!({"actions": ["revoke_user_sessions"], "approvals": 2}));
    let action = house.only();
    assert_eq!((action.state, action.approvals_needed, action.user.as_deref()), (State::Proposed, 2, Some("u1")));
    assert_eq!(action.not_after, TimeMs(NOW_MS + 4 * HOUR_MS), "it lapses when people are waited for no longer");
    let told = messages(&house.db, "oncall", outbox::State::Pending);
    let asked = told.iter().find(|message| message.kind == "action.proposed").unwrap();
    assert!(asked.body.contains("Two people are asked to agree: end all sessions of u1"), "{}", asked.body);
    assert!(asked.body.contains(&format!("it lapses at {} UTC", crate::notify::view::second(action.not_after))), "{}", asked.body);
    let (kim, lee) = (person("kim"), person("lee"));
    assert_eq!(house.decide(&kim, |decision| decision.approve(&action.id)).unwrap().state, State::Proposed);
    let again = house.decide(&kim, |decision| decision.approve(&action.id));
    assert!(matches!(again, Err(DecisionError::Conflict(_))), "{again:?}");
    assert!(messages(&house.db, CHANNEL, outbox::State::Pending).is_empty());
    let gone = house.decide(&lee, |decision| decision.approve(&action.id)).unwrap();
    assert_eq!((gone.state, gone.requested_time), (State::Requested, Some(TimeMs(NOW_MS + MINUTE_MS))));
    let order = messages(&house.db, CHANNEL, outbox::State::Pending).pop().unwrap();
    assert_eq!((order.kind.as_str(), order.not_after_ms), ("user.revoke_sessions", Some(NOW_MS + MINUTE_MS + VALID_MS)));
    let late = house.decide(&lee, |decision| decision.reject(&action.id));
    assert!(matches!(late, Err(DecisionError::Conflict(_))), "{late:?}");
}

#[test]
fn an_account_is_never_disabled_without_a_person_and_can_be_enabled_again() {
    let house = House::new(json!({"actions": ["disable_user"], "approvals": 0}));
    let action = house.only();
    assert_eq!((action.state, action.approvals_needed), (State::Proposed, 1));
    let kim = person("kim");
    let early = house.decide(&kim, |decision| decision.undo(&action.id));
    assert!(matches!(early, Err(DecisionError::Conflict(_))), "{early:?}");
    house.decide(&kim, |decision| decision.approve(&action.id)).unwrap();
    house.answered(&Answer::Ended("disabled".to_owned()));
    assert_eq!(house.state(&action.id), State::Ended);
    let undo = house.decide(&kim, |decision| decision.undo(&action.id)).unwrap();
    assert_eq!((undo.action, undo.undoes.as_deref(), undo.user.as_deref()), (ActionKind::EnableUser, Some(action.id.as_str()), Some("u1")));
    let twice = house.decide(&kim, |decision| decision.undo(&action.id));
    assert!(matches!(twice, Err(DecisionError::Conflict(_))), "{twice:?}");
    house.answered(&Answer::Ended("enabled".to_owned()));
    assert_eq!((house.state(&undo.id), house.state(&action.id)), (State::Ended, State::Undone));
}

#[test]
fn what_was_so_before_is_not_undone() {
    let house = House::new(json!({"actions": ["disable_user"]}));
    let (action, kim) = (house.only(), person("kim"));
    house.decide(&kim, |decision| decision.approve(&action.id)).unwrap();
    house.answered(&Answer::Unchanged("an admin had disabled it".to_owned()));
    assert_eq!(house.state(&action.id), State::Ended);
    let undo = house.decide(&kim, |decision| decision.undo(&action.id));
    assert!(matches!(&undo, Err(DecisionError::Conflict(why)) if why.contains("nothing to undo")), "{undo:?}");
}

#[test]
fn a_no_ends_it_and_so_does_time() {
    let house = House::new(json!({"actions": ["require_sign_in"], "approvals": 1}));
    let action = house.only();
    let rejected = house.decide(&person("kim"), |decision| decision.reject(&action.id)).unwrap();
    assert_eq!((rejected.state, rejected.remark.as_deref()), (State::Rejected, Some("kim said no")));
    assert_eq!(messages(&house.db, CHANNEL, outbox::State::Cancelled).len(), 1);

    let house = House::new(json!({"actions": ["require_sign_in"], "approvals": 1}));
    let pass = |now_ms| house.db.write(|tx| progress::pass_time(tx, 10, now_ms)).unwrap();
    assert_eq!((pass(NOW_MS + 4 * HOUR_MS - 1), pass(NOW_MS + 4 * HOUR_MS)), (0, 1));
    assert_eq!(house.only().state, State::Expired);
    assert!(messages(&house.db, CHANNEL, outbox::State::Held).is_empty(), "nothing is left to be let go");
}

#[test]
fn what_waits_for_people_is_not_let_go_with_what_a_brake_holds() {
    let house = House::new(json!({"actions": ["revoke_session"], "approvals": 1}));
    assert_eq!(house.decide(&person("kim"), |decision| decision.release_held("identity", 10)).unwrap(), 0);
    assert_eq!(house.only().state, State::Proposed);
}

#[test]
fn policies_wait_in_the_shadow_and_several_ask_for_one_thing_once() {
    let house = House::new(json!({"actions": ["revoke_user_sessions"], "shadow": true}));
    assert_eq!(house.only().state, State::Shadow);

    let mut routing = routing(json!({"name": "first", "actions": ["revoke_user_sessions"], "shadow": true}));
    routing.policies.push(policy(json!({"name": "second", "actions": ["revoke_user_sessions"]})));
    let house = House { db: Db::in_memory().unwrap(), routing };
    commit_at(&house.db, &alert("a1"), &house.routing, NOW_MS);
    let action = house.only();
    assert_eq!((action.state, action.policy.as_deref()), (State::Requested, Some("second")), "what is meant comes before what is tried");
}

#[test]
fn a_policy_is_about_its_own_alerts_alone() {
    let asked = |table| House::new(table).actions().len();
    let with = |name: &str, value: serde_json::Value| {
        let mut table = json!({"actions": ["revoke_user_sessions"]});
        table[name] = value;
        asked(table)
    };
    assert_eq!([with("tenant", json!("acme")), with("tenant", json!("globex"))], [1, 0]);
    assert_eq!([with("detectors", json!(["token_reuse"])), with("detectors", json!(["brute_force"]))], [1, 0]);
    assert_eq!([with("min_severity", json!("high")), with("min_severity", json!("critical"))], [1, 0]);
    assert_eq!([with("min_confidence", json!(0.93)), with("min_confidence", json!(0.94))], [1, 0]);
}

#[test]
fn who_is_protected_is_never_acted_on() {
    let mut routing = routing(json!({"actions": ["disable_user", "revoke_session", "block_address"]}));
    routing.response.protected_users = vec!["u1".to_owned()];
    routing.response.protected_networks = vec!["198.51.100.0/24".to_owned()];
    let house = House { db: Db::in_memory().unwrap(), routing };
    commit_at(&house.db, &alert("a1"), &house.routing, NOW_MS);
    let states: Vec<_> = house.actions().iter().map(|action| action.state).collect();
    assert_eq!(states, [State::Protected; 3]);
    assert!(messages(&house.db, CHANNEL, outbox::State::Pending).is_empty());
    let id = house.actions()[0].id.clone();
    let no = house.decide(&person("kim"), |decision| decision.approve(&id));
    assert!(matches!(no, Err(DecisionError::Conflict(_))), "{no:?}");
}

#[test]
fn another_tenants_action_does_not_exist() {
    let house = House::new(json!({"actions": ["revoke_user_sessions"], "approvals": 1}));
    let stranger = Person { tenant: Some("globex".to_owned()), ..person("kim") };
    let id = house.only().id;
    let none = house.decide(&stranger, |decision| decision.approve(&id));
    assert!(matches!(none, Err(DecisionError::NotFound)), "{none:?}");
}

#[test]
fn an_address_is_blocked_for_its_time_or_until_a_person_undoes_it() {
    let blocks = |house: &House| house.db.read(|tx| actions::blocks(tx, Some("acme"), State::InForce, i64::MIN)).unwrap().len();
    let house = House::new(json!({"actions": ["block_address"], "target": ""}));
    let action = house.only();
    assert_eq!((action.state, action.address.as_deref()), (State::InForce, Some("198.51.100.7")));
    assert_eq!((action.not_after, blocks(&house)), (TimeMs(NOW_MS + 4 * HOUR_MS), 1));
    house.db.write(|tx| progress::pass_time(tx, 10, NOW_MS + 4 * HOUR_MS)).unwrap();
    assert_eq!((house.only().state, blocks(&house)), (State::Lifted, 0));

    let house = House::new(json!({"actions": ["block_address"], "target": "", "approvals": 1}));
    let id = house.only().id;
    assert_eq!(blocks(&house), 0);
    house.decide(&person("kim"), |decision| decision.approve(&id)).unwrap();
    assert_eq!(blocks(&house), 1);
    house.decide(&person("kim"), |decision| decision.undo(&id)).unwrap();
    assert_eq!((house.only().state, blocks(&house)), (State::Undone, 0));
}

#[test]
fn whom_a_false_alert_blocks_is_let_go() {
    let house = House::new(json!({"actions": ["block_address"]}));
    assert_eq!((house.only().state, house.only().target.as_str()), (State::InForce, ""), "no target is asked, though the policy has one");
    assert!(messages(&house.db, CHANNEL, outbox::State::Pending).is_empty());
    house.db.write(|tx| progress::cancel(tx, "a1", "harmless", NOW_MS + 5)).unwrap();
    assert_eq!(house.only().state, State::Undone);
}

#[test]
fn an_address_that_many_share_is_never_blocked() {
    use bartizan_core::{EntityKind, Role, Subject};
    let house = House { db: Db::in_memory().unwrap(), routing: routing(json!({"actions": ["block_address"], "target": ""})) };
    let mut shared = alert("a1");
    shared.subjects.push(Subject::new(EntityKind::Ip, "198.51.100.7", Role::Shared));
    commit_at(&house.db, &shared, &house.routing, NOW_MS);
    assert_eq!(house.actions(), []);
}

#[test]
fn no_more_addresses_are_blocked_than_may_be() {
    let mut routing = routing(json!({"actions": ["block_address"], "target": ""}));
    routing.response.blocks_max = 1;
    let house = House { db: Db::in_memory().unwrap(), routing };
    for id in ["a1", "a2"] {
        commit_at(&house.db, &alert(id), &house.routing, NOW_MS);
    }
    let mut states: Vec<_> = house.actions().iter().map(|action| (action.state, action.brake.clone())).collect();
    states.sort();
    assert_eq!(states, [(State::Held, Some("blocks".to_owned())), (State::InForce, None)]);
}

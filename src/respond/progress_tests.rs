#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::db::Db;
use crate::notify::testing::{START_MS, alert, commit_at, messages, people, target};
use crate::respond::decide::{Decision, Person};
use crate::respond::plan::VALID_MS;
use bartizan_core::Severity;
use bartizan_core::time::HOUR_MS;

const CHANNEL: &str = "revoke:identity";
/// When the test's alert is committed: five seconds after its proof.
const NOW_MS: i64 = START_MS + 6_000;

fn routing() -> Routing {
    let target = target("identity", "http://127.0.0.1:9/", false);
    Routing { channels: vec![people("oncall", Severity::Info)], targets: vec![target], ..Routing::default() }
}

/// A database with one action, and the message that carries its order.
fn requested() -> (Db, Message) {
    let db = Db::in_memory().unwrap();
    commit_at(&db, &alert("a1"), &routing(), NOW_MS);
    let message = messages(&db, CHANNEL, outbox::State::Pending).pop().unwrap();
    (db, message)
}

fn answer(db: &Db, message: &Message, answer: &Answer, now_ms: i64) -> ActionRecord {
    db.write(|tx| answered(tx, &routing(), message, answer, now_ms)).unwrap();
    action(db, message)
}

fn action(db: &Db, message: &Message) -> ActionRecord {
    db.read(|tx| actions::get(tx, &message.message_id)).unwrap().unwrap()
}

fn told(db: &Db) -> Vec<String> {
    let notices = messages(db, "oncall", outbox::State::Pending).into_iter().filter(|message| message.kind == "revocation.failed");
    notices.map(|message| message.body).collect()
}

/// Lets go what is held.
fn released(db: &Db, routing: &Routing, now_ms: i64) -> usize {
    let person = Person { name: "kim".to_owned(), token: "1".to_owned(), tenant: None };
    db.write(|tx| Decision { tx, routing, person: &person, now_ms }.release_held("identity", 10)).unwrap()
}

#[test]
fn what_was_read_back_has_ended_with_all_its_times() {
    let (db, message) = requested();
    let ended = answer(&db, &message, &Answer::Ended("gone".to_owned()), NOW_MS + 300);
    assert_eq!((ended.state, ended.remark.as_deref(), ended.version), (State::Ended, Some("gone"), 2));
    assert_eq!((ended.event_time, ended.decided_time), (TimeMs(START_MS + 1_000), TimeMs(NOW_MS)));
    let later = Some(TimeMs(NOW_MS + 300));
    assert_eq!((ended.requested_time, ended.delivered_time, ended.confirmed_time), (Some(TimeMs(NOW_MS)), later, later));
    assert_eq!(messages(&db, CHANNEL, outbox::State::Delivered).len(), 1);
    let topic = messages(&db, ACTIONS_TOPIC_CHANNEL, outbox::State::Pending);
    let told: Vec<ActionRecord> = topic.iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect();
    assert_eq!(told.iter().map(|action| action.state).collect::<Vec<_>>(), [State::Requested, State::Ended]);
    assert_eq!(told[1], ended);
}

#[test]
fn what_the_provider_never_knew_is_no_success_unless_it_was_there_before() {
    let (db, message) = requested();
    let unknown = answer(&db, &message, &Answer::NotKnown("404".to_owned()), NOW_MS + 300);
    assert_eq!((unknown.state, unknown.delivered_time, unknown.confirmed_time), (State::NotFound, None, None));

    let (db, message) = requested();
    let there = answer(&db, &message, &Answer::Unconfirmed("still there".to_owned()), NOW_MS + 300);
    assert_eq!((there.state, there.delivered_time), (State::Unconfirmed, Some(TimeMs(NOW_MS + 300))));
    assert_eq!(messages(&db, CHANNEL, outbox::State::Pending).len(), 1, "it is asked again");
    let gone = answer(&db, &message, &Answer::NotKnown("404".to_owned()), NOW_MS + 900);
    assert_eq!((gone.state, gone.delivered_time, gone.confirmed_time), (State::Ended, there.delivered_time, Some(TimeMs(NOW_MS + 900))));
}

#[test]
fn what_is_still_there_when_the_order_is_void_is_told_to_people() {
    let (db, message) = requested();
    answer(&db, &message, &Answer::Unconfirmed("still there".to_owned()), NOW_MS + 1_000);
    db.write(|tx| expired(tx, &routing(), &message, "realm people still knows the session", NOW_MS + 41_000)).unwrap();
    assert_eq!(action(&db, &message).state, State::Unconfirmed);
    assert_eq!(messages(&db, CHANNEL, outbox::State::Expired).len(), 1);
    assert!(told(&db)[0].contains("Session ses-1 still active 40 s after it was revoked"), "{:?}", told(&db));
}

#[test]
fn what_never_arrived_or_is_refused_is_told_to_people() {
    let (db, message) = requested();
    db.write(|tx| expired(tx, &routing(), &message, "never tried in time", NOW_MS + VALID_MS)).unwrap();
    assert_eq!(action(&db, &message).state, State::Expired);
    assert!(told(&db)[0].contains("Not done: end session ses-1"));

    let (db, message) = requested();
    let refused = answer(&db, &message, &Answer::Refused("no such realm".to_owned()), NOW_MS + 300);
    assert_eq!((refused.state, refused.remark.as_deref()), (State::Failed, Some("no such realm")));
    assert_eq!((messages(&db, CHANNEL, outbox::State::Failed).len(), told(&db).len()), (1, 1));
}

#[test]
fn what_cannot_be_read_back_is_contained_once_nothing_issued_before_is_good() {
    let (db, message) = requested();
    assert_eq!(answer(&db, &message, &Answer::Taken, NOW_MS).state, State::Unconfirmed);
    let pass = |now_ms| db.write(|tx| pass_time(tx, 10, now_ms)).unwrap();
    assert_eq!((pass(NOW_MS + HOUR_MS - 1), pass(NOW_MS + HOUR_MS), pass(NOW_MS + 2 * HOUR_MS)), (0, 1, 0));
    let contained = action(&db, &message);
    assert_eq!((contained.state, contained.confirmed_time), (State::Contained, Some(TimeMs(NOW_MS + HOUR_MS))));
}

#[test]
fn what_waits_or_is_held_can_be_taken_back_and_what_arrived_cannot() {
    let (db, message) = requested();
    let cancel = |db: &Db| db.write(|tx| cancel(tx, "a1", "harmless", NOW_MS + 5)).unwrap();
    cancel(&db);
    assert_eq!((action(&db, &message).state, action(&db, &message).remark.as_deref()), (State::Cancelled, Some("harmless")));

    let (db, message) = requested();
    answer(&db, &message, &Answer::Taken, NOW_MS + 1);
    cancel(&db);
    assert_eq!(action(&db, &message).state, State::Unconfirmed);
}

#[test]
fn what_a_person_lets_go_is_requested_then() {
    let (db, mut campaign) = (Db::in_memory().unwrap(), alert("a1"));
    campaign.key = crate::alert::model::campaign_key(&campaign.detector);
    commit_at(&db, &campaign, &routing(), NOW_MS);
    let message = messages(&db, CHANNEL, outbox::State::Held).pop().unwrap();
    assert_eq!((action(&db, &message).state, action(&db, &message).brake.as_deref()), (State::Held, Some("circuit_breaker")));
    assert_eq!(released(&db, &routing(), NOW_MS + HOUR_MS), 1);
    let released = action(&db, &message);
    assert_eq!((released.state, released.requested_time), (State::Requested, Some(TimeMs(NOW_MS + HOUR_MS))));
    assert_eq!(released.not_after, TimeMs(NOW_MS + HOUR_MS + VALID_MS));
}

#[test]
fn what_waits_for_a_target_that_is_gone_has_failed() {
    let (db, message) = requested();
    let orphans = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        db.write(|tx| fail_orphans(tx, &names, NOW_MS + 5)).unwrap();
        action(&db, &message).state
    };
    assert_eq!((orphans(&[CHANNEL, "oncall"]), orphans(&["oncall"])), (State::Requested, State::Failed));
}

#[test]
fn a_later_use_tells_whether_the_session_is_over() {
    let seen = |message: &Message, refused| LaterUse { action: message.message_id.clone(), time_ms: NOW_MS + 40_500, refused };
    let look = |db: &Db, seen: &LaterUse| db.write(|tx| used_later(tx, &routing(), seen, NOW_MS + 41_000)).unwrap();
    let (db, message) = requested();
    answer(&db, &message, &Answer::Taken, NOW_MS);
    for _ in 0..2 {
        look(&db, &seen(&message, false));
    }
    assert_eq!((action(&db, &message).state, told(&db).len()), (State::Unconfirmed, 1), "people are told once");
    assert!(told(&db)[0].contains("Session ses-1 still active 40 s after it was revoked"));
    look(&db, &seen(&message, true));
    assert_eq!((action(&db, &message).state, action(&db, &message).confirmed_time), (State::Contained, Some(TimeMs(NOW_MS + 41_000))));
    assert!(db.read(|tx| actions::unconfirmed(tx, 10)).unwrap().is_empty(), "nothing is waited for any more");
}

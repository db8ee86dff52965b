//! From a triage step to what the pipeline is given.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::teacher::teach;
use super::*;
use crate::alert::Alert;
use crate::alert::model::{Disposition, Status};
use crate::db::alerts::{self, TriageStep};
use crate::db::lessons::{self, Noted};
use crate::db::{Db, DbError};
use crate::notify::testing::{START_MS, alert, commit_at};
use crate::notify::{Routing, commit_triage};
use crate::store::{EventRow, Position, StoredEvent};
use bartizan_core::{Kind, Outcome};

/// A database with an alert of a detector about u1.
fn with_alert(detector: &str) -> Db {
    let db = Db::in_memory().unwrap();
    let alert = Alert { detector: detector.to_owned(), ..alert("a1") };
    commit_at(&db, &alert, &Routing::default(), START_MS).unwrap();
    db
}

fn triage(db: &Db, status: Status, disposition: Option<Disposition>) {
    let change = alerts::Change { status: Some(status), disposition, ..alerts::Change::default() };
    let step = TriageStep { id: "a1", tenant: None, expected_version: None, change: &change, actor: "kim" };
    db.write(|tx| commit_triage(tx, &step, &Routing::default(), START_MS)).unwrap();
}

fn resolve(db: &Db, disposition: Disposition) {
    triage(db, Status::Resolved, Some(disposition));
}

fn waiting(db: &Db) -> Vec<Noted> {
    db.read(|tx| lessons::waiting(tx, 0, 100)).unwrap()
}

/// What its history says of what was learnt.
fn told(db: &Db) -> Vec<String> {
    let history = db.read(|tx| alerts::history(tx, "a1", 100)).unwrap();
    history.iter().filter_map(|entry| Some(entry.change.get("lesson")?.as_str().unwrap().to_owned())).collect()
}

fn audited(db: &Db) -> Vec<String> {
    db.read::<_, DbError>(|tx| {
        let mut statement = tx.prepare("SELECT action FROM audit WHERE action LIKE 'lesson.%' ORDER BY id")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    })
    .unwrap()
}

/// A stored event, as it comes out of the store.
fn stored(id: &str, user: &str, kind: Kind, outcome: Outcome) -> StoredEvent {
    let mut draft = EventDraft { time_ms: START_MS, kind, outcome, ip: Some([198, 51, 100, 7].into()), ..EventDraft::default() };
    let texts = [(Field::Id, id), (Field::User, user), (Field::Tenant, "acme"), (Field::Device, "new"), (Field::Attrs, "{\"more\":1}")];
    texts.into_iter().for_each(|(field, text)| draft.texts.set(field, text));
    let mut batch = EventBatch::default();
    let record = batch.push(&draft);
    record.place = Some(Place { country: *b"US", latitude: 40.7, longitude: -74.0, accuracy_km: 20 });
    (record.asn, record.network_class) = (7018, NetworkClass::Residential);
    let row = EventRow::new(&batch.get(0).unwrap(), Position::default());
    serde_json::from_value(serde_json::to_value(row).unwrap()).unwrap()
}

fn taught(db: &Db, events: &[StoredEvent]) {
    let noted = waiting(db).remove(0);
    db.write(|tx| teach(tx, &noted, events, START_MS + 9)).unwrap();
}

#[test]
fn what_is_resolved_as_harmless_is_taught_and_told() {
    let db = with_alert("impossible_travel");
    resolve(&db, Disposition::Benign);
    let noted = &waiting(&db)[0];
    assert_eq!((&*noted.tenant, &*noted.alert_id, &*noted.actor), ("acme", "a1", "kim"));
    assert_eq!((&noted.event_ids, &noted.users), (&vec!["e1".to_owned(), "e2".to_owned()], &vec!["u1".to_owned()]));
    let events = [
        stored("e1", "u1", Kind::Login, Outcome::Success),
        stored("e2", "u1", Kind::Login, Outcome::Success),
        stored("e3", "u1", Kind::Login, Outcome::Failure),
        stored("e4", "u2", Kind::Login, Outcome::Success),
    ];
    taught(&db, &events);
    assert_eq!(told(&db), ["taught: 2 sign-ins of u1"]);
    assert_eq!(audited(&db), ["lesson.taught"]);
    let lessons = Lessons::open(&db, &[]).unwrap();
    assert_eq!(lessons.newest(), 1);
    let due = lessons.due(1);
    let ids: Vec<_> = due.iter().map(|event| event.id()).collect();
    assert_eq!(ids, ["e1", "e2"]);
    let first = due.get(0).unwrap();
    assert_eq!((first.device(), first.asn(), first.network_class()), (Some("new"), 7018, NetworkClass::Residential));
    assert_eq!((first.place().unwrap().country_str(), first.attrs()), ("US", None), "what is not needed is not kept");
    assert!(lessons.due(1).is_empty(), "once");
    assert!(Lessons::open(&db, &[Change::Lessons(1)]).unwrap().due(1).is_empty(), "a checkpoint has it already");
    // The same row is judged again from nothing.
    assert_eq!(Lessons::open(&db, &[]).unwrap().due(1).len(), 2);
}

#[test]
fn what_was_an_attack_teaches_nothing() {
    let db = with_alert("impossible_travel");
    resolve(&db, Disposition::TruePositive);
    assert!(waiting(&db).is_empty() && told(&db).is_empty());
    triage(&db, Status::Resolved, None);
    assert!(waiting(&db).is_empty());
}

#[test]
fn a_detector_that_knows_nobody_has_nothing_to_learn() {
    let db = with_alert("credential_stuffing");
    resolve(&db, Disposition::Benign);
    assert_eq!(
        (waiting(&db).len(), told(&db)),
        (0, vec!["nothing to learn: credential_stuffing does not go by what is known of people".into()])
    );
}

#[test]
fn these_detectors_go_by_people() {
    let ids: Vec<_> = bartizan_catalogue::all().map(|spec| spec.id).filter(|id| super::triage::goes_by_people(id)).collect();
    let readme = include_str!("../../README.md").split("go by people (").nth(1).unwrap();
    assert!(ids.len() > 3 && !super::triage::goes_by_people("none"));
    let mut named: Vec<_> = readme.split(')').next().unwrap().split(", ").map(|name| name.trim_matches('`')).collect();
    named.sort_by_key(|name| ids.iter().position(|id| id == name));
    assert_eq!(named, ids, "as the README says");
}

#[test]
fn a_change_of_mind_takes_back_what_waits_and_what_is_in_the_list() {
    let db = with_alert("unusual_location");
    resolve(&db, Disposition::FalsePositive);
    resolve(&db, Disposition::Benign);
    assert_eq!(waiting(&db).len(), 1, "harmless it was before");
    resolve(&db, Disposition::TruePositive);
    assert_eq!((waiting(&db).len(), told(&db)), (0, vec!["taken back: nothing of it was learnt".into()]));
    resolve(&db, Disposition::Benign);
    taught(&db, &[stored("e1", "u1", Kind::Login, Outcome::Success)]);
    let lessons = Lessons::open(&db, &[]).unwrap();
    triage(&db, Status::Open, None);
    lessons.renew(&db).unwrap();
    assert_eq!(lessons.newest(), 2);
    assert_eq!(Lessons::open(&db, &[]).unwrap().due(1).len(), 1, "what was judged with it is judged so again");
    assert!(lessons.due(2).is_empty(), "the order had not come to it");
    assert_eq!(told(&db)[1..], ["taught: 1 sign-in of u1", "taken back: what was learnt of it fades"]);
    assert_eq!(audited(&db), ["lesson.taken_back", "lesson.taught", "lesson.taken_back"]);
}

#[test]
fn what_is_taken_back_while_its_events_are_fetched_is_not_taught() {
    let db = with_alert("unusual_location");
    resolve(&db, Disposition::Benign);
    let noted = waiting(&db).remove(0);
    triage(&db, Status::Open, None);
    for events in [vec![stored("e1", "u1", Kind::Login, Outcome::Success)], vec![]] {
        db.write(|tx| teach(tx, &noted, &events, START_MS)).unwrap();
    }
    assert_eq!((Lessons::open(&db, &[]).unwrap().newest(), told(&db).len()), (0, 1));
}

#[test]
fn events_that_show_nothing_of_a_person_are_no_lesson() {
    let db = with_alert("brute_force");
    resolve(&db, Disposition::Benign);
    taught(&db, &[stored("e1", "u1", Kind::Login, Outcome::Failure), stored("e2", "u1", Kind::Logout, Outcome::Success)]);
    assert_eq!((waiting(&db).len(), Lessons::open(&db, &[]).unwrap().newest()), (0, 0));
    assert_eq!(told(&db), ["nothing to learn: its events show no successful sign-in of whom it names"]);
}

#[test]
fn a_lesson_is_bounded_and_says_what_it_was() {
    let db = with_alert("account_takeover");
    resolve(&db, Disposition::Benign);
    let events: Vec<_> = (0..40).map(|n| stored(&format!("e{n}"), "u1", Kind::AccountChange, Outcome::Success)).collect();
    taught(&db, &events);
    assert_eq!(told(&db), ["taught: 32 events of u1"]);
    let due = Lessons::open(&db, &[]).unwrap().due(1);
    assert_eq!((due.len(), due.get(31).unwrap().id()), (EVENTS_MAX, "e39"));
}

#[test]
fn a_row_that_does_not_read_is_left_out_and_the_next_one_is_not() {
    let db = with_alert("impossible_travel");
    resolve(&db, Disposition::Benign);
    taught(&db, &[stored("e1", "u1", Kind::Login, Outcome::Success)]);
    let good = db.read(|tx| lessons::after(tx, 0)).unwrap().remove(0);
    let bad = Lesson { added: 1, removed: None, events: "[{".into() };
    assert_eq!(Lessons::fixed(vec![bad, Lesson { added: 2, ..good }]).due(2).len(), 1);
}

//! What people are taught, as the engine learns it.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::engine::Engine;
use super::tests::{engine, through_checkpoint};
use crate::alert::Alert;
use crate::flow::{Change, EventFlow};
use crate::teach::{Lesson, Lessons, encode};
use bartizan_core::batch::Field;
use bartizan_core::time::HOUR_MS;
use bartizan_core::{EventBatch, EventDraft, Kind, NetworkClass, Outcome, Place};

const JUNE_MS: i64 = 1_780_272_000_000;
const HOME: (&str, f32, f32, u32) = ("DE", 52.5, 13.4, 3320);
const FAR: (&str, f32, f32, u32) = ("US", 40.7, -74.0, 7018);

fn sign_in(batch: &mut EventBatch, hour: i64, device: &str, (country, latitude, longitude, asn): (&str, f32, f32, u32)) {
    let time_ms = JUNE_MS + hour * HOUR_MS;
    let mut draft = EventDraft { time_ms, kind: Kind::Login, outcome: Outcome::Success, ..EventDraft::default() };
    draft.ip = Some(format!("81.2.{}.7", asn % 250).parse().unwrap());
    let id = format!("{hour}-{device}");
    let texts = [(Field::Id, &*id), (Field::Tenant, "acme"), (Field::User, "ann"), (Field::Device, device), (Field::UserAgent, "Firefox")];
    texts.into_iter().for_each(|(field, text)| draft.texts.set(field, text.to_owned()));
    let record = batch.push(&draft);
    record.place = Some(Place { country: country.as_bytes().try_into().unwrap(), latitude, longitude, accuracy_km: 20 });
    (record.asn, record.network_class, record.arrival_ms) = (asn, NetworkClass::Residential, time_ms);
}

/// Ten days at home, and on the last of them somebody far away with another device.
fn before() -> EventBatch {
    let mut batch = EventBatch::default();
    (0..10).for_each(|day| sign_in(&mut batch, 24 * day, "laptop", HOME));
    sign_in(&mut batch, 24 * 9 + 1, "new", FAR);
    batch
}

/// The same as on the last day, on the next ones.
fn after() -> EventBatch {
    let mut batch = EventBatch::default();
    for day in 10..13 {
        sign_in(&mut batch, 24 * day, "laptop", HOME);
        sign_in(&mut batch, 24 * day + 1, "new", FAR);
    }
    batch
}

/// What an analyst makes of the stranger.
fn lesson() -> Lesson {
    let batch = before();
    Lesson { added: 1, removed: None, events: encode(batch.iter().skip(10)).unwrap() }
}

/// Feeds events in pieces of `size`; the first of them learns what is due.
fn feed(engine: &mut Engine, events: &EventBatch, size: usize, lessons: Option<&Lessons>) -> Vec<Alert> {
    let (mut alerts, mut at) = (Vec::new(), 0);
    while at < events.len() {
        let mut piece = EventBatch::default();
        events.iter().skip(at).take(size).for_each(|event| _ = piece.copy(&event));
        let mut flow = EventFlow::replayed(piece, engine.next_seq());
        if let Some(lessons) = lessons.filter(|_| at == 0) {
            flow.order.changes.push(Change::Lessons(1));
            flow.lessons = lessons.due(1);
        }
        at += flow.events.len();
        let outcome = engine.process(&mut flow);
        assert!(outcome.disabled.is_empty());
        alerts.extend(outcome.alerts);
    }
    alerts
}

fn opened(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().filter(|alert| alert.ongoing).map(|alert| alert.detector.as_str()).collect()
}

fn bytes(alerts: &[Alert]) -> String {
    alerts.iter().map(|alert| serde_json::to_string(alert).unwrap() + "\n").collect()
}

#[test]
fn what_is_taught_is_silent_the_next_day_and_else_it_is_not() {
    let (mut untaught, mut taught) = (engine(1), engine(1));
    let first = feed(&mut untaught, &before(), 100, None);
    assert_eq!(opened(&first), ["impossible_travel"], "one sign-in is told once: {first:#?}");
    feed(&mut taught, &before(), 100, None);
    let again = feed(&mut untaught, &after(), 100, None);
    assert!(opened(&again).contains(&"impossible_travel"), "{again:#?}");
    let silent = feed(&mut taught, &after(), 100, Some(&Lessons::fixed(vec![lesson()])));
    assert_eq!(opened(&silent), [""; 0], "{silent:#?}");
}

#[test]
fn a_sign_in_of_the_same_day_profits_too() {
    let mut engine = engine(1);
    feed(&mut engine, &before(), 100, None);
    let mut later = EventBatch::default();
    sign_in(&mut later, 24 * 9 + 2, "laptop", HOME);
    sign_in(&mut later, 24 * 9 + 3, "new", FAR);
    let silent = feed(&mut engine, &later, 100, Some(&Lessons::fixed(vec![lesson()])));
    assert_eq!(opened(&silent), [""; 0], "{silent:#?}");
}

#[test]
fn what_is_taken_back_is_not_learnt() {
    let mut engine = engine(1);
    feed(&mut engine, &before(), 100, None);
    let lessons = Lessons::fixed(vec![Lesson { removed: Some(1), ..lesson() }]);
    let again = feed(&mut engine, &after(), 100, Some(&lessons));
    assert!(opened(&again).contains(&"impossible_travel"), "{again:#?}");
}

#[test]
fn a_lesson_of_another_person_changes_nothing() {
    let (mut one, mut other) = (engine(1), engine(1));
    [&mut one, &mut other].into_iter().for_each(|engine| _ = feed(engine, &before(), 100, None));
    let events = lesson().events.replace("\"ann\"", "\"bob\"");
    let alerts = feed(&mut one, &after(), 100, Some(&Lessons::fixed(vec![Lesson { events, ..lesson() }])));
    assert_eq!(bytes(&alerts), bytes(&feed(&mut other, &after(), 100, None)));
}

#[test]
fn sizes_of_batches_threads_and_checkpoints_do_not_change_a_byte() {
    let mut late = after();
    sign_in(&mut late, 24 * 13 + 1, "newest", ("JP", 35.7, 139.7, 2516));
    let run = |threads: usize, size: usize, checkpoints: [bool; 2]| {
        let lessons = Lessons::fixed(vec![lesson()]);
        let mut engine = engine(threads);
        let mut alerts = feed(&mut engine, &before(), size, None);
        if checkpoints[0] {
            engine = through_checkpoint(&mut engine, threads, |_| {});
        }
        let mut first = EventBatch::default();
        late.iter().take(2).for_each(|event| _ = first.copy(&event));
        alerts.extend(feed(&mut engine, &first, size, Some(&lessons)));
        if checkpoints[1] {
            engine = through_checkpoint(&mut engine, threads, |_| {});
            assert!(engine.in_force().contains(&Change::Lessons(1)));
        }
        let mut rest = EventBatch::default();
        late.iter().skip(2).for_each(|event| _ = rest.copy(&event));
        alerts.extend(feed(&mut engine, &rest, size, None));
        bytes(&alerts)
    };
    let reference = run(1, 100, [false; 2]);
    assert!(reference.contains("JP"), "{reference}");
    for (threads, size, checkpoints) in [(1, 1, [false; 2]), (4, 3, [true, false]), (1, 2, [false, true]), (8, 100, [true; 2])] {
        assert_eq!(run(threads, size, checkpoints), reference, "{threads} threads, {size} events, {checkpoints:?}");
    }
}

#[test]
fn where_nobody_goes_by_people_nothing_is_learnt() {
    let specs = bartizan_catalogue::all().filter(|spec| spec.id == "credential_stuffing");
    let enabled = super::Enabled::new(specs, &super::DetectorTables::new()).unwrap();
    let mut engine = Engine::new(&super::DetectConfig::default(), &enabled, bartizan_core::KeyHasher::new([3; 16]));
    feed(&mut engine, &before(), 100, Some(&Lessons::fixed(vec![lesson()])));
    let people = engine.state_keys().into_iter().find(|(id, ..)| *id == bartizan_core::people::ID);
    assert_eq!(people.map(|(_, keys, _)| keys), Some(0));
}

//! An hour of very many alerts, some of which are attacks, in virtual time: what a person hears of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]
use super::incidents::{OPENED, UPDATED};
use super::testing::{START_MS, alert, commit_at};
use super::{Route, Routing, config::Group};
use crate::alert::{Alert, Entities};
use crate::db::outbox::{self, State};
use crate::db::{Db, DbError, incidents};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use bartizan_core::{EntityKind, Role, Severity, Subject, TimeMs};
use std::collections::{BTreeMap, BTreeSet};

const ATTACKS: usize = 30;
/// The steps of each attack: tries of a list of passwords, hits, what follows on those who were hit.
const STEPS: usize = 6;
const CHANNEL: &str = "oncall";
/// Within which an attack's first message leaves after the first alert about it that is high or worse.
const SOON_MS: i64 = 5 * SECOND_MS;

/// A message as it left.
struct Sent {
    at_ms: i64,
    kind: String,
    body: String,
}

/// A step of an attack: the same attacker each time, other victims.
fn step(attack: usize, step: usize, at_ms: i64) -> Alert {
    let attacker = Subject::new(EntityKind::Ip, format!("203.0.113.{attack}"), Role::Attacker);
    let victim = |number| Subject::new(EntityKind::User, format!("victim-{attack}-{number}"), Role::Victim);
    let (detector, severity, subjects) = match step {
        0 => ("password_spraying", Severity::Medium, vec![attacker, victim(0), victim(1)]),
        1 => ("credential_stuffing", Severity::Critical, vec![attacker, victim(0).hit(), victim(1).hit()]),
        2 => ("unusual_location", Severity::Medium, vec![attacker, victim(0).hit()]),
        3 => ("account_takeover", Severity::Critical, vec![victim(0).hit()]),
        4 => ("token_reuse", Severity::High, vec![attacker, victim(1).hit()]),
        _ => ("api_enumeration", Severity::High, vec![attacker, victim(1).hit()]),
    };
    one(&format!("attack-{attack}-{step}"), detector, severity, at_ms, subjects)
}

/// What is no attack: a detector that accuses at random, offices and scanners, each alert about somebody else.
fn noise(number: usize, at_ms: i64) -> Alert {
    let (detector, severity) = match number % 20 {
        0..=14 => ("impossible_travel", Severity::Medium),
        15..=17 => ("unusual_location", Severity::Low),
        18 => ("api_enumeration", Severity::Medium),
        _ => ("brute_force", Severity::Low),
    };
    let office = Subject::new(EntityKind::Ip, format!("198.51.100.{}", number % 50), Role::Shared);
    let user = Subject::new(EntityKind::User, format!("user-{number}"), Role::Victim);
    one(&format!("noise-{number}"), detector, severity, at_ms, vec![office, user])
}

fn one(id: &str, detector: &str, severity: Severity, at_ms: i64, subjects: Vec<Subject>) -> Alert {
    let time = TimeMs(at_ms);
    Alert {
        detector: detector.to_owned(),
        severity,
        first_event_time: time,
        last_event_time: time,
        detected_time: time,
        entities: Entities::of(&subjects),
        subjects,
        actions: Vec::new(),
        key: format!("key:{id}"),
        ..alert(id)
    }
}

/// Everything that is due by now leaves.
fn send(db: &Db, now_ms: i64) -> Vec<Sent> {
    db.write::<_, DbError>(|tx| {
        let due = outbox::due(tx, CHANNEL, now_ms, 10_000)?;
        for message in &due {
            outbox::claim(tx, message.id)?;
            outbox::finish(tx, message.id, State::Delivered, None, now_ms)?;
        }
        Ok(due.into_iter().map(|message| Sent { at_ms: now_ms, kind: message.kind, body: message.body }).collect())
    })
    .unwrap()
}

#[test]
fn of_an_hour_of_very_many_alerts_a_person_hears_each_attack_at_once_and_little_else() {
    let alerts: usize = std::env::var("FLOOD_ALERTS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000);
    let db = Db::in_memory().unwrap();
    let route = Route { group: Group::Incident, ..Route::people(CHANNEL, Severity::Medium) };
    let routing = Routing { channels: vec![route], ..Routing::default() };
    let seconds = HOUR_MS / SECOND_MS;
    let mut planned: BTreeMap<i64, Vec<Alert>> = BTreeMap::new();
    let mut found: BTreeMap<usize, i64> = BTreeMap::new();
    for attack in 0..ATTACKS {
        // They begin all over the hour, some side by side, and each takes up to twenty minutes.
        let begin = START_MS + (attack as i64 * 37 % 40) * MINUTE_MS + 500;
        for number in 0..STEPS {
            let at_ms = begin + number as i64 * (20 + attack as i64 % 7 * 30) * SECOND_MS;
            let alert = step(attack, number, at_ms);
            if alert.severity >= Severity::High {
                found.entry(attack).or_insert(at_ms);
            }
            planned.entry(at_ms.div_euclid(SECOND_MS)).or_default().push(alert);
        }
    }
    for number in 0..alerts - ATTACKS * STEPS {
        let at_ms = START_MS + (number as i64 * HOUR_MS) / alerts as i64;
        planned.entry(at_ms.div_euclid(SECOND_MS)).or_default().push(noise(number, at_ms));
    }
    let mut sent: Vec<Sent> = Vec::new();
    for second in 0..seconds {
        let now_ms = START_MS + second * SECOND_MS;
        for alert in planned.remove(&now_ms.div_euclid(SECOND_MS)).unwrap_or_default() {
            commit_at(&db, &alert, &routing, alert.detected_time.0);
        }
        sent.extend(send(&db, now_ms + SECOND_MS - 1));
    }
    let by_kind = sent.iter().fold(BTreeMap::new(), |mut counts: BTreeMap<&str, u32>, one| {
        *counts.entry(one.kind.as_str()).or_default() += 1;
        counts
    });
    let incident_of = |id: &str| -> String {
        let body = db.read(|tx| crate::db::alerts::get(tx, id)).unwrap().unwrap();
        body.incident.unwrap()
    };
    let mut slowest_ms = 0;
    let mut incidents_of_attacks = BTreeSet::new();
    for (attack, found_ms) in &found {
        let ids: BTreeSet<String> = (0..STEPS).map(|number| incident_of(&format!("attack-{attack}-{number}"))).collect();
        let told = |one: &&Sent| [OPENED, UPDATED].contains(&one.kind.as_str()) && ids.iter().any(|id| one.body.contains(id));
        let first = sent.iter().filter(|one| one.at_ms >= *found_ms).find(told).unwrap_or_else(|| panic!("attack {attack} is not told"));
        slowest_ms = slowest_ms.max(first.at_ms - found_ms);
        for id in ids {
            let members = db.read(|tx| incidents::alerts_of(tx, &id, 10_000)).unwrap();
            let foreign = members.iter().find(|alert| !alert.id.starts_with(&format!("attack-{attack}-")));
            assert!(foreign.is_none(), "the incident of attack {attack} holds {:?}", foreign.map(|alert| &alert.id));
            assert!(incidents_of_attacks.insert(id), "an incident holds two attacks");
        }
    }
    eprintln!("{alerts} alerts, {ATTACKS} attacks: {} messages {by_kind:?}, the slowest attack told after {slowest_ms} ms", sent.len());
    assert!(sent.len() <= 40, "{} messages: {by_kind:?}", sent.len());
    assert!(slowest_ms <= SOON_MS, "{slowest_ms} ms");
}

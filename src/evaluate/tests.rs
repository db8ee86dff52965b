//! Each rule of the counting by a label and an alert or two, and a seed evaluated whole.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;
use crate::alert::{Alert, Entities};
use crate::config::Config;
use crate::normalise::{Context, Format, Normaliser, TokenKey};
use crate::simulate::{Label, LabelEntities, SimulationConfig};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use bartizan_core::{EventBatch, KeyHasher, Severity, TimeMs};
use serde_json::json;

const START_MS: i64 = 1_780_000_000_000;
const END_MS: i64 = START_MS + HOUR_MS;

fn names<'a, C: FromIterator<String>>(list: impl IntoIterator<Item = &'a str>) -> C {
    list.into_iter().map(ToOwned::to_owned).collect()
}

/// Nobody got in, for an hour, on `victim`, from 192.0.2.9, with the session `s1`.
fn attack(id: &str) -> Label {
    Label {
        attack: Some(id.to_owned()),
        innocent: None,
        kind: "stuffing".to_owned(),
        variant: "list".to_owned(),
        detectors: names(["credential_stuffing"]),
        tenant: "t".to_owned(),
        start: TimeMs(START_MS),
        end: TimeMs(END_MS),
        hit: false,
        truncated: false,
        entities: LabelEntities { users: names(["victim"]), ips: names(["192.0.2.9"]), sessions: names(["s1"]) },
        events: 9,
    }
}

fn habit(kind: &str, user: &str) -> Label {
    let entities = LabelEntities { users: names([user]), ..LabelEntities::default() };
    Label { attack: None, innocent: Some("i".to_owned()), kind: kind.to_owned(), detectors: Vec::new(), entities, ..attack("") }
}

/// The only version of an alert, told five minutes after the attack began.
fn alert(id: &str, severity: Severity, entities: Entities) -> Alert {
    let time = TimeMs(START_MS + 5 * MINUTE_MS);
    let mut alert: Alert = serde_json::from_value(json!({
        "id": id, "version": 1, "detector": "credential_stuffing", "title": "", "severity": severity, "confidence": 0.5,
        "status": "open", "tenant": "t", "key": "ip:192.0.2.9", "ongoing": true, "first_event_time": time,
        "last_event_time": time, "detected_time": time, "event_count": 1, "entities": {}, "subjects": [], "reason": "why",
        "evidence": {}, "event_ids": [], "attack": [], "actions": [],
    }))
    .unwrap();
    alert.entities = entities;
    alert
}

fn users(list: &[&str]) -> Entities {
    Entities { users: names(list.iter().copied()), ..Entities::default() }
}

/// The same alert, all of it at a time after the attack's beginning.
fn at(alert: Alert, after_ms: i64) -> Alert {
    let time = TimeMs(START_MS + after_ms);
    Alert { first_event_time: time, last_event_time: time, ..alert }
}

fn report(labels: &[Label], alerts: &[Alert]) -> Report {
    let mut cases = Cases::default();
    alerts.iter().for_each(|alert| cases.add(alert));
    Report::of(vec![score(None, labels, &cases, None)])
}

/// Attacks found, and false alerts.
fn counted(labels: &[Label], alerts: &[Alert]) -> (u64, u64) {
    let total = report(labels, alerts).total;
    (total.found, total.false_alerts)
}

fn medium(list: &[&str]) -> Alert {
    alert("1", Severity::Medium, users(list))
}

#[test]
fn an_attack_is_found_by_anyone_who_took_part() {
    let list = |value: &str| names::<Vec<String>>([value]);
    let named = [
        users(&["victim"]),
        Entities { ips: list("192.0.2.9"), ..Entities::default() },
        Entities { sessions: list("s1"), ..Entities::default() },
        Entities { networks: names(["AS64496", "192.0.2.0/24"]), ..Entities::default() },
    ];
    for entities in named {
        assert_eq!(counted(&[attack("a")], &[alert("1", Severity::Medium, entities.clone())]), (1, 0), "{entities:?}");
    }
    let strangers = [users(&["other"]), Entities { networks: list("198.51.100.0/24"), ..Entities::default() }, Entities::default()];
    for entities in strangers {
        assert_eq!(counted(&[attack("a")], &[alert("1", Severity::Medium, entities.clone())]), (0, 1), "{entities:?}");
    }
}

#[test]
fn only_a_fitting_detector_of_the_same_tenant_finds_it() {
    let other = Alert { detector: "token_reuse".to_owned(), ..medium(&["victim"]) };
    let report = report(&[attack("a")], std::slice::from_ref(&other));
    assert_eq!((report.total.found, report.total.false_alerts), (0, 0), "about an attack, by a detector for another");
    assert_eq!((report.detectors[0].fitting, report.detectors[0].other_attack), (0, 1));
    let elsewhere = Alert { tenant: "u".to_owned(), ..medium(&["victim"]) };
    assert_eq!(counted(&[attack("a")], &[elsewhere]), (0, 1), "a namesake of another tenant");
}

#[test]
fn an_alert_must_be_of_medium_severity() {
    let report = report(&[attack("a")], &[alert("1", Severity::Low, users(&["victim"]))]);
    assert_eq!((report.total.found, report.total.low, report.total.false_alerts), (0, 1, 0));
}

#[test]
fn an_attack_is_found_from_its_first_event_until_ten_minutes_after_its_last() {
    let found = |after_ms: i64| counted(&[attack("a")], &[at(medium(&["victim"]), after_ms)]);
    assert_eq!(found(-1), (0, 1));
    assert_eq!(found(0), (1, 0));
    assert_eq!(found(HOUR_MS + 10 * MINUTE_MS), (1, 0));
    assert_eq!(found(HOUR_MS + 10 * MINUTE_MS + 1), (0, 1));
}

#[test]
fn the_version_that_first_reaches_medium_counts() {
    let (low, high) = (alert("1", Severity::Low, users(&["victim"])), alert("1", Severity::High, users(&["victim"])));
    let second = |after_ms| Alert { last_event_time: TimeMs(START_MS + after_ms), version: 2, ..high.clone() };
    assert_eq!(counted(&[attack("a")], &[low.clone(), second(MINUTE_MS)]), (1, 0), "it rose in time");
    // Late, and all the same about the attack.
    assert_eq!(counted(&[attack("a")], &[low, second(2 * HOUR_MS)]), (0, 0), "it rose too late");
    let early = at(medium(&["victim"]), -MINUTE_MS);
    let grown = Alert { first_event_time: early.first_event_time, ..second(MINUTE_MS) };
    assert_eq!(counted(&[attack("a")], &[early, grown]), (0, 0), "it stood at medium before the attack began");
    let (of_other, of_both) = (medium(&["other"]), Alert { version: 2, ..medium(&["other", "victim"]) });
    assert_eq!(counted(&[attack("a")], &[of_other, of_both]), (0, 0), "it named nobody who took part when it rose");
}

#[test]
fn a_hit_must_be_told_at_high() {
    let hit = [Label { hit: true, ..attack("a") }];
    let attempt = report(&hit, &[medium(&["victim"])]);
    assert_eq!((attempt.total.found, attempt.total.hits, attempt.total.hits_high), (1, 1, 0));
    assert!(attempt.missed[0].told_low && attempt.kinds[0].delay_worst_s.is_none());
    let high = Alert { version: 2, ..at(alert("1", Severity::High, users(&["victim"])), 20 * MINUTE_MS) };
    let told = report(&hit, &[medium(&["victim"]), high.clone()]);
    assert_eq!((told.total.hits_high, told.kinds[0].delay_worst_s), (1, Some(20 * 60)), "the delay runs to the version at high");
    assert!(told.missed.is_empty());
    let late = at(high, 2 * HOUR_MS);
    assert_eq!(report(&hit, &[medium(&["victim"]), late]).total.hits_high, 0);
}

#[test]
fn a_false_alert_counts_once_for_each_innocent_person_or_session() {
    let sessions = Entities { sessions: names(["x", "y", "z"]), ..users(&["u"]) };
    let many = [(users(&[]), 1), (users(&["u"]), 1), (users(&["u", "v", "w"]), 3), (sessions, 3)];
    for (entities, count) in many {
        assert_eq!(counted(&[attack("a")], &[alert("1", Severity::Medium, entities.clone())]), (0, count), "{entities:?}");
    }
}

#[test]
fn the_last_version_decides_whether_an_alert_is_false() {
    let second = |entities| Alert { version: 2, ..alert("1", Severity::Medium, entities) };
    assert_eq!(counted(&[], &[medium(&["u"]), second(users(&["u", "v"]))]), (0, 2));
    let low = alert("1", Severity::Low, users(&["u"]));
    assert_eq!(counted(&[], &[low.clone(), second(users(&["u"]))]), (0, 1));
    assert_eq!(counted(&[], &[low]), (0, 0));
}

#[test]
fn bystanders_are_told_and_not_counted_as_false() {
    let report = report(&[attack("a")], &[medium(&["victim", "u", "v"])]);
    assert_eq!((report.total.bystanders, report.total.false_alerts, report.total.found), (2, 0, 1));
}

#[test]
fn of_the_alerts_about_one_attack_each_beyond_three_is_false() {
    let alerts = |count: usize| -> Vec<Alert> {
        let one = |number: usize| Alert {
            detector: format!("d{}", number % 2),
            ..alert(&number.to_string(), Severity::Medium, users(&["victim"]))
        };
        (0..count).map(one).collect()
    };
    assert_eq!(counted(&[attack("a")], &alerts(3)), (0, 0));
    let five = report(&[attack("a"), attack("b")], &alerts(5));
    assert_eq!((five.total.false_alerts, five.kinds[0].alerts_max), (2, 5), "an alert too many about two attacks counts once");
    assert!(five.false_alerts.iter().all(|alert| alert.one_too_many));
    let mut with_low = alerts(3);
    with_low.push(alert("low", Severity::Low, users(&["victim"])));
    assert_eq!(counted(&[attack("a")], &with_low), (0, 0), "low ones are not among them");
}

#[test]
fn an_alert_that_names_an_attacker_is_none_about_others_who_try_the_same_names() {
    let other = Label { entities: LabelEntities { ips: names(["198.51.100.9"]), ..attack("b").entities }, ..attack("b") };
    let of = |number: usize, ip: &str| {
        let entities = Entities { ips: names([ip]), ..users(&["victim"]) };
        alert(&format!("{ip} {number}"), Severity::Medium, entities)
    };
    let mut alerts: Vec<Alert> = (0..3).flat_map(|number| [of(number, "192.0.2.9"), of(number, "198.51.100.9")]).collect();
    assert_eq!(counted(&[attack("a"), other.clone()], &alerts), (2, 0), "three about each");
    alerts.push(of(3, "198.51.100.9"));
    let report = report(&[attack("a"), other], &alerts);
    assert_eq!((report.total.false_alerts, report.kinds[0].alerts_max), (1, 4));
}

#[test]
fn what_finds_an_attack_is_not_one_more_about_another() {
    let others: Vec<Alert> = (1..=3).map(|n| at(alert(&n.to_string(), Severity::Medium, users(&["victim"])), n * MINUTE_MS)).collect();
    let own = Alert { detector: "token_reuse".to_owned(), ..alert("4", Severity::Medium, users(&["victim"])) };
    let alerts = [others, vec![own]].concat();
    let theft = Label { kind: "theft".to_owned(), detectors: names(["token_reuse"]), ..attack("b") };
    assert_eq!(counted(&[attack("a"), theft], &alerts), (2, 0));
    let report = report(&[attack("a")], &alerts);
    assert_eq!((report.total.false_alerts, report.total.too_many, report.detectors[1].too_many), (1, 1, 1));
}

#[test]
fn what_was_cut_off_is_left_out_unless_found() {
    let cut = Label { truncated: true, ..attack("a") };
    let missed = report(std::slice::from_ref(&cut), &[]).total;
    assert_eq!((missed.attacks, missed.cut_off, missed.recall), (0, 1, None));
    let found = report(&[cut], &[medium(&["victim"])]).total;
    assert_eq!((found.attacks, found.found, found.cut_off), (1, 1, 0));
    let whole = report(&[attack("a")], &[]).total;
    assert_eq!((whole.attacks, whole.cut_off, whole.recall), (1, 0, Some(0.0)));
}

#[test]
fn delays_have_a_median_and_a_worst() {
    let labels: Vec<Label> = ["u", "v", "w"]
        .iter()
        .map(|user| Label { entities: LabelEntities { users: names([*user]), ..LabelEntities::default() }, ..attack(user) })
        .collect();
    let told = |user: &str, seconds: i64| at(alert(user, Severity::Medium, users(&[user])), seconds * SECOND_MS);
    let report = report(&labels, &[told("u", 10), told("v", 70), told("w", 900)]);
    assert_eq!((report.kinds[0].delay_median_s, report.kinds[0].delay_worst_s), (Some(70), Some(900)));
}

#[test]
fn false_alerts_are_told_by_the_habit_that_they_touch() {
    let labels = [habit("journey", "u"), habit("journey", "v"), habit("refresh_race", "w")];
    let later = at(alert("2", Severity::Medium, users(&["u"])), 5 * HOUR_MS);
    let report = report(&labels, &[medium(&["u", "v"]), later]);
    let lines: Vec<_> = report.habits.iter().map(|line| (line.habit.as_str(), line.happenings, line.false_alerts)).collect();
    assert_eq!(lines, [(score::ORDINARY, 0, 1), ("journey", 2, 1), ("refresh_race", 1, 0)]);
}

#[test]
fn sign_ins_are_those_of_people_once_and_without_the_attackers() {
    let login = |id: &str, user: &str, ip: &str, after_ms: i64, rest: &str| {
        let time_ms = START_MS + after_ms;
        format!(r#"{{"id":"{id}","time":{time_ms},"tenant":"t","user":"{user}","ip":"{ip}","kind":"login"{rest}}}"#)
    };
    let (success, failure) = (r#","outcome":"success""#, r#","outcome":"failure""#);
    let lines = [
        login("1", "victim", "198.51.100.1", 1, success),
        login("2", "victim", "198.51.100.1", 2, failure),
        login("2", "victim", "198.51.100.1", 2, failure),
        login("3", "victim", "192.0.2.9", 3, failure),
        login("4", "victim", "192.0.2.9", -1, failure),
        login("5", "u", "192.0.2.9", 5, success),
        login("6", "u", "198.51.100.1", 6, r#","outcome":"denied""#),
        login("7", "job", "198.51.100.1", 7, r#","outcome":"success","user_kind":"service""#),
        login("8", "u", "198.51.100.1", 8, success).replace("login", "logout"),
    ];
    let normaliser = Normaliser::new(&Config::default().normalise, &TokenKey([0; 32])).unwrap();
    let context = Context { default_id: &"none", tenant: None, window: None, reference_ms: START_MS };
    let mut events = EventBatch::default();
    for line in &lines {
        assert!(normaliser.normalise_into(Format::BARTIZAN, line.as_bytes(), &context, &mut events).unwrap(), "{line}");
    }
    events.hash_keys(&KeyHasher::new([0; 16]));
    let mut sign_ins = SignIns::default();
    sign_ins.see(&events);
    let mut cases = Cases::default();
    cases.add(&alert("1", Severity::Medium, users(&["u"])));
    cases.add(&alert("2", Severity::Low, users(&["u"])));
    // 1, 2, 4 (before the attack) and 5 (of somebody who was not attacked).
    let total = Report::of(vec![score(None, &[attack("a")], &cases, Some(&sign_ins))]).total;
    assert_eq!((total.sign_ins, total.false_rate, total.low_rate), (Some(4), Some(25_000.0), Some(25_000.0)));
}

#[test]
fn seeds_are_summed_up_and_the_worst_is_named() {
    let of = |seed: u64, alerts: &[&Alert]| {
        let mut cases = Cases::default();
        alerts.iter().for_each(|alert| cases.add(alert));
        score(Some(seed), &[attack("a")], &cases, None)
    };
    let (found, wrong) = (medium(&["victim"]), alert("2", Severity::Medium, users(&["u"])));
    let report = Report::of(vec![of(1, &[&found]), of(2, &[&found, &wrong]), of(3, &[&found])]);
    assert_eq!((report.worst_seed, report.total.attacks, report.total.found, report.total.false_alerts), (Some(2), 3, 3, 1));
    let report = Report::of(vec![of(1, &[&found, &wrong]), of(2, &[]), of(3, &[&found])]);
    assert_eq!((report.worst_seed, report.worst_kind()), (Some(2), Some(("stuffing/list", 2.0 / 3.0))));
    assert_eq!(report.seeds.iter().map(|line| line.seed).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    let text = report.to_string() + &report.list();
    for part in ["worst seed: 2", "stuffing/list", "missed: seed 2 a stuffing/list of t", "false, 1: seed 1 2 credential_stuffing medium"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(serde_json::to_value(&report).unwrap()["seeds"][1]["recall"], json!(0.0));
}

/// What seeds are judged with, as the command line does it.
pub(super) fn bench(config: Config) -> Workbench {
    let (enricher, problems) = crate::app::open_enricher(&config);
    assert!(problems.is_empty(), "this test needs the place files (`make test` fetches them): {problems:?}");
    let normaliser = Normaliser::new(&config.normalise, &TokenKey([0; 32])).unwrap();
    Workbench::new(config, normaliser, enricher)
}

/// The floor below which nothing goes unnoticed, on a seed that is small enough for each run of the tests.
#[test]
fn a_seed_is_found_with_few_false_alerts() {
    let bench = bench(Config::default());
    let simulated = SimulationConfig { seed: 42, events: 40_000, start_ms: START_MS, days: 5, attacks: attacks_looked_for() };
    let report = Report::of(vec![bench.score(simulated).unwrap()]);
    let list = report.list();
    assert!(report.total.attacks >= 15 && report.total.sign_ins > Some(1_000), "{report}");
    assert!(report.total.recall >= Some(0.9), "{report}{list}");
    assert!(report.total.false_alerts <= 1, "{report}{list}");
}

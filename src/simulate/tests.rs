//! What a simulation promises: the same bytes, near order, bounded memory, true labels, plausible lives.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;
use bartizan_core::time::{HOUR_MS, SECOND_MS, TimeMs};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};

const START_MS: i64 = 1_780_000_000_000;

fn config(seed: u64, events: u64) -> SimulationConfig {
    SimulationConfig { seed, events, start_ms: START_MS, days: SimulationConfig::days_for(events), attacks: Attack::ALL.to_vec() }
}

fn run(seed: u64, events: u64) -> (Vec<String>, Vec<Label>) {
    run_with(config(seed, events))
}

fn run_with(config: SimulationConfig) -> (Vec<String>, Vec<Label>) {
    let mut simulation = Simulation::new(config);
    let (mut lines, mut labels) = (Vec::new(), Vec::new());
    let mut line = String::new();
    while simulation.next_event(&mut line) {
        lines.push(std::mem::take(&mut line));
        labels.extend(simulation.take_labels());
    }
    labels.extend(simulation.finish());
    (lines, labels)
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn time_of(event: &Value) -> i64 {
    match &event["time"] {
        Value::String(text) => TimeMs::parse(text).unwrap().0,
        number => number.as_i64().unwrap(),
    }
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let (first, second, other) = (run(7, 40_000), run(7, 40_000), run(8, 40_000));
    assert!(first == second, "not the same bytes");
    assert!(first.0 != other.0, "the same bytes");
    assert_eq!(first.0.len(), 40_000);
}

#[test]
fn events_come_nearly_in_order_with_a_few_repeated() {
    // Enough for a clock that goes wrong.
    let events = parsed(&run(1, 60_000).0);
    let mut newest = i64::MIN;
    let mut disorder = 0;
    for event in &events {
        let time_ms = time_of(event);
        assert!(time_ms > newest.saturating_sub(120 * SECOND_MS), "too late");
        disorder += usize::from(time_ms < newest);
        newest = newest.max(time_ms);
    }
    assert!(disorder > 0 && disorder < events.len() / 5, "{disorder}");
    let unique: HashSet<_> = events.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert!(unique.len() < events.len() && unique.len() > events.len() - 600);
}

#[test]
fn the_days_are_filled() {
    for events in [3_000, 60_000] {
        let (lines, _) = run(3, events);
        let last = time_of(&serde_json::from_str(lines.last().unwrap()).unwrap());
        let share = (last - START_MS) as f64 / (f64::from(SimulationConfig::days_for(events)) * 86_400_000.0);
        assert!((0.8..1.25).contains(&share), "{events}: {share}");
    }
}

#[test]
fn what_waits_is_bounded_however_many_events_there_are() {
    let mut simulation = Simulation::new(config(5, 100_000));
    let mut line = String::new();
    let agenda_max = simulation.world.agenda_len();
    let mut waiting_max = 0;
    while simulation.next_event(&mut line) {
        line.clear();
        simulation.take_labels();
        waiting_max = waiting_max.max(simulation.world.stage.waiting());
        assert!(simulation.world.agenda_len() <= agenda_max + stage::NEWCOMERS_MAX);
    }
    assert!(waiting_max < 10_000, "{waiting_max}");
    let stage = &simulation.world.stage;
    assert!(stage.people.len() > stage.population && stage.people.len() <= stage.population + stage::NEWCOMERS_MAX);
}

#[test]
fn every_name_of_a_label_is_in_its_events() {
    let (lines, labels) = run(11, 60_000);
    let events = parsed(&lines);
    let mut by_name: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for event in &events {
        for member in ["user", "ip", "session"] {
            if let Some(name) = event[member].as_str() {
                by_name.entry((event["tenant"].as_str().unwrap(), name)).or_default().push(time_of(event));
            }
        }
    }
    assert!(!labels.is_empty());
    for label in &labels {
        assert!(label.events > 0 && label.start <= label.end);
        assert_eq!(label.attack.is_some(), !label.detectors.is_empty());
        let entities = &label.entities;
        // Who scans without an account names nobody.
        assert!(!entities.users.is_empty() || label.variant == "routes", "{}/{}", label.kind, label.variant);
        for name in entities.users.iter().chain(&entities.ips).chain(&entities.sessions) {
            let times = by_name.get(&(label.tenant.as_str(), name.as_str()));
            let inside = times.is_some_and(|times| times.iter().any(|t| (label.start.0..=label.end.0).contains(t)));
            assert!(inside, "{name} of {:?} {}", label.attack, label.kind);
        }
    }
}

/// What the labels of a simulation are about: kind and variant.
fn kinds(labels: &[Label]) -> BTreeSet<(&str, &str)> {
    labels.iter().map(|label| (label.kind.as_str(), label.variant.as_str())).collect()
}

#[test]
fn every_attack_and_every_life_happens() {
    let seeds = [12, 13];
    let labels: Vec<Label> = seeds.into_iter().flat_map(|seed| run(seed, 100_000).1).collect();
    let seen = kinds(&labels);
    let attacks = Attack::ALL.map(|attack| (attack.kind(), attack.variant()));
    let lives = lives::LIVES.map(|life| (life.kind, ""));
    let along = ["refresh_race", "lost_answer", "home_routed_roaming", "journey", "far_carrier_gateway", "vpn_server_change"];
    let expected = attacks.into_iter().chain(lives).chain(along.map(|kind| (kind, "")));
    let missing: Vec<_> = expected.filter(|kind| !seen.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for innocent in labels.iter().filter(|label| label.innocent.is_some()) {
        assert!(attacks.iter().all(|(kind, _)| *kind != innocent.kind), "{}", innocent.kind);
    }
}

#[test]
fn kinds_have_names_of_their_own_and_what_is_held_back_exists() {
    let attacks: BTreeSet<_> = Attack::ALL.iter().map(|attack| (attack.kind(), attack.variant())).collect();
    let lives: BTreeSet<_> = lives::LIVES.iter().map(|life| (life.kind, "")).collect();
    assert_eq!((attacks.len(), lives.len()), (Attack::ALL.len(), lives::LIVES.len()));
    assert_eq!(HELD_BACK.iter().filter(|kind| attacks.contains(kind)).count(), 5);
    assert_eq!(HELD_BACK.iter().filter(|kind| lives.contains(kind)).count(), 5);
}

#[test]
fn a_token_is_rotated_into_the_next_one() {
    let events = parsed(&run(2, 30_000).0);
    let mut issued: HashSet<String> = HashSet::new();
    let (mut refreshes, mut unknown) = (0, 0);
    for event in &events {
        if event["kind"] == "token_refresh" && event["outcome"] == "success" {
            refreshes += 1;
            unknown += usize::from(!issued.contains(event["token"].as_str().unwrap()));
            issued.insert(event["token_issued"].as_str().unwrap().to_owned());
        }
        if event["kind"] == "token_issue" && event["token"].is_string() {
            issued.insert(event["token"].as_str().unwrap().to_owned());
        }
    }
    // A late line may put a refresh before the issue of its token.
    assert!(refreshes > 500 && unknown * 50 < refreshes, "{unknown} of {refreshes}");
}

#[test]
fn innocents_travel_no_faster_than_aircraft() {
    let pace = first_pace(&config(4, 50_000), 200);
    let mut world = World::new(4, pace, 200, START_MS, DAY_MS);
    let mut stage = std::mem::replace(&mut world.stage, stage::Stage::new(0, pace));
    let mut seen = 0;
    for index in 0..stage.people.len() {
        let person = stage.people[index];
        let Some(trip) = people::plan_trip(&mut stage, &person, START_MS) else { continue };
        let km = stage.atlas.distance_km(person.town, trip.town);
        let hours = (trip.arrive_ms - trip.depart_ms) as f64 / HOUR_MS as f64;
        assert!(km / hours < 830.0, "{km} km in {hours} h");
        assert!(trip.depart_ms > START_MS && trip.leave_ms > trip.arrive_ms && trip.back_ms > trip.leave_ms);
        seen += 1;
    }
    assert!(seen > 150);
}

#[test]
fn a_demonstration_has_a_past_then_attacks_within_seconds_at_the_rate() {
    let mut demo = DemoTraffic::new(1, START_MS, 200);
    let text = |batch: Vec<u8>| String::from_utf8(batch).unwrap();
    let past = text(demo.next_batch(START_MS));
    let events: Vec<Value> = past.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!((8_000..=demo::WARM_UP_EVENTS_MAX).contains(&events.len()), "{}", events.len());
    assert!(events.iter().all(|e| time_of(e) <= START_MS && time_of(e) > START_MS - 11 * DAY_MS));
    assert!(START_MS - time_of(events.last().unwrap()) < 10 * 60 * SECOND_MS);
    let (mut live, mut now_ms) = (Vec::new(), START_MS);
    while now_ms < START_MS + 60 * SECOND_MS {
        now_ms += 250;
        let batch = text(demo.next_batch(now_ms));
        live.extend(batch.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()));
        assert!(live.iter().all(|e| time_of(e) <= now_ms));
    }
    let rate = live.len() as f64 / 60.0;
    assert!((120.0..300.0).contains(&rate), "{rate}");
    let early: Vec<&Value> = live.iter().filter(|e| time_of(e) < START_MS + 15 * SECOND_MS).collect();
    assert!(early.iter().filter(|e| e["reason"] == "unknown_user").count() > 30);
}

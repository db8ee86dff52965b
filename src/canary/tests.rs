//! The heart of it: what the canary sends is found by the detectors as they are by default.

use super::*;
use crate::app::own_formats;
use crate::detect::engine::{Engine, Outcome};
use crate::detect::{DetectConfig, DetectorTables, Enabled};
use crate::enrich::test_mmdb::{file, flat};
use crate::enrich::{Enricher, Folders, PlacesConfig};
use crate::flow::RawBatch;
use crate::normalise::{NormaliseConfig, Normaliser, TokenKey};
use crate::pipeline::prepare::Preparer;
use bartizan_core::KeyHasher;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

const START_MS: i64 = 1_790_000_000_000;
const FAR: [&str; 2] = ["130.149.7.20", "128.250.201.20"];

/// The way of a round from the log to the watch.
struct House {
    engine: Engine,
    preparer: Preparer,
    rounds: Rounds,
    watch: Watch,
    offset: i64,
    now_ms: i64,
    far: Option<Far>,
    _folder: tempfile::TempDir,
}

impl House {
    fn new(tables: &DetectorTables, with_places: bool) -> Self {
        let enabled = Enabled::new(bartizan_catalogue::all(), tables).unwrap();
        let normaliser = Arc::new(Normaliser::new(&NormaliseConfig::default(), &TokenKey([0; 32])).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let places = [
            ("130.149.0.0/16", flat("DE", "Berlin", "Berlin", (52.5, 13.4))),
            ("128.250.0.0/16", flat("AU", "VIC", "Melbourne", (-37.8, 145.0))),
        ];
        std::fs::write(folder.path().join("city.mmdb"), file(4, &places)).unwrap();
        let city = if with_places { vec!["city.mmdb".to_owned()] } else { Vec::new() };
        let config = PlacesConfig { city, networks: Vec::new(), ..PlacesConfig::default() };
        let (enricher, problems) = Enricher::open(config, Folders::only(vec![folder.path().to_owned()]));
        assert_eq!(problems, []);
        let config = DetectConfig::default();
        let ids = enabled.detectors.iter().map(|(spec, _)| spec.id).collect();
        Self {
            engine: Engine::new(&config, &enabled, KeyHasher::new([3; 16])),
            preparer: Preparer::new(normaliser, Arc::new(enricher), own_formats(), 90 * DAY_MS),
            rounds: Rounds::new(ids, config.lateness_ms, START_MS),
            watch: Watch::default(),
            offset: 0,
            now_ms: START_MS,
            far: with_places.then(|| FAR.map(|ip| ip.parse().unwrap())),
            _folder: folder,
        }
    }

    fn plain() -> Self {
        Self::new(&DetectorTables::new(), true)
    }

    /// Judges records as the topic holds them, a batch each so many.
    fn judge(&mut self, topic: &str, payloads: &[Vec<u8>], batch_records: usize) -> Vec<Outcome> {
        let partition = PartitionId::new(topic, 0);
        let mut outcomes = Vec::new();
        for payloads in payloads.chunks(batch_records) {
            let mut raw = RawBatch::default();
            (raw.order.first_seq, raw.order.arrival_ms) = (self.engine.next_seq(), self.now_ms);
            for payload in payloads {
                raw.push_run(&partition, self.offset, payload);
                self.offset += 1;
            }
            let mut flow = self.preparer.normalise(raw);
            self.preparer.enrich(&mut flow);
            let outcome = self.engine.process(&mut flow);
            assert!(flow.rejected.is_empty() && outcome.disabled.is_empty(), "{:?}", flow.rejected);
            self.watch.hear(&outcome.canary, &flow.events);
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Sends a round `after_ms` the one before.
    fn round(&mut self, after_ms: i64) -> (Round, Vec<Outcome>) {
        self.now_ms += after_ms;
        let round = self.rounds.next(self.now_ms, &self.watch.days(), self.far);
        self.watch.begin(&round);
        let payloads: Vec<_> = round.records().unwrap().into_iter().map(|record| record.payload).collect();
        let outcomes = self.judge(TOPIC, &payloads, 50);
        (round, outcomes)
    }
}

fn ids() -> BTreeSet<&'static str> {
    bartizan_catalogue::all().map(|spec| spec.id).collect()
}

const TAKES_LONGER: [&str; 3] = ["account_takeover", "password_spraying", "unusual_location"];

#[test]
fn each_attack_is_found_in_every_round_and_counts_nowhere() {
    let mut house = House::plain();
    for _ in 0..5 {
        let (round, outcomes) = house.round(HOUR_MS);
        let standing = house.watch.standing();
        assert_eq!(standing.silent, [""; 0]);
        assert_eq!(standing.judged_ms, Some(round.sent_ms));
        assert!(round.uncovered.is_empty());
        let at_once: BTreeSet<_> = ids().into_iter().filter(|id| !TAKES_LONGER.contains(id)).collect();
        assert!(at_once.is_subset(&standing.heard.iter().copied().collect()), "{standing:?}");
        for outcome in outcomes {
            assert!(outcome.alerts.is_empty() && outcome.held.is_empty() && outcome.findings.is_empty());
            assert_eq!((outcome.judged, outcome.late, outcome.repeated), (0, 0, 0));
        }
    }
    assert_eq!(house.engine.watermark_ms(), i64::MIN, "it moves no watermark");
    assert_eq!(house.engine.newest_ms().len(), 0);
}

#[test]
fn what_takes_hours_or_days_is_found_when_it_is_asked() {
    let mut house = House::plain();
    let mut asked = std::collections::BTreeMap::<&str, usize>::new();
    for hour in 0..6 * 24 {
        let (round, _) = house.round(HOUR_MS);
        let standing = house.watch.standing();
        assert_eq!(standing.silent, [""; 0], "hour {hour}");
        if hour < 2 {
            assert_eq!(standing.learning, TAKES_LONGER);
        }
        for detector in round.expected {
            *asked.entry(detector).or_default() += 1;
        }
    }
    assert_eq!(house.watch.standing().heard, ids().into_iter().collect::<Vec<_>>());
    assert!(asked["password_spraying"] > 20 && asked["unusual_location"] >= 2 && asked["account_takeover"] >= 2, "{asked:?}");
}

#[test]
fn without_place_files_the_rest_is_found_all_the_same() {
    let mut house = House::new(&DetectorTables::new(), false);
    for _ in 0..5 * 24 {
        house.round(HOUR_MS);
    }
    let standing = house.watch.standing();
    assert_eq!(standing.silent, [""; 0]);
    let uncovered: Vec<_> = standing.uncovered.iter().map(|(detector, _)| *detector).collect();
    assert_eq!(uncovered, ["impossible_travel", "unusual_location"]);
    assert_eq!(standing.heard.len() + 2, ids().len(), "{standing:?}");
}

#[test]
fn rounds_may_follow_each_other_quickly() {
    let mut house = House::plain();
    for _ in 0..30 {
        house.round(1_000);
        assert_eq!(house.watch.standing().silent, [""; 0]);
    }
}

fn deaf() -> DetectorTables {
    let table = |name: &str, value| [(name.to_owned(), value)].into();
    DetectorTables::from([
        ("token_reuse".to_owned(), table("enabled", json!(false))),
        ("brute_force".to_owned(), [("tries_min".to_owned(), json!(200)), ("slow_tries_min".to_owned(), json!(240))].into()),
    ])
}

#[test]
fn a_deaf_detector_is_named_until_it_is_heard_again_and_one_that_is_off_is_not_asked() {
    let mut house = House::new(&deaf(), true);
    let (round, _) = house.round(HOUR_MS);
    assert!(!round.expected.contains("token_reuse") && round.expected.contains("brute_force"));
    let told = house.watch.look(house.now_ms, false);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["brute_force"]);
    assert_eq!(house.watch.standing().silent, ["brute_force"]);
    // The same watch with detectors that hear.
    let hearing = House { watch: house.watch.clone(), now_ms: house.now_ms, ..House::plain() };
    let mut house = hearing;
    house.round(HOUR_MS);
    assert!(house.watch.look(house.now_ms, false).is_empty());
}

#[test]
fn a_round_that_does_not_come_back_is_told_unless_it_is_known_why() {
    let mut house = House::plain();
    let round = house.rounds.next(START_MS, &BTreeSet::new(), None);
    house.watch.begin(&round);
    let due_ms = START_MS + RETURN_MS;
    assert!(house.watch.look(due_ms - 1, false).is_empty() && !house.watch.is_free(due_ms - 1));
    assert!(house.watch.look(due_ms, true).is_empty(), "the store is down, say");
    let due_ms = due_ms + RETURN_MS;
    assert!(house.watch.look(due_ms - 1, false).is_empty());
    let told = house.watch.look(due_ms, false);
    assert_eq!(told.keys().collect::<Vec<_>>(), [""]);
    assert!(house.watch.is_free(due_ms));
    house.round(2 * RETURN_MS);
    assert!(house.watch.look(house.now_ms, false).is_empty());
    assert_eq!(house.watch.standing().missing_ms, None);
}

#[test]
fn a_round_of_another_process_is_no_news() {
    let mut house = House::plain();
    let round = house.rounds.next(START_MS, &BTreeSet::new(), None);
    house.now_ms = START_MS;
    let payloads: Vec<_> = round.records().unwrap().into_iter().map(|record| record.payload).collect();
    house.judge(TOPIC, &payloads, 1_000);
    assert_eq!(house.watch.standing(), Standing::default());
    assert!(house.watch.look(START_MS + DAY_MS, false).is_empty());
    let (round, _) = house.round(HOUR_MS);
    house.judge(TOPIC, &payloads, 1_000);
    assert_eq!(house.watch.standing().judged_ms, Some(round.sent_ms));
}

#[test]
fn late_people_are_judged_although_the_canary_comes_with_the_clock() {
    let mut house = House::plain();
    house.round(HOUR_MS);
    let event = json!({"time_ms": house.now_ms - 3 * HOUR_MS, "kind": "login", "outcome": "success", "user_kind": "human",
                       "attestation": "unknown", "texts": {"id": "1", "tenant": "acme", "user": "ann"}});
    let outcomes = house.judge("bartizan.ingest", &[serde_json::to_vec(&event).unwrap()], 1);
    assert_eq!((outcomes[0].judged, outcomes[0].late), (1, 0));
}

#[test]
fn with_too_little_lateness_nothing_is_covered() {
    let round = Rounds::new(vec!["brute_force"], LATENESS_MIN_MS - 1, START_MS).next(START_MS, &BTreeSet::new(), None);
    assert_eq!((round.events.len(), round.expected.len(), round.uncovered.len()), (1, 0, 1));
}

#[test]
fn a_reserved_tenant_is_taken_from_the_canarys_topic_alone_and_no_other_from_there() {
    let mut house = House::plain();
    let event = |tenant: &str| {
        let event = json!({"time_ms": START_MS, "kind": "login", "outcome": "success", "user_kind": "human",
                           "attestation": "unknown", "texts": {"id": "1", "tenant": tenant, "user": "ann"}});
        serde_json::to_vec(&event).unwrap()
    };
    let native = |tenant: &str| serde_json::to_vec(&json!({"time": START_MS, "kind": "login", "tenant": tenant, "user": "ann"})).unwrap();
    let cases = [
        ("bartizan.ingest", event("_canary"), true),
        ("bartizan.ingest", event("_canary-spraying-1"), true),
        ("bartizan.ingest", event("acme"), false),
        ("auth-logs", native("_canary"), true),
        ("auth-logs", native("canary"), false),
        (TOPIC, event("_canary"), false),
        (TOPIC, event("acme"), true),
        (TOPIC, event(""), true),
    ];
    for (topic, payload, is_rejected) in cases {
        let mut raw = RawBatch::default();
        raw.order.arrival_ms = START_MS;
        raw.push_run(&PartitionId::new(topic, 0), 0, &payload);
        let flow = house.preparer.normalise(raw);
        let codes: Vec<_> = flow.rejected.iter().map(|rejected| rejected.code).collect();
        let expected = if is_rejected { vec!["reserved_tenant"] } else { Vec::new() };
        assert_eq!(codes, expected, "{topic} {}", String::from_utf8_lossy(&payload));
    }
}

//! The engine's promise: the same order gives the same bytes, however it is cut and run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::engine::Engine;
use super::{DetectConfig, Enabled, checkpoint::Checkpoints};
use crate::alert::Alert;
use crate::flow::EventFlow;
use crate::normalise::{Context, Format, NormaliseConfig, Normaliser, TokenKey};
use crate::simulate::{Attack, Simulation, SimulationConfig};
use bartizan_core::{Detector, Event, EventBatch, EventDraft, Findings, Key, KeyHasher, Kind, Limits, LoadError, Parameters, Spec};
use std::sync::OnceLock;

const EVENTS: u64 = 20_000;

/// Simulated traffic with attacks of all kinds, as one batch.
fn traffic() -> &'static EventBatch {
    static TRAFFIC: OnceLock<EventBatch> = OnceLock::new();
    TRAFFIC.get_or_init(|| {
        let normaliser = Normaliser::new(&NormaliseConfig::default(), &TokenKey([0; 32])).unwrap();
        let start_ms = 1_780_272_000_000;
        let config = SimulationConfig { seed: 5, events: EVENTS, start_ms, days: 2, attacks: Attack::ALL.to_vec() };
        let mut simulation = Simulation::new(config);
        let (mut batch, mut line) = (EventBatch::default(), String::new());
        while simulation.next_event(&mut line) {
            let context = Context { default_id: &"1", tenant: None, window: None, reference_ms: start_ms };
            batch.push(&normaliser.normalise(Format::BARTIZAN, line.as_bytes(), &context).unwrap().unwrap());
            line.clear();
        }
        batch
    })
}

fn engine(threads: usize) -> Engine {
    let enabled = Enabled::new(bartizan_catalogue::all(), &super::DetectorTables::new()).unwrap();
    Engine::new(&DetectConfig { threads, ..DetectConfig::default() }, &enabled, KeyHasher::new([3; 16]))
}

/// Events `range` of the traffic in batches of `size`.
fn feed(engine: &mut Engine, range: std::ops::Range<usize>, size: usize, out: &mut Vec<Alert>) {
    let mut at = range.start;
    while at < range.end {
        let mut batch = EventBatch::default();
        for index in at..range.end.min(at + size) {
            batch.copy(&traffic().get(index).unwrap());
        }
        at += batch.len();
        let outcome = engine.process(&mut EventFlow::replayed(batch, engine.next_seq()));
        assert!(outcome.disabled.is_empty());
        out.extend(outcome.alerts);
    }
}

fn bytes(alerts: &[Alert]) -> String {
    alerts.iter().map(|alert| serde_json::to_string(alert).unwrap() + "\n").collect()
}

fn reference() -> &'static String {
    static REFERENCE: OnceLock<String> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let mut alerts = Vec::new();
        feed(&mut engine(1), 0..traffic().len(), 10_000, &mut alerts);
        bytes(&alerts)
    })
}

#[test]
fn threads_and_batch_sizes_do_not_change_a_byte() {
    assert!(reference().lines().count() > 10, "the traffic has attacks");
    for (threads, size) in [(1, 1), (2, 10_000), (4, 777), (16, 5_000)] {
        let mut alerts = Vec::new();
        feed(&mut engine(threads), 0..traffic().len(), size, &mut alerts);
        assert!(bytes(&alerts) == *reference(), "{threads} threads, batches of {size}");
    }
}

#[test]
fn a_checkpoint_midway_does_not_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path()).unwrap();
    for middle in [1, traffic().len() / 3, traffic().len() - 1] {
        let mut alerts = Vec::new();
        let mut first = engine(1);
        feed(&mut first, 0..middle, 1_000, &mut alerts);
        checkpoints.write(&first.snapshot().unwrap()).unwrap();
        let snapshot = checkpoints.newest_first().unwrap().next().unwrap().unwrap();
        let mut second = engine(2);
        assert!(second.restore(snapshot).unwrap().is_empty());
        feed(&mut second, middle..traffic().len(), 1_000, &mut alerts);
        assert!(bytes(&alerts) == *reference(), "cut at {middle}");
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
    }
}

#[test]
fn an_order_that_comes_again_after_a_restart_says_the_same_again() {
    let middle = traffic().len() / 2;
    let mut first = engine(1);
    let mut before = Vec::new();
    feed(&mut first, 0..middle, 1_000, &mut before);
    let snapshot = first.snapshot().unwrap();
    let (mut said, mut again) = (Vec::new(), Vec::new());
    feed(&mut first, middle..traffic().len(), 1_000, &mut said);
    let mut second = engine(1);
    second.restore(snapshot).unwrap();
    feed(&mut second, middle..traffic().len(), 313, &mut again);
    assert_eq!(said, again);
}

/// A detector that fails on its third event.
struct Brittle(u32);

impl Detector for Brittle {
    fn observe(&mut self, _key: Key, event: &Event<'_>, findings: &mut Findings) {
        self.0 += 1;
        assert!(self.0 < 3, "broken invariant");
        findings.push(bartizan_core::Finding::new(event, "user:ann".into(), bartizan_core::Severity::Low));
    }
    fn keys(&self) -> usize {
        0
    }
    fn evicted(&self) -> u64 {
        0
    }
    fn save(&self, _out: &mut Vec<u8>) {}
    fn load(&mut self, _bytes: &[u8]) -> Result<(), LoadError> {
        Ok(())
    }
}

static BRITTLE: Spec = Spec {
    id: "brittle",
    title: "Brittle",
    looks_for: "",
    blind_spots: "",
    innocent_causes: "",
    keys: &[bartizan_core::KeyKind::User],
    parameters: &[],
    attack: &[],
    quiet_gap_ms: 1,
    state_version: 1,
    build: |_: &Parameters, _: Limits| Box::new(Brittle(0)),
};

#[test]
fn a_detector_that_fails_is_switched_off_and_the_others_go_on() {
    let mut enabled = Enabled::new(bartizan_catalogue::all(), &super::DetectorTables::new()).unwrap();
    enabled.detectors.insert(0, (&BRITTLE, Parameters::defaults(&[])));
    let mut engine = Engine::new(&DetectConfig::default(), &enabled, KeyHasher::new([3; 16]));
    let mut batch = EventBatch::default();
    for index in 0..5 {
        let mut draft = EventDraft { time_ms: 1_000 + index, kind: Kind::Login, ..EventDraft::default() };
        draft.texts.set(bartizan_core::batch::Field::Tenant, "acme");
        draft.texts.set(bartizan_core::batch::Field::User, "ann");
        draft.texts.set(bartizan_core::batch::Field::Id, format!("e{index}"));
        batch.push(&draft);
    }
    let outcome = engine.process(&mut EventFlow::replayed(batch, 0));
    assert_eq!((outcome.disabled, outcome.judged, outcome.findings["brittle"]), (vec!["brittle"], 5, 2));
    let mut rest = Vec::new();
    feed(&mut engine, 0..traffic().len(), 10_000, &mut rest);
    let closed = |alert: &Alert| alert.detector == "brittle" && !alert.ongoing;
    assert!(rest.iter().all(|alert| alert.detector != "brittle" || closed(alert)), "its open episode closes, no more");
    assert!(rest.iter().any(|alert| alert.detector != "brittle"));
}

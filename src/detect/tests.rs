//! The engine's promise: the same order gives the same bytes, however it is cut and run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::checkpoint::{Checkpoints, Parts};
use super::engine::Engine;
use super::{DetectConfig, Enabled};
use crate::alert::Alert;
use crate::flow::EventFlow;
use crate::normalise::{Context, Format, NormaliseConfig, Normaliser, TokenKey};
use crate::simulate::{Attack, Simulation, SimulationConfig};
use bartizan_core::{Budget, Detector, Event, EventBatch, EventDraft, Findings, Key, KeyHasher, Kind, Parameters, Spec, State};
use std::sync::Arc;
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

/// Writes a checkpoint of `engine` in small parts, with `between` after each, and loads it.
fn through_checkpoint(engine: &mut Engine, threads: usize, mut between: impl FnMut(&mut Engine)) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path()).unwrap();
    let mut writing = checkpoints.begin(engine.next_seq()).unwrap();
    let mut parts = Parts::default();
    engine.begin_checkpoint(&mut parts).unwrap();
    loop {
        between(engine);
        let done = engine.save_some(5_000, &mut parts).unwrap();
        writing.write(&parts).unwrap();
        parts = Parts::default();
        if done {
            break;
        }
    }
    writing.finish().unwrap();
    let mut loaded = super::tests::engine(threads);
    let saved = checkpoints.newest_first().unwrap().next().unwrap().unwrap();
    assert!(loaded.restore(saved).unwrap().is_empty());
    loaded
}

#[test]
fn a_checkpoint_midway_does_not_change_a_byte() {
    for middle in [1, traffic().len() / 3, traffic().len() - 1] {
        let mut alerts = Vec::new();
        let mut first = engine(1);
        feed(&mut first, 0..middle, 1_000, &mut alerts);
        let mut second = through_checkpoint(&mut first, 2, |_| {});
        feed(&mut second, middle..traffic().len(), 1_000, &mut alerts);
        assert!(bytes(&alerts) == *reference(), "cut at {middle}");
    }
}

#[test]
fn a_checkpoint_is_of_its_moment_though_events_go_on_while_it_is_taken() {
    let middle = traffic().len() / 2;
    let mut first = engine(1);
    let (mut before, mut said, mut again) = (Vec::new(), Vec::new(), Vec::new());
    feed(&mut first, 0..middle, 1_000, &mut before);
    let mut at = middle;
    let mut second = through_checkpoint(&mut first, 1, |engine| {
        let next = traffic().len().min(at + 40);
        feed(engine, at..next, 17, &mut said);
        at = next;
    });
    assert!(at > middle + 1_000, "it took a while");
    assert_eq!(second.next_seq(), middle as u64);
    feed(&mut first, at..traffic().len(), 1_000, &mut said);
    feed(&mut second, middle..traffic().len(), 313, &mut again);
    assert_eq!(said, again);
}

#[test]
fn a_checkpoint_that_is_given_up_does_not_spoil_the_next() {
    let middle = traffic().len() / 2;
    let mut first = engine(1);
    let (mut before, mut said, mut again) = (Vec::new(), Vec::new(), Vec::new());
    feed(&mut first, 0..middle, 1_000, &mut before);
    let mut parts = Parts::default();
    first.begin_checkpoint(&mut parts).unwrap();
    assert!(!first.save_some(100_000, &mut parts).unwrap());
    feed(&mut first, middle..middle + 100, 100, &mut before);
    let mut second = through_checkpoint(&mut first, 1, |_| {});
    feed(&mut first, middle + 100..traffic().len(), 1_000, &mut said);
    feed(&mut second, middle + 100..traffic().len(), 313, &mut again);
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
    fn each_state(&mut self, _visit: &mut dyn FnMut(&mut dyn State)) {}
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
    build: |_: &Parameters, _: &Arc<Budget>| Box::new(Brittle(0)),
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

//! The engine's promise: the same order gives the same bytes, however it is cut and run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::checkpoint::{Checkpoints, Parts};
use super::engine::Engine;
use super::{DetectConfig, Enabled};
use crate::alert::Alert;
use crate::flow::{EventFlow, PartitionId};
use crate::normalise::{Context, Format, NormaliseConfig, Normaliser, TokenKey};
use crate::simulate::{Attack, Simulation, SimulationConfig};
use bartizan_core::{Budget, Detector, Event, EventBatch, EventDraft, Findings, Key, KeyHasher, Kind, Parameters, Spec, State};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

const EVENTS: u64 = 20_000;

/// Simulated traffic with attacks of all kinds, as one batch.
fn traffic() -> &'static EventBatch {
    static TRAFFIC: OnceLock<EventBatch> = OnceLock::new();
    TRAFFIC.get_or_init(|| {
        let normaliser = Normaliser::new(&NormaliseConfig::default(), &TokenKey([0; 32])).unwrap();
        let start_ms = 1_780_272_000_000;
        let config = SimulationConfig { seed: 6, events: EVENTS, start_ms, days: 2, attacks: Attack::ALL.to_vec() };
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

pub(super) fn engine(threads: usize) -> Engine {
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
pub(super) fn through_checkpoint(engine: &mut Engine, threads: usize, between: impl FnMut(&mut Engine)) -> Engine {
    checkpointed(engine, super::tests::engine(threads), between)
}

/// The same, loaded into a fresh engine of any sort.
fn checkpointed(engine: &mut Engine, mut loaded: Engine, mut between: impl FnMut(&mut Engine)) -> Engine {
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
    yields: false,
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

/// A detector whose slices tell each other by a common part how often a user was seen, and find each who was seen often.
struct Counting(bartizan_core::KeyedState<Count>);

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Count(u32);

impl bartizan_core::state::Retained for Count {
    fn expires_ms(&self) -> i64 {
        i64::MAX
    }
    fn worth(&self) -> u8 {
        1
    }
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// How often all users of a tenant were seen, and which one last.
struct Counted(bartizan_core::KeyedState<Count>);

impl bartizan_core::Common for Counted {
    fn apply(&mut self, report: &bartizan_core::Report, watermark_ms: i64) {
        let [add, ..] = report.values;
        let mut count = self.0.entry(report.key, watermark_ms, || Count(0));
        // The order matters.
        count.0 = count.0.wrapping_mul(31).wrapping_add(add);
        assert!(report.what == 0, "broken invariant");
    }
    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.0);
    }
}

impl Counted {
    fn of(&self, event: &Event<'_>) -> u32 {
        let tenant = event.key(bartizan_core::KeyKind::Tenant).map_or(0, |key| key.hash);
        self.0.get(tenant, event.watermark_ms()).map_or(0, |count| count.0)
    }
}

impl Detector for Counting {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let mut count = self.0.entry(key.hash, event.watermark_ms(), || Count(0));
        count.0 += 1;
        let counted: &Counted = event.common().unwrap();
        let tenant = event.key(bartizan_core::KeyKind::Tenant).map_or(0, |key| key.hash);
        findings.report(bartizan_core::Report { key: tenant, what: 0, values: [key.hash as u32 ^ count.0, 0, 0, 0] });
        if event.user() == Some("nobody") {
            findings.report(bartizan_core::Report { key: tenant, what: 1, values: [0; 4] });
        }
        if count.0.is_multiple_of(16) {
            let mut finding = bartizan_core::Finding::new(event, "user:all".into(), bartizan_core::Severity::Low);
            finding.note("counted", counted.of(event));
            findings.push(finding);
        }
    }
    fn common(&self, budget: &Arc<Budget>) -> Option<Box<dyn bartizan_core::Common>> {
        Some(Box::new(Counted(bartizan_core::KeyedState::new(budget))))
    }
    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.0);
    }
}

static COUNTING: Spec = Spec {
    id: "counting",
    build: |_: &Parameters, budget: &Arc<Budget>| Box::new(Counting(bartizan_core::KeyedState::new(budget))),
    ..BRITTLE
};

fn counting(threads: usize) -> Engine {
    let enabled = Enabled { detectors: vec![(&COUNTING, Parameters::defaults(&[])), (&BRITTLE_COUNT, Parameters::defaults(&[]))] };
    Engine::new(&DetectConfig { threads, ..DetectConfig::default() }, &enabled, KeyHasher::new([3; 16]))
}

/// The same without a common part and in the way, so that numbers of detectors matter.
static BRITTLE_COUNT: Spec = Spec { id: "other", keys: &[], ..BRITTLE };

#[test]
fn what_slices_tell_each_other_does_not_depend_on_threads_batches_or_checkpoints() {
    let mut expected = Vec::new();
    feed(&mut counting(1), 0..traffic().len(), traffic().len(), &mut expected);
    assert!(expected.iter().any(|alert| serde_json::to_string(alert).unwrap().contains("\"counted\":")), "something is told");
    let expected = bytes(&expected);
    assert!(expected.matches("\"counted\":").count() > expected.matches("\"counted\":0").count(), "from earlier epochs");
    for (threads, size) in [(1, 1), (2, 10_000), (8, 777), (64, 5_000)] {
        let mut alerts = Vec::new();
        feed(&mut counting(threads), 0..traffic().len(), size, &mut alerts);
        assert!(bytes(&alerts) == expected, "{threads} threads, batches of {size}");
    }
    for middle in [1, 4_097, traffic().len() / 2] {
        let mut alerts = Vec::new();
        let mut first = counting(1);
        feed(&mut first, 0..middle, 1_000, &mut alerts);
        let (mut at, mut said) = (middle, Vec::new());
        let mut second = checkpointed(&mut first, counting(2), |engine| {
            let next = traffic().len().min(at + 40);
            feed(engine, at..next, 17, &mut said);
            at = next;
        });
        feed(&mut second, middle..traffic().len(), 1_000, &mut alerts);
        assert!(bytes(&alerts) == expected, "cut at {middle}");
    }
}

#[test]
fn a_common_part_that_fails_switches_its_detector_off() {
    let mut engine = counting(1);
    let mut disabled = Vec::new();
    for index in 0..3 {
        let mut batch = EventBatch::default();
        let mut draft = EventDraft { time_ms: 1_000_000_000 + index * 60_000, kind: Kind::Login, ..EventDraft::default() };
        draft.texts.set(bartizan_core::batch::Field::Tenant, "acme");
        draft.texts.set(bartizan_core::batch::Field::User, "nobody");
        draft.texts.set(bartizan_core::batch::Field::Id, format!("e{index}"));
        batch.push(&draft);
        disabled.extend(engine.process(&mut EventFlow::replayed(batch, engine.next_seq())).disabled);
    }
    assert_eq!(disabled, ["counting"]);
}

/// Alerts about the traffic with these detectors of places alone (and `BRITTLE_JUDGE` before them), and the bytes of
/// what is known of people.
fn with_places(ids: &[&str], brittle: bool) -> (Vec<Alert>, usize) {
    let specs = bartizan_catalogue::all().filter(|spec| ids.contains(&spec.id));
    let mut enabled = Enabled::new(specs, &super::DetectorTables::new()).unwrap();
    if brittle {
        enabled.detectors.insert(0, (&BRITTLE_JUDGE, Parameters::defaults(&[])));
    }
    let mut engine = Engine::new(&DetectConfig::default(), &enabled, KeyHasher::new([3; 16]));
    let (mut alerts, mut disabled) = (Vec::new(), Vec::new());
    let mut batch = EventBatch::default();
    (0..traffic().len()).for_each(|index| _ = batch.copy(&traffic().get(index).unwrap()));
    let outcome = engine.process(&mut EventFlow::replayed(batch, 0));
    alerts.extend(outcome.alerts);
    disabled.extend(outcome.disabled);
    assert_eq!(disabled, if brittle { vec!["brittle"] } else { vec![] });
    let people = engine.state_keys().into_iter().find(|(id, ..)| *id == bartizan_core::people::ID);
    (alerts, people.map_or(0, |(_, keys, _)| keys))
}

#[test]
fn detectors_of_people_share_what_is_known_and_each_finds_its_own_alone() {
    let of = |alerts: &[Alert], id: &str| alerts.iter().filter(|alert| alert.detector == id).count();
    let (both, people) = with_places(&["impossible_travel", "unusual_location"], false);
    assert!(people > 0, "known once, by whatever number of detectors");
    for id in ["impossible_travel", "unusual_location"] {
        let (alone, known) = with_places(&[id], false);
        assert_eq!((of(&alone, id), known), (of(&both, id), people), "{id}");
    }
    assert_eq!(with_places(&["credential_stuffing"], false).1, 0, "nobody goes by people");
    let (others, known) = with_places(&["impossible_travel", "unusual_location"], true);
    assert_eq!((bytes(&others), known), (bytes(&both), people), "one that fails takes nothing with it");
}

/// A detector that fails on its third sign-in, with doubts about all.
struct BrittleJudge(u32);

impl Detector for BrittleJudge {
    fn observe(&mut self, _key: Key, event: &Event<'_>, findings: &mut Findings) {
        assert!(event.person().is_some(), "it goes by people");
        self.0 += 1;
        findings.doubt(bartizan_core::Trust::Stranger);
        assert!(self.0 < 3, "broken invariant");
    }
    fn looks_at(&self, _: bartizan_core::KeyKind, event: Kind) -> bool {
        event == Kind::Login
    }
    fn goes_by_people(&self) -> bool {
        true
    }
    fn each_state(&mut self, _visit: &mut dyn FnMut(&mut dyn State)) {}
}

static BRITTLE_JUDGE: Spec = Spec { build: |_: &Parameters, _: &Arc<Budget>| Box::new(BrittleJudge(0)), ..BRITTLE };

/// The traffic as it comes from `PARTITIONS` partitions, each in its own order, that run up to `SKEW_MS` of
/// event time apart; another interleaving for each seed. Users stay in their partition.
fn interleaved(seed: u64) -> Vec<(usize, usize)> {
    const PARTITIONS: usize = 4;
    const SKEW_MS: i64 = 240_000;
    let partition_of = |index: usize| {
        let user = traffic().get(index).unwrap().user().unwrap_or_default().to_owned();
        user.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % PARTITIONS
    };
    let mut queues = vec![std::collections::VecDeque::new(); PARTITIONS];
    (0..traffic().len()).for_each(|index| queues[partition_of(index)].push_back(index));
    let mut dice = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(seed);
    let mut order = Vec::new();
    loop {
        let head_ms = |queue: &std::collections::VecDeque<usize>| queue.front().map(|index| traffic().get(*index).unwrap().time_ms());
        let Some(oldest_ms) = queues.iter().filter_map(head_ms).min() else { return order };
        let ready: Vec<usize> = (0..PARTITIONS).filter(|p| head_ms(&queues[*p]).is_some_and(|ms| ms <= oldest_ms + SKEW_MS)).collect();
        let partition = ready[rand::RngExt::random_range(&mut dice, 0..ready.len())];
        for _ in 0..rand::RngExt::random_range(&mut dice, 1..60) {
            match head_ms(&queues[partition]).filter(|ms| *ms <= oldest_ms + SKEW_MS).and_then(|_| queues[partition].pop_front()) {
                Some(index) => order.push((partition, index)),
                None => break,
            }
        }
    }
}

/// What was found, by tenant, detector and key: the episodes, and the highest severity of any.
type Verdicts = std::collections::BTreeMap<(String, String, String), (Vec<(i64, i64)>, bartizan_core::Severity)>;

fn verdicts(order: &[(usize, usize)]) -> Verdicts {
    let mut engine = engine(1);
    let mut alerts = Vec::new();
    let partitions: Vec<_> = (0..4).map(|number| PartitionId::new("auth-logs", number)).collect();
    for (number, chunk) in order.chunks(500).enumerate() {
        let mut batch = crate::flow::RawBatch::default();
        let mut events = EventBatch::default();
        batch.order.first_seq = engine.next_seq();
        if number == 0 {
            batch.order.assigned.clone_from(&partitions);
        }
        for (partition, index) in chunk {
            let event = traffic().get(*index).unwrap();
            batch.push_run(&partitions[*partition], *index as i64, b"");
            let seq = engine.next_seq() + events.len() as u64;
            let record = events.copy(&event);
            (record.seq, record.arrival_ms) = (seq, event.time_ms());
        }
        let events_by_run = batch.order.runs.iter().map(|run| run.records).collect();
        let offsets = chunk.iter().map(|(_, index)| *index as i64).collect();
        let mut flow = EventFlow { order: batch.order, events, events_by_run, offsets, ..EventFlow::default() };
        let outcome = engine.process(&mut flow);
        assert_eq!(outcome.late, 0, "the partitions are within the lateness of each other");
        alerts.extend(outcome.alerts);
    }
    let mut verdicts = Verdicts::new();
    let newest: std::collections::BTreeMap<_, _> = alerts.iter().map(|alert| (alert.id.clone(), alert)).collect();
    for alert in newest.into_values() {
        let found = verdicts.entry((alert.tenant.clone(), alert.detector.clone(), alert.key.clone()));
        let (episodes, severity) = found.or_insert_with(|| (Vec::new(), alert.severity));
        episodes.push((alert.first_event_time.0, alert.last_event_time.0));
        *severity = alert.severity.max(*severity);
    }
    verdicts
}

/// Detectors that count over many users: an attack that just reaches a limit reaches it in one order of its tries and
/// stays a try below it in another. Such a verdict may differ now and then; all others never.
const COUNT_OVER_MANY: [&str; 2] = ["credential_stuffing", "password_spraying"];

#[test]
fn another_interleaving_of_the_partitions_comes_to_the_same_verdicts() {
    const INTERLEAVINGS: u64 = 100;
    let in_time: Vec<_> = interleaved(0);
    let expected = verdicts(&in_time);
    assert!(expected.len() > 10);
    let mut at_a_limit = 0;
    for seed in 1..=INTERLEAVINGS {
        let found = verdicts(&interleaved(seed));
        let keys = |verdicts: &Verdicts| verdicts.iter().map(|(key, (_, severity))| (key.clone(), *severity)).collect::<BTreeSet<_>>();
        let (found_keys, expected_keys) = (keys(&found), keys(&expected));
        let differing: Vec<_> = found_keys.symmetric_difference(&expected_keys).collect();
        let is_at_a_limit = |((_, detector, _), _): &&((String, String, String), _)| COUNT_OVER_MANY.contains(&detector.as_str());
        assert!(differing.iter().all(is_at_a_limit) && differing.len() <= 2, "interleaving {seed}: {differing:?}");
        at_a_limit += u64::from(!differing.is_empty());
        for (key, (episodes, _)) in found.iter().filter(|(key, _)| expected.contains_key(*key)) {
            let overlaps = |(first, last): &(i64, i64)| expected[key].0.iter().any(|(from, to)| first <= to && last >= from);
            assert!(episodes.iter().all(overlaps), "interleaving {seed}, {key:?}: {episodes:?} against {:?}", expected[key].0);
        }
    }
    assert!(at_a_limit <= INTERLEAVINGS / 5, "{at_a_limit} of {INTERLEAVINGS} interleavings differ at a limit");
}

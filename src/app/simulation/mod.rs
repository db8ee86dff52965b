//! A seeded simulation of the whole daemon, in one thread and virtual time.
//!
//! The code that runs is the daemon's own: sequencer, stages, engine, checkpoints, recorded order,
//! journal, outbox and deliverers, wired as the daemon wires them. Fakes stand at its edges alone: the
//! partitions of a log, the store, topics, receivers, the clock. Around it everything goes wrong that a
//! seed holds: records come twice, late, broken and out of order; requests are slow, fail before their
//! effect, half-way or after it; edges are away; partitions are lost and come back; the wall clock
//! jumps; the process dies at any step or between two, or is told to stop; checkpoints are damaged. After
//! a last life in peace, everything must hold that `checks` lists. The same seed takes the same steps.
//!
//! ```text
//! cargo test --lib simulation                    a few hundred seeds, and the list of deliberate faults
//! SIM_SEED=17 cargo test --lib simulation::one   that seed alone, telling each step
//! SOAK_SEEDS=10000 make soak                     as many as you like
//! ```
//!
//! A seed that fails is a bug: once it is mended, the seed goes into [`REGRESSIONS`]. A deliberate fault
//! is added in `src/sabotage.rs`; the test here demands that some seed notices it.
//!
//! Not simulated: the wire to Kafka, ClickHouse, SMTP and webhooks, and SQLite, which is real. The
//! integration tests in `tests/` have those.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod checks;
mod edges;
mod life;
mod plan;
mod traffic;
mod world;

use crate::config::Config;
use crate::db::Db;
use crate::detect::disk;
use crate::flow::PartitionId;
use crate::sabotage::{Fault, SwitchedOn};
use life::{House, TOPIC};
use plan::{Edge, Ending, Plan};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Record, Step, World};

/// Seeds that once failed.
const REGRESSIONS: &[u64] = &[443, 6608];
/// Seeds that a run of the tests takes.
const SEEDS: u64 = 200;
/// Seeds within which each deliberate fault must be noticed.
const FAULT_SEEDS: u64 = 150;

/// What a run came to.
#[derive(Debug)]
struct Report {
    violations: Vec<String>,
    /// Fingerprint of all steps.
    trace: u64,
    alerts: usize,
    lives: usize,
}

/// Runs a seed, with a fault if there is one.
fn run(seed: u64, fault: Option<Fault>, told: bool) -> Report {
    let plan = Plan::new(seed);
    let lines = traffic::lines(&plan);
    let log = if plan.partitions == 0 { BTreeMap::new() } else { in_partitions(&plan, &lines) };
    let folder = tempfile::Builder::new().prefix("simulated").tempdir_in(memory()).unwrap();
    let world = World::new(plan.clone(), log, told);
    let db = Db::in_memory().unwrap();
    db.fact("state_key", || checks::STATE_KEY.to_vec()).unwrap();
    let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
    config.detect.lateness_ms = traffic::LATENESS_MS;
    config.detect.checkpoint_interval_ms = plan.checkpoint_interval_ms;
    config.journal.bytes_max = plan.journal_bytes_max;
    let journal = (plan.partitions == 0).then(journal_in_memory);
    // Keeps the journal while no daemon lives.
    let _keeper = journal.as_ref().map(|path| rusqlite::Connection::open(path).unwrap());
    let refusing = std::sync::Arc::clone(&world);
    db.before_commit(move || {
        let step = refusing.step(|| "commit".to_owned());
        let mut state = refusing.lock();
        let trouble = state.trouble();
        step == Step::Dead || (step == Step::Done && (state.is_out(Edge::Database) || state.dice.chance(trouble)))
    })
    .unwrap();
    let asked = std::sync::Arc::clone(&world);
    disk::watch(move |call, path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let step = asked.step(|| format!("{call} {name}"));
        let mut state = asked.lock();
        let trouble = state.trouble() / 4.0;
        let done = step == Step::Last || (step == Step::Done && !state.dice.chance(trouble));
        match call {
            "rename" => state.named = name,
            "sync names" if done => state.generation_is_durable(),
            _ => {}
        }
        done
    });
    let house = House { world, config, db, lines, journal };
    let mut report = {
        let _on = SwitchedOn::new(fault);
        live_through(&house, &plan)
    };
    if report.violations.is_empty() {
        report.violations = checks::violations(&house);
        report.alerts = checks::reference(&house, &house.world.lock()).len();
    }
    report.trace = house.world.trace();
    report
}

fn live_through(house: &House, plan: &Plan) -> Report {
    let mut report = Report { violations: Vec::new(), trace: 0, alerts: 0, lives: 0 };
    for ending in &plan.endings {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let lived = runtime.block_on(async {
            let lived = house.live(*ending).await;
            let pause_ms = house.world.lock().dice.between(0, 10_000);
            house.world.end(pause_ms);
            lived
        });
        drop(runtime);
        report.lives += 1;
        report.violations.append(&mut house.world.lock().violations);
        report.violations.extend(lived.err());
        if !report.violations.is_empty() {
            return report;
        }
        if matches!(ending, Ending::Dies(_) | Ending::DiesAt(_)) {
            damage(house, plan);
        }
    }
    report
}

/// What a death does to the disk.
fn damage(house: &House, plan: &Plan) {
    let at_risk = disk::at_risk();
    if plan.power_cuts {
        for (path, durable) in at_risk {
            let mut state = house.world.lock();
            if !durable.name && state.dice.chance(0.7) {
                // It may be gone already.
                std::fs::remove_file(&path).ok();
            } else if !durable.bytes
                && let Ok(file) = std::fs::File::options().write(true).open(&path)
            {
                let kept = state.dice.index(file.metadata().unwrap().len() as usize + 1);
                file.set_len(kept as u64).unwrap();
            }
            state.note(|| format!("power cut: {durable:?}"));
        }
    }
    // It may have died before there was a folder.
    let mut newest: Vec<_> =
        std::fs::read_dir(house.checkpoints()).map_or(Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect());
    newest.retain(|path| path.extension().is_some_and(|extension| extension == "checkpoint"));
    newest.sort();
    let mut state = house.world.lock();
    // The daemon promises to outlive the newest of two.
    if state.generations.len() > 1
        && state.dice.chance(plan.damage)
        && let Some(newest) = newest.pop()
    {
        state.generations.pop();
        let mut bytes = std::fs::read(&newest).unwrap();
        let at = state.dice.index(bytes.len());
        bytes[at] ^= 1;
        std::fs::write(&newest, bytes).unwrap();
        state.note(|| "the newest checkpoint is damaged".to_owned());
    }
}

/// The lines as records of partitions, with gaps as a compacted or transactional topic has.
fn in_partitions(plan: &Plan, lines: &[traffic::Line]) -> BTreeMap<PartitionId, Vec<Record>> {
    let mut dice = crate::simulate::dice::Dice::new(plan.seed ^ 0x106);
    let mut log: BTreeMap<_, Vec<Record>> = (0..plan.partitions).map(|number| (PartitionId::new(TOPIC, number), Vec::new())).collect();
    for line in lines {
        let records = log.get_mut(&PartitionId::new(TOPIC, line.partition)).unwrap();
        let gap = if dice.chance(0.02) { dice.between(1, 5) } else { 0 };
        let (offset, at_ms) = records.last().map_or((0, 0), |last| (last.offset + 1, last.at_ms));
        let at_ms = at_ms.max(line.at_ms);
        records.push(Record { offset: offset + gap, at_ms, timestamp_ms: line.timestamp_ms, text: line.text.clone() });
    }
    log
}

/// A folder in memory, where there is one: a simulation needs no disk that is real.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn journal_in_memory() -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("file:simulated-{number}?mode=memory&cache=shared"))
}

/// Runs a seed; a panic is a violation like others.
fn tried(seed: u64, fault: Option<Fault>) -> Report {
    let run = catch_unwind(AssertUnwindSafe(|| run(seed, fault, false)));
    run.unwrap_or_else(|_| Report { violations: vec!["a panic".to_owned()], trace: 0, alerts: 0, lives: 0 })
}

/// Runs the seeds on all cores; what fails, and alerts and lives in all.
fn run_all(seeds: impl Iterator<Item = u64>) -> (Vec<(u64, Vec<String>)>, usize, usize) {
    let seeds: Vec<_> = seeds.collect();
    let next = AtomicU64::new(0);
    let (mut failed, mut alerts, mut lives) = (Vec::new(), 0, 0);
    std::thread::scope(|scope| {
        let work = || {
            let mut reports = Vec::new();
            while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                reports.push((*seed, tried(*seed, None)));
            }
            reports
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let handles: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for (seed, report) in handles.into_iter().flat_map(|handle| handle.join().unwrap()) {
            (alerts, lives) = (alerts + report.alerts, lives + report.lives);
            if !report.violations.is_empty() {
                failed.push((seed, report.violations));
            }
        }
    });
    failed.sort();
    (failed, alerts, lives)
}

fn hold(seeds: impl Iterator<Item = u64>) {
    let (failed, alerts, lives) = run_all(seeds);
    for (seed, violations) in failed.iter().take(20) {
        eprintln!("seed {seed}: {}", violations.iter().take(5).cloned().collect::<Vec<_>>().join("\n    "));
    }
    let seeds: Vec<_> = failed.iter().map(|(seed, _)| seed).collect();
    assert!(failed.is_empty(), "{} seeds failed, run one alone with SIM_SEED: {seeds:?}", failed.len());
    eprintln!("{lives} lives, {alerts} versions of alerts");
    assert!(alerts > 0 && lives > 0);
}

#[test]
fn seeds_hold() {
    hold((0..SEEDS).chain(REGRESSIONS.iter().copied()));
}

#[test]
#[ignore = "as long as SOAK_SEEDS says: make soak"]
fn soak() {
    let seeds = std::env::var("SOAK_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000);
    hold(0..seeds);
}

#[test]
#[ignore = "runs the seed that SIM_SEED names"]
fn one() {
    let seed = std::env::var("SIM_SEED").unwrap().parse().unwrap();
    let named = |name: String| Fault::ALL.iter().find(|(fault, _)| format!("{fault:?}") == name).unwrap().0;
    let fault = std::env::var("SIM_FAULT").ok().map(named);
    println!("{:#?}", Plan::new(seed));
    let report = run(seed, fault, true);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[test]
fn a_seed_takes_the_same_steps_each_time() {
    for seed in 0..12 {
        assert_eq!(tried(seed, None).trace, tried(seed, None).trace, "seed {seed}");
    }
}

#[test]
fn each_deliberate_fault_is_noticed() {
    let next = AtomicU64::new(0);
    let mut missed = Vec::new();
    std::thread::scope(|scope| {
        let work = || {
            let mut missed = Vec::new();
            while let Some((fault, hint)) = Fault::ALL.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                let noticed = std::iter::once(*hint)
                    .chain(0..FAULT_SEEDS)
                    .find_map(|seed| Some((seed, tried(seed, Some(*fault)).violations.first()?.clone())));
                match &noticed {
                    Some((seed, violation)) => eprintln!("{fault:?}: seed {seed}: {}", violation.lines().next().unwrap_or_default()),
                    None => {
                        eprintln!("{fault:?}: not noticed");
                        missed.push(*fault);
                    }
                }
            }
            missed
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let handles: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        missed.extend(handles.into_iter().flat_map(|handle| handle.join().unwrap()));
    });
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}

//! `make bench`: what each stage of the hot path costs, beside the roofline of the same run.
//!
//! Figures are processor time, medians of several rounds that take turns, so that the ratios mean
//! something on any machine and on a busy one. The roofline is a hand-written loop over the same file
//! (see `reference`). Whole `replay` is the built binary, less its start-up (an empty file).
//!
//! Environment: `BENCH_EVENTS` (default 400,000), `BENCH_ROUNDS` (5), `BENCH_SEED` (1), `BENCH_USERS` (1,000,000: of the
//! checkpoint).

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a benchmark ends with a message at what cannot be")]

mod checkpoint;
mod clock;
mod encode;
mod memory;
mod reference;
mod stages;
mod state;
mod threads;
mod traffic;

use bartizan::enrich::Folders;
use bartizan::normalise::Format;
use clock::{child_seconds, median, seconds};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use traffic::Traffic;

/// The daemon's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The binary that is measured: that of `make build`, which is optimised by the profile, or else cargo's own.
const BARTIZAN: &str = match option_env!("BARTIZAN") {
    Some(built) => built,
    None => env!("CARGO_BIN_EXE_bartizan"),
};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Rows of the table: a name and one value for each round.
#[derive(Default)]
struct Table(Vec<(String, Vec<f64>)>);

impl Table {
    fn add(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name.to_owned(), vec![value])),
        }
    }

    fn median(&self, name: &str) -> f64 {
        self.0.iter().find(|(known, _)| known == name).map_or(f64::NAN, |(_, values)| median(values))
    }

    fn print(&self) {
        println!("{:<46} {:>9} {:>12} {:>13}", "", "ns/event", "events/s", "spread (ns)");
        for (name, values) in &self.0 {
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
            let middle = median(values);
            println!("{name:<46} {middle:>9.0} {:>12.0} {:>13}", 1e9 / middle, format!("{low:.0}-{high:.0}"));
        }
    }
}

const LINES: &str = "roofline: split into lines";
const SONIC: &str = "roofline: split, decode (sonic-rs)";
const LOOP: &str = "roofline: split, decode, look up, touch state";
const REPLAY: &str = "replay, all detectors, less start-up";

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --benches` starts it too, without this argument, to see that it runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    if let Ok(of) = std::env::var(memory::VARIABLE) {
        return memory::measure(&of);
    }
    let folder = tempfile::tempdir()?;
    let traffic = Traffic::simulate(number("BENCH_SEED", 1), number("BENCH_EVENTS", 400_000), folder.path())?;
    println!("{} events of {} bytes; processor time of one core\n", traffic.events, traffic.text.len() as u64 / traffic.events.max(1));
    let mut table = Table::default();
    for _ in 0..number("BENCH_ROUNDS", 5) {
        round(&traffic, folder.path(), &mut table)?;
    }
    table.print();
    let ratio = |of: &str, to: &str| println!("{:<46} {:>9.2}", format!("{of} : {to}"), table.median(to) / table.median(of));
    println!("\nspeed, as a multiple of the roofline's");
    ratio(stages::DECODE, SONIC);
    ratio(REPLAY, LOOP);
    let empty = folder.path().join("empty.jsonl");
    std::fs::write(&empty, "")?;
    threads::print(&traffic.path, &empty, number("BENCH_ROUNDS", 5))?;
    print_distinct(folder.path(), number("BENCH_ROUNDS", 5))?;
    print_state(folder.path())
}

fn round(traffic: &Traffic, folder: &Path, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let per_event = 1e9 / traffic.events as f64;
    let places = reference::Places::open(&Folders::usual(None));
    let hasher = reference::token_hasher();
    let (lines, ended) = seconds(|| reference::each_line(&traffic.path, |line| _ = black_box(line.len())));
    ended?;
    table.add(LINES, lines * per_event);
    let mut failed = 0_u64;
    let (sonic, ended) = seconds(|| {
        reference::each_line(&traffic.path, |line| match reference::decode(line) {
            Ok(event) => reference::consume(&event),
            Err(_) => failed += 1,
        })
    });
    ended?;
    table.add(SONIC, sonic * per_event);
    let mut state = reference::State::default();
    let (whole, ended) = seconds(|| {
        reference::each_line(&traffic.path, |line| {
            if let Ok(event) = reference::decode(line) {
                reference::consume(&event);
                state.event(&event, &places, &hasher);
            }
        })
    });
    ended?;
    drop(state);
    if failed > 0 {
        return Err(format!("the roofline cannot read {failed} events").into());
    }
    table.add(LOOP, whole * per_event);
    table.add(REPLAY, (replay(&traffic.path)? - start_up(folder)?) * per_event);
    table.add("split into lines", stages::lines(&traffic.path)? * per_event);
    let (normaliser, format) = (stages::normaliser()?, "bartizan".parse::<Format>()?);
    for (name, taken) in stages::pass(&normaliser, format, &traffic.text)? {
        table.add(&name, taken * per_event);
    }
    Ok(())
}

fn replay(input: &Path) -> std::io::Result<f64> {
    let mut command = Command::new(BARTIZAN);
    child_seconds(command.args(["replay", "--format", "bartizan", "--alerts", "/dev/null"]).arg(input))
}

fn start_up(folder: &Path) -> std::io::Result<f64> {
    let empty = folder.join("empty.jsonl");
    std::fs::write(&empty, "")?;
    replay(&empty)
}

/// What many distinct users in a window cost: the detector that counts them alone, and `replay` with all of them on.
fn print_distinct(folder: &Path, rounds: u64) -> Result<(), Box<dyn Error>> {
    const COUNTS: [u32; 2] = [100, 7_200];
    let (mut table, path) = (Table::default(), folder.join("distinct.jsonl"));
    let name = |of: &str, count: u32| format!("{of}, {count} users");
    for _ in 0..rounds {
        for count in COUNTS {
            table.add(&name("credential_stuffing alone", count), state::distinct(count)?);
            let events = state::write(count, &path)?;
            table.add(&name("replay, all detectors", count), (replay(&path)? - start_up(folder)?) * 1e9 / f64::from(events));
        }
    }
    println!("\ndistinct users in one window");
    table.print();
    for of in ["credential_stuffing alone", "replay, all detectors"] {
        let [few, many] = COUNTS.map(|count| table.median(&name(of, count)));
        println!("{:<46} {:>9.2}", format!("throughput of 7,200 : 100, {of}"), few / many);
    }
    Ok(())
}

fn print_state(folder: &Path) -> Result<(), Box<dyn Error>> {
    let checkpoint = checkpoint::checkpoint(number("BENCH_USERS", 1_000_000) as u32, &folder.join("checkpoints"))?;
    let pause = |share: f64| checkpoint.pauses_ms[((checkpoint.pauses_ms.len() - 1) as f64 * share) as usize];
    let users = u64::from(checkpoint.users);
    println!(
        "\ncheckpoint of {users} users with live sessions, {} bytes of state each, in {} pauses",
        checkpoint.state_bytes as u64 / users,
        checkpoint.pauses_ms.len()
    );
    println!("{:<46} {:>6.2} / {:.2} / {:.2} ms", "the flow stands still: p50 / p99 / longest", pause(0.5), pause(0.99), pause(1.0));
    println!("{:<46} {:>6.2} s", "handing it out, processor time", checkpoint.hand_out);
    println!("{:<46} {:>6.2} s", "compressing and writing, processor time", checkpoint.write);
    println!("{:<46} {:>6.2} s", "loading it", checkpoint.load);
    println!("{:<46} {:>6.1} MB, {} bytes a user", "file", checkpoint.bytes as f64 / 1e6, checkpoint.bytes / users);
    memory::print()
}

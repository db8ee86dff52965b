//! `make bench-kafka`: the daemon between real parts, beside what the same parts do alone, in one run.
//!
//! - `latency`: from the broker's time of the record that proves an alert to that of the alert in its
//!   topic, beside a bare echo through the same broker and an `fsync` of the same disk.
//! - `cost`: processor time from Kafka to ClickHouse with everything on, beside a consumer that only
//!   counts, `replay`, and the engine's own insert of the same rows.
//! - `sql`: `replay` beside loading the same events into ClickHouse and asking three rules in SQL.
//!
//! Environment: `BENCH_PARTS` (default all: `latency,cost,sql`), `BENCH_EVENTS` (1,000,000),
//! `BENCH_ROUNDS` (3), `BENCH_RATE` (20,000 events/s), `BENCH_SECONDS` (60), `BENCH_SEED` (1).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark ends with a message at what cannot be"
)]

mod cost;
mod latency;
mod sql;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::Command;
use support::cpu;
use support::traffic::Traffic;

fn main() {
    let seed = support::setting("BENCH_SEED", 1);
    let events = || Traffic::simulate(seed, support::setting("BENCH_EVENTS", 1_000_000), &[]);
    for part in support::parts_to_bench("latency,cost,sql") {
        match part.as_str() {
            "latency" => latency::run(seed),
            "cost" => cost::run(&events()),
            "sql" => sql::run(&events()),
            other => panic!("BENCH_PARTS: there is no part {other:?}"),
        }
    }
}

/// The same events for `replay`, under the default configuration.
struct Replayed {
    events: PathBuf,
    empty: PathBuf,
}

impl Replayed {
    fn prepare(traffic: &Traffic) -> Self {
        let folder = support::folder("replay");
        let empty = folder.join("empty.jsonl");
        std::fs::write(&empty, "").expect("an empty file");
        Self { events: traffic.write(&folder), empty }
    }

    /// Processor time of it, less its start-up.
    fn seconds(&self) -> f64 {
        let replay = |file| {
            let mut command = Command::new(support::daemon::BINARY);
            cpu::of_command(command.args(["replay", "--format", "bartizan", "--alerts", "/dev/null"]).arg(file))
        };
        replay(&self.events) - replay(&self.empty)
    }
}

/// The middle one of several values.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

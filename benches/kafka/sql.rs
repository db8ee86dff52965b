//! Loading the events into ClickHouse and asking three rules in SQL, beside `replay` of the same file.
//!
//! The rules are those of `make bench-peers`: many users from one address, many failures of one user, one
//! session from many addresses, each within an hour, sliding. A database answers when it is asked; the
//! daemon while events come.

use crate::support::cpu;
use crate::support::daemon::Daemon;
use crate::support::http::send;
use crate::support::scenario::{BASE, Store};
use crate::support::setting;
use crate::support::traffic::Traffic;
use crate::{Replayed, median};
use std::time::Instant;

const LOAD_BYTES: usize = 32 << 20;
/// Members that the rules or an analyst want, as the daemon's own table has them.
const TABLE: &str = "CREATE TABLE raw (time DateTime64(3, 'UTC'), tenant LowCardinality(String), id String, kind LowCardinality(String), \
    outcome LowCardinality(String), reason LowCardinality(String), source LowCardinality(String), user String, ip String, \
    user_agent LowCardinality(String), device String, ja4 LowCardinality(String), app LowCardinality(String), \
    grant LowCardinality(String), session String, token String, token_issued String, method LowCardinality(String), path String, \
    status UInt16, bytes UInt64, duration_ms UInt64) ENGINE = MergeTree ORDER BY (time, tenant, id)";
const RULES: [(&str, &str); 3] = [
    (
        "many users from one address",
        "SELECT count() FROM (SELECT tenant, ip, max(n) FROM (SELECT tenant, ip, uniqExact(user) OVER (PARTITION BY tenant, ip \
         ORDER BY toUnixTimestamp64Milli(time) RANGE BETWEEN 3600000 PRECEDING AND CURRENT ROW) AS n FROM raw \
         WHERE kind = 'login') WHERE n >= 10 GROUP BY tenant, ip)",
    ),
    (
        "many failures of one user",
        "SELECT count() FROM (SELECT tenant, user, max(n) FROM (SELECT tenant, user, count() OVER (PARTITION BY tenant, user \
         ORDER BY toUnixTimestamp64Milli(time) RANGE BETWEEN 3600000 PRECEDING AND CURRENT ROW) AS n FROM raw \
         WHERE kind = 'login' AND outcome = 'failure') WHERE n >= 10 GROUP BY tenant, user)",
    ),
    (
        "one session from many addresses",
        "SELECT count() FROM (SELECT tenant, session, max(n) FROM (SELECT tenant, session, uniqExact(ip) OVER (PARTITION BY tenant, session \
         ORDER BY toUnixTimestamp64Milli(time) RANGE BETWEEN 3600000 PRECEDING AND CURRENT ROW) AS n FROM raw \
         WHERE session != '') WHERE n >= 3 GROUP BY tenant, session)",
    ),
];

pub fn run(traffic: &Traffic) {
    let mut daemon = Daemon::start(BASE);
    let store = Store::of(&daemon).expect("the store");
    let of_store = daemon.store_process().expect("the store's process").as_raw_nonzero().to_string();
    let replayed = Replayed::prepare(traffic);
    let (mut replay, mut load, mut rules, mut walls) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut found = [0; 3];
    for _ in 0..setting("BENCH_ROUNDS", 3) {
        replay.push(replayed.seconds());
        let started = Instant::now();
        load.push(taken(&of_store, || load_all(&store, traffic)));
        rules.push(taken(&of_store, || {
            for (found, (name, sql)) in found.iter_mut().zip(RULES) {
                *found = store.number(sql).unwrap_or_else(|| panic!("no answer: {name}"));
            }
        }));
        walls.push(started.elapsed().as_secs_f64());
    }
    let events = traffic.len() as f64;
    println!("three rules in SQL, {events} events; processor time\n");
    println!("{:<46} {:>9} {:>12}", "", "ns/event", "events/s");
    let line = |name: &str, seconds: f64| println!("{name:<46} {:>9.0} {:>12.0}", seconds * 1e9 / events, events / seconds);
    line("replay, all detectors, less start-up", median(&replay));
    line("ClickHouse: load", median(&load));
    line("ClickHouse: three rules", median(&rules));
    let both = median(&load) + median(&rules);
    println!("{:<46} {:>9.2}", "speed of replay : load and rules", both / median(&replay));
    println!("{:<46} {:>9.2} s", "load and rules by the clock, two cores", median(&walls));
    for ((name, _), found) in RULES.iter().zip(found) {
        println!("{name:<46} {found:>9} keys");
    }
    println!();
}

fn taken(process: &str, work: impl FnOnce()) -> f64 {
    let before = cpu::of(process);
    work();
    cpu::of(process) - before
}

fn load_all(store: &Store, traffic: &Traffic) {
    store.query("DROP TABLE IF EXISTS raw SYNC").expect("no table");
    store.query(TABLE).expect("a table");
    let settings = [
        ("query", "INSERT INTO raw FORMAT JSONEachRow"),
        ("date_time_input_format", "best_effort"),
        ("input_format_skip_unknown_fields", "1"),
    ];
    for block in traffic.blocks(LOAD_BYTES) {
        let answer = send(store.request(&settings).body(block.to_owned())).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

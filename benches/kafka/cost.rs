//! From Kafka to ClickHouse, everything on, the topic filled beforehand, beside the sum of its parts.

use crate::support::cpu;
use crate::support::daemon::Daemon;
use crate::support::http::send;
use crate::support::kafka::{Broker, Cluster, written};
use crate::support::scenario::{Store, kafka_section};
use crate::support::traffic::{PARTITIONS, Traffic, send as produce};
use crate::support::{PATIENCE, setting, wait_for};
use crate::{Replayed, median};
use std::time::{Duration, Instant};

/// Rows of one insert, as the daemon's largest.
const INSERT_ROWS: usize = 50_000;
const LONGEST: Duration = Duration::from_secs(300);

pub fn run(traffic: &Traffic) {
    let mut broker = Broker::start();
    let (cluster, events) = (&broker.cluster, traffic.len());
    for topic in ["auth", "empty"] {
        cluster.create_topic(topic, PARTITIONS);
    }
    let producer = cluster.producer();
    produce(&producer, "auth", traffic.events());
    written(&producer, LONGEST);
    let replayed = Replayed::prepare(traffic);

    let names = ["consumer that only counts", "replay, less start-up", "the engine's own insert", "whole: daemon", "whole: its store"];
    let mut table: [Vec<f64>; 5] = Default::default();
    let mut rates = Vec::new();
    for round in 0..setting("BENCH_ROUNDS", 3) {
        let start_up = pass(cluster, &format!("empty-{round}"), "empty", 0);
        let whole = pass(cluster, &format!("whole-{round}"), "auth", events);
        table[0].push(count(cluster));
        table[1].push(replayed.seconds());
        table[2].push(whole.insert_seconds);
        table[3].push(whole.of_daemon - start_up.of_daemon);
        table[4].push(whole.of_store - start_up.of_store);
        rates.push(events as f64 / (whole.elapsed - start_up.elapsed).as_secs_f64());
    }
    println!("Kafka to ClickHouse, {events} events, {PARTITIONS} partitions; processor time of all threads, less start-up\n");
    println!("{:<46} {:>9}", "", "ns/event");
    for (name, seconds) in names.iter().zip(&table) {
        println!("{name:<46} {:>9.0}", median(seconds) * 1e9 / events as f64);
    }
    let sum = |of: &[Vec<f64>]| of.iter().map(|seconds| median(seconds)).sum::<f64>();
    println!("{:<46} {:>9.2}", "whole : sum of the parts", sum(&table[3..]) / sum(&table[..3]));
    println!("{:<46} {:>9.0}\n", "events/s on two cores, the broker on them, too", median(&rates));
    broker.stop();
}

/// What one run of the daemon took.
struct Pass {
    /// Processor time of the daemon, and of its store.
    of_daemon: f64,
    of_store: f64,
    /// From the launch until everything is stored and committed.
    elapsed: Duration,
    /// Processor time of the store for the same rows again.
    insert_seconds: f64,
}

/// Runs a daemon with everything on over a topic.
fn pass(cluster: &Cluster, group: &str, topic: &str, events: usize) -> Pass {
    let mut daemon = Daemon::prepare(&kafka_section(cluster, group, &[topic]));
    let started = Instant::now();
    daemon.launch();
    daemon.wait_until_ready(PATIENCE);
    let token = daemon.token("viewer", None);
    daemon.wait_for("all events stored", LONGEST, |daemon| {
        let status = daemon.get("/api/v1/status", &token).json();
        (status["events"]["in"] == events && status["store"]["rows_pending"] == 0).then_some(())
    });
    let elapsed = started.elapsed();
    let store = Store::of(&daemon).expect("the store");
    wait_for("the store's merges", LONGEST, || (store.number("SELECT count() FROM system.merges") == Some(0)).then_some(()));
    let child = daemon.store_process().expect("the store's process").as_raw_nonzero().to_string();
    let (of_daemon, of_store) = (cpu::of(&daemon.id().to_string()), cpu::of(&child));
    let insert_seconds = if events > 0 { insert_again(&store, &child, events) } else { 0.0 };
    Pass { of_daemon, of_store, elapsed, insert_seconds }
}

/// Inserts the rows of the events into a second table like theirs.
fn insert_again(store: &Store, of_store: &str, events: usize) -> f64 {
    store.query("CREATE TABLE again AS events").expect("a table");
    let blocks: Vec<_> = (0..events.div_ceil(INSERT_ROWS)).map(|block| rows(store, block)).collect();
    let before = cpu::of(of_store);
    for block in blocks {
        let answer = send(store.request(&[("query", "INSERT INTO again FORMAT RowBinary")]).body(block)).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    wait_for("the store's merges", LONGEST, || (store.number("SELECT count() FROM system.merges") == Some(0)).then_some(()));
    cpu::of(of_store) - before
}

fn rows(store: &Store, block: usize) -> Vec<u8> {
    let sql = format!("SELECT * FROM events ORDER BY time, tenant, id LIMIT {INSERT_ROWS} OFFSET {} FORMAT RowBinary", block * INSERT_ROWS);
    let answer = crate::support::http::block_on(async { store.request(&[]).body(sql).send().await?.bytes().await });
    answer.expect("rows").to_vec()
}

/// Reads all of the topic and looks at nothing but lengths.
fn count(cluster: &Cluster) -> f64 {
    let before = cpu::of("self");
    let mut bytes = 0;
    cluster.scan("auth", |message| bytes += message.payload_len());
    assert!(bytes > 0);
    cpu::of("self") - before
}

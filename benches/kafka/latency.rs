//! Event to alert through Kafka at a given rate.
//!
//! Both ends are the broker's own times (`LogAppendTime`), so no clock but the broker's counts, and both
//! rooflines are measured the same way: the echo reads the same load and writes one record in a
//! thousand back. Resolution is a millisecond.

use crate::support::daemon::Daemon;
use crate::support::kafka::{Broker, Cluster, written};
use crate::support::scenario::kafka_section;
use crate::support::traffic::{PARTITIONS, Traffic, send_at};
use crate::support::{PATIENCE, folder, setting};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::BaseRecord;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The times of both ends are the broker's.
const BROKER_TIME: [(&str, &str); 1] = [("message.timestamp.type", "LogAppendTime")];
/// One record in this many is echoed.
const ECHOED: i64 = 1_000;
/// Left out at the beginning of the load: clients connect, memory is taken.
const WARM_UP_MS: i64 = 5_000;
/// What a batch that is not full waits for (`LINGER` of the read stage).
const LINGER_MS: f64 = 20.0;
const FSYNCS: usize = 500;
const FSYNC_BYTES: usize = 4_096;

pub fn run(seed: u64) {
    let (rate, seconds) = (setting("BENCH_RATE", 20_000) as f64, setting("BENCH_SECONDS", 60));
    let broker = Broker::start();
    let cluster = &broker.cluster;
    let traffic = Traffic::simulate(seed, (rate * seconds as f64 * 1.1) as u64, &[]);
    println!("latency at {rate} events/s for {seconds} s, {PARTITIONS} partitions, in ms\n");
    println!("{:<46} {:>9} {:>9} {:>9} {:>9} {:>9}", "", "count", "p50", "p99", "p99.9", "max");
    let fsync = show("roofline: fsync of 4 KiB", fsyncs());
    let echo = show("roofline: produce, consume, produce", echoes(cluster, &traffic, rate, seconds));
    let alerts = show("record to alert in bartizan.alerts", alerts(cluster, &traffic, rate, seconds));
    let goal = echo + LINGER_MS + 2.0 * fsync;
    println!("{:<46} {:>9} {:>9} {goal:>9.1}", "goal: echo + linger + 2 fsync", "", "");
    println!("{:<46} {:>9} {:>9} {:>9.2}\n", "alerts : goal", "", "", alerts / goal);
}

/// Prints a line and gives its p99.
fn show(name: &str, mut millis: Vec<f64>) -> f64 {
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis[((millis.len() as f64 * share) as usize).min(millis.len() - 1)];
    println!("{name:<46} {:>9} {:>9.1} {:>9.1} {:>9.1} {:>9.1}", millis.len(), at(0.5), at(0.99), at(0.999), at(1.0));
    at(0.99)
}

fn fsyncs() -> Vec<f64> {
    let mut file = File::create(folder("fsync").join("file")).expect("a file");
    let block = [7; FSYNC_BYTES];
    let one = |_| {
        file.write_all(&block).expect("a write");
        let started = Instant::now();
        file.sync_data().expect("a sync");
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..FSYNCS).map(one).collect()
}

/// Sends the load for the given time.
fn load(cluster: &Cluster, topic: &str, traffic: &Traffic, rate: f64, seconds: u64) {
    let started = Instant::now();
    let sent = send_at(&cluster.producer(), topic, traffic.events(), rate, |_| started.elapsed() < Duration::from_secs(seconds));
    let reached = sent as f64 / started.elapsed().as_secs_f64();
    assert!(reached > rate * 0.95, "the machine is too slow: {reached:.0} events/s sent");
}

fn echoes(cluster: &Cluster, traffic: &Traffic, rate: f64, seconds: u64) -> Vec<f64> {
    cluster.create_topic_with("echo-in", PARTITIONS, &BROKER_TIME);
    cluster.create_topic_with("echo-out", 1, &BROKER_TIME);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| echo(cluster, &over));
        load(cluster, "echo-in", traffic, rate, seconds);
        over.store(true, Ordering::Release);
    });
    let mut sent = HashMap::new();
    cluster.scan("echo-in", |message| {
        if message.offset() % ECHOED == 0 {
            sent.insert((message.partition(), message.offset()), message.timestamp().to_millis());
        }
    });
    let mut spans = Vec::new();
    cluster.scan("echo-out", |message| {
        let position = String::from_utf8_lossy(message.payload().expect("a position")).into_owned();
        let (partition, offset) = position.split_once(' ').expect("a position");
        let from = sent[&(partition.parse().expect("a partition"), offset.parse().expect("an offset"))];
        spans.push((from.expect("a time"), appended_ms(message)));
    });
    millis(&spans)
}

fn appended_ms(message: &BorrowedMessage<'_>) -> i64 {
    message.timestamp().to_millis().expect("a time")
}

/// How long each took, once warm.
fn millis(spans: &[(i64, i64)]) -> Vec<f64> {
    let first = spans.iter().map(|(from, _)| *from).min().expect("some");
    spans.iter().filter(|(from, _)| *from >= first + WARM_UP_MS).map(|(from, to)| (to - from) as f64).collect()
}

/// Reads the load, and writes where some of its records stand.
fn echo(cluster: &Cluster, over: &AtomicBool) {
    let (reader, _) = cluster.consumer("echo-in");
    let producer = cluster.prompt_producer();
    while !over.load(Ordering::Acquire) {
        let Some(message) = reader.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("a record");
        if message.offset() % ECHOED == 0 {
            let position = format!("{} {}", message.partition(), message.offset());
            let record = BaseRecord::<(), str>::to("echo-out").payload(&position);
            producer.send(record).map_err(|(error, _)| error).expect("a queued record");
            producer.poll(Duration::ZERO);
        }
    }
    written(&producer, PATIENCE);
}

fn alerts(cluster: &Cluster, traffic: &Traffic, rate: f64, seconds: u64) -> Vec<f64> {
    cluster.create_topic_with("auth", PARTITIONS, &BROKER_TIME);
    cluster.create_topic_with("bartizan.alerts", 1, &BROKER_TIME);
    let mut daemon = Daemon::start(&kafka_section(cluster, "bartizan", &["auth"]));
    load(cluster, "auth", traffic, rate, seconds);
    let total: i64 = cluster.end_offsets("auth").into_iter().sum();
    let token = daemon.token("viewer", None);
    daemon.wait_for("all events judged and told", PATIENCE, |daemon| {
        let status = daemon.get("/api/v1/status", &token).json();
        let told = status["channels"].as_array()?.iter().all(|channel| channel["pending"] == 0);
        (status["events"]["in"].as_i64()? >= total && told).then_some(())
    });
    show_stages(&daemon.get("/api/v1/status", &token).json());
    let mut told: Vec<(i64, Vec<String>)> = Vec::new();
    cluster.scan("bartizan.alerts", |message| {
        let alert: Value = serde_json::from_slice(message.payload().expect("an alert")).expect("an alert");
        // Closing is proven by no record, but by the time that passes.
        if alert["ongoing"] == true {
            let ids = alert["event_ids"].as_array().expect("event ids").iter().map(|id| id.as_str().expect("an id").to_owned());
            told.push((appended_ms(message), ids.collect()));
        }
    });
    let wanted: HashSet<&str> = told.iter().flat_map(|(_, ids)| ids.iter().map(String::as_str)).collect();
    let mut appended: HashMap<String, i64> = HashMap::new();
    cluster.scan("auth", |message| {
        let id = id_of(message.payload().expect("an event"));
        if wanted.contains(id) && !appended.contains_key(id) {
            appended.insert(id.to_owned(), appended_ms(message));
        }
    });
    // The newest record that the version names is the one that proves it.
    let proven = |ids: &[String]| ids.iter().filter_map(|id| appended.get(id)).max().copied();
    let spans: Vec<_> = told.iter().map(|(at, ids)| (proven(ids).expect("its records"), *at)).collect();
    millis(&spans)
}

/// What the daemon says of its stages.
fn show_stages(status: &Value) {
    for stage in status["latency"].as_array().expect("stages").iter().filter(|stage| stage["count"] != 0) {
        let millis = |name: &str| stage[name].as_f64().expect("microseconds") / 1e3;
        let name = format!("  stage {}", stage["stage"].as_str().expect("a name"));
        let (p50, p99, p999, max) = (millis("p50_us"), millis("p99_us"), millis("p999_us"), millis("max_us"));
        println!("{name:<46} {:>9} {p50:>9.1} {p99:>9.1} {p999:>9.1} {max:>9.1}", stage["count"]);
    }
}

/// The id of a simulated event: its first member.
fn id_of(event: &[u8]) -> &str {
    let text = std::str::from_utf8(event).expect("an event");
    text.strip_prefix("{\"id\":\"").and_then(|rest| rest.split('"').next()).expect("an id")
}

//! What came out of much traffic, and whether it is what should have come.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::daemon::Daemon;
use super::kafka::Cluster;
use super::scenario::{Store, told_in, versions};
use super::{PATIENCE, wait_for};

/// Alert versions by id and version.
pub type Versions = BTreeMap<(String, u64), Value>;

/// What `replay` says of a file under the daemon's configuration.
pub fn replayed_file(daemon: &Daemon, file: &Path) -> Versions {
    let output = daemon.run(&["replay", "-c", "bartizan.toml", "--format", "bartizan", &file.display().to_string()]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("JSON Lines");
    versions(text.lines().map(|line| serde_json::from_str(line).expect("an alert")))
}

/// Waits until `records` records are read from a topic and acknowledged, and nothing is left to be delivered.
pub fn wait_until_done(daemon: &mut Daemon, topic: &str, records: usize, deadline: Duration) {
    let token = daemon.token("viewer", None);
    daemon.wait_for("all records done, and an empty outbox", deadline, |daemon| {
        let status = daemon.get("/api/v1/status", &token).json();
        let partitions = status["partitions"].as_array()?.iter().filter(|partition| partition["topic"] == topic);
        let read: i64 = partitions.filter_map(|partition| partition["position"].as_i64()).sum();
        let told = status["channels"].as_array()?.iter().all(|channel| channel["pending"] == 0);
        (usize::try_from(read) == Ok(records) && status["store"]["rows_pending"] == 0 && told).then_some(())
    });
}

/// Stops the daemon in an orderly way, and asserts that it leaves all offsets of a topic committed.
pub fn stop_whole(daemon: &mut Daemon, cluster: &Cluster, (group, topic): (&str, &str), records: usize) {
    assert!(daemon.terminate(Duration::from_secs(15)).success(), "{}", daemon.log());
    let committed = || cluster.committed(group, topic).into_iter().flatten().sum::<i64>();
    wait_for("all offsets committed", PATIENCE, || (usize::try_from(committed()) == Ok(records)).then_some(()));
}

/// Asserts that a database holds `different` events, each once.
pub fn assert_stored_once(store: &Store, database: &str, different: usize) {
    let count = |sql: &str| store.number(&format!("SELECT {sql} FROM {database}.events{}", if sql == "count()" { " FINAL" } else { "" }));
    assert_eq!((count("count()"), count("uniqExact(tenant, id, time)")), (Some(different), Some(different)), "events in the store");
    let rows = store.number(&format!("SELECT count() FROM {database}.events")).expect("a count");
    println!("{different} different events, each in the store once ({rows} rows before merging)");
}

/// Reads all alerts told in the topic: asserts that no version was told in two ways, and that none is missing.
pub fn told_whole(cluster: &Cluster) -> Versions {
    let told = told_in(&cluster.records("bartizan.alerts"));
    for (id, version) in told.keys() {
        assert!((1..*version).all(|earlier| told.contains_key(&(id.clone(), earlier))), "{id} lacks a version before {version}");
    }
    told
}

/// Asserts that two runs found the same: for each alert of one there is one of the other from the same
/// detector about the same key, in an overlapping time and of the same severity in the end. Ids and
/// the versions between may differ: partitions are merged as they come, and a file stands in order of time.
pub fn assert_same_findings(told: &Versions, wanted: &Versions) {
    let (told_last, wanted_last) = (last_versions(told), last_versions(wanted));
    let (missing, surplus) = (without_match(&wanted_last, &told_last), without_match(&told_last, &wanted_last));
    assert!(missing.is_empty() && surplus.is_empty(), "not told: {missing:#?}, not wanted: {surplus:#?}");
    let same_ids = told_last.keys().filter(|id| wanted_last.contains_key(*id)).count();
    let same_bytes = told.iter().filter(|(key, alert)| wanted.get(*key) == Some(alert)).count();
    println!(
        "{} alerts as in replay, {same_ids} of them under the same id; {} versions, {same_bytes} of them byte for byte",
        told_last.len(),
        told.len()
    );
}

/// The last version of each alert.
fn last_versions(versions: &Versions) -> BTreeMap<&str, &Value> {
    versions.iter().map(|((id, _), alert)| (id.as_str(), alert)).collect()
}

/// Those of `ours` that have no like in `theirs`.
fn without_match(ours: &BTreeMap<&str, &Value>, theirs: &BTreeMap<&str, &Value>) -> Vec<String> {
    let about = |alert: &Value| ["detector", "tenant", "key", "severity"].map(|member| alert[member].to_string());
    let mut spans: BTreeMap<[String; 4], Vec<(&str, &str)>> = BTreeMap::new();
    for alert in theirs.values() {
        spans.entry(about(alert)).or_default().push(span(alert));
    }
    let overlaps = |alert: &Value| {
        let (first, last) = span(alert);
        spans.get(&about(alert)).is_some_and(|spans| spans.iter().any(|(start, end)| *start <= last && first <= *end))
    };
    let lone: BTreeSet<String> = ours
        .values()
        .filter(|alert| !overlaps(alert))
        .map(|alert| format!("{} {:?} {:?}", alert["id"], about(alert), span(alert)))
        .collect();
    lone.into_iter().collect()
}

/// First and last event time; as text, which sorts like the times.
fn span(alert: &Value) -> (&str, &str) {
    let time = |name: &str| alert[name].as_str().unwrap_or_default();
    (time("first_event_time"), time("last_event_time"))
}

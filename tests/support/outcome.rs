//! What came out of much traffic, and whether it is what should have come.

use std::collections::BTreeMap;
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

/// Exports the recorded order beside the daemon or after it, and judges it again: lines by id and version.
pub fn judged_again(daemon: &Daemon) -> Lines {
    let exported = daemon.run(&["export", "-c", "bartizan.toml", "--out", "order.recording"]);
    assert!(exported.status.success(), "{exported:?}");
    let output = daemon.run(&["replay", "-c", "bartizan.toml", "order.recording"]);
    assert!(output.status.success(), "{output:?}");
    lines(String::from_utf8(output.stdout).expect("JSON Lines").lines())
}

/// Alerts as they were written, by id and version.
pub type Lines = BTreeMap<(String, u64), String>;

/// Sorts alerts as they were written.
pub fn lines<'a>(alerts: impl Iterator<Item = &'a str>) -> Lines {
    let key = |line: &str| {
        let alert: Value = serde_json::from_str(line).expect("an alert");
        (alert["id"].as_str().expect("an id").to_owned(), alert["version"].as_u64().expect("a version"))
    };
    alerts.map(|line| (key(line), line.to_owned())).collect()
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

/// Asserts that two runs found the same: alerts under the same ids, about the same, of the same severity in the end.
/// Tenants have partitions of their own, so each one's order, and with it all that is told of it, is the same however
/// the partitions are merged; only when an alert closes depends on all of them.
pub fn assert_same_alerts(told: &Versions, wanted: &Versions) {
    let (told_last, wanted_last) = (last_versions(told), last_versions(wanted));
    let only = |ours: &BTreeMap<&str, String>, theirs: &BTreeMap<&str, String>| -> Vec<String> {
        ours.iter().filter(|(id, about)| theirs.get(*id) != Some(about)).map(|(id, about)| format!("{id} {about}")).collect()
    };
    let (missing, surplus) = (only(&wanted_last, &told_last), only(&told_last, &wanted_last));
    assert!(missing.is_empty() && surplus.is_empty(), "not told: {missing:#?}, not wanted: {surplus:#?}");
    let same = told.iter().filter(|(key, alert)| wanted.get(*key) == Some(alert)).count();
    println!("{} alerts as in replay; {} versions, {same} of them byte for byte", told_last.len(), told.len());
}

/// What the last version of each alert says: about whom it is, and how bad.
fn last_versions(versions: &Versions) -> BTreeMap<&str, String> {
    let about = |alert: &Value| ["detector", "tenant", "key", "severity"].map(|member| alert[member].to_string()).join(" ");
    versions.iter().map(|((id, _), alert)| (id.as_str(), about(alert))).collect()
}

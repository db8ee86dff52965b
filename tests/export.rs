//! The recorded order of a daemon with a journal, exported beside it from its oldest checkpoint on, and judged again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::outcome::judged_again;
use crate::support::scenario::{BASE, Line, Script, replayed, wait_until_stored};

const SETTLED: Duration = Duration::from_secs(90);

fn post(daemon: &Daemon, token: &str, lines: &[Line]) {
    let body: String = lines.iter().map(|line| line.text.clone() + "\n").collect();
    let answer = daemon.post("/api/v1/events?format=bartizan", token, body);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn alerts(daemon: &Daemon, token: &str) -> BTreeMap<String, Value> {
    let items = daemon.get("/api/v1/alerts?limit=1000", token).json()["items"].take();
    items.as_array().unwrap().iter().map(|alert| (alert["id"].as_str().unwrap().to_owned(), alert.clone())).collect()
}

#[test]
fn what_was_judged_since_the_oldest_checkpoint_is_judged_alike_again() {
    let lines = Script::new("export").ordinary(500).stuffing(1).stuffing(22).theft(3).lines();
    let last_attack = lines.iter().position(|line| line.user == "name-22-0").unwrap();
    let (before, after) = lines.split_at(last_attack);
    let mut daemon = Daemon::start(BASE);
    let (ingest, viewer) = (daemon.token("ingest", None), daemon.token("viewer", None));
    post(&daemon, &ingest, before);
    wait_until_stored(&mut daemon, before.len(), SETTLED);
    let checkpoints = |daemon: &Daemon| std::fs::read_dir(daemon.folder.join("data/checkpoints")).map_or(0, Iterator::count);
    daemon.wait_for("a checkpoint", SETTLED, |daemon| (checkpoints(daemon) > 0).then_some(()));
    let wanted: BTreeSet<String> = replayed(&daemon, before).into_keys().map(|(id, _)| id).collect();
    let opened_before = daemon.wait_for("the alerts before", SETTLED, |daemon| {
        Some(alerts(daemon, &viewer)).filter(|opened| wanted.iter().all(|id| opened.contains_key(id)))
    });
    daemon.kill();
    daemon.launch();
    daemon.wait_until_ready(SETTLED);
    post(&daemon, &ingest, after);
    wait_until_stored(&mut daemon, lines.len(), SETTLED);
    daemon.wait_for("the last alert", SETTLED, |daemon| {
        alerts(daemon, &viewer).keys().any(|id| !opened_before.contains_key(id)).then_some(())
    });

    let told = alerts(&daemon, &viewer);
    let again = judged_again(&daemon);
    for (id, alert) in told.iter().filter(|(id, _)| !opened_before.contains_key(*id)) {
        let line = again.get(&(id.clone(), alert["version"].as_u64().unwrap())).unwrap_or_else(|| panic!("{alert} is missing"));
        assert_eq!(&serde_json::from_str::<Value>(line).unwrap(), alert);
    }

    let damaged = daemon.folder.join("order.recording");
    let whole = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, &whole[..whole.len() - 9]).unwrap();
    let output = daemon.run(&["replay", "-c", "bartizan.toml", "order.recording"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("damaged"), "{output:?}");
}

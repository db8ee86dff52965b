//! Suppressions made while the daemon runs, of one thing and by an expression: no alert, but a line in the ledger; and
//! a crash changes nothing of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::support::daemon::Daemon;
use crate::support::outcome::judged_again;
use crate::support::scenario::{BASE, Line, Script, wait_until_stored};

const SETTLED: Duration = Duration::from_secs(90);

fn post(daemon: &Daemon, token: &str, lines: &[Line]) {
    let body: String = lines.iter().map(|line| line.text.clone() + "\n").collect();
    let answer = daemon.post("/api/v1/events?format=bartizan", token, body);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// The lines of one attack of a script, by the address that it comes from.
fn attack(number: usize) -> Vec<Line> {
    Script::new("acme").stuffing(number).lines()
}

/// Keys of all alerts.
fn keys(daemon: &Daemon, token: &str) -> Vec<String> {
    let items = daemon.get("/api/v1/alerts?limit=1000", token).json()["items"].take();
    items.as_array().unwrap().iter().map(|alert| alert["key"].as_str().unwrap().to_owned()).collect()
}

/// Suppressions that held something back.
fn holding(daemon: &Daemon, token: &str) -> BTreeSet<String> {
    let items = daemon.get("/api/v1/suppressed", token).json()["items"].take();
    items.as_array().unwrap().iter().map(|line| line["suppression"].as_str().unwrap().to_owned()).collect()
}

fn findings(daemon: &Daemon, token: &str) -> u64 {
    let items = daemon.get("/api/v1/suppressed", token).json()["items"].take();
    items.as_array().unwrap().iter().map(|line| line["findings"].as_u64().unwrap()).sum()
}

#[test]
fn what_is_suppressed_lands_in_the_ledger_and_a_crash_changes_nothing_of_it() {
    // No checkpoint, so that everything is judged again.
    let mut daemon = Daemon::start(&BASE.replace("checkpoint_interval_ms = 500", "checkpoint_interval_ms = 3600000"));
    let (ingest, analyst) = (daemon.token("ingest", None), daemon.token("analyst", Some("acme")));
    post(&daemon, &ingest, &attack(1));
    daemon.wait_for("an alert", SETTLED, |daemon| (keys(daemon, &analyst).len() == 1).then_some(()));

    let new = json!({"entity": {"type": "ip", "value": "203.0.3.0/24"}, "reason": "the scanner that we pay for"});
    let made = daemon.post("/api/v1/suppressions", &analyst, new.to_string());
    assert_eq!(made.status, 201, "{made:?}");
    let when = json!({"all": [
        {"type": "ip", "values": ["198.51.100.9/32", "203.0.2.0/24"]},
        {"type": "user_agent", "value": "curl/", "match": "prefix"},
        {"not": {"type": "user", "value": "ann"}},
    ]});
    let tied = daemon.post("/api/v1/suppressions", &analyst, json!({"when": when, "reason": "our own tests"}).to_string());
    assert_eq!((tied.status, &tied.json()["when"]), (201, &when), "{tied:?}");
    post(&daemon, &ingest, &attack(2));
    post(&daemon, &ingest, &attack(3));
    post(&daemon, &ingest, &attack(4));
    daemon.wait_for("another alert", SETTLED, |daemon| (keys(daemon, &analyst).len() == 2).then_some(()));
    let ids = [&made, &tied].map(|answer| answer.json()["id"].as_str().unwrap().to_owned());
    assert_eq!(holding(&daemon, &analyst), BTreeSet::from(ids));
    let held = findings(&daemon, &analyst);

    daemon.kill();
    daemon.launch();
    daemon.wait_until_ready(SETTLED);
    post(&daemon, &ingest, &attack(5));
    daemon.wait_for("a third alert", SETTLED, |daemon| (keys(daemon, &analyst).len() == 3).then_some(()));
    wait_until_stored(&mut daemon, 60, SETTLED);
    assert_eq!(findings(&daemon, &analyst), held, "judged again, and counted once");
    let is_held = |text: &str| text.contains("203.0.2.") || text.contains("203.0.3.");
    assert!(!keys(&daemon, &analyst).iter().any(|key| is_held(key)), "{:?}", keys(&daemon, &analyst));
    let again = judged_again(&daemon);
    assert!(!again.values().any(|line| is_held(line)), "an export knows the list, too");
    assert_eq!(again.keys().filter(|(_, version)| *version == 1).count(), 3);

    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/suppressions/{id}");
    let answer = daemon.delete(&path, &analyst);
    assert_eq!(answer.status, 204, "{answer:?}");
    let mut once_more = attack(3);
    once_more.iter_mut().for_each(|line| line.text = line.text.replace("\"id\":\"acme-", "\"id\":\"more-"));
    post(&daemon, &ingest, &once_more);
    daemon.wait_for("the alert that was suppressed", SETTLED, |daemon| {
        keys(daemon, &analyst).iter().any(|key| key.contains("203.0.3.")).then_some(())
    });
    assert_eq!(daemon.get("/api/v1/suppressions", &analyst).json()["items"], json!([tied.json()]));
}

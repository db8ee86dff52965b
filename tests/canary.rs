//! The canary in a running daemon: it is heard, nobody sees it, and a deaf detector is named.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::support::outcome::judged_again;
use crate::support::scenario::{BASE, Script, stored, wait_until_stored, webhook_section};
use crate::support::webhook::Webhook;

const SETTLED: Duration = Duration::from_secs(90);

/// Rounds as quickly as they may come, a detector that is off, and one that hears nothing.
const CANARY: &str = r#"
[canary]
interval_ms = 1000
[detectors.token_reuse]
enabled = false
[detectors.brute_force]
tries_min = 200
slow_tries_min = 240
"#;

fn status(daemon: &Daemon, token: &str) -> Value {
    daemon.get("/api/v1/status", token).json()
}

fn silent(status: &Value) -> Vec<&str> {
    let health = status["health"].as_array().unwrap().iter();
    health.filter(|alert| alert["id"] == "detector_silent").filter_map(|alert| alert["subject"].as_str()).collect()
}

#[test]
fn the_canary_is_heard_and_shows_nowhere_else() {
    let told = Webhook::start();
    let mut daemon = Daemon::start(&(BASE.to_owned() + CANARY + &webhook_section("oncall", &told.url("/alerts"))));
    let (ingest, viewer) = (daemon.token("ingest", None), daemon.token("viewer", None));
    let lines = Script::new("acme").ordinary(20).lines();
    let body: String = lines.iter().map(|line| line.text.clone() + "\n").collect();
    assert_eq!(daemon.post("/api/v1/events?format=bartizan", &ingest, body).status, 200);
    wait_until_stored(&mut daemon, lines.len(), SETTLED);

    let last = |daemon: &Daemon| status(daemon, &viewer)["canary"]["last_round_time"].as_str().map(str::to_owned);
    let first = daemon.wait_for("a round", SETTLED, last);
    // A crash amid the rounds makes nobody silent.
    daemon.kill();
    daemon.launch();
    daemon.wait_until_ready(SETTLED);
    daemon.wait_for("rounds after a restart", SETTLED, |daemon| last(daemon).filter(|time| *time > first));
    daemon.wait_for("the health alert", SETTLED, |daemon| (silent(&status(daemon, &viewer)) == ["brute_force"]).then_some(()));

    let status = status(&daemon, &viewer);
    let canary = &status["canary"];
    assert_eq!(canary["heard"], json!(["api_enumeration", "client_integrity", "credential_stuffing", "mfa_fatigue"]), "{canary}");
    assert_eq!(canary["silent"], json!(["brute_force"]));
    assert_eq!(canary["learning"], json!(["account_takeover", "password_spraying"]));
    let uncovered: Vec<_> = canary["uncovered"].as_array().unwrap().iter().map(|one| one["detector"].as_str().unwrap()).collect();
    assert_eq!(uncovered, ["impossible_travel", "unusual_location"], "there are no place files");
    let metrics = daemon.get("/metrics", &viewer).body;
    assert!(metrics.contains("bartizan_canary_heard_total{detector=\"api_enumeration\"}"), "{metrics}");
    assert!(!metrics.contains("bartizan_alerts_opened_total{") && !metrics.contains("bartizan_findings_total{"), "{metrics}");

    assert_eq!(status["alerts"]["open"], 0);
    assert!(status["events"]["in"].as_u64().unwrap() <= lines.len() as u64, "{}", status["events"]);
    assert_eq!(daemon.get("/api/v1/alerts", &viewer).json()["items"], json!([]));
    assert_eq!(daemon.get("/api/v1/suppressed", &viewer).json()["items"], json!([]));
    assert_eq!(stored(&daemon), Some(lines.len()));
    assert!(told.received().is_empty(), "{:?}", told.received());
    assert!(judged_again(&daemon).is_empty(), "nor does an export show it");
}

#[test]
fn nobody_else_may_use_its_tenants() {
    let mut daemon = Daemon::start(&(BASE.to_owned() + "[canary]\nenabled = false\n"));
    let (ingest, viewer) = (daemon.token("ingest", None), daemon.token("viewer", None));
    let mut lines = Script::new("acme").ordinary(2).lines();
    lines[1].text = lines[1].text.replace("\"tenant\":\"acme\"", "\"tenant\":\"_canary-1\"");
    let body: String = lines.iter().map(|line| line.text.clone() + "\n").collect();
    let answer = daemon.post("/api/v1/events?format=bartizan", &ingest, body).json();
    assert_eq!((&answer["accepted"], &answer["rejected"][0]["code"]), (&json!(1), &json!("reserved_tenant")), "{answer}");
    wait_until_stored(&mut daemon, 1, SETTLED);
    assert_eq!(status(&daemon, &viewer)["canary"], Value::Null);
}

//! Alerts that are resolved while the daemon runs teach what is normal; and a crash changes nothing of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::support::outcome::judged_again;
use crate::support::scenario::{BASE, now_ms, wait_until_stored};

const SETTLED: Duration = Duration::from_secs(90);
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// One event of a user's, so long ago.
fn event(user: &str, ago_ms: i64, kind: &str, (device, ip, agent): (&str, &str, &str)) -> String {
    let text = json!({
        "time": now_ms() - ago_ms, "id": format!("{user}-{kind}-{ago_ms}"), "tenant": "acme", "kind": kind, "outcome": "success",
        "source": "auth-service", "user": user, "device": format!("{device} of {user}"), "ip": ip, "user_agent": agent,
        "factor": if kind == "account_change" { "totp" } else { "" },
    });
    text.to_string() + "\n"
}

const USERS: [&str; 3] = ["ann", "bob", "eve"];
const OWN: (&str, &str, &str) = ("laptop", "192.0.2.7", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
const OTHER: (&str, &str, &str) = ("new", "203.0.113.9", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1");

/// Ordinary days of all users.
fn ordinary() -> String {
    let days = (5..12).rev().flat_map(|day| USERS.map(|user| event(user, day * DAY_MS, "login", OWN)));
    days.collect()
}

/// A client that nobody knows signs in as all of them, so many days ago, and adds a factor.
fn strange(days_ago: i64) -> String {
    let one = |user: &&str| {
        event(user, days_ago * DAY_MS, "login", OTHER) + &event(user, days_ago * DAY_MS - 9 * MINUTE_MS, "account_change", OTHER)
    };
    USERS.iter().map(one).collect()
}

fn post(daemon: &Daemon, token: &str, body: String) {
    let answer = daemon.post("/api/v1/events?format=bartizan", token, body);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Keys of all alerts, in order.
fn keys(daemon: &Daemon, token: &str) -> Vec<String> {
    let mut keys: Vec<_> = alerts(daemon, token).iter().map(|alert| alert["key"].as_str().unwrap().to_owned()).collect();
    keys.sort();
    keys
}

fn alerts(daemon: &Daemon, token: &str) -> Vec<Value> {
    daemon.get("/api/v1/alerts?limit=1000", token).json()["items"].take().as_array().unwrap().clone()
}

fn resolve(daemon: &Daemon, token: &str, user: &str, disposition: &str) -> String {
    let key = format!("user:{user}");
    let alert = alerts(daemon, token).into_iter().find(|alert| alert["key"] == key).expect("an alert");
    let path = format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap());
    let answer = daemon.patch(&path, token, &json!({"status": "resolved", "disposition": disposition}));
    assert_eq!(answer.status, 200, "{}", answer.body);
    path
}

/// What an alert's history says of what was learnt.
fn lessons(daemon: &Daemon, token: &str, path: &str) -> Vec<String> {
    let history = daemon.get(path, token).json()["history"].take();
    let lines = history.as_array().unwrap().iter().filter(|line| line["kind"] == "lesson");
    lines.map(|line| line["lesson"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_resolved_as_harmless_is_silent_from_then_on_and_a_crash_changes_nothing_of_it() {
    // No checkpoint, so that everything is judged again.
    let base = BASE.replace("networks = []", "networks = [\"asn.csv\"]");
    let mut daemon = Daemon::prepare(&base.replace("checkpoint_interval_ms = 500", "checkpoint_interval_ms = 3600000"));
    daemon.write("asn.csv", "192.0.0.0,192.0.255.255,64501,Home\n203.0.0.0,203.0.255.255,64502,Elsewhere\n");
    daemon.launch();
    daemon.wait_until_ready(SETTLED);
    let (ingest, analyst) = (daemon.token("ingest", None), daemon.token("analyst", Some("acme")));
    post(&daemon, &ingest, ordinary());
    post(&daemon, &ingest, strange(4));
    daemon
        .wait_for("an alert of each", SETTLED, |daemon| (keys(daemon, &analyst) == USERS.map(|user| format!("user:{user}"))).then_some(()));

    let harmless = resolve(&daemon, &analyst, "ann", "benign");
    let attack = resolve(&daemon, &analyst, "eve", "true_positive");
    let told =
        daemon.wait_for("what was taught", SETTLED, |daemon| Some(lessons(daemon, &analyst, &harmless)).filter(|told| !told.is_empty()));
    assert!(told[0].starts_with("taught: ") && told[0].ends_with(" of ann"), "{told:?}");
    assert_eq!(lessons(&daemon, &analyst, &attack), [""; 0]);
    post(&daemon, &ingest, strange(2));
    let twice = ["user:ann", "user:bob", "user:bob", "user:eve", "user:eve"];
    daemon.wait_for("another alert of two", SETTLED, |daemon| (keys(daemon, &analyst).len() >= 5).then_some(()));
    wait_until_stored(&mut daemon, 33, SETTLED);
    assert_eq!(keys(&daemon, &analyst), twice);

    daemon.kill();
    daemon.launch();
    daemon.wait_until_ready(SETTLED);
    post(&daemon, &ingest, event("ann", DAY_MS, "login", OTHER) + &event("ann", DAY_MS - MINUTE_MS, "account_change", OTHER));
    // Somebody else's, so that there is something to wait for.
    post(&daemon, &ingest, event("bob", DAY_MS, "login", ("third", "203.0.113.77", "curl/8.5")));
    post(&daemon, &ingest, event("bob", DAY_MS - MINUTE_MS, "account_change", ("third", "203.0.113.77", "curl/8.5")));
    wait_until_stored(&mut daemon, 37, SETTLED);
    daemon.wait_for("an alert behind the crash", SETTLED, |daemon| (keys(daemon, &analyst).len() >= 6).then_some(()));
    assert_eq!(keys(&daemon, &analyst).iter().filter(|key| *key == "user:ann").count(), 1, "judged again as it was judged then");
    assert_eq!(lessons(&daemon, &analyst, &harmless), told, "taught once");

    let again = judged_again(&daemon);
    let opened: Vec<Value> =
        again.iter().filter(|((_, version), _)| *version == 1).map(|(_, line)| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(opened.iter().filter(|alert| alert["key"] == "user:ann").count(), 1, "an export knows what was taught, too");
    assert_eq!(opened.len(), keys(&daemon, &analyst).len());
}

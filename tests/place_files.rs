//! Place files that change while the daemon runs: from which record on they are used is part of the recorded order,
//! so that a crash changes nothing of what was judged before.

use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::shared;
use crate::support::outcome::judged_again;
use crate::support::scenario::{BASE, Line, Script, Store, kafka_section, records, wait_until_stored};
use crate::support::unique;

const SETTLED: Duration = Duration::from_secs(90);

/// Names the network of all addresses of a script.
fn name_networks(daemon: &Daemon, number: u32) {
    let line = |range: &str| format!("{range}.0.0,{range}.255.255,{number},Example Net {number}\n");
    daemon.write("asn.csv", &(line("192.0") + &line("203.0")));
}

/// Events in the store whose network has this number.
fn of_network(daemon: &Daemon, number: u32) -> Option<usize> {
    Store::of(daemon)?.number(&format!("SELECT count() FROM events FINAL WHERE asn = {number}"))
}

fn crash_after_a_change(kafka: &str, send: impl Fn(&Daemon, &[Line])) {
    let lines = Script::new(&unique("places")).ordinary(300).stuffing(1).stuffing(12).stuffing(22).lines();
    let (before, after) = lines.split_at(150);
    let (after, last) = after.split_at(150);
    let base = BASE.replace("networks = []", "networks = [\"asn.csv\"]\ncheck_interval_ms = 1000");
    // No checkpoint, so that everything is judged again.
    let base = base.replace("checkpoint_interval_ms = 500", "checkpoint_interval_ms = 3600000");
    let mut daemon = Daemon::prepare(&(base + kafka));
    name_networks(&daemon, 64_501);
    daemon.launch();
    daemon.wait_until_ready(SETTLED);
    send(&daemon, before);
    wait_until_stored(&mut daemon, before.len(), SETTLED);
    name_networks(&daemon, 64_502);
    daemon.wait_for("the new file", SETTLED, |daemon| daemon.log().contains("place files read again").then_some(()));
    send(&daemon, after);
    wait_until_stored(&mut daemon, 300, SETTLED);
    assert_eq!([64_501, 64_502].map(|number| of_network(&daemon, number)), [Some(150); 2]);
    // What is not recorded yet may be judged anew: it had no effect. An alert has the order recorded.
    let viewer = daemon.token("viewer", None);
    let told = daemon.wait_for("two alerts", SETTLED, |daemon| {
        let answer = daemon.get("/api/v1/alerts?limit=100", &viewer).json();
        answer["items"].as_array().filter(|items| items.len() >= 2).cloned()
    });

    daemon.kill();
    name_networks(&daemon, 64_503);
    daemon.launch();
    daemon.wait_until_ready(SETTLED);
    send(&daemon, last);
    wait_until_stored(&mut daemon, lines.len(), SETTLED);
    let counts = [64_501, 64_502, 64_503].map(|number| of_network(&daemon, number));
    assert_eq!(counts, [Some(150), Some(150), Some(last.len())], "each judged with the files of then");
    assert!(!daemon.log().contains("not kept"), "{}", daemon.log());

    let again = judged_again(&daemon);
    for alert in told {
        let key = (alert["id"].as_str().unwrap().to_owned(), alert["version"].as_u64().unwrap());
        let line = again.get(&key).unwrap_or_else(|| panic!("{alert} is missing"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap(), alert);
    }
}

#[test]
fn a_crash_after_place_files_changed_changes_nothing_of_what_a_journal_held() {
    crash_after_a_change("", |daemon, lines| {
        let body: String = lines.iter().map(|line| line.text.clone() + "\n").collect();
        let answer = daemon.post("/api/v1/events?format=bartizan", &daemon.token("ingest", None), body);
        assert_eq!(answer.status, 200, "{}", answer.body);
    });
}

#[test]
fn a_crash_after_place_files_changed_changes_nothing_of_what_kafka_held() {
    let topic = unique("places");
    shared().create_topic(&topic, 1);
    let section = kafka_section(shared(), &unique("group"), &[&topic]);
    crash_after_a_change(&section, |_, lines| shared().produce(&topic, &records(lines)));
}

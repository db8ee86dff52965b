//! Poison messages through Kafka: each lands in the dead-letter topic with its bytes, its place and
//! the reason, or is taken as documented; the good ones around it all arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::support::kafka::{Cluster, Record, shared};
use crate::support::scenario::{BASE, Store, kafka_section, now_ms, wait_until_stored};
use crate::support::unique;

const SETTLED: Duration = Duration::from_secs(60);

/// What becomes of a record.
enum Fate {
    /// It lands in the dead-letter topic under this code.
    Rejected(&'static str),
    /// It is stored, and its user reads like this.
    Stored(&'static str),
    /// It is nothing.
    Ignored,
}
use Fate::{Ignored, Rejected, Stored};

fn event(changes: Value) -> Vec<u8> {
    let mut event = json!({"time": now_ms(), "kind": "login", "outcome": "success", "user": "u", "ip": "192.0.2.1"});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(event.as_object_mut().unwrap().remove(name)),
            value => event[name] = value.clone(),
        }
    }
    event.to_string().into_bytes()
}

/// Every kind of poison, each with its fate.
fn poison() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let now = now_ms();
    let deep = format!("{{\"time\":{now},\"kind\":\"login\",\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let mut all = vec![
        ("not UTF-8", b"{\"time\":1,\"user\":\"\xff\xfe\"}".to_vec(), Rejected("not_utf8")),
        ("not JSON", b"Nov 22 22:00:00 host app: hello".to_vec(), Rejected("not_json")),
        ("cut off", event(json!({})).split_last().unwrap().1.to_vec(), Rejected("not_json")),
        ("an array", b"[1,2]".to_vec(), Rejected("not_object")),
        ("a number", b"17".to_vec(), Rejected("not_object")),
        ("an object in an array 10,000 deep", deep.into_bytes(), Rejected("too_deep")),
        ("over a megabyte", event(json!({"pad": "x".repeat(2_000_000)})), Rejected("too_large")),
        ("a status out of range", event(json!({"status": 70_000})), Rejected("out_of_range")),
        ("negative bytes", event(json!({"bytes": -1})), Rejected("out_of_range")),
        ("a number beyond all", format!("{{\"time\":{now},\"kind\":\"login\",\"bytes\":1e999}}").into_bytes(), Rejected("out_of_range")),
        ("1970", event(json!({"time": 0})), Rejected("too_old")),
        ("2100", event(json!({"time": "2100-01-01T00:00:00Z"})), Rejected("in_the_future")),
        ("no time", event(json!({"time": null})), Rejected("missing_member")),
        ("no kind", event(json!({"kind": null})), Rejected("missing_member")),
        ("a time that is none", event(json!({"time": "yesterday"})), Rejected("bad_time")),
        ("an address that is none", event(json!({"ip": "300.1.2.3"})), Rejected("bad_address")),
        ("an unknown kind", event(json!({"kind": "teleport"})), Rejected("unknown_value")),
        (
            "a member twice",
            format!("{{\"time\":{now},\"kind\":\"login\",\"user\":\"a\",\"user\":\"b\"}}").into_bytes(),
            Rejected("duplicate_member"),
        ),
        ("a user too long", event(json!({"user": "u".repeat(5_000)})), Rejected("too_large")),
        ("an empty value", Vec::new(), Ignored),
        ("NUL in a name", event(json!({"user": "nul\0name"})), Stored("nul\u{fffd}name")),
        ("control characters", event(json!({"user": "bell\u{7}\u{1b}[31m"})), Stored("bell\u{7}\u{1b}[31m")),
        ("right to left", event(json!({"user": "\u{202e}gnp.exe"})), Stored("\u{202e}gnp.exe")),
        ("HTML", event(json!({"user": "<img src=x onerror=alert(1)>"})), Stored("<img src=x onerror=alert(1)>")),
        ("an IPv4-mapped address", event(json!({"user": "mapped", "ip": "::ffff:192.0.2.9"})), Stored("mapped")),
        ("unknown members", event(json!({"user": "extra", "colour": "red", "nested": {"a": [1]}})), Stored("extra")),
    ];
    let texts =
        ["kind", "outcome", "reason", "id", "tenant", "source", "user", "user_kind", "ip", "user_agent", "device", "ja4", "app", "grant"];
    let more = ["factor", "attestation", "session", "token", "token_issued", "token_id", "method", "path"];
    let numbers = ["status", "bytes", "duration_ms"];
    for name in texts.into_iter().chain(more) {
        all.push((name, event(json!({name: ["list"]})), Rejected("wrong_type")));
        all.push((name, event(json!({name: {"an": "object"}})), Rejected("wrong_type")));
    }
    for name in numbers.into_iter().chain(["time"]) {
        all.push((name, event(json!({name: [1]})), Rejected("wrong_type")));
        all.push((name, event(json!({name: true})), Rejected("wrong_type")));
    }
    all.push(("attrs", event(json!({"attrs": "text"})), Rejected("wrong_type")));
    all
}

/// The dead letters of a topic by the offset of the record that died.
fn dead_letters(cluster: &Cluster, topic: &str) -> BTreeMap<usize, Record> {
    let records = cluster.records("bartizan.dlq").into_iter();
    let of_topic = records.filter(|record| header(record, "topic") == topic);
    of_topic.map(|record| (header(&record, "offset").parse().unwrap(), record)).collect()
}

fn header(record: &Record, name: &str) -> String {
    let found = record.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| String::from_utf8(value.clone()).unwrap()).unwrap_or_default()
}

#[test]
fn each_poison_message_has_its_place_and_stops_nothing() {
    let (cluster, topic) = (shared(), unique("poison"));
    cluster.create_topic(&topic, 1);
    cluster.allow_records_of(&topic, 16 << 20);
    let poison = poison();
    // A good record before, between and behind all: its user says after how many of the others it comes.
    let good: Vec<Vec<u8>> = (0..=poison.len()).map(|n| event(json!({"user": format!("good-{n}")}))).collect();
    let mut values: Vec<&[u8]> = vec![&good[0]];
    for ((_, bytes, _), good) in poison.iter().zip(&good[1..]) {
        values.extend([bytes.as_slice(), good.as_slice()]);
    }
    let records: Vec<(&str, &[u8])> = values.iter().map(|value| ("k", *value)).collect();
    cluster.produce(&topic, &records);
    cluster.produce_tombstone(&topic, "k");
    let last = event(json!({"user": "last"}));
    cluster.produce(&topic, &[("k", last.as_slice())]);

    let mut daemon = Daemon::prepare(&(kafka_section(cluster, &unique("group"), &[&topic]) + BASE));
    daemon.launch();
    let taken = poison.iter().filter(|(_, _, fate)| matches!(fate, Stored(_))).count();
    wait_until_stored(&mut daemon, good.len() + taken + 1, SETTLED);

    let rejected = poison.iter().filter(|(_, _, fate)| matches!(fate, Rejected(_))).count();
    let letters = daemon.wait_for("the dead letters", SETTLED, |_| {
        let letters = dead_letters(cluster, &topic);
        (letters.len() >= rejected).then_some(letters)
    });
    assert_eq!(letters.len(), rejected, "{:?}", letters.values().map(|letter| header(letter, "reason")).collect::<Vec<_>>());
    let store = Store::of(&daemon).unwrap();
    for (index, (name, bytes, fate)) in poison.iter().enumerate() {
        let offset = 2 * index + 1;
        match fate {
            Rejected(code) => {
                let letter = letters.get(&offset).unwrap_or_else(|| panic!("{name} is not in the dead-letter topic"));
                let reason = header(letter, "reason");
                assert_eq!((header(letter, "code").as_str(), header(letter, "partition").as_str()), (*code, "0"), "{name}: {reason}");
                assert!(!reason.is_empty() && reason.len() < 400, "{name}: {reason}");
                let whole = header(letter, "bytes");
                if whole.is_empty() {
                    assert_eq!(letter.value, *bytes, "{name}");
                } else {
                    // More than the dead-letter topic takes: its beginning, and how long it was.
                    assert_eq!(whole, bytes.len().to_string(), "{name}");
                    assert!(letter.value.len() > 1_000 && bytes.starts_with(&letter.value), "{name}");
                }
            }
            Stored(user) => {
                let sql = format!("SELECT user, ip_text FROM events FINAL WHERE offset = {offset} FORMAT JSONCompactEachRow");
                let row: Value = serde_json::from_str(&store.query(&sql).unwrap()[0]).unwrap();
                assert_eq!(row[0], *user, "{name}");
                let ip = if *name == "an IPv4-mapped address" { "192.0.2.9" } else { "192.0.2.1" };
                assert_eq!(row[1], ip, "{name}");
            }
            Ignored => assert!(!letters.contains_key(&offset), "{name}"),
        }
    }
    assert_eq!(store.number("SELECT uniqExact(user) FROM events WHERE user LIKE 'good-%'"), Some(good.len()));
}

//! The same through HTTP: what is answered as accepted is durable, judged and told.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::support::http::{block_on, client, send};
use crate::support::scenario::{
    BASE, Kills, Line, SECRET, Script, assert_repeated_only_over, by_id, distinct, kill, now_ms, replayed, revocation_section, revocations,
    wait_until_stored, webhook_section,
};
use crate::support::webhook::Webhook;

const SETTLED: Duration = Duration::from_secs(60);
const THEFTS: usize = 4;

fn body(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{}\n", line.text)).collect()
}

/// Posts lines and asserts that all were accepted.
fn post(daemon: &Daemon, token: &str, lines: &[Line]) {
    let answer = daemon.post("/api/v1/events?format=bartizan", token, body(lines));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["accepted"], lines.len(), "{answer:?}");
}

fn alert_ids(daemon: &Daemon, token: &str) -> BTreeSet<String> {
    let answer = daemon.get("/api/v1/alerts?limit=1000", token);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().iter().map(|alert| alert["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn attacks_over_http_survive_kills_right_after_the_answer() {
    let (told, asked) = (Webhook::start(), Webhook::start());
    let config =
        BASE.to_owned() + &webhook_section("oncall", &told.url("/alerts")) + &revocation_section("identity", &asked.url("/revoke"), false);
    let mut daemon = Daemon::start(&config);
    let (ingest, viewer) = (daemon.token("ingest", None), daemon.token("viewer", None));
    let script = (0..THEFTS).fold(Script::new("acme").ordinary(1_500), |script, n| script.stuffing(n).theft(n));
    let lines = script.lines();
    let mut kills = Kills::new();
    for (number, chunk) in lines.chunks(lines.len().div_ceil(8)).enumerate() {
        post(&daemon, &ingest, chunk);
        // The same again is no news: it counts as accepted and is stored once.
        post(&daemon, &ingest, chunk.get(..20).unwrap());
        if number % 2 == 0 {
            kill(&mut daemon, &mut kills);
            daemon.launch();
            daemon.wait_until_ready(SETTLED);
        }
    }
    wait_until_stored(&mut daemon, distinct(&lines), SETTLED);
    let wanted: BTreeSet<String> = replayed(&daemon, &lines).into_keys().map(|(id, _)| id).collect();
    daemon.wait_for("all alerts in the list", SETTLED, |daemon| (alert_ids(daemon, &viewer).len() >= wanted.len()).then_some(()));
    assert_eq!(alert_ids(&daemon, &viewer), wanted);

    let opened = |received: &[_]| by_id(received).values().filter(|message| message["type"] == "alert.opened").count();
    told.wait_until("all alerts told", SETTLED, |received| opened(received) >= wanted.len());
    asked.wait_until("all thefts acted upon", SETTLED, |received| by_id(&revocations(received)).len() >= THEFTS);
    let (told, asked) = (told.received(), revocations(&asked.received()));
    assert_repeated_only_over(&kills, &told);
    assert_repeated_only_over(&kills, &asked);
    assert_eq!((opened(&told), by_id(&asked).len()), (wanted.len(), THEFTS));
    for request in told.iter().chain(&asked) {
        request.verify(SECRET).unwrap();
    }

    // One alert with the events behind it.
    let id = wanted.first().unwrap();
    let alert = daemon.get(&format!("/api/v1/alerts/{id}"), &viewer).json();
    let events: BTreeSet<&str> = alert["events"].as_array().unwrap().iter().filter_map(|event| event["id"].as_str()).collect();
    assert!(!events.is_empty() && alert["event_ids"].as_array().unwrap().iter().all(|id| events.contains(id.as_str().unwrap())), "{alert}");
}

#[test]
fn a_token_of_one_tenant_sees_and_stamps_that_tenant_alone() {
    let mut daemon = Daemon::start(BASE);
    let tokens: Vec<_> =
        ["acme", "other"].map(|tenant| (daemon.token("ingest", Some(tenant)), daemon.token("analyst", Some(tenant)))).into();
    let (mine, theirs) = (Script::new("acme").stuffing(1).lines(), Script::new("other").stuffing(2).theft(1).lines());
    post(&daemon, &tokens[0].0, &mine);
    post(&daemon, &tokens[1].0, &theirs);
    let foreign = daemon.post("/api/v1/events?format=bartizan", &tokens[0].0, body(&theirs)).json();
    assert_eq!((&foreign["accepted"], foreign["rejected"].as_array().unwrap().len()), (&json!(0), theirs.len()), "{foreign}");
    wait_until_stored(&mut daemon, mine.len() + theirs.len(), SETTLED);
    let other =
        daemon.wait_for("the other tenant's alerts", SETTLED, |daemon| Some(alert_ids(daemon, &tokens[1].1)).filter(|ids| ids.len() >= 2));
    let own = daemon.wait_for("the own alert", SETTLED, |daemon| Some(alert_ids(daemon, &tokens[0].1)).filter(|ids| !ids.is_empty()));
    assert!(own.is_disjoint(&other) && own.len() == 1, "{own:?} {other:?}");
    for id in &other {
        let path = format!("/api/v1/alerts/{id}");
        assert_eq!(daemon.get(&path, &tokens[0].1).status, 404);
        assert_eq!(daemon.patch(&path, &tokens[0].1, &json!({"status": "acknowledged"})).status, 404);
        assert_eq!(daemon.get(&path, &tokens[1].1).status, 200);
    }
    assert_eq!(daemon.get("/api/v1/alerts?tenant=other", &tokens[0].1).status, 400);
    let events = daemon.get("/api/v1/events?limit=1000", &tokens[0].1).json();
    let tenants: BTreeSet<&str> = events["items"].as_array().unwrap().iter().filter_map(|event| event["tenant"].as_str()).collect();
    assert_eq!(tenants, BTreeSet::from(["acme"]), "{events}");
}

#[test]
fn each_bad_record_is_named_and_the_good_ones_are_taken() {
    let daemon = Daemon::start(BASE);
    let token = daemon.token("ingest", Some("acme"));
    let good = |user: &str| json!({"time": now_ms(), "kind": "login", "user": user, "ip": "192.0.2.1"}).to_string();
    let deep = format!("{{\"time\":1,\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let foreign = json!({"time": now_ms(), "kind": "login", "tenant": "other"}).to_string();
    let lines = [good("a"), "no json".to_owned(), deep, good("b"), foreign, r#"{"time":0,"kind":"login"}"#.to_owned(), good("c")];
    let answer = daemon.post("/api/v1/events?format=bartizan", &token, lines.join("\n"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["accepted"], 3, "{answer}");
    let rejected: Vec<(u64, &str)> =
        answer["rejected"].as_array().unwrap().iter().map(|r| (r["line"].as_u64().unwrap(), r["code"].as_str().unwrap())).collect();
    assert_eq!(rejected, [(2, "not_json"), (3, "too_deep"), (5, "wrong_tenant"), (6, "too_old")]);

    let array = format!("[{},17]", good("d"));
    let answer = daemon.post("/api/v1/events?format=bartizan", &token, array).json();
    assert_eq!((&answer["accepted"], &answer["rejected"][0]["line"]), (&json!(1), &json!(2)), "{answer}");
    let empty = daemon.post("/api/v1/events?format=bartizan", &token, "");
    assert_eq!((empty.status, &empty.json()["accepted"]), (200, &json!(0)), "{empty:?}");
    let unknown = daemon.post("/api/v1/events?format=no-such", &token, good("e"));
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert!(unknown.body.contains("format"), "{unknown:?}");
    let reader = daemon.token("viewer", None);
    assert_eq!(daemon.post("/api/v1/events", &reader, good("f")).status, 403);
    assert_eq!(daemon.post("/api/v1/events", "no-token", good("f")).status, 401);
}

/// Posts a packed body.
fn post_packed(daemon: &Daemon, token: &str, encoding: &str, body: Vec<u8>) -> (u16, String) {
    let request = client().post(daemon.url("/api/v1/events?format=bartizan")).bearer_auth(token);
    let answer = send(request.header("content-encoding", encoding).body(body)).unwrap();
    (answer.status, answer.body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn packed_bodies_are_bounded_and_a_broken_one_is_refused_whole() {
    let mut daemon = Daemon::start(BASE);
    let token = daemon.token("ingest", None);
    let events = body(&Script::new("packed").ordinary(200).lines());
    for (encoding, packed) in [("gzip", gzip(events.as_bytes())), ("zstd", zstd::encode_all(events.as_bytes(), 1).unwrap())] {
        let (status, answer) = post_packed(&daemon, &token, encoding, packed.clone());
        assert_eq!((status, serde_json::from_str::<Value>(&answer).unwrap()["accepted"].as_u64()), (200, Some(200)), "{encoding}");
        let (status, answer) = post_packed(&daemon, &token, encoding, packed[..packed.len() / 2].to_vec());
        assert_eq!(status, 400, "a truncated {encoding}: {answer}");
    }
    let bomb = gzip(&vec![b'\n'; 200 << 20]);
    let (status, answer) = post_packed(&daemon, &token, "gzip", bomb);
    assert_eq!(status, 413, "{answer}");
    let (status, answer) = post_packed(&daemon, &token, "identity", vec![b'x'; 50 << 20]);
    assert_eq!(status, 413, "{answer}");
    let (status, answer) = post_packed(&daemon, &token, "rot13", b"x".to_vec());
    assert_eq!(status, 415, "{answer}");
    wait_until_stored(&mut daemon, 200, SETTLED);
}

#[test]
fn one_client_that_floods_is_slowed_and_the_daemon_goes_on() {
    use futures::StreamExt;
    let mut daemon = Daemon::start(&(BASE.to_owned() + "[http]\nrequests_per_second_max = 50\nrequests_burst_max = 100\n"));
    let token = daemon.token("viewer", None);
    let url = daemon.url("/api/v1/alerts");
    let requests = futures::stream::iter((0..2_000).map(|_| {
        let request = client().get(&url).bearer_auth(&token);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
        }
    }));
    let statuses: Vec<(u16, bool)> = block_on(requests.buffer_unordered(100).collect());
    let slowed = statuses.iter().filter(|(status, _)| *status == 429).count();
    assert!(statuses.iter().all(|(status, after)| *status == 200 || (*status == 429 && *after)), "{statuses:?}");
    assert!(slowed > 500, "{slowed} of 2000 slowed");
    daemon.wait_until_ready(SETTLED);
}

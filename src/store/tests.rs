//! The store on the real engine. The child process is this test program itself, started again with
//! one test that serves ([`child`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::embedded::{Embedded, EmbeddedConfig, EmbeddedState, Launch, StartError};
use super::*;
use std::net::Ipv6Addr;
use std::time::Instant;

const CHILD: &str = "BARTIZAN_TEST_EMBEDDED_CHILD";
const PARENT: &str = "BARTIZAN_TEST_EMBEDDED_PARENT";
const DEADLINE: Duration = Duration::from_secs(60);
/// 2026-06-01T00:00:00Z; tests keep far more than three months.
pub(crate) const JUNE_MS: i64 = 1_780_272_000_000;

/// No test of its own: serves as the embedded store's child when told to by the environment.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        // The test runner has begun a line; the report needs one of its own.
        println!();
        embedded::serve().unwrap();
    }
}

/// No test of its own: a daemon that is killed by [`a_child_dies_with_its_parent`].
#[tokio::test]
async fn parent() {
    if let Some(path) = std::env::var_os(PARENT) {
        let embedded = start(Path::new(&path)).await.unwrap();
        println!("\nprocess {}", process(&embedded));
        tokio::time::sleep(DEADLINE).await;
    }
}

fn launch(test: &str, variable: &str, value: &str) -> Launch {
    Launch {
        program: std::env::current_exe().unwrap(),
        arguments: [&format!("store::tests::{test}"), "--exact", "--nocapture", "--quiet"].map(str::to_owned).to_vec(),
        environment: vec![(variable.to_owned(), value.to_owned())],
    }
}

async fn start(path: &Path) -> Result<Embedded, StartError> {
    Embedded::start(&EmbeddedConfig::default(), path, launch("child", CHILD, "1")).await
}

fn process(embedded: &Embedded) -> u32 {
    match &*embedded.state().borrow() {
        EmbeddedState::Ready { process, .. } => *process,
        other => panic!("not ready: {other:?}"),
    }
}

fn config() -> StoreConfig {
    StoreConfig { retention_days: 15_000, ..StoreConfig::default() }
}

/// An empty store on an engine of its own.
pub(crate) async fn store() -> (tempfile::TempDir, Embedded, Store) {
    let folder = tempfile::tempdir().unwrap();
    let embedded = start(folder.path()).await.expect("these tests need the engine: `make build` fetches it");
    let store = Store::embedded(embedded.endpoint(), &config());
    store.migrate().await.unwrap();
    (folder, embedded, store)
}

/// A sign-in that failed.
pub(crate) fn row<'a>(id: &'a str, user: &'a str, time: i64) -> EventRow<'a> {
    EventRow {
        time,
        tenant: "acme",
        id,
        kind: "login",
        outcome: "failure",
        reason: "bad_password",
        source: "auth",
        user,
        user_kind: "human",
        ip: "203.0.113.7".parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64)",
        device: "d1",
        ja4: "t13d1516h2_8daaf6152771_e5627efa2ab1",
        app: "web",
        grant: "password",
        scope: "openid profile",
        factor: "",
        attestation: "unknown",
        session: "s1",
        token_hash: [7; 16],
        token_issued_hash: [0; 16],
        token_id: "",
        method: "",
        path: "",
        status: 0,
        bytes: None,
        duration_ms: Some(0),
        attrs: "{\"a\":1}",
        country: "DE",
        region: "Berlin",
        city: "Berlin",
        latitude: Some(52.5),
        longitude: Some(13.4),
        accuracy_km: 20,
        asn: 64496,
        network_name: "Example",
        network_class: "residential",
        topic: "auth-logs",
        partition: 3,
        offset: 42,
        received_time: time + 5,
    }
}

async fn count(store: &Store) -> u64 {
    store.client.query("SELECT count() FROM events FINAL").fetch_one().await.unwrap()
}

fn all() -> EventFilter {
    EventFilter::default()
}

#[tokio::test]
async fn what_is_inserted_twice_counts_once_and_comes_back_whole() {
    let (_folder, embedded, store) = store().await;
    let rows = [row("e1", "u1", JUNE_MS), row("e2", "u2", JUNE_MS + 1), row("e1", "u1", JUNE_MS + 2)];
    for _ in 0..2 {
        store.insert_events(rows.iter().copied()).await.unwrap();
    }
    store.migrate().await.expect("a second migration does no harm");
    assert_eq!(count(&store).await, 3, "the same id at another time is another event");
    let page = store.events(&all(), None, 10).await.unwrap();
    let ids: Vec<_> = page.events.iter().map(|event| (event.id.as_str(), event.time)).collect();
    assert_eq!(ids, [("e1", JUNE_MS + 2), ("e2", JUNE_MS + 1), ("e1", JUNE_MS)]);
    assert!(page.next.is_none());
    let json = serde_json::to_value(&page.events[2]).unwrap();
    assert_eq!(json["time"], "2026-06-01T00:00:00.000Z");
    assert_eq!(json["ip"], "203.0.113.7");
    assert_eq!(json["token_hash"], "07070707070707070707070707070707");
    assert_eq!(json["attrs"], serde_json::json!({"a": 1}));
    assert_eq!((&json["duration_ms"], json.get("bytes")), (&serde_json::json!(0), None));
    embedded.stop().await;
}

#[tokio::test]
async fn filters_pages_and_summaries_agree() {
    let (_folder, embedded, store) = store().await;
    let ids: Vec<String> = (0..250).map(|n| format!("e{n:03}")).collect();
    // Ten events share each millisecond, so that the cursor has to look at the id too.
    let mut rows: Vec<_> = ids.iter().zip(0..).map(|(id, n)| row(id, if n % 5 == 0 { "anna" } else { "bob" }, JUNE_MS + n / 10)).collect();
    rows[7] = EventRow { tenant: "other", ..rows[7] };
    rows[0] = EventRow { ip: Ipv6Addr::LOCALHOST, outcome: "success", city: "", ..rows[0] };
    store.insert_events(rows.iter().copied()).await.unwrap();
    store.insert_events(rows.iter().copied()).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.events(&all(), after.as_ref(), 33).await.unwrap();
        seen.extend(page.events.into_iter().map(|event| (event.time, event.id)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> = rows.iter().map(|row| (row.time, row.id.to_owned())).collect();
    // Within a millisecond tenants come first: "other" before "acme", going down.
    expected.sort_by_key(|(time, id)| std::cmp::Reverse((*time, id == "e007", id.clone())));
    assert_eq!(seen, expected);
    let of = async |filter: EventFilter| store.events(&filter, None, 1000).await.unwrap().events.len();
    assert_eq!(of(EventFilter { user: Some("anna".to_owned()), ..all() }).await, 50);
    assert_eq!(of(EventFilter { tenant: Some("other".to_owned()), ..all() }).await, 1);
    assert_eq!(of(EventFilter { ip: Some("::1".parse().unwrap()), ..all() }).await, 1);
    assert_eq!(of(EventFilter { ip: Some("203.0.113.7".parse().unwrap()), ..all() }).await, 249);
    assert_eq!(of(EventFilter { since_ms: Some(JUNE_MS + 1), until_ms: Some(JUNE_MS + 3), ..all() }).await, 20);
    assert_eq!(of(EventFilter { outcome: bartizan_core::Outcome::parse("success"), ..all() }).await, 1);
    assert_eq!(of(EventFilter { kind: bartizan_core::Kind::parse("logout"), session: Some("s1".to_owned()), ..all() }).await, 0);
    let named = ["e005".to_owned(), "e007".to_owned(), "e249".to_owned()];
    let found = store.events_by_id("acme", &named, JUNE_MS, JUNE_MS + 10).await.unwrap();
    assert_eq!(found.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["e005"], "one of another tenant, one later");
    let summary = store.entity_summary(Some("acme"), &Entity::User("anna".to_owned())).await.unwrap();
    assert_eq!((summary.first_ms, summary.last_ms, summary.events, summary.truncated), (Some(JUNE_MS), Some(JUNE_MS + 24), 50, false));
    let outcomes: Vec<_> = summary.outcomes.iter().map(|seen| (seen.value.value.as_str(), seen.events)).collect();
    assert_eq!(outcomes, [("failure", 49), ("success", 1)]);
    assert_eq!(summary.ips.iter().map(|seen| seen.value.value.as_str()).collect::<Vec<_>>(), ["203.0.113.7", "::1"]);
    assert_eq!(summary.places[1].value, SeenPlace { country: "DE".into(), region: "Berlin".into(), city: String::new() });
    assert_eq!(summary.networks[0].value, SeenNetwork { asn: 64496, name: "Example".into(), class: "residential".into() });
    let nobody = store.entity_summary(None, &Entity::Session("none".to_owned())).await.unwrap();
    assert_eq!(nobody, EntitySummary::default());
    embedded.stop().await;
}

#[tokio::test]
async fn hostile_texts_come_back_as_they_were() {
    let (_folder, embedded, store) = store().await;
    let texts = [
        "a\0b",
        "'; DROP TABLE events; --",
        "\"`\\",
        "\u{202e}gnp.exe",
        "<img src=x onerror=alert(1)>",
        "tab\tline\nreturn\r",
        "\u{1F98A} \u{feff}",
        "{user:String} ? ??",
        "\\N",
        "\\'\\t",
    ];
    let ids: Vec<String> = (0..texts.len()).map(|n| n.to_string()).collect();
    let rows: Vec<_> = texts.iter().zip(&ids).map(|(text, id)| EventRow { session: text, ..row(id, text, JUNE_MS) }).collect();
    store.insert_events(rows.iter().copied()).await.unwrap();
    for (text, id) in texts.iter().zip(&ids) {
        let filter = EventFilter { user: Some((*text).to_owned()), session: Some((*text).to_owned()), ..all() };
        let page = store.events(&filter, None, 10).await.unwrap();
        assert_eq!(page.events.iter().map(|event| (&event.id, event.user.as_str())).collect::<Vec<_>>(), [(id, *text)], "{text:?}");
    }
    embedded.stop().await;
}

#[tokio::test]
async fn a_backfill_of_many_months_goes_in() {
    let (_folder, embedded, store) = store().await;
    let ids: Vec<String> = (0..200).map(|n| format!("m{n}")).collect();
    // 200 months, of which one insert may touch at most 100; then 14 months at once.
    let rows: Vec<_> = ids.iter().zip(0..).map(|(id, n)| row(id, "u", JUNE_MS - n * 30 * DAY_MS)).collect();
    store.insert_events(rows.iter().copied()).await.unwrap();
    assert_eq!(count(&store).await, 200);
    store.insert_events(rows[..14].iter().copied()).await.unwrap();
    assert_eq!(count(&store).await, 200);
    embedded.stop().await;
}

#[tokio::test]
async fn a_killed_engine_loses_nothing_and_comes_back_at_the_same_address() {
    let (_folder, embedded, store) = store().await;
    let ids: Vec<String> = (0..1_000).map(|n| format!("k{n}")).collect();
    let rows: Vec<_> = ids.iter().zip(0..).map(|(id, n)| row(id, "u", JUNE_MS + n)).collect();
    store.insert_events(rows.iter().copied()).await.unwrap();
    let first = process(&embedded);
    // A service manager asks every process of the group to stop; only the daemon may decide.
    signal("-TERM", first);
    store.insert_events(rows[..10].iter().copied()).await.unwrap();
    assert_eq!(process(&embedded), first);
    signal("-KILL", first);
    // The caller's part: repeat what may be repeated until it works.
    let begun = Instant::now();
    while let Err(error) = store.insert_events(rows[..10].iter().copied()).await {
        assert_eq!(error.class(), ErrorClass::Retry, "{error}");
        assert!(begun.elapsed() < DEADLINE, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count(&store).await, 1_000);
    assert_ne!(process(&embedded), first);
    embedded.stop().await;
}

#[tokio::test]
async fn a_second_daemon_on_the_same_directory_is_refused() {
    let (folder, embedded, _store) = store().await;
    let Err(error) = start(folder.path()).await else { panic!("two daemons share a directory") };
    let text = error.to_string();
    assert!(matches!(error, StartError::InUse { .. }) && text.contains(&format!("(process {})", std::process::id())), "{text}");
    embedded.stop().await;
    // A process that another test is just starting has the lock, too, until it is that other program.
    let begun = Instant::now();
    let again = loop {
        match start(folder.path()).await {
            Err(StartError::InUse { .. }) if begun.elapsed() < DEADLINE => tokio::time::sleep(Duration::from_millis(20)).await,
            again => break again.expect("free again"),
        }
    };
    again.stop().await;
}

#[tokio::test]
async fn a_missing_engine_is_said_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { library: Some("/nowhere/libchdb.so".into()), ..EmbeddedConfig::default() };
    let Err(error) = Embedded::start(&config, folder.path(), launch("child", CHILD, "1")).await else {
        panic!("started without an engine")
    };
    assert!(error.to_string().contains("/nowhere/libchdb.so") && error.to_string().contains("clickhouse.url"), "{error}");
    let damaged = folder.path().join("libchdb.so");
    std::fs::write(&damaged, "no library").unwrap();
    let config = EmbeddedConfig { library: Some(damaged), ..EmbeddedConfig::default() };
    let Err(error) = Embedded::start(&config, folder.path(), launch("child", CHILD, "1")).await else {
        panic!("started with a damaged engine")
    };
    assert!(error.to_string().contains("cannot be loaded"), "{error}");
}

#[tokio::test]
async fn a_child_dies_with_its_parent() {
    use tokio::io::AsyncBufReadExt;
    let folder = tempfile::tempdir().unwrap();
    let launch = launch("parent", PARENT, folder.path().to_str().unwrap());
    let mut parent = tokio::process::Command::new(launch.program)
        .args(launch.arguments)
        .envs(launch.environment)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(parent.stdout.take().unwrap()).lines();
    let child: u32 = loop {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().expect("the parent ended");
        if let Some(process) = line.strip_prefix("process ") {
            break process.parse().unwrap();
        }
    };
    assert!(is_alive(child));
    parent.kill().await.unwrap();
    // The next daemon waits for the orphan to let go of the data.
    start(folder.path()).await.unwrap().stop().await;
    let begun = Instant::now();
    while is_alive(child) {
        assert!(begun.elapsed() < DEADLINE, "the child outlived its parent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn any_http_client_may_ask_with_the_credential_alone() {
    let (folder, embedded, store) = store().await;
    store.insert_events([row("e1", "u1", JUNE_MS)].into_iter()).await.unwrap();
    let endpoint: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("endpoint.json")).unwrap()).unwrap();
    let [url, user, password] = ["url", "user", "password"].map(|key| endpoint[key].as_str().unwrap().to_owned());
    // Whichever provider another test installed first is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::new();
    let address = |pairs: &[(&str, &str)]| {
        let pairs = form_urlencoded::Serializer::new(String::new()).append_pair("database", "bartizan").extend_pairs(pairs).finish();
        format!("{url}/?{pairs}")
    };
    let ask_with =
        |query: &str, name: &str, value: &str| client.post(address(&[("query", query), (name, value)])).basic_auth(&user, Some(&password));
    let ask = |query: &str| ask_with(query, "query_id", "");
    let text = ask("SELECT user, ip_text FROM events FORMAT JSONEachRow").send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "{\"user\":\"u1\",\"ip_text\":\"203.0.113.7\"}\n");
    let insert = ask("INSERT INTO schema_migrations FORMAT JSONEachRow")
        .body("{\"version\":0,\"name\":\"x\",\"applied_time\":0}")
        .send()
        .await
        .unwrap();
    assert_eq!(insert.status(), 200, "{}", insert.text().await.unwrap());
    for bad in ["{\"version\":\"x\"}", "{", "[1,2]"] {
        let refused = ask("INSERT INTO schema_migrations FORMAT JSONEachRow").body(bad).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{bad}: {}", refused.text().await.unwrap());
    }
    let insert = ask("INSERT INTO schema_migrations VALUES").body("(0, 'y', 0)").send().await.unwrap();
    assert_eq!(insert.status(), 200, "sessions live on after bad rows: {}", insert.text().await.unwrap());
    let insert = ask("INSERT INTO schema_migrations VALUES (0, 'z', 0)").send().await.unwrap();
    assert_eq!(insert.status(), 200, "{}", insert.text().await.unwrap());
    let compressed = ask_with("SELECT repeat('x', 100) AS x", "compress", "1").send().await.unwrap().bytes().await.unwrap();
    assert!(compressed.len() < 80, "{}", compressed.len());
    let wrong = ask("SELECT no_such_column FROM events").send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), wrong.headers()["X-ClickHouse-Exception-Code"].to_str().unwrap()), (404, "47"));
    let setting = ask_with("SELECT getSetting('max_threads')", "max_threads", "1").send().await.unwrap().text().await.unwrap();
    assert_eq!(setting, "1\n");
    let slow = ask_with("SELECT sum(number) FROM numbers(1000000000000) WHERE sipHash64(number) % 7 = 3", "max_execution_time", "1")
        .send()
        .await
        .unwrap();
    assert_eq!(slow.headers()["X-ClickHouse-Exception-Code"], "159");
    for response in [
        client.post(&url).body("SELECT 1").send().await.unwrap(),
        client.post(&url).basic_auth(&user, Some("wrong")).body("SELECT 1").send().await.unwrap(),
    ] {
        assert_eq!(response.status(), 403);
    }
    let get = client.get(address(&[("query", "DROP TABLE events")])).basic_auth(&user, Some(&password)).send().await.unwrap();
    assert_eq!(get.status(), 403);
    embedded.stop().await;
}

#[tokio::test]
async fn a_server_is_reached_by_its_address_with_a_password_file_and_compression() {
    let (folder, embedded, _store) = store().await;
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, format!("{}\n", embedded.endpoint().password)).unwrap();
    let mut server = ClickHouseConfig {
        url: embedded.endpoint().url.clone(),
        database: "other_1".to_owned(),
        user: embedded.endpoint().user.clone(),
        password_file: Some(password_file.clone()),
    };
    let store = Store::server(&server, &config()).unwrap();
    store.migrate().await.unwrap();
    let ids: Vec<String> = (0..10_000).map(|n| format!("c{n}")).collect();
    store.insert_events(ids.iter().zip(0..).map(|(id, n)| row(id, "u", JUNE_MS + n))).await.unwrap();
    assert_eq!(count(&store).await, 10_000);
    store.ping().await.unwrap();
    std::fs::write(&password_file, "wrong").unwrap();
    let error = Store::server(&server, &config()).unwrap().ping().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal, "{error}");
    server.url = "http://127.0.0.1:1".to_owned();
    let error = Store::server(&server, &config()).unwrap().migrate().await.unwrap_err();
    assert!(error.class() == ErrorClass::Retry && error.to_string().contains("refused"), "{error}");
    server.database = "it's `mine`".to_owned();
    assert!(Store::server(&server, &config()).err().unwrap().to_string().contains("clickhouse.database"));
    server.url = "clickhouse:8123".to_owned();
    assert!(Store::server(&server, &config()).err().unwrap().to_string().contains("clickhouse.url"));
    embedded.stop().await;
}

#[tokio::test]
async fn retention_follows_the_configuration() {
    let (_folder, embedded, store) = store().await;
    let shorter = Store::embedded(embedded.endpoint(), &StoreConfig { retention_days: 7, ..StoreConfig::default() });
    shorter.migrate().await.unwrap();
    let table: String = store.client.query("SHOW CREATE TABLE events").fetch_one().await.unwrap();
    assert!(table.contains("toIntervalDay(7)") && !table.contains("toIntervalDay(15000)"), "{table}");
    embedded.stop().await;
}

#[tokio::test]
async fn active_sessions_are_counted_by_tenant() {
    let (_folder, embedded, store) = store().await;
    let names: Vec<String> = (0..500).map(|number| format!("s{number}")).collect();
    let of = |tenant, time| names.iter().map(move |name| EventRow { session: name, tenant, ..row(name, "u1", time) });
    let rows: Vec<_> = of("acme", JUNE_MS + 1).chain(of("beta", JUNE_MS).take(20)).chain(of("old", JUNE_MS - 1)).collect();
    store.insert_events(rows.iter().cloned()).await.unwrap();
    store.insert_events(rows.iter().cloned()).await.unwrap();
    store.insert_events(std::iter::once(EventRow { session: "", tenant: "none", ..row("e", "u1", JUNE_MS) })).await.unwrap();
    let counted = store.active_sessions(JUNE_MS).await.unwrap();
    assert_eq!(counted.keys().collect::<Vec<_>>(), ["acme", "beta"]);
    assert!((475..=525).contains(&counted["acme"]) && counted["beta"] == 20, "{counted:?}");
    let one = Store::embedded(embedded.endpoint(), &StoreConfig { tenants_counted_max: 1, ..config() });
    assert_eq!(one.active_sessions(JUNE_MS).await.unwrap().len(), 1);
    embedded.stop().await;
}

#[tokio::test]
async fn every_version_of_an_alert_is_kept_once() {
    let (_folder, embedded, store) = store().await;
    let alert = |version: u32| -> Alert {
        serde_json::from_value(serde_json::json!({
            "id": "a1", "version": version, "detector": "credential_stuffing", "title": "t", "severity": "high", "confidence": 0.5,
            "status": "open", "tenant": "acme", "key": "ip:203.0.113.7", "ongoing": true, "first_event_time": "2026-06-01T00:00:00Z",
            "last_event_time": "2026-06-01T00:00:01Z", "detected_time": "2026-06-01T00:00:01Z", "event_count": 3,
            "entities": {"users": ["u1"], "ips": ["203.0.113.7"]}, "subjects": [], "reason": "r", "evidence": {"failures": 3},
            "event_ids": ["e1"], "attack": [], "actions": []
        }))
        .unwrap()
    };
    for versions in [[alert(1), alert(2)], [alert(2), alert(3)]] {
        store.insert_alert_versions(&versions, JUNE_MS).await.unwrap();
    }
    assert_eq!(store.alert_versions("acme", "a1").await.unwrap(), [alert(1), alert(2), alert(3)]);
    assert!(store.alert_versions("other", "a1").await.unwrap().is_empty());
    embedded.stop().await;
}

/// Figures, on request: `cargo test --release --lib store::tests::figures -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "measures, and takes a while"]
async fn figures() {
    const ROWS: usize = 1_000_000;
    let (_folder, embedded, store) = store().await;
    let ids: Vec<String> = (0..ROWS).map(|n| format!("auth-logs/3/{n}")).collect();
    let users: Vec<String> = (0..50_000).map(|n| format!("user-{n}@example.org")).collect();
    let rows = ids.iter().enumerate().map(|(n, id)| row(id, &users[n * 7919 % users.len()], JUNE_MS + n as i64 * 20));
    let begun = Instant::now();
    store.insert_events(rows).await.unwrap();
    println!("inserted {:.0} rows/s", ROWS as f64 / begun.elapsed().as_secs_f64());
    for (what, filter) in [
        ("newest 100", all()),
        ("one user of 50,000", EventFilter { tenant: Some("acme".to_owned()), user: Some(users[1234].clone()), ..all() }),
    ] {
        for time in ["first", "again"] {
            let begun = Instant::now();
            let found = store.events(&filter, None, 100).await.unwrap().events.len();
            println!("{what}, {time}: {found} events in {:.1?}", begun.elapsed());
        }
    }
    let begun = Instant::now();
    let summary = store.entity_summary(Some("acme"), &Entity::Ip("203.0.113.7".parse().unwrap())).await.unwrap();
    println!("summary of the busiest address: {} events in {:.1?}", summary.events, begun.elapsed());
    let status = std::fs::read_to_string(format!("/proc/{}/status", process(&embedded))).unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
    embedded.stop().await;
}

fn signal(signal: &str, process: u32) {
    assert!(std::process::Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Runs and is no zombie waiting for its parent.
fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

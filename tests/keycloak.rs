//! A real Keycloak server as the source: its events by the forwarder to Kafka or HTTP ingest, and to an alert.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::kafka::{Broker, shared as kafka};
use crate::support::keycloak::{NETWORKS, OWNER, THIEF, forward, section as keycloak_section, shared as keycloak};
use crate::support::process::Process;
use crate::support::scenario::{BASE, now_ms};
use crate::support::{unique, wait_for};

const SETTLED: Duration = Duration::from_secs(90);
fn texts(events: &Value, name: &str) -> Vec<String> {
    let events = events["items"].as_array().expect("a list");
    events.iter().map(|event| event[name].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_refresh_token_that_comes_back_is_an_alert_within_seconds() {
    let (cluster, topic, tenant) = (kafka(), unique("keycloak-events"), unique("shop"));
    cluster.create_topic(&topic, 2);
    let realm = keycloak().realm("shop");
    let ann = realm.user("ann", "right");
    let base = BASE.replace("networks = []", "networks = [\"asn.csv\"]");
    let kafka = format!(
        "[kafka]\nbrokers = \"{}\"\ngroup = \"{}\"\ntopics = [{{ name = \"{topic}\", format = \"keycloak\" }}]\n",
        cluster.brokers,
        unique("group")
    );
    let mut daemon = Daemon::prepare(&(base + &kafka + &keycloak_section(&realm, &tenant, &format!("topic = \"{topic}\""))));
    daemon.write("asn.csv", NETWORKS);
    daemon.launch();
    let mut forwarder = forward(&daemon);
    daemon.wait_until_ready(SETTLED);
    let viewer = daemon.token("viewer", None);

    assert_eq!(realm.password_form("ann", "wrong", OWNER).status, 200, "the form again");
    let first = realm.sign_in("ann", "right", OWNER);
    let second = realm.refreshed(&first.refresh, OWNER);
    let third = realm.refreshed(&second.refresh, OWNER);
    assert_eq!(realm.sessions(&ann), std::slice::from_ref(&first.session));
    assert!(realm.is_active(&third.access));

    let alerts = format!("/api/v1/alerts?detector=token_reuse&tenant={tenant}");
    let listed = |daemon: &Daemon, path: &str| daemon.get(path, &viewer).json();
    let of_session = format!("/api/v1/events?tenant={tenant}&session={}", first.session);
    daemon.wait_for("the owner's events", SETTLED, |daemon| (texts(&listed(daemon, &of_session), "id").len() >= 4).then_some(()));
    assert_eq!(texts(&listed(&daemon, &alerts), "id"), [""; 0], "the owner's own refreshes are no theft");

    let replayed_ms = now_ms();
    realm.refreshed(&first.refresh, THIEF);
    let alert = daemon.wait_for("the alert", SETTLED, |daemon| {
        assert!(forwarder.ended().is_none(), "the forwarder ended: {}", forwarder.log());
        listed(daemon, &alerts)["items"].get(0).cloned()
    });
    let seen_ms = now_ms() - replayed_ms;
    println!("from the replay to the alert in the API: {seen_ms} ms");
    assert_eq!(alert["entities"]["sessions"], serde_json::json!([first.session]), "{alert}");
    assert_eq!(alert["entities"]["users"], serde_json::json!([ann]), "{alert}");
    assert!(alert["entities"]["ips"].as_array().unwrap().contains(&THIEF.into()), "{alert}");

    realm.sign_out(&third.refresh, OWNER);
    assert!(realm.sessions(&ann).is_empty() && !realm.is_active(&third.access));
    let all = format!("/api/v1/events?tenant={tenant}&user={ann}&limit=1000");
    let kinds = daemon.wait_for("the sign-out", SETTLED, |daemon| {
        let kinds = texts(&listed(daemon, &all), "kind");
        kinds.contains(&"logout".to_owned()).then_some(kinds)
    });
    let kinds: BTreeSet<_> = kinds.iter().map(String::as_str).collect();
    assert_eq!(kinds, ["login", "logout", "signup", "token_issue", "token_refresh"].into(), "{kinds:?}");

    // Every event that the server saved is in the topic, and each of them stored once, though some come again.
    forwarder.kill();
    let mut forwarder = forward(&daemon);
    let saved: BTreeSet<String> = realm.events().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let whole = format!("/api/v1/events?tenant={tenant}&limit=1000");
    let stored = daemon.wait_for("all events", SETTLED, |daemon| {
        assert!(forwarder.ended().is_none(), "the forwarder ended: {}", forwarder.log());
        let ids = texts(&listed(daemon, &whole), "id");
        saved.iter().all(|id| ids.contains(id)).then_some(ids)
    });
    assert_eq!(stored.len(), stored.iter().collect::<BTreeSet<_>>().len(), "each once");
    assert!(forwarder.terminate(SETTLED).success());
}

#[test]
fn what_happens_while_the_broker_or_the_forwarder_is_away_comes_later() {
    let mut broker = Broker::start();
    broker.cluster.create_topic("keycloak-events", 1);
    let realm = keycloak().realm("away");
    realm.user("bob", "right");
    let kafka = format!("[kafka]\nbrokers = \"{}\"\n", broker.cluster.brokers);
    let daemon = Daemon::prepare(&(kafka + &keycloak_section(&realm, "", "")));
    let forwarder = forward(&daemon);
    let ids = |broker: &Broker| -> BTreeSet<String> {
        let id = |value: &[u8]| {
            let event: Value = serde_json::from_slice(value).unwrap();
            assert_eq!(event["realmName"], realm.name.as_str());
            event["id"].as_str().unwrap().to_owned()
        };
        broker.cluster.records("keycloak-events").iter().map(|record| id(&record.value)).collect()
    };
    realm.sign_in("bob", "right", OWNER);
    wait_for("the first events", SETTLED, || (!ids(&broker).is_empty()).then_some(()));
    broker.kill();
    realm.sign_in("bob", "right", OWNER);
    drop(forwarder);
    realm.sign_in("bob", "right", THIEF);
    broker.start_again();
    let mut forwarder = forward(&daemon);
    let saved: BTreeSet<String> = realm.events().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    wait_for("all events in the topic", SETTLED, || {
        assert!(forwarder.ended().is_none(), "the forwarder ended: {}", forwarder.log());
        saved.is_subset(&ids(&broker)).then_some(())
    });
    assert!(forwarder.terminate(SETTLED).success());
}

#[test]
fn without_kafka_events_go_to_http_ingest() {
    let realm = keycloak().realm("plain");
    let carl = realm.user("carl", "right");
    let mut daemon = Daemon::start(BASE);
    let section = keycloak_section(
        &realm,
        "",
        &format!("ingest_url = \"{}\"\ningest_token_file = \"ingest.token\"\nadmin_events = false", daemon.url("/api/v1/events")),
    );
    daemon.write("ingest.token", &daemon.token("ingest", None));
    daemon.configure(&(BASE.to_owned() + &section));
    let forwarder = forward(&daemon);
    let signed_in = realm.sign_in("carl", "right", OWNER);
    let viewer = daemon.token("viewer", None);
    daemon.wait_for("the sign-in", SETTLED, |daemon| {
        let events = daemon.get(&format!("/api/v1/events?user={carl}&session={}", signed_in.session), &viewer).json();
        texts(&events, "kind").contains(&"login".to_owned()).then_some(())
    });
    assert!(forwarder.terminate(SETTLED).success());
}

#[test]
fn a_forwarder_that_is_not_let_in_says_so_and_a_wrong_configuration_ends_it() {
    let realm = keycloak().realm("wrong");
    let nowhere = Daemon::prepare(&keycloak_section(&realm, "", ""));
    nowhere.write("keycloak.secret", "wrong");
    let ended = nowhere.run(&["forward", "keycloak", "-c", "bartizan.toml"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("nowhere to forward to"), "{ended:?}");

    let daemon =
        Daemon::prepare(&(keycloak_section(&realm, "", "ingest_url = \"http://127.0.0.1:9/\"\ningest_token_file = \"keycloak.secret\"")));
    daemon.write("keycloak.secret", "wrong");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
    command.args(["forward", "keycloak", "-c", "bartizan.toml"]).current_dir(&daemon.folder);
    let mut forwarder = Process::start(&mut command, &daemon.folder.join("forward.log"));
    forwarder.wait_for("its complaint", SETTLED, |process| process.log().contains("Keycloak gave no token").then_some(()));
    assert!(forwarder.terminate(SETTLED).success());
}

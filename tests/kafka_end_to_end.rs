//! Traffic through Kafka to the store, the alerts topic, mail, a webhook, a revocation hook and the page.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::browse;
use crate::support::daemon::Daemon;
use crate::support::kafka::shared;
use crate::support::scenario::{
    Line, SECRET, Script, Store, by_id, distinct, kafka_section, revocation_section, revocations, simulated, told_versions,
    wait_until_stored, webhook_section,
};
use crate::support::smtp::{Encryption, Smtp};
use crate::support::tls::Authority;
use crate::support::unique;
use crate::support::webhook::Webhook;

const SETTLED: Duration = Duration::from_secs(90);
const DETECTORS: [&str; 4] = ["credential_stuffing", "impossible_travel", "token_reuse", "unusual_location"];
const THEFTS: usize = 3;

fn email_section(server: &Smtp) -> String {
    format!(
        "[[channels]]\nname = \"mail\"\nkind = \"email\"\nsmtp = \"smtps://mailer@localhost:{}\"\npassword_file = \"mail.secret\"\n\
         from = \"Bartizan <bartizan@example.org>\"\nto = [\"oncall@example.org\"]\nmin_severity = \"high\"\nca_file = \"ca.pem\"\n",
        server.port
    )
}

/// The ids of a tenant's alerts in the API's list, page by page.
fn listed(daemon: &Daemon, token: &str, tenant: &str) -> BTreeSet<String> {
    let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = daemon.get(&format!("/api/v1/alerts?tenant={tenant}&limit=2{cursor}"), token);
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        ids.extend(page["items"].as_array().unwrap().iter().map(|alert| alert["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[test]
fn attacks_in_kafka_are_found_stored_told_and_acted_upon() {
    let (cluster, auth, api, tenant) = (shared(), unique("auth"), unique("api"), unique("acme"));
    cluster.create_topic(&auth, 3);
    cluster.create_topic(&api, 2);
    let script = (0..THEFTS).fold(Script::new(&tenant).ordinary(300), |script, n| script.stuffing(n).theft(n));
    let sessions: BTreeSet<String> = (0..THEFTS).map(|n| script.session(n)).collect();
    let mut lines: Vec<Line> = simulated(7, 16_000, 3, 0.87).into_iter().chain(script.lines()).collect();
    lines.sort_by_key(|line| line.time_ms);
    // Brokers take no records an hour ahead of their clock.
    lines.retain(|line| line.time_ms < crate::support::scenario::now_ms() + 1_800_000);

    let authority = Authority::new();
    let mail = Smtp::start_secure(&authority, Encryption::Implicit, "mailer", "right");
    let (told, asked, rehearsed) = (Webhook::start(), Webhook::start(), Webhook::start());
    let mut config = kafka_section(cluster, &unique("group"), &[&auth, &api]) + &email_section(&mail);
    config += &webhook_section("oncall", &told.url("/alerts"));
    config += &revocation_section("identity", &asked.url("/revoke"), false);
    config += &revocation_section("rehearsal", &rehearsed.url("/revoke"), true);
    let mut daemon = Daemon::prepare(&config);
    daemon.write("mail.secret", "right\n");
    daemon.write("ca.pem", &std::fs::read_to_string(&authority.ca_file).unwrap());
    daemon.launch();
    let topic = |line: &Line| if line.kind == "api_request" { api.as_str() } else { auth.as_str() };
    cluster.produce_at(lines.iter().map(|line| (topic(line), line.user.as_str(), line.time_ms, line.text.as_bytes())));
    wait_until_stored(&mut daemon, distinct(&lines), SETTLED);

    asked.wait_until("a call for each theft", SETTLED, |received| by_id(&revocations(received)).len() >= THEFTS);
    let told_of = |received: &[_]| by_id(received).values().filter(|message| message["data"]["tenant"] == tenant.as_str()).count();
    told.wait_until("a webhook for each attack", SETTLED, |received| told_of(received) >= 2 * THEFTS);
    let hits = daemon.wait_for("all detectors in the alerts topic", SETTLED, |_| {
        let records = cluster.records("bartizan.alerts");
        let tenants = [tenant.as_str(), "orchard", "meridian", "harbour", "monsoon"];
        let alerts: Vec<Value> = tenants.iter().flat_map(|tenant| told_versions(&records, tenant).into_values()).collect();
        let found: BTreeSet<&str> = alerts.iter().filter_map(|alert| alert["detector"].as_str()).collect();
        assert!(
            records
                .iter()
                .all(|record| serde_json::from_slice::<Value>(&record.value).unwrap()["id"].as_str().unwrap().as_bytes() == record.key)
        );
        DETECTORS.iter().all(|detector| found.contains(detector)).then_some(alerts)
    });
    let is_in_an_incident = |alert: &Value| alert["severity"] == "low" || alert["incident"].is_string();
    let raw = cluster.records("bartizan.alerts").into_iter().map(|record| serde_json::from_slice::<Value>(&record.value).unwrap());
    assert!(raw.filter(|alert| alert["tenant"] == tenant.as_str()).all(|alert| is_in_an_incident(&alert)));
    for alert in &hits {
        let members =
            ["id", "version", "detector", "title", "severity", "confidence", "status", "tenant", "first_event_time", "last_event_time"];
        let more = ["event_count", "entities", "subjects", "reason", "evidence", "event_ids", "attack", "actions"];
        let missing: Vec<_> = members.into_iter().chain(more).filter(|member| alert.get(member).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?} in {alert}");
    }

    // The revocation hook: signed, one call a session, within its time; a rehearsal sends nothing.
    let calls = revocations(&asked.received());
    let named: BTreeSet<String> = calls.iter().map(|call| call.json()["data"]["session"].as_str().unwrap().to_owned()).collect();
    let (of_script, ids) = (calls.iter().filter(|call| call.json()["data"]["tenant"] == tenant.as_str()), by_id(&calls));
    assert_eq!(ids.len(), calls.len(), "no call comes twice");
    assert!(sessions.is_subset(&named), "{named:?}");
    assert_eq!(of_script.count(), THEFTS);
    for call in &calls {
        call.verify(SECRET).unwrap();
        let body = call.json();
        assert_eq!((body["type"].as_str(), body["data"]["action"].as_str()), (Some("session.revoke"), Some("revoke_session")), "{body}");
        assert!(body["data"]["not_after"].as_str() > body["data"]["issued_before"].as_str(), "{body}");
    }
    assert!(rehearsed.received().is_empty());

    // The webhook.
    let messages = told.received();
    assert_eq!(by_id(&messages).len(), messages.len(), "no message comes twice");
    for message in &messages {
        message.verify(SECRET).unwrap();
    }
    let opened = messages
        .iter()
        .map(|message| message.json())
        .filter(|message| message["type"] == "alert.opened" && message["data"]["tenant"] == tenant.as_str());
    let opened: BTreeSet<String> = opened.map(|message| message["data"]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(opened.len(), 2 * THEFTS);

    // Mail: the thefts are hits.
    let mails = mail.wait_for_mails(THEFTS, SETTLED);
    let of_script: Vec<_> = mails.iter().filter(|mail| mail.raw.contains("victim-")).collect();
    assert_eq!(of_script.len(), THEFTS);
    let ids: BTreeSet<&String> = mails.iter().map(|mail| &mail.headers["message-id"]).collect();
    assert_eq!(ids.len(), mails.len(), "a Message-ID of its own for each");
    for mail in of_script {
        assert!(mail.tls && mail.user.as_deref() == Some("mailer"), "{mail:?}");
        assert!(mail.text.as_deref().is_some_and(|text| text.contains("victim-")), "{mail:?}");
        assert!(mail.html.as_deref().is_some_and(|html| html.contains("victim-")), "{mail:?}");
    }

    // The API and the store's own history of alerts agree with what was told.
    daemon.wait_until_ready(SETTLED);
    let token = daemon.token("viewer", None);
    assert_eq!(listed(&daemon, &token, &tenant), opened);
    daemon.wait_for("the alert versions in the store", SETTLED, |daemon| {
        let sql = format!("SELECT uniqExact(id) FROM alerts WHERE tenant = '{tenant}'");
        (Store::of(daemon)?.number(&sql)? == opened.len()).then_some(())
    });
    shown_on_the_page(&daemon, &token);
}

/// Signs in on the page and opens the newest alert, by keyboard alone.
fn shown_on_the_page(daemon: &Daemon, token: &str) {
    let outcome = browse(&json!([
        {"do": "goto", "url": daemon.url("/#/alerts")},
        {"do": "fill", "selector": "#token", "value": token},
        {"do": "press", "key": "Enter"},
        {"do": "wait_count", "selector": "tr.alert", "at_least": 6},
        {"do": "texts", "selector": "tr.alert", "name": "rows"},
        {"do": "press", "key": "j"},
        {"do": "press", "key": "Enter"},
        {"do": "wait", "selector": "text=Evidence"},
        {"do": "text", "selector": "main", "name": "alert"},
    ]));
    assert_eq!(outcome.error, None, "{outcome:?}");
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    let rows = outcome.values["rows"].to_string();
    assert!(rows.contains("Credential stuffing") || rows.contains("refresh token"), "{rows}");
}

//! What chat and pager receive in the course of an incident, against the forms that Slack, Microsoft and PagerDuty publish
//! themselves. Lengths and meanings, which no type tells, are held to in `notify::channels::tests`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::support::published::refused;
use crate::support::scenario::{BASE, Script};
use crate::support::webhook::{Reply, Webhook};

const SETTLED: Duration = Duration::from_secs(60);

/// What an incident's life tells: the opening, a step of a person's, its end; and the test of a channel.
const MESSAGES: usize = 4;

#[test]
fn chat_and_pager_receive_what_their_services_publish() {
    let services = [("slack", 200, "ok"), ("teams", 202, ""), ("pagerduty", 202, r#"{"status":"success"}"#)];
    let receivers = services.map(|(_, status, body)| {
        let receiver = Webhook::start();
        receiver.reply_always(Reply { body, ..Reply::from(status) });
        receiver
    });
    let tables = services.iter().zip(&receivers).map(|((kind, ..), receiver)| {
        let secret = if *kind == "pagerduty" { "secret = \"0123456789abcdef0123456789abcdef\"\n" } else { "" };
        let url = receiver.url("/in");
        format!("[[channels]]\nname = \"{kind}\"\nkind = \"{kind}\"\nurl = \"{url}\"\nallow_private = true\n{secret}")
    });
    let console = "[http]\npublic_url = \"https://bartizan.example\"\n";
    let mut daemon = Daemon::start(&format!("{BASE}{console}{}", tables.collect::<String>()));
    let (ingest, admin) = (daemon.token("ingest", None), daemon.token("admin", None));
    for (kind, ..) in services {
        let tried = daemon.post(&format!("/api/v1/channels/{kind}/test"), &admin, "").json();
        assert_eq!(tried["delivered"], true, "{tried}");
    }
    let lines: String = Script::new("acme").ordinary(100).theft(0).lines().iter().map(|line| format!("{}\n", line.text)).collect();
    assert_eq!(daemon.post("/api/v1/events", &ingest, lines).status, 200);
    let incident = daemon.wait_for("an incident", SETTLED, |daemon| {
        let found = daemon.get("/api/v1/incidents", &admin).json();
        found["items"][0]["id"].as_str().map(str::to_owned)
    });
    let steps = [json!({"status": "acknowledged"}), json!({"status": "resolved", "disposition": "true_positive"})];
    for (step, told) in steps.iter().zip(2..) {
        receivers.iter().for_each(|receiver| drop(receiver.wait_for_count(told, SETTLED)));
        let answer = daemon.patch(&format!("/api/v1/incidents/{incident}"), &admin, step);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for ((service, ..), receiver) in services.iter().zip(&receivers) {
        let bodies: Vec<Value> = receiver.wait_for_count(MESSAGES, SETTLED).iter().map(|request| request.json()).collect();
        assert_eq!(refused(service, &bodies), BTreeMap::new());
    }
    let actions = receivers[2].received();
    let actions: Vec<_> = actions.iter().map(|request| request.json()["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "trigger", "acknowledge", "resolve"]);
}

#[test]
fn the_published_forms_refuse_what_is_not_of_them() {
    let golden = |service: &str| -> Value {
        let path = format!("{}/tests/goldens/{service}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    // A value of another kind, a member that nobody knows, and one that is not there.
    let wrong = [
        ("slack", "/blocks/1/elements/0/elements/0", [("type", json!("texts")), ("colour", json!("red")), ("text", Value::Null)]),
        ("teams", "/attachments/0/content/body/0/inlines/0", [("size", json!("Huge")), ("colour", json!("red")), ("type", Value::Null)]),
        ("pagerduty", "/payload", [("severity", json!("high")), ("colour", json!("red")), ("source", Value::Null)]),
    ];
    for (service, place, changes) in wrong {
        let changed = changes.map(|(member, value)| {
            let mut body = golden(service);
            let object = body.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
            match value {
                Value::Null => drop(object.remove(member)),
                value => drop(object.insert(member.to_owned(), value)),
            }
            body
        });
        let bodies: Vec<_> = std::iter::once(golden(service)).chain(changed).collect();
        assert_eq!(refused(service, &bodies).into_keys().collect::<Vec<_>>(), [1, 2, 3], "{service}");
    }
}

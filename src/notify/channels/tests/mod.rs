//! Every kind against what its service publishes: the form of calls, the meaning of answers, hostile names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod schemas;

use super::*;
use crate::alert::Alert;
use crate::incident::Incident;
use crate::notify::config::NotifyConfig;
use crate::notify::payload::Payload;
use crate::notify::sample;
use crate::notify::signed_http::SigningKey;
use crate::notify::testing::SECRET;
use crate::secret::Secret;
use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use bartizan_core::{EntityKind, Role, Subject};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
const CONSOLE: Option<&str> = Some("https://bartizan.example");

/// One call as its receiver saw it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    id: String,
    body: String,
}

/// What a kind is held to.
struct Kind {
    /// Its table, but for name and url.
    table: Value,
    /// What its service publishes of the body.
    check: fn(&Value) -> Result<(), String>,
    /// How its service says that it has it.
    good: (u16, &'static str),
    /// The header that carries the id of the message.
    id: &'static str,
}

fn kinds() -> Vec<Kind> {
    let any = |_: &Value| Ok(());
    let body = r#"{"text": {{ text }}, "title": {{ heading }}, "key": {{ key }}, "raw": {{ data }}}"#;
    vec![
        Kind { table: json!({"kind": "webhook", "secret": SECRET}), check: any, good: (204, ""), id: "webhook-id" },
        Kind { table: json!({"kind": "slack"}), check: schemas::slack, good: (200, "ok"), id: "idempotency-key" },
        Kind { table: json!({"kind": "teams"}), check: schemas::teams, good: (202, ""), id: "idempotency-key" },
        Kind {
            table: json!({"kind": "pagerduty", "secret": ROUTING_KEY}),
            check: schemas::pagerduty,
            good: (202, r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#),
            id: "idempotency-key",
        },
        Kind { table: json!({"kind": "alertmanager"}), check: schemas::alertmanager, good: (200, ""), id: "idempotency-key" },
        Kind { table: json!({"kind": "http", "body": body}), check: any, good: (200, "thanks"), id: "idempotency-key" },
    ]
}

fn channel(table: &Value, url: &str) -> Arc<dyn Channel> {
    let mut table = table.clone();
    (table["name"], table["url"], table["allow_private"]) = (json!("x"), json!(url), json!(true));
    let config: ChannelConfig = serde_json::from_value(table).unwrap();
    assert_eq!(config.problems(), []);
    crate::notify::channel(&config, &NotifyConfig::default()).unwrap().unwrap()
}

/// A receiver that says of each call what `answer` says of its number; gives its address and what it saw.
async fn receiver(
    id: &'static str,
    answer: impl Fn(usize) -> (u16, &'static str) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Seen>>>) {
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let (book, answer) = (Arc::clone(&seen), Arc::new(answer));
    let handle = move |headers: HeaderMap, body: String| {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        assert_eq!(text("content-type"), "application/json");
        if id == "webhook-id" {
            let key = SigningKey::new(&Secret::new(SECRET.to_owned())).unwrap();
            assert_eq!(text("webhook-signature"), key.sign(&text(id), text("webhook-timestamp").parse().unwrap(), &body));
        }
        let mut book = book.lock();
        book.push(Seen { id: text(id), body });
        let (status, body) = answer(book.len() - 1);
        std::future::ready((StatusCode::from_u16(status).unwrap(), body).into_response())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handle)).await });
    (url, seen)
}

#[tokio::test]
async fn every_kind_keeps_to_its_service_and_to_its_id_over_a_retry() {
    for Kind { table, check, good, id } in kinds() {
        let (url, seen) = receiver(id, move |number| if number % 2 == 0 { (503, "not now") } else { good }).await;
        let channel = channel(&table, &url);
        for kind in sample::KINDS {
            seen.lock().clear();
            let message = sample::message("x", kind, CONSOLE);
            let failed = channel.deliver(&message, 0).await;
            assert!(matches!(&failed, Outcome::Retry { error, .. } if error == "HTTP 503 not now"), "{table} {kind}: {failed:?}");
            assert_eq!(channel.deliver(&message, 60_000).await, Outcome::Delivered(None), "{table} {kind}");
            let seen = seen.lock().clone();
            assert_eq!(seen.len(), 2);
            assert_eq!(seen[0], seen[1], "{table} {kind}: a repetition is another message");
            assert_eq!(seen[0].id, message.message_id);
            check(&serde_json::from_str(&seen[0].body).unwrap()).unwrap_or_else(|error| panic!("{table} {kind}: {error}"));
        }
    }
}

#[test]
fn goldens_of_the_kinds() {
    for (kind, golden) in [
        ("slack", include_str!("../../../../tests/goldens/slack.json")),
        ("teams", include_str!("../../../../tests/goldens/teams.json")),
        ("pagerduty", include_str!("../../../../tests/goldens/pagerduty.json")),
        ("alertmanager", include_str!("../../../../tests/goldens/alertmanager.json")),
    ] {
        let kind = kinds().into_iter().find(|known| known.table["kind"] == kind).unwrap();
        let preview = channel(&kind.table, "https://a.example").preview(&sample::message("x", "alert.opened", CONSOLE)).unwrap();
        let (head, body) = preview.split_once("\n\n").unwrap();
        assert!(head.starts_with("POST\ncontent-type: application/json\nidempotency-key: msg_"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(format!("{}\n", serde_json::to_string_pretty(&body).unwrap()), golden, "{}", kind.table);
    }
}

/// Names as attackers choose them.
fn hostile() -> Vec<String> {
    let long = "😀".repeat(16 * 1024);
    [
        "u\r\nBcc: all@a.example\r\n\r\n<b>body</b>",
        "<!channel> @everyone @here <@U0123> <#C0123> <at>all</at>",
        "<https://evil.example|your bank> [your bank](https://evil.example) https://evil.example",
        "*bold* _italics_ ~strike~ `code` **bold** # heading\n> quote",
        "<script>alert(1)</script><img src=https://evil.example/x.png onerror=alert(1)>",
        "\"}],\"x\":[{\" \\\" \\u0022 \\",
        "\u{202e}gpj.exe\u{0}\u{7}\u{1b}[31m\u{2028}\u{200b}",
        "{{ 7 * 7 }} {% raw %} ${jndi:ldap://evil.example/x} {{DATE(2020-01-01T00:00:00Z,SHORT)}}",
        long.as_str(),
    ]
    .map(str::to_owned)
    .into()
}

/// Messages in which everything that comes from logs is `name`.
fn named(name: &str) -> Vec<Message> {
    let mut alert = sample::alert("a1");
    for text in [&mut alert.key, &mut alert.tenant, &mut alert.reason, &mut alert.title] {
        *text = name.to_owned();
    }
    alert.subjects = EntityKind::ALL
        .iter()
        .flat_map(|kind| [Role::Attacker, Role::Victim, Role::Shared].map(|role| Subject::new(*kind, name, role).hit()))
        .collect();
    alert.evidence.insert(name.to_owned(), json!(name));
    alert.assignee = Some(name.to_owned());
    let incident = Incident { summary: name.to_owned(), assignee: Some(name.to_owned()), ..sample::incident(&alert) };
    let notice = json!({"title": name, "text": name, "details": {name: name, "session": name}});
    let message = |kind: &str, data: Value| {
        let payload = Payload {
            kind: kind.to_owned(),
            timestamp: alert.detected_time,
            data,
            response: Default::default(),
            url: CONSOLE.map(str::to_owned),
        };
        Message { body: serde_json::to_string(&payload).unwrap(), ..sample::message("x", kind, None) }
    };
    let alert_json = |alert: &Alert| serde_json::to_value(alert).unwrap();
    vec![
        message("alert.opened", alert_json(&alert)),
        message("incident.updated", serde_json::to_value(&incident).unwrap()),
        message("revocation.failed", notice),
    ]
}

#[test]
fn hostile_names_stay_names_in_every_kind() {
    let rendered = kinds().into_iter().filter(|kind| kind.table["kind"] != "webhook" && kind.table["kind"] != "http");
    for Kind { table, check, .. } in rendered {
        let channel = channel(&table, "https://a.example");
        for (name, message) in hostile().into_iter().flat_map(|name| named(&name).into_iter().map(move |message| (name.clone(), message))) {
            let preview = channel.preview(&message).unwrap().replace(STARS, ROUTING_KEY);
            let (_, body) = preview.split_once("\n\n").unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            check(&body).unwrap_or_else(|error| panic!("{table} {name:.40}: {error}"));
            texts(&body, &mut |text| {
                assert!(!text.contains("://evil"), "{table}: a link in {text}");
                assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}' || c == '\u{200b}'), "{table}: {text:?}");
            });
        }
    }
}

/// Every text of a document, names of members too.
fn texts(value: &Value, look: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, look)),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            look(name);
            texts(member, look);
        }),
        _ => {}
    }
}

#[test]
fn hostile_names_break_neither_headers_nor_pages_of_a_mail() {
    let table = json!({"name": "mail", "kind": "email", "smtp": "smtps://mail.example", "from": "b@a.example", "to": ["oncall@a.example"]});
    let channel = crate::notify::channel(&serde_json::from_value(table).unwrap(), &NotifyConfig::default()).unwrap().unwrap();
    for message in hostile().iter().flat_map(|name| named(name)) {
        let mail = channel.preview(&message).unwrap();
        let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
        let known = ["From", "Subject", "Message-ID", "References", "To", "MIME-Version", "Date", "Content-Type"];
        for line in headers.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
            assert!(known.iter().any(|name| line.starts_with(&format!("{name}: "))), "{line}");
        }
        let rendered = email_text::render(&View::of(&message.body).unwrap());
        let tags = rendered.html.split('<').skip(1).map(|rest| rest.split(['>', ' ']).next().unwrap());
        for tag in tags {
            let known = ["!doctype", "html", "body", "h2", "table", "tr", "th", "td", "p", "a"];
            assert!(known.contains(&tag.trim_start_matches('/')), "{tag}");
        }
        let ours = rendered.html.replace("https://bartizan.example", "");
        assert!(!ours.contains("://evil") && !rendered.text.contains(['\r', '\u{202e}', '\0']));
    }
}

fn meant(service: &dyn Service, code: u16, body: &str) -> Outcome {
    service.outcome(&Answer { code, retry_after: None, body: body.to_owned() })
}

#[test]
fn an_error_behind_a_good_status_is_one() {
    let good = Outcome::Delivered(None);
    assert_eq!(meant(&slack::Slack, 200, "ok"), good);
    assert_eq!(meant(&slack::Slack, 200, "no_text"), Outcome::retry("HTTP 200 no_text"));
    assert_eq!(meant(&slack::Slack, 400, "invalid_blocks"), Outcome::Refused("HTTP 400 invalid_blocks".to_owned()));
    assert_eq!(meant(&slack::Slack, 410, "channel_is_archived"), Outcome::Ended("HTTP 410 channel_is_archived".to_owned()));
    assert_eq!(meant(&teams::Teams, 202, ""), good);
    assert_eq!(meant(&teams::Teams, 200, "1"), good);
    let hidden = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429";
    assert!(matches!(meant(&teams::Teams, 200, hidden), Outcome::Retry { .. }));
    assert_eq!(meant(&pagerduty::PagerDuty, 202, r#"{"status":"success"}"#), good);
    for (code, body) in [(202, r#"{"status":"invalid event"}"#), (202, ""), (200, r#"{"status":"success"}"#), (429, ""), (500, "")] {
        assert!(matches!(meant(&pagerduty::PagerDuty, code, body), Outcome::Retry { .. }), "{code} {body}");
    }
    let refused = meant(&pagerduty::PagerDuty, 400, r#"{"status":"invalid event","errors":["'routing_key' is invalid"]}"#);
    assert!(matches!(refused, Outcome::Refused(error) if error.contains("'routing_key' is invalid")));
}

#[test]
fn one_thing_is_one_page_from_its_opening_to_its_end() {
    let pager = channel(&json!({"kind": "pagerduty", "secret": ROUTING_KEY}), "https://a.example");
    let event = |kind: &str| -> Value {
        let preview = pager.preview(&sample::message("x", kind, None)).unwrap();
        assert!(!preview.contains(ROUTING_KEY), "a secret is shown");
        serde_json::from_str(preview.split_once("\n\n").unwrap().1).unwrap()
    };
    let told = ["opened", "updated", "acknowledged", "resolved"].map(|step| event(&format!("incident.{step}")));
    assert_eq!(told.clone().map(|event| event["event_action"].clone()), ["trigger", "trigger", "acknowledge", "resolve"]);
    assert!(told.iter().all(|event| event["dedup_key"] == told[0]["dedup_key"]));
    assert_eq!(event("alert.opened")["dedup_key"], "a1");
    assert_ne!(event("channel.ended")["dedup_key"], event("delivery.failed")["dedup_key"]);
}

#[test]
fn alertmanager_hears_what_fires_and_what_is_over() {
    let channel = channel(&json!({"kind": "alertmanager"}), "https://a.example");
    let firing = |kind: &str| -> Vec<String> {
        let message = sample::message("x", kind, None);
        let preview = channel.preview(&message).unwrap();
        let alerts: Vec<Value> = serde_json::from_str(preview.split_once("\n\n").unwrap().1).unwrap();
        assert!(alerts.iter().all(|alert| alert["labels"]["id"] == alerts[0]["labels"]["id"]));
        let now = View::of(&message.body).unwrap().timestamp.to_string();
        let fires = alerts.iter().filter(|alert| alert["endsAt"].as_str().unwrap() > now.as_str());
        fires.map(|alert| alert["labels"]["severity"].as_str().unwrap().to_owned()).collect()
    };
    for kind in ["alert.opened", "incident.updated", "incident.acknowledged"] {
        assert_eq!(firing(kind), ["high"], "{kind}");
    }
    for kind in ["alert.resolved", "incident.resolved"] {
        assert_eq!(firing(kind), <[&str; 0]>::default(), "{kind}");
    }
    assert_eq!(firing("channel.test"), ["info"]);
}

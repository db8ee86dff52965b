//! The outbox in the hands of an admin, and alerts as OCSF.

use super::*;
use crate::db::DbError;
use crate::db::outbox::{self, NewMessage, State};
use crate::notify::routing::Route;
use crate::notify::testing::target;
use serde_json::json;

fn api() -> Api {
    let routing = Routing {
        channels: vec![Route::every_version("oncall")],
        targets: vec![target("identity", "https://idp.example", false)],
        ..Routing::default()
    };
    Api::routed(HttpConfig { requests_burst_max: 10_000, ..HttpConfig::default() }, None, routing)
}

fn write(api: &Api, channel: &str, number: i64, state: State) {
    let body = json!({"type": "session.revoke", "timestamp": TimeMs(0), "data": {
        "action": "revoke_session", "tenant": "acme", "source": null, "user": "u1", "session": format!("ses-{number}"), "token_id": null,
        "token_hash": null, "issued_before": TimeMs(0), "not_after": TimeMs(0), "alert": "a1", "detector": "token_reuse", "severity": "high",
        "reason": "r",
    }});
    let new = NewMessage {
        channel: channel.to_owned(),
        message_id: format!("msg-{number}"),
        kind: "session.revoke".to_owned(),
        about: "a1".to_owned(),
        version: 1,
        body: body.to_string(),
        state,
        next_ms: number,
        not_after_ms: Some(number),
    };
    api.db.write::<_, DbError>(|tx| Ok(outbox::enqueue(tx, &new, number)?)).unwrap();
}

fn audited(api: &Api) -> Vec<(String, String)> {
    let read = |tx: &rusqlite::Connection| {
        let mut statement = tx.prepare("SELECT actor, action FROM audit WHERE action <> 'token.create' ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok::<_, DbError>(rows.collect::<Result<_, _>>()?)
    };
    api.db.read(read).unwrap()
}

#[tokio::test]
async fn deliveries_are_listed_page_by_page() {
    let (api, token) = (api(), "");
    assert_eq!(api.get(token, "/api/v1/deliveries").await.status, 401);
    let token = api.token(Role::Admin, None);
    for number in 0..5 {
        write(&api, if number % 2 == 0 { "oncall" } else { "revoke:identity" }, number, State::Pending);
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/deliveries?channel=oncall&limit=2".to_owned();
    loop {
        let page = api.get(&token, &path).await.json();
        let ids = page["items"].as_array().unwrap().iter().map(|item| item["message_id"].as_str().unwrap().to_owned());
        seen.extend(ids);
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/deliveries?channel=oncall&limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["msg-4", "msg-2", "msg-0"]);
    let held = api.get(&token, "/api/v1/deliveries?state=held").await.json();
    assert_eq!(held["items"], json!([]));
    let first = &api.get(&token, "/api/v1/deliveries?state=pending&limit=1").await.json()["items"][0];
    assert_eq!((&first["state"], &first["alert"], &first["finished_time"]), (&json!("pending"), &json!("a1"), &Value::Null));
    assert!(first.get("body").is_none());
    api.get(&token, "/api/v1/deliveries?state=gone").await.is_problem(400, Some("state"));
    api.get(&token, "/api/v1/deliveries?colour=red").await.is_problem(400, Some("colour"));
}

#[tokio::test]
async fn failed_messages_are_tried_again_and_it_is_on_record() {
    let api = api();
    let token = api.token(Role::Admin, None);
    write(&api, "oncall", 1, State::Pending);
    api.db
        .write::<_, DbError>(|tx| {
            crate::db::channels::configure(tx, "oncall", "one")?;
            crate::db::channels::end(tx, "oncall", "410", 1)?;
            Ok(outbox::fail_all(tx, "oncall", "410", 1)?)
        })
        .unwrap();
    let answer = api.post(&token, "/api/v1/deliveries/retry", r#"{"channel":"oncall"}"#).await;
    assert_eq!(answer.json(), json!({"retried": 1, "revived": true}));
    let again = api.post(&token, "/api/v1/deliveries/retry", r#"{"channel":"oncall"}"#).await;
    assert_eq!(again.json(), json!({"retried": 0, "revived": false}));
    assert_eq!(audited(&api), vec![("admin-name".to_owned(), "deliveries.retried".to_owned()); 2]);
    api.post(&token, "/api/v1/deliveries/retry", r#"{"channel":"nobody"}"#).await.is_problem(404, Some("channel"));
    api.post(&token, "/api/v1/deliveries/retry", r#"{"channel":"oncall","x":1}"#).await.is_problem(400, None);
}

#[tokio::test]
async fn held_revocations_go_out_with_a_new_limit() {
    let api = api();
    let token = api.token(Role::Admin, None);
    let routing = Routing { targets: vec![target("identity", "https://idp.example", false)], ..Routing::default() };
    for id in ["a1", "a2"] {
        let mut campaign = crate::notify::testing::alert(id);
        campaign.key = crate::alert::model::campaign_key(&campaign.detector);
        commit_at(&api.db, &campaign, &routing, campaign.detected_time.0).unwrap();
    }
    api.db.write::<_, DbError>(|tx| Ok(tx.execute("DELETE FROM audit WHERE actor = 'detection'", [])?)).unwrap();
    let answer = api.post(&token, "/api/v1/revocations/release", r#"{"target":"identity"}"#).await;
    assert_eq!(answer.json(), json!({"released": 2}));
    let pending = api.get(&token, "/api/v1/deliveries?channel=revoke:identity&state=pending").await.json();
    let not_after = pending["items"][0]["not_after"].as_str().unwrap();
    assert!(TimeMs::parse(not_after).unwrap().0 > crate::clock::now_ms());
    assert_eq!(audited(&api), vec![("admin-name".to_owned(), "revocation.released".to_owned()); 2]);
    api.post(&token, "/api/v1/revocations/release", r#"{"target":"nobody"}"#).await.is_problem(404, Some("target"));
}

#[tokio::test]
async fn only_an_admin_of_all_tenants_may() {
    let api = api();
    for (role, tenant) in [(Role::Viewer, None), (Role::Analyst, None), (Role::Ingest, None), (Role::Admin, Some("acme"))] {
        let token = api.token(role, tenant);
        api.get(&token, "/api/v1/deliveries").await.is_problem(403, None);
        api.post(&token, "/api/v1/deliveries/retry", r#"{"channel":"oncall"}"#).await.is_problem(403, None);
        api.post(&token, "/api/v1/revocations/release", r#"{"target":"identity"}"#).await.is_problem(403, None);
    }
}

#[tokio::test]
async fn alerts_are_shown_as_detection_findings() {
    let api = api();
    let token = api.token(Role::Viewer, Some("acme"));
    api.alert("a1", "acme");
    api.alert("b1", "beta");
    let page = api.get(&token, "/api/v1/alerts?format=ocsf").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let one = api.get(&token, "/api/v1/alerts/a1?format=ocsf").await;
    assert_eq!((one.header("etag"), &one.json()), ("\"1\"", &page["items"][0]));
    assert_eq!((one.json()["class_uid"].as_u64(), &one.json()["metadata"]["tenant_uid"]), (Some(2004), &json!("acme")));
    api.get(&token, "/api/v1/alerts/b1?format=ocsf").await.is_problem(404, None);
    api.get(&token, "/api/v1/alerts/a1?format=cef").await.is_problem(400, Some("format"));
    assert_eq!(api.get(&token, "/api/v1/alerts/a1?format=bartizan").await.json()["id"], "a1");
}

#[tokio::test]
async fn a_full_disk_takes_no_events() {
    let api = api();
    let token = api.token(Role::Ingest, None);
    let event = r#"{"time":"2026-01-01T00:00:00Z","kind":"login"}"#;
    api.health.raise(crate::telemetry::HealthId::DiskFull, crate::telemetry::health::DATA_DIR, 1, "1 MiB free");
    let answer = api.post(&token, "/api/v1/events", event).await;
    answer.is_problem(429, None);
    assert!(!answer.header("retry-after").is_empty());
    assert!(api.log.appended.lock().is_empty());
}

#[tokio::test]
async fn a_delivery_names_what_it_is_about() {
    let (api, token) = (api(), "");
    assert_eq!(api.get(token, "/api/v1/deliveries").await.status, 401);
    for (number, kind) in [(1, "alert.opened"), (2, "incident.opened"), (3, "action"), (4, "backlog.notice")] {
        let new = NewMessage {
            channel: "oncall".to_owned(),
            message_id: kind.to_owned(),
            kind: kind.to_owned(),
            about: if number == 4 { String::new() } else { format!("id-{number}") },
            version: 1,
            body: "{}".to_owned(),
            state: State::Pending,
            next_ms: number,
            not_after_ms: None,
        };
        api.db.write::<_, DbError>(|tx| Ok(outbox::enqueue(tx, &new, number)?)).unwrap();
    }
    let page = api.get(&api.token(Role::Admin, None), "/api/v1/deliveries").await.json();
    let named: Vec<_> = page["items"].as_array().unwrap().iter().map(|one| [&one["alert"], &one["incident"], &one["action"]]).collect();
    let null = Value::Null;
    let ids = [1, 2, 3].map(|number| json!(format!("id-{number}")));
    assert_eq!(named, [[&null, &null, &null], [&null, &null, &ids[2]], [&null, &ids[1], &null], [&ids[0], &null, &null]]);
}

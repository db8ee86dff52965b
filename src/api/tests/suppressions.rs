//! Suppressions in the hands of analysts.

use super::*;
use crate::suppress::{By, Held, Tally};
use bartizan_core::Severity;
use serde_json::json;

async fn delete(api: &Api, token: &str, path: &str) -> Answer {
    api.send(request("DELETE", path, token).body(Body::empty()).unwrap()).await
}

fn scanner() -> Value {
    json!({"entity": {"type": "ip", "value": "203.0.113.9/24"}, "reason": "the scanner that we pay for", "detector": "credential_stuffing"})
}

#[tokio::test]
async fn a_suppression_is_made_listed_and_ended_and_all_of_it_is_on_record() {
    let api = Api::new();
    let (analyst, viewer) = (api.token(Role::Analyst, Some("acme")), api.token(Role::Viewer, Some("acme")));
    api.post(&viewer, "/api/v1/suppressions", scanner().to_string()).await.is_problem(403, None);
    let made = api.post(&analyst, "/api/v1/suppressions", scanner().to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!(
        (&made["tenant"], &made["owner"], &made["entity"]["value"]),
        (&json!("acme"), &json!("analyst-name"), &json!("203.0.113.0/24"))
    );
    assert_eq!(api.lists.newest(), 1, "the pipeline sees it at once");
    assert_eq!(api.get(&viewer, "/api/v1/suppressions").await.json()["items"], json!([made]));
    let path = format!("/api/v1/suppressions/{}", made["id"].as_str().unwrap());
    for other in [api.token(Role::Analyst, Some("globex")), String::new()] {
        let answer = delete(&api, &other, &path).await;
        assert_eq!(answer.status, if other.is_empty() { 401 } else { 404 });
    }
    assert_eq!(api.get(&api.token(Role::Viewer, Some("globex")), "/api/v1/suppressions").await.json()["items"], json!([]));
    assert_eq!(delete(&api, &analyst, &path).await.status, 204);
    delete(&api, &analyst, &path).await.is_problem(404, None);
    assert_eq!(api.get(&viewer, "/api/v1/suppressions").await.json()["items"], json!([]));
    assert_eq!(api.lists.newest(), 2);
    let actions = api.db.read(|tx| {
        let mut statement = tx.prepare("SELECT action FROM audit WHERE action LIKE 'suppression.%' ORDER BY id")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    assert_eq!(actions.unwrap(), ["suppression.added", "suppression.removed"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_suppression_is_named() {
    let api = Api::new();
    let (all, own) = (api.token(Role::Admin, None), api.token(Role::Analyst, Some("acme")));
    let with = |members: Value| {
        let mut new = scanner();
        new.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        new.to_string()
    };
    let when = |when: Value| with(json!({"entity": null, "when": when}));
    let ago = "2020-01-01T00:00:00Z";
    for (token, body, parameter) in [
        (&all, scanner().to_string(), Some("tenant")),
        (&own, with(json!({"tenant": "globex"})), Some("tenant")),
        (&own, with(json!({"detector": "none"})), Some("detector")),
        (&own, with(json!({"entity": {"type": "ip", "value": "here"}})), Some("entity.value")),
        (&own, with(json!({"reason": " "})), Some("reason")),
        (&own, with(json!({"expires_time": ago})), Some("expires_time")),
        (&own, with(json!({"expires_time": "9999-01-01T00:00:00Z"})), Some("expires_time")),
        (&own, with(json!({"entity": {"type": "none", "value": "here"}})), Some("entity.type")),
        (&own, with(json!({"entity": null})), Some("entity")),
        (&own, with(json!({"when": {"type": "user", "value": "ann"}})), Some("when")),
        (&own, when(json!({"all": [{"type": "user", "value": "ann"}, {"type": "ip", "values": ["here"]}]})), Some("when.all[1].values[0]")),
        (&own, when(json!({"all": [{"type": "none", "value": "ann"}]})), Some("when.all[0].type")),
        (&own, when(json!({"not": {"type": "user", "value": "ann"}})), Some("when")),
        (&own, with(json!({"more": 1})), Some("more")),
        (&own, "[".to_owned(), None),
    ] {
        api.post(token, "/api/v1/suppressions", body).await.is_problem(400, parameter);
    }
    for number in 0..3 {
        let answer = api.post(&all, "/api/v1/suppressions", with(json!({"tenant": "acme"}))).await;
        assert_eq!(answer.status, if number < 2 { 201 } else { 409 }, "{answer:?}");
    }
    let first = api.get(&own, "/api/v1/suppressions?limit=1").await.json();
    let next = format!("/api/v1/suppressions?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = api.get(&own, &next).await.json();
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    assert_eq!(second["next_cursor"], Value::Null);
}

/// Our monitor, wherever in our network it stands.
fn monitor() -> Value {
    json!({"when": {"all": [
        {"any": [{"type": "ip", "values": ["198.51.100.99/24", "2001:db8::/32"]}, {"type": "network", "value": "64499"}]},
        {"type": "user_agent", "value": "Monitor/", "match": "prefix"},
        {"not": {"type": "place", "value": "de/Bavaria"}},
    ]}, "reason": "our monitor"})
}

#[tokio::test]
async fn an_expression_is_answered_as_it_was_asked_for_and_on_record() {
    let api = Api::new();
    let analyst = api.token(Role::Analyst, Some("acme"));
    let made = api.post(&analyst, "/api/v1/suppressions", monitor().to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let normal = monitor()["when"].to_string().replace("100.99/24", "100.0/24").replace("64499", "AS64499").replace("de/", "DE/");
    assert_eq!((made["when"].to_string(), made.get("entity")), (normal, None));
    assert_eq!(api.get(&analyst, "/api/v1/suppressions").await.json()["items"], json!([made]));
    let sql = "SELECT detail FROM audit WHERE action = 'suppression.added'";
    let detail: String = api.db.read(|tx| tx.query_row(sql, [], |row| row.get(0))).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&detail).unwrap()["when"], made["when"]);
    // A list of a thousand addresses has room.
    let addresses: Vec<_> = (0..1_000).map(|n| format!("2001:db8:1234:5678:9abc:def0:1234:{n:04x}")).collect();
    let many = json!({"when": {"type": "ip", "values": addresses}, "reason": "the offices"});
    assert_eq!(api.post(&analyst, "/api/v1/suppressions", many.to_string()).await.status, 201);
}

#[tokio::test]
async fn a_preview_tells_what_would_have_been_held_back_and_makes_nothing() {
    let api = Api::new();
    let (analyst, viewer) = (api.token(Role::Analyst, Some("acme")), api.token(Role::Viewer, Some("acme")));
    let now_ms = crate::clock::now_ms();
    for (id, tenant, age_ms) in [("new", "acme", 60_000), ("old", "acme", 25 * bartizan_core::time::HOUR_MS), ("other", "globex", 60_000)] {
        let mut alert = crate::notify::testing::alert(id);
        alert.tenant = tenant.to_owned();
        alert.last_event_time = TimeMs(now_ms - age_ms);
        commit_at(&api.db, &alert, &Routing::default(), alert.detected_time.0).unwrap();
    }
    let held = |key: &str, by| Held {
        by,
        tenant: "acme".into(),
        detector: "token_reuse",
        key: key.into(),
        severity: Severity::High,
        reason: "because".into(),
        event_id: "e1".into(),
        time_ms: now_ms - 60_000,
        seq: 1,
    };
    let by = || By::Suppression("sup_1".into());
    let held = [held("user:u1", by()), held("user:u2", by()), held("session:s", by()), held("user:u1", By::Gate("own_client"))];
    api.db.write(|tx| crate::db::suppressions::count_held(tx, &Tally::of(&held))).unwrap();
    let path = "/api/v1/suppressions?preview=true";
    api.post(&viewer, path, monitor().to_string()).await.is_problem(403, None);
    api.post(&analyst, "/api/v1/suppressions?preview=maybe", monitor().to_string()).await.is_problem(400, Some("preview"));
    let ask = async |about: Value| {
        let answer = api.post(&analyst, path, json!({"reason": "is it?", "when": about}).to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };

    let user = ask(json!({"type": "user", "value": "u1"})).await;
    assert_eq!((&user["alerts"]["held_back_ids"], &user["alerts"]["judged"]), (&json!(["new"]), &json!(1)), "{user}");
    let ledger = &user["ledger"];
    assert_eq!((&ledger["judged"], &ledger["held_back"], &ledger["unknown"]), (&json!(3), &json!(1), &json!(1)), "{user}");
    assert_eq!((&ledger["held_back_lines"][0]["key"], &user["unknown"]), (&json!("user:u1"), &json!([])));

    let agent = json!({"type": "user_agent", "value": "Monitor/1.0"});
    let tied = ask(json!({"all": [{"type": "network", "value": "AS64496"}, agent]})).await;
    assert_eq!((&tied["alerts"]["unknown_ids"], &tied["alerts"]["held_back"]), (&json!(["new"]), &json!(0)), "{tied}");
    assert_eq!(tied["unknown"], json!([{"condition": "when.all[1]", "type": "user_agent"}]));
    let elsewhere = ask(json!({"all": [{"type": "network", "value": "AS64500"}, agent]})).await;
    assert_eq!((&elsewhere["alerts"]["unknown"], &elsewhere["alerts"]["held_back"]), (&json!(0), &json!(0)), "{elsewhere}");

    assert_eq!(api.get(&viewer, "/api/v1/suppressions").await.json()["items"], json!([]));
    assert_eq!(api.lists.newest(), 0);
}

//! Suppressions in the hands of analysts.

use super::*;
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
    let ago = "2020-01-01T00:00:00Z";
    for (token, body, parameter) in [
        (&all, scanner().to_string(), Some("tenant")),
        (&own, with(json!({"tenant": "globex"})), Some("tenant")),
        (&own, with(json!({"detector": "none"})), Some("detector")),
        (&own, with(json!({"entity": {"type": "ip", "value": "here"}})), Some("entity.value")),
        (&own, with(json!({"reason": " "})), Some("reason")),
        (&own, with(json!({"expires_time": ago})), Some("expires_time")),
        (&own, with(json!({"expires_time": "9999-01-01T00:00:00Z"})), Some("expires_time")),
        (&own, with(json!({"more": 1})), None),
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

//! Actions as people and machines look at them.

use super::*;
use crate::notify::testing::{START_MS, alert, target};
use serde_json::json;

/// An API with one action in each of two tenants, the second changed later.
fn api() -> Api {
    let routing = Routing { targets: vec![target("identity", "https://idp.example", false)], ..Routing::default() };
    let api = Api::routed(HttpConfig { requests_burst_max: 10_000, ..HttpConfig::default() }, None, routing.clone());
    for (number, tenant) in [(1, "acme"), (2, "globex")] {
        let alert = Alert { tenant: tenant.to_owned(), ..alert(&format!("a{number}")) };
        commit_at(&api.db, &alert, &routing, START_MS + number * 1_000).unwrap();
    }
    api
}

fn alerts(answer: &Answer) -> Vec<String> {
    answer.json()["items"].as_array().unwrap().iter().map(|action| action["alert"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn actions_are_found_by_what_they_are_about() {
    let api = api();
    let token = api.token(Role::Viewer, None);
    let list = async |query: &str| alerts(&api.get(&token, &format!("/api/v1/actions?{query}")).await);
    assert_eq!(list("").await, ["a2", "a1"], "the last changed first");
    assert_eq!(list("tenant=acme").await, ["a1"]);
    assert_eq!(list("alert=a2&session=ses-1&user=u1&target=identity&action=revoke_session").await, ["a2"]);
    for nothing in ["user=u2", "session=ses-2", "target=other", "state=held,ended", "action=revoke_token"] {
        assert_eq!(list(nothing).await, [""; 0], "{nothing}");
    }
    assert_eq!(list("state=requested").await.len(), 2);
    api.get(&token, "/api/v1/actions?state=gone").await.is_problem(400, Some("state"));
    let first = api.get(&token, "/api/v1/actions?limit=1").await.json();
    let next = format!("/api/v1/actions?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(alerts(&api.get(&token, &next).await), ["a1"]);
}

#[tokio::test]
async fn one_action_tells_where_it_stands_and_since_when() {
    let api = api();
    let token = api.token(Role::Viewer, None);
    let listed = api.get(&token, "/api/v1/actions?alert=a1").await.json()["items"][0].clone();
    let id = listed["id"].as_str().unwrap();
    assert_eq!(api.get(&token, &format!("/api/v1/actions/{id}")).await.json(), listed);
    let expected = json!({
        "id": id, "version": 1, "action": "revoke_session", "target": "identity", "tenant": "acme", "user": "u1", "session": "ses-1",
        "token_id": null, "alert": "a1", "detector": "token_reuse", "severity": "high", "state": "requested", "remark": null, "brake": null,
        "event_time": TimeMs(START_MS + 1_000), "decided_time": TimeMs(START_MS + 1_000), "requested_time": TimeMs(START_MS + 1_000),
        "delivered_time": null, "confirmed_time": null, "not_after": TimeMs(START_MS + 901_000),
    });
    assert_eq!(listed, expected);
    api.get(&token, "/api/v1/actions/none").await.is_problem(404, None);
}

#[tokio::test]
async fn a_tenant_sees_its_own_actions_alone() {
    let api = api();
    let (all, own) = (api.token(Role::Viewer, None), api.token(Role::Viewer, Some("globex")));
    assert_eq!(alerts(&api.get(&own, "/api/v1/actions").await), ["a2"]);
    let of_other = api.get(&all, "/api/v1/actions?tenant=acme").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    api.get(&own, &format!("/api/v1/actions/{of_other}")).await.is_problem(404, None);
    api.get(&own, "/api/v1/actions?tenant=acme").await.is_problem(400, Some("tenant"));
    let ingest = api.token(Role::Ingest, None);
    api.get(&ingest, "/api/v1/actions").await.is_problem(403, None);
}

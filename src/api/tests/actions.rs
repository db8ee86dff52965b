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
    let incident = api.get(&token, "/api/v1/alerts/a1").await.json()["incident"].as_str().unwrap().to_owned();
    assert_eq!(list(&format!("incident={incident}")).await, ["a1"]);
    for nothing in ["incident=other", "user=u2", "session=ses-2", "target=other", "state=held,ended", "action=revoke_token"] {
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
        "id": id, "version": 1, "action": "revoke_session", "target": "identity", "policy": null, "tenant": "acme", "user": "u1",
        "session": "ses-1", "token_id": null, "address": null, "what": null, "since": null, "alert": "a1",
        "detector": "token_reuse", "severity": "high", "state": "requested", "remark": null, "brake": null,
        "event_time": TimeMs(START_MS + 1_000), "decided_time": TimeMs(START_MS + 1_000), "requested_time": TimeMs(START_MS + 1_000),
        "delivered_time": null, "confirmed_time": null, "not_after": TimeMs(START_MS + 901_000),
        "approvals_needed": 0, "approvals": [], "undoes": null, "undone_by": null,
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

fn proposing(approvals: u8, actions: &[&str]) -> Api {
    let target =
        crate::respond::RevocationConfig { detectors: vec!["another".to_owned()], ..target("identity", "https://idp.example", false) };
    let policy = json!({"name": "p", "actions": actions, "target": "identity", "approvals": approvals, "shadow": false});
    let routing = Routing { targets: vec![target], policies: vec![serde_json::from_value(policy).unwrap()], ..Routing::default() };
    let api = Api::routed(HttpConfig { requests_burst_max: 10_000, ..HttpConfig::default() }, None, routing.clone());
    let now_ms = crate::clock::now_ms();
    for (id, tenant) in [("a1", "acme"), ("a2", "globex")] {
        let fresh = Alert { tenant: tenant.to_owned(), last_event_time: TimeMs(now_ms), ..alert(id) };
        commit_at(&api.db, &fresh, &routing, now_ms).unwrap();
    }
    api
}

#[tokio::test]
async fn two_people_approve_with_tokens_of_their_own() {
    let api = proposing(2, &["disable_user"]);
    let (first, second, viewer) = (api.token(Role::Analyst, None), api.token(Role::Analyst, Some("acme")), api.token(Role::Viewer, None));
    let listed = api.get(&viewer, "/api/v1/actions?alert=a1").await.json();
    let waiting = async |token: &str| api.get(token, "/api/v1/response").await.json()["waiting"].clone();
    assert_eq!((waiting(&viewer).await, waiting(&second).await), (json!(2), json!(1)), "each sees what its tenant waits for");
    let path = |step: &str| format!("/api/v1/actions/{}/{step}", listed["items"][0]["id"].as_str().unwrap());
    api.post(&viewer, &path("approve"), "").await.is_problem(403, None);
    assert_eq!(api.post(&first, &path("approve"), "").await.json()["state"], "proposed");
    api.post(&first, &path("approve"), "").await.is_problem(409, None);
    let gone = api.post(&second, &path("approve"), "").await.json();
    let own_id = api.get(&second, "/api/v1/status").await.json()["caller"]["id"].clone();
    assert_eq!(gone["approvals"][1]["token"], own_id, "who agreed can be told from who did not");
    assert_eq!((waiting(&viewer).await, waiting(&second).await), (json!(1), json!(0)));
    let by: Vec<_> = gone["approvals"].as_array().unwrap().iter().map(|approval| approval["by"].as_str().unwrap()).collect();
    assert_eq!((gone["state"].as_str(), by), (Some("requested"), vec!["analyst-name"; 2]));
    api.post(&first, &path("reject"), "").await.is_problem(409, None);
    api.post(&first, &path("undo"), "").await.is_problem(409, None);
    let stranger = api.token(Role::Analyst, Some("globex"));
    api.post(&stranger, &path("approve"), "").await.is_problem(404, None);
    let other = api.get(&viewer, "/api/v1/actions?alert=a2").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(api.post(&stranger, &format!("/api/v1/actions/{other}/reject"), "").await.json()["state"], "rejected");
}

#[tokio::test]
async fn blocked_addresses_are_told_to_gateways_and_bouncers() {
    let api = proposing(0, &["block_address"]);
    let (all, own) = (api.token(Role::Viewer, None), api.token(Role::Analyst, Some("acme")));
    let list = api.get(&all, "/api/v1/blocks").await;
    assert_eq!(
        (list.header("content-type"), &list.body[..]),
        ("text/plain; charset=utf-8", &b"198.51.100.7\n"[..]),
        "once, though two tenants have it"
    );
    let as_bouncer = async |token: &str, query: &str| {
        let request = request("GET", &format!("/v1/decisions/stream?{query}"), "").header("x-api-key", token);
        api.send(request.body(Body::empty()).unwrap()).await.json()
    };
    let count = |stream: &Value| ["new", "deleted"].map(|name| stream[name].as_array().unwrap().len());
    let start = as_bouncer(&own, "startup=true&scopes=ip,range&additional_pull=true").await;
    assert_eq!(count(&start), [1, 0]);
    let decision = &start["new"][0];
    let told = ["origin", "type", "scope", "value", "scenario"].map(|name| decision[name].as_str().unwrap());
    assert_eq!(told, ["bartizan", "ban", "Ip", "198.51.100.7", "bartizan/token_reuse"]);
    assert!(decision["duration"].as_str().unwrap().starts_with("3h59m") && decision["id"].as_u64().is_some(), "{decision}");
    assert_eq!(count(&as_bouncer(&own, "startup=true&scopes=country").await), [0, 0]);

    assert_eq!(alerts(&api.get(&all, "/api/v1/actions?address=198.51.100.7&tenant=acme").await), ["a1"]);
    assert_eq!(alerts(&api.get(&all, "/api/v1/actions?address=198.51.100.8").await), [""; 0]);
    let id = api.get(&own, "/api/v1/actions").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(api.post(&own, &format!("/api/v1/actions/{id}/undo"), "").await.json()["state"], "undone");
    let after = as_bouncer(&own, "startup=false").await;
    assert_eq!((count(&after), after["deleted"][0]["value"].as_str()), ([0, 1], Some("198.51.100.7")));
    // Another tenant still blocks it, so for who sees both it is not over.
    assert_eq!(count(&as_bouncer(&all, "").await), [1, 0]);
    assert!(api.get(&own, "/api/v1/blocks").await.body.is_empty());
    let nobody = request("GET", "/v1/decisions/stream", "").header("x-api-key", "wrong").body(Body::empty()).unwrap();
    api.send(nobody).await.is_problem(401, None);
}

//! What policies would have done.

use super::*;
use crate::notify::testing::target;
use bartizan_core::TimeMs;
use bartizan_core::time::DAY_MS;
use serde_json::json;

#[tokio::test]
async fn what_a_policy_would_have_done_is_told_of_the_tenants_alerts_alone() {
    let routing = Routing { targets: vec![target("identity", "http://127.0.0.1:9/revoke", true)], ..Routing::default() };
    let api = Api::routed(HttpConfig::default(), None, routing);
    let (acme, viewer) = (api.token(Role::Analyst, Some("acme")), api.token(Role::Viewer, Some("acme")));
    let now_ms = crate::clock::now_ms();
    for (id, tenant) in [("a1", "acme"), ("a2", "other")] {
        let time = TimeMs(now_ms - DAY_MS);
        let alert = Alert {
            tenant: tenant.to_owned(),
            first_event_time: time,
            last_event_time: time,
            detected_time: time,
            ..crate::notify::testing::alert(id)
        };
        commit_at(&api.db, &alert, &Routing::default(), time.0).unwrap();
    }
    let path = "/api/v1/policies/preview";
    api.post(&viewer, path, "{}").await.is_problem(403, None);
    let configured = api.post(&acme, path, "{}").await.json();
    assert_eq!((&configured["alerts"], &configured["items"][0]["state"]), (&json!(1), &json!("requested")));
    assert_eq!(configured["items"][0]["samples"][0]["tenant"], "acme");
    let policy = json!({"name": "careful", "actions": ["revoke_session"], "target": "identity", "approvals": 2});
    let tried = api.post(&acme, path, json!({"policy": policy}).to_string()).await.json();
    assert_eq!(
        (&tried["items"][0]["policy"], &tried["items"][0]["state"], &tried["items"][0]["count"]),
        (&json!("careful"), &json!("proposed"), &json!(1))
    );
    assert_eq!(api.get(&acme, "/api/v1/actions").await.json()["items"], json!([]), "nothing of it is kept");
    for (body, member) in [
        (json!({"since": TimeMs(now_ms - 91 * DAY_MS)}), "since"),
        (json!({"policy": {"name": "x"}}), "policy"),
        (json!({"policy": {"name": "x", "actions": ["revoke_session"], "target": "nobody"}}), "policy"),
    ] {
        api.post(&acme, path, body.to_string()).await.is_problem(400, Some(member));
    }
}

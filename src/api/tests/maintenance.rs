//! Maintenance windows.

use super::*;
use crate::clock::now_ms;
use bartizan_core::TimeMs;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use serde_json::json;

#[tokio::test]
async fn a_window_is_made_seen_by_its_tenant_and_ended() {
    let api = Api::new();
    let (acme, other, viewer) =
        (api.token(Role::Analyst, Some("acme")), api.token(Role::Analyst, Some("other")), api.token(Role::Viewer, Some("acme")));
    let put = async |token: &str, body: Value| {
        api.send(request("PUT", "/api/v1/maintenance", token).body(Body::from(body.to_string())).unwrap()).await
    };
    let until = |ms: i64| TimeMs(now_ms() + ms);
    let good = json!({"until": until(HOUR_MS), "reason": "penetration test"});
    put(&viewer, good.clone()).await.is_problem(403, None);
    put(&api.token(Role::Admin, None), good.clone()).await.is_problem(400, Some("tenant"));
    for (body, member) in [
        (json!({"until": until(-HOUR_MS), "reason": "r"}), "until"),
        (json!({"until": until(8 * DAY_MS), "reason": "r"}), "until"),
        (json!({"until": until(HOUR_MS), "reason": " "}), "reason"),
        (json!({"from": until(100 * DAY_MS), "until": until(101 * DAY_MS), "reason": "r"}), "from"),
        (json!({"until": until(HOUR_MS), "reason": "r", "tenant": "other"}), "tenant"),
    ] {
        put(&acme, body).await.is_problem(400, Some(member));
    }
    let made = put(&acme, good).await.json();
    assert_eq!((&made["tenant"], &made["owner"]), (&json!("acme"), &json!("analyst-name")));
    assert_eq!(api.get(&viewer, "/api/v1/maintenance").await.json(), json!({"items": [made]}));
    assert_eq!(api.get(&other, "/api/v1/maintenance").await.json(), json!({"items": []}));
    let end = async |token: &str| api.send(request("DELETE", "/api/v1/maintenance", token).body(Body::empty()).unwrap()).await;
    end(&other).await.is_problem(404, None);
    assert_eq!(end(&acme).await.status, 204);
    end(&acme).await.is_problem(404, None);
}

//! The stop switch: who may throw it, who may let machines act again, and who sees what.

use super::*;
use crate::db::outbox::State;
use crate::notify::testing::{messages, people};
use serde_json::json;

#[tokio::test]
async fn who_triages_stops_machines_and_an_admin_alone_starts_them() {
    let routing = Routing { channels: vec![people("oncall", bartizan_core::Severity::Info)], ..Routing::default() };
    let api = Api::routed(HttpConfig::default(), None, routing);
    let (viewer, analyst, admin) = (api.token(Role::Viewer, None), api.token(Role::Analyst, None), api.token(Role::Admin, None));
    let tenant = api.token(Role::Admin, Some("acme"));
    let (stop, start, reason) = ("/api/v1/response/stop", "/api/v1/response/start", r#"{"reason":"it ends the wrong ones"}"#);
    api.post(&viewer, stop, reason).await.is_problem(403, None);
    api.post(&tenant, stop, reason).await.is_problem(403, None);
    api.post(&analyst, stop, r#"{"reason":" "}"#).await.is_problem(400, Some("reason"));
    api.post(&analyst, stop, "{}").await.is_problem(400, None);
    assert_eq!(
        api.get(&viewer, "/api/v1/response").await.json(),
        json!({"stopped": false, "since": null, "by": null, "reason": null, "waiting": 0})
    );
    let stopped = api.post(&analyst, stop, reason).await.json();
    assert_eq!(
        (&stopped["stopped"], &stopped["by"], &stopped["reason"]),
        (&json!(true), &json!("analyst-name"), &json!("it ends the wrong ones"))
    );
    assert!(api.switch.is_thrown());
    assert_eq!(api.post(&admin, stop, r#"{"reason":"me too"}"#).await.json(), stopped, "the first one counts");
    assert_eq!(api.get(&viewer, "/api/v1/status").await.json()["response"], stopped);
    let seen = api.get(&tenant, "/api/v1/response").await.json();
    assert_eq!((&seen["stopped"], &seen["since"], &seen["by"]), (&json!(true), &stopped["since"], &Value::Null));

    api.post(&analyst, start, "").await.is_problem(403, None);
    api.post(&tenant, start, "").await.is_problem(403, None);
    assert!(api.switch.is_thrown());
    assert_eq!(api.post(&admin, start, "").await.json()["stopped"], false);
    assert!(!api.switch.is_thrown());
    let told: Vec<_> = messages(&api.db, "oncall", State::Pending).into_iter().map(|message| message.kind).collect();
    assert_eq!(told, ["response.stopped", "response.started"]);
    let trail = api.get(&admin, "/api/v1/audit?subject=response").await.json();
    let who = |at: usize| (trail["items"][at]["actor"].as_str(), trail["items"][at]["action"].as_str());
    assert_eq!(who(1), (Some("analyst-name"), Some("response.stopped")));
    assert_eq!(who(0), (Some("admin-name"), Some("response.started")));
}

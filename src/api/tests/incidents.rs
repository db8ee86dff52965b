//! Incidents: the list and its filters, triage that alerts follow, the timeline, tenants apart.

use super::*;
use crate::alert::Status;
use serde_json::json;

/// Two alerts of one attacker make an incident; returns its id.
fn incident(api: &Api, tenant: &str) -> String {
    for id in ["a1", "a2"] {
        api.alert(&format!("{id}-{tenant}"), tenant);
    }
    let alert = api.db.read(|tx| crate::db::alerts::get(tx, &format!("a2-{tenant}"))).unwrap().unwrap();
    alert.incident.unwrap()
}

async fn ids(api: &Api, token: &str, query: &str) -> Vec<String> {
    let page = api.get(token, &format!("/api/v1/incidents{query}")).await.json();
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn incidents_are_listed_and_filtered_by_what_their_alerts_say() {
    let api = Api::new();
    let (all, acme) = (api.token(Role::Viewer, None), api.token(Role::Viewer, Some("acme")));
    let (own, other) = (incident(&api, "acme"), incident(&api, "other"));
    assert_eq!(ids(&api, &all, "").await.len(), 2, "tenants are never joined");
    assert_eq!(ids(&api, &all, "?tenant=other").await, [other.as_str()]);
    assert_eq!(ids(&api, &acme, "").await, [own.as_str()]);
    for (query, found) in [
        ("?user=u1", 1),
        ("?user=u2", 0),
        ("?ip=198.51.100.7", 1),
        ("?session=ses-1&detector=token_reuse", 1),
        ("?detector=brute_force", 0),
        ("?severity=high,critical&status=open", 1),
        ("?status=resolved", 0),
        ("?since=2026-03-01T12:00:02Z", 0),
        ("?until=2026-03-01T12:00:00Z", 0),
    ] {
        assert_eq!(ids(&api, &acme, query).await.len(), found, "{query}");
    }
    let first = api.get(&all, "/api/v1/incidents?limit=1").await.json();
    let second = format!("/api/v1/incidents?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = api.get(&all, &second).await.json();
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    assert_eq!(second["next_cursor"], Value::Null);
    api.get(&all, "/api/v1/incidents?status=gone").await.is_problem(400, Some("status"));
    let item = &first["items"][0];
    assert_eq!((&item["alert_count"], &item["hit_count"], &item["title"]), (&json!(2), &json!(1), &json!("Refresh token used again: u1")));
}

#[tokio::test]
async fn triage_of_an_incident_is_that_of_its_alerts_and_its_timeline_tells_all() {
    let api = Api::new();
    let (analyst, viewer) = (api.token(Role::Analyst, Some("acme")), api.token(Role::Viewer, Some("acme")));
    let path = format!("/api/v1/incidents/{}", incident(&api, "acme"));
    let before = api.get(&viewer, &path).await;
    assert_eq!((before.header("etag"), before.json()["history"].as_array().unwrap().len()), ("\"2\"", 2));
    api.patch(&viewer, &path, r#"{"status":"resolved"}"#).await.is_problem(403, None);
    api.patch(&analyst, &path, r#"{"colour":"red"}"#).await.is_problem(400, Some("colour"));
    for wrong in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https://u:p@tickets.example/1",
        "SEC-42",
        &format!("https://t.example/{}", "x".repeat(2_048)),
    ] {
        api.patch(&analyst, &path, &json!({"link": wrong}).to_string()).await.is_problem(400, Some("link"));
    }
    let stale = request("PATCH", &path, &analyst).header("if-match", "\"1\"").body(Body::from(r#"{"note":"n"}"#)).unwrap();
    api.send(stale).await.is_problem(412, Some("If-Match"));
    let resolved = api
        .patch(
            &analyst,
            &path,
            r#"{"status":"resolved","disposition":"true_positive","note":"theft","link":"https://tickets.example/SEC-42"}"#,
        )
        .await
        .json();
    assert_eq!(resolved["history"][2]["change"]["link"], "https://tickets.example/SEC-42");
    assert_eq!((&resolved["status"], &resolved["resolution"], &resolved["version"]), (&json!("resolved"), &json!("person"), &json!(3)));
    for id in ["a1-acme", "a2-acme"] {
        assert_eq!(api.db.read(|tx| crate::db::alerts::get(tx, id)).unwrap().unwrap().status, Status::Resolved);
    }
    let page = api.get(&viewer, &format!("{path}/timeline?limit=3")).await.json();
    assert_eq!(page["events_missing"], "the store does not answer at the moment");
    let rest = format!("{path}/timeline?limit=100&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = api.get(&viewer, &rest).await.json();
    let both = [page["items"].as_array().unwrap().clone(), rest["items"].as_array().unwrap().clone()].concat();
    let kinds = |kind: &str| both.iter().filter(|entry| entry["kind"] == kind).count();
    assert_eq!((kinds("incident"), kinds("alert")), (3, 4), "two versions and two steps of alerts, an opening, a change and a step of it");
    assert!(both.windows(2).all(|pair| pair[0]["time"].as_str() >= pair[1]["time"].as_str()), "newest first");
    assert!(both.iter().any(|entry| entry["change"]["note"] == "theft" && entry["by"] == "analyst-name"));
}

#[tokio::test]
async fn another_tenants_incident_is_not_there() {
    let api = Api::new();
    let id = incident(&api, "acme");
    let stranger = api.token(Role::Analyst, Some("other"));
    for path in [format!("/api/v1/incidents/{id}"), format!("/api/v1/incidents/{id}/timeline"), "/api/v1/incidents/none".to_owned()] {
        api.get(&stranger, &path).await.is_problem(404, None);
    }
    api.patch(&stranger, &format!("/api/v1/incidents/{id}"), r#"{"note":"n"}"#).await.is_problem(404, None);
}

#[tokio::test]
async fn incidents_are_merged_and_split_by_hand() {
    let api = Api::new();
    let (analyst, viewer, stranger) =
        (api.token(Role::Analyst, Some("acme")), api.token(Role::Viewer, Some("acme")), api.token(Role::Analyst, Some("other")));
    let path = format!("/api/v1/incidents/{}", incident(&api, "acme"));
    let (split, merge) = (format!("{path}/split"), format!("{path}/merge"));
    let body = r#"{"alerts":["a2-acme"],"note":"another thief"}"#;
    api.post(&viewer, &split, body).await.is_problem(403, None);
    api.post(&stranger, &split, body).await.is_problem(404, None);
    api.post(&analyst, &split, r#"{"alerts":[]}"#).await.is_problem(400, Some("alerts"));
    api.post(&analyst, &split, r#"{"alerts":["a9"]}"#).await.is_problem(400, Some("alerts"));
    api.post(&analyst, &split, r#"{"alert":"a9"}"#).await.is_problem(400, None);
    let own = api.post(&analyst, &split, body).await.json();
    assert_eq!((&own["alert_count"], &own["alerts"][0]["id"]), (&json!(1), &json!("a2-acme")));
    assert_eq!(own["history"][0]["change"]["note"], "another thief");
    let audited = api.get(&api.token(Role::Admin, Some("acme")), "/api/v1/audit?action=incident.split").await.json();
    assert_eq!(audited["items"][0]["detail"]["change"]["note"], "another thief", "the tenant's own admins see it: {audited}");
    assert_eq!(api.get(&viewer, &path).await.json()["alert_count"], 1);
    let own = own["id"].as_str().unwrap();
    let merged = api.post(&analyst, &merge, json!({"incidents": [own]}).to_string()).await;
    assert_eq!((merged.json()["alert_count"].as_u64(), merged.header("etag")), (Some(2), "\"4\""));
    assert_eq!(api.get(&viewer, &format!("/api/v1/incidents/{own}")).await.json()["merged_into"], merged.json()["id"]);
    api.post(&analyst, &merge, json!({"incidents": [own]}).to_string()).await.is_problem(400, None);
}

#[tokio::test]
async fn one_step_on_many_is_previewed_and_then_taken() {
    let api = Api::new();
    let (analyst, viewer) = (api.token(Role::Analyst, Some("acme")), api.token(Role::Viewer, Some("acme")));
    let id = incident(&api, "acme");
    incident(&api, "other");
    let asked = json!({"ids": ["a1-acme", "a1-other", "a2-acme"], "change": {"status": "resolved", "disposition": "benign"}}).to_string();
    api.post(&viewer, "/api/v1/alerts/triage?preview=true", asked.clone()).await.is_problem(403, None);
    let preview = api.post(&analyst, "/api/v1/alerts/triage?preview=true", asked.clone()).await.json();
    assert_eq!((&preview["changed"], &preview["refused"]), (&json!(2), &json!(1)));
    let line = &preview["items"][0];
    assert_eq!((&line["from"], &line["to"]), (&json!({"status": "open"}), &json!({"status": "resolved", "disposition": "benign"})));
    assert_eq!(preview["items"][1], json!({"id": "a1-other", "refused": "there is none of this id"}), "another tenant's");
    let alert = |id: &str| api.db.read(|tx| crate::db::alerts::get(tx, id)).unwrap().unwrap();
    assert_eq!((alert("a1-acme").status, alert("a1-acme").version), (Status::Open, 1), "nothing of a preview is kept");
    let done = api.post(&analyst, "/api/v1/alerts/triage", asked).await.json();
    assert_eq!(done, preview, "it becomes what was foretold");
    assert_eq!((alert("a2-acme").status, alert("a1-other").status), (Status::Resolved, Status::Open));
    let asked = json!({"ids": [id], "change": {"status": "open"}}).to_string();
    let opened = api.post(&analyst, "/api/v1/incidents/triage", asked).await.json();
    assert_eq!((&opened["items"][0]["from"]["status"], &opened["items"][0]["to"]["status"]), (&json!("resolved"), &json!("open")));
    for (body, member) in [
        (json!({"ids": [], "change": {"status": "open"}}), Some("ids")),
        (json!({"ids": ["a"], "change": {"colour": "red"}}), Some("colour")),
        (json!({"ids": ["a"]}), None),
    ] {
        api.post(&analyst, "/api/v1/alerts/triage", body.to_string()).await.is_problem(400, member);
    }
    api.post(&analyst, "/api/v1/alerts/triage?preview=maybe", "{}").await.is_problem(400, Some("preview"));
}

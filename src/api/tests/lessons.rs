//! What triage teaches, as an analyst sees it.

use super::*;
use crate::db::{alerts, lessons};
use serde_json::json;

/// An alert of a detector, resolved; its history, but for what detection and people did themselves.
async fn resolved(api: &Api, detector: &str, disposition: &str) -> Vec<Value> {
    let token = api.token(Role::Analyst, Some("acme"));
    let mut alert = crate::notify::testing::alert(detector);
    alert.detector = detector.to_owned();
    commit_at(&api.db, &alert, &Routing::default(), alert.detected_time.0).unwrap();
    let change = json!({"status": "resolved", "disposition": disposition}).to_string();
    let answer = api.patch(&token, &format!("/api/v1/alerts/{detector}"), &change).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    of_lessons(&answer.json())
}

fn of_lessons(alert: &Value) -> Vec<Value> {
    alert["history"].as_array().unwrap().iter().filter(|line| line["kind"] == "lesson").cloned().collect()
}

#[tokio::test]
async fn what_is_resolved_as_harmless_waits_for_its_events_and_is_then_told() {
    let api = Api::new();
    let viewer = api.token(Role::Viewer, Some("acme"));
    assert_eq!(resolved(&api, "impossible_travel", "benign").await, [Value::Null; 0]);
    let waiting = api.db.read(|tx| lessons::waiting(tx, 0, 10)).unwrap();
    assert_eq!(waiting.iter().map(|noted| &*noted.alert_id).collect::<Vec<_>>(), ["impossible_travel"]);
    tokio::time::timeout(Duration::from_secs(5), api.lessons.noted()).await.expect("the teacher is woken");
    // As the teacher does it.
    let teach = |tx: &rusqlite::Transaction<'_>| {
        lessons::add(tx, waiting[0].id, "[]")?;
        alerts::tell_lesson(tx, "impossible_travel", "analyst-name", "taught: 2 sign-ins of u1", 1_772_366_400_000)
    };
    api.db.write(teach).unwrap();
    let told = api.get(&viewer, "/api/v1/alerts/impossible_travel").await.json();
    let [line] = &of_lessons(&told)[..] else { panic!("{told}") };
    assert_eq!((&line["lesson"], &line["by"], &line["version"]), (&json!("taught: 2 sign-ins of u1"), &json!("analyst-name"), &json!(2)));
    assert_eq!((&told["version"], &line["status"]), (&json!(2), &Value::Null), "nothing of the alert itself changed");
    let analyst = api.token(Role::Analyst, Some("acme"));
    let answer = api.patch(&analyst, "/api/v1/alerts/impossible_travel", r#"{"disposition": "true_positive"}"#).await;
    let lines = of_lessons(&answer.json());
    assert_eq!(lines.last().unwrap()["lesson"], "taken back: what was learnt of it fades");
    assert_eq!(api.lessons.newest(), 2, "the pipeline sees it at once");
}

#[tokio::test]
async fn what_teaches_nothing_says_so_or_nothing() {
    let api = Api::new();
    assert_eq!(resolved(&api, "impossible_travel", "true_positive").await, [Value::Null; 0]);
    let lines = resolved(&api, "credential_stuffing", "false_positive").await;
    let told = "nothing to learn: credential_stuffing does not go by what is known of people";
    assert_eq!(lines.iter().map(|line| line["lesson"].as_str().unwrap()).collect::<Vec<_>>(), [told]);
    assert!(api.db.read(|tx| lessons::waiting(tx, 0, 10)).unwrap().is_empty());
}

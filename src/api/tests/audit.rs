//! The audit trail as admins see it, and what reads leave in it.

use super::*;
use crate::db::audit::{self, Filter};
use crate::db::chain::Record;
use std::time::Instant;

/// Longest wait for what is written in the background.
const DEADLINE: Duration = Duration::from_secs(20);

/// The trail, oldest first, without what tokens leave.
fn trail(api: &Api) -> Vec<Record> {
    let (mut found, _) = api.db.read(|tx| audit::list(tx, &Filter::default(), i64::MAX, 1_000)).unwrap();
    found.retain(|record| !record.action.starts_with("token."));
    found.reverse();
    found
}

/// The trail once it has so many records.
async fn trail_of(api: &Api, records: usize) -> Vec<(String, String, Value)> {
    let started = Instant::now();
    while trail(api).len() < records {
        assert!(started.elapsed() < DEADLINE, "{:?}", trail(api));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let row =
        |record: Record| (record.action, record.subject, serde_json::from_str::<Value>(record.detail.get()).unwrap()["tenant"].clone());
    trail(api).into_iter().map(row).collect()
}

fn row(action: &str, subject: &str, tenant: impl Into<Value>) -> (String, String, Value) {
    (action.to_owned(), subject.to_owned(), tenant.into())
}

#[tokio::test]
async fn admins_see_the_trail_of_their_tenant_page_by_page() {
    let api = Api::new();
    let (all, acme, analyst) = (api.token(Role::Admin, None), api.token(Role::Admin, Some("acme")), api.token(Role::Analyst, None));
    for tenant in ["acme", "globex"] {
        api.alert(tenant, tenant);
        api.patch(&analyst, &format!("/api/v1/alerts/{tenant}"), r#"{"note":"seen"}"#).await;
    }
    for role in [Role::Viewer, Role::Analyst, Role::Ingest] {
        api.get(&api.token(role, None), "/api/v1/audit").await.is_problem(403, None);
    }
    let subjects = async |token: &str, query: &str| {
        let page = api.get(token, &format!("/api/v1/audit?action=alert.triage{query}")).await.json();
        let subjects: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["subject"].as_str().unwrap().to_owned()).collect();
        (subjects, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(subjects(&all, "").await.0, ["globex", "acme"]);
    assert_eq!(subjects(&all, "&tenant=globex").await.0, ["globex"]);
    assert_eq!(subjects(&acme, "").await.0, ["acme"]);
    assert_eq!(subjects(&all, "&actor=analyst-name&subject=acme").await.0, ["acme"]);
    assert_eq!(subjects(&all, "&actor=kim").await, (vec![], None));
    assert_eq!(subjects(&all, "&until=2026-01-01T00:00:00Z").await.0, Vec::<String>::new());
    let (first, cursor) = subjects(&all, "&limit=1").await;
    let (second, _) = subjects(&all, &format!("&limit=1&cursor={}", cursor.unwrap())).await;
    assert_eq!([first, second].concat(), ["globex", "acme"]);
    api.get(&acme, "/api/v1/audit?tenant=globex").await.is_problem(400, Some("tenant"));
    let tokens = api.get(&acme, "/api/v1/audit?action=token.create").await.json();
    assert_eq!(tokens["items"].as_array().unwrap().len(), 1, "those of the tenant alone");
}

#[tokio::test]
async fn what_is_shown_of_a_record_is_what_its_hash_is_of() {
    let api = Api::new();
    let token = api.token(Role::Admin, None);
    let answer = api.get(&token, "/api/v1/audit?action=token.create").await;
    let text = std::str::from_utf8(&answer.body).unwrap();
    let record = text.strip_prefix("{\"items\":[").unwrap().split("],\"next_cursor\"").next().unwrap();
    let mut verifier = crate::db::chain::Verifier::new(Some(crate::db::chain::Link::origin()), None);
    verifier.check(record).unwrap();
    let head = &api.get(&token, "/api/v1/status").await.json()["audit_head"];
    assert!(head["id"].as_i64().unwrap() >= 1);
    let tenant = api.token(Role::Admin, Some("acme"));
    assert_eq!(api.get(&tenant, "/api/v1/status").await.json()["audit_head"], Value::Null);
}

#[tokio::test]
async fn a_console_that_refreshes_leaves_one_record_an_hour_of_each_thing_it_reads() {
    let api = Api::new();
    let (token, other) = (api.token(Role::Viewer, None), api.token(Role::Viewer, None));
    api.alert("a1", "acme");
    let begun = crate::clock::now_ms();
    for seconds in 0..20 {
        api.get(&token, "/api/v1/alerts/a1").await;
        api.get(&token, &format!("/api/v1/alerts?since=2026-03-01T12:00:{seconds:02}Z&user=u1&limit={}", seconds + 1)).await;
    }
    api.get(&token, "/api/v1/alerts/a1?format=ocsf").await;
    api.get(&token, "/api/v1/alerts/nobody").await.is_problem(404, None);
    api.get(&token, "/api/v1/entities/user/u1").await.is_problem(503, None);
    api.get(&other, "/api/v1/alerts/a1").await;
    let found = trail_of(&api, 3).await;
    let wanted = [
        row("alert.read", "a1", "acme"),
        row("alerts.listed", "since=2026-03-01T12:00:00.000Z&user=u1", Value::Null),
        row("alert.read", "a1", "acme"),
    ];
    let hour = |time_ms: i64| time_ms / bartizan_core::time::HOUR_MS;
    if hour(begun) == hour(crate::clock::now_ms()) {
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn a_read_that_cannot_be_recorded_is_counted_and_nobody_waits() {
    let config = HttpConfig { reads_queue_max: 2, ..HttpConfig::default() };
    let api = Api::with(config, None);
    let token = api.token(Role::Viewer, None);
    api.alert("a1", "acme");
    api.db.before_commit(|| true).unwrap();
    for _ in 0..3 {
        assert_eq!(api.get(&token, "/api/v1/alerts/a1").await.status, 200);
    }
    let started = Instant::now();
    while api.metrics.reads_lost.get() == 0 {
        assert!(started.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    api.db.before_commit(|| false).unwrap();
    api.get(&token, "/api/v1/alerts/a1").await;
    assert_eq!(trail_of(&api, 1).await, [row("alert.read", "a1", "acme")], "read again, it is recorded");
}

//! Circuit breakers in the hands of analysts.

use super::*;
use serde_json::json;

#[tokio::test]
async fn open_breakers_are_listed_and_closed_and_that_is_on_record() {
    let api = Api::new();
    let (analyst, viewer) = (api.token(Role::Analyst, Some("acme")), api.token(Role::Viewer, Some("acme")));
    let all = api.token(Role::Admin, None);
    let items = |answer: Answer| answer.json()["items"].as_array().unwrap().clone();
    let own = items(api.get(&viewer, "/api/v1/breakers").await);
    assert_eq!((own.len(), &own[0]["tenant"], &own[0]["limit_per_hour"]), (1, &json!("acme"), &json!(50)));
    assert_eq!(own[0]["since"], "2026-03-01T12:00:00.000Z");
    assert_eq!(items(api.get(&all, "/api/v1/breakers").await).len(), 2);
    let path = "/api/v1/breakers/token_reuse/close";
    api.post(&viewer, path, "{}").await.is_problem(403, None);
    api.post(&analyst, path, "[").await.is_problem(400, None);
    api.post(&analyst, path, json!({"tenant": "globex"}).to_string()).await.is_problem(400, Some("tenant"));
    api.post(&all, path, "{}").await.is_problem(400, Some("tenant"));
    api.post(&analyst, "/api/v1/breakers/brute_force/close", "{}").await.is_problem(404, None);
    api.post(&all, path, json!({"tenant": "umbrella"}).to_string()).await.is_problem(404, None);
    assert!(api.closings.latest().is_empty(), "nothing was written");
    for (token, body) in [(&analyst, json!({})), (&all, json!({"tenant": "globex"})), (&all, json!({"tenant": "acme"}))] {
        assert_eq!(api.post(token, path, body.to_string()).await.status, 204);
    }
    let latest = api.closings.latest();
    let closed: Vec<_> = latest.iter().map(|closing| (closing.number, closing.tenant.as_str())).collect();
    assert_eq!(closed, [(2, "globex"), (3, "acme")], "the pipeline sees the newest of each at once");
    assert_eq!(*Closings::open(&api.db).unwrap().latest(), *latest);
    let actions = api.db.read(|tx| {
        let mut statement = tx.prepare("SELECT actor FROM audit WHERE action = 'breaker.closed' ORDER BY id")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    assert_eq!(actions.unwrap(), ["analyst-name", "admin-name", "admin-name"]);
}

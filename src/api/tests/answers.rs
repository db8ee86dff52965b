//! Problems, lists, one alert, triage, and the shapes that the console reads.

use super::*;
use serde_json::json;

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let api = Api::new();
    let token = api.token(Role::Admin, None);
    api.get(&token, "/nope").await.is_problem(404, None);
    api.get(&token, "/api/v1/nope").await.is_problem(404, None);
    api.get("", "/console/../secret").await.is_problem(404, None);
    api.get("", "/console/nope.js").await.is_problem(404, None);
    let wrong_method = api.send(request("DELETE", "/api/v1/alerts", &token).body(Body::empty()).unwrap()).await;
    wrong_method.is_problem(405, None);
    assert!(wrong_method.header("allow").contains("GET"), "{wrong_method:?}");
    api.get(&token, "/api/v1/alerts/unknown").await.is_problem(404, None);
    api.get(&token, "/api/v1/alerts/%ff").await.is_problem(404, None);
    api.get(&token, "/api/v1/entities/token/t1").await.is_problem(404, Some("kind"));
    api.get(&token, "/api/v1/entities/ip/nonsense").await.is_problem(400, Some("value"));
    // The store is not there.
    let answer = api.get(&token, "/api/v1/events").await;
    answer.is_problem(503, None);
    assert_eq!(answer.header("retry-after"), "2");
    api.get("", "/readyz").await.is_problem(503, None);
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let api = Api::new();
    let token = api.token(Role::Viewer, None);
    for (query, parameter) in [
        ("nope=1", "nope"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("since=yesterday", "since"),
        ("until=1", "until"),
        ("severity=awful", "severity"),
        ("status=gone", "status"),
        ("ip=1.2.3", "ip"),
        ("cursor=abc", "cursor"),
        ("user=a&user=b", "user"),
        ("user=", "user"),
    ] {
        api.get(&token, &format!("/api/v1/alerts?{query}")).await.is_problem(400, Some(parameter));
    }
    for (query, parameter) in [("kind=x", "kind"), ("outcome=x", "outcome"), ("detector=x", "detector"), ("cursor=e30", "cursor")] {
        api.get(&token, &format!("/api/v1/events?{query}")).await.is_problem(400, Some(parameter));
    }
    for path in ["/api/v1/status?x=1", "/api/v1/alerts/a?x=1", "/api/v1/stream?x=1", "/api/v1/detectors?x=1", "/openapi.json?x=1"] {
        api.get(&token, path).await.is_problem(400, Some("x"));
    }
}

#[tokio::test]
async fn pages_follow_each_other_and_a_cursor_keeps_to_its_question() {
    let api = Api::new();
    let token = api.token(Role::Viewer, None);
    (0..25).for_each(|number| drop(api.alert(&format!("a{number:02}"), "acme")));
    let (mut seen, mut path) = (Vec::new(), "/api/v1/alerts?limit=10&severity=high".to_owned());
    let mut first_cursor = None;
    loop {
        let page = api.get(&token, &path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        first_cursor.get_or_insert_with(|| cursor.to_owned());
        path = format!("/api/v1/alerts?limit=10&severity=high&cursor={cursor}");
    }
    let mut distinct = seen.clone();
    distinct.dedup();
    assert_eq!((seen.len(), distinct.len()), (25, 25));
    let cursor = first_cursor.unwrap();
    api.get(&token, &format!("/api/v1/alerts?severity=low&cursor={cursor}")).await.is_problem(400, Some("cursor"));
    let other = api.token(Role::Viewer, Some("acme"));
    api.get(&other, &format!("/api/v1/alerts?severity=high&cursor={cursor}")).await.is_problem(400, Some("cursor"));
}

#[tokio::test]
async fn filters_find_what_they_name() {
    let api = Api::new();
    let token = api.token(Role::Viewer, None);
    api.alert("a1", "acme");
    for (query, count) in [
        ("user=u1&ip=198.51.100.7&session=ses-1", 1),
        ("user=u2", 0),
        ("ip=::ffff:198.51.100.7", 1),
        ("severity=low,high&status=open", 1),
        ("severity=low", 0),
        ("detector=token_reuse", 1),
        ("since=2026-03-01T12:00:00Z&until=2026-03-01T12:00:00.001Z", 1),
        ("since=2026-03-01T12:00:02Z", 0),
        ("until=2026-03-01T12:00:00Z", 0),
    ] {
        let page = api.get(&token, &format!("/api/v1/alerts?{query}")).await.json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test]
async fn triage_is_kept_with_who_and_when_and_read_at_once() {
    let api = Api::new();
    let token = api.token(Role::Analyst, None);
    api.alert("a1", "acme");
    let path = "/api/v1/alerts/a1";
    let answer = api.patch(&token, path, r#"{"status":"acknowledged","assignee":"bo","note":"<b>on it</b>"}"#).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"2\""));
    let shown = api.get(&token, path).await.json();
    assert_eq!((&shown["status"], &shown["assignee"], &shown["version"]), (&json!("acknowledged"), &json!("bo"), &json!(2)));
    let line = &shown["history"][1];
    assert_eq!((&line["kind"], &line["by"], &line["note"]), (&json!("triage"), &json!("analyst-name"), &json!("<b>on it</b>")));
    assert_eq!(shown["history"][0]["change"], "opened");
    assert_eq!(shown["events_missing"].as_str(), Some("the store does not answer at the moment"));
    let cleared = api.patch(&token, path, r#"{"assignee":null,"status":"resolved","disposition":"benign"}"#).await.json();
    assert_eq!((cleared.get("assignee"), &cleared["disposition"]), (None, &json!("benign")));
}

#[tokio::test]
async fn a_wrong_triage_step_changes_nothing_and_names_the_member() {
    let api = Api::new();
    let token = api.token(Role::Analyst, None);
    api.alert("a1", "acme");
    let path = "/api/v1/alerts/a1";
    for (body, parameter) in [
        ("", None),
        ("[]", None),
        ("{", None),
        ("{}", None),
        (r#"{"status":"gone"}"#, Some("status")),
        (r#"{"status":7}"#, Some("status")),
        (r#"{"disposition":"benign","status":"open"}"#, Some("disposition")),
        (r#"{"disposition":"benign"}"#, Some("disposition")),
        (r#"{"assignee":{}}"#, Some("assignee")),
        (r#"{"version":9}"#, Some("version")),
    ] {
        api.patch(&token, path, body).await.is_problem(400, parameter);
    }
    api.patch(&token, path, &format!("{{\"note\":\"{}\"}}", "x".repeat(9_000))).await.is_problem(400, Some("note"));
    api.patch(&token, path, &format!("{{\"note\":\"{}\"}}", "x".repeat(90_000))).await.is_problem(413, None);
    assert_eq!(api.get(&token, path).await.json()["version"], 1);
}

#[tokio::test]
async fn if_match_keeps_two_people_from_overwriting_each_other() {
    let api = Api::new();
    let token = api.token(Role::Analyst, None);
    api.alert("a1", "acme");
    let step = |version: &str| {
        request("PATCH", "/api/v1/alerts/a1", &token).header("if-match", version).body(Body::from("{\"note\":\"x\"}")).unwrap()
    };
    assert_eq!(api.send(step("\"1\"")).await.status, 200);
    api.send(step("\"1\"")).await.is_problem(412, Some("If-Match"));
    api.send(step("one")).await.is_problem(400, Some("If-Match"));
    assert_eq!(api.send(step("*")).await.status, 200);
}

#[tokio::test]
async fn the_console_is_served_under_its_policy() {
    let api = Api::new();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/console/main.js", "text/javascript; charset=utf-8"),
        ("/console/favicon.svg", "image/svg+xml"),
    ] {
        let answer = api.get("", path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind));
        assert!(answer.header("content-security-policy").contains("require-trusted-types-for 'script'"));
        assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-cache"));
    }
}

#[tokio::test]
async fn health_speaks_of_what_is_wrong() {
    let api = Api::new();
    let token = api.token(Role::Viewer, None);
    api.health.raise(crate::telemetry::HealthId::PartitionsLost, "", 5, "rebalance");
    let ready = api.get("", "/readyz").await;
    assert!(ready.json()["detail"].as_str().unwrap().contains("rebalance"));
    let status = api.get(&token, "/api/v1/status").await.json();
    assert_eq!((&status["ready"], &status["health"][0]["id"]), (&json!(false), &json!("partitions_lost")));
    let metrics = api.get(&token, "/metrics").await;
    let text = std::str::from_utf8(&metrics.body).unwrap();
    assert!(
        text.contains("bartizan_ready 0") && text.contains("bartizan_http_requests_total{route=\"/api/v1/status\",status=\"200\"} 1"),
        "{text}"
    );
}

/// Members of the console's fixtures that the API leaves out: when they say nothing, or because it
/// does not know them.
const ABSENT: [&str; 7] = ["disposition", "assignee", "hit", "country", "latitude", "longitude", "accuracy_km"];

/// Has `answer` every member of `fixture`, of the same type?
fn same_shape(fixture: &Value, answer: &Value, path: &str) {
    match (fixture, answer) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(fixture), Value::Object(answer)) => {
            for (name, value) in fixture.iter().filter(|(name, _)| !ABSENT.contains(&name.as_str()) || answer.contains_key(*name)) {
                let found = answer.get(name).unwrap_or_else(|| panic!("{path}.{name} is missing"));
                if name != "evidence" && name != "attrs" {
                    same_shape(value, found, &format!("{path}.{name}"));
                }
            }
        }
        (Value::Array(fixture), Value::Array(answer)) => {
            if let (Some(fixture), Some(answer)) = (fixture.first(), answer.first()) {
                same_shape(fixture, answer, &format!("{path}[]"));
            }
        }
        _ => assert_eq!(std::mem::discriminant(fixture), std::mem::discriminant(answer), "{path}"),
    }
}

pub(super) fn as_the_console_expects(fixture: &str, answer: &Answer) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/console/fixtures/{fixture}.json"));
    let fixture: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(answer.status.is_success() || fixture.get("status").is_some(), "{answer:?}");
    same_shape(&fixture, &answer.json(), "");
}

#[tokio::test]
async fn answers_have_the_shapes_that_the_console_reads() {
    let api = Api::new();
    let token = api.token(Role::Analyst, None);
    api.alert("a1", "acme");
    api.health.raise(crate::telemetry::HealthId::ChannelFailing, "oncall", 5, "refused");
    as_the_console_expects("alerts", &api.get(&token, "/api/v1/alerts").await);
    as_the_console_expects("alert", &api.get(&token, "/api/v1/alerts/a1").await);
    as_the_console_expects("status", &api.get(&token, "/api/v1/status").await);
    as_the_console_expects("problem", &api.patch(&token, "/api/v1/alerts/a1", r#"{"disposition":"benign","status":"open"}"#).await);
}

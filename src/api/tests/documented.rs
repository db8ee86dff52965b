//! The OpenAPI document against the routes.

use super::*;
use std::collections::BTreeSet;

const METHODS: [&str; 5] = ["get", "post", "patch", "put", "delete"];

async fn document(api: &Api) -> Value {
    api.get(&api.token(Role::Viewer, None), "/openapi.json").await.json()
}

#[tokio::test]
async fn what_is_documented_answers_and_nothing_else_does() {
    let api = Api::with(HttpConfig { requests_burst_max: 10_000, ..HttpConfig::default() }, None);
    let document = document(&api).await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        let address = path
            .replace("{id}", "x")
            .replace("{kind}", "user")
            .replace("{value}", "x")
            .replace("{detector}", "token_reuse")
            .replace("{name}", "oncall");
        for method in METHODS {
            let answer = api.send(request(&method.to_uppercase(), &address, "").body(Body::empty()).unwrap()).await;
            let is_open = operations[method]["security"].as_array().is_some_and(|security| security.contains(&serde_json::json!({})));
            match operations.get(method) {
                None => answer.is_problem(405, None),
                Some(_) if is_open => assert_ne!(answer.status, 401, "{method} {path}"),
                Some(_) => answer.is_problem(401, None),
            }
            if let Some(operation) = operations.get(method) {
                let code = answer.status.as_str();
                assert!(operation["responses"].get(code).is_some(), "{method} {path} answers {code}, which is not documented");
            }
        }
    }
    let wanted: BTreeSet<&str> = [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/api/v1/events",
        "/api/v1/actions",
        "/api/v1/actions/{id}",
        "/api/v1/actions/{id}/approve",
        "/api/v1/actions/{id}/reject",
        "/api/v1/actions/{id}/undo",
        "/api/v1/blocks",
        "/v1/decisions/stream",
        "/api/v1/alerts",
        "/api/v1/alerts/{id}",
        "/api/v1/alerts/triage",
        "/api/v1/audit",
        "/api/v1/entities/{kind}/{value}",
        "/api/v1/breakers",
        "/api/v1/breakers/{detector}/close",
        "/api/v1/channels/{name}/test",
        "/api/v1/explain",
        "/api/v1/deliveries",
        "/api/v1/deliveries/retry",
        "/api/v1/detectors",
        "/api/v1/incidents",
        "/api/v1/incidents/{id}",
        "/api/v1/incidents/{id}/merge",
        "/api/v1/incidents/{id}/split",
        "/api/v1/incidents/{id}/timeline",
        "/api/v1/incidents/triage",
        "/api/v1/maintenance",
        "/api/v1/policies/preview",
        "/api/v1/response",
        "/api/v1/response/start",
        "/api/v1/response/stop",
        "/api/v1/revocations/release",
        "/api/v1/status",
        "/api/v1/stream",
        "/api/v1/suppressed",
        "/api/v1/suppressions",
        "/api/v1/suppressions/{id}",
    ]
    .into();
    assert_eq!(paths.keys().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
}

#[tokio::test]
async fn every_documented_parameter_is_known_and_bounded() {
    let api = Api::with(HttpConfig { requests_burst_max: 10_000, ..HttpConfig::default() }, None);
    let token = api.token(Role::Admin, None);
    let document = document(&api).await;
    for path in ["/api/v1/actions", "/api/v1/alerts", "/api/v1/incidents", "/api/v1/events", "/api/v1/audit"] {
        for parameter in document["paths"][path]["get"]["parameters"].as_array().unwrap() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let described = parameter.get("description").or(schema.get("description")).is_some();
            assert_eq!((&parameter["in"], described), (&Value::from("query"), true), "{name}");
            assert!(parameter["required"] != true || name == "limit", "{name}");
            let value = match name {
                "since" | "until" => "2026-01-01T00:00:00Z",
                "ip" => "192.0.2.1",
                "severity" => "high",
                "status" => "open",
                "state" => "held,ended",
                "action" => "revoke_session",
                "format" => "ocsf",
                "kind" => "login",
                "outcome" => "success",
                "limit" => "5",
                "cursor" => continue,
                _ => "x",
            };
            let answer = api.get(&token, &format!("{path}?{name}={value}")).await;
            assert_ne!(answer.status, 400, "{name}: {answer:?}");
            assert!(schema.get("type").or(schema.get("anyOf")).is_some(), "{name} has no type: {schema}");
        }
    }
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let api = Api::new();
    let document = document(&api).await;
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

//! Tokens, roles, tenants, limits.

use super::*;

#[tokio::test]
async fn each_role_may_do_its_own_and_nothing_else() {
    let api = Api::new();
    api.alert("a1", "acme");
    let roles = [Role::Viewer, Role::Analyst, Role::Admin, Role::Ingest];
    let tokens = roles.map(|role| api.token(role, None));
    let reads = ["/api/v1/alerts", "/api/v1/alerts/a1", "/api/v1/detectors", "/api/v1/status", "/openapi.json", "/metrics"];
    for (role, token) in roles.iter().zip(&tokens) {
        for path in reads {
            let wanted = if *role == Role::Ingest { 403 } else { 200 };
            assert_eq!(api.get(token, path).await.status, wanted, "{role:?} {path}");
        }
        let triages = matches!(role, Role::Analyst | Role::Admin);
        let answer = api.patch(token, "/api/v1/alerts/a1", "{\"note\":\"x\"}").await;
        assert_eq!(answer.status, if triages { 200 } else { 403 }, "{role:?}");
        let posts = matches!(role, Role::Ingest | Role::Admin);
        assert_eq!(api.post(token, "/api/v1/events", "").await.status, if posts { 200 } else { 403 }, "{role:?}");
    }
}

#[tokio::test]
async fn without_a_good_token_there_is_nothing_but_probes_and_static_files() {
    let api = Api::new();
    let token = api.token(Role::Admin, None);
    let expired = api.db.create_token(&NewToken { name: "old".into(), role: Role::Admin, tenant: None, expires_ms: Some(1) }, 0).unwrap();
    for path in
        ["/api/v1/alerts", "/api/v1/events", "/api/v1/entities/user/u1", "/api/v1/status", "/api/v1/stream", "/openapi.json", "/metrics"]
    {
        let answer = api.get("", path).await;
        answer.is_problem(401, None);
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"bartizan\"");
        api.get(&expired, path).await.is_problem(401, None);
    }
    let wrong = api.get("btz_nonsense", "/api/v1/alerts").await;
    assert!(wrong.header("www-authenticate").contains("invalid_token"));
    for value in ["Basic eDp5", "Bearer", "Bearer ", "bearer"] {
        let request = Request::get("/api/v1/alerts").header("authorization", value).body(Body::empty()).unwrap();
        api.send(request).await.is_problem(401, None);
    }
    let twice = request("GET", "/api/v1/alerts", &token).header("authorization", "Bearer x").body(Body::empty()).unwrap();
    api.send(twice).await.is_problem(401, None);
    for path in ["/healthz", "/", "/console/main.js"] {
        assert_eq!(api.get("", path).await.status, 200, "{path}");
    }
    assert_eq!(api.get(&token, "/api/v1/alerts").await.status, 200);
}

#[tokio::test]
async fn a_revoked_token_ends_at_once() {
    let api = Api::new();
    let token = api.token(Role::Viewer, None);
    assert_eq!(api.get(&token, "/api/v1/alerts").await.status, 200);
    let id = api.db.find_token(&token).unwrap().unwrap().id;
    api.db.revoke_token(&id, 5).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_millis(500);
    while api.get(&token, "/api/v1/alerts").await.status != 401 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_token_of_one_tenant_sees_that_tenant_alone() {
    let api = Api::new();
    api.alert("a1", "acme");
    api.alert("b1", "umbrella");
    let (acme, all) = (api.token(Role::Analyst, Some("acme")), api.token(Role::Analyst, None));
    let ids = |answer: Answer| {
        answer.json()["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(api.get(&acme, "/api/v1/alerts").await), ["a1"]);
    assert_eq!(ids(api.get(&all, "/api/v1/alerts").await).len(), 2);
    assert_eq!(ids(api.get(&all, "/api/v1/alerts?tenant=umbrella").await), ["b1"]);
    api.get(&acme, "/api/v1/alerts?tenant=acme").await.is_problem(400, Some("tenant"));
    api.get(&acme, "/api/v1/alerts/b1").await.is_problem(404, None);
    api.patch(&acme, "/api/v1/alerts/b1", "{\"note\":\"x\"}").await.is_problem(404, None);
    assert_eq!(api.get(&all, "/api/v1/alerts/b1").await.json()["version"], 1, "nothing was written");
    api.get(&acme, "/metrics").await.is_problem(403, None);
    let status = api.get(&acme, "/api/v1/status").await.json();
    assert_eq!((&status["events"], &status["alerts"]["open"], &status["channels"]), (&Value::Null, &1.into(), &serde_json::json!([])));
}

#[tokio::test]
async fn one_client_that_floods_does_not_hurt_another() {
    let config = HttpConfig { requests_per_second_max: 10, requests_burst_max: 50, ..HttpConfig::default() };
    let api = Api::with(config, None);
    let token = api.token(Role::Viewer, None);
    let ask = |address: &'static str| from(request("GET", "/api/v1/alerts", &token).body(Body::empty()).unwrap(), address);
    let mut refused = 0;
    for _ in 0..1_000 {
        let answer = api.send(ask("198.51.100.1")).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            answer.is_problem(429, None);
            refused += 1;
        }
    }
    assert!(refused > 800, "{refused}");
    assert_eq!(api.send(ask("198.51.100.2")).await.status, 200);
    let probe = from(Request::get("/healthz").body(Body::empty()).unwrap(), "198.51.100.1");
    assert_eq!(api.send(probe).await.status, 200);
}

#[tokio::test]
async fn guessing_tokens_is_slowed_down() {
    let api = Api::new();
    let token = api.token(Role::Viewer, None);
    let mut limited = false;
    for number in 0..100 {
        let guess = request("GET", "/api/v1/alerts", &format!("btz_{number}")).body(Body::empty()).unwrap();
        limited |= api.send(from(guess, "198.51.100.1")).await.status == 429;
    }
    assert!(limited);
    let good = request("GET", "/api/v1/alerts", &token).body(Body::empty()).unwrap();
    assert_eq!(api.send(from(good, "198.51.100.2")).await.status, 200);
}

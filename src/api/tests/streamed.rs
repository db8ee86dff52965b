//! Server-sent events.

use super::*;
use crate::alert::change::AlertChange;
use axum::body::BodyDataStream;
use futures::StreamExt;

/// An open stream, read until a text comes.
struct Listening(BodyDataStream, String);

impl Listening {
    async fn open(api: &Api, token: &str, last_id: Option<&str>) -> Self {
        let mut builder = request("GET", "/api/v1/stream", token);
        if let Some(id) = last_id {
            builder = builder.header("last-event-id", id);
        }
        let response = api.router.clone().oneshot(builder.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "text/event-stream"));
        let mut open = Self(response.into_body().into_data_stream(), String::new());
        open.until("retry: 2000").await;
        open
    }

    async fn until(&mut self, text: &str) {
        let reading = async {
            while !self.1.contains(text) {
                let chunk = self.0.next().await.expect("the stream ended").unwrap();
                self.1.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap_or_else(|_| panic!("{text} did not come: {}", self.1));
    }

    async fn ends(&mut self) {
        let reading = async { while self.0.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the stream goes on");
    }
}

fn tell(api: &Api, id: &str, tenant: &str) {
    let mut alert = crate::notify::testing::alert(id);
    alert.tenant = tenant.to_owned();
    api.changes.send(Arc::new(AlertChange { kind: "alert.opened", alert })).unwrap();
}

#[tokio::test]
async fn alerts_come_as_they_happen_to_those_who_may_see_them() {
    let api = Api::new();
    let (acme, all) = (api.token(Role::Viewer, Some("acme")), api.token(Role::Viewer, None));
    let (mut one, mut every) = (Listening::open(&api, &acme, None).await, Listening::open(&api, &all, None).await);
    tell(&api, "b1", "umbrella");
    tell(&api, "a1", "acme");
    one.until("\"id\":\"a1\"").await;
    every.until("\"id\":\"a1\"").await;
    assert!(every.1.contains("\"id\":\"b1\"") && !one.1.contains("b1"));
    assert!(every.1.contains("event: alert.opened\n") && every.1.contains("\nid: ") || every.1.contains("id: "), "{}", every.1);
    let id = every.1.lines().filter_map(|line| line.strip_prefix("id: ")).next().unwrap().to_owned();
    let mut again = Listening::open(&api, &all, Some(&id)).await;
    again.until("\"id\":\"a1\"").await;
    assert!(!again.1.contains("\"id\":\"b1\""), "that was seen");
    api.shutdown.cancel();
    every.ends().await;
}

#[tokio::test]
async fn triage_shows_on_the_stream() {
    let api = Api::new();
    api.alert("a1", "acme");
    let token = api.token(Role::Analyst, None);
    let mut open = Listening::open(&api, &token, None).await;
    api.patch(&token, "/api/v1/alerts/a1", r#"{"status":"resolved","disposition":"benign"}"#).await;
    open.until("event: alert.resolved").await;
    open.until("\"disposition\":\"benign\"").await;
}

#[tokio::test]
async fn streams_are_bounded_and_given_back() {
    let api = Api::with(HttpConfig { streams_max: 1, ..HttpConfig::default() }, None);
    let token = api.token(Role::Viewer, None);
    let open = Listening::open(&api, &token, None).await;
    api.get(&token, "/api/v1/stream").await.is_problem(503, None);
    drop(open);
    Listening::open(&api, &token, None).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let api = Api::new();
    let token = api.token(Role::Viewer, None);
    let mut open = Listening::open(&api, &token, None).await;
    api.db.revoke_token(&api.db.find_token(&token).unwrap().unwrap().id, 1).unwrap();
    open.ends().await;
}

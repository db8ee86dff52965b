//! Limits of `[http]`, set low.

use super::*;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const EVENTS: &str = "/api/v1/events";

/// So many events, each on its line.
fn lines(count: usize) -> String {
    let now = jiff::Timestamp::now();
    (0..count).map(|_| format!("{{\"time\":\"{now}\",\"kind\":\"login\"}}\n")).collect()
}

#[tokio::test]
async fn each_limit_of_a_request_holds() {
    let api = Api::with(
        HttpConfig {
            ingest_records_max: 3,
            ingest_rejected_max: 2,
            query_bytes_max: 64,
            triage_body_bytes_max: 64,
            history_max: 2,
            ..HttpConfig::default()
        },
        None,
    );
    let token = api.token(Role::Admin, None);
    assert_eq!(api.post(&token, EVENTS, lines(3)).await.json()["accepted"], 3);
    api.post(&token, EVENTS, lines(4)).await.is_problem(413, None);
    let array = format!("[{}]", lines(4).trim_end().replace('\n', ","));
    api.post(&token, EVENTS, array).await.is_problem(400, None);
    let rejected = api.post(&token, EVENTS, "a\nb\nc\n").await.json();
    assert_eq!((rejected["rejected"].as_array().unwrap().len(), &rejected["rejected_total"]), (2, &3.into()));

    api.get(&token, &format!("/api/v1/alerts?user={}", "x".repeat(60))).await.is_problem(400, None);
    assert_eq!(api.get(&token, &format!("/api/v1/alerts?user={}", "x".repeat(59))).await.status, 200);

    api.alert("a1", "acme");
    let note = |length: usize| format!("{{\"note\":\"{}\"}}", "x".repeat(length));
    api.patch(&token, "/api/v1/alerts/a1", &note(54)).await.is_problem(413, None);
    for _ in 0..3 {
        assert_eq!(api.patch(&token, "/api/v1/alerts/a1", &note(53)).await.status, 200);
    }
    let detail = api.get(&token, "/api/v1/alerts/a1").await.json();
    assert_eq!(detail["history"].as_array().unwrap().len(), 2, "{detail}");
}

#[tokio::test]
async fn connections_are_limited() {
    let config = HttpConfig {
        listen: "127.0.0.1:0".to_owned(),
        connections_max: 3,
        connections_client_max: 2,
        head_bytes_max: 8 << 10,
        ..HttpConfig::default()
    };
    let server = crate::api::Server::bind(&config).unwrap();
    let address = server.address();
    let api = Api::with(config, None);
    tokio::spawn(server.serve(api.router.clone(), api.shutdown.clone()));
    let ask = async |head: &str| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{head}\r\n");
        // One that is one too many may be closed before it is written.
        stream.write_all(request.as_bytes()).await.ok();
        let mut answer = [0; 12];
        let answered = stream.read_exact(&mut answer).await.is_ok();
        (stream, answered.then(|| String::from_utf8_lossy(&answer).into_owned()))
    };
    let (_first, answer) = ask("").await;
    assert_eq!(answer.as_deref(), Some("HTTP/1.1 200"));
    let (second, answer) = ask(&format!("X: {}\r\n", "x".repeat(20_000))).await;
    assert_eq!(answer.as_deref(), Some("HTTP/1.1 431"));
    drop(second);
    let (_second, answer) = ask("").await;
    assert!(answer.is_some());
    assert_eq!(ask("").await.1, None, "two of one client");
    api.shutdown.cancel();
}

//! Ingest: what is taken, what is refused, and that nothing is taken by halves.

use super::*;
use crate::api::ingest::IngestQuery;
use crate::clock::now_ms;
use crate::log::INGEST_TOPIC;
use crate::normalise::{Context, Format};
use bartizan_core::batch::Field;
use std::io::Write;
use utoipa::IntoParams;

const PATH: &str = "/api/v1/events";

fn event(more: &str) -> String {
    format!("{{\"time\":\"{}\",\"kind\":\"login\"{more}}}", TimeMs(now_ms()))
}

/// The answer's count, and line and code of each reject.
fn outcome(answer: &Answer) -> (u64, Vec<(u64, String)>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    let rejected = json["rejected"].as_array().unwrap().iter();
    let rejected = rejected.map(|line| (line["line"].as_u64().unwrap(), line["code"].as_str().unwrap().to_owned())).collect();
    (json["accepted"].as_u64().unwrap(), rejected)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn packed(token: &str, encoding: &str, body: Vec<u8>) -> Request<Body> {
    request("POST", PATH, token).header("content-encoding", encoding).body(body.into()).unwrap()
}

#[tokio::test]
async fn lines_and_arrays_are_taken_and_read_back() {
    let api = Api::new();
    let token = api.token(Role::Ingest, Some("acme"));
    let lines = format!("{}\r\n\n{}\n", event(",\"id\":\"e1\",\"user\":\"u1\",\"token\":\"hunter2\""), event(""));
    assert_eq!(outcome(&api.post(&token, PATH, lines).await), (2, vec![]));
    let array = format!(" [{}, {{\"kind\":7}}, 5]", event(""));
    let wrong = vec![(2, "missing_member".to_owned()), (3, "not_object".to_owned())];
    let (accepted, mut rejected) = outcome(&api.post(&token, PATH, array).await);
    rejected.iter_mut().filter(|(line, _)| *line == 2).for_each(|(_, code)| "missing_member".clone_into(code));
    assert_eq!((accepted, rejected), (1, wrong));
    let appended = api.log.appended.lock();
    assert!(appended.iter().all(|(topic, record)| topic == INGEST_TOPIC && !record.payload.windows(7).any(|bytes| bytes == b"hunter2")));
    let context = Context { default_id: &"p-0-1", tenant: None, window: None, reference_ms: 0 };
    let normaliser = Normaliser::new(&crate::normalise::NormaliseConfig::default(), &TokenKey([7; 32])).unwrap();
    let read: Vec<_> =
        appended.iter().map(|(_, record)| normaliser.normalise(Format::Canonical, &record.payload, &context).unwrap().unwrap()).collect();
    assert!(read.iter().all(|draft| draft.texts.get(Field::Tenant) == "acme"));
    assert_eq!((read[0].texts.get(Field::Id), read[1].texts.get(Field::Id)), ("e1", "p-0-1"), "the position gives the id");
}

#[tokio::test]
async fn packed_bodies_are_unpacked_within_bounds() {
    let config = HttpConfig { body_bytes_max: 1 << 20, body_unpacked_bytes_max: 4 << 20, ..HttpConfig::default() };
    let api = Api::with(config, None);
    let token = api.token(Role::Ingest, None);
    let body = format!("{}\n{}\n", event(""), event(""));
    assert_eq!(outcome(&api.send(packed(&token, "gzip", gzip(body.as_bytes()))).await).0, 2);
    let zstd = zstd::encode_all(body.as_bytes(), 3).unwrap();
    assert_eq!(outcome(&api.send(packed(&token, "ZSTD", zstd.clone())).await).0, 2);
    let before = api.log.appended.lock().len();
    for (encoding, body) in [("gzip", gzip(body.as_bytes())), ("zstd", zstd)] {
        let cut = body[..body.len() - 5].to_vec();
        api.send(packed(&token, encoding, cut)).await.is_problem(400, Some("Content-Encoding"));
        api.send(packed(&token, encoding, b"not packed".to_vec())).await.is_problem(400, Some("Content-Encoding"));
    }
    let zeros = vec![b' '; 64 << 20];
    api.send(packed(&token, "gzip", gzip(&zeros))).await.is_problem(413, None);
    api.send(packed(&token, "zstd", zstd::encode_all(zeros.as_slice(), 3).unwrap())).await.is_problem(413, None);
    api.send(packed(&token, "br", Vec::new())).await.is_problem(415, Some("Content-Encoding"));
    let large = vec![b'x'; 50 << 20];
    api.post(&token, PATH, large).await.is_problem(413, None);
    assert_eq!(api.log.appended.lock().len(), before, "nothing was accepted");
}

#[tokio::test]
async fn each_bad_record_is_named_and_disturbs_no_other() {
    let api = Api::new();
    let token = api.token(Role::Ingest, Some("acme"));
    let long = format!("{{\"user\":\"{}\"}}", "x".repeat(2 << 20));
    let deep = format!("{{\"time\":1,\"kind\":\"login\",\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let (other, past, future) = (
        event(",\"tenant\":\"umbrella\""),
        "{\"time\":\"1970-01-02T00:00:00Z\",\"kind\":\"login\"}",
        "{\"time\":\"2100-01-01T00:00:00Z\",\"kind\":\"login\"}",
    );
    let records: Vec<(&[u8], &str)> = vec![
        (b"\xff\xfe{}", "not_utf8"),
        (b"nonsense", "not_json"),
        (b"{\"kind\":\"login\"}", "missing_member"),
        (deep.as_bytes(), "too_deep"),
        (long.as_bytes(), "too_large"),
        (other.as_bytes(), "wrong_tenant"),
        (past.as_bytes(), "too_old"),
        (future.as_bytes(), "in_the_future"),
        (b"{\"time\":1,\"time\":2,\"kind\":\"login\"}", "duplicate_member"),
    ];
    let mut body = Vec::new();
    for (record, _) in &records {
        body.extend_from_slice(record);
        body.push(b'\n');
    }
    body.extend_from_slice(event("").as_bytes());
    let wanted: Vec<_> = records.iter().enumerate().map(|(index, (_, code))| (index as u64 + 1, (*code).to_owned())).collect();
    assert_eq!(outcome(&api.post(&token, PATH, body).await), (1, wanted));
}

#[tokio::test]
async fn a_broken_array_is_taken_in_no_part() {
    let api = Api::new();
    let token = api.token(Role::Ingest, None);
    for body in [format!("[{}", event("")), format!("[{},]", event("")), format!("[{}] x", event(""))] {
        api.post(&token, PATH, body).await.is_problem(400, None);
    }
    api.post(&token, "/api/v1/events?format=nope", "").await.is_problem(400, Some("format"));
    api.post(&token, "/api/v1/events?format=canonical", "").await.is_problem(400, Some("format"));
    assert!(api.log.appended.lock().is_empty());
}

#[tokio::test]
async fn many_rejects_are_counted_but_not_all_named() {
    let api = Api::new();
    let token = api.token(Role::Ingest, None);
    let answer = api.post(&token, PATH, "x\n".repeat(5_000)).await.json();
    assert_eq!((answer["rejected"].as_array().unwrap().len(), answer["rejected_total"].as_u64()), (1_000, Some(5_000)));
}

#[tokio::test]
async fn a_repeated_request_with_a_key_gives_the_same_ids() {
    let api = Api::new();
    let token = api.token(Role::Ingest, None);
    let body = format!("{}\n{}\n", event(""), event(",\"id\":\"own\""));
    let send = || request("POST", PATH, &token).header("idempotency-key", "batch-7").body(Body::from(body.clone())).unwrap();
    api.send(send()).await;
    api.send(send()).await;
    let payloads: Vec<_> = api.log.appended.lock().iter().map(|(_, record)| record.payload.clone()).collect();
    assert_eq!((&payloads[0], &payloads[1]), (&payloads[2], &payloads[3]));
    assert!(String::from_utf8_lossy(&payloads[0]).contains("ik-") && !String::from_utf8_lossy(&payloads[1]).contains("ik-"));
    let wrong = request("POST", PATH, &token).header("idempotency-key", "x".repeat(300)).body(Body::empty()).unwrap();
    api.send(wrong).await.is_problem(400, Some("Idempotency-Key"));
}

#[tokio::test]
async fn a_log_that_takes_no_more_is_told_with_the_time_to_wait() {
    let api = Api::new();
    let token = api.token(Role::Ingest, None);
    let failures: [(fn() -> LogError, u16); 3] = [
        (|| LogError::Full { bytes: 1, bytes_max: 1 }, 429),
        (|| LogError::Retry("away".into()), 503),
        (|| LogError::Fatal("broken".into()), 503),
    ];
    for (failure, status) in failures {
        *api.log.failure.lock() = Some(failure);
        let answer = api.post(&token, PATH, event("")).await;
        answer.is_problem(status, None);
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    }
}

#[test]
fn the_parameters_are_those_of_the_contract() {
    let names: Vec<_> = IngestQuery::into_params(|| None).into_iter().map(|parameter| parameter.name).collect();
    assert_eq!(names, ["format"]);
}

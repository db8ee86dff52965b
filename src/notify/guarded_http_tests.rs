//! The client against receivers that misbehave.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use std::future::Future;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longest time for a call in these tests.
const SHORT: Duration = Duration::from_millis(500);
/// Longest that any of these tests may wait for the client.
const DEADLINE: Duration = Duration::from_secs(10);

/// A receiver that reads a request and then does as it likes with the connection; gives its address.
async fn receiver<F: Future<Output = ()> + Send>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if stream.read(&mut head).await.is_ok() {
                behave(stream).await;
            }
        }
    });
    url
}

/// A receiver with one answer for all.
async fn answering(text: &'static str) -> String {
    receiver(move |mut stream| async move { drop(stream.write_all(text.as_bytes()).await) }).await
}

/// Writes the beginning at once and then a byte from time to time.
async fn drip(mut stream: TcpStream, beginning: &str) {
    let mut good = stream.write_all(beginning.as_bytes()).await.is_ok();
    while good {
        tokio::time::sleep(SHORT / 10).await;
        good = stream.write_all(b"x").await.is_ok();
    }
}

async fn call(url: &str) -> Result<Answer, String> {
    let client = GuardedClient::within(SHORT, url, Guard { allow_private: true }, None).unwrap();
    let call = Call { method: Method::POST, headers: HeaderMap::new(), body: "{}".to_owned() };
    tokio::time::timeout(DEADLINE, client.send(call, 0)).await.unwrap()
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let header = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
    assert_eq!(retry_after(&header("120"), 0), Some(Duration::from_secs(120)));
    let date = header("Thu, 01 Jan 1970 00:01:00 GMT");
    assert_eq!(retry_after(&date, 10_000), Some(Duration::from_secs(50)));
    assert_eq!(retry_after(&date, 61_000), None);
    assert_eq!(retry_after(&header("soon"), 0), None);
}

#[test]
fn literal_addresses_are_judged_in_every_spelling() {
    let strict = Guard { allow_private: false };
    for text in [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "http://a.example/",
    ] {
        assert!(refusal(&Url::parse(text).unwrap(), strict).is_some(), "{text}");
    }
    assert!(refusal(&Url::parse("https://a.example/").unwrap(), strict).is_none());
    assert!(refusal(&Url::parse("http://127.0.0.1:9/").unwrap(), Guard { allow_private: true }).is_none());
}

#[tokio::test]
async fn what_a_status_means() {
    for (head, meant) in [
        ("204 No Content", Outcome::Delivered(None)),
        ("400 Bad Request", Outcome::Refused("HTTP 400".to_owned())),
        ("410 Gone", Outcome::Ended("HTTP 410".to_owned())),
        ("429 Too Many Requests", Outcome::Retry { error: "HTTP 429".to_owned(), after: None }),
        ("429 Too Many Requests\r\nretry-after: 7", Outcome::Retry { error: "HTTP 429".to_owned(), after: Some(Duration::from_secs(7)) }),
        ("500 Internal Server Error\r\nretry-after: 7", Outcome::retry("HTTP 500")),
    ] {
        let text = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n").leak();
        assert_eq!(call(&answering(text).await).await.unwrap().outcome(), meant, "{head}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let inner = answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
    let text = format!("HTTP/1.1 301 Moved Permanently\r\nlocation: {inner}\r\ncontent-length: 0\r\n\r\n").leak();
    let answer = call(&answering(text).await).await.unwrap();
    assert_eq!((answer.code, answer.body.as_str()), (301, ""));
    assert!(matches!(answer.outcome(), Outcome::Retry { error, .. } if error.contains("redirects are not followed")));
}

#[tokio::test]
async fn two_gigabytes_are_not_read() {
    let url = receiver(async |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2147483648\r\n\r\n").await.unwrap();
        let piece = vec![b'x'; 1 << 16];
        while stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    let begun = Instant::now();
    let answer = call(&url).await.unwrap();
    assert!((1..=2 * ANSWER_BYTES_MAX).contains(&answer.body.len()), "{}", answer.body.len());
    assert!(begun.elapsed() < DEADLINE && answer.shown().len() < 4 * EXCERPT_CHARS_MAX);
}

#[tokio::test]
async fn a_slow_drip_is_cut_off() {
    let body = receiver(|stream| drip(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")).await;
    assert!(call(&body).await.unwrap().body.len() < 100, "what came in time is what there is");
    let head = receiver(|stream| drip(stream, "HTTP/1.1 200 OK\r\nx-slow: ")).await;
    assert!(call(&head).await.unwrap_err().contains("timed out"));
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (year, good) in [(2020, false), (4000, true)] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        let path = folder.path().join(format!("{year}.pem"));
        std::fs::write(&path, &pem).unwrap();
        rustls::crypto::ring::default_provider().install_default().ok();
        let tls = axum_server::tls_rustls::RustlsConfig::from_pem(pem.into_bytes(), key.serialize_pem().into_bytes()).await.unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let routes = axum::Router::new().fallback(async || "ok");
        tokio::spawn(axum_server::from_tcp_rustls(listener, tls).unwrap().serve(routes.into_make_service()));
        let client = GuardedClient::new(&url, Guard { allow_private: true }, Some(&path)).unwrap();
        let answer = client.send(Call { method: Method::POST, headers: HeaderMap::new(), body: String::new() }, 0).await;
        match answer {
            Ok(answer) => assert!(good && answer.body == "ok"),
            Err(error) => assert!(!good && error.to_lowercase().contains("expired"), "{error}"),
        }
    }
}

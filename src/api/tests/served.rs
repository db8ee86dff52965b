//! The socket: a real client, a slow one, a port in use, shutdown, TLS.

use super::*;
use crate::api::Server;
use crate::api::server::ServeError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn config() -> HttpConfig {
    HttpConfig { listen: "127.0.0.1:0".to_owned(), ..HttpConfig::default() }
}

#[tokio::test]
async fn a_bound_server_answers_and_stops_in_time() {
    let api = Api::new();
    let server = Server::bind(&config()).unwrap();
    let address = server.address();
    assert_eq!(server.url(), format!("http://{address}"));
    let serving = tokio::spawn(server.serve(api.router.clone(), api.shutdown.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut bytes = [0; 4096];
    let read = client.read(&mut bytes).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes[..read]).starts_with("HTTP/1.1 200 OK"));
    // Its head never ends: it must not hold up the end.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /healthz HT").await.unwrap();
    api.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(8), serving).await.expect("did not stop").unwrap().unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_told_with_its_address() {
    let first = Server::bind(&config()).unwrap();
    let taken = HttpConfig { listen: first.address().to_string(), ..config() };
    let error = Server::bind(&taken).unwrap_err();
    assert!(matches!(error, ServeError::Bind { .. }));
    assert!(error.to_string().contains(&first.address().to_string()) && error.to_string().contains("http.listen"), "{error}");
    assert!(matches!(Server::bind(&HttpConfig { listen: "nonsense".into(), ..config() }), Err(ServeError::Address(_))));
    let missing = HttpConfig { tls_cert: "/nonexistent/cert.pem".into(), tls_key: "/nonexistent/key.pem".into(), ..config() };
    assert!(Server::bind(&missing).unwrap_err().to_string().contains("/nonexistent/cert.pem"));
}

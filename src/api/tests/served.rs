//! The socket: a real client, a slow one, a port in use, shutdown, TLS.

use super::*;
use crate::api::Server;
use crate::api::server::ServeError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{Read, Write};
use std::path::Path;
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

/// Writes a fresh certificate for localhost and its key; returns the certificate.
fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

/// Asks over TLS, trusting this certificate alone.
fn ask(address: SocketAddr, trusted: CertificateDer<'static>) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut socket = std::net::TcpStream::connect(address)?;
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test]
async fn tls_is_served_and_a_new_certificate_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_certificate(folder.path());
    let file = |name: &str| folder.path().join(name);
    let api = Api::new();
    let server = Server::bind(&HttpConfig { tls_cert: file("cert.pem"), tls_key: file("key.pem"), ..config() }).unwrap();
    let address = server.address();
    assert!(server.url().starts_with("https://"));
    let serving = tokio::spawn(server.serve(api.router.clone(), api.shutdown.clone()));
    let answer = tokio::task::spawn_blocking(move || ask(address, first)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let second = write_certificate(folder.path());
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let trusted = second.clone();
        if tokio::task::spawn_blocking(move || ask(address, trusted)).await.unwrap().is_ok() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the old certificate is still served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    api.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(8), serving).await.expect("did not stop").unwrap().unwrap();
}

//! `[http]`: where the API and the console listen, and their limits.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port. Anything but loopback wants TLS or `allow_plaintext`.
    pub listen: String,
    /// Address of the console as people reach it, for links in messages; empty: no links.
    pub public_url: String,
    /// PEM file of the certificate chain; empty: no TLS.
    pub tls_cert: PathBuf,
    /// PEM file of the certificate's key.
    pub tls_key: PathBuf,
    /// Serve plain HTTP on addresses other than loopback, behind a proxy of your own.
    pub allow_plaintext: bool,
    /// Bytes of one request's head: its line and headers. Default 64 KiB.
    pub head_bytes_max: usize,
    /// Bytes of a query string. Default 8 KiB.
    pub query_bytes_max: usize,
    /// Bytes of the body of a triage step. Default 64 KiB.
    pub triage_body_bytes_max: usize,
    /// Bytes of the body of a request that sets something going. Default 4 KiB.
    pub action_body_bytes_max: usize,
    /// Bytes of the body of a suppression. Default 64 KiB.
    pub suppression_body_bytes_max: usize,
    /// Bytes of one body of ingest as sent. Default 16 MiB.
    pub body_bytes_max: usize,
    /// Bytes of one body of ingest after decompression. Default 64 MiB.
    pub body_unpacked_bytes_max: usize,
    /// Bytes of a body that is too long which are read and dropped, so that its sender gets the answer.
    /// Default 128 MiB.
    pub body_dropped_bytes_max: usize,
    /// Records in one body of ingest. Default 500,000.
    pub ingest_records_max: usize,
    /// Rejected records that an answer of ingest names; all are counted. Default 1,000.
    pub ingest_rejected_max: usize,
    /// Memory of all requests whose records are being made; in steps of a mebibyte. Default 384 MiB.
    pub ingest_memory_bytes_max: usize,
    /// Bodies of ingest being received at once; each may hold `body_bytes_max`. Default 32.
    pub uploads_max: usize,
    /// Open connections. Default 4,096.
    pub connections_max: usize,
    /// Open connections of one client address. Default 512.
    pub connections_client_max: usize,
    /// Requests being answered at once on one HTTP/2 connection. Default 64.
    pub connection_streams_max: u32,
    /// Requests being answered at once, over all clients. Default 512.
    pub in_flight_max: usize,
    /// Requests of one client address being answered at once. Default 128.
    pub in_flight_client_max: usize,
    /// Requests a second that one client address may make over time. Default 500.
    pub requests_per_second_max: u32,
    /// Requests that one client address may make at once after a pause. Default 1,000.
    pub requests_burst_max: u32,
    /// Wrong tokens a second that one client address may send over time. Default 2.
    pub failures_per_second_max: u32,
    /// Wrong tokens that one client address may send at once after a pause. Default 20.
    pub failures_burst_max: u32,
    /// Client addresses whose allowance is known; those past it share one. Default 16,384.
    pub clients_max: usize,
    /// Tokens whose look-up is remembered for a moment. Default 4,096.
    pub tokens_cached_max: usize,
    /// How long one request may take. Default 30,000.
    pub request_time_max_ms: u64,
    /// Open event streams over all clients. Default 256.
    pub streams_max: usize,
    /// Changes of alerts that are kept for streams that come back. Default 1,024.
    pub stream_frames_max: usize,
    /// Bytes of those. Default 16 MiB.
    pub stream_bytes_max: usize,
    /// Changes of alerts that wait to become frames; past them the live view misses some. Default 1,024.
    pub stream_changes_max: usize,
    /// Lines of an alert's history that are shown, the newest. Default 1,000.
    pub history_max: u32,
    /// Alerts of a user, address or session that are shown and weighed, the newest. Default 100.
    pub entity_alerts_max: u32,
    /// Held revocations that one request lets go. Default 1,000.
    pub release_max: u32,
    /// Events that are judged again to explain one, about 1 KiB of memory each. Default 50,000.
    pub explain_events_max: u32,
    /// Reads that wait to be recorded in the audit trail; those past it are counted alone. Default 10,000.
    pub reads_queue_max: usize,
    /// Reads of the running hour that are remembered, so that none is recorded twice, 64 bytes each. Default 100,000.
    pub reads_noted_max: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8320".to_owned(),
            public_url: String::new(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            allow_plaintext: false,
            head_bytes_max: 64 << 10,
            query_bytes_max: 8 << 10,
            triage_body_bytes_max: 64 << 10,
            action_body_bytes_max: 4 << 10,
            suppression_body_bytes_max: 64 << 10,
            body_bytes_max: 16 << 20,
            body_unpacked_bytes_max: 64 << 20,
            body_dropped_bytes_max: 128 << 20,
            ingest_records_max: 500_000,
            ingest_rejected_max: 1_000,
            ingest_memory_bytes_max: 384 << 20,
            uploads_max: 32,
            connections_max: 4_096,
            connections_client_max: 512,
            connection_streams_max: 64,
            in_flight_max: 512,
            in_flight_client_max: 128,
            requests_per_second_max: 500,
            requests_burst_max: 1_000,
            failures_per_second_max: 2,
            failures_burst_max: 20,
            clients_max: 16_384,
            tokens_cached_max: 4_096,
            request_time_max_ms: 30_000,
            streams_max: 256,
            stream_frames_max: 1_024,
            stream_bytes_max: 16 << 20,
            stream_changes_max: 1_024,
            history_max: 1_000,
            entity_alerts_max: 100,
            release_max: 1_000,
            explain_events_max: 50_000,
            reads_queue_max: 10_000,
            reads_noted_max: 100_000,
        }
    }
}

impl HttpConfig {
    /// Is a certificate configured?
    #[must_use]
    pub fn has_tls(&self) -> bool {
        !self.tls_cert.as_os_str().is_empty()
    }

    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        let mut errors = Vec::new();
        match self.listen.parse::<SocketAddr>() {
            Err(_) => errors.push(("listen", "must be an address and a port, like 127.0.0.1:8320".to_owned())),
            Ok(address) if !address.ip().is_loopback() && !self.has_tls() && !self.allow_plaintext => {
                let text = "is not loopback: set http.tls_cert and http.tls_key, or http.allow_plaintext behind a proxy of your own";
                errors.push(("listen", text.to_owned()));
            }
            Ok(_) => {}
        }
        if self.tls_cert.as_os_str().is_empty() != self.tls_key.as_os_str().is_empty() {
            errors.push(("tls_cert", "needs tls_key, and the other way round".to_owned()));
        }
        if !self.public_url.is_empty() && !self.public_url.starts_with("http://") && !self.public_url.starts_with("https://") {
            errors.push(("public_url", "must begin with http:// or https://".to_owned()));
        }
        errors.extend(out_of_range!(self;
            // Below this the HTTP library takes no head.
            head_bytes_max: 8 << 10..=1 << 20,
            query_bytes_max: 64..=1 << 20,
            triage_body_bytes_max: 64..=16 << 20,
            action_body_bytes_max: 64..=16 << 20,
            suppression_body_bytes_max: 64..=16 << 20,
            body_bytes_max: 1..=4 << 30,
            body_unpacked_bytes_max: 1..=16 << 30,
            body_dropped_bytes_max: 0..=16 << 30,
            ingest_records_max: 1..=100_000_000,
            ingest_rejected_max: 0..=1_000_000,
            ingest_memory_bytes_max: 1 << 20..=1 << 40,
            uploads_max: 1..=100_000,
            connections_max: 1..=1_000_000,
            connections_client_max: 1..=1_000_000,
            connection_streams_max: 1..=10_000,
            in_flight_max: 1..=1_000_000,
            in_flight_client_max: 1..=1_000_000,
            requests_per_second_max: 1..=u32::MAX,
            requests_burst_max: 1..=u32::MAX,
            failures_per_second_max: 1..=u32::MAX,
            failures_burst_max: 1..=u32::MAX,
            clients_max: 1..=10_000_000,
            tokens_cached_max: 1..=10_000_000,
            request_time_max_ms: 1..=86_400_000,
            streams_max: 0..=1_000_000,
            stream_frames_max: 1..=1_000_000,
            stream_bytes_max: 1..=16 << 30,
            stream_changes_max: 1..=1_000_000,
            history_max: 1..=100_000,
            entity_alerts_max: 1..=1_000,
            release_max: 1..=100_000,
            explain_events_max: 2..=1_000_000,
            reads_queue_max: 1..=1_000_000,
            reads_noted_max: 1..=10_000_000,
        ));
        errors
    }
}

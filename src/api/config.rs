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
    /// Bytes of one request body as sent.
    pub body_bytes_max: usize,
    /// Bytes of one request body after decompression.
    pub body_unpacked_bytes_max: usize,
    /// Requests a second that one client address may make over time.
    pub requests_per_second_max: u32,
    /// Requests that one client address may make at once after a pause.
    pub requests_burst_max: u32,
    /// How long one request may take.
    pub request_time_max_ms: u64,
    /// Open event streams over all clients.
    pub streams_max: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8320".to_owned(),
            public_url: String::new(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            allow_plaintext: false,
            body_bytes_max: 16 << 20,
            body_unpacked_bytes_max: 64 << 20,
            requests_per_second_max: 500,
            requests_burst_max: 1_000,
            request_time_max_ms: 30_000,
            streams_max: 256,
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
        let positive = [
            ("body_bytes_max", self.body_bytes_max as u64),
            ("body_unpacked_bytes_max", self.body_unpacked_bytes_max as u64),
            ("requests_per_second_max", u64::from(self.requests_per_second_max)),
            ("requests_burst_max", u64::from(self.requests_burst_max)),
            ("request_time_max_ms", self.request_time_max_ms),
        ];
        errors.extend(positive.iter().filter(|(_, value)| *value == 0).map(|(key, _)| (*key, "must be above 0".to_owned())));
        errors
    }
}

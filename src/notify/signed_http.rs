//! `POST`s of JSON signed as Standard Webhooks describes (standardwebhooks.com, version 1.0.0).
//!
//! Bounded in time and in what is read of the answer; follows no redirects and uses no proxy, since
//! either would lead past the check of the address ([`super::address`]).

use super::address::Guard;
use super::visible::visible;
use crate::secret::Secret;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Url, redirect};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Longest time to connect, name resolution included.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest time for one call.
const CALL_MAX: Duration = Duration::from_secs(15);
/// Bytes read of an answer, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Characters of an answer that are shown to people.
const EXCERPT_CHARS_MAX: usize = 160;
/// Shortest and longest key; the specification asks for 24 to 64 bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// Secrets come with and without padding.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Why a channel cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is none.
    #[error("url: {0}")]
    Url(String),
    /// The signing secret is not in its form.
    #[error("secret: {0}")]
    Key(&'static str),
    /// The certificates cannot be used.
    #[error("ca_file: {0}")]
    Certificates(String),
    /// The HTTP client cannot be made.
    #[error("http client: {0}")]
    Client(#[from] reqwest::Error),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer.
    Status {
        /// HTTP status.
        code: u16,
        /// How long the other end wants to be left alone (429 and 503).
        retry_after: Option<Duration>,
        /// The status and the beginning of the answer, for people.
        text: String,
    },
    /// No answer: refused address, connection, time.
    Failed(String),
}

/// Signs what it sends.
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// From `whsec_` and base64.
    ///
    /// # Errors
    /// Another form, or a key that is too short or too long.
    pub fn new(secret: &Secret) -> Result<Self, SetupError> {
        let text = secret.expose().strip_prefix("whsec_").ok_or(SetupError::Key("must begin with whsec_"))?;
        let key = BASE64.decode(text).map_err(|_| SetupError::Key("after whsec_ must stand base64"))?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(SetupError::Key("the key must have 24 to 64 bytes"));
        }
        Hmac::new_from_slice(&key).map(Self).map_err(|_| SetupError::Key("not a key"))
    }

    /// The `webhook-signature` of a message.
    #[must_use]
    pub fn sign(&self, message_id: &str, timestamp_s: i64, body: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{message_id}.{timestamp_s}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    }
}

/// One URL that gets signed calls.
pub struct SignedClient {
    client: Client,
    url: Url,
    key: SigningKey,
    refusal: Option<String>,
}

impl SignedClient {
    /// Prepares calls to `url`. An address that may not be called is no error here: each call to it
    /// fails, visibly, and so does only this channel.
    ///
    /// # Errors
    /// No usable URL, key or certificates.
    pub fn new(url: &str, key: SigningKey, guard: Guard, ca_file: Option<&Path>) -> Result<Self, SetupError> {
        let url = Url::parse(url).map_err(|error| SetupError::Url(error.to_string()))?;
        let client = guarded(&url, guard, ca_file)?;
        Ok(Self { client, refusal: refusal(&url, guard), url, key })
    }

    /// Names the address that is called, without what may be secret in it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.url)
    }

    /// Sends one signed call.
    pub async fn post(&self, message_id: &str, body: &str, now_ms: i64) -> Reply {
        if let Some(reason) = &self.refusal {
            return Reply::Failed(reason.clone());
        }
        let timestamp_s = now_ms.div_euclid(1000);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message_id)
            .header("webhook-timestamp", timestamp_s.to_string())
            .header("webhook-signature", self.key.sign(message_id, timestamp_s, body))
            .body(body.to_owned());
        match request.send().await {
            Ok(response) => reply(response, now_ms).await,
            Err(error) => Reply::Failed(explain(error)),
        }
    }
}

/// Names an address, without what may be secret in it.
pub(crate) fn fingerprint(url: &Url) -> String {
    Sha256::digest(url.as_str()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A client for calls to `url`, bounded in time, which reaches no address that `guard` refuses. What it is
/// given as an address must be asked of [`refusal`] first.
pub(crate) fn guarded(url: &Url, guard: Guard, ca_file: Option<&Path>) -> Result<Client, SetupError> {
    let plain = match url.scheme() {
        "https" => false,
        "http" => true,
        _ => return Err(SetupError::Url("must begin with https://".to_owned())),
    };
    // A second install is refused and changes nothing: whoever came first installed the same.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = Client::builder()
        .user_agent(concat!("bartizan/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_MAX)
        .timeout(CALL_MAX)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .dns_resolver(guard);
    if plain {
        // Without TLS no trust store is needed, so a machine without one will do.
        builder = builder.tls_certs_only([]);
    } else if let Some(path) = ca_file.filter(|path| !path.as_os_str().is_empty()) {
        builder = builder.tls_certs_merge(certificates(path)?);
    }
    Ok(builder.build()?)
}

/// The certificates of a PEM file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let failed = |error: &dyn std::fmt::Display| SetupError::Certificates(format!("{}: {error}", path.display()));
    let pem = std::fs::read(path).map_err(|error| failed(&error))?;
    Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))
}

/// Why `url` may not be called: a literal address never goes through the resolver, so it is judged here.
pub(crate) fn refusal(url: &Url, guard: Guard) -> Option<String> {
    if url.scheme() == "http" && !guard.allow_private {
        return Some("plain http is for private addresses: use https, or set allow_private".to_owned());
    }
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().ok().and_then(|ip| guard.refusal(ip))
}

/// An answer, of which a little is read.
pub(crate) async fn reply(mut response: reqwest::Response, now_ms: i64) -> Reply {
    let status = response.status();
    let retry_after = matches!(status.as_u16(), 429 | 503).then(|| retry_after(response.headers(), now_ms)).flatten();
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => answer.extend_from_slice(chunk.get(..ANSWER_BYTES_MAX.min(chunk.len())).unwrap_or_default()),
            Ok(None) | Err(_) => break,
        }
    }
    let excerpt = visible(String::from_utf8_lossy(&answer).trim(), EXCERPT_CHARS_MAX);
    Reply::Status { code: status.as_u16(), retry_after, text: format!("HTTP {} {excerpt}", status.as_u16()).trim_end().to_owned() }
}

/// RFC 9110 §10.2.3: seconds or a date.
fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at: Timestamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    u64::try_from(at.as_millisecond().saturating_sub(now_ms)).ok().map(Duration::from_millis)
}

/// The whole chain of causes, without the URL, which may carry a secret.
pub(crate) fn explain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    visible(&text, 3 * EXCERPT_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The example that the libraries of Standard Webhooks publish.
    #[test]
    fn the_published_test_vector_is_met() {
        let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())).unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_in_another_form_is_refused() {
        for text in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_%%%", "whsec_QUJD"] {
            assert!(SigningKey::new(&Secret::new(text.to_owned())).is_err(), "{text}");
        }
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
}

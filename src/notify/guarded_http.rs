//! Outgoing HTTP calls to an address that stands in the configuration.
//!
//! Bounded in time and in what is read of the answer; follows no redirects and uses no proxy, since
//! either would lead past the check of the address ([`super::address`]). What a call says, and what its
//! answer means, is left to the channels.

use super::Outcome;
use super::address::Guard;
use super::visible::visible;
use crate::secret::{Secret, SecretError};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Method, Url, redirect};
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

/// Why a channel cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is none.
    #[error("url: {0}")]
    Url(String),
    /// A file with a secret, or with an address that is one.
    #[error("{key}: {source}")]
    Secret {
        /// `secret_file` or `url_file`.
        key: &'static str,
        /// What is wrong with it.
        source: SecretError,
    },
    /// The secret is not in its form.
    #[error("secret: {0}")]
    Key(&'static str),
    /// The certificates cannot be used.
    #[error("ca_file: {0}")]
    Certificates(String),
    /// A header or the method is none.
    #[error("{0}")]
    Request(String),
    /// The template does not serve.
    #[error("body: {0}")]
    Template(String),
    /// The HTTP client cannot be made.
    #[error("http client: {0}")]
    Client(#[from] reqwest::Error),
}

impl SetupError {
    /// A secret given in place or in a file.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn secret(key: &'static str, inline: Option<&Secret>, file: Option<&Path>) -> Result<Option<Secret>, Self> {
        Secret::resolve(inline, file).map_err(|source| Self::Secret { key, source })
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its headers, the type of its content among them.
    pub headers: HeaderMap,
    /// Its content.
    pub body: String,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub code: u16,
    /// How long the other end wants to be left alone (429 and 503).
    pub retry_after: Option<Duration>,
    /// The beginning of its content.
    pub body: String,
}

impl Answer {
    /// The status and the beginning of the answer, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("HTTP {} {}", self.code, visible(self.body.trim(), EXCERPT_CHARS_MAX)).trim_end().to_owned()
    }

    /// What the status means: 2xx is done, 410 ends the channel, a refusal of the content (400, 413, 422) is final for
    /// this message, all else is tried again.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.code {
            200..=299 => Outcome::Delivered(None),
            410 => Outcome::Ended(self.shown()),
            400 | 413 | 422 => Outcome::Refused(self.shown()),
            300..=399 => Outcome::retry(format!("{}: redirects are not followed, correct the url", self.shown())),
            _ => Outcome::Retry { error: self.shown(), after: self.retry_after },
        }
    }
}

/// One address that is called.
pub struct GuardedClient {
    client: Client,
    url: Url,
    refusal: Option<String>,
}

impl GuardedClient {
    /// Prepares calls to `url`. An address that may not be called is no error here: each call to it
    /// fails, visibly, and so does only this channel.
    ///
    /// # Errors
    /// No usable URL or certificates.
    pub fn new(url: &str, guard: Guard, ca_file: Option<&Path>) -> Result<Self, SetupError> {
        Self::within(CALL_MAX, url, guard, ca_file)
    }

    fn within(call_max: Duration, url: &str, guard: Guard, ca_file: Option<&Path>) -> Result<Self, SetupError> {
        let url = Url::parse(url).map_err(|error| SetupError::Url(error.to_string()))?;
        Ok(Self { client: guarded(call_max, &url, guard, ca_file)?, refusal: refusal(&url, guard), url })
    }

    /// Names the address that is called, without what may be secret in it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.url)
    }

    /// Makes one call.
    ///
    /// # Errors
    /// There was no answer: a refused address, the connection, the time.
    pub async fn send(&self, call: Call, now_ms: i64) -> Result<Answer, String> {
        if let Some(reason) = &self.refusal {
            return Err(reason.clone());
        }
        let request = self.client.request(call.method, self.url.clone()).headers(call.headers).body(call.body);
        match request.send().await {
            Ok(response) => Ok(answer(response, now_ms).await),
            Err(error) => Err(explain(error)),
        }
    }
}

/// A client for calls to addresses like `url`, bounded in time, which reaches none that `guard` refuses. What is a literal
/// address must be asked of [`refusal`] first.
pub(crate) fn guarded_client(url: &Url, guard: Guard, ca_file: Option<&Path>) -> Result<Client, SetupError> {
    guarded(CALL_MAX, url, guard, ca_file)
}

fn guarded(call_max: Duration, url: &Url, guard: Guard, ca_file: Option<&Path>) -> Result<Client, SetupError> {
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
        .timeout(call_max)
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

/// Names an address, without what may be secret in it.
pub(crate) fn fingerprint(url: &Url) -> String {
    Sha256::digest(url.as_str()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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

async fn answer(mut response: reqwest::Response, now_ms: i64) -> Answer {
    let code = response.status().as_u16();
    let retry_after = matches!(code, 429 | 503).then(|| retry_after(response.headers(), now_ms)).flatten();
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(chunk.get(..ANSWER_BYTES_MAX.min(chunk.len())).unwrap_or_default()),
            Ok(None) | Err(_) => break,
        }
    }
    Answer { code, retry_after, body: String::from_utf8_lossy(&body).into_owned() }
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
#[path = "guarded_http_tests.rs"]
mod tests;

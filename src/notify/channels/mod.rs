//! The kinds of channels, a file each.
//!
//! Webhooks and topics carry messages as they are stored. Chat, pager and the like get a rendering of what people are
//! told ([`View`]): what is particular to one of them is a [`Service`], and [`HttpChannel`] has the rest.

pub mod alertmanager;
pub mod email;
pub mod email_text;
pub mod kafka;
pub mod pagerduty;
pub mod slack;
pub mod teams;
pub mod template;
pub mod webhook;

#[cfg(test)]
mod tests;

use super::address::Guard;
use super::config::ChannelConfig;
use super::guarded_http::{Answer, Call, GuardedClient, SetupError};
use super::view::View;
use super::{Channel, Outcome};
use crate::db::outbox::Message;
use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// Carries the message's id, which stays the same over retries and restarts.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Stands for a secret where people look.
const STARS: &str = "***";

/// What is particular to one service that is called by HTTP.
pub trait Service: Send + Sync {
    /// The call that tells a message.
    ///
    /// # Errors
    /// The message cannot be put into this form.
    fn call(&self, message: &Message, view: &View, secret: &str) -> Result<Call, String>;

    /// What an answer means.
    fn outcome(&self, answer: &Answer) -> Outcome {
        answer.outcome()
    }
}

/// A channel to a service.
pub struct HttpChannel<S> {
    name: String,
    client: GuardedClient,
    secret: String,
    service: S,
}

impl<S: Service> HttpChannel<S> {
    /// From its table; reads its files.
    ///
    /// # Errors
    /// Something is missing, unreadable or not in its form.
    pub fn new(config: &ChannelConfig, service: S) -> Result<Self, SetupError> {
        let guard = Guard { allow_private: config.allow_private };
        let client = GuardedClient::new(&config.address()?, guard, config.ca_file.as_deref())?;
        let secret = config.secret()?.map(|secret| secret.expose().to_owned()).unwrap_or_default();
        Ok(Self { name: config.name.clone(), client, secret, service })
    }

    fn call(&self, message: &Message, secret: &str) -> Result<Call, String> {
        let view = View::of(&message.body).map_err(|error| error.to_string())?;
        let mut call = self.service.call(message, &view, secret)?;
        let id = HeaderValue::try_from(&message.message_id).map_err(|error| error.to_string())?;
        call.headers.insert(IDEMPOTENCY_KEY, id);
        Ok(call)
    }
}

impl<S: Service> Channel for HttpChannel<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> String {
        self.client.fingerprint()
    }

    fn preview(&self, message: &Message) -> Result<String, String> {
        let call = self.call(message, STARS)?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers: String = call.headers.iter().map(|(name, value)| format!("{name}: {}\n", text(value))).collect();
        Ok(format!("{}\n{headers}\n{}", call.method, call.body))
    }

    fn acts(&self) -> bool {
        false
    }

    fn deliver<'a>(&'a self, message: &'a Message, now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let call = match self.call(message, &self.secret) {
                Ok(call) => call,
                Err(error) => return Outcome::Refused(error),
            };
            match self.client.send(call, now_ms).await {
                Ok(answer) => self.service.outcome(&answer),
                Err(error) => Outcome::retry(error),
            }
        })
    }
}

/// A `POST` of JSON.
fn post(body: &Value) -> Call {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    Call { method: Method::POST, headers, body: body.to_string() }
}

//! A webhook as a channel: signed calls to one URL.

use super::address::Guard;
use super::config::ChannelConfig;
use super::signed_http::{Reply, SetupError, SignedClient, SigningKey};
use super::{Channel, Outcome};
use crate::db::outbox::Message;
use crate::secret::Secret;
use futures::future::BoxFuture;

/// A configured webhook.
pub struct Webhook {
    name: String,
    client: SignedClient,
}

impl Webhook {
    /// From its table; reads its files.
    ///
    /// # Errors
    /// Something is missing, unreadable or not in its form.
    pub fn new(config: &ChannelConfig) -> Result<Self, WebhookError> {
        let secret = Secret::resolve(config.secret.as_ref(), config.secret_file.as_deref())?.ok_or(SetupError::Key("missing"))?;
        let url = config.url.as_deref().ok_or_else(|| SetupError::Url("missing".to_owned()))?;
        let guard = Guard { allow_private: config.allow_private };
        let client = SignedClient::new(url, SigningKey::new(&secret)?, guard, config.ca_file.as_deref())?;
        Ok(Self { name: config.name.clone(), client })
    }
}

/// Why a webhook cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Its secret.
    #[error("secret_file: {0}")]
    Secret(#[from] crate::secret::SecretError),
    /// Its address or key.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl Channel for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> String {
        self.client.fingerprint()
    }

    fn acts(&self) -> bool {
        false
    }

    fn deliver<'a>(&'a self, message: &'a Message, now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { outcome(self.client.post(&message.message_id, &message.body, now_ms).await) })
    }
}

fn outcome(reply: Reply) -> Outcome {
    match reply {
        Reply::Status { code: 200..=299, .. } => Outcome::Delivered(None),
        Reply::Status { code: 410, text, .. } => Outcome::Ended(text),
        Reply::Status { code: 300..=399, text, .. } => Outcome::retry(format!("{text}: redirects are not followed, correct the url")),
        Reply::Status { retry_after, text, .. } => Outcome::Retry { error: text, after: retry_after },
        Reply::Failed(error) => Outcome::retry(error),
    }
}

//! A webhook as a channel: signed calls to one URL, with the message as it is stored.

use crate::db::outbox::Message;
use crate::notify::address::Guard;
use crate::notify::config::ChannelConfig;
use crate::notify::guarded_http::SetupError;
use crate::notify::signed_http::SignedClient;
use crate::notify::{Channel, Outcome};
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
    pub fn new(config: &ChannelConfig) -> Result<Self, SetupError> {
        let secret = config.secret()?.ok_or(SetupError::Key("missing"))?;
        let guard = Guard { allow_private: config.allow_private };
        let client = SignedClient::new(&config.address()?, &secret, guard, config.ca_file.as_deref())?;
        Ok(Self { name: config.name.clone(), client })
    }
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
        Box::pin(async move {
            match self.client.post(&message.message_id, &message.body, now_ms).await {
                // A receiver of one's own is tried again whatever it answers: it may be mended within the day.
                Ok(answer) => match answer.outcome() {
                    Outcome::Refused(error) => Outcome::retry(error),
                    other => other,
                },
                Err(error) => Outcome::retry(error),
            }
        })
    }
}

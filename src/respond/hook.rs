//! The hook as a target: signed orders to one URL, as they stand in the outbox.
//!
//! At its start the target gets a signed test call. Only a target that passed it can mean "that
//! is gone" by 404 or 410; from any other one that is a wrong address.

use super::adapter::{Adapter, Answer};
use super::config::RevocationConfig;
use super::order::Order;
use crate::blocking::blocking;
use crate::db::outbox::Message;
use crate::db::{Db, DbError, channels};
use crate::notify::Outcome;
use crate::notify::address::Guard;
use crate::notify::guarded_http::SetupError;
use crate::notify::payload::message_id;
use crate::notify::signed_http::SignedClient;
use bartizan_core::TimeMs;
use futures::future::BoxFuture;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

/// A configured hook that is not in dry run.
pub struct RevocationHook {
    channel: String,
    client: SignedClient,
    tested: AtomicBool,
    db: Db,
}

impl RevocationHook {
    /// From its table; reads its files.
    ///
    /// # Errors
    /// Something is missing, unreadable or not in its form.
    pub fn new(config: &RevocationConfig, db: Db) -> Result<Self, SetupError> {
        Ok(Self { channel: config.channel(), client: Self::client(config)?, tested: AtomicBool::new(false), db })
    }

    /// The client alone: what a check of the configuration tries.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn client(config: &RevocationConfig) -> Result<SignedClient, SetupError> {
        let secret = SetupError::secret("secret_file", config.secret.as_ref(), config.secret_file.as_deref())?;
        let guard = Guard { allow_private: config.allow_private };
        SignedClient::new(&config.url, &secret.ok_or(SetupError::Key("missing"))?, guard, config.ca_file.as_deref())
    }

    /// Makes the test call unless this address passed it before.
    async fn test(&self, now_ms: i64) -> bool {
        if self.tested.load(Ordering::Relaxed) || self.stored(|db, name| db.read(|tx| Ok(channels::is_tested(tx, name)?))).await {
            self.tested.store(true, Ordering::Relaxed);
            return true;
        }
        let body = json!({"type": "test", "timestamp": TimeMs(now_ms), "data": {}}).to_string();
        let id = message_id(&["test", &self.channel, &now_ms.to_string()]);
        let passed = match self.client.post(&id, &body, now_ms).await {
            Ok(answer) if (200..=299).contains(&answer.code) => true,
            failed => {
                let error = failed.map_or_else(|error| error, |answer| answer.shown());
                tracing::warn!(target_name = self.channel, error, "revocation target did not pass its test call");
                false
            }
        };
        if passed {
            self.tested.store(true, Ordering::Relaxed);
            self.stored(move |db, name| db.write(|tx| Ok(channels::passed_test(tx, name, now_ms)?)).map(|()| true)).await;
        }
        passed
    }

    /// Runs a small piece of database work off the runtime; a failure counts as "no".
    async fn stored(&self, work: impl FnOnce(&Db, &str) -> Result<bool, DbError> + Send + 'static) -> bool {
        let (db, name) = (self.db.clone(), self.channel.clone());
        matches!(blocking(move || work(&db, &name)).await, Ok(Ok(true)))
    }
}

impl Adapter for RevocationHook {
    fn fingerprint(&self) -> String {
        self.client.fingerprint()
    }

    fn prepare(&self, now_ms: i64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.test(now_ms).await;
        })
    }

    fn ask<'a>(&'a self, message: &'a Message, _order: &'a Order, now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match self.client.post(&message.message_id, &message.body, now_ms).await {
                Ok(answer) if (200..=299).contains(&answer.code) => Outcome::Answered(Answer::Taken),
                Ok(answer) if matches!(answer.code, 404 | 410) && self.test(now_ms).await => {
                    Outcome::Answered(Answer::NotKnown(format!("{}: it is gone", answer.shown())))
                }
                Ok(answer) if matches!(answer.code, 404 | 410) => {
                    Outcome::retry(format!("{}: wrong address? the target fails its test call", answer.shown()))
                }
                Ok(answer) => Outcome::Retry { error: answer.shown(), after: answer.retry_after },
                Err(error) => Outcome::retry(error),
            }
        })
    }
}

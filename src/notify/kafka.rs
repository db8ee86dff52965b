//! A topic of the log as a channel: every version of every alert, keyed by its id.
//!
//! The log is Apache Kafka or the local journal; either implements [`LogProducer`].

use super::{Channel, Outcome};
use crate::db::outbox::Message;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// The topic that alert versions go to.
pub const ALERTS_TOPIC: &str = "bartizan.alerts";
/// Longest try; the log itself retries within it.
const TRY_MAX: Duration = Duration::from_secs(30);
/// Appends under way at the same time.
const APPENDS_MAX: usize = 64;

/// Why an append failed. All are tried again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LogError(pub String);

/// Appends records to a log's topics.
pub trait LogProducer: Send + Sync {
    /// Appends one record; returns when it is durable (with Kafka: `acks=all`).
    fn append<'a>(
        &'a self,
        topic: &'a str,
        key: &'a [u8],
        headers: &'a [(&'a str, &'a [u8])],
        payload: &'a [u8],
    ) -> BoxFuture<'a, Result<(), LogError>>;
}

/// A topic as a channel.
pub struct TopicChannel {
    name: String,
    topic: String,
    log: Arc<dyn LogProducer>,
}

impl TopicChannel {
    /// The channel `name` writes to `topic`.
    pub fn new(name: &str, topic: &str, log: Arc<dyn LogProducer>) -> Self {
        Self { name: name.to_owned(), topic: topic.to_owned(), log }
    }
}

impl Channel for TopicChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> String {
        self.topic.clone()
    }

    fn concurrency_max(&self) -> usize {
        APPENDS_MAX
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let headers = [("message-id", message.message_id.as_bytes()), ("type", message.kind.as_bytes())];
            let append = self.log.append(&self.topic, message.alert_id.as_bytes(), &headers, message.body.as_bytes());
            match tokio::time::timeout(TRY_MAX, append).await {
                Ok(Ok(())) => Outcome::Delivered(None),
                Ok(Err(error)) => Outcome::retry(error),
                Err(_) => Outcome::retry("the log did not answer within 30 s"),
            }
        })
    }
}

//! A topic of the log as a channel: every version of every alert, keyed by its id.
//!
//! The log is Apache Kafka or the local journal.

use crate::db::outbox::Message;
use crate::log::{Appender, Outgoing};
use crate::notify::{Channel, NotifyConfig, Outcome};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Longest try; the log itself retries within it.
const TRY_MAX: Duration = Duration::from_secs(30);

/// A topic as a channel.
pub struct TopicChannel {
    name: String,
    topic: String,
    log: Arc<dyn Appender>,
}

impl TopicChannel {
    /// The channel `name` writes to `topic`.
    pub fn new(name: &str, topic: &str, log: Arc<dyn Appender>) -> Self {
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

    fn in_flight_max(&self, limits: &NotifyConfig) -> usize {
        limits.versions_in_flight_max
    }

    fn acts(&self) -> bool {
        false
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let headers = vec![("message-id", message.message_id.clone().into_bytes()), ("type", message.kind.clone().into_bytes())];
            let record = Outgoing { key: message.about.clone(), headers, payload: message.body.clone().into_bytes() };
            let append = self.log.append(&self.topic, vec![record]);
            match tokio::time::timeout(TRY_MAX, append).await {
                Ok(Ok(())) => Outcome::Delivered(None),
                Ok(Err(error)) => Outcome::retry(error),
                Err(_) => Outcome::retry("the log did not answer within 30 s"),
            }
        })
    }
}

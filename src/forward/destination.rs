//! Where events go: a topic of Kafka, or the daemon's HTTP ingest.

use super::ForwardError;
use crate::log::{Appender, LogError, Outgoing};
use reqwest::{Client, Url};
use serde::Deserialize;

/// A record with its key.
pub(super) struct Outbound {
    pub(super) key: String,
    pub(super) payload: Vec<u8>,
}

/// Takes records, and answers once they are durable.
pub(super) enum Destination {
    Topic { log: Box<dyn Appender>, topic: String },
    Ingest { client: Client, url: Url, token: String },
}

/// What HTTP ingest says of a body that it took.
#[derive(Deserialize)]
struct Taken {
    rejected: Vec<serde_json::Value>,
}

impl Destination {
    pub(super) async fn send(&self, records: Vec<Outbound>) -> Result<(), ForwardError> {
        match self {
            Self::Topic { log, topic } => {
                let outgoing = |record: Outbound| Outgoing { key: record.key, headers: Vec::new(), payload: record.payload };
                let appended = log.append(topic, records.into_iter().map(outgoing).collect()).await;
                appended.map_err(|error| match error {
                    LogError::Fatal(reason) => ForwardError::Config(reason),
                    error => ForwardError::retry(error),
                })
            }
            Self::Ingest { client, url, token } => {
                let mut body = Vec::new();
                for record in records {
                    body.extend(record.payload);
                    body.push(b'\n');
                }
                let answer = client.post(url.clone()).bearer_auth(token).body(body).send().await?;
                if !answer.status().is_success() {
                    return Err(ForwardError::Retry(format!("ingest answered {}", answer.status())));
                }
                let taken: Taken = answer.json().await?;
                if let Some(first) = taken.rejected.first() {
                    tracing::warn!(rejected = taken.rejected.len(), %first, "ingest rejected events");
                }
                Ok(())
            }
        }
    }
}

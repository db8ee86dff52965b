//! Every version of every alert goes to ClickHouse, for questions over history: as one more channel of
//! the outbox, so that it is durable and tried again like any other.

use crate::alert::Alert;
use crate::clock::now_ms;
use crate::db::outbox::Message;
use crate::notify::routing::HISTORY_CHANNEL;
use crate::notify::{Channel, Outcome};
use crate::store::Store;
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::sync::watch;

/// Inserts under way at the same time.
const INSERTS_MAX: usize = 8;

/// How long one try waits for the store to be there.
const STORE_WAIT: Duration = Duration::from_secs(60);

/// The store's table of alert versions as a channel.
pub(super) struct History {
    pub store: watch::Receiver<Option<Store>>,
}

impl Channel for History {
    fn name(&self) -> &str {
        HISTORY_CHANNEL
    }

    fn fingerprint(&self) -> String {
        HISTORY_CHANNEL.to_owned()
    }

    fn concurrency_max(&self) -> usize {
        INSERTS_MAX
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let alert = match serde_json::from_str::<Alert>(&message.body) {
                Ok(alert) => alert,
                Err(error) => return Outcome::retry(error),
            };
            // A copy, since waiting moves the receiver on.
            let mut store = self.store.clone();
            let there = tokio::time::timeout(STORE_WAIT, store.wait_for(Option::is_some)).await;
            let Some(store) = there.ok().and_then(Result::ok).and_then(|store| store.clone()) else {
                return Outcome::retry("the store is not there yet");
            };
            match store.insert_alert_versions(&[alert], now_ms()).await {
                Ok(()) => Outcome::Delivered(None),
                Err(error) => Outcome::retry(error),
            }
        })
    }
}

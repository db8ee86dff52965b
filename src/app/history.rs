//! Every version of every alert goes to ClickHouse, for questions over history: as one more channel of
//! the outbox, so that it is durable and tried again like any other.

use crate::alert::Alert;
use crate::db::outbox::Message;
use crate::log::journal::now_ms;
use crate::notify::{Channel, Outcome};
use crate::store::Store;
use futures::future::BoxFuture;
use tokio::sync::watch;

/// Name of the channel in the outbox.
pub(super) const HISTORY: &str = "history";
/// Inserts under way at the same time.
const INSERTS_MAX: usize = 8;

/// The store's table of alert versions as a channel.
pub(super) struct History {
    pub store: watch::Receiver<Option<Store>>,
}

impl Channel for History {
    fn name(&self) -> &str {
        HISTORY
    }

    fn fingerprint(&self) -> String {
        HISTORY.to_owned()
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
            let store = self.store.borrow().clone();
            let Some(store) = store else { return Outcome::retry("the store is not there yet") };
            match store.insert_alert_versions(&[alert], now_ms()).await {
                Ok(()) => Outcome::Delivered(None),
                Err(error) => Outcome::retry(error),
            }
        })
    }
}

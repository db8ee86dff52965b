//! Every version of every alert goes to ClickHouse, for questions over history: as one more channel of
//! the outbox, so that it is durable and tried again like any other.

use crate::alert::Alert;
use crate::clock::now_ms;
use crate::db::outbox::Message;
use crate::notify::routing::HISTORY_CHANNEL;
use crate::notify::{Channel, NotifyConfig, Outcome};
use crate::store::{ErrorClass, Store, StoreError};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How long one try waits for the store to be there.
const STORE_WAIT: Duration = Duration::from_secs(60);

/// Versions that wait for the next insert, each with who waits for its outcome.
type Waiting = Vec<(Alert, oneshot::Sender<Outcome>)>;

/// The store's table of alert versions as a channel. One insert at a time takes all versions that wait
/// meanwhile: a store wants few inserts, and keeps pace with an attack only so.
pub(super) struct History {
    store: watch::Receiver<Option<Store>>,
    waiting: Mutex<Waiting>,
    turn: tokio::sync::Mutex<()>,
}

impl History {
    pub fn new(store: watch::Receiver<Option<Store>>) -> Self {
        Self { store, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Inserts all that wait, and tells each what became of it.
    async fn insert(&self) {
        let (alerts, told): (Vec<_>, Vec<_>) = std::mem::take(&mut *self.waiting.lock()).into_iter().unzip();
        // A copy, since waiting moves the receiver on.
        let mut store = self.store.clone();
        let there = tokio::time::timeout(STORE_WAIT, store.wait_for(Option::is_some)).await;
        let there = there.ok().and_then(Result::ok).and_then(|store| store.clone());
        let outcomes = match there {
            Some(store) => outcomes(&store, &alerts).await,
            None => vec![Outcome::retry("the store is not there yet"); alerts.len()],
        };
        for (told, outcome) in told.into_iter().zip(outcomes) {
            // Who no longer waits tries again.
            told.send(outcome).ok();
        }
    }
}

/// Inserts versions together, or, where the store refuses them, one by one, so that one of them does not stop the others.
async fn outcomes(store: &Store, alerts: &[Alert]) -> Vec<Outcome> {
    let together = store.insert_alert_versions(alerts, now_ms()).await;
    if !matches!(&together, Err(error) if error.class() == ErrorClass::Refused) {
        return vec![outcome(together); alerts.len()];
    }
    let mut outcomes = Vec::with_capacity(alerts.len());
    for alert in alerts {
        outcomes.push(outcome(store.insert_alert_versions(std::slice::from_ref(alert), now_ms()).await));
    }
    outcomes
}

fn outcome(inserted: Result<(), StoreError>) -> Outcome {
    inserted.map_or_else(Outcome::retry, |()| Outcome::Delivered(None))
}

impl Channel for History {
    fn name(&self) -> &str {
        HISTORY_CHANNEL
    }

    fn fingerprint(&self) -> String {
        HISTORY_CHANNEL.to_owned()
    }

    fn in_flight_max(&self, limits: &NotifyConfig) -> usize {
        limits.versions_in_flight_max
    }

    fn acts(&self) -> bool {
        false
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let alert = match serde_json::from_str::<Alert>(&message.body) {
                Ok(alert) => alert,
                Err(error) => return Outcome::retry(error),
            };
            let (told, mut done) = oneshot::channel();
            self.waiting.lock().push((alert, told));
            let _turn = tokio::select! {
                biased;
                outcome = &mut done => return outcome.unwrap_or_else(Outcome::retry),
                turn = self.turn.lock() => turn,
            };
            // The insert before may have taken this one with it.
            if let Ok(outcome) = done.try_recv() {
                return outcome;
            }
            self.insert().await;
            done.await.unwrap_or_else(Outcome::retry)
        })
    }
}

//! Brings the store up: the embedded engine's process or a server, and the schema in it.

use crate::clock::now_ms;
use crate::config::Config;
use crate::store::embedded::{Embedded, EmbeddedState, Launch, StartError};
use crate::store::{ErrorClass, Store, StoreError};
use crate::telemetry::{HealthId, Telemetry};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Folder of the embedded store within `data_dir`.
const EMBEDDED: &str = "store";
/// Wait between two tries to reach the store at start.
const RETRY: Duration = Duration::from_secs(1);
/// How often the store is asked whether it is there.
const PING: Duration = Duration::from_secs(5);

/// Why the store cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The embedded engine does not start.
    #[error(transparent)]
    Embedded(#[from] StartError),
    /// The configuration of the server is wrong.
    #[error(transparent)]
    Server(#[from] StoreError),
    /// The executable cannot be found for the child.
    #[error("this program's own file cannot be found: {0}")]
    Own(#[from] std::io::Error),
}

/// The store with, if it is embedded, its process.
pub(super) struct OpenStore {
    pub store: Store,
    pub embedded: Option<Embedded>,
}

/// Starts the embedded engine, or prepares for the server, which may be away.
pub(super) async fn open(config: &Config) -> Result<OpenStore, OpenError> {
    if let Some(server) = &config.clickhouse {
        return Ok(OpenStore { store: Store::server(server, &config.store)?, embedded: None });
    }
    let embedded = Embedded::start(&config.embedded, &config.data_dir.join(EMBEDDED), Launch::own()?).await?;
    Ok(OpenStore { store: Store::embedded(embedded.endpoint(), &config.store), embedded: Some(embedded) })
}

/// Makes the schema as soon as the store is there, publishes it, then watches over it.
pub(super) async fn keep(store: Store, ready: watch::Sender<Option<Store>>, telemetry: Telemetry, stop: CancellationToken) {
    loop {
        match store.migrate().await {
            Ok(()) => break,
            Err(error) => {
                if error.class() == ErrorClass::Fatal {
                    tracing::error!(%error, "the store's schema cannot be made");
                }
                telemetry.report(HealthId::StoreDown, "", Some(&error.to_string()));
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
            return;
        }
    }
    telemetry.report(HealthId::StoreDown, "", None);
    ready.send_replace(Some(store.clone()));
    while stop.run_until_cancelled(tokio::time::sleep(PING)).await.is_some() {
        let down = store.ping().await.err().map(|error| error.to_string());
        telemetry.report(HealthId::StoreDown, "", down.as_deref());
    }
}

/// Tells when the embedded engine's process died and came back.
pub(super) async fn watch_embedded(mut state: watch::Receiver<EmbeddedState>) {
    while state.changed().await.is_ok() {
        match &*state.borrow_and_update() {
            EmbeddedState::Ready { engine, restarts, .. } => tracing::info!(engine, restarts, at_ms = now_ms(), "embedded store serves"),
            EmbeddedState::Restarting { reason, restarts } => tracing::warn!(reason, restarts, "embedded store starts again"),
            EmbeddedState::Stopped => return,
        }
    }
}

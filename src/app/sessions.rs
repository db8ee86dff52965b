//! Counts the sessions that were active in the last day, for the brake on a share of them.

use crate::clock::now_ms;
use crate::respond::ActiveSessions;
use crate::store::Store;
use bartizan_core::time::DAY_MS;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether to count.
const LOOK: Duration = Duration::from_secs(2);
/// How often is counted.
const INTERVAL: Duration = Duration::from_secs(300);
/// How soon again when a revocation asked meanwhile.
const INTERVAL_ASKED: Duration = Duration::from_secs(30);

/// Keeps the estimates fresh from the moment the store is there.
pub(super) async fn keep_counting(store: watch::Receiver<Option<Store>>, active: ActiveSessions, stop: CancellationToken) {
    let mut counted: Option<Instant> = None;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let Some(store) = store.borrow().clone() else { continue };
        let age = counted.map_or(Duration::MAX, |at| at.elapsed());
        if age < INTERVAL_ASKED || (age < INTERVAL && !active.take_asked()) {
            continue;
        }
        counted = Some(Instant::now());
        match store.active_sessions(now_ms() - DAY_MS).await {
            Ok(by_tenant) => active.set(by_tenant),
            Err(error) => tracing::warn!(%error, "active sessions cannot be counted"),
        }
    }
}

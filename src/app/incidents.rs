//! What is done with incidents from time to time: those that went silent end, and alerts follow what people said of the
//! incident that they are in.

use crate::blocking::blocking;
use crate::clock::Clock;
use crate::db::alerts::TriageError;
use crate::db::{Db, incidents};
use crate::incident::quiet;
use crate::notify::{self, Routing, Wake};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked; while there is more to do, at once.
const INTERVAL: Duration = Duration::from_secs(2);
const AT_ONCE_MAX: u32 = 100;

/// What is looked after.
pub(super) struct Incidents {
    pub db: Db,
    pub routing: Arc<Routing>,
    pub wake: Wake,
    pub clock: Clock,
    pub stop: CancellationToken,
}

impl Incidents {
    /// Runs until stopped.
    pub async fn run(self) {
        let mut more = false;
        while more || self.stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            if self.stop.is_cancelled() {
                return;
            }
            more = self.look().await;
        }
    }

    /// Does a bounded piece of what there is to do; is there more?
    async fn look(&self) -> bool {
        let (db, routing, now_ms) = (self.db.clone(), Arc::clone(&self.routing), self.clock.now_ms());
        let work = move || {
            db.write(|tx| {
                let ended = quiet::resolve_silent(tx, &routing.incidents, AT_ONCE_MAX, now_ms)?;
                let Some((incident, actor)) = incidents::to_follow(tx)? else { return Ok(ended.len()) };
                Ok::<_, TriageError>(ended.len() + notify::follow_incident(tx, &incident, &actor, &routing, now_ms)?)
            })
        };
        match blocking(work).await {
            Ok(Ok(done)) => {
                if done > 0 {
                    self.wake.wake();
                }
                done >= AT_ONCE_MAX as usize
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "incidents cannot be looked after");
                false
            }
            Err(error) => {
                tracing::error!(%error, "looking after incidents failed");
                false
            }
        }
    }
}

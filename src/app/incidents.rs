//! What is done with incidents from time to time: those that went silent end, and alerts follow what people said of the
//! incident that they are in.

use crate::blocking::blocking;
use crate::db::alerts::TriageError;
use crate::notify::Desk;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked; while there is more to do, at once.
const INTERVAL: Duration = Duration::from_secs(2);
const AT_ONCE_MAX: u32 = 100;

/// What is looked after.
pub(super) struct Incidents {
    pub desk: Desk,
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
        let desk = self.desk.clone();
        let work = move || Ok::<_, TriageError>(desk.silence(AT_ONCE_MAX)?.max(desk.follow()?));
        match blocking(work).await {
            Ok(Ok(done)) => done >= AT_ONCE_MAX as usize,
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

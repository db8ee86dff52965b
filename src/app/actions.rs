//! What time alone does to actions: what a target cannot confirm counts as contained once nothing that was
//! issued before is good any more.

use crate::blocking::blocking;
use crate::clock::Clock;
use crate::db::Db;
use crate::notify::Wake;
use crate::respond::progress;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked, and how many change at once.
const INTERVAL: Duration = Duration::from_secs(1);
const AT_ONCE_MAX: u32 = 100;

/// What is looked after.
pub(super) struct Actions {
    pub db: Db,
    pub wake: Wake,
    pub clock: Clock,
    pub stop: CancellationToken,
}

impl Actions {
    /// Runs until stopped.
    pub async fn run(self) {
        while self.stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            let (db, now_ms) = (self.db.clone(), self.clock.now_ms());
            match blocking(move || db.write(|tx| progress::pass_time(tx, AT_ONCE_MAX, now_ms))).await {
                Ok(Ok(0)) => {}
                Ok(Ok(_)) => self.wake.wake(),
                Ok(Err(error)) => tracing::warn!(%error, "actions cannot be looked after"),
                Err(error) => tracing::error!(%error, "looking after actions failed"),
            }
        }
    }
}

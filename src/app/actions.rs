//! What happens to actions by itself: what a target cannot confirm is seen in later events or runs out, blocks and
//! proposals end, tokens that were held for them are forgotten.

use crate::blocking::blocking;
use crate::clock::Clock;
use crate::db::{Db, DbError, actions, held_tokens};
use crate::notify::{Routing, Wake};
use crate::respond::{LaterUses, progress};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked, how many change at once, and for how many sessions uses are waited.
const INTERVAL: Duration = Duration::from_secs(1);
const AT_ONCE_MAX: u32 = 100;
const WAITED_FOR_MAX: u32 = 10_000;

/// What is looked after.
pub(super) struct Actions {
    pub db: Db,
    pub routing: Arc<Routing>,
    pub wake: Wake,
    pub later_uses: LaterUses,
    pub clock: Clock,
    pub stop: CancellationToken,
}

impl Actions {
    /// Runs until stopped.
    pub async fn run(self) {
        while self.stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            match blocking(self.look()).await {
                Ok(Ok(0)) => {}
                Ok(Ok(_)) => self.wake.wake(),
                Ok(Err(error)) => tracing::warn!(%error, "actions cannot be looked after"),
                Err(error) => tracing::error!(%error, "looking after actions failed"),
            }
        }
    }

    /// Does a bounded piece of what there is to do; how much was it?
    fn look(&self) -> impl FnOnce() -> Result<usize, DbError> + use<> {
        let (db, routing, later_uses, now_ms) = (self.db.clone(), Arc::clone(&self.routing), self.later_uses.clone(), self.clock.now_ms());
        move || {
            routing.held.expire();
            // Also where holding was switched off meanwhile.
            if db.read(|tx| Ok::<_, DbError>(held_tokens::is_any_over(tx, now_ms)?))? {
                db.write(|tx| Ok::<_, DbError>(held_tokens::erase_over(tx, now_ms)?))?;
            }
            let seen = later_uses.take();
            let waits = db.read(|tx| Ok::<_, DbError>(!actions::due(tx, now_ms, 1)?.is_empty()))?;
            if !seen.is_empty() || waits {
                db.write(|tx| {
                    seen.iter().try_for_each(|seen| progress::used_later(tx, &routing, seen, now_ms))?;
                    progress::pass_time(tx, AT_ONCE_MAX, now_ms)
                })?;
            }
            later_uses.wait_for(&db.read(|tx| actions::unconfirmed(tx, WAITED_FOR_MAX))?);
            Ok(seen.len() + usize::from(waits))
        }
    }
}

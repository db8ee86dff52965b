//! The canary: attacks on reserved names that the daemon sends itself, to hear whether its detectors still speak.
//!
//! A detector that finds nothing looks like a quiet day. What can silence it stands in no error: a limit set too high, a
//! watermark that somebody's clock has pushed ahead, state that is full, a record order that no longer moves. So from
//! time to time one attack of each kind goes the way of all events: appended to the log, read back, normalised,
//! enriched, judged, joined to an alert, handed on with its batch. What was not found raises a health alert.
//!
//! **Nobody can pretend to be it, and it meets nobody.** Its events are marked by how they entered: they lie in a topic
//! of their own ([`TOPIC`]) which the daemon alone writes. Their tenants are reserved ([`is_reserved`]): a record of any
//! other topic that names one is rejected, and so is one in this topic that names another. Keys of state
//! are kept apart by tenant, and the topic moves no watermark, so that what is found of people does not depend on it.
//!
//! **It ends where people's alerts begin.** The engine sets its alerts apart from all others; they and the events behind
//! them go no further than the commit stage, which tells the [`Watch`] of them: not into the database, the outbox, the
//! topic of alerts, the store or the counts. What is not stored cannot be shown by the one question that somebody
//! forgot. Whether store, database and channels work, health alerts of their own say.
//!
//! **What a round can ask.** Most detectors can be asked at once, with names that are new in each round (`script`). Spraying
//! takes some hours, and what goes by people's habits some days, which the canary needs as well: until then they
//! are learning, not silent. What cannot be asked here (places, without place files) is not covered, and is said to be so.
//!
//! **When it is heard.** Detectors speak on the event that proves it, and the last event of a round comes behind all
//! others: whoever has not spoken when that was judged is silent. A round that does not come back within
//! [`RETURN_MS`] is told by itself. What is known of rounds lives with the process: one that was under way at a restart is
//! forgotten, and habits are learnt for days anew.

mod round;
mod script;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
mod watch;

pub use round::{Far, Round, Rounds};
pub use watch::{Standing, Watch};

use crate::flow::PartitionId;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use serde::{Deserialize, Serialize};

/// Topic of the canary's events.
pub const TOPIC: &str = "bartizan.canary";
/// What reserved tenants begin with.
pub const TENANT: &str = "_canary";
/// The age of the oldest event of a round when it is sent, and some time to be read: with less lateness none is judged.
pub const LATENESS_MIN_MS: i64 = 2 * MINUTE_MS;
/// Within this time a round has to come back.
pub const RETURN_MS: i64 = 5 * MINUTE_MS;

/// Is this tenant the canary's?
#[must_use]
pub fn is_reserved(tenant: &str) -> bool {
    tenant.starts_with(TENANT)
}

/// Is this where the canary's events are read?
#[must_use]
pub fn is_own(partition: &PartitionId) -> bool {
    &*partition.topic == TOPIC
}

/// `[canary]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryConfig {
    /// Is anything sent? Default true.
    pub enabled: bool,
    /// Time between two rounds; default an hour.
    pub interval_ms: i64,
}

impl Default for CanaryConfig {
    fn default() -> Self {
        Self { enabled: true, interval_ms: HOUR_MS }
    }
}

impl CanaryConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        out_of_range!(self; interval_ms: 1_000..=DAY_MS).collect()
    }
}

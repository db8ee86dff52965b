//! The pipeline: from the log to alerts, store and checkpoint.
//!
//! ```text
//!  log ──▶ read ──▶ prepare ──▶ detect ──┬──▶ store    events to ClickHouse, rejects to the dead-letter topic
//!          order     normalise   engine  │
//!          recorded  enrich              └──▶ commit   order, alerts and deliveries in one transaction
//!                                                │
//!  log ◀── offsets ◀── checkpoint ◀── acknowledged by both
//! ```
//!
//! `read`, `prepare` and `detect` are threads, one batch at a time, with small bounded channels
//! between them ([`PipelineConfig`]): when one is slow, the ones before it
//! wait, and in the end the source holds its partitions. A checkpoint is cut between batches, a little at
//! a time, and becomes durable only when the store and the database have
//! acknowledged everything before it, and only then are offsets committed.

pub mod checkpoint;
pub mod commit;
pub mod config;
pub mod cut;
pub mod detect;
pub mod prepare;
pub mod queue;
pub mod read;
pub mod skew;
pub mod store;

pub use config::PipelineConfig;

use std::time::Duration;
use tokio::sync::watch;

/// First and longest wait between two tries of something that may pass.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How far each side has acknowledged, as the sequence number of the next record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Events and rejects before this are stored.
    pub stored: u64,
    /// Alerts before this are in the database with what is to be delivered of them.
    pub committed: u64,
}

impl Acknowledged {
    /// What both have acknowledged.
    #[must_use]
    pub fn both(self) -> u64 {
        self.stored.min(self.committed)
    }
}

/// Where stages acknowledge.
pub type Acknowledge = watch::Sender<Acknowledged>;

/// Waits between tries: doubling, bounded, and over when `stop` is cancelled.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: RETRY_MIN }
    }

    /// Waits; false if it is time to stop instead.
    pub(crate) async fn wait(&mut self, stop: &tokio_util::sync::CancellationToken) -> bool {
        let wait = self.next;
        self.next = (wait * 2).min(RETRY_MAX);
        stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some()
    }
}

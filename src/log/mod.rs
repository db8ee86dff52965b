//! The log: partitioned topics with offsets, at one of two addresses.
//!
//! Inputs, the topics of alerts and actions, and the dead-letter topic are logs. The log is Apache Kafka
//! ([`kafka`]), or, when no Kafka is configured, a crash-safe journal in the data directory
//! ([`journal`]). Whatever comes in over HTTP is appended here first and read back by the pipeline, so
//! there is one path for events, wherever they come from.

pub mod journal;
pub mod kafka;
pub mod recording;
pub mod sequencer;

use crate::flow::{PartitionId, Positions};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Topic that HTTP ingest appends to.
pub const INGEST_TOPIC: &str = "bartizan.ingest";
/// Topic of alert versions, keyed by alert id.
pub const ALERTS_TOPIC: &str = "bartizan.alerts";
/// Topic of actions, keyed by their id: each as it was decided, and at each change.
pub const ACTIONS_TOPIC: &str = "bartizan.actions";
/// Topic of records that broke a rule.
pub const DEAD_LETTER_TOPIC: &str = "bartizan.dlq";

/// What can go wrong with the log. The class decides what the caller does, never the text.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It may pass: try again.
    #[error("{0}")]
    Retry(String),
    /// It can take no more until something is read and acknowledged.
    #[error("the journal is full ({bytes} of {bytes_max} bytes wait to be processed)")]
    Full {
        /// Bytes held.
        bytes: u64,
        /// Limit.
        bytes_max: u64,
    },
    /// A record is larger than the log takes; a smaller one may pass.
    #[error("{0}")]
    TooLarge(String),
    /// It will not pass by itself: the configuration or the disk must be mended.
    #[error("{0}")]
    Fatal(String),
}

/// A record to be appended.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Key; empty for none.
    pub key: String,
    /// Headers.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// Payload.
    pub payload: Vec<u8>,
}

/// The future of an append.
pub type Appending<'a> = Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>>;

/// Where records are appended.
pub trait Appender: Send + Sync {
    /// Appends records to a topic, in order; done only when all of them are durable.
    fn append<'a>(&'a self, topic: &'a str, records: Vec<Outgoing>) -> Appending<'a>;
}

/// One record that was read.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Offset.
    pub offset: i64,
    /// The log's own time of the record, in milliseconds since 1970; 0 if it has none.
    pub timestamp_ms: i64,
    /// Payload.
    pub payload: Vec<u8>,
}

/// What a source tells.
#[derive(Debug)]
pub enum Notice {
    /// All input partitions are held now, and reading begins at these positions (-1: where the log
    /// says).
    Assigned(Positions),
    /// Partitions were lost: nothing more may be read.
    Lost(Vec<PartitionId>),
    /// Records of one partition, in order.
    Records(PartitionId, Vec<Fetched>),
    /// A partition was read to its end.
    End(PartitionId),
    /// The log no longer holds records from the first offset to before the second.
    Gone(PartitionId, i64, i64),
}

/// Where records are read. Blocking: it has a thread of its own.
pub trait Source: Send {
    /// Waits up to `timeout` for news. While paused it only keeps the connection alive.
    ///
    /// # Errors
    /// The log cannot be read.
    fn fetch(&mut self, timeout: Duration, notices: &mut Vec<Notice>) -> Result<(), LogError>;

    /// Partitions that the log is known to hold many further records of. While one of them has nothing
    /// buffered, the others wait for it, so that a backlog is read side by side in event time.
    fn behind(&self) -> BTreeSet<PartitionId> {
        BTreeSet::new()
    }

    /// Reads nothing from these partitions, and from all others; their records wait for the pipeline.
    ///
    /// # Errors
    /// The log refuses.
    fn hold(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), LogError>;

    /// Where reading begins when partitions are assigned again after a loss.
    fn resume_at(&mut self, positions: &Positions);

    /// Does the log itself keep the order of records, so that it need not be recorded?
    fn keeps_order(&self) -> bool;
}

/// Where acknowledged positions go. Shared with the source's thread.
pub trait Committer: Send + Sync {
    /// Everything before `newest` is reflected in a durable checkpoint, everything before `oldest` in
    /// every checkpoint that is kept, so that no start will read it again.
    ///
    /// # Errors
    /// The log refuses; the next commit covers it.
    fn commit(&self, newest: &Positions, oldest: &Positions) -> Result<(), LogError>;

    /// The end of each partition, as far as it is known: with the positions it gives the lag.
    fn ends(&self) -> Positions;

    /// Does the log take nothing more, as it holds all that it may?
    fn is_full(&self) -> bool {
        false
    }
}

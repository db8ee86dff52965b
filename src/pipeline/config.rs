//! `[pipeline]`: what the pipeline holds at once.

use crate::log::sequencer::Limits;
use serde::{Deserialize, Serialize};

/// `[pipeline]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineConfig {
    /// Records of one batch; default 8,192.
    pub batch_records_max: usize,
    /// Bytes of one batch; the record that passes it is its last; default 16 MiB.
    pub batch_bytes_max: usize,
    /// Bytes waiting in one partition's buffer above which the partition is held; default 16 MiB.
    pub buffer_bytes_max: usize,
    /// Batches waiting between two stages; default 4.
    pub stage_batches_max: usize,
    /// Events waiting for the store: a little more than one insert takes, so that the next one is as
    /// large; default 90,112.
    pub store_events_max: usize,
    /// Orders that wait for an alert before they are written all the same; default 256.
    pub orders_waiting_max: usize,
    /// Events of one version whose facts a revocation is given; default 1,000.
    pub session_facts_max: usize,
    /// Bytes that are kept of a dead letter that the topic does not take whole: well below the limit
    /// that brokers have by default; default 256 KiB.
    pub dead_letter_bytes_max: usize,
    /// Pieces of checkpoints, of a megabyte each, that may wait for the writer; default 8.
    pub checkpoint_pieces_max: usize,
    /// Bytes of a checkpoint that may wait beside those; past them it is given up; default 64 MiB.
    pub checkpoint_waiting_bytes_max: usize,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        let Limits { batch_records_max, batch_bytes_max, buffer_bytes_max } = Limits::default();
        Self {
            batch_records_max,
            batch_bytes_max,
            buffer_bytes_max,
            stage_batches_max: 4,
            store_events_max: 90_112,
            orders_waiting_max: 256,
            session_facts_max: 1_000,
            dead_letter_bytes_max: 256 << 10,
            checkpoint_pieces_max: 8,
            checkpoint_waiting_bytes_max: 64 << 20,
        }
    }
}

impl PipelineConfig {
    /// What the merge of partitions may hold.
    #[must_use]
    pub const fn batches(&self) -> Limits {
        Limits { batch_records_max: self.batch_records_max, batch_bytes_max: self.batch_bytes_max, buffer_bytes_max: self.buffer_bytes_max }
    }

    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        out_of_range!(self;
            batch_records_max: 1..=1_000_000,
            // The texts of a batch lie in one arena of a gigabyte.
            batch_bytes_max: 1..=256 << 20,
            buffer_bytes_max: 1..=1 << 30,
            stage_batches_max: 1..=1_000,
            store_events_max: 1..=100_000_000,
            orders_waiting_max: 1..=100_000,
            session_facts_max: 1..=100_000,
            dead_letter_bytes_max: 1..=256 << 20,
            checkpoint_pieces_max: 1..=1_000,
            checkpoint_waiting_bytes_max: 1 << 20..=16 << 30,
        )
        .collect()
    }
}

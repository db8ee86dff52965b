//! How far event time is complete.
//!
//! Each partition has its own newest event time; the watermark is the oldest of them less the allowed
//! lateness, and never goes back. A partition that has been read to its end is idle and does not hold
//! the watermark up; one that is assigned but has not spoken yet does. An event cannot push its
//! partition past its own arrival, so a host with a clock that runs ahead closes nothing early. The
//! wall clock moves nothing.

use crate::flow::PartitionId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Partition {
    newest_ms: i64,
    idle: bool,
}

/// Watermarks of all partitions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watermarks {
    partitions: BTreeMap<PartitionId, Partition>,
    current_ms: i64,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self { partitions: BTreeMap::new(), current_ms: i64::MIN }
    }
}

impl Watermarks {
    /// Event time before which nothing is judged any more.
    #[must_use]
    pub fn current_ms(&self) -> i64 {
        self.current_ms
    }

    /// Newest event time of each partition that has spoken.
    #[must_use]
    pub fn newest_ms(&self) -> BTreeMap<PartitionId, i64> {
        let spoken = self.partitions.iter().filter(|(_, partition)| partition.newest_ms != i64::MIN);
        spoken.map(|(id, partition)| (id.clone(), partition.newest_ms)).collect()
    }

    /// A partition was assigned: it holds the watermark until it speaks or is found idle.
    pub fn assign(&mut self, partition: &PartitionId) {
        self.partitions.entry(partition.clone()).or_insert(Partition { newest_ms: i64::MIN, idle: false });
    }

    /// A partition was read to its end.
    pub fn idle(&mut self, partition: &PartitionId, lateness_ms: i64) {
        self.partitions.entry(partition.clone()).or_insert(Partition { newest_ms: i64::MIN, idle: true }).idle = true;
        self.recompute(lateness_ms);
    }

    /// An event of `partition`; returns the watermark as of it.
    pub fn observe(&mut self, partition: &PartitionId, time_ms: i64, lateness_ms: i64) -> i64 {
        match self.partitions.get_mut(partition) {
            Some(known) if !known.idle && time_ms <= known.newest_ms => return self.current_ms,
            Some(known) => *known = Partition { newest_ms: known.newest_ms.max(time_ms), idle: false },
            None => {
                self.partitions.insert(partition.clone(), Partition { newest_ms: time_ms, idle: false });
            }
        }
        self.recompute(lateness_ms);
        self.current_ms
    }

    fn recompute(&mut self, lateness_ms: i64) {
        let active = self.partitions.values().filter(|p| !p.idle).map(|p| p.newest_ms).min();
        let newest = active.or_else(|| self.partitions.values().map(|p| p.newest_ms).max());
        if let Some(newest) = newest {
            self.current_ms = self.current_ms.max(newest.saturating_sub(lateness_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> PartitionId {
        PartitionId { topic: "auth-logs".into(), partition: number }
    }

    #[test]
    fn the_slowest_partition_holds_the_watermark_until_it_is_idle() {
        let mut marks = Watermarks::default();
        marks.assign(&partition(0));
        marks.assign(&partition(1));
        assert_eq!(marks.observe(&partition(0), 1_000, 100), i64::MIN);
        assert_eq!(marks.observe(&partition(1), 500, 100), 400);
        assert_eq!(marks.observe(&partition(0), 2_000, 100), 400);
        marks.idle(&partition(1), 100);
        assert_eq!(marks.current_ms(), 1_900);
        assert_eq!(marks.observe(&partition(1), 600, 100), 1_900, "it never goes back");
    }
}

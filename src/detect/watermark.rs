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

    /// A partition speaks, and all others are silent meanwhile.
    pub fn speaking(&mut self, partition: &PartitionId, lateness_ms: i64) -> Speaking<'_> {
        let others = self.partitions.iter().filter(|(other, of)| !of.idle && *other != partition);
        let others_ms = others.map(|(_, of)| of.newest_ms).min().unwrap_or(i64::MAX);
        let partition = self.partitions.entry(partition.clone()).or_insert(Partition { newest_ms: i64::MIN, idle: true });
        Speaking { partition, others_ms, lateness_ms, current_ms: &mut self.current_ms }
    }

    fn recompute(&mut self, lateness_ms: i64) {
        let active = self.partitions.values().filter(|p| !p.idle).map(|p| p.newest_ms).min();
        let newest = active.or_else(|| self.partitions.values().map(|p| p.newest_ms).max());
        if let Some(newest) = newest {
            self.current_ms = self.current_ms.max(newest.saturating_sub(lateness_ms));
        }
    }
}

/// A partition that speaks.
pub struct Speaking<'a> {
    partition: &'a mut Partition,
    /// Up to where the others have come.
    others_ms: i64,
    lateness_ms: i64,
    current_ms: &'a mut i64,
}

impl Speaking<'_> {
    /// An event of the partition; returns the watermark as of it.
    pub fn observe(&mut self, time_ms: i64) -> i64 {
        let Partition { newest_ms, idle } = &mut *self.partition;
        if *idle || time_ms > *newest_ms {
            (*newest_ms, *idle) = (time_ms.max(*newest_ms), false);
            *self.current_ms = self.others_ms.min(*newest_ms).saturating_sub(self.lateness_ms).max(*self.current_ms);
        }
        *self.current_ms
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
        let observe = |marks: &mut Watermarks, number: i32, time_ms: i64| marks.speaking(&partition(number), 100).observe(time_ms);
        assert_eq!(observe(&mut marks, 0, 1_000), i64::MIN);
        assert_eq!(observe(&mut marks, 1, 500), 400);
        assert_eq!(observe(&mut marks, 0, 2_000), 400);
        marks.idle(&partition(1), 100);
        assert_eq!(marks.current_ms(), 1_900);
        assert_eq!(observe(&mut marks, 1, 600), 1_900, "it never goes back");
        let mut speaking = marks.speaking(&partition(2), 100);
        assert_eq!([2_050, 2_200, 2_100].map(|time_ms| speaking.observe(time_ms)), [1_900; 3], "600 is no longer idle");
        let mut speaking = marks.speaking(&partition(1), 100);
        assert_eq!([2_050, 2_090, 2_300].map(|time_ms| speaking.observe(time_ms)), [1_900, 1_900, 1_900]);
        assert_eq!(marks.newest_ms().into_values().collect::<Vec<_>>(), [2_000, 2_300, 2_200]);
        assert_eq!(observe(&mut marks, 0, 2_150), 2_050);
    }
}

//! Reads partitions from given offsets, outside of any group: beside a daemon, and without a trace.

use super::{KafkaConfig, REQUEST_TIMEOUT, fatal, gather, ids, retry};
use crate::flow::{PartitionId, Positions};
use crate::log::{LogError, Notice, Source};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::Duration;

/// Partitions from given offsets on.
pub struct Assigned {
    consumer: BaseConsumer,
    start: Option<Positions>,
    held: BTreeSet<PartitionId>,
    fetch_records_max: usize,
}

impl Assigned {
    /// Reads from `start` on.
    ///
    /// # Errors
    /// A setting that librdkafka does not take, brokers that do not answer, or an offset that the log no longer holds.
    pub fn open(config: &KafkaConfig, start: Positions) -> Result<Self, LogError> {
        let mut client = config.client()?;
        // The client asks for a name; nobody joins it, and nothing is committed.
        client.set("group.id", format!("{}-export", config.group)).set("enable.auto.commit", "false");
        client.set("enable.auto.offset.store", "false").set("auto.offset.reset", "error");
        let consumer: BaseConsumer = client.create().map_err(fatal)?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &start {
            let (low, high) = consumer.fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT).map_err(retry)?;
            if !(low..=high).contains(offset) {
                return Err(LogError::Fatal(format!("{partition}: offset {offset} is not in the log, which holds {low} to {high}")));
            }
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset)).map_err(fatal)?;
        }
        consumer.assign(&list).map_err(fatal)?;
        Ok(Self { consumer, start: Some(start), held: BTreeSet::new(), fetch_records_max: config.fetch_records_max })
    }
}

impl Source for Assigned {
    fn fetch(&mut self, timeout: Duration, notices: &mut Vec<Notice>) -> Result<(), LogError> {
        notices.extend(self.start.take().map(Notice::Assigned));
        let (mut records, mut wait) = (Vec::new(), timeout);
        for _ in 0..self.fetch_records_max {
            let Some(message) = self.consumer.poll(std::mem::take(&mut wait)) else { break };
            gather(&mut records, &message.map_err(retry)?);
        }
        notices.extend(records.into_iter().map(|(id, records)| Notice::Records(id, records)));
        Ok(())
    }

    fn hold(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), LogError> {
        if *partitions == self.held {
            return Ok(());
        }
        let (mut stop, mut go) = (TopicPartitionList::new(), TopicPartitionList::new());
        for id in ids(&self.consumer.assignment().map_err(retry)?) {
            let list = if partitions.contains(&id) { &mut stop } else { &mut go };
            list.add_partition(&id.topic, id.partition);
        }
        self.consumer.pause(&stop).and_then(|()| self.consumer.resume(&go)).map_err(retry)?;
        self.held.clone_from(partitions);
        Ok(())
    }

    fn resume_at(&mut self, _positions: &Positions) {}

    fn keeps_order(&self) -> bool {
        false
    }
}

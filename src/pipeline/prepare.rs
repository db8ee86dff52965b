//! The prepare stage: raw records become normalised, enriched events.
//!
//! The same function serves the daemon and `replay`. What breaks a rule goes on as a reject beside the
//! events of its batch; the batch itself never fails.

use crate::enrich::{AddressCache, Enricher, Places};
use crate::flow::{Change, EventFlow, PartitionId, RawBatch, Rejected};
use crate::normalise::{Context, Format, Normaliser, TimeWindow};
use crate::suppress::Lists;
use crate::teach::Lessons;
use bartizan_core::time::DAY_MS;
use std::collections::HashMap;
use std::sync::Arc;

/// How far ahead of its arrival an event may lie.
const AHEAD_MS: i64 = DAY_MS;

/// Normalises and enriches batches.
pub struct Preparer {
    normaliser: Arc<Normaliser>,
    enricher: Arc<Enricher>,
    /// The place files that the order says; until it says so, those at hand.
    places: Option<Arc<Places>>,
    suppressions: Arc<Lists>,
    lessons: Arc<Lessons>,
    cache: AddressCache,
    formats: HashMap<Arc<str>, Format>,
    retention_ms: i64,
}

impl Preparer {
    /// A preparer for topics with these formats (others are recognised record by record). Events
    /// older than `retention_ms` at their arrival are rejected.
    #[must_use]
    pub fn new(normaliser: Arc<Normaliser>, enricher: Arc<Enricher>, formats: HashMap<Arc<str>, Format>, retention_ms: i64) -> Self {
        let cache = enricher.cache();
        Self { normaliser, enricher, places: None, suppressions: Arc::default(), lessons: Arc::default(), cache, formats, retention_ms }
    }

    /// Takes the lists of suppressions that the order names from `lists`.
    #[must_use]
    pub fn with_suppressions(self, suppressions: Arc<Lists>) -> Self {
        Self { suppressions, ..self }
    }

    /// Takes the lessons that the order names from `lessons`.
    #[must_use]
    pub fn with_lessons(self, lessons: Arc<Lessons>) -> Self {
        Self { lessons, ..self }
    }

    /// Goes on with what is in force. Blocks if those are place files that are not in use any more.
    pub fn go_on_with(&mut self, in_force: &[Change]) {
        for change in in_force {
            match change {
                Change::Places(version) => self.places = Some(self.enricher.of_version(version)),
                Change::Lessons(version) => self.lessons.go_on_from(*version),
                Change::Suppressions(_) | Change::BreakersClosed(_) => {}
            }
        }
    }

    /// Turns a raw batch into events, without places and networks yet.
    #[must_use]
    pub fn normalise(&mut self, raw: RawBatch) -> EventFlow {
        let mut flow = EventFlow { events: bartizan_core::EventBatch::with_capacity(raw.len()), ..EventFlow::default() };
        let arrival_ms = raw.order.arrival_ms;
        let window = TimeWindow { oldest_ms: arrival_ms.saturating_sub(self.retention_ms), newest_ms: arrival_ms.saturating_add(AHEAD_MS) };
        let mut records = raw.iter();
        let mut seq = raw.order.first_seq;
        for run in &raw.order.runs {
            let format = self.formats.get(&run.partition.topic).copied().unwrap_or(Format::Auto);
            let before = flow.events.len();
            for (partition, offset, payload) in records.by_ref().take(run.records as usize) {
                self.record((partition, offset, payload), format, window, &mut flow);
                if let Some(record) = flow.events.records_mut().get_mut(flow.offsets.len()) {
                    (record.seq, record.arrival_ms) = (seq, arrival_ms);
                    flow.offsets.push(offset);
                }
                seq += 1;
            }
            flow.events_by_run.push((flow.events.len() - before) as u32);
        }
        drop(records);
        flow.order = raw.order;
        flow
    }

    /// Adds places and networks by the files that the order says, and the suppressions and lessons that it says.
    pub fn enrich(&mut self, flow: &mut EventFlow) {
        for change in &flow.order.changes {
            match change {
                Change::Suppressions(version) => flow.suppressions = Some(self.suppressions.of_version(*version)),
                // Their events have the places that they were judged with.
                Change::Lessons(version) => flow.lessons = self.lessons.due(*version),
                Change::Places(_) | Change::BreakersClosed(_) => {}
            }
        }
        self.go_on_with(&flow.order.changes);
        match &self.places {
            Some(places) => places.enrich(&mut flow.events, &mut self.cache),
            None => self.enricher.enrich(&mut flow.events, &mut self.cache),
        }
    }

    fn record(&mut self, at: (&PartitionId, i64, &[u8]), format: Format, window: TimeWindow, flow: &mut EventFlow) {
        let (partition, offset, payload) = at;
        let number = if sabotaged!(IdOfTheBatch) { flow.events.len() as i64 } else { offset };
        let default_id = format_args!("{partition}-{number}");
        let context = Context { default_id: &default_id, tenant: None, window: Some(window), reference_ms: window.newest_ms - AHEAD_MS };
        match self.normaliser.normalise_into(format, payload, &context, &mut flow.events) {
            Ok(true) => {}
            Ok(false) => flow.ignored += 1,
            Err(reject) => flow.rejected.push(Rejected {
                partition: partition.clone(),
                offset,
                code: reject.code.as_str(),
                reason: reject.reason,
                payload: payload.to_vec(),
            }),
        }
    }
}

//! Feeds events to a detector as the daemon does.

use crate::event::TestEvent;
use bartizan_core::{Detector, EventBatch, Finding, Findings, KeyHasher, Limits, LoadError, Parameters, Spec};

/// How far events may come out of order.
pub const LATENESS_MS: i64 = 600_000;

/// Keys of each kind in one slice, unless a scenario says otherwise.
const KEYS_MAX: usize = 100_000;

/// One detector over a number of slices.
pub struct Runner {
    spec: &'static Spec,
    slices: Vec<Box<dyn Detector>>,
    seq: u64,
    watermark_ms: i64,
    spares: bool,
}

/// What a detector with its defaults finds in `events`, in one slice.
#[must_use]
pub fn run(spec: &'static Spec, events: &[TestEvent]) -> Vec<Finding> {
    Runner::new(spec, 1).feed(events)
}

impl Runner {
    /// A detector with its defaults.
    #[must_use]
    pub fn new(spec: &'static Spec, slices: usize) -> Self {
        Self::with(spec, &Parameters::defaults(spec.parameters), Limits { keys_max: KEYS_MAX }, slices)
    }

    /// A detector with these values.
    #[must_use]
    pub fn with(spec: &'static Spec, parameters: &Parameters, limits: Limits, slices: usize) -> Self {
        let slices = (0..slices.max(1)).map(|_| (spec.build)(parameters, limits)).collect();
        Self { spec, slices, seq: 0, watermark_ms: i64::MIN, spares: true }
    }

    /// Shows the detector also the events that it does not look at.
    #[must_use]
    pub fn showing_all(self) -> Self {
        Self { spares: false, ..self }
    }

    /// Feeds events in this order and returns what was found, in the order the daemon would.
    pub fn feed(&mut self, events: &[TestEvent]) -> Vec<Finding> {
        let mut batch = EventBatch::with_capacity(events.len());
        for event in events {
            if event.time_ms() < self.watermark_ms {
                continue;
            }
            self.watermark_ms = self.watermark_ms.max(event.time_ms().saturating_sub(LATENESS_MS));
            self.seq += 1;
            event.push(&mut batch, self.seq, self.watermark_ms);
        }
        batch.hash_keys(&KeyHasher::new([3; 16]));
        self.detect(&batch)
    }

    fn detect(&mut self, batch: &EventBatch) -> Vec<Finding> {
        let count = self.slices.len() as u64;
        let mut found = Vec::new();
        let mut findings = Findings::default();
        // Slice by slice, as threads would, so that a slice that looked at another would show.
        for (index, slice) in self.slices.iter_mut().enumerate() {
            for event in batch.iter() {
                for (order, kind) in self.spec.keys.iter().enumerate() {
                    let Some(key) = event.key(*kind).filter(|key| key.hash % count == index as u64) else { continue };
                    if self.spares && !slice.looks_at(*kind, event.kind()) {
                        continue;
                    }
                    slice.observe(key, &event, &mut findings);
                    found.extend(findings.drain().map(|finding| (event.seq(), order, finding)));
                }
            }
        }
        found.sort_by_key(|(seq, order, _)| (*seq, *order));
        found.into_iter().map(|(_, _, finding)| finding).collect()
    }

    /// Keys held over all slices.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.slices.iter().map(|slice| slice.keys()).sum()
    }

    /// The saved state of each slice.
    #[must_use]
    pub fn save(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for slice in &self.slices {
            let mut bytes = Vec::new();
            slice.save(&mut bytes);
            all.push(bytes);
        }
        all
    }

    /// A fresh runner that goes on from where this one is, through saved state.
    ///
    /// # Errors
    /// The state cannot be read back.
    pub fn reloaded(&self) -> Result<Self, LoadError> {
        let mut new = Self { seq: self.seq, watermark_ms: self.watermark_ms, ..Self::new(self.spec, self.slices.len()) };
        for (slice, bytes) in new.slices.iter_mut().zip(self.save()) {
            slice.load(&bytes)?;
        }
        Ok(new)
    }
}

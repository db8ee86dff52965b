//! Runs the detectors over batches and joins their findings into alerts.
//!
//! The engine is a function of the recorded order alone: the same orders give the same alerts,
//! whatever the sizes of batches and the number of threads. It first walks the batch once for what is
//! global (watermark, repetitions), then lets each slice see the events of its keys, then joins the
//! findings in order of sequence, detector and key kind.
//!
//! A detector that panics is caught, switched off and reported; the others go on.

use super::checkpoint::{CheckpointError, Snapshot, SnapshotOf};
use super::dedup::Dedup;
use super::watermark::Watermarks;
use super::{DetectConfig, Enabled, SLICES};
use crate::alert::Alert;
use crate::alert::episode::Episodes;
use crate::flow::{EventFlow, PartitionId, Positions};
use bartizan_core::{Detector, Event, EventBatch, Finding, Findings, KeyHasher, KeyKind, Kind, Limits, Spec};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What became of one batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Versions of alerts, in order.
    pub alerts: Vec<Alert>,
    /// Events that detectors saw.
    pub judged: u64,
    /// Events older than the watermark: stored, not judged.
    pub late: u64,
    /// Events seen before: stored again over themselves, not judged.
    pub repeated: u64,
    /// Findings by detector.
    pub findings: BTreeMap<&'static str, u64>,
    /// Detectors that panicked on this batch and are off from now on.
    pub disabled: Vec<&'static str>,
}

struct Slice {
    detectors: Vec<Box<dyn Detector>>,
}

/// One key kind of one detector.
struct Route {
    detector: usize,
    /// Position in the detector's list of key kinds.
    kind: usize,
    key: KeyKind,
}

/// For each kind of event, where it goes, in the order of findings.
struct Routes([Vec<Route>; Kind::ALL.len()]);

impl Routes {
    fn new(specs: &[&'static Spec], slices: &[Slice]) -> Self {
        let detectors = slices.first().map_or(&[][..], |slice| &slice.detectors);
        let mut routes = Self(Default::default());
        for (kind_of_event, list) in Kind::ALL.iter().zip(&mut routes.0) {
            for (detector, (spec, instance)) in specs.iter().zip(detectors).enumerate() {
                let keys = spec.keys.iter().enumerate().filter(|(_, key)| instance.looks_at(**key, *kind_of_event));
                list.extend(keys.map(|(kind, key)| Route { detector, kind, key: *key }));
            }
        }
        routes
    }

    fn of(&self, event: &Event<'_>) -> &[Route] {
        self.0.get(event.kind() as usize).map_or(&[], Vec::as_slice)
    }
}

/// A finding with its place in the order of all findings.
struct Found {
    index: usize,
    detector: usize,
    kind: usize,
    finding: Finding,
}

/// The state machine of detection.
pub struct Engine {
    lateness_ms: i64,
    threads: usize,
    hasher: KeyHasher,
    specs: Vec<&'static Spec>,
    enabled: Vec<bool>,
    routes: Routes,
    slices: Vec<Slice>,
    watermarks: Watermarks,
    dedup: Dedup,
    episodes: Episodes,
    next_seq: u64,
    positions: Positions,
}

impl Engine {
    /// An engine without state.
    #[must_use]
    pub fn new(config: &DetectConfig, enabled: &Enabled, hasher: KeyHasher) -> Self {
        let limits = Limits { keys_max: (config.keys_max / SLICES).max(1) };
        let build = |(spec, parameters): &(&'static Spec, _)| (spec.build)(parameters, limits);
        let slices: Vec<_> = (0..SLICES).map(|_| Slice { detectors: enabled.detectors.iter().map(build).collect() }).collect();
        let specs: Vec<_> = enabled.detectors.iter().map(|(spec, _)| *spec).collect();
        Self {
            lateness_ms: config.lateness_ms,
            threads: config.threads.clamp(1, SLICES),
            hasher,
            enabled: vec![true; enabled.detectors.len()],
            routes: Routes::new(&specs, &slices),
            specs,
            slices,
            watermarks: Watermarks::default(),
            dedup: Dedup::new(config.dedup_events_max),
            episodes: Episodes::default(),
            next_seq: 0,
            positions: Positions::new(),
        }
    }

    /// Sequence number of the next record.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The next offset of each partition.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Event time before which nothing is judged any more.
    #[must_use]
    pub fn watermark_ms(&self) -> i64 {
        self.watermarks.current_ms()
    }

    /// Newest event time of each partition.
    #[must_use]
    pub fn newest_ms(&self) -> BTreeMap<PartitionId, i64> {
        self.watermarks.newest_ms()
    }

    /// Open episodes.
    #[must_use]
    pub fn episodes(&self) -> usize {
        self.episodes.len()
    }

    /// Keys held and keys pushed out, by detector.
    #[must_use]
    pub fn state_keys(&self) -> Vec<(&'static str, usize, u64)> {
        let held = |index: usize| {
            let instances = self.slices.iter().filter_map(move |slice| slice.detectors.get(index));
            instances.fold((0, 0), |(keys, evicted), detector| (keys + detector.keys(), evicted + detector.evicted()))
        };
        self.specs.iter().enumerate().map(|(index, spec)| (spec.id, held(index).0, held(index).1)).collect()
    }

    /// Takes the next piece of the recorded order.
    pub fn process(&mut self, flow: &mut EventFlow) -> Outcome {
        let mut outcome = Outcome::default();
        for partition in &flow.order.assigned {
            self.watermarks.assign(partition);
        }
        flow.events.hash_keys(&self.hasher);
        self.mark(flow, &mut outcome);
        let found = self.detect(&flow.events, &mut outcome.disabled);
        for spec in found.iter().filter_map(|found| self.specs.get(found.detector)) {
            *outcome.findings.entry(spec.id).or_default() += 1;
        }
        self.join(&flow.events, found, &mut outcome.alerts);
        for partition in &flow.order.idle {
            self.watermarks.idle(partition, self.lateness_ms);
        }
        self.dedup.advance(self.watermarks.current_ms());
        self.next_seq = flow.order.next_seq();
        flow.order.advance(&mut self.positions);
        outcome
    }

    /// Sets the watermark of each event and whether it is judged.
    fn mark(&mut self, flow: &mut EventFlow, outcome: &mut Outcome) {
        let mut index = 0;
        for (run, events) in flow.order.runs.iter().zip(&flow.events_by_run) {
            let mut run_newest_ms = None;
            for _ in 0..*events {
                let Some(event) = flow.events.get(index) else { return };
                let (time_ms, hash) = (event.time_ms(), event.identity());
                let late = time_ms < self.watermarks.current_ms();
                let first = !late && self.dedup.first(hash, time_ms);
                let newest_ms = time_ms.min(event.arrival_ms());
                // Only what is newer than all before it in its run can move anything.
                if run_newest_ms.is_none_or(|run_newest_ms| newest_ms > run_newest_ms) {
                    run_newest_ms = Some(newest_ms);
                    self.watermarks.observe(&run.partition, newest_ms, self.lateness_ms);
                }
                let watermark_ms = self.watermarks.current_ms();
                if let Some(record) = flow.events.records_mut().get_mut(index) {
                    (record.watermark_ms, record.judged) = (watermark_ms, first);
                }
                outcome.judged += u64::from(first);
                outcome.late += u64::from(late);
                outcome.repeated += u64::from(!late && !first);
                index += 1;
            }
        }
    }

    fn detect(&mut self, events: &EventBatch, disabled: &mut Vec<&'static str>) -> Vec<Found> {
        let per_thread = SLICES.div_ceil(self.threads);
        let (routes, enabled) = (&self.routes, &self.enabled);
        let run = |number: usize, slices: &mut [Slice]| observe_all(number * per_thread, slices, routes, enabled.clone(), events);
        let mut results: Vec<(Vec<Found>, Vec<bool>)> = Vec::new();
        if self.threads == 1 {
            results.push(run(0, &mut self.slices));
        } else {
            std::thread::scope(|scope| {
                let run = &run;
                let parts = self.slices.chunks_mut(per_thread).enumerate();
                let handles: Vec<_> = parts.map(|(number, slices)| scope.spawn(move || run(number, slices))).collect();
                results.extend(handles.into_iter().filter_map(|handle| handle.join().ok()));
            });
        }
        for (position, (on, spec)) in self.enabled.iter_mut().zip(&self.specs).enumerate() {
            let still = results.iter().all(|(_, enabled)| enabled.get(position).copied().unwrap_or(true));
            if *on && !still {
                *on = false;
                disabled.push(spec.id);
            }
        }
        let mut found: Vec<Found> = results.into_iter().flat_map(|(found, _)| found).collect();
        // Stable: findings of one call keep their order.
        found.sort_by_key(|found| (found.index, found.detector, found.kind));
        found
    }

    /// Joins findings into episodes and closes episodes as the watermark passes them.
    fn join(&mut self, events: &EventBatch, found: Vec<Found>, alerts: &mut Vec<Alert>) {
        let mut found = found.into_iter().peekable();
        for (index, event) in events.iter().enumerate() {
            if self.episodes.next_close_ms() < event.watermark_ms() {
                self.episodes.advance(event.watermark_ms(), event.arrival_ms(), alerts);
            }
            while let Some(next) = found.next_if(|next| next.index == index) {
                if let Some(spec) = self.specs.get(next.detector) {
                    self.episodes.apply(spec, next.finding, event.arrival_ms(), alerts);
                }
            }
        }
    }

    /// The whole state, to be written by the caller.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn snapshot(&self) -> Result<Snapshot, CheckpointError> {
        let save = |index: usize| -> Vec<Vec<u8>> {
            let instances = self.slices.iter().filter_map(|slice| slice.detectors.get(index));
            let save = instances.map(|detector| {
                let mut bytes = Vec::new();
                detector.save(&mut bytes);
                bytes
            });
            save.collect()
        };
        let detectors = self.specs.iter().enumerate().map(|(index, spec)| SnapshotOf {
            id: spec.id.to_owned(),
            state_version: spec.state_version,
            slices: save(index),
        });
        Ok(Snapshot {
            next_seq: self.next_seq,
            positions: self.positions.clone(),
            watermarks: self.watermarks.clone(),
            dedup: self.dedup.save()?,
            episodes: self.episodes.save()?,
            detectors: detectors.collect(),
        })
    }

    /// Replaces the state. Detectors that the snapshot does not hold in this version start afresh and
    /// are returned, to be told.
    ///
    /// # Errors
    /// The snapshot does not read.
    pub fn restore(&mut self, snapshot: Snapshot) -> Result<Vec<&'static str>, CheckpointError> {
        self.dedup.load(&snapshot.dedup)?;
        self.episodes = Episodes::load(&snapshot.episodes)?;
        let mut afresh = Vec::new();
        for (index, spec) in self.specs.iter().enumerate() {
            let saved = snapshot.detectors.iter().find(|saved| saved.id == spec.id && saved.state_version == spec.state_version);
            let Some(saved) = saved.filter(|saved| saved.slices.len() == SLICES) else {
                afresh.push(spec.id);
                continue;
            };
            for (slice, bytes) in self.slices.iter_mut().zip(&saved.slices) {
                if let Some(detector) = slice.detectors.get_mut(index) {
                    detector.load(bytes)?;
                }
            }
        }
        self.watermarks = snapshot.watermarks;
        self.next_seq = snapshot.next_seq;
        self.positions = snapshot.positions;
        Ok(afresh)
    }
}

/// Shows all judged events to the detectors of these slices.
fn observe_all(
    first_slice: usize,
    slices: &mut [Slice],
    routes: &Routes,
    mut enabled: Vec<bool>,
    events: &EventBatch,
) -> (Vec<Found>, Vec<bool>) {
    let mut all = Vec::new();
    let mut findings = Findings::default();
    for (index, event) in events.iter().enumerate().filter(|(_, event)| event.is_judged()) {
        for Route { detector, kind, key } in routes.of(&event) {
            let (detector, kind) = (*detector, *kind);
            let Some(key) = event.key(*key) else { continue };
            // The top bits choose the slice; the maps within use the lower ones.
            let slice = (key.hash >> (u64::BITS - SLICES.trailing_zeros())) as usize;
            let instance = slice.checked_sub(first_slice).and_then(|slice| slices.get_mut(slice));
            let Some(instance) = instance.and_then(|slice| slice.detectors.get_mut(detector)) else { continue };
            let Some(on) = enabled.get_mut(detector).filter(|on| **on) else { continue };
            if catch_unwind(AssertUnwindSafe(|| instance.observe(key, &event, &mut findings))).is_err() {
                *on = false;
                findings.drain();
                continue;
            }
            all.extend(findings.drain().map(|finding| Found { index, detector, kind, finding }));
        }
    }
    (all, enabled)
}

//! Runs the detectors over batches and joins their findings into alerts.
//!
//! The engine is a function of the recorded order alone: the same orders give the same alerts,
//! whatever the sizes of batches and the number of threads. It walks a batch for what is global (watermark,
//! repetitions: here), then for what is vouched for (`vouch`), then lets each slice see the events of its keys, epoch
//! by epoch (`epochs`), then joins what was heard in order of sequence, detector and key kind (`heard`, `join`).
//!
//! A detector that panics is caught, switched off and reported; the others go on. What is known of people
//! belongs to the slice, not to a detector: it comes after them, learns from each event that they have seen,
//! and is counted, saved and switched off like one of them. What colleagues vouch for is asked before them. What people
//! are taught ([lessons](crate::teach)) is learnt before the events of the piece that brings it.
//!
//! A checkpoint is the engine's state between two batches, handed out while batches go on (`save`) and taken back at a
//! start (`restore`).

mod accounts;
mod epochs;
mod heard;
mod join;
mod restore;
mod routes;
mod save;
mod slice;
mod vouch;

pub use accounts::Account;
pub(super) use restore::Part;

use super::breaker::{Breakers, OpenBreaker};
use super::common::CommonParts;
use super::dedup::Dedup;
use super::watermark::Watermarks;
use super::{DetectConfig, Enabled, SLICES};
use crate::alert::Alert;
use crate::alert::episode::{Episodes, Limits};
use crate::canary;
use crate::flow::{Change, EventFlow, Order, PartitionId, Positions, Start};
use crate::suppress::{Held, Lists, Suppressions};
use bartizan_core::{EventBatch, KeyHasher, Programs, Spec, State, colleagues, people};
use epochs::Watched;
pub(crate) use heard::Heard;
use heard::join_halves;
pub(crate) use join::TOLD_BESIDE;
use routes::Routes;
use save::Step;
use slice::Slice;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of one batch. The [canary](crate::canary) is set apart and does not count.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Versions of alerts, in order.
    pub alerts: Vec<Alert>,
    /// The same of the canary.
    pub canary: Vec<Alert>,
    /// What suppressions, gates of the detectors themselves or open breakers held back, in order.
    pub held: Vec<Held>,
    /// Events that detectors saw.
    pub judged: u64,
    /// Events older than the watermark: stored, not judged.
    pub late: u64,
    /// Events seen before: stored again over themselves, not judged.
    pub repeated: u64,
    /// Findings by detector.
    pub findings: BTreeMap<&'static str, u64>,
    /// Findings that open breakers folded into campaigns, by detector.
    pub folded: BTreeMap<&'static str, u64>,
    /// Alerts that were closed early, as open ones held more than they may.
    pub closed_early: u64,
    /// Detectors that panicked on this batch and are off from now on.
    pub disabled: Vec<&'static str>,
    /// What each detector said, where that was [asked](Engine::explain).
    pub accounts: Vec<Account>,
}

/// The state machine of detection.
pub struct Engine {
    lateness_ms: i64,
    threads: usize,
    hasher: KeyHasher,
    programs: Programs,
    specs: Vec<&'static Spec>,
    /// Which detectors are on, and at last whether people are learnt and colleagues asked.
    enabled: Vec<bool>,
    /// Does what yields to the hits of other detectors do so?
    yields: bool,
    routes: Routes,
    slices: Vec<Slice>,
    common: CommonParts,
    watermarks: Watermarks,
    dedup: Dedup,
    episodes: Episodes,
    episode_limits: Limits,
    breakers: Breakers,
    next_seq: u64,
    positions: Positions,
    /// When the latest records arrived.
    arrival_ms: i64,
    /// The changes that are in force.
    in_force: Vec<Change>,
    suppressions: Arc<Suppressions>,
    saving: Option<Step>,
    /// Room for what slices say, one for each thread.
    watched: Vec<Watched>,
}

impl Engine {
    /// An engine without state.
    #[must_use]
    pub fn new(config: &DetectConfig, enabled: &Enabled, hasher: KeyHasher) -> Self {
        let common = CommonParts::new(enabled, config.state_bytes_max);
        let slice_bytes_max = (config.state_bytes_max - common.bytes_max()) / SLICES;
        let slices: Vec<_> = (0..SLICES).map(|_| Slice::new(enabled, slice_bytes_max)).collect();
        let specs: Vec<_> = enabled.detectors.iter().map(|(spec, _)| *spec).collect();
        Self {
            lateness_ms: config.lateness_ms,
            // The other half of them prepares what these judge.
            threads: (config.threads / 2).clamp(1, SLICES),
            hasher,
            programs: Programs::default(),
            enabled: vec![true; enabled.detectors.len() + 2],
            yields: true,
            routes: Routes::new(&specs, &slices),
            specs,
            slices,
            common,
            watermarks: Watermarks::default(),
            dedup: Dedup::new(config.dedup_events_max),
            episodes: Episodes::new(config.episodes()),
            episode_limits: config.episodes(),
            breakers: Breakers::new(config.breakers()),
            next_seq: 0,
            positions: Positions::new(),
            arrival_ms: i64::MIN,
            in_force: Vec::new(),
            suppressions: Arc::default(),
            saving: None,
            watched: Vec::new(),
        }
    }

    /// Sequence number of the next record.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Where the order goes on, with the entries that are `recorded` of it.
    #[must_use]
    pub fn start(&self, recorded: Vec<Order>) -> Start {
        Start { positions: self.positions.clone(), next_seq: self.next_seq, in_force: self.in_force.clone(), recorded }
    }

    /// When the latest records arrived, in milliseconds since 1970; the least number if none did.
    #[must_use]
    pub fn arrival_ms(&self) -> i64 {
        self.arrival_ms
    }

    /// The changes that are in force.
    #[must_use]
    pub fn in_force(&self) -> &[Change] {
        &self.in_force
    }

    /// Takes the lists that are in force, after a restore.
    #[must_use]
    pub fn with_suppressions(self, lists: &Lists) -> Self {
        let version =
            self.in_force.iter().find_map(|change| if let Change::Suppressions(version) = change { Some(*version) } else { None });
        Self { suppressions: version.map(|version| lists.of_version(version)).unwrap_or_default(), ..self }
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

    /// Bytes that open episodes hold.
    #[must_use]
    pub fn episodes_bytes(&self) -> usize {
        self.episodes.bytes()
    }

    /// Circuit breakers that are open.
    #[must_use]
    pub fn open_breakers(&self) -> Vec<OpenBreaker> {
        self.breakers.open()
    }

    /// Keys held and keys pushed out, by detector, and of people.
    pub fn state_keys(&mut self) -> Vec<(&'static str, usize, u64)> {
        let mut held: Vec<_> = self.holders().map(|(id, _)| (id, 0, 0)).collect();
        let mut count = |detector: usize, _: usize, state: &mut dyn State| {
            if let Some((_, keys, evicted)) = held.get_mut(detector) {
                *keys += state.len();
                *evicted += state.evicted();
            }
        };
        self.slices.iter_mut().for_each(|slice| slice.each_state(&mut count));
        self.common.each_state(&mut count);
        held
    }

    /// Bytes that the states of all detectors hold.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.slices.iter().map(|slice| slice.budget.held()).sum::<usize>() + self.common.bytes()
    }

    /// What each detector makes of the one event of `flow`, which is taken as the next of the recorded order.
    pub fn explain(&mut self, flow: &mut EventFlow) -> Outcome {
        let (mut outcome, heard) = self.judge(flow, true);
        let heard = join_halves(heard);
        outcome.accounts = self.accounts(&flow.events, &heard);
        self.tell(&flow.events, heard, &mut outcome);
        outcome
    }

    /// Takes the next piece of the recorded order.
    pub fn process(&mut self, flow: &mut EventFlow) -> Outcome {
        let (mut outcome, heard) = self.judge(flow, false);
        self.tell(&flow.events, heard, &mut outcome);
        outcome
    }

    /// Takes the next piece of the recorded order, as far as what detectors say of it. That is for [`Engine::tell`],
    /// of this engine or, to see what other alerts come of it, of another one that judged nothing itself.
    pub(crate) fn judge(&mut self, flow: &mut EventFlow, asked: bool) -> (Outcome, Vec<Heard>) {
        let mut outcome = Outcome::default();
        // The canary comes with the clock, and so would make people's events late that come by the day.
        for partition in flow.order.assigned.iter().filter(|partition| !canary::is_own(partition)) {
            self.watermarks.assign(partition);
        }
        if let Some(suppressions) = flow.suppressions.take() {
            self.suppressions = suppressions;
        }
        self.learn(std::mem::take(&mut flow.lessons), &mut outcome.disabled);
        for change in &flow.order.changes {
            if let Change::BreakersClosed(closings) = change {
                self.breakers.close_all(closings, self.watermarks.current_ms());
            }
        }
        flow.events.hash_keys_with(&self.hasher, &mut self.programs);
        self.mark(flow, &mut outcome);
        self.ask_colleagues(&mut flow.events, &mut outcome.disabled);
        let heard = self.detect(&flow.events, asked, &mut outcome.disabled);
        for partition in flow.order.idle.iter().filter(|partition| !canary::is_own(partition)) {
            self.watermarks.idle(partition, self.lateness_ms);
        }
        self.dedup.advance(self.watermarks.current_ms());
        self.go_past(&flow.order);
        (outcome, heard)
    }

    /// Makes alerts of what was said of judged events.
    pub(crate) fn tell(&mut self, events: &EventBatch, heard: Vec<Heard>, outcome: &mut Outcome) {
        self.join(events, heard, outcome);
        outcome.closed_early = self.episodes.take_closed_early();
        outcome.canary = outcome.alerts.extract_if(.., |alert| canary::is_reserved(&alert.tenant)).collect();
    }

    /// Switches a detector, what is known of people or of colleagues, or [`TOLD_BESIDE`] off, to see what it is worth.
    pub(crate) fn switch_off(&mut self, id: &str) {
        self.yields &= id != TOLD_BESIDE;
        let position = self.holders().position(|(of, _)| of == id);
        position.and_then(|position| self.enabled.get_mut(position)).into_iter().for_each(|on| *on = false);
    }

    /// The detector of a number.
    pub(crate) fn detector(&self, number: usize) -> Option<&'static Spec> {
        self.specs.get(number).copied()
    }

    /// Sets the watermark of each event and whether it is judged.
    fn mark(&mut self, flow: &mut EventFlow, outcome: &mut Outcome) {
        let mut index = 0;
        for (run, events) in flow.order.runs.iter().zip(&flow.events_by_run) {
            let is_canary = canary::is_own(&run.partition);
            let mut watermark_ms = self.watermarks.current_ms();
            let mut speaking = (!is_canary && *events > 0).then(|| self.watermarks.speaking(&run.partition, self.lateness_ms));
            for _ in 0..*events {
                let Some(event) = flow.events.get(index) else { return };
                let (time_ms, hash) = (event.time_ms(), event.identity());
                let late = time_ms < watermark_ms.saturating_add(i64::from(sabotaged!(LatenessOffByOne)));
                let first = !late && (self.dedup.first(hash, time_ms) || sabotaged!(DedupForgotten));
                if let Some(speaking) = &mut speaking {
                    watermark_ms = speaking.observe(time_ms.min(event.arrival_ms()));
                }
                if let Some(record) = flow.events.records_mut().get_mut(index) {
                    (record.watermark_ms, record.judged) = (watermark_ms, first);
                }
                outcome.judged += u64::from(first && !is_canary);
                outcome.late += u64::from(late && !is_canary);
                outcome.repeated += u64::from(!late && !first && !is_canary);
                index += 1;
            }
        }
    }

    /// The entry of the order is done.
    fn go_past(&mut self, order: &Order) {
        self.next_seq = order.next_seq();
        order.advance(&mut self.positions);
        if !order.runs.is_empty() {
            self.arrival_ms = order.arrival_ms;
        }
        order.changes.iter().for_each(|change| change.put_in_force(&mut self.in_force));
    }

    /// What holds state, with its version: the detectors, people, and colleagues.
    fn holders(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let shared = [(people::ID, people::STATE_VERSION), (colleagues::ID, colleagues::STATE_VERSION)];
        self.specs.iter().map(|spec| (spec.id, spec.state_version)).chain(shared)
    }
}

//! Runs the detectors over batches and joins their findings into alerts.
//!
//! The engine is a function of the recorded order alone: the same orders give the same alerts,
//! whatever the sizes of batches and the number of threads. It first walks the batch once for what is
//! global (watermark, repetitions), then lets each slice see the events of its keys, then joins the
//! findings in order of sequence, detector and key kind.
//!
//! What is shared between keys (what all principals of a tenant do) is read as of the epochs before, and epochs are
//! counted in sequence numbers and watermarks, never in batches: a batch is cut where one ends
//! ([`bartizan_core::common`]).
//!
//! A detector that panics is caught, switched off and reported; the others go on. What is known of people
//! belongs to the slice, not to a detector: it comes after them, learns from each event that they have seen,
//! and is counted, saved and switched off like one of them. What colleagues vouch for is asked before them. What people
//! are taught ([lessons](crate::teach)) is learnt before the events of the piece that brings it.
//!
//! A checkpoint is the engine's state between two batches. [`Engine::begin_checkpoint`] marks it, and
//! [`Engine::save_some`] hands it out in parts while batches go on being processed: whatever is about to
//! change is handed out first, so that the flow never stands still for the whole of it.

use super::breaker::{Breakers, OpenBreaker};
use super::checkpoint::{CheckpointError, Header, Of, Parts, Saved, StateId};
use super::common::CommonParts;
use super::dedup::{Dedup, DedupHeader};
use super::watermark::Watermarks;
use super::{DetectConfig, Enabled, SLICES};
use crate::alert::Alert;
use crate::alert::episode::{Episodes, Limits};
use crate::canary;
use crate::flow::{Change, EventFlow, Order, PartitionId, Positions, Start};
use crate::suppress::{Held, Lists, Suppressions};
use bartizan_core::{
    Budget, Colleagues, Common, Detector, Epoch, Event, EventBatch, Excuse, Finding, Findings, Key, KeyHasher, KeyKind, Kind, People,
    Report, Said, Spec, State, Trust, colleagues, people, state,
};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// Slots, events or episodes that are handed out at once, in steps of which the bytes are looked at.
const SAVED_AT_ONCE: usize = 64;
const EVENTS_SAVED_AT_ONCE: usize = 8_192;

/// What is found beside a hit that another detector tells of the same event.
pub(crate) const TOLD_BESIDE: &str = "told_beside";
/// Events for fewer of which it takes longer to start threads than to look at them.
const EVENTS_FOR_THREADS: usize = 256;

/// Parts of a checkpoint that wait for one loader.
const PARTS_WAITING_MAX: usize = 64;

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

/// What a detector said of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// The detector.
    pub detector: &'static str,
    /// The key that it looked at the event for.
    pub key: KeyKind,
    /// What it said. Nothing: it saw nothing worth a word.
    pub said: Vec<Said>,
    /// Id of the suppression that holds back what was found.
    pub suppression: Option<String>,
}

struct Slice {
    detectors: Vec<Box<dyn Detector>>,
    people: People,
    colleagues: Colleagues,
    budget: Arc<Budget>,
}

impl Slice {
    fn new(enabled: &Enabled, bytes_max: usize) -> Self {
        let budget = Arc::new(Budget::new(bytes_max));
        let detectors = enabled.detectors.iter().map(|(spec, parameters)| (spec.build)(parameters, &budget)).collect();
        Self { detectors, people: People::new(&budget), colleagues: Colleagues::new(&budget), budget }
    }

    /// Lets a detector see an event, or people be learnt from it when all have.
    fn observe(&mut self, route: &Route, key: Key, event: &Event<'_>, common: Option<&dyn Common>, findings: &mut Findings) {
        match self.detectors.get_mut(route.detector) {
            Some(detector) if route.by_people => detector.observe(key, &self.people.known(key, event).with_common(common), findings),
            Some(detector) => detector.observe(key, &event.with_common(common), findings),
            None => self.people.learn(key, event, findings),
        }
    }

    /// Teaches one of its people. False: that failed.
    fn teach(&mut self, key: Key, event: &Event<'_>) -> bool {
        let taught = catch_unwind(AssertUnwindSafe(|| self.people.teach(key, event))).is_ok();
        self.keep_within_budget(event.watermark_ms());
        taught
    }

    /// Makes room when the last event took the slice beyond its share.
    fn keep_within_budget(&mut self, watermark_ms: i64) {
        if self.budget.excess() > 0 {
            let (detectors, people, colleagues) = (&mut self.detectors, &mut self.people, &mut self.colleagues);
            state::give_way(&self.budget, watermark_ms, &mut |visit| {
                detectors.iter_mut().for_each(|detector| detector.each_state(visit));
                visit(people.state());
                visit(colleagues.state());
            });
        }
    }

    /// Loads a part into one state of a detector, of people or of colleagues.
    fn load(&mut self, detector: usize, state_number: usize, part: Part) -> Result<(), postcard::Error> {
        let mut result = Err(postcard::Error::DeserializeBadEncoding);
        self.each_state(&mut |of, number, state| {
            if (of, number) == (detector, state_number) {
                result = part.load(state);
            }
        });
        result
    }

    /// Shows each state with the number of its detector and its own within that; people and colleagues come last.
    fn each_state(&mut self, visit: &mut dyn FnMut(usize, usize, &mut dyn State)) {
        for (number, detector) in self.detectors.iter_mut().enumerate() {
            let mut states = 0;
            detector.each_state(&mut |state| {
                visit(number, states, state);
                states += 1;
            });
        }
        visit(self.detectors.len(), 0, self.people.state());
        visit(self.detectors.len() + 1, 0, self.colleagues.state());
    }
}

/// One key kind of one detector.
struct Route {
    /// Its number; one more than the last is that of people.
    detector: usize,
    /// Does it go by people?
    by_people: bool,
    /// Is it where people are learnt?
    learns: bool,
    /// Position in the detector's list of key kinds.
    kind: usize,
    key: KeyKind,
}

/// For each kind of event, where it goes, in the order of findings.
struct Routes {
    of: [Vec<Route>; Kind::ALL.len()],
    /// Does any detector go by people?
    learn_people: bool,
}

impl Routes {
    fn new(specs: &[&'static Spec], slices: &[Slice]) -> Self {
        let detectors = slices.first().map_or(&[][..], |slice| &slice.detectors);
        let learn_people = detectors.iter().any(|detector| detector.goes_by_people());
        let mut routes = Self { of: Default::default(), learn_people };
        for (kind_of_event, list) in Kind::ALL.iter().zip(&mut routes.of) {
            for (detector, (spec, instance)) in specs.iter().zip(detectors).enumerate() {
                let keys = spec.keys.iter().enumerate().filter(|(_, key)| instance.looks_at(**key, *kind_of_event));
                let by_people = |key: KeyKind| instance.goes_by_people() && key == people::KEY;
                list.extend(keys.map(|(kind, key)| Route { detector, by_people: by_people(*key), learns: false, kind, key: *key }));
            }
            if People::looks_at(*kind_of_event) && learn_people {
                list.push(Route { detector: detectors.len(), by_people: false, learns: true, kind: 0, key: people::KEY });
            }
        }
        routes
    }

    fn of(&self, event: &Event<'_>) -> &[Route] {
        self.of.get(event.kind() as usize).map_or(&[], Vec::as_slice)
    }
}

/// What was said, with its place in the order of all that was.
#[derive(Clone, Debug)]
pub(crate) struct Heard<T = Said> {
    /// Position of the event in its batch.
    pub(crate) index: usize,
    /// Number of the detector.
    pub(crate) detector: usize,
    /// Position of the key in the detector's list.
    pub(crate) kind: usize,
    /// What was said.
    pub(crate) said: T,
}

/// Puts what slices said in order.
fn in_order<T>(heard: &mut [Heard<T>]) {
    // Stable: what one call said keeps its order.
    heard.sort_by_key(|heard| (heard.index, heard.detector, heard.kind));
}

/// What some slices said, and which detectors are still on.
#[derive(Default)]
struct Watched {
    heard: Vec<Heard>,
    reports: Vec<Heard<Report>>,
    enabled: Vec<bool>,
}

/// The state machine of detection.
pub struct Engine {
    lateness_ms: i64,
    threads: usize,
    hasher: KeyHasher,
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
}

/// What comes next of a checkpoint that is being handed out.
#[derive(Clone, Copy, Debug)]
enum Step {
    Dedup,
    Episodes,
    Slice(usize),
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
        }
    }

    /// Shows the states of slices from one on, and at last those of the common parts, which follow as one more slice.
    fn each_state(&mut self, first_slice: usize, mut visit: impl FnMut(StateId, &mut dyn State)) {
        for (number, slice) in self.slices.iter_mut().enumerate().skip(first_slice) {
            slice.each_state(&mut |detector, state_number, state| visit(state_id(number, detector, state_number), state));
        }
        self.common.each_state(&mut |detector, state_number, state| visit(state_id(SLICES, detector, state_number), state));
    }

    /// What holds state, with its version: the detectors, people, and colleagues.
    fn holders(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let shared = [(people::ID, people::STATE_VERSION), (colleagues::ID, colleagues::STATE_VERSION)];
        self.specs.iter().map(|spec| (spec.id, spec.state_version)).chain(shared)
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
        flow.events.hash_keys(&self.hasher);
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

    /// Learns what people vouch for, before the next events.
    fn learn(&mut self, mut lessons: EventBatch, disabled: &mut Vec<&'static str>) {
        let is_on = self.enabled.get_mut(self.specs.len()).filter(|on| **on);
        let Some(is_on) = is_on.filter(|_| !lessons.is_empty() && self.routes.learn_people) else { return };
        lessons.hash_keys(&self.hasher);
        let watermark_ms = self.watermarks.current_ms();
        lessons.records_mut().iter_mut().for_each(|record| record.watermark_ms = watermark_ms);
        for event in lessons.iter() {
            let Some(key) = event.key(people::KEY) else { continue };
            if self.slices.get_mut(slice_of(key)).is_some_and(|slice| !slice.teach(key, &event)) {
                *is_on = false;
                disabled.push(people::ID);
                return;
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

    /// Sets the watermark of each event and whether it is judged.
    fn mark(&mut self, flow: &mut EventFlow, outcome: &mut Outcome) {
        let mut index = 0;
        for (run, events) in flow.order.runs.iter().zip(&flow.events_by_run) {
            let (is_canary, mut run_newest_ms) = (canary::is_own(&run.partition), None);
            for _ in 0..*events {
                let Some(event) = flow.events.get(index) else { return };
                let (time_ms, hash) = (event.time_ms(), event.identity());
                let late = time_ms < self.watermarks.current_ms().saturating_add(i64::from(sabotaged!(LatenessOffByOne)));
                let first = !late && (self.dedup.first(hash, time_ms) || sabotaged!(DedupForgotten));
                let newest_ms = time_ms.min(event.arrival_ms());
                // Only what is newer than all before it in its run can move anything.
                if !is_canary && run_newest_ms.is_none_or(|run_newest_ms| newest_ms > run_newest_ms) {
                    run_newest_ms = Some(newest_ms);
                    self.watermarks.observe(&run.partition, newest_ms, self.lateness_ms);
                }
                let watermark_ms = self.watermarks.current_ms();
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

    /// Lets colleagues vouch for sign-ins before any slice sees them: a tenant's people are on all slices.
    fn ask_colleagues(&mut self, events: &mut EventBatch, disabled: &mut Vec<&'static str>) {
        let number = self.specs.len() + 1;
        let is_asked = self.enabled.get(number).is_some_and(|on| *on) && self.routes.learn_people;
        for index in 0..if is_asked { events.len() } else { 0 } {
            // The canary's names are new in each round, at addresses and with devices that are not.
            let counts = |event: &Event<'_>| event.is_judged() && Colleagues::looks_at(event) && !canary::is_reserved(event.tenant());
            let Some(event) = events.get(index).filter(counts) else { continue };
            let Some(key) = event.key(colleagues::KEY) else { continue };
            let Some(slice) = self.slices.get_mut(slice_of(key)) else { continue };
            let Ok(voucher) = catch_unwind(AssertUnwindSafe(|| slice.colleagues.observe(key, &event))) else {
                self.enabled.get_mut(number).into_iter().for_each(|on| *on = false);
                disabled.push(colleagues::ID);
                return;
            };
            slice.keep_within_budget(event.watermark_ms());
            if let Some(record) = events.records_mut().get_mut(index) {
                record.voucher = voucher;
            }
        }
    }

    fn detect(&mut self, events: &EventBatch, asked: bool, disabled: &mut Vec<&'static str>) -> Vec<Heard> {
        if self.common.is_empty() {
            return self.detect_some(events, 0..events.len(), asked, disabled);
        }
        let (mut heard, mut start) = (Vec::new(), 0);
        while let Some(epoch) = events.get(start).map(|event| Epoch::of(&event)) {
            // By number: a view of all events cannot begin in their middle without going through those before.
            let goes_on = |index: &usize| events.get(*index).is_some_and(|event| Epoch::of(&event) == epoch);
            let end = start + (start..events.len()).take_while(goes_on).count();
            self.common.advance(epoch, &mut self.enabled, |number| disabled.extend(self.specs.get(number).map(|spec| spec.id)));
            heard.append(&mut self.detect_some(events, start..end, asked, disabled));
            start = end;
        }
        heard
    }

    /// Lets the slices see events of one epoch.
    fn detect_some(&mut self, events: &EventBatch, range: Range<usize>, asked: bool, disabled: &mut Vec<&'static str>) -> Vec<Heard> {
        let threads = if range.len() < EVENTS_FOR_THREADS { 1 } else { self.threads };
        let per_thread = SLICES.div_ceil(threads);
        let (routes, enabled, suppressions) = (&self.routes, &self.enabled, &*self.suppressions);
        let watch = Watch { routes, suppressions, common: &self.common, asked };
        let run =
            |number: usize, slices: &mut [Slice]| observe_all(number * per_thread, slices, &watch, enabled.clone(), events, range.clone());
        let mut results: Vec<Watched> = Vec::new();
        if threads == 1 {
            results.push(run(0, &mut self.slices));
        } else {
            std::thread::scope(|scope| {
                let run = &run;
                let parts = self.slices.chunks_mut(per_thread).enumerate();
                let handles: Vec<_> = parts.map(|(number, slices)| scope.spawn(move || run(number, slices))).collect();
                results.extend(handles.into_iter().filter_map(|handle| handle.join().ok()));
            });
        }
        let ids: Vec<_> = self.holders().map(|(id, _)| id).collect();
        for (position, (on, id)) in self.enabled.iter_mut().zip(ids).enumerate() {
            let still = results.iter().all(|of| of.enabled.get(position).copied().unwrap_or(true));
            if *on && !still {
                *on = false;
                disabled.push(id);
            }
        }
        let (mut heard, mut reports) = (Vec::new(), Vec::new());
        for mut of in results {
            heard.append(&mut of.heard);
            reports.append(&mut of.reports);
        }
        in_order(&mut heard);
        in_order(&mut reports);
        let watermark_ms = |index| events.get(index).map_or(i64::MIN, |event| event.watermark_ms());
        self.common.add(reports.into_iter().map(|of| (of.detector, watermark_ms(of.index), of.said)));
        heard
    }

    /// What the detectors that look at the first event said of it.
    fn accounts(&self, events: &EventBatch, heard: &[Heard]) -> Vec<Account> {
        let Some(event) = events.get(0).filter(Event::is_judged) else { return Vec::new() };
        let routes = self.routes.of(&event).iter().filter(|route| event.key(route.key).is_some());
        let account = |route: &Route| {
            let of_route = |heard: &&Heard| (heard.index, heard.detector, heard.kind) == (0, route.detector, route.kind);
            let detector = self.specs.get(route.detector)?.id;
            Some(Account {
                detector,
                key: route.key,
                said: heard.iter().filter(of_route).map(|heard| heard.said.clone()).collect(),
                suppression: self.suppressions.of(&event, Some(detector)).map(|by| by.id.clone()),
            })
        };
        routes.filter_map(account).collect()
    }

    /// Does a detector that yields to none find a hit there?
    fn is_told_hit(&self, heard: &Heard) -> bool {
        let yields = self.specs.get(heard.detector).is_none_or(|spec| spec.yields);
        matches!(&heard.said, Said::Finding(finding) if !yields && finding.subjects.iter().any(|subject| subject.hit))
    }

    /// Joins findings into episodes and closes episodes as the watermark passes them.
    fn join(&mut self, events: &EventBatch, heard: Vec<Heard>, outcome: &mut Outcome) {
        let mut heard = heard.into_iter().peekable();
        for (index, event) in events.iter().enumerate() {
            if self.episodes.next_close_ms() < event.watermark_ms() {
                self.episodes.advance(event.watermark_ms(), event.arrival_ms(), &mut outcome.alerts);
            }
            self.breakers.advance(event.watermark_ms());
            let of_event: Vec<Heard> = std::iter::from_fn(|| heard.next_if(|next| next.index == index)).collect();
            let of_event = join_halves(of_event);
            let has_hit = self.yields && of_event.iter().any(|heard| self.is_told_hit(heard));
            for next in of_event {
                let Some(spec) = self.specs.get(next.detector) else { continue };
                if canary::is_reserved(event.tenant()) {
                    // Whatever else it is: an attack on the reserved names is to be told.
                    if let Said::Finding(finding) = next.said {
                        self.episodes.apply(spec, finding, event.arrival_ms(), &mut outcome.alerts);
                    }
                    continue;
                }
                match (next.said, self.suppressions.of(&event, Some(spec.id))) {
                    (Said::Finding(Finding { key, severity, reason, .. }), None) if spec.yields && has_hit => {
                        outcome.held.push(Held::excused(spec.id, &event, Excuse { gate: TOLD_BESIDE, key, severity, reason }));
                    }
                    (Said::Finding(finding), by) => {
                        *outcome.findings.entry(spec.id).or_default() += 1;
                        match by {
                            Some(by) => outcome.held.push(Held::suppressed(by, spec.id, &event, finding)),
                            None => self.take_finding(spec, &event, finding, outcome),
                        }
                    }
                    (Said::Excuse(excuse), _) => outcome.held.push(Held::excused(spec.id, &event, excuse)),
                    (Said::Remark(_) | Said::Half(..), _) => {}
                }
            }
        }
    }

    /// Joins a finding into its episode, or folds it where it would open one and the breaker is open.
    fn take_finding(&mut self, spec: &'static Spec, event: &Event<'_>, finding: Finding, outcome: &mut Outcome) {
        if let Some(open) = self.breakers.open_of(spec.id, &finding.tenant)
            && !self.episodes.goes_on(spec, &finding)
        {
            *outcome.folded.entry(spec.id).or_default() += 1;
            outcome.held.push(Held::folded(spec.id, event, &finding));
            let (spec, campaign) = open.fold(spec, finding);
            self.episodes.apply(&spec, campaign, event.arrival_ms(), &mut outcome.alerts);
            return;
        }
        let tenant = finding.tenant.clone();
        if self.episodes.apply(spec, finding, event.arrival_ms(), &mut outcome.alerts) {
            self.breakers.count(spec.id, &tenant, event.time_ms());
        }
    }

    /// Begins a checkpoint of the state as it is now, and hands out its first parts. One that was not
    /// handed out to its end is given up.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn begin_checkpoint(&mut self, parts: &mut Parts) -> Result<(), CheckpointError> {
        let header = Header {
            next_seq: self.next_seq,
            positions: self.positions.clone(),
            arrival_ms: self.arrival_ms,
            in_force: self.in_force.clone(),
            watermarks: self.watermarks.clone(),
            dedup: self.dedup.begin_save(),
            episodes: self.episodes.begin_save(),
            breakers: self.breakers.clone(),
            slices: SLICES,
            detectors: self
                .holders()
                .map(|(id, version)| {
                    let forgotten = sabotaged!(DetectorNotSaved) && id == "credential_stuffing";
                    (id.to_owned(), version + u32::from(forgotten))
                })
                .collect(),
        };
        parts.add(Of::Header, |out| {
            *out = postcard::to_extend(&header, std::mem::take(out))?;
            Ok::<_, CheckpointError>(())
        })?;
        let mut result = Ok(());
        self.each_state(0, |id, state| {
            let add = |out: &mut Vec<u8>| {
                state.begin_save(out);
                Ok::<_, CheckpointError>(())
            };
            if result.is_ok() {
                result = parts.add(Of::State(id), add);
            }
        });
        result?;
        self.saving = Some(Step::Dedup);
        parts.add(Of::Reports, |out| self.common.save_reports(out))
    }

    /// Is a checkpoint being handed out?
    #[must_use]
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Hands out what has changed since the last call, as it was at the beginning, and about `bytes` more.
    /// True when that was all.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn save_some(&mut self, bytes: usize, parts: &mut Parts) -> Result<bool, CheckpointError> {
        self.save_changed(parts)?;
        let enough = parts.len() + bytes;
        while let Some(step) = self.saving {
            if parts.len() >= enough {
                return Ok(false);
            }
            self.saving = match step {
                Step::Dedup => {
                    let done = parts.add(Of::Dedup, |out| self.dedup.save_some(EVENTS_SAVED_AT_ONCE, out))?;
                    Some(if done { Step::Episodes } else { step })
                }
                Step::Episodes => {
                    let done = parts.add(Of::Episodes, |out| self.episodes.save_some(SAVED_AT_ONCE, out))?;
                    Some(if done { Step::Slice(0) } else { step })
                }
                Step::Slice(number) => {
                    let done = match self.slices.get_mut(number) {
                        Some(slice) => save_slice(number, &mut |visit| slice.each_state(visit), enough, parts)?,
                        None => save_slice(number, &mut |visit| self.common.each_state(visit), enough, parts)?,
                    };
                    if done { Some(Step::Slice(number + 1)).filter(|_| number < SLICES) } else { Some(step) }
                }
            };
        }
        parts.add(Of::End, |_| Ok::<_, CheckpointError>(()))?;
        Ok(true)
    }

    /// Hands out what was written before its turn, so that it does not pile up.
    fn save_changed(&mut self, parts: &mut Parts) -> Result<(), CheckpointError> {
        let first = match self.saving {
            None => return Ok(()),
            Some(Step::Slice(number)) => number,
            Some(_) => 0,
        };
        parts.add(Of::Episodes, |out| self.episodes.save_some(0, out))?;
        for (number, slice) in self.slices.iter_mut().enumerate().skip(first) {
            save_slice_by(number, &mut |visit| slice.each_state(visit), 0, parts)?;
        }
        save_slice_by(SLICES, &mut |visit| self.common.each_state(visit), 0, parts)?;
        Ok(())
    }

    /// Replaces the state. Detectors that the checkpoint does not hold in this version start afresh and
    /// are returned, to be told. After an error the engine is of no use.
    ///
    /// # Errors
    /// The checkpoint cannot be read.
    pub fn restore(&mut self, mut saved: Saved) -> Result<Vec<&'static str>, CheckpointError> {
        let header = saved.header()?;
        let position = |(id, version): (&str, u32)| header.detectors.iter().position(|of| (of.0.as_str(), of.1) == (id, version));
        // For each detector of the checkpoint, which of ours it is.
        let mut ours = vec![None; header.detectors.len()];
        let mut afresh = Vec::new();
        for (number, holder) in self.holders().enumerate() {
            match position(holder).filter(|_| header.slices == SLICES).and_then(|position| ours.get_mut(position)) {
                Some(own) => *own = Some(number),
                None => afresh.push(holder.0),
            }
        }
        self.dedup.begin_load(header.dedup);
        self.episodes = Episodes::new(self.episode_limits);
        self.load_parts(&mut saved, &ours)?;
        self.dedup.end_load(header.dedup)?;
        if self.episodes.len() != header.episodes {
            return Err(saved.damaged(&"episodes are missing"));
        }
        if sabotaged!(DedupNotRestored) {
            self.dedup.begin_load(DedupHeader::default());
        }
        if sabotaged!(EpisodesNotRestored) {
            self.episodes = Episodes::default();
        }
        if !sabotaged!(WatermarksNotRestored) {
            self.watermarks = header.watermarks;
        }
        self.breakers = header.breakers.within(self.breakers.limits());
        self.next_seq = header.next_seq;
        self.positions = header.positions;
        self.arrival_ms = header.arrival_ms;
        self.in_force = header.in_force;
        Ok(afresh)
    }

    /// Reads all parts on this thread, while others load slices of their own from them.
    fn load_parts(&mut self, saved: &mut Saved, ours: &[Option<usize>]) -> Result<(), CheckpointError> {
        let Self { slices, dedup, episodes, common, .. } = self;
        // At a start nothing else has to do yet.
        let loaders = std::thread::available_parallelism().map_or(1, NonZero::get).min(SLICES);
        let per_loader = SLICES.div_ceil(loaders);
        std::thread::scope(|scope| {
            let start = |(number, slices)| {
                let (sender, parts) = sync_channel(PARTS_WAITING_MAX);
                (sender, scope.spawn(move || load_slices(number * per_loader, slices, ours, parts)))
            };
            let (senders, loaders): (Vec<_>, Vec<_>) = slices.chunks_mut(per_loader).enumerate().map(start).unzip();
            let read = read_parts(saved, dedup, episodes, common, ours, |id, part| {
                let sender = senders.get(usize::from(id.slice) / per_loader);
                // A loader that is gone says why when it is joined; one that never was is a slice that is not ours.
                sender.is_none_or(|sender| sender.send((id, part)).is_ok())
            });
            let read = read.and_then(|()| Ok(common.end_load(ours)?));
            drop(senders);
            let loaded = loaders.into_iter().map(|loader| loader.join().unwrap_or_else(|_| Err(saved.damaged(&"it cannot be loaded"))));
            loaded.fold(read, Result::and)
        })
    }
}

/// What a loader is given: content of a state, and whether it is its header.
pub(super) enum Part {
    Header(Vec<u8>),
    Slots(Vec<u8>),
}

impl Part {
    /// Loads it into its state.
    pub(super) fn load(&self, state: &mut dyn State) -> Result<(), postcard::Error> {
        match self {
            Self::Header(bytes) => state.begin_load(bytes),
            Self::Slots(bytes) => state.load_some(bytes),
        }
    }
}

/// Takes what is not of slices, and gives the rest to `load` until that wants no more.
fn read_parts(
    saved: &mut Saved,
    dedup: &mut Dedup,
    episodes: &mut Episodes,
    common: &mut CommonParts,
    ours: &[Option<usize>],
    load: impl Fn(StateId, Part) -> bool,
) -> Result<(), CheckpointError> {
    while let Some((of, bytes)) = saved.next_part()? {
        let goes_on = match of {
            Of::Header | Of::End => return Err(saved.damaged(&"a second header")),
            Of::Dedup => dedup.load_some(bytes).map(|()| true)?,
            Of::Episodes => episodes.load_some(bytes).map(|()| true)?,
            Of::Reports => common.load_reports(bytes, ours).map(|()| true)?,
            Of::State(id) | Of::Slots(id) => {
                let part = if matches!(of, Of::State(_)) { Part::Header(bytes.to_vec()) } else { Part::Slots(bytes.to_vec()) };
                if usize::from(id.slice) == SLICES { common.load(id, part, ours).map(|()| true)? } else { load(id, part) }
            }
        };
        if !goes_on {
            return Ok(());
        }
    }
    Ok(())
}

/// Loads the parts of some slices, from `first_slice` on, until there are no more.
fn load_slices(
    first_slice: usize,
    slices: &mut [Slice],
    ours: &[Option<usize>],
    parts: Receiver<(StateId, Part)>,
) -> Result<(), CheckpointError> {
    for (id, part) in parts {
        let slice = usize::from(id.slice).checked_sub(first_slice).and_then(|slice| slices.get_mut(slice));
        // A detector that is none of ours any more is left out.
        let (Some(slice), Some(Some(own))) = (slice, ours.get(usize::from(id.detector))) else { continue };
        slice.load(*own, usize::from(id.state), part)?;
    }
    for slice in slices {
        let mut result = Ok(());
        slice.each_state(&mut |detector, _, state| {
            if result.is_ok() && ours.contains(&Some(detector)) {
                result = state.end_load();
            }
        });
        result?;
    }
    Ok(())
}

fn state_id(slice: usize, detector: usize, state: usize) -> StateId {
    StateId { slice: slice as u16, detector: detector as u16, state: state as u16 }
}

/// Shows states, each with the number of its detector and its own within that, to whom it is given.
type EachNumbered<'a> = dyn FnMut(&mut dyn FnMut(usize, usize, &mut dyn State)) + 'a;

/// Hands out slots of a slice until `parts` holds `enough` bytes; true when that were all.
fn save_slice(number: usize, each_state: &mut EachNumbered<'_>, enough: usize, parts: &mut Parts) -> Result<bool, CheckpointError> {
    while parts.len() < enough {
        if save_slice_by(number, each_state, SAVED_AT_ONCE, parts)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Hands out up to `slots` slots of each state of a slice; true when that were all.
fn save_slice_by(number: usize, each_state: &mut EachNumbered<'_>, slots: usize, parts: &mut Parts) -> Result<bool, CheckpointError> {
    let mut result = Ok(true);
    each_state(&mut |detector, state_number, state| {
        let id = Of::Slots(state_id(number, detector, state_number));
        if let Ok(done) = &mut result {
            match parts.add(id, |out| Ok::<_, CheckpointError>(state.save_some(slots, out))) {
                Ok(all) => *done &= all,
                Err(error) => result = Err(error),
            }
        }
    });
    result
}

/// What is left when the halves of one event are joined.
fn join_halves(of_event: Vec<Heard>) -> Vec<Heard> {
    if !of_event.iter().any(|heard| matches!(heard.said, Said::Half(..))) {
        return of_event;
    }
    let joined = |one: &Heard| {
        let of_detector = of_event.iter().filter(|heard| heard.detector == one.detector).map(|heard| &heard.said);
        Heard { said: one.said.clone().joined(of_detector), ..*one }
    };
    of_event.iter().map(joined).collect()
}

/// The slice that a key belongs to.
fn slice_of(key: Key) -> usize {
    // The top bits choose it; the maps within use the lower ones.
    (key.hash >> (u64::BITS - SLICES.trailing_zeros())) as usize
}

/// What all slices go by.
struct Watch<'a> {
    routes: &'a Routes,
    suppressions: &'a Suppressions,
    common: &'a CommonParts,
    asked: bool,
}

/// Shows the judged events of a range to the detectors of these slices.
fn observe_all(
    first_slice: usize,
    slices: &mut [Slice],
    watch: &Watch<'_>,
    enabled: Vec<bool>,
    events: &EventBatch,
    range: Range<usize>,
) -> Watched {
    let mut all = Watched { enabled, ..Watched::default() };
    let mut findings = Findings::default();
    findings.ask(watch.asked);
    for index in range {
        let Some(event) = events.get(index).filter(Event::is_judged) else { continue };
        findings.believe(Trust::Full);
        for route in watch.routes.of(&event) {
            let Route { detector, kind, .. } = *route;
            let Some(key) = event.key(route.key) else { continue };
            let Some(slice) = slice_of(key).checked_sub(first_slice).and_then(|slice| slices.get_mut(slice)) else { continue };
            let Some(on) = all.enabled.get_mut(detector).filter(|on| **on) else { continue };
            if route.learns && watch.suppressions.of(&event, None).is_some() {
                continue;
            }
            let (trust, common) = (findings.trust(), watch.common.of(detector));
            if catch_unwind(AssertUnwindSafe(|| slice.observe(route, key, &event, common, &mut findings))).is_err() {
                *on = false;
                findings.drain();
                findings.reports();
                findings.believe(trust);
                continue;
            }
            if !route.by_people {
                // Its slice may be another thread's, so what it thinks must not matter here either.
                findings.believe(trust);
            }
            slice.keep_within_budget(event.watermark_ms());
            all.heard.extend(findings.drain().map(|said| Heard { index, detector, kind, said }));
            all.reports.extend(findings.reports().map(|said| Heard { index, detector, kind, said }));
        }
    }
    all
}

//! Feeds events to a detector as the daemon does.

use crate::event::TestEvent;
use bartizan_core::common::Waiting;
use bartizan_core::state::EachState;
use bartizan_core::{
    Budget, Colleagues, Common, Detector, Epoch, Event, EventBatch, Finding, Findings, Key, KeyHasher, Parameters, People, Reports, Said,
    Spec, State, Trust, colleagues, people,
};
use std::ops::Range;
use std::sync::Arc;

/// How far events may come out of order.
pub const LATENESS_MS: i64 = 600_000;

/// Bytes of one slice, unless a scenario says otherwise.
const BYTES_MAX: usize = 64 << 20;
/// Slots saved at a time.
const SAVED_AT_ONCE: usize = 7;

/// One detector over a number of slices.
pub struct Runner {
    spec: &'static Spec,
    slices: Vec<Slice>,
    common: CommonPart,
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
        Self::with(spec, &Parameters::defaults(spec.parameters), BYTES_MAX, slices)
    }

    /// A detector with these values, and so many bytes for each slice.
    #[must_use]
    pub fn with(spec: &'static Spec, parameters: &Parameters, bytes_max: usize, slices: usize) -> Self {
        let slices = (0..slices.max(1)).map(|_| Slice::new(spec, parameters, bytes_max)).collect();
        Self { spec, slices, common: CommonPart::new(spec, parameters, bytes_max), seq: 0, watermark_ms: i64::MIN, spares: true }
    }

    /// Shows the detector also the events that it does not look at.
    #[must_use]
    pub fn showing_all(self) -> Self {
        Self { spares: false, ..self }
    }

    /// Feeds events in this order and returns what was found, in the order the daemon would.
    pub fn feed(&mut self, events: &[TestEvent]) -> Vec<Finding> {
        let finding = |said| if let Said::Finding(finding) = said { Some(finding) } else { None };
        self.hear(events, false).into_iter().filter_map(finding).collect()
    }

    /// Feeds events in this order and returns all that was said, remarks of every event included.
    pub fn ask(&mut self, events: &[TestEvent]) -> Vec<Said> {
        self.hear(events, true)
    }

    fn hear(&mut self, events: &[TestEvent], asked: bool) -> Vec<Said> {
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
        self.detect(&mut batch, asked)
    }

    fn detect(&mut self, batch: &mut EventBatch, asked: bool) -> Vec<Said> {
        self.look_at_colleagues(batch);
        let (mut heard, mut start) = (Vec::new(), 0);
        while let Some(epoch) = batch.get(start).map(|event| Epoch::of(&event)) {
            let goes_on = |index: &usize| batch.get(*index).is_some_and(|event| Epoch::of(&event) == epoch);
            let end = start + (start..batch.len()).take_while(goes_on).count();
            self.common.advance(epoch);
            heard.append(&mut self.detect_some(batch, start..end, asked));
            start = end;
        }
        heard
    }

    /// Events of one epoch.
    fn detect_some(&mut self, batch: &EventBatch, range: Range<usize>, asked: bool) -> Vec<Said> {
        let count = self.slices.len() as u64;
        let (mut heard, mut reports) = (Vec::new(), Vec::new());
        let mut findings = Findings::default();
        findings.ask(asked);
        // Slice by slice, as threads would, so that a slice that looked at another would show.
        for (index, slice) in self.slices.iter_mut().enumerate() {
            for event in range.clone().filter_map(|index| batch.get(index)) {
                findings.believe(Trust::Full);
                for (order, kind) in self.spec.keys.iter().enumerate() {
                    let Some(key) = event.key(*kind).filter(|key| key.hash % count == index as u64) else { continue };
                    if self.spares && !slice.detector.looks_at(*kind, event.kind()) {
                        continue;
                    }
                    slice.observe(key, &event.with_common(self.common.part.as_deref()), &mut findings);
                    heard.extend(findings.drain().map(|said| (event.seq(), order, said)));
                    let waiting = |report| Waiting { detector: 0, watermark_ms: event.watermark_ms(), report };
                    reports.extend(findings.reports().map(|report| (event.seq(), order, waiting(report))));
                }
                let learns = slice.detector.goes_by_people() && (People::looks_at(event.kind()) || !self.spares);
                if let Some(key) = event.key(people::KEY).filter(|key| learns && key.hash % count == index as u64) {
                    slice.people.learn(key, &event, &findings);
                    slice.keep_within_budget(event.watermark_ms());
                }
            }
        }
        heard.sort_by_key(|(seq, order, _)| (*seq, *order));
        reports.sort_by_key(|(seq, order, _)| (*seq, *order));
        self.common.reports.add(reports.into_iter().map(|(_, _, waiting)| waiting));
        let of_events = heard.chunk_by(|a, b| a.0 == b.0);
        let join = |of_event: &[(u64, usize, Said)]| {
            of_event.iter().map(|(_, _, said)| said.clone().joined(of_event.iter().map(|(_, _, said)| said))).collect::<Vec<_>>()
        };
        of_events.flat_map(join).collect()
    }

    /// Lets colleagues vouch for sign-ins before any detector sees them.
    fn look_at_colleagues(&mut self, batch: &mut EventBatch) {
        let count = self.slices.len() as u64;
        for index in 0..batch.len() {
            let Some((event, key)) = batch.get(index).and_then(|event| Some((event, event.key(colleagues::KEY)?))) else { continue };
            let slice = usize::try_from(key.hash % count).unwrap_or_default();
            let goes = Colleagues::looks_at(&event);
            let Some(slice) = self.slices.get_mut(slice).filter(|slice| goes && slice.detector.goes_by_people()) else { continue };
            let standing = slice.colleagues.observe(key, &event);
            slice.keep_within_budget(event.watermark_ms());
            if let Some(record) = batch.records_mut().get_mut(index) {
                record.standing = standing;
            }
        }
    }

    /// Bytes held over all slices.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slices.iter().map(|slice| slice.budget.held()).sum::<usize>() + self.common.budget.held()
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        let common = self.common.part.as_ref().map_or(0, |_| self.common.budget.bytes_max());
        self.slices.iter().map(|slice| slice.budget.bytes_max()).sum::<usize>() + common
    }

    /// The saved state of each slice, and at last that of what they have in common.
    pub fn save(&mut self) -> Vec<SavedSlice> {
        let common = save(&mut |visit| self.common.each_state(visit));
        self.slices.iter_mut().map(|slice| save(&mut |visit| slice.each_state(visit))).chain([common]).collect()
    }

    /// A fresh runner that goes on from where this one is, through saved state.
    ///
    /// # Errors
    /// The state cannot be read back.
    pub fn reloaded(&mut self) -> Result<Self, postcard::Error> {
        let saved = self.save();
        let mut new = Self { seq: self.seq, watermark_ms: self.watermark_ms, ..Self::new(self.spec, self.slices.len()) };
        for (slice, saved) in new.slices.iter_mut().zip(&saved) {
            load(saved, &mut |visit| slice.each_state(visit))?;
        }
        if let Some(saved) = saved.last() {
            load(saved, &mut |visit| new.common.each_state(visit))?;
        }
        let reports = postcard::to_allocvec(&self.common.reports)?;
        new.common.reports = postcard::from_bytes(&reports)?;
        Ok(new)
    }
}

/// One slice, saved: for each state its header and its slots.
pub type SavedSlice = Vec<(Vec<u8>, Vec<u8>)>;

struct Slice {
    detector: Box<dyn Detector>,
    people: People,
    colleagues: Colleagues,
    budget: Arc<Budget>,
}

impl Slice {
    fn new(spec: &'static Spec, parameters: &Parameters, bytes_max: usize) -> Self {
        let budget = Arc::new(Budget::new(bytes_max));
        // One tenant's, however many people it has: apart, so that bytes for a person can be told.
        let colleagues = Colleagues::new(&Arc::new(Budget::new(BYTES_MAX)));
        Self { detector: (spec.build)(parameters, &budget), people: People::new(&budget), colleagues, budget }
    }

    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        if key.kind == people::KEY && self.detector.goes_by_people() {
            self.detector.observe(key, &self.people.known(key, event), findings);
        } else {
            self.detector.observe(key, event, findings);
        }
        self.keep_within_budget(event.watermark_ms());
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        self.detector.each_state(visit);
        visit(self.people.state());
        visit(self.colleagues.state());
    }

    fn keep_within_budget(&mut self, watermark_ms: i64) {
        if self.budget.excess() > 0 {
            let (detector, people, colleagues) = (&mut self.detector, &mut self.people, &mut self.colleagues);
            bartizan_core::state::give_way(&self.budget, watermark_ms, &mut |visit| {
                detector.each_state(visit);
                visit(people.state());
                visit(colleagues.state());
            });
        }
    }
}

fn save(each_state: &mut EachState<'_>) -> SavedSlice {
    let mut saved = SavedSlice::new();
    each_state(&mut |state| {
        let (mut header, mut slots) = (Vec::new(), Vec::new());
        state.begin_save(&mut header);
        while !state.save_some(SAVED_AT_ONCE, &mut slots) {}
        saved.push((header, slots));
    });
    saved
}

fn load(saved: &SavedSlice, each_state: &mut EachState<'_>) -> Result<(), postcard::Error> {
    let (mut saved, mut result) = (saved.iter(), Ok(()));
    let mut load = |state: &mut dyn State| {
        let (header, slots) = saved.next().ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        state.begin_load(header)?;
        state.load_some(slots)?;
        state.end_load()
    };
    each_state(&mut |state| {
        if result.is_ok() {
            result = load(state);
        }
    });
    result
}

/// What the slices have in common, and what was reported for it in the running epoch.
struct CommonPart {
    part: Option<Box<dyn Common>>,
    budget: Arc<Budget>,
    reports: Reports,
}

impl CommonPart {
    fn new(spec: &'static Spec, parameters: &Parameters, bytes_max: usize) -> Self {
        let budget = Arc::new(Budget::new(bytes_max));
        let part = (spec.build)(parameters, &Arc::new(Budget::new(0))).common(&budget);
        Self { part, budget, reports: Reports::default() }
    }

    fn advance(&mut self, epoch: Epoch) {
        for waiting in self.reports.advance(epoch) {
            let Some(part) = &mut self.part else { return };
            part.apply(&waiting.report, waiting.watermark_ms);
            if self.budget.excess() > 0 {
                bartizan_core::state::give_way(&self.budget, waiting.watermark_ms, &mut |visit| part.each_state(visit));
            }
        }
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        self.part.iter_mut().for_each(|part| part.each_state(visit));
    }
}

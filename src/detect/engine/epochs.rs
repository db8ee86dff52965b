//! Lets the slices see events, epoch by epoch.
//!
//! What is shared between keys (what all principals of a tenant do) is read as of the epochs before, and epochs are
//! counted in sequence numbers and watermarks, never in batches: a batch is cut where one ends
//! ([`bartizan_core::common`]). Within an epoch slices need nothing of each other, so threads own them, and what they
//! heard is put in order afterwards.
//!
//! A detector that panics is caught and switched off; the others go on.

use super::Engine;
use super::heard::{Heard, in_order};
use super::routes::{Route, Routes};
use super::slice::{Slice, slice_of};
use crate::detect::SLICES;
use crate::detect::common::CommonParts;
use crate::suppress::Suppressions;
use bartizan_core::{Epoch, Event, EventBatch, Findings, Report, Trust};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Events for fewer of which it takes longer to start threads than to look at them.
const EVENTS_FOR_THREADS: usize = 256;

/// What all slices go by.
struct Watch<'a> {
    routes: &'a Routes,
    suppressions: &'a Suppressions,
    common: &'a CommonParts,
    asked: bool,
}

/// What some slices said, and which detectors are still on. Epochs may be a few events long, so the room is kept.
#[derive(Default)]
pub(super) struct Watched {
    heard: Vec<Heard>,
    reports: Vec<Heard<Report>>,
    enabled: Vec<bool>,
}

impl Engine {
    pub(super) fn detect(&mut self, events: &EventBatch, asked: bool, disabled: &mut Vec<&'static str>) -> Vec<Heard> {
        let mut heard = Vec::new();
        if self.common.is_empty() {
            self.detect_some(events, 0..events.len(), asked, &mut heard, disabled);
            return heard;
        }
        let mut start = 0;
        while let Some(epoch) = events.get(start).map(|event| Epoch::of(&event)) {
            // By number: a view of all events cannot begin in their middle without going through those before.
            let goes_on = |index: &usize| events.get(*index).is_some_and(|event| Epoch::of(&event) == epoch);
            let end = start + (start..events.len()).take_while(goes_on).count();
            self.common.advance(epoch, &mut self.enabled, |number| disabled.extend(self.specs.get(number).map(|spec| spec.id)));
            self.detect_some(events, start..end, asked, &mut heard, disabled);
            start = end;
        }
        heard
    }

    /// Lets the slices see events of one epoch, and adds what they say to `heard`.
    fn detect_some(
        &mut self,
        events: &EventBatch,
        range: Range<usize>,
        asked: bool,
        heard: &mut Vec<Heard>,
        disabled: &mut Vec<&'static str>,
    ) {
        let threads = if range.len() < EVENTS_FOR_THREADS { 1 } else { self.threads };
        let per_thread = SLICES.div_ceil(threads);
        let mut watched = std::mem::take(&mut self.watched);
        watched.resize_with(threads, Watched::default);
        watched.iter_mut().for_each(|of| of.enabled.clone_from(&self.enabled));
        let watch = Watch { routes: &self.routes, suppressions: &self.suppressions, common: &self.common, asked };
        if let [all] = watched.as_mut_slice() {
            observe_all(0, &mut self.slices, &watch, events, range, all);
        } else {
            std::thread::scope(|scope| {
                for (number, (slices, of)) in self.slices.chunks_mut(per_thread).zip(&mut watched).enumerate() {
                    let (watch, range) = (&watch, range.clone());
                    scope.spawn(move || observe_all(number * per_thread, slices, watch, events, range, of));
                }
            });
        }
        if watched.iter().any(|of| of.enabled != self.enabled) {
            self.switch_off_all(&watched, disabled);
        }
        let before = heard.len();
        watched.iter_mut().for_each(|of| heard.append(&mut of.heard));
        in_order(heard.get_mut(before..).unwrap_or_default());
        let mut reports: Vec<_> = watched.iter_mut().flat_map(|of| of.reports.drain(..)).collect();
        in_order(&mut reports);
        let watermark_ms = |index| events.get(index).map_or(i64::MIN, |event| event.watermark_ms());
        self.common.add(reports.into_iter().map(|of| (of.detector, watermark_ms(of.index), of.said)));
        self.watched = watched;
    }

    /// What failed on some slices is off on all.
    fn switch_off_all(&mut self, watched: &[Watched], disabled: &mut Vec<&'static str>) {
        for position in 0..self.enabled.len() {
            let is_on = |enabled: &Vec<bool>| enabled.get(position).copied().unwrap_or(true);
            if is_on(&self.enabled) && !watched.iter().all(|of| is_on(&of.enabled)) {
                disabled.extend(self.holders().nth(position).map(|(id, _)| id));
                self.enabled.get_mut(position).into_iter().for_each(|on| *on = false);
            }
        }
    }
}

/// Shows the judged events of a range to the detectors of these slices.
fn observe_all(first_slice: usize, slices: &mut [Slice], watch: &Watch<'_>, events: &EventBatch, range: Range<usize>, all: &mut Watched) {
    let mut findings = Findings::default();
    findings.ask(watch.asked);
    let mut walk = Walk { first_slice, slices, watch, events, all, findings, index: range.start, next_route: 0, trust: Trust::Full };
    // Caught around all of it, not around each look: nearly none fails, and events are many.
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| walk.go_on(range.end))) {
        if walk.switch_off().is_none() {
            resume_unwind(panic);
        }
    }
}

/// A walk through the events of a range, and through the routes of each.
struct Walk<'a> {
    first_slice: usize,
    slices: &'a mut [Slice],
    watch: &'a Watch<'a>,
    events: &'a EventBatch,
    all: &'a mut Watched,
    findings: Findings,
    /// The event that is looked at, and which of its routes is next.
    index: usize,
    next_route: usize,
    /// How far the event was believed before the route that was taken last.
    trust: Trust,
}

impl Walk<'_> {
    /// Goes on from where it is to the event before `end`.
    fn go_on(&mut self, end: usize) {
        while self.index < end {
            if let Some(event) = self.events.get(self.index).filter(Event::is_judged) {
                if self.next_route == 0 {
                    self.findings.believe(Trust::Full);
                }
                while let Some(route) = self.watch.routes.of(&event).get(self.next_route) {
                    self.next_route += 1;
                    self.take(route, &event);
                }
            }
            (self.index, self.next_route) = (self.index + 1, 0);
        }
    }

    fn take(&mut self, route: &Route, event: &Event<'_>) {
        let Route { detector, kind, .. } = *route;
        let Some(key) = event.key(route.key) else { return };
        let Some(slice) = slice_of(key).checked_sub(self.first_slice).and_then(|slice| self.slices.get_mut(slice)) else { return };
        let is_on = self.all.enabled.get(detector).is_some_and(|on| *on);
        if !is_on || (route.learns && self.watch.suppressions.of(event, None).is_some()) {
            return;
        }
        let findings = &mut self.findings;
        self.trust = findings.trust();
        slice.observe(route, key, event, self.watch.common.of(detector), findings);
        if !route.by_people {
            // Its slice may be another thread's, so what it thinks must not matter here either.
            findings.believe(self.trust);
        }
        slice.keep_within_budget(event.watermark_ms());
        if findings.has_news() {
            let index = self.index;
            self.all.heard.extend(findings.drain().map(|said| Heard { index, detector, kind, said }));
            self.all.reports.extend(findings.reports().map(|said| Heard { index, detector, kind, said }));
        }
    }

    /// The route that was taken last failed: its detector is off from now on, and what it said of the event does not count.
    /// `None`: none was taken.
    fn switch_off(&mut self) -> Option<()> {
        let event = self.events.get(self.index)?;
        let failed = self.watch.routes.of(&event).get(self.next_route.checked_sub(1)?)?;
        *self.all.enabled.get_mut(failed.detector)? = false;
        self.findings.drain();
        self.findings.reports();
        self.findings.believe(self.trust);
        Some(())
    }
}

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
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Events for fewer of which it takes longer to start threads than to look at them.
const EVENTS_FOR_THREADS: usize = 256;

/// What all slices go by.
struct Watch<'a> {
    routes: &'a Routes,
    suppressions: &'a Suppressions,
    common: &'a CommonParts,
    /// Does what is reported wait for the end of its epoch?
    epochs: bool,
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
        let (mut heard, mut start) = (Vec::new(), 0);
        while let Some(event) = events.get(start) {
            self.go_on(Epoch::of(&event), disabled);
            let end = self.reach(events, start);
            start = self.detect_some(events, start..end, asked, &mut heard, disabled);
        }
        heard
    }

    /// Goes on to an epoch, with what was reported in the one before.
    fn go_on(&mut self, epoch: Epoch, disabled: &mut Vec<&'static str>) {
        self.common.advance(epoch, &mut self.enabled, |number| disabled.extend(self.specs.get(number).map(|spec| spec.id)));
    }

    /// How far events can be looked at together from `start` on: threads do not know what others report, and so have to
    /// stop at the end of the epoch. One alone goes on as long as nothing waits for it.
    fn reach(&self, events: &EventBatch, start: usize) -> usize {
        if self.threads == 1 || self.common.is_empty() {
            return events.len();
        }
        // By number: a view of all events cannot begin in their middle without going through those before.
        let epoch = epoch_of(events, start);
        let end = start + (start..events.len()).take_while(|index| epoch_of(events, *index) == epoch).count();
        end.max(events.len().min(start + EVENTS_FOR_THREADS - 1))
    }

    /// Lets the slices see events, up to the end of an epoch in which something is reported, and adds what they say to
    /// `heard`. Returns where it stopped.
    fn detect_some(
        &mut self,
        events: &EventBatch,
        range: Range<usize>,
        asked: bool,
        heard: &mut Vec<Heard>,
        disabled: &mut Vec<&'static str>,
    ) -> usize {
        let threads = if range.len() < EVENTS_FOR_THREADS { 1 } else { self.threads };
        let per_thread = SLICES.div_ceil(threads);
        let mut watched = std::mem::take(&mut self.watched);
        watched.resize_with(threads, Watched::default);
        watched.iter_mut().for_each(|of| of.enabled.clone_from(&self.enabled));
        let watch =
            Watch { routes: &self.routes, suppressions: &self.suppressions, common: &self.common, epochs: !self.common.is_empty(), asked };
        let mut end = range.end;
        if let [all] = watched.as_mut_slice() {
            end = observe_all(0, &mut self.slices, &watch, events, range, all);
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
        if let Some(epoch) = end.checked_sub(1).and_then(|last| epoch_of(events, last)) {
            // Nothing waited for it, or it is the one that was running.
            self.go_on(epoch, disabled);
        }
        self.common.add(reports.into_iter().map(|of| (of.detector, watermark_ms(of.index), of.said)));
        self.watched = watched;
        end
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

fn epoch_of(events: &EventBatch, index: usize) -> Option<Epoch> {
    events.get(index).map(|event| Epoch::of(&event))
}

/// Shows the judged events of a range to the detectors of these slices, up to the end of an epoch for which something
/// waits. Where events are few, epochs are a few events long, and hardly one has reports. Returns where it stopped.
fn observe_all(
    first_slice: usize,
    slices: &mut [Slice],
    watch: &Watch<'_>,
    events: &EventBatch,
    range: Range<usize>,
    all: &mut Watched,
) -> usize {
    let (start, end) = (range.start, range.end);
    let waited = watch.common.waits();
    let mut findings = Findings::default();
    findings.ask(watch.asked);
    for index in range {
        let waits = watch.epochs && (waited || !all.reports.is_empty());
        if waits && index > start && epoch_of(events, index) != epoch_of(events, index - 1) {
            return index;
        }
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
            if findings.has_news() {
                all.heard.extend(findings.drain().map(|said| Heard { index, detector, kind, said }));
                all.reports.extend(findings.reports().map(|said| Heard { index, detector, kind, said }));
            }
        }
    }
    end
}

//! What is vouched for, before any detector sees an event: what people were taught, and what colleagues say.
//!
//! Both are about a person whom others know: an analyst who resolved an alert as harmless ([lessons](crate::teach)), or
//! colleagues of one tenant, whom all slices hold between them ([`Colleagues`]). So neither can be asked from within
//! the slice that judges, and both are done for a whole batch, in its order, ahead of it.

use super::Engine;
use super::slice::slice_of;
use crate::canary;
use bartizan_core::{Colleagues, Event, EventBatch, colleagues, people};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Engine {
    /// Learns what people vouch for, before the next events.
    pub(super) fn learn(&mut self, mut lessons: EventBatch, disabled: &mut Vec<&'static str>) {
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

    /// Lets colleagues vouch for sign-ins before any slice sees them: a tenant's people are on all slices.
    pub(super) fn ask_colleagues(&mut self, events: &mut EventBatch, disabled: &mut Vec<&'static str>) {
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
}

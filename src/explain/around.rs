//! What became of those whom an event concerns, around its time: the alerts that name them, and what was held back.
//!
//! The daemon reads both from its database. Where events are judged without one they are gathered from what the engine
//! gives while it judges, also what comes after the event: an attack that goes on is told by then.

use crate::alert::Alert;
use crate::detect::engine::Outcome;
use crate::store::StoredEvent;
use crate::suppress::{By, Held, Tally};
use bartizan_core::EntityKind;
use bartizan_core::time::HOUR_MS;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Alerts and lines of the ledger that are named.
pub const NAMED_MAX: usize = 100;
/// Alerts are named that have an event so close to its time: what somebody does after a sign-in belongs to it.
pub const AROUND_MS: i64 = HOUR_MS;

/// The user, session and address that an event names.
#[must_use]
pub fn concerned(event: &StoredEvent) -> Vec<(EntityKind, String)> {
    let ip = if event.ip.is_unspecified() { String::new() } else { event.ip.to_canonical().to_string() };
    let all = [(EntityKind::User, event.user.clone()), (EntityKind::Session, event.session.clone()), (EntityKind::Ip, ip)];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// What a finding about somebody has as its key.
#[must_use]
pub fn key_of((kind, value): &(EntityKind, String)) -> String {
    format!("{}:{value}", kind.as_str())
}

/// What is gathered about those of one event.
#[derive(Debug)]
pub struct Around {
    tenant: String,
    time_ms: i64,
    concerned: Vec<(EntityKind, String)>,
    keys: Vec<String>,
    alerts: Vec<String>,
    lines: BTreeMap<(By, &'static str, String), Tally>,
}

impl Around {
    /// Nothing yet about those of this event.
    #[must_use]
    pub fn of(event: &StoredEvent) -> Self {
        let concerned = concerned(event);
        let keys = concerned.iter().map(key_of).collect();
        Self { tenant: event.tenant.clone(), time_ms: event.time, concerned, keys, alerts: Vec::new(), lines: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, outcome: &Outcome) {
        for alert in &outcome.alerts {
            if self.alerts.len() < NAMED_MAX && self.is_told(alert) && !self.alerts.contains(&alert.id) {
                self.alerts.push(alert.id.clone());
            }
        }
        for held in &outcome.held {
            if self.is_of(held) {
                let line = (held.by.clone(), held.detector, held.key.clone());
                self.lines.entry(line).or_insert_with(|| Tally::new(held)).add(held);
            }
        }
    }

    fn is_told(&self, alert: &Alert) -> bool {
        let names = |(kind, value): &(EntityKind, String)| alert.subjects.iter().any(|of| of.kind == *kind && of.value == *value);
        alert.tenant == self.tenant
            && alert.first_event_time.0 <= self.time_ms.saturating_add(AROUND_MS)
            && alert.last_event_time.0 >= self.time_ms.saturating_sub(AROUND_MS)
            && self.concerned.iter().any(names)
    }

    fn is_of(&self, held: &Held) -> bool {
        let hour = |time_ms: i64| time_ms.div_euclid(Tally::HOUR_MS);
        held.tenant == self.tenant && hour(held.time_ms) == hour(self.time_ms) && self.keys.contains(&held.key)
    }

    /// Ids of the alerts and lines of the ledger, the newest first.
    #[must_use]
    pub fn newest_first(self) -> (Vec<String>, Vec<Tally>) {
        let mut lines: Vec<_> = self.lines.into_values().collect();
        lines.sort_by_key(|line| Reverse(line.last_seq));
        lines.truncate(NAMED_MAX);
        (self.alerts.into_iter().rev().collect(), lines)
    }
}

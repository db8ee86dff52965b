//! The latest records of one user that have to do with pushes.

use super::Config;
use super::client::{Client, Whose};
use super::reading::{Reading, Verdict};
use bartizan_core::time::HOUR_MS;
use bartizan_core::{Event, Kind, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Records kept of a user; beyond them one of the own client goes, or else the oldest.
pub(super) const RECORDS_MAX: usize = 40;
/// How long the pushes of the person's own client matter.
pub(super) const OWN_KEPT_MS: i64 = 2 * HOUR_MS;

/// What a record says, in the order in which things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum What {
    /// A push was sent.
    Sent,
    /// One was not delivered, or given up for a reason that is not the person's.
    Void,
    /// One got no answer, or a wrong number.
    Ignored,
    /// The person refused one.
    Denied,
    /// The person refused one and reported it.
    Reported,
    /// The person accepted one.
    Accepted,
    /// Another factor was right.
    Vouched,
    /// A sign-in succeeded.
    SignedIn,
    /// Something of the account was changed, or a token issued.
    Change,
}

/// One record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub time_ms: i64,
    pub what: What,
    pub whose: Whose,
    /// Is it of a sign-in, not of its second factor?
    pub of_sign_in: bool,
    /// Was it part of a finding?
    pub told: bool,
    pub client: Client,
    /// Of a stranger's answers, sign-ins and changes; else empty.
    pub session: Box<str>,
    pub ip: Option<IpAddr>,
    pub event: Box<str>,
}

impl Record {
    /// The record of an event.
    pub fn new(event: &Event<'_>, what: What, whose: Whose) -> Self {
        Self {
            time_ms: event.time_ms(),
            what,
            whose,
            of_sign_in: event.kind() == Kind::Login,
            told: false,
            client: Client::of(event),
            session: event.session().filter(|_| what >= What::Accepted && whose > Whose::Own).unwrap_or_default().into(),
            ip: event.ip(),
            event: event.id().into(),
        }
    }
}

/// The records of one user, by event time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Pushes {
    records: Box<[Record]>,
    /// `i64::MIN` when nothing is left open.
    expires_ms: i64,
    worth: u8,
}

impl Retained for Pushes {
    fn expires_ms(&self) -> i64 {
        self.expires_ms
    }

    fn worth(&self) -> u8 {
        self.worth
    }

    fn heap_bytes(&self) -> usize {
        let texts = self.records.iter().flat_map(|record| [&record.event, &record.session]);
        heap_bytes(size_of_val(&*self.records)) + texts.map(|text| heap_bytes(text.len())).sum::<usize>()
    }
}

impl Pushes {
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What there is of strangers' pushes, and what it takes.
    pub fn sentence(&self, config: &Config) -> String {
        let (strangers, suspicion) = Reading::of(&self.records, config).strangers();
        format!(
            "{strangers} pushes of strangers refused or unanswered within {} hours, suspicion {:.2} (limit {:.2}).",
            config.window_ms / HOUR_MS,
            suspicion as f64 / 100.0,
            config.suspicion_min as f64 / 100.0
        )
    }

    /// Did a stranger ask in vain, or get in?
    pub fn has_strangers(&self) -> bool {
        self.worth > 0
    }

    /// Is all answered, by the person?
    pub fn is_over(&self) -> bool {
        self.expires_ms == i64::MIN
    }

    /// Takes a record in, and says what it adds up to.
    pub fn observe(&mut self, record: Record, watermark_ms: i64, config: &Config) -> Option<Verdict> {
        let number = self.insert(record, watermark_ms, config);
        let reading = Reading::of(&self.records, config);
        let verdict = reading.verdict(number, &self.records, config);
        for index in verdict.iter().flat_map(|verdict| &verdict.fresh) {
            if let Some(record) = self.records.get_mut(*index) {
                record.told = true;
            }
        }
        let newest_ms = self.records.last().map_or(i64::MIN, |record| record.time_ms);
        let strange_ms = reading.last_strange_ms();
        self.expires_ms = match strange_ms.max(self.last_vouched_ms()) {
            Some(last_ms) => last_ms.saturating_add(config.window_ms).max(newest_ms.saturating_add(OWN_KEPT_MS)),
            None if reading.is_over() => i64::MIN,
            None => newest_ms.saturating_add(OWN_KEPT_MS),
        };
        self.worth = if reading.has_hit() { 4 } else { 2 * u8::from(strange_ms.is_some()) };
        verdict
    }

    /// When a new client last gave another factor that was right.
    fn last_vouched_ms(&self) -> Option<i64> {
        let vouched = |record: &&Record| record.what == What::Vouched && record.whose > Whose::Own;
        self.records.iter().filter(vouched).map(|record| record.time_ms).max()
    }

    /// Puts a record where its time says, and returns its number.
    fn insert(&mut self, record: Record, watermark_ms: i64, config: &Config) -> usize {
        let mut records = std::mem::take(&mut self.records).into_vec();
        records.retain(|old| {
            let kept_ms = if old.whose == Whose::Own { OWN_KEPT_MS } else { config.window_ms };
            old.time_ms >= watermark_ms.saturating_sub(kept_ms)
        });
        if records.len() >= RECORDS_MAX {
            let own = records.iter().position(|old| old.whose == Whose::Own);
            records.remove(own.unwrap_or(0));
        }
        let place = records.partition_point(|old| (old.time_ms, old.what) <= (record.time_ms, record.what));
        records.reserve_exact(1);
        records.insert(place, record);
        self.records = records.into_boxed_slice();
        place
    }
}

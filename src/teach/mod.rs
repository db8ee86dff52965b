//! Lessons: what an analyst resolves as harmless becomes part of its person's normal.
//!
//! Whoever judges an alert `benign` or `false_positive` knows more than the logs say: it was the person, with a new
//! laptop, from a hotel. So the device, the network and the place of the alert's sign-ins are learnt with full trust,
//! where detection, which doubted them, learnt them hardly or not at all; the same on the next day is silent. What is
//! judged `true_positive` is never learnt. Only detectors that [go by people](bartizan_core::Detector::goes_by_people)
//! know anybody, so alerts of others teach nothing, and say so.
//!
//! **How it goes.** In the transaction of the triage step a row is [noted](triaged): the alert's events by id, as it was
//! judged, so that what it grows by afterwards teaches nothing; that needs no store. A [teacher](Teacher) in the
//! background fetches those events, keeps the ones that show anything, writes them beside the row, and gives that the
//! next version of the list of lessons. From there on it is like [suppressions](crate::suppress): the recorded order
//! says from where on a version counts, and what lies between the version before and this one is learnt there. So a
//! restart, which goes on from a checkpoint or from nothing, learns it again at the same place, and rows stay for as long
//! as a checkpoint may be before them. A state that starts afresh learns all that is still kept, at once.
//!
//! **Taken back.** Who reopens the alert, or judges it `true_positive` after all, ends its lesson: what waited is not
//! learnt, and what is in the list is not learnt where the order has not come to it. What was learnt before stays,
//! since it is mixed with the rest of what is known, and fades like that: a single lesson is forgotten after about a
//! hundred days. An alert that is resolved as harmless again teaches again.
//!
//! Detectors' own state is not touched: a client that `account_takeover` found strange stays so until its day is over.

mod source;
mod teacher;
mod triage;

#[cfg(test)]
mod tests;

pub use source::Lessons;
pub use teacher::Teacher;
pub use triage::triaged;

use crate::flow::Change;
use bartizan_core::batch::Field;
use bartizan_core::{Event, EventBatch, EventDraft, NetworkClass, Place};
use serde::{Deserialize, Serialize};

/// Events of one lesson; of more the latest are taken.
pub const EVENTS_MAX: usize = 32;

/// What of an event's texts may say whose it is and with what client, or which event it was. The rest is left out: a
/// lesson is kept longer than events are.
const TEXTS: [Field; 10] = [
    Field::Id,
    Field::Tenant,
    Field::User,
    Field::UserAgent,
    Field::Device,
    Field::Ja4,
    Field::App,
    Field::Factor,
    Field::Region,
    Field::NetworkName,
];

/// An entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// Version of the list that has it first.
    pub added: u64,
    /// Version of the list that lacks it again.
    pub removed: Option<u64>,
    /// Its events, [encoded](encode).
    pub events: String,
}

impl Lesson {
    /// Is it learnt where the list goes from one version to another?
    #[must_use]
    pub fn is_between(&self, before: u64, version: u64) -> bool {
        before < self.added && self.added <= version && self.removed.is_none_or(|removed| removed > version)
    }

    /// Adds its events to a batch, with the places and networks that they were judged with.
    ///
    /// # Errors
    /// They do not read; some of them may have been added.
    pub fn push(&self, batch: &mut EventBatch) -> Result<(), serde_json::Error> {
        for Shown { event, place, asn, network_class } in serde_json::from_str::<Vec<Shown<'_>>>(&self.events)? {
            let record = batch.push(&event);
            (record.place, record.asn, record.network_class) = (place, asn, network_class);
        }
        Ok(())
    }
}

/// An event as it is kept: the canonical record, and where it came from.
#[derive(Serialize, Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    event: EventDraft<'a>,
    place: Option<Place>,
    asn: u32,
    network_class: NetworkClass,
}

impl<'a> Shown<'a> {
    fn of(event: &Event<'a>) -> Self {
        let whole = EventDraft::of(event);
        let mut draft = EventDraft {
            time_ms: whole.time_ms,
            kind: whole.kind,
            outcome: whole.outcome,
            user_kind: whole.user_kind,
            attestation: whole.attestation,
            ip: whole.ip,
            ..EventDraft::default()
        };
        TEXTS.into_iter().for_each(|field| draft.texts.set(field, event.text(field)));
        Self { event: draft, place: event.place(), asn: event.asn(), network_class: event.network_class() }
    }
}

/// The events of a lesson as they are kept: a JSON array of canonical records with their places.
///
/// # Errors
/// The encoder says no.
pub fn encode<'a>(events: impl Iterator<Item = Event<'a>>) -> Result<String, serde_json::Error> {
    serde_json::to_string(&events.map(|event| Shown::of(&event)).collect::<Vec<_>>())
}

/// The version of the list up to which everything was learnt, where these changes are in force.
#[must_use]
pub fn version_in(in_force: &[Change]) -> u64 {
    in_force.iter().find_map(|change| if let Change::Lessons(version) = change { Some(*version) } else { None }).unwrap_or(0)
}

//! What really happened: one label for each attack and for each awkward but innocent event.
//!
//! A label is counted when its events are handed out, not when they are planned, so that a label
//! never names what is not in the traffic. It is complete, and given out, with its last event.

use super::draft::Draft;
use bartizan_core::time::TimeMs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Names of each kind that a label lists; more are counted in `events` alone.
pub const LABEL_ENTITIES_MAX: usize = 5_000;

/// Whom and what a label is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelEntities {
    /// Attacked users (or the innocent ones).
    pub users: BTreeSet<String>,
    /// Addresses that the attack came from.
    pub ips: BTreeSet<String>,
    /// Sessions stolen, or opened by the attacker.
    pub sessions: BTreeSet<String>,
}

/// One attack, or one awkward innocent happening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Id of the attack; absent on innocent ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<String>,
    /// Id of the innocent happening; absent on attacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub innocent: Option<String>,
    /// What it is, e.g. `credential_stuffing`, `refresh_race`.
    pub kind: String,
    /// How it was done, e.g. `one_address`, `thief_first`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Ids of the detectors of which any one finds it; empty for innocent ones.
    pub detectors: Vec<String>,
    /// Tenant.
    pub tenant: String,
    /// Event time of its first event.
    pub start: TimeMs,
    /// Event time of its last event.
    pub end: TimeMs,
    /// Did the attacker get in?
    pub hit: bool,
    /// Was it cut off by the end of the traffic?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Whom and what it is about.
    pub entities: LabelEntities,
    /// How many events belong to it; a repeated delivery counts once.
    pub events: u64,
}

/// Reference to a label from an event; 0 is none.
pub(crate) type LabelId = u32;

/// What is being planned: kind, variant and the detectors that fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: &'static str,
    pub(crate) variant: &'static str,
    pub(crate) detectors: &'static [&'static str],
}

impl Plan {
    /// Something innocent.
    pub(crate) fn innocent(kind: &'static str) -> Self {
        Self { kind, variant: "", detectors: &[] }
    }
}

#[derive(Debug)]
struct Open {
    label: Label,
    pending: u64,
    sealed: bool,
}

/// Labels whose events are under way, and those complete.
#[derive(Debug, Default)]
pub(crate) struct LabelBook {
    open: BTreeMap<LabelId, Open>,
    complete: Vec<Label>,
    last: LabelId,
}

impl LabelBook {
    /// Opens a label; `plan.detectors` empty means innocent.
    pub(crate) fn open(&mut self, plan: Plan, tenant: &str) -> LabelId {
        self.last += 1;
        let is_attack = !plan.detectors.is_empty();
        let label = Label {
            attack: is_attack.then(|| format!("attack-{:06}", self.last)),
            innocent: (!is_attack).then(|| format!("innocent-{:06}", self.last)),
            kind: plan.kind.to_owned(),
            variant: plan.variant.to_owned(),
            detectors: plan.detectors.iter().map(|d| (*d).to_owned()).collect(),
            tenant: tenant.to_owned(),
            start: TimeMs(i64::MAX),
            end: TimeMs(i64::MIN),
            hit: false,
            truncated: false,
            entities: LabelEntities::default(),
            events: 0,
        };
        self.open.insert(self.last, Open { label, pending: 0, sealed: false });
        self.last
    }

    /// An event of the label was planned.
    pub(crate) fn planned(&mut self, id: LabelId) {
        if let Some(open) = self.open.get_mut(&id) {
            open.pending += 1;
        }
    }

    /// All events of the label have been planned.
    pub(crate) fn seal(&mut self, id: LabelId, hit: bool) {
        if let Some(open) = self.open.get_mut(&id) {
            open.sealed = true;
            open.label.hit = hit;
            self.close_if_complete(id);
        }
    }

    /// An event of the label was handed out.
    pub(crate) fn delivered(&mut self, draft: &Draft, names: impl FnOnce(&Draft) -> EventNames) {
        let Some(open) = self.open.get_mut(&draft.label) else { return };
        let names = names(draft);
        let label = &mut open.label;
        label.start = label.start.min(TimeMs(draft.time_ms));
        label.end = label.end.max(TimeMs(draft.time_ms));
        label.events += 1;
        insert_bounded(&mut label.entities.users, names.user);
        insert_bounded(&mut label.entities.ips, names.ip);
        insert_bounded(&mut label.entities.sessions, names.session);
        open.pending = open.pending.saturating_sub(1);
        self.close_if_complete(draft.label);
    }

    fn close_if_complete(&mut self, id: LabelId) {
        if self.open.get(&id).is_some_and(|open| open.sealed && open.pending == 0)
            && let Some(open) = self.open.remove(&id)
            && open.label.events > 0
        {
            self.complete.push(open.label);
        }
    }

    /// Labels that became complete since the last call.
    pub(crate) fn take(&mut self) -> Vec<Label> {
        std::mem::take(&mut self.complete)
    }

    /// At the end of the traffic: what was begun, marked as cut off.
    pub(crate) fn finish(&mut self) -> Vec<Label> {
        for (_, mut open) in std::mem::take(&mut self.open) {
            if open.label.events > 0 {
                open.label.truncated = true;
                self.complete.push(open.label);
            }
        }
        self.take()
    }
}

/// The names in one event that a label lists.
pub(crate) struct EventNames {
    /// `None` if nobody was signed in.
    pub(crate) user: Option<String>,
    /// `None` if the event is the owner's own and its address innocent.
    pub(crate) ip: Option<String>,
    pub(crate) session: Option<String>,
}

fn insert_bounded(set: &mut BTreeSet<String>, name: Option<String>) {
    if let Some(name) = name
        && set.len() < LABEL_ENTITIES_MAX
    {
        set.insert(name);
    }
}

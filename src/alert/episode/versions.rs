//! One episode: what its findings make of its alert, and when that is told.
//!
//! A version is cut by what happens (opening, a higher severity, something more hit, each doubling of the count,
//! closing), never by batch: an alert of a thousand findings is told a dozen times. Its severity and text are those of
//! the worst that was found, so neither falls when the attacker goes on more quietly.

use super::Limits;
use super::evidence::Plain;
use super::identity::{EpisodeKey, alert_id, start_ms};
use super::saving::plain_subjects;
use crate::alert::model::{Alert, Attack, Entities, Status, campaign_key};
use bartizan_core::{Finding, Severity, Spec, Subject, TimeMs};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Subjects of a campaign that were hit, where [`Limits::hits_max`] allows more: all are counted, and told in the ledger.
const CAMPAIGN_HITS_MAX: usize = 1_000;

/// A campaign has a new version when its hits grew by one in so many; a version for each would be one for each finding.
const CAMPAIGN_HITS_SHARE: usize = 4;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Episode {
    /// The alert's fixed members and the newest text; `evidence` and the lists are kept beside it.
    pub(super) alert: AlertState,
    pub(super) quiet_gap_ms: i64,
    next_count: u64,
    hits: usize,
    /// So many hits make the next version.
    next_hits: usize,
    /// Does it stand for many that a circuit breaker folded?
    is_campaign: bool,
    /// What the attacker shows, and when the first finding's attack began: by that others are found that are to be taken in.
    pub(super) sign: Option<u64>,
    pub(super) opened_ms: i64,
    /// Keys of those.
    pub(super) joined: Vec<String>,
    /// The phase in which it was written, or opened.
    #[serde(skip)]
    pub(super) phase: bool,
    /// Its time in [`Episodes::closing`].
    #[serde(skip)]
    pub(super) listed_ms: i64,
    /// Its part of [`Episodes::bytes`].
    #[serde(skip)]
    pub(super) bytes: usize,
}

/// What an open alert needs in order to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AlertState {
    pub(super) id: String,
    pub(super) version: u32,
    pub(super) title: String,
    pub(super) severity: Severity,
    pub(super) confidence: f32,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) event_count: u64,
    pub(super) reason: String,
    pub(super) evidence: BTreeMap<Cow<'static, str>, Plain>,
    #[serde(with = "plain_subjects")]
    pub(super) subjects: Vec<Subject>,
    pub(super) attempts: usize,
    pub(super) ids_head: Vec<String>,
    pub(super) ids_hit: Vec<String>,
    pub(super) ids_tail: Vec<String>,
    pub(super) actions: Vec<bartizan_core::Action>,
    pub(super) attack: Vec<(String, String)>,
}

impl Episode {
    pub(super) fn open(spec: &Spec, key: &EpisodeKey, finding: Finding, limits: &Limits) -> Self {
        let alert = AlertState {
            id: alert_id(key, start_ms(spec, &finding)),
            version: 0,
            title: String::new(),
            severity: finding.severity,
            confidence: 0.0,
            first_ms: finding.first_time_ms,
            last_ms: finding.time_ms,
            event_count: 0,
            reason: String::new(),
            evidence: BTreeMap::new(),
            subjects: Vec::new(),
            attempts: 0,
            ids_head: Vec::new(),
            ids_hit: Vec::new(),
            ids_tail: Vec::new(),
            actions: Vec::new(),
            attack: spec.attack.iter().map(|(tactic, technique)| ((*tactic).to_owned(), (*technique).to_owned())).collect(),
        };
        let mut episode = Self {
            alert,
            quiet_gap_ms: spec.quiet_gap_ms,
            next_count: 0,
            hits: 0,
            next_hits: 0,
            is_campaign: key.2 == campaign_key(spec.id),
            sign: finding.sign,
            opened_ms: finding.first_time_ms,
            joined: Vec::new(),
            phase: false,
            listed_ms: 0,
            bytes: 0,
        };
        episode.update(finding, limits);
        episode
    }

    pub(super) fn closes_at(&self) -> i64 {
        self.alert.last_ms.saturating_add(self.quiet_gap_ms)
    }

    /// Joins a finding; true if it makes a new version.
    pub(super) fn update(&mut self, finding: Finding, limits: &Limits) -> bool {
        let hits_max = if self.is_campaign { limits.hits_max.min(CAMPAIGN_HITS_MAX) } else { limits.hits_max };
        let limits = &Limits { hits_max, ..*limits };
        let alert = &mut self.alert;
        let rises = finding.severity > alert.severity;
        alert.event_count += finding.event_count;
        alert.first_ms = alert.first_ms.min(finding.first_time_ms);
        alert.last_ms = alert.last_ms.max(finding.time_ms);
        alert.confidence = alert.confidence.max(finding.confidence);
        // The text belongs to the worst that was found; later findings of the same weight renew it.
        if finding.severity >= alert.severity {
            (alert.title, alert.reason, alert.severity) = (finding.title, finding.reason, finding.severity);
        }
        alert.evidence.extend(finding.evidence.into_iter().map(|(name, value)| (name, value.into())));
        for action in finding.actions {
            if !alert.actions.contains(&action) {
                alert.actions.push(action);
            }
        }
        let new_hits = alert.merge_subjects(finding.subjects, limits);
        self.hits += new_hits;
        alert.merge_ids(finding.event_ids, new_hits > 0, limits.event_ids_each_max);
        let doubled = alert.event_count >= self.next_count;
        if doubled {
            self.next_count = alert.event_count.saturating_mul(2);
        }
        let makes_version = rises || doubled || (new_hits > 0 && self.hits >= self.next_hits);
        if makes_version {
            self.next_hits = self.hits + if self.is_campaign { self.hits / CAMPAIGN_HITS_SHARE } else { 0 } + 1;
        }
        makes_version
    }

    pub(super) fn version(&mut self, key: &EpisodeKey, ongoing: bool, detected_ms: i64) -> Alert {
        let reason = self.reason();
        let alert = &mut self.alert;
        alert.version += u32::from(!sabotaged!(VersionNotCounted) || alert.version == 0);
        Alert {
            id: alert.id.clone(),
            version: alert.version,
            detector: key.1.clone(),
            title: alert.title.clone(),
            severity: alert.severity,
            confidence: alert.confidence,
            status: Status::Open,
            disposition: None,
            assignee: None,
            tenant: key.0.clone(),
            key: key.2.clone(),
            ongoing,
            first_event_time: TimeMs(alert.first_ms),
            last_event_time: TimeMs(alert.last_ms),
            detected_time: TimeMs(detected_ms),
            event_count: alert.event_count,
            entities: Entities::of(&alert.subjects),
            subjects: alert.subjects.clone(),
            reason,
            evidence: alert.evidence.iter().map(|(name, value)| (name.clone().into_owned(), value.to_json())).collect(),
            event_ids: alert.event_ids(),
            attack: alert
                .attack
                .iter()
                .map(|(tactic, technique)| Attack { tactic: tactic.clone(), technique: technique.clone() })
                .collect(),
            actions: alert.actions.clone(),
            incident: None,
        }
    }
}

//! The alert record as everyone outside sees it (store, API, channels, `replay`).
//!
//! Detection fills all but the triage members; the working copy in the database adds those. The
//! record is versioned: `version` counts detection's versions and triage steps together.

use super::schema;
use bartizan_core::{Action, EntityKind, Severity, Subject, TimeMs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Where an alert stands with the people who work on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has looked yet.
    #[default]
    Open,
    /// Somebody is on it.
    Acknowledged,
    /// Done, with a disposition.
    Resolved,
}

impl Status {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    /// The name as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// What it turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// An attack.
    TruePositive,
    /// Wrongly judged.
    FalsePositive,
    /// Rightly judged but harmless.
    Benign,
}

impl Disposition {
    /// Was there nothing that had to be warned of?
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::FalsePositive | Self::Benign)
    }
}

/// Whom and what it is about, flat; derived from the subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Entities {
    /// Users.
    pub users: Vec<String>,
    /// Addresses.
    pub ips: Vec<String>,
    /// Sessions.
    pub sessions: Vec<String>,
    /// Devices.
    pub devices: Vec<String>,
    /// Networks: `AS64496` or a CIDR.
    pub networks: Vec<String>,
    /// Tokens: public handles, or `hash:` and the keyed hash.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
}

impl Entities {
    /// The names of `subjects`, by kind, in their order.
    #[must_use]
    pub fn of(subjects: &[Subject]) -> Self {
        let mut all = Self::default();
        for subject in subjects {
            let list = match subject.kind {
                EntityKind::User => &mut all.users,
                EntityKind::Ip => &mut all.ips,
                EntityKind::Session => &mut all.sessions,
                EntityKind::Device => &mut all.devices,
                EntityKind::Network => &mut all.networks,
                EntityKind::Token => &mut all.tokens,
            };
            if !list.contains(&subject.value) {
                list.push(subject.value.clone());
            }
        }
        all
    }
}

/// The key of the one alert that tells of all that an open [circuit breaker](crate::detect::breaker) folds.
#[must_use]
pub fn campaign_key(detector: &str) -> String {
    format!("campaign:{detector}")
}

/// One MITRE ATT&CK reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attack {
    /// Tactic, e.g. `TA0006`.
    pub tactic: String,
    /// Technique, e.g. `T1110.004`.
    pub technique: String,
}

/// One version of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Derived from tenant, detector, key and the episode's start: the same attack has the same id
    /// after a crash, in a replay, on another machine.
    pub id: String,
    /// Counts from 1.
    pub version: u32,
    /// Detector id.
    pub detector: String,
    /// What it is, in a few words.
    pub title: String,
    /// How bad it is.
    #[schema(schema_with = schema::severity)]
    pub severity: Severity,
    /// How sure, from 0 to 1.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub confidence: f32,
    /// Where it stands.
    pub status: Status,
    /// What it turned out to be, once resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub disposition: Option<Disposition>,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub assignee: Option<String>,
    /// Tenant.
    pub tenant: String,
    /// The attacked or attacking key of the episode, e.g. `ip:203.0.113.7`.
    pub key: String,
    /// Does the episode go on? False in the version that closes it after the quiet gap.
    pub ongoing: bool,
    /// Event time of the first event.
    #[schema(value_type = String, format = DateTime)]
    pub first_event_time: TimeMs,
    /// Event time of the last event.
    #[schema(value_type = String, format = DateTime)]
    pub last_event_time: TimeMs,
    /// Recorded arrival of the event that decided this version; in a replay its event time.
    #[schema(value_type = String, format = DateTime)]
    pub detected_time: TimeMs,
    /// Events that belong to it.
    pub event_count: u64,
    /// Whom and what it is about.
    pub entities: Entities,
    /// The same with roles.
    #[schema(schema_with = schema::subjects)]
    pub subjects: Vec<Subject>,
    /// One sentence with the numbers and the limits that they passed.
    pub reason: String,
    /// The numbers by name.
    #[schema(value_type = Object)]
    pub evidence: Map<String, Value>,
    /// Events that show it (bounded).
    pub event_ids: Vec<String>,
    /// MITRE ATT&CK.
    pub attack: Vec<Attack>,
    /// What a machine may do.
    #[schema(schema_with = schema::actions)]
    pub actions: Vec<Action>,
    /// The incident it belongs to, once there are incidents.
    #[serde(default)]
    pub incident: Option<String>,
}

impl Alert {
    /// Does it stand for many that a circuit breaker folded?
    #[must_use]
    pub fn is_campaign(&self) -> bool {
        self.key == campaign_key(&self.detector)
    }
}

//! The incident record as everyone outside sees it.

use super::config::IncidentConfig;
use crate::alert::model::{Attack, Disposition, Entities, Status};
use crate::alert::{Alert, schema};
use bartizan_core::{EntityKind, Role, Severity, Subject, TimeMs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Incidents that are named as related.
const RELATED_MAX: usize = 20;
/// Names in a title.
const NAMES_MAX: usize = 2;
/// ATT&CK tactics in the order in which takeovers go through them: looking for a way in, getting hold of credentials,
/// getting in, staying in, taking. (The matrix lists initial access before credential access, as it thinks of hosts.)
const PROGRESS: [&str; 12] =
    ["TA0043", "TA0042", "TA0006", "TA0001", "TA0002", "TA0005", "TA0007", "TA0008", "TA0003", "TA0004", "TA0009", "TA0010"];

/// What resolved an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// A person.
    Person,
    /// The last of its alerts was resolved.
    Alerts,
    /// Nothing more came.
    Silence,
    /// It was merged into another one.
    Merged,
}

/// One alert of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The alert.
    pub id: String,
    /// Its detector.
    pub detector: String,
    /// Its title.
    pub title: String,
    /// Its severity.
    #[schema(schema_with = schema::severity)]
    pub severity: Severity,
    /// The ATT&CK tactic that is furthest in an attack's course.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub tactic: Option<String>,
    /// Its reason.
    pub reason: String,
    /// Event time of its first event.
    #[schema(value_type = String, format = DateTime)]
    pub first_event_time: TimeMs,
}

/// Alerts that have one cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// Derived from the alert that opened it.
    pub id: String,
    /// Counts its changes, from 1.
    pub version: u32,
    /// Tenant.
    pub tenant: String,
    /// What happened to whom, in a few words.
    pub title: String,
    /// The reason of the alert that weighs most.
    pub summary: String,
    /// The worst of its alerts that nobody judged harmless.
    #[schema(schema_with = schema::severity)]
    pub severity: Severity,
    /// Where it stands.
    pub status: Status,
    /// What it turned out to be, once resolved by people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub disposition: Option<Disposition>,
    /// What resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resolution: Option<Resolution>,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub assignee: Option<String>,
    /// Event time of the first event.
    #[schema(value_type = String, format = DateTime)]
    pub first_event_time: TimeMs,
    /// Event time of the last event.
    #[schema(value_type = String, format = DateTime)]
    pub last_event_time: TimeMs,
    /// Arrival of the event that opened it.
    #[schema(value_type = String, format = DateTime)]
    pub opened_time: TimeMs,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_time: TimeMs,
    /// Alerts in it.
    pub alert_count: u64,
    /// Subjects that were hit.
    pub hit_count: u64,
    /// Its alerts (bounded): the worst first, then those furthest in an attack's course, then the earliest.
    pub alerts: Vec<Member>,
    /// How many alerts of which detector.
    pub detectors: BTreeMap<String, u64>,
    /// Whom and what it is about (bounded).
    pub entities: Entities,
    /// The same with roles.
    #[schema(schema_with = schema::subjects)]
    pub subjects: Vec<Subject>,
    /// MITRE ATT&CK, in the order of an attack's course.
    pub attack: Vec<Attack>,
    /// The incident that it was merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub merged_into: Option<String>,
    /// The incident before it about the same attacker or victim, which a person had resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub previous: Option<String>,
    /// Incidents that share an attacker or a victim with it (bounded).
    #[serde(default)]
    pub related: Vec<String>,
}

/// The id of the incident that an alert opens.
#[must_use]
pub fn id_of(alert_id: &str) -> String {
    let digest = Sha256::digest(format!("incident:{alert_id}"));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Place of a tactic in an attack's course.
fn place_of(tactic: &str) -> Option<usize> {
    PROGRESS.iter().position(|known| *known == tactic)
}

impl Incident {
    /// A new incident of one alert; [`Self::take_in`] fills it.
    #[must_use]
    pub fn of(alert: &Alert) -> Self {
        Self {
            id: id_of(&alert.id),
            version: 0,
            tenant: alert.tenant.clone(),
            title: String::new(),
            summary: String::new(),
            severity: alert.severity,
            status: Status::Open,
            disposition: None,
            resolution: None,
            assignee: None,
            first_event_time: alert.first_event_time,
            last_event_time: alert.last_event_time,
            opened_time: alert.detected_time,
            updated_time: alert.detected_time,
            alert_count: 0,
            hit_count: 0,
            alerts: Vec::new(),
            detectors: BTreeMap::new(),
            entities: Entities::default(),
            subjects: Vec::new(),
            attack: Vec::new(),
            merged_into: None,
            previous: None,
            related: Vec::new(),
        }
    }

    /// A new incident of an alert that is taken out of `from`.
    #[must_use]
    pub fn split(from: &Self, alert: &Alert) -> Self {
        // The alert may have opened the one that it is taken from.
        Self { id: id_of(&format!("{}:{}:{}", from.id, from.version, alert.id)), ..Self::of(alert) }
    }

    /// Forgets all that comes from its alerts, which are taken in anew.
    pub fn empty(&mut self) {
        (self.severity, self.alert_count, self.hit_count) = (Severity::Info, 0, 0);
        (self.first_event_time, self.last_event_time) = (TimeMs(i64::MAX), TimeMs(i64::MIN));
        (self.alerts, self.subjects, self.attack) = (Vec::new(), Vec::new(), Vec::new());
        (self.detectors, self.entities) = (BTreeMap::new(), Entities::default());
    }

    /// Takes in a version of an alert; `is_new`: it was not in it before. [`Self::hit_count`] is the caller's, who
    /// knows of all subjects.
    pub fn take_in(&mut self, alert: &Alert, is_new: bool, config: &IncidentConfig) {
        if is_new {
            self.alert_count += 1;
            *self.detectors.entry(alert.detector.clone()).or_default() += 1;
        }
        if !alert.disposition.is_some_and(Disposition::is_harmless) {
            self.severity = self.severity.max(alert.severity);
        }
        self.first_event_time = self.first_event_time.min(alert.first_event_time);
        self.last_event_time = self.last_event_time.max(alert.last_event_time);
        self.updated_time = self.updated_time.max(alert.detected_time);
        self.list(alert, config.alerts_max);
        self.name(&alert.subjects, config.subjects_max);
        for attack in &alert.attack {
            if !self.attack.contains(attack) {
                self.attack.push(attack.clone());
            }
        }
        self.attack.sort_by_key(|attack| place_of(&attack.tactic));
        self.word();
    }

    fn list(&mut self, alert: &Alert, alerts_max: usize) {
        let member = Member {
            id: alert.id.clone(),
            detector: alert.detector.clone(),
            title: alert.title.clone(),
            severity: alert.severity,
            tactic: alert.attack.iter().map(|attack| &attack.tactic).max_by_key(|tactic| place_of(tactic)).cloned(),
            reason: alert.reason.clone(),
            first_event_time: alert.first_event_time,
        };
        self.alerts.retain(|known| known.id != member.id);
        self.alerts.push(member);
        self.alerts.sort_by(|a, b| {
            let weight = |member: &Member| (member.severity, member.tactic.as_deref().and_then(place_of));
            let graver = weight(b).cmp(&weight(a));
            graver.then_with(|| (a.first_event_time, &a.id).cmp(&(b.first_event_time, &b.id)))
        });
        self.alerts.truncate(alerts_max);
    }

    fn name(&mut self, subjects: &[Subject], subjects_max: usize) {
        let mut places: BTreeMap<_, _> =
            self.subjects.iter().enumerate().map(|(at, known)| ((known.kind, known.value.clone()), at)).collect();
        for subject in subjects {
            let key = (subject.kind, subject.value.clone());
            match places.get(&key).and_then(|at| self.subjects.get_mut(*at)) {
                Some(known) => {
                    known.hit |= subject.hit;
                    // What one alert takes for the attacker's, another may only have seen at work.
                    if subject.role == Role::Attacker {
                        known.role = Role::Attacker;
                    }
                }
                None => {
                    places.insert(key, self.subjects.len());
                    self.subjects.push(subject.clone());
                }
            }
        }
        self.subjects.sort_by_key(|subject| (!subject.hit, subject.role != Role::Attacker));
        self.subjects.truncate(subjects_max);
        self.entities = Entities::of(&self.subjects);
    }

    /// Title and summary come from the alert that weighs most.
    fn word(&mut self) {
        let Some(first) = self.alerts.first() else { return };
        self.summary.clone_from(&first.reason);
        let names = match self.named(Role::Victim) {
            victims if victims.is_empty() => self.named(Role::Attacker),
            victims => victims,
        };
        let more = names.len().saturating_sub(NAMES_MAX);
        let shown = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
        self.title = match (shown.is_empty(), more) {
            (true, _) => first.title.clone(),
            (false, 0) => format!("{}: {shown}", first.title),
            (false, more) => format!("{}: {shown} and {more} more", first.title),
        };
    }

    /// Users of a role; if there are none, what else has it. Those that were hit come first.
    fn named(&self, role: Role) -> Vec<&str> {
        let all = || self.subjects.iter().filter(|subject| subject.role == role);
        let users: Vec<&str> = all().filter(|subject| subject.kind == EntityKind::User).map(|subject| subject.value.as_str()).collect();
        if users.is_empty() { all().map(|subject| subject.value.as_str()).collect() } else { users }
    }

    /// Names another incident as related.
    pub fn relate(&mut self, id: &str) {
        if self.related.len() < RELATED_MAX && id != self.id && !self.related.iter().any(|known| known == id) {
            self.related.push(id.to_owned());
        }
    }
}

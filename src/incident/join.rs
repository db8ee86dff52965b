//! Which incident an alert belongs to: the rules of the [module](super), in the transaction of the alert's version.

use super::config::IncidentConfig;
use super::model::{Incident, Resolution};
use super::risk;
use crate::alert::Alert;
use crate::alert::model::{Disposition, Status};
use crate::db::DbError;
use crate::db::incidents;
use bartizan_core::{EntityKind, Role, Subject};
use rusqlite::Connection;
use serde_json::json;
use std::collections::BTreeSet;

/// Milder alerts of the same attacker or victim that an opening takes in.
const TAKEN_IN_MAX: u32 = 50;
/// Attackers' addresses, devices, sessions and tokens of an alert by which its incident is looked for.
const ATTACKERS_MAX: usize = 64;
/// Alerts whose risk is summed.
const RISK_ALERTS_MAX: u32 = 100;

/// What became of an incident by a version of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The alert opened it.
    Opened,
    /// It had gone silent, and goes on.
    Reopened,
    /// It has one more alert, is worse than before, or more was hit.
    Changed,
    /// An alert in it grew.
    Grew,
}

/// The incident of a version of an alert.
#[derive(Clone, Debug)]
pub struct Joined {
    /// As it is now.
    pub incident: Incident,
    /// What became of it.
    pub course: Course,
}

/// Joins the alert, as it was just stored, to its incident, and writes both. `None`: it is too mild to open one.
///
/// # Errors
/// SQLite says no, or a stored record does not read.
pub fn join(tx: &Connection, alert: &mut Alert, config: &IncidentConfig, now_ms: i64) -> Result<Option<Joined>, DbError> {
    let joiner = Joiner { tx, config, now_ms };
    if let Some(id) = alert.incident.clone()
        && let Some(incident) = incidents::get(tx, &id)?
    {
        return joiner.enter(incident, alert, false).map(Some);
    }
    let (goes_on, over): (Vec<_>, Vec<_>) = joiner.fitting(alert)?.into_iter().partition(|incident| joiner.goes_on(incident, alert));
    let (mut goes_on, mut over) = (goes_on.into_iter(), over.into_iter());
    let found = goes_on.next();
    let opens = found.is_none();
    let mut incident = match found {
        Some(incident) => incident,
        None if alert.severity >= config.min_severity || joiner.is_risk(alert)? => {
            Incident { previous: over.next().map(|incident| incident.id), ..Incident::of(alert) }
        }
        None => return Ok(None),
    };
    for mut other in goes_on.chain(over) {
        incident.relate(&other.id);
        other.relate(&incident.id);
        incidents::put(tx, &other)?;
    }
    if opens {
        incident = joiner.take_in_milder(incident, alert)?;
    }
    joiner.enter(incident, alert, true).map(Some)
}

struct Joiner<'a> {
    tx: &'a Connection,
    config: &'a IncidentConfig,
    now_ms: i64,
}

impl Joiner<'_> {
    /// Incidents that the alert could belong to, the best first.
    fn fitting(&self, alert: &Alert) -> Result<Vec<Incident>, DbError> {
        let reach_ms = self.config.reopen_ms;
        let window = (alert.first_event_time.0.saturating_sub(reach_ms), alert.last_event_time.0.saturating_add(reach_ms));
        let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
        for subjects in [attackers(alert), only_victim(alert)] {
            let mut found = Vec::new();
            for subject in subjects {
                found.extend(incidents::with(self.tx, &alert.tenant, subject, window)?);
            }
            found.sort_by(|a, b| (b.last_ms, &a.id).cmp(&(a.last_ms, &b.id)));
            for one in found {
                if seen.insert(one.id.clone())
                    && let Some(incident) = incidents::get(self.tx, &one.id)?
                {
                    all.push(incident);
                }
            }
        }
        Ok(all)
    }

    /// Does the alert go on with this incident, or does it begin another one after it?
    fn goes_on(&self, incident: &Incident, alert: &Alert) -> bool {
        let gap_ms = alert.first_event_time.0.saturating_sub(incident.last_event_time.0);
        let by_people = incident.status == Status::Resolved && incident.resolution != Some(Resolution::Silence);
        !by_people && gap_ms <= self.config.reopen_ms
    }

    /// Do the alerts about one of those whom this mild alert is about add up to an incident?
    fn is_risk(&self, alert: &Alert) -> Result<bool, DbError> {
        if self.config.risk_opens == 0 {
            return Ok(false);
        }
        let window = (i64::MIN, i64::MAX);
        let victim = alert.subjects.iter().filter(|subject| subject.role == Role::Victim && is_about_one(alert));
        for subject in attackers(alert).into_iter().chain(victim) {
            let name = (subject.kind, subject.value.as_str());
            let others = incidents::unassigned(self.tx, &alert.tenant, name, window, RISK_ALERTS_MAX)?;
            if risk::of(&others, subject.kind, &subject.value, alert.detected_time.0).score >= self.config.risk_opens {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Alerts before this one that were too mild to open an incident, about the same attacker or victim.
    fn take_in_milder(&self, mut incident: Incident, alert: &Alert) -> Result<Incident, DbError> {
        let reach_ms = self.config.reopen_ms;
        let window = (alert.first_event_time.0.saturating_sub(reach_ms), alert.last_event_time.0.saturating_add(reach_ms));
        for subject in attackers(alert).into_iter().chain(only_victim(alert)) {
            let name = (subject.kind, subject.value.as_str());
            for mut milder in incidents::unassigned(self.tx, &alert.tenant, name, window, TAKEN_IN_MAX)? {
                let plays_the_same = milder.subjects.iter().any(|other| finds(other) && other.value == subject.value);
                if milder.id != alert.id && plays_the_same && !milder.disposition.is_some_and(Disposition::is_harmless) {
                    self.fill(&mut incident, &milder, true)?;
                    incidents::assign(self.tx, &mut milder, &incident.id)?;
                }
            }
        }
        Ok(incident)
    }

    /// Puts the version into the incident.
    fn enter(&self, mut incident: Incident, alert: &mut Alert, is_new: bool) -> Result<Joined, DbError> {
        let opened = incident.version == 0;
        let (severity, hits) = (incident.severity, incident.hit_count);
        let wakes = incident.resolution == Some(Resolution::Silence) && alert.ongoing;
        if wakes {
            (incident.status, incident.resolution) = (Status::Open, None);
        }
        self.fill(&mut incident, alert, is_new)?;
        let course = match () {
            () if opened => Course::Opened,
            () if wakes => Course::Reopened,
            () if is_new || incident.severity > severity || incident.hit_count > hits => Course::Changed,
            () => Course::Grew,
        };
        if course == Course::Grew {
            incidents::put(self.tx, &incident)?;
        } else {
            let change = json!({
                "course": course.as_str(), "alert": alert.id, "detector": alert.detector, "severity": incident.severity,
                "alert_count": incident.alert_count, "hit_count": incident.hit_count, "reason": alert.reason,
            });
            incidents::put_version(self.tx, &mut incident, "detection", &change, self.now_ms)?;
        }
        if is_new {
            incidents::assign(self.tx, alert, &incident.id)?;
        }
        Ok(Joined { incident, course })
    }

    fn fill(&self, incident: &mut Incident, alert: &Alert, is_new: bool) -> Result<(), DbError> {
        if incident.version == 0 && incident.alert_count == 0 {
            // Rows that name it need it to be there.
            incidents::put(self.tx, incident)?;
        }
        fill(self.tx, self.config, incident, alert, is_new)
    }
}

/// Takes an alert into the record of its incident, which is found by the alert's subjects from then on.
///
/// # Errors
/// SQLite says no.
pub(super) fn fill(tx: &Connection, config: &IncidentConfig, incident: &mut Incident, alert: &Alert, is_new: bool) -> Result<(), DbError> {
    let subjects = alert.subjects.iter().filter(|subject| finds(subject));
    incident.hit_count = incidents::find_by(tx, incident, subjects, alert.last_event_time.0, config.entities_max)?;
    incident.take_in(alert, is_new, config);
    Ok(())
}

impl Course {
    /// Its name in the history.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reopened => "reopened",
            Self::Changed => "changed",
            Self::Grew => "grew",
        }
    }
}

/// Is an incident found by this subject? Never by what many share.
#[must_use]
pub fn finds(subject: &Subject) -> bool {
    let own = subject.kind != EntityKind::Network && subject.role != Role::Shared;
    own && (subject.role == Role::Attacker || subject.hit)
}

fn attackers(alert: &Alert) -> Vec<&Subject> {
    let own = alert.subjects.iter().filter(|subject| subject.role == Role::Attacker && finds(subject));
    own.take(ATTACKERS_MAX).collect()
}

/// What was hit of the one person whom the alert is about; nothing if it is about several.
fn only_victim(alert: &Alert) -> Vec<&Subject> {
    let hit = alert.subjects.iter().filter(|subject| subject.role == Role::Victim && finds(subject));
    hit.filter(|_| is_about_one(alert)).collect()
}

/// Is the alert about one person, or about none that it knows?
fn is_about_one(alert: &Alert) -> bool {
    alert.subjects.iter().filter(|subject| subject.kind == EntityKind::User && subject.role == Role::Victim).count() <= 1
}

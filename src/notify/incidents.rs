//! What channels for people hear of incidents: the opening and what makes one worse at once, all other news in a digest,
//! so that one incident is one message and a busy hour no flood.
//!
//! What a channel knows of an incident is the newest message about it in the outbox; nothing of it is kept elsewhere, and
//! channels with different severities each have a view of their own. A message that nobody has tried to send yet is
//! brought up to date instead of being followed by another one: so an opening waits [`HOLD_MS`] for what comes with it, a
//! channel that escalates waits until nobody acknowledged in time, quiet hours and maintenance wait for their end, all by
//! the same rule. What is over before it was told comes in the digest.

use super::notice::{TallyKind, grow};
use super::payload::{Notice, Payload, Response, message_id};
use super::routing::{Route, Routing};
use super::view::counted;
use crate::alert::Status;
use crate::db::outbox::{NewMessage, Newest, State};
use crate::db::{DbError, maintenance, outbox};
use crate::incident::join::Course;
use crate::incident::{Incident, Joined, Resolution};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use bartizan_core::{Severity, TimeMs};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// The first message about an incident.
pub const OPENED: &str = "incident.opened";
/// It got worse, or is open again.
pub const UPDATED: &str = "incident.updated";
/// Somebody works on it.
pub const ACKNOWLEDGED: &str = "incident.acknowledged";
/// It is over.
pub const RESOLVED: &str = "incident.resolved";

/// How long an opening that is not critical waits for what comes with it.
const HOLD_MS: i64 = 2 * SECOND_MS;
/// How long news that is not worse waits for more, where the other end keeps a state.
const GATHER_MS: i64 = 30 * SECOND_MS;
/// Other news of all incidents that a channel knows, for people.
const DIGEST: TallyKind = TallyKind { kind: "incident.digest", period_ms: 15 * MINUTE_MS, hold_ms: 15 * MINUTE_MS, can_wait: true };
/// Incidents that a digest names; more are counted.
const DIGEST_MAX: usize = 100;

/// What a stored message says of its incident, as far as the next one depends on it.
#[derive(Deserialize)]
struct Known {
    severity: Severity,
    hit_count: u64,
}

/// News of incidents in one digest.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Digest {
    /// Incidents in it.
    incidents: u64,
    /// Of them, how many had too many beside them in their hour to be told singly.
    held_back: u64,
    /// They, as they are by now; bounded.
    samples: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    id: String,
    title: String,
    severity: Severity,
    status: Status,
    tenant: String,
    alert_count: u64,
    hit_count: u64,
}

/// Tells one channel of incidents.
pub struct IncidentTeller<'a> {
    /// The transaction of what happened.
    pub tx: &'a Connection,
    /// Limits, and where the console is.
    pub routing: &'a Routing,
    /// The channel.
    pub route: &'a Route,
    /// The time.
    pub now_ms: i64,
}

impl IncidentTeller<'_> {
    /// A version of an alert came to the incident.
    ///
    /// # Errors
    /// SQLite says no, or a stored message does not read.
    pub fn detection(&self, joined: &Joined, response: Response) -> Result<(), DbError> {
        let incident = &joined.incident;
        if !self.route.takes_incident(incident) {
            return Ok(());
        }
        let Some(newest) = outbox::newest_about(self.tx, &self.route.name, &incident.id)? else {
            return self.open(incident, response);
        };
        let known: Payload<Known> = serde_json::from_str(&newest.body)?;
        let worse = incident.severity > known.data.severity || (incident.hit_count > 0 && known.data.hit_count == 0);
        match joined.course {
            _ if newest.waits && matches!(newest.kind.as_str(), OPENED | UPDATED) => {
                let sum = known.response.and(response);
                let by_ms = if self.is_held(&newest, incident) { i64::MAX } else { self.due_ms(incident, 0)? };
                outbox::rewrite(self.tx, &self.route.name, &newest.message_id, &self.body(&newest.kind, incident, sum)?, by_ms)?;
                Ok(())
            }
            Course::Opened | Course::Reopened => self.enqueue(OPENED, incident, response, 0),
            _ if worse => self.enqueue(UPDATED, incident, response, 0),
            Course::Changed if self.route.keeps_state => self.enqueue(UPDATED, incident, response, GATHER_MS),
            Course::Changed => self.digest(incident, false),
            Course::Grew => Ok(()),
        }
    }

    /// A person, or silence, changed where the incident stands; only who knows of it is told.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn step(&self, incident: &Incident) -> Result<(), DbError> {
        let Some(newest) = outbox::newest_about(self.tx, &self.route.name, &incident.id)? else { return Ok(()) };
        let kind = match incident.status {
            Status::Open => UPDATED,
            Status::Acknowledged => ACKNOWLEDGED,
            Status::Resolved => RESOLVED,
        };
        if newest.waits && newest.kind == OPENED {
            let taken_back = |reason| outbox::withdraw(self.tx, &self.route.name, &newest.message_id, reason, self.now_ms);
            if self.route.escalate_after_ms > 0 && kind != UPDATED {
                taken_back("somebody was there in time")?;
                return Ok(());
            }
            if kind == RESOLVED {
                taken_back("it was over before it was told")?;
                return self.digest(incident, false);
            }
        }
        let by_itself = matches!(incident.resolution, Some(Resolution::Silence));
        if kind == RESOLVED && by_itself && !self.route.keeps_state {
            return self.digest(incident, false);
        }
        self.enqueue(kind, incident, Response::default(), 0)
    }

    fn open(&self, incident: &Incident, response: Response) -> Result<(), DbError> {
        let critical = incident.severity == Severity::Critical;
        if !critical && !self.has_room(incident.severity)? {
            return self.digest(incident, true);
        }
        let hold_ms = if critical { 0 } else { HOLD_MS };
        self.enqueue(OPENED, incident, response, hold_ms.max(self.route.escalate_after_ms))
    }

    /// May the channel hear of one more opening in this hour?
    fn has_room(&self, severity: Severity) -> Result<bool, DbError> {
        let limits = &self.routing.limits;
        let (all, mild) = outbox::openings_since(self.tx, &self.route.name, self.now_ms.saturating_sub(HOUR_MS))?;
        Ok(all < limits.incidents_per_hour_max && (severity >= Severity::High || mild < limits.mild_incidents_per_hour_max))
    }

    /// Does the message that waits wait for more than company?
    fn is_held(&self, newest: &Newest, incident: &Incident) -> bool {
        let escalates = self.route.escalate_after_ms > 0 && newest.kind == OPENED;
        escalates || incident.severity < Severity::Critical
    }

    fn enqueue(&self, kind: &str, incident: &Incident, response: Response, hold_ms: i64) -> Result<(), DbError> {
        let message = NewMessage {
            channel: self.route.name.clone(),
            message_id: message_id(&["incident", &self.route.name, &incident.id, kind, &incident.version.to_string()]),
            kind: kind.to_owned(),
            about: incident.id.clone(),
            version: incident.version,
            body: self.body(kind, incident, response)?,
            state: State::Pending,
            next_ms: self.due_ms(incident, hold_ms)?,
            not_after_ms: None,
        };
        outbox::enqueue(self.tx, &message, self.now_ms)?;
        Ok(())
    }

    /// When it may go: after `hold_ms`, the channel's quiet hours, and maintenance of the tenant.
    fn due_ms(&self, incident: &Incident, hold_ms: i64) -> Result<i64, DbError> {
        let due_ms = self.route.due_ms(incident.severity, self.now_ms.saturating_add(hold_ms));
        let window = maintenance::at(self.tx, &incident.tenant, self.now_ms)?;
        Ok(window.map_or(due_ms, |window| due_ms.max(window.until_ms)))
    }

    /// The message: the incident as the API shows it, with the alerts that weigh most.
    fn body(&self, kind: &str, incident: &Incident, response: Response) -> Result<String, DbError> {
        let mut shown = incident.clone();
        shown.alerts.truncate(self.routing.limits.samples_max);
        let url = self.routing.url_of_incident(&incident.id);
        let payload = Payload { kind: kind.to_owned(), timestamp: TimeMs(self.now_ms), data: shown, response, url };
        Ok(serde_json::to_string(&payload)?)
    }

    fn digest(&self, incident: &Incident, held_back: bool) -> Result<(), DbError> {
        if self.route.keeps_state && !held_back {
            // What it never heard of is over; what it knows, it is told singly.
            return Ok(());
        }
        grow(self.tx, self.route, (DIGEST, &[]), self.now_ms, |details| {
            let mut digest: Digest = details.map(serde_json::from_value).transpose()?.unwrap_or_default();
            let before = digest.samples.len();
            digest.samples.retain(|line| line.id != incident.id);
            let is_new = digest.samples.len() == before;
            digest.incidents += u64::from(is_new);
            digest.held_back += u64::from(is_new && held_back);
            if digest.samples.len() < DIGEST_MAX {
                digest.samples.push(Line::of(incident));
            }
            let title = format!("News of {}", counted(digest.incidents, "incident"));
            let text = match digest.held_back {
                0 => "They are known, and nothing of it is worse than what was told before.".to_owned(),
                held => format!(
                    "{held} of them are not told singly, as many were opened within an hour (notify.incidents_per_hour_max, notify.mild_incidents_per_hour_max). The others are known, and nothing of it is worse than what was told before."
                ),
            };
            Ok(Notice { title, text, details: serde_json::to_value(&digest)? })
        })
    }
}

impl Line {
    fn of(incident: &Incident) -> Self {
        Self {
            id: incident.id.clone(),
            title: incident.title.clone(),
            severity: incident.severity,
            status: incident.status,
            tenant: incident.tenant.clone(),
            alert_count: incident.alert_count,
            hit_count: incident.hit_count,
        }
    }
}

#[cfg(test)]
#[path = "incidents_tests.rs"]
mod tests;

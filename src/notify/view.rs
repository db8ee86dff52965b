//! What people are told, derived once from a message, whatever the channel.
//!
//! Each channel renders the same [`View`] in its own form, so that mail, chat and pager say the same. Every text that
//! comes from a log has gone through [`visible`] and is bounded here; what is left to a channel is the escaping that its
//! form asks for.

use super::notice::{Sample, Tally};
use super::payload::{Notice, Payload, Response, message_id};
use super::visible::visible;
use crate::alert::model::{Attack, Disposition};
use crate::alert::{Alert, Status};
use crate::incident::Incident;
use crate::incident::model::Resolution;
use bartizan_core::{EntityKind, Role, Severity, Subject, TimeMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Characters of a subject: longer ones are cut by readers anyway.
const SUBJECT_CHARS_MAX: usize = 120;
/// Characters of one value.
const VALUE_CHARS_MAX: usize = 200;
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 600;
/// Bytes of one row, and of all rows together: what every channel takes, however it escapes.
const ROW_BYTES_MAX: usize = 1024;
const ROWS_BYTES_MAX: usize = 4 * ROW_BYTES_MAX;
/// Names in one row; the record has the rest.
const NAMES_MAX: usize = 12;
/// Numbers of the evidence.
const NUMBERS_MAX: usize = 16;
/// Bytes of a date, as it begins a time.
const DATE_BYTES: usize = "2026-03-01".len();
/// Alerts of an incident or tally.
const ALERTS_MAX: usize = 10;

/// Where what is told stands in its course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// It is new to whom it is told.
    Opened,
    /// There is more of it.
    Updated,
    /// Somebody is on it.
    Acknowledged,
    /// It is over.
    Resolved,
    /// It has no course: told once.
    Notice,
}

impl Course {
    /// By the last word of a message's type.
    fn of(step: &str) -> Option<Self> {
        Some(match step {
            "opened" => Self::Opened,
            "updated" => Self::Updated,
            "acknowledged" => Self::Acknowledged,
            "resolved" => Self::Resolved,
            _ => return None,
        })
    }

    /// How a heading begins.
    fn prefix(self) -> &'static str {
        match self {
            Self::Opened | Self::Notice => "",
            Self::Updated => "update: ",
            Self::Acknowledged => "acknowledged: ",
            Self::Resolved => "resolved: ",
        }
    }
}

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// One word: what it is.
    pub label: &'static str,
    /// One line.
    pub value: String,
}

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// Type of the message.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it stands in its course.
    pub course: Course,
    /// The incident, alert or health alert that it is about: the same in all messages about it. Empty: a notice, about
    /// nothing else.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// One line, without whom it is about.
    pub heading: String,
    /// One line for lists, with whom it is about.
    pub subject: String,
    /// Its tenant; empty of a notice.
    pub tenant: String,
    /// The detectors that found it.
    pub detectors: Vec<String>,
    /// Event time of its first event; of a notice, when it was written.
    pub began: TimeMs,
    /// When what the message tells was found.
    pub timestamp: TimeMs,
    /// All that is said, in its order; none is empty.
    pub rows: Vec<Row>,
    /// Where the console shows it.
    pub url: Option<String>,
}

impl View {
    /// Of the body of an outbox message.
    ///
    /// # Errors
    /// The body is no message that is known here.
    pub fn of(body: &str) -> Result<Self, serde_json::Error> {
        let Payload { kind, timestamp, data, response, url } = serde_json::from_str::<Payload<Value>>(body)?;
        let told = match kind.split_once('.').map(|(about, step)| (about, Course::of(step))) {
            Some(("alert", Some(course))) => of_alert(&Alert::deserialize(data)?, course, response),
            Some(("incident", Some(course))) => of_incident(&Incident::deserialize(data)?, course, response),
            _ => of_notice(&Notice::deserialize(data)?, &kind, timestamp),
        };
        Ok(told.cut(kind, timestamp, url))
    }

    /// The rows by their labels; those that share one as lines of one text.
    #[must_use]
    pub fn details(&self) -> BTreeMap<&'static str, String> {
        let mut details = BTreeMap::<_, String>::new();
        for row in &self.rows {
            details.entry(row.label).and_modify(|text| *text = format!("{text}\n{}", row.value)).or_insert_with(|| row.value.clone());
        }
        details
    }

    /// The rows as lines of text.
    #[must_use]
    pub fn lines(&self) -> String {
        self.rows.iter().map(|row| format!("{:<9}{}\n", row.label, row.value)).collect()
    }
}

/// What the three kinds of messages say of themselves, not yet bounded as a whole.
struct Told {
    course: Course,
    key: String,
    severity: Severity,
    /// What stands before the title in brackets.
    tag: String,
    title: String,
    /// What follows the title in a subject.
    whom: String,
    tenant: String,
    detectors: Vec<String>,
    began: TimeMs,
    rows: Vec<(&'static str, String)>,
}

impl Told {
    fn cut(self, kind: String, timestamp: TimeMs, url: Option<String>) -> View {
        let heading = format!("[{}] {}", self.tag, self.title);
        let (mut room, mut rows) = (ROWS_BYTES_MAX, Vec::new());
        for (label, mut value) in self.rows.into_iter().filter(|(_, value)| !value.is_empty()) {
            let most = room.min(ROW_BYTES_MAX);
            if value.len() > most {
                value.truncate(value.floor_char_boundary(most));
                value.push('…');
            }
            room = room.saturating_sub(value.len());
            rows.push(Row { label, value });
            if room == 0 {
                break;
            }
        }
        View {
            kind,
            course: self.course,
            key: self.key,
            severity: self.severity,
            subject: visible(&format!("{heading}{}", self.whom), SUBJECT_CHARS_MAX),
            heading: line(&heading),
            tenant: line(&self.tenant),
            detectors: self.detectors.iter().map(|detector| line(detector)).collect(),
            began: self.began,
            timestamp,
            rows,
            url,
        }
    }
}

/// Rows in the order in which somebody who was woken asks: why, who, what now; the particulars after that.
fn of_alert(alert: &Alert, course: Course, response: Response) -> Told {
    let ongoing = if alert.ongoing { "goes on" } else { "over" };
    let when = span(alert.first_event_time, alert.last_event_time);
    let rows = vec![
        ("Why", visible(&alert.reason, REASON_CHARS_MAX)),
        ("Who", names(&alert.subjects, |subject| subject.role == Role::Victim)),
        ("From", names(&alert.subjects, |subject| subject.role != Role::Victim)),
        ("Next", next(course, alert.subjects.iter().any(|subject| subject.hit), response)),
        ("Done", done(response).unwrap_or_else(|| "no machine was asked to act because of this version".to_owned())),
        ("When", format!("{when}, {}, {ongoing}", counted(alert.event_count, "event"))),
        ("Found", line(&format!("by {}, {:.0} % sure, {}", alert.detector, alert.confidence * 100.0, techniques(&alert.attack)))),
        ("Numbers", numbers(alert)),
        ("Tenant", line(&alert.tenant)),
        ("Alert", format!("{} version {}, {}", line(&alert.id), alert.version, standing(alert.status, alert.disposition, None))),
        ("Assignee", alert.assignee.as_deref().map(line).unwrap_or_default()),
    ];
    Told {
        course,
        key: alert.id.clone(),
        severity: alert.severity,
        tag: alert.severity.as_str().to_uppercase(),
        title: format!("{}{}", course.prefix(), alert.title),
        whom: format!(": {} ({})", alert.key, alert.tenant),
        tenant: alert.tenant.clone(),
        detectors: vec![alert.detector.clone()],
        began: alert.first_event_time,
        rows,
    }
}

fn of_incident(incident: &Incident, course: Course, response: Response) -> Told {
    let times = |(detector, count): (&String, &u64)| if *count == 1 { detector.clone() } else { format!("{detector} × {count}") };
    let detectors = incident.detectors.iter().map(times).collect::<Vec<_>>().join(", ");
    let when = span(incident.first_event_time, incident.last_event_time);
    let mut rows = vec![
        ("Why", visible(&incident.summary, REASON_CHARS_MAX)),
        ("Who", names(&incident.subjects, |subject| subject.role == Role::Victim)),
        ("From", names(&incident.subjects, |subject| subject.role != Role::Victim)),
        ("Next", next(course, incident.hit_count > 0, response)),
        ("Done", done(response).unwrap_or_default()),
        ("When", format!("{when}, {}, {} hit", counted(incident.alert_count, "alert"), incident.hit_count)),
    ];
    let members = incident.alerts.iter().take(ALERTS_MAX);
    rows.extend(members.map(|one| ("Alerts", line(&format!("{} {}: {}", one.severity, one.detector, one.title)))));
    rows.extend([
        ("Found", line(&format!("by {detectors}, {}", techniques(&incident.attack)))),
        ("Tenant", line(&incident.tenant)),
        (
            "Incident",
            format!(
                "{} version {}, {}",
                line(&incident.id),
                incident.version,
                standing(incident.status, incident.disposition, incident.resolution)
            ),
        ),
        ("Assignee", incident.assignee.as_deref().map(line).unwrap_or_default()),
    ]);
    Told {
        course,
        key: incident.id.clone(),
        severity: incident.severity,
        tag: incident.severity.as_str().to_uppercase(),
        title: format!("{}{}", course.prefix(), incident.title),
        whom: format!(" ({})", incident.tenant),
        tenant: incident.tenant.clone(),
        detectors: incident.detectors.keys().cloned().collect(),
        began: incident.first_event_time,
        rows,
    }
}

/// An incident within a digest.
#[derive(Deserialize)]
struct News {
    title: String,
    severity: Severity,
    status: Status,
    tenant: String,
}

fn of_notice(notice: &Notice, kind: &str, timestamp: TimeMs) -> Told {
    let detail = |name: &str| notice.details.get(name).unwrap_or(&Value::Null);
    let news = Vec::<News>::deserialize(detail("samples")).unwrap_or_default();
    // Health alerts are notices that end.
    let of_health = || message_id(&["health", &plain(detail("id")), &plain(detail("subject"))]);
    let (course, key) = match kind {
        "health.raised" => (Course::Opened, of_health()),
        "health.cleared" => (Course::Resolved, of_health()),
        _ => (Course::Notice, String::new()),
    };
    let details = notice.details.as_object().into_iter().flatten().filter(|(name, value)| !value.is_null() && *name != "samples");
    let shown: Vec<String> = details.take(NUMBERS_MAX).map(|(name, value)| line(&format!("{name} = {}", plain(value)))).collect();
    let mut rows = vec![("What", visible(&notice.text, REASON_CHARS_MAX)), ("Details", shown.join("; "))];
    let samples = Vec::<Sample>::deserialize(detail("samples")).unwrap_or_default();
    rows.extend(
        samples
            .iter()
            .take(ALERTS_MAX)
            .map(|one| ("Alerts", line(&format!("{} {} {} ({})", one.severity, one.detector, one.key, one.tenant)))),
    );
    rows.extend(
        news.iter()
            .take(ALERTS_MAX)
            .map(|one| ("News", line(&format!("{} {} ({}), {}", one.severity, one.title, one.tenant, one.status.as_str())))),
    );
    rows.push(("Kind", line(kind)));
    Told {
        course,
        key,
        severity: severity_of(kind, &notice.details, &news),
        tag: "bartizan".to_owned(),
        title: notice.title.clone(),
        whom: String::new(),
        tenant: String::new(),
        detectors: Vec::new(),
        began: timestamp,
        rows,
    }
}

/// How bad it is what a notice tells.
fn severity_of(kind: &str, details: &Value, news: &[News]) -> Severity {
    let worst = || Tally::deserialize(details).ok().and_then(|tally| tally.by_severity.into_keys().max());
    match kind {
        "channel.test" | "heartbeat" | "health.cleared" => Severity::Info,
        // What was held back is told nowhere else.
        "incident.digest" if details.get("held_back").and_then(Value::as_u64) == Some(0) => Severity::Info,
        "incident.digest" => news.iter().map(|one| one.severity).max().unwrap_or(Severity::Medium),
        "backlog.notice" => Severity::Low,
        _ => worst().unwrap_or(Severity::High),
    }
}

fn line(text: &str) -> String {
    visible(text, VALUE_CHARS_MAX)
}

/// "1 alert", "3 alerts".
pub(super) fn counted(count: impl Into<u64>, one: &str) -> String {
    let count = count.into();
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Where it stands; of what is resolved, as what people judged it, or what ended it instead.
fn standing(status: Status, disposition: Option<Disposition>, resolution: Option<Resolution>) -> String {
    let how = match (disposition, resolution) {
        _ if status != Status::Resolved => "",
        (Some(Disposition::TruePositive), _) => " as a true positive",
        (Some(Disposition::FalsePositive), _) => " as a false positive",
        (Some(Disposition::Benign), _) => " as benign",
        (None, Some(Resolution::Silence)) => " by silence",
        (None, Some(Resolution::Alerts)) => " with its alerts",
        (None, Some(Resolution::Merged)) => ", merged into another one",
        (None, Some(Resolution::Person) | None) => "",
    };
    format!("{}{how}", status.as_str())
}

/// From one time to another in UTC, to the second; the day once if it is the same.
fn span(first: TimeMs, last: TimeMs) -> String {
    let (first, last) = (second(first), second(last));
    match last.strip_prefix(first.get(..DATE_BYTES).unwrap_or_default()) {
        _ if first == last => format!("{first} UTC"),
        Some(clock) => format!("{first} to {} UTC", clock.trim_start()),
        None => format!("{first} to {last} UTC"),
    }
}

/// A time in UTC for people, to the second: `2026-03-01 12:00:00`.
#[must_use]
pub fn second(time: TimeMs) -> String {
    let text = time.to_string();
    text.split_once('.').map_or(text.as_str(), |(whole, _)| whole).replace('T', " ")
}

fn techniques(attack: &[Attack]) -> String {
    attack.iter().map(|attack| format!("{} {}", attack.tactic, attack.technique)).collect::<Vec<_>>().join(", ")
}

/// Names of the subjects that match, those that were hit first.
fn names(subjects: &[Subject], matches: impl Fn(&Subject) -> bool) -> String {
    let mut chosen: Vec<&Subject> = subjects.iter().filter(|subject| matches(subject)).collect();
    chosen.sort_by_key(|subject| !subject.hit);
    let mut shown: Vec<String> = chosen.iter().take(NAMES_MAX).map(|subject| name(subject)).collect();
    if chosen.len() > NAMES_MAX {
        shown.push(format!("and {} more", chosen.len() - NAMES_MAX));
    }
    shown.join(", ")
}

fn name(subject: &Subject) -> String {
    let kind = match subject.kind {
        EntityKind::Ip | EntityKind::Network => String::new(),
        kind => format!("{kind} "),
    };
    let shared = if subject.role == Role::Shared { " (shared)" } else { "" };
    format!("{kind}{}{shared}{}", line(&subject.value), if subject.hit { " (hit)" } else { "" })
}

fn numbers(alert: &Alert) -> String {
    let scalars = alert.evidence.iter().filter(|(_, value)| !value.is_object() && !value.is_array() && !value.is_null());
    let shown: Vec<String> = scalars.take(NUMBERS_MAX).map(|(name, value)| line(&format!("{name} = {}", plain(value)))).collect();
    shown.join("; ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What machines were asked to do; `None`: nothing.
fn done(response: Response) -> Option<String> {
    let parts =
        [(response.requested, "asked for"), (response.dry_run, "only recorded (dry run)"), (response.held, "left to a person to decide")];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", counted(*count, "action"))).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// What is left to a person.
fn next(course: Course, anything_hit: bool, response: Response) -> String {
    let step = match course {
        Course::Acknowledged | Course::Resolved | Course::Notice => "",
        _ if response.held > 0 => "decide on the actions that wait (approve or refuse them), or resolve this as a false alarm",
        _ if anything_hit => {
            "ask the owner whether it was them; if not, end the sessions that were hit and still live, and renew what was stolen (password, \
             tokens, factors)"
        }
        _ => "nothing got in so far: watch whether it stays so",
    };
    step.to_owned()
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;

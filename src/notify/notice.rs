//! Notices: what people are told besides single alerts.
//!
//! Two kinds. An incident of operation (a revocation held or failed, a delivery given up, a channel
//! ended) goes to every channel for people, once for each cause. A tally gathers alerts that are not
//! told singly (a backlog, a campaign) into one message a channel and period; it grows in the outbox
//! until its time comes, so nothing is counted anywhere else and nothing is lost in a crash.

use super::payload::{Notice, Payload, message_id};
use super::routing::{Route, Routing};
use crate::alert::Alert;
use crate::db::outbox::{NewMessage, State};
use crate::db::{DbError, channels, outbox};
use bartizan_core::{Severity, TimeMs};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Detectors that a tally tells apart; further ones count as `other`. The catalogue has fewer.
const DETECTORS_MAX: usize = 50;
/// A tally that was sent is followed by that of the next period; clocks that step back a little
/// may need one more.
const PERIODS_MAX: i64 = 4;

/// A notice and its address.
#[derive(Clone, Copy, Debug)]
pub struct Announcement<'a> {
    /// Type of the message.
    pub kind: &'a str,
    /// Names the cause: the same kind and key are told once.
    pub key: &'a [&'a str],
    /// A channel that is left out: the one that fails.
    pub except: Option<&'a str>,
    /// What it says.
    pub notice: &'a Notice,
}

/// Writes a notice for every channel for people.
///
/// # Errors
/// SQLite says no.
pub fn tell_everyone(tx: &Connection, routing: &Routing, telling: &Announcement<'_>, now_ms: i64) -> Result<(), DbError> {
    let ended = channels::ended(tx)?;
    let kind = telling.kind;
    let url = url_of(kind, &telling.notice.details, routing.public_url.as_deref());
    let payload = Payload { kind: kind.to_owned(), timestamp: TimeMs(now_ms), data: telling.notice, response: <_>::default(), url };
    let body = serde_json::to_string(&payload)?;
    for route in routing.channels.iter().filter(|route| !route.every_version && !ended.contains(&route.name)) {
        if telling.except != Some(route.name.as_str()) {
            let parts: Vec<&str> = [kind, route.name.as_str()].iter().chain(telling.key).copied().collect();
            outbox::enqueue(tx, &new_message(route, message_id(&parts), kind, body.clone(), now_ms), now_ms)?;
        }
    }
    Ok(())
}

/// Where the console at `console` shows what a notice is about, if it has a page for that.
#[must_use]
pub fn url_of(kind: &str, details: &Value, console: Option<&str>) -> Option<String> {
    let id = |member: &str| details.get(member).and_then(Value::as_str);
    let page = match kind {
        "action.proposed" => format!("/{}", id("action")?),
        "revocation.failed" => format!("/{}", id("message_id").or_else(|| id("id"))?),
        "revocation.held" => "?state=held".to_owned(),
        "response.stopped" | "response.started" => String::new(),
        _ => return None,
    };
    console.map(|console| format!("{console}/#/actions{page}"))
}

fn new_message(route: &Route, message_id: String, kind: &str, body: String, next_ms: i64) -> NewMessage {
    NewMessage {
        channel: route.name.clone(),
        message_id,
        kind: kind.to_owned(),
        about: String::new(),
        version: 0,
        body,
        state: State::Pending,
        next_ms,
        not_after_ms: None,
    }
}

/// What a tally gathers and how often it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TallyKind {
    /// Type of the message.
    pub kind: &'static str,
    /// At most one message a channel in this time.
    pub period_ms: i64,
    /// How long the first one waits for more to come.
    pub hold_ms: i64,
    /// Does it wait for the end of quiet hours, too?
    pub can_wait: bool,
}

/// The particulars of a tally.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Alerts gathered.
    pub alerts: u64,
    /// By detector.
    pub by_detector: BTreeMap<String, u64>,
    /// By severity.
    pub by_severity: BTreeMap<Severity, u64>,
    /// Event time of their first event.
    pub first_event_time: TimeMs,
    /// Event time of their last event.
    pub last_event_time: TimeMs,
    /// Some of them.
    pub samples: Vec<Sample>,
}

/// One alert of a tally.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The alert.
    pub id: String,
    /// Its detector.
    pub detector: String,
    /// Its severity.
    pub severity: Severity,
    /// Its tenant.
    pub tenant: String,
    /// Its key.
    pub key: String,
}

impl Tally {
    /// Counts one more alert, and shows it as one of `samples_max`.
    pub fn add(&mut self, alert: &Alert, samples_max: usize) {
        let first = if self.alerts == 0 { alert.first_event_time } else { self.first_event_time.min(alert.first_event_time) };
        self.first_event_time = first;
        self.last_event_time = self.last_event_time.max(alert.last_event_time);
        self.alerts += 1;
        let room = self.by_detector.len() < DETECTORS_MAX || self.by_detector.contains_key(&alert.detector);
        *self.by_detector.entry(if room { alert.detector.clone() } else { "other".to_owned() }).or_default() += 1;
        *self.by_severity.entry(alert.severity).or_default() += 1;
        if self.samples.len() < samples_max {
            self.samples.push(Sample {
                id: alert.id.clone(),
                detector: alert.detector.clone(),
                severity: alert.severity,
                tenant: alert.tenant.clone(),
                key: alert.key.clone(),
            });
        }
    }
}

/// What an alert is gathered into.
#[derive(Clone, Copy, Debug)]
pub struct Gathering<'a> {
    /// What it gathers and how often it is told.
    pub tally: TallyKind,
    /// Alerts with the same scope are gathered together.
    pub scope: &'a [&'a str],
    /// Gives the notice its title and text.
    pub words: fn(&Alert, &Tally) -> (String, String),
    /// How many it shows.
    pub samples_max: usize,
}

/// Adds an alert to the tally of a channel.
///
/// # Errors
/// SQLite says no, or a stored tally does not read.
pub fn gather(tx: &Connection, route: &Route, into: &Gathering<'_>, alert: &Alert, now_ms: i64) -> Result<(), DbError> {
    grow(tx, route, (into.tally, into.scope), now_ms, |details| {
        let mut sum: Tally = details.map(serde_json::from_value).transpose()?.unwrap_or_default();
        sum.add(alert, into.samples_max);
        let (title, text) = (into.words)(alert, &sum);
        Ok(Notice { title, text, details: serde_json::to_value(&sum)? })
    })
}

/// Writes into the message of a channel, scope and period that nobody has tried to send yet, or begins it. `write` makes
/// the notice of the particulars of the one before it.
///
/// # Errors
/// SQLite says no, or as `write`.
pub fn grow(
    tx: &Connection,
    route: &Route,
    (tally, scope): (TallyKind, &[&str]),
    now_ms: i64,
    write: impl FnOnce(Option<Value>) -> Result<Notice, DbError>,
) -> Result<(), DbError> {
    let period = now_ms.div_euclid(tally.period_ms);
    for number in period..period + PERIODS_MAX {
        let text = number.to_string();
        let id = message_id(&[&[tally.kind, route.name.as_str()], scope, &[text.as_str()]].concat());
        let known = match outbox::find(tx, &route.name, &id)? {
            Some((_, false)) => continue,
            known => known.map(|(body, _)| serde_json::from_str::<Payload<Notice>>(&body)).transpose()?,
        };
        let is_known = known.is_some();
        let data = write(known.map(|payload| payload.data.details))?;
        let payload = Payload { kind: tally.kind.to_owned(), timestamp: TimeMs(now_ms), data, response: <_>::default(), url: None };
        let body = serde_json::to_string(&payload)?;
        if is_known {
            outbox::rewrite(tx, &route.name, &id, &body, i64::MAX)?;
        } else {
            let due = if number == period { now_ms.saturating_add(tally.hold_ms) } else { number.saturating_mul(tally.period_ms) };
            let due = if tally.can_wait { route.due_ms(Severity::Info, due) } else { due };
            outbox::enqueue(tx, &new_message(route, id, tally.kind, body, due), now_ms)?;
        }
        return Ok(());
    }
    tracing::error!(channel = route.name, kind = tally.kind, "the clock went far back: something is missing in a tally");
    Ok(())
}

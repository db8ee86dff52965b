//! Who is told of a version, and how: singly (or as its [incident](super::incidents)), within a tally, or not at all.
//!
//! Singly is the rule. Two things fold alerts together, so that nobody is paged forty times for one
//! cause: a backlog (the last event is older than a day when it is found) and a detector that opens
//! more alerts a minute in one tenant than `notify.opened_per_minute_max`. Alerts with hits are told singly even then, and
//! so is the one that stands for all that a circuit breaker folded. What is too mild for a channel comes in a digest once a
//! day, where it wants one.

use super::config::Group;
use super::incidents::IncidentTeller;
use super::notice::{Gathering, Tally, TallyKind, gather};
use super::payload::{Payload, Response, message_id};
use super::routing::{Route, Routing};
use super::view::counted;
use crate::alert::Alert;
use crate::db::alerts::{self, Applied, hits};
use crate::db::outbox::{NewMessage, State};
use crate::db::{DbError, channels, outbox};
use crate::incident::{Incident, Joined};
use bartizan_core::Severity;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};
use rusqlite::Connection;

/// An alert about older events is backlog.
pub const BACKLOG_MS: i64 = DAY_MS;

const BACKLOG: TallyKind = TallyKind { kind: "backlog.notice", period_ms: HOUR_MS, hold_ms: 30 * SECOND_MS, can_wait: false };
const CAMPAIGN: TallyKind = TallyKind { kind: "alert.campaign", period_ms: 5 * MINUTE_MS, hold_ms: 30 * SECOND_MS, can_wait: false };
/// The same of all detectors of a tenant, for those who hear of incidents.
const CAMPAIGNS: TallyKind = TallyKind { period_ms: HOUR_MS, ..CAMPAIGN };
/// Alerts that are too mild to be told by themselves.
const MILD: TallyKind = TallyKind { kind: "alert.digest", period_ms: DAY_MS, hold_ms: DAY_MS, can_wait: true };

/// How a version is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not at all: no news.
    Silent,
    /// By itself.
    Singly,
    /// Within the notice of a backlog.
    Backlog,
    /// Within the notice of a campaign.
    Campaign,
}

/// The transaction's view on telling.
pub struct Teller<'a> {
    tx: &'a Connection,
    routing: &'a Routing,
    channels: Vec<&'a Route>,
    now_ms: i64,
}

impl<'a> Teller<'a> {
    /// Tells within `tx`; channels that ended are left out.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn new(tx: &'a Connection, routing: &'a Routing, now_ms: i64) -> Result<Self, DbError> {
        let ended = channels::ended(tx)?;
        let channels = routing.channels.iter().filter(|route| !ended.contains(&route.name)).collect();
        Ok(Self { tx, routing, channels, now_ms })
    }

    /// Writes what is to be told of a new version of detection.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn detection(&self, applied: &Applied, joined: Option<&Joined>, response: Response) -> Result<Way, DbError> {
        self.every_version(&applied.alert)?;
        let (way, samples_max) = (self.way(applied)?, self.routing.limits.samples_max);
        if way != Way::Silent {
            let into = |_: &Route| Gathering { tally: MILD, scope: &[], words: mild_words, samples_max };
            self.gather(applied, into, |route, severity| route.digests(&applied.alert, severity))?;
        }
        match way {
            Way::Silent => {}
            Way::Singly => {
                self.singly(applied, response)?;
                if let Some(joined) = joined {
                    self.of_incidents().try_for_each(|teller| teller.detection(joined, response))?;
                }
            }
            Way::Backlog => self.fold(applied, |_| Gathering { tally: BACKLOG, scope: &[], words: backlog_words, samples_max })?,
            Way::Campaign => {
                let scope = [applied.alert.tenant.as_str(), &applied.alert.detector];
                self.fold(applied, |route| match route.group {
                    Group::Alert => Gathering { tally: CAMPAIGN, scope: &scope, words: campaign_words, samples_max },
                    Group::Incident => Gathering { tally: CAMPAIGNS, scope: &scope[..1], words: campaigns_words, samples_max },
                })?;
            }
        }
        Ok(way)
    }

    /// Writes what is to be told of a triage step: `kind` to those who were told of the alert, and
    /// every version to the topics. `kind` is `None` for steps that concern nobody outside.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn triage(&self, alert: &Alert, kind: Option<&str>) -> Result<(), DbError> {
        self.every_version(alert)?;
        let (Some(kind), Some(told)) = (kind, alerts::told_severity(self.tx, &alert.id)?) else { return Ok(()) };
        for route in self.of_alerts().filter(|route| route.takes(alert, told)) {
            self.enqueue(route, kind, alert, Response::default())?;
        }
        Ok(())
    }

    /// Writes what is to be told of a step on an incident, to those who know of it.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn incident(&self, incident: &Incident) -> Result<(), DbError> {
        self.of_incidents().try_for_each(|teller| teller.step(incident))
    }

    /// Channels that hear of single alerts.
    fn of_alerts(&self) -> impl Iterator<Item = &'a Route> {
        self.people().filter(|route| route.group == Group::Alert)
    }

    /// Channels that hear of incidents.
    fn of_incidents(&self) -> impl Iterator<Item = IncidentTeller<'a>> {
        let teller = |route| IncidentTeller { tx: self.tx, routing: self.routing, route, now_ms: self.now_ms };
        self.people().filter(|route| route.group == Group::Incident).map(teller)
    }

    fn people(&self) -> impl Iterator<Item = &'a Route> {
        self.channels.iter().copied().filter(|route| !route.every_version)
    }

    fn way(&self, applied: &Applied) -> Result<Way, DbError> {
        let alert = &applied.alert;
        if !applied.news {
            return Ok(Way::Silent);
        }
        if age_ms(alert, self.now_ms) > BACKLOG_MS {
            return Ok(Way::Backlog);
        }
        // What was folded at its opening stays folded until it has a hit, however it grows or ends.
        let opens = applied.told.is_none() && hits(alert) == 0 && !alert.is_campaign();
        let opened_max = self.routing.limits.opened_per_minute_max;
        let storm = opens && alerts::opened_within(self.tx, alert, MINUTE_MS, opened_max + 1)? > opened_max;
        Ok(if storm { Way::Campaign } else { Way::Singly })
    }

    fn singly(&self, applied: &Applied, response: Response) -> Result<(), DbError> {
        let alert = &applied.alert;
        for route in self.of_alerts().filter(|route| route.takes(alert, alert.severity)) {
            // What was too mild for this channel before is an opening for it now.
            let knows = applied.told.is_some_and(|told| route.takes(alert, told.severity));
            self.enqueue(route, if knows { "alert.updated" } else { "alert.opened" }, alert, response)?;
        }
        alerts::mark_told(self.tx, alert)
    }

    fn fold<'s>(&self, applied: &Applied, into: impl Fn(&Route) -> Gathering<'s>) -> Result<(), DbError> {
        self.gather(applied, into, |route, severity| route.takes(&applied.alert, severity))
    }

    fn gather<'s>(
        &self,
        applied: &Applied,
        into: impl Fn(&Route) -> Gathering<'s>,
        counted: impl Fn(&Route, Severity) -> bool,
    ) -> Result<(), DbError> {
        let alert = &applied.alert;
        for route in self.people().filter(|route| counted(route, alert.severity)) {
            // Each alert counts once, however many versions it has.
            if !applied.severity_before.is_some_and(|before| counted(route, before)) {
                gather(self.tx, route, &into(route), alert, self.now_ms)?;
            }
        }
        Ok(())
    }

    fn enqueue(&self, route: &Route, kind: &str, alert: &Alert, response: Response) -> Result<(), DbError> {
        let url = self.routing.url_of(alert);
        let payload = Payload { kind: kind.to_owned(), timestamp: alert.detected_time, data: alert, response, url };
        self.write(route, kind, alert, serde_json::to_string(&payload)?)
    }

    fn every_version(&self, alert: &Alert) -> Result<(), DbError> {
        for route in self.channels.iter().filter(|route| route.every_version) {
            self.write(route, "alert", alert, serde_json::to_string(alert)?)?;
        }
        Ok(())
    }

    fn write(&self, route: &Route, kind: &str, alert: &Alert, body: String) -> Result<(), DbError> {
        let message = NewMessage {
            channel: route.name.clone(),
            message_id: message_id(&["alert", &route.name, &alert.id, &alert.version.to_string()]),
            kind: kind.to_owned(),
            about: alert.id.clone(),
            version: alert.version,
            body,
            state: State::Pending,
            next_ms: self.now_ms,
            not_after_ms: None,
        };
        outbox::enqueue(self.tx, &message, self.now_ms)?;
        Ok(())
    }
}

/// How long before it was found (by the clock, or by the recorded arrival if that is later) the
/// alert's last event lies.
#[must_use]
pub fn age_ms(alert: &Alert, now_ms: i64) -> i64 {
    now_ms.max(alert.detected_time.0).saturating_sub(alert.last_event_time.0)
}

const CAMPAIGN_TEXT: &str = "More alerts of one detector were opened within a minute than are told singly (notify.opened_per_minute_max): a wide attack, or a faulty rule or log. All are stored; those with a hit are still told singly.";

fn backlog_words(_: &Alert, tally: &Tally) -> (String, String) {
    let title = format!("{} from a backlog of old events", counted(tally.alerts, "alert"));
    let text = "They are about events more than a day older than their arrival, were stored, and are not told singly; no machine acted on them. Look them up by their event time.";
    (title, text.to_owned())
}

fn mild_words(_: &Alert, tally: &Tally) -> (String, String) {
    let title = format!("{} too mild to be told by themselves", counted(tally.alerts, "alert"));
    (title, "They are what this channel leaves out (min_severity), down to its digest_severity, since the last digest.".to_owned())
}

fn campaign_words(alert: &Alert, tally: &Tally) -> (String, String) {
    let title = format!("{} of {} in {} folded into one", counted(tally.alerts, "alert"), alert.detector, alert.tenant);
    (title, CAMPAIGN_TEXT.to_owned())
}

fn campaigns_words(alert: &Alert, tally: &Tally) -> (String, String) {
    let detectors: Vec<_> = tally.by_detector.iter().map(|(detector, count)| format!("{count} of {detector}")).collect();
    let title = format!("{} in {} folded into one: {}", counted(tally.alerts, "alert"), alert.tenant, detectors.join(", "));
    (title, CAMPAIGN_TEXT.to_owned())
}

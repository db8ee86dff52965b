//! Which revocations follow from an alert's version.
//!
//! Only sessions and tokens that the alert names as hit, only if the detector says that a machine
//! may act, only while the alert is fresh, and never against the word of a person. What a campaign names waits for one:
//! where a detector finds something out of all proportion, it may be wrong about all of it. The message id
//! comes from target, session and alert, so a session is asked for once for each cause, through
//! restarts, repetitions and further versions.

use super::brakes::{Asked, Brake};
use super::config::RevocationConfig;
use super::order::{ActionKind, Order};
use super::progress;
use super::record::{ActionRecord, State};
use crate::alert::Alert;
use crate::alert::model::Disposition;
use crate::db::outbox::{self, NewMessage};
use crate::db::{DbError, actions, audit, channels};
use crate::notify::Detected;
use crate::notify::notice::{Announcement, tell_everyone};
use crate::notify::payload::{Notice, Payload, Response, message_id};
use crate::notify::routing::Routing;
use crate::notify::tell::age_ms;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use bartizan_core::{Action, EntityKind, Severity, Subject, TimeMs};
use rusqlite::Connection;
use serde_json::json;

/// An alert whose last event is older when it is found is for people alone.
const ACTED_UPON_MS: i64 = 2 * HOUR_MS;
/// How long a revocation is tried.
pub const VALID_MS: i64 = 15 * MINUTE_MS;

/// What is known of one session that was hit, from the event that proves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// The session; `None` if only a token is known.
    pub session: Option<String>,
    /// Whose it is.
    pub user: Option<String>,
    /// The system that wrote the event: who issued the session.
    pub source: Option<String>,
    /// Public handle of its token.
    pub token_id: Option<String>,
    /// Keyed hash of its token.
    pub token_hash: Option<String>,
    /// Event time of the proof: what was issued later must live.
    pub time_ms: Option<i64>,
}

/// Plans what every matching target is asked because of this version, as it is shown (with triage).
///
/// # Errors
/// SQLite says no.
pub fn plan(tx: &Connection, detected: &Detected<'_>, routing: &Routing, now_ms: i64) -> Result<Response, DbError> {
    let alert = detected.alert;
    let mut response = Response::default();
    let judged_harmless = matches!(alert.disposition, Some(Disposition::FalsePositive | Disposition::Benign));
    if judged_harmless || age_ms(alert, now_ms) > ACTED_UPON_MS || !routing.targets.iter().any(|target| target.takes(alert)) {
        return Ok(response);
    }
    let hits = hit_sessions(alert, detected.facts);
    let ended = channels::ended(tx)?;
    for target in routing.targets.iter().filter(|target| target.takes(alert) && !ended.contains(&target.channel())) {
        let planner = Planner { tx, alert, target, active_sessions: detected.active_sessions, routing, now_ms };
        for hit in &hits {
            match planner.ask(hit)? {
                Some(State::Shadow) => response.dry_run += 1,
                Some(State::Held) => response.held += 1,
                Some(_) => response.requested += 1,
                None => {}
            }
        }
    }
    Ok(response)
}

/// The sessions that the alert names as hit (or, where it knows of none, the tokens), each with what
/// is known of it.
fn hit_sessions(alert: &Alert, facts: &[SessionFacts]) -> Vec<SessionFacts> {
    let hit = |kind: EntityKind| alert.subjects.iter().filter(move |subject| subject.kind == kind && subject.hit);
    let sessions: Vec<&Subject> =
        if alert.actions.contains(&Action::RevokeSessions) { hit(EntityKind::Session).collect() } else { Vec::new() };
    let tokens: Vec<&Subject> = if alert.actions.is_empty() { Vec::new() } else { hit(EntityKind::Token).collect() };
    let common = SessionFacts {
        session: None,
        user: only_user(alert),
        source: alert.evidence.get("source").and_then(|source| source.as_str()).map(str::to_owned),
        time_ms: Some(alert.last_event_time.0),
        ..SessionFacts::default()
    };
    if sessions.is_empty() && alert.actions.contains(&Action::RevokeTokens) {
        return tokens.iter().map(|token| with_token(&common, token)).collect();
    }
    let only_token = if let ([_], [token]) = (sessions.as_slice(), tokens.as_slice()) { Some(*token) } else { None };
    let fallback = only_token.map_or_else(|| common.clone(), |token| with_token(&common, token));
    sessions
        .iter()
        .map(|subject| {
            let known = facts.iter().find(|facts| facts.session.as_ref() == Some(&subject.value)).cloned().unwrap_or_default();
            SessionFacts {
                session: Some(subject.value.clone()),
                user: known.user.or_else(|| fallback.user.clone()),
                source: known.source.or_else(|| fallback.source.clone()),
                token_id: known.token_id.or_else(|| fallback.token_id.clone()),
                token_hash: known.token_hash.or_else(|| fallback.token_hash.clone()),
                time_ms: known.time_ms.or(fallback.time_ms),
            }
        })
        .collect()
}

fn with_token(facts: &SessionFacts, token: &Subject) -> SessionFacts {
    match token.value.strip_prefix("hash:") {
        Some(hash) => SessionFacts { token_hash: Some(hash.to_owned()), ..facts.clone() },
        None => SessionFacts { token_id: Some(token.value.clone()), ..facts.clone() },
    }
}

/// The one user that the alert is about. Where there are several, it is not known whose a session is.
fn only_user(alert: &Alert) -> Option<String> {
    match alert.entities.users.as_slice() {
        [user] => Some(user.clone()),
        _ => None,
    }
}

struct Planner<'a> {
    tx: &'a Connection,
    alert: &'a Alert,
    target: &'a RevocationConfig,
    active_sessions: Option<u64>,
    routing: &'a Routing,
    now_ms: i64,
}

impl Planner<'_> {
    /// Decides on one action. `None`: it is known already.
    fn ask(&self, hit: &SessionFacts) -> Result<Option<State>, DbError> {
        let named = hit.session.as_deref().or(hit.token_id.as_deref()).or(hit.token_hash.as_deref()).unwrap_or_default();
        let id = message_id(&["revoke", &self.target.name, named, &self.alert.id]);
        if actions::get(self.tx, &id)?.is_some() {
            return Ok(None);
        }
        let action = self.target.kind.action();
        let asked = Asked {
            target: &self.target.name,
            action,
            tenant: &self.alert.tenant,
            user: hit.user.as_deref(),
            critical: self.alert.severity == Severity::Critical,
            dry_run: self.target.dry_run,
            active_sessions: self.active_sessions,
        };
        let brake =
            if self.alert.is_campaign() { Some(Brake::CircuitBreaker) } else { self.target.brakes.hold(self.tx, &asked, self.now_ms)? };
        let state = match brake {
            _ if self.target.dry_run => State::Shadow,
            Some(_) => State::Held,
            None => State::Requested,
        };
        let order = self.order(action, hit);
        self.write(&order, id, state, brake)?;
        if let (Some(brake), State::Held) = (brake, state) {
            self.tell_of_brake(brake, hit)?;
        }
        Ok(Some(state))
    }

    /// Writes the action and the message that carries its order.
    fn write(&self, order: &Order, id: String, state: State, brake: Option<Brake>) -> Result<(), DbError> {
        let brake = brake.map(|brake| brake.as_str().to_owned());
        let detail = json!({
            "target": self.target.name, "alert": self.alert.id, "user": order.user, "state": state.as_str(), "dry_run": self.target.dry_run,
            "brake": brake, "message_id": id,
        });
        let payload = Payload {
            kind: order.action.message_kind().to_owned(),
            timestamp: TimeMs(self.now_ms),
            data: order,
            response: <_>::default(),
            url: None,
        };
        let (message_state, audited) = match state {
            State::Held => (outbox::State::Held, "revocation.held"),
            State::Shadow => (outbox::State::DryRun, "revocation.dry_run"),
            _ => (outbox::State::Pending, "revocation.requested"),
        };
        let message = NewMessage {
            channel: self.target.channel(),
            message_id: id.clone(),
            kind: payload.kind.clone(),
            alert_id: self.alert.id.clone(),
            version: self.alert.version,
            body: serde_json::to_string(&payload)?,
            state: message_state,
            next_ms: self.now_ms,
            not_after_ms: Some(order.not_after.0),
        };
        outbox::enqueue(self.tx, &message, self.now_ms)?;
        audit::record(self.tx, self.now_ms, "detection", audited, order.session.as_deref().unwrap_or_default(), &detail)?;
        let action = ActionRecord {
            id,
            version: 1,
            action: order.action,
            target: self.target.name.clone(),
            tenant: order.tenant.clone(),
            user: order.user.clone(),
            session: order.session.clone(),
            token_id: order.token_id.clone(),
            alert: order.alert.clone(),
            detector: order.detector.clone(),
            severity: order.severity,
            state,
            remark: None,
            brake,
            event_time: order.issued_before,
            decided_time: TimeMs(self.now_ms),
            requested_time: (state == State::Requested).then_some(TimeMs(self.now_ms)),
            delivered_time: None,
            confirmed_time: None,
            not_after: order.not_after,
        };
        progress::write(self.tx, &action, None, self.now_ms)
    }

    fn order(&self, action: ActionKind, hit: &SessionFacts) -> Order {
        Order {
            action,
            tenant: self.alert.tenant.clone(),
            source: hit.source.clone(),
            user: hit.user.clone(),
            session: hit.session.clone(),
            token_id: hit.token_id.clone(),
            token_hash: hit.token_hash.clone(),
            issued_before: TimeMs(hit.time_ms.unwrap_or(self.alert.last_event_time.0)),
            not_after: TimeMs(self.now_ms.saturating_add(VALID_MS)),
            alert: self.alert.id.clone(),
            detector: self.alert.detector.clone(),
            severity: self.alert.severity,
            reason: self.alert.reason.clone(),
        }
    }

    /// People are told once for each brake, tenant (and user) and period, not for each session.
    fn tell_of_brake(&self, brake: Brake, hit: &SessionFacts) -> Result<(), DbError> {
        let (user, period_ms) = match brake {
            Brake::User => (hit.user.as_deref().unwrap_or_default(), DAY_MS),
            _ => ("", HOUR_MS),
        };
        let period = self.now_ms.div_euclid(period_ms).to_string();
        let notice = Notice {
            title: format!("Revocations at {} are held: {}", self.target.name, brake.as_str()),
            text: "A brake was reached, so further sessions are not ended by the machine. If the attack is real, release what is held; if not, look at the detector.".to_owned(),
            details: json!({
                "target": self.target.name, "tenant": self.alert.tenant, "brake": brake.as_str(),
                "alert": self.alert.id, "detector": self.alert.detector, "user": hit.user, "session": hit.session,
            }),
        };
        let key = [self.target.name.as_str(), &self.alert.tenant, brake.as_str(), user, &period];
        let telling = Announcement { kind: "revocation.held", key: &key, except: None, notice: &notice };
        tell_everyone(self.tx, self.routing, &telling, self.now_ms)
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

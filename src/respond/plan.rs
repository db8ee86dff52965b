//! Which actions follow from an alert's version.
//!
//! Only what the alert names as hit, or as an attacker's address; only if a policy wants it, while the alert
//! is fresh, and never against the word of a person. Sessions and tokens end only if the detector says that a
//! machine may end them. What takes back something that was added, and what a campaign names, waits for a person:
//! where a detector finds something out of all proportion, it may be wrong about all of it. The id comes from
//! action, target, what it is about and the alert, so nothing is asked twice for one cause, through restarts,
//! repetitions and further versions, however many policies want it.

use super::added::Added;
use super::brakes::{Asked, Brake};
use super::config::RevocationConfig;
use super::order::{ActionKind, Order};
use super::policy::PolicyConfig;
use super::progress;
use super::record::{ActionRecord, State};
use super::stop;
use super::subjects::{self, About, SessionFacts};
use crate::alert::Alert;
use crate::alert::model::Disposition;
use crate::db::outbox::{self, NewMessage};
use crate::db::{DbError, actions, audit, channels, held_tokens};
use crate::notify::Detected;
use crate::notify::notice::{Announcement, tell_everyone};
use crate::notify::payload::{Notice, Payload, Response, message_id};
use crate::notify::routing::Routing;
use crate::notify::tell::age_ms;
use crate::notify::view::second;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use bartizan_core::{Severity, TimeMs, TokenHash};
use rusqlite::Connection;
use serde_json::json;

/// An alert whose last event is older when it is found is for people alone.
const ACTED_UPON_MS: i64 = 2 * HOUR_MS;
/// How long an order is tried.
pub const VALID_MS: i64 = 15 * MINUTE_MS;

/// Plans what is done because of this version, as it is shown (with triage).
///
/// # Errors
/// SQLite says no.
pub fn plan(tx: &Connection, detected: &Detected<'_>, routing: &Routing, now_ms: i64) -> Result<Response, DbError> {
    plan_by(tx, &routing.policies_for(detected.alert), detected, routing, now_ms)
}

/// The same by these policies, all of which are about the alert.
///
/// # Errors
/// As [`plan`].
pub fn plan_by(
    tx: &Connection,
    policies: &[PolicyConfig],
    detected: &Detected<'_>,
    routing: &Routing,
    now_ms: i64,
) -> Result<Response, DbError> {
    let alert = detected.alert;
    let mut response = Response::default();
    let judged_harmless = matches!(alert.disposition, Some(Disposition::FalsePositive | Disposition::Benign));
    if judged_harmless || age_ms(alert, now_ms) > ACTED_UPON_MS {
        return Ok(response);
    }
    let ended = if policies.is_empty() { <_>::default() } else { channels::ended(tx)? };
    for policy in policies {
        let target = routing.targets.iter().find(|target| target.name == policy.target);
        if target.is_some_and(|target| !target.is_of(&alert.tenant) || ended.contains(&target.channel())) {
            continue;
        }
        for action in &policy.actions {
            let target = action.granularity().and(target);
            let planner = Planner { tx, alert, policy, target, active_sessions: detected.active_sessions, routing, now_ms };
            for about in subjects::of(*action, alert, detected.facts).iter().filter(|about| policy.means(*action, about)) {
                match planner.decide(*action, about)? {
                    Some(State::Shadow) => response.dry_run += 1,
                    Some(State::Held | State::Proposed) => response.held += 1,
                    Some(State::Requested | State::InForce) => response.requested += 1,
                    _ => {}
                }
            }
        }
    }
    Ok(response)
}

struct Planner<'a> {
    tx: &'a Connection,
    alert: &'a Alert,
    policy: &'a PolicyConfig,
    /// Who is asked; `None` where nobody is.
    target: Option<&'a RevocationConfig>,
    active_sessions: Option<u64>,
    routing: &'a Routing,
    now_ms: i64,
}

impl Planner<'_> {
    /// Decides on one action. `None`: it is known already.
    fn decide(&self, action: ActionKind, about: &About) -> Result<Option<State>, DbError> {
        // What a hook was always told of a session keeps the id that it always had.
        let kind = if action == ActionKind::RevokeSession { "revoke" } else { action.as_str() };
        let id = message_id(&[kind, self.target_name(), &about.named(action), &self.alert.id]);
        if actions::get(self.tx, &id)?.is_some() {
            return Ok(None);
        }
        let (state, brake) = self.state(action, about)?;
        let record = self.record(id, action, about, state, brake);
        self.write(&record, about)?;
        match (state, brake) {
            (State::Held, Some(brake)) => self.tell_of_brake(brake, &about.facts)?,
            (State::Proposed, _) => self.tell_of_proposal(&record)?,
            _ => {}
        }
        Ok(Some(state))
    }

    fn target_name(&self) -> &str {
        self.target.map_or("", |target| &target.name)
    }

    fn is_dry_run(&self) -> bool {
        self.policy.shadow || self.target.is_some_and(|target| target.dry_run)
    }

    /// Where the action begins, and the brake that holds it or, in a dry run, would have.
    fn state(&self, action: ActionKind, about: &About) -> Result<(State, Option<Brake>), DbError> {
        if self.routing.response.protects(about.facts.user.as_deref(), about.address.as_deref()) {
            return Ok((State::Protected, None));
        }
        if !self.is_dry_run() && self.policy.approvals_for(action) > 0 {
            return Ok((State::Proposed, None));
        }
        let asked = Asked {
            target: self.target_name(),
            action,
            tenant: &self.alert.tenant,
            user: about.facts.user.as_deref(),
            critical: self.alert.severity == Severity::Critical,
            dry_run: self.is_dry_run(),
            active_sessions: self.active_sessions,
        };
        let brake = match self.target {
            _ if self.alert.is_campaign() => Some(Brake::CircuitBreaker),
            Some(target) => target.brakes.hold(self.tx, &asked, self.now_ms)?,
            None if stop::is_told(self.tx)? => Some(Brake::Stopped),
            None => self.are_blocks_full()?.then_some(Brake::Blocks),
        };
        let state = match brake {
            _ if self.is_dry_run() => State::Shadow,
            Some(_) => State::Held,
            None if action == ActionKind::BlockAddress => State::InForce,
            None => State::Requested,
        };
        Ok((state, brake))
    }

    fn are_blocks_full(&self) -> Result<bool, DbError> {
        Ok(actions::count_blocks(self.tx, &self.alert.tenant)? >= u64::from(self.routing.response.blocks_max))
    }

    fn record(&self, id: String, action: ActionKind, about: &About, state: State, brake: Option<Brake>) -> ActionRecord {
        let (now, facts) = (TimeMs(self.now_ms), about.facts.clone());
        let goes = matches!(state, State::Requested | State::InForce);
        let valid_ms = match (state, action) {
            (State::Proposed, _) => self.routing.response.approval_ms,
            (_, ActionKind::BlockAddress) => self.routing.response.block_ms,
            _ => VALID_MS,
        };
        ActionRecord {
            id,
            version: 1,
            action,
            target: self.target_name().to_owned(),
            policy: Some(self.policy.name.clone()).filter(|name| !name.is_empty()),
            tenant: self.alert.tenant.clone(),
            user: facts.user,
            session: facts.session,
            token_id: facts.token_id,
            address: about.address.clone(),
            what: about.added.as_ref().map(Added::shown),
            since: about.added.as_ref().map(|added| added.since),
            alert: self.alert.id.clone(),
            detector: self.alert.detector.clone(),
            severity: self.alert.severity,
            state,
            remark: None,
            brake: brake.map(|brake| brake.as_str().to_owned()),
            event_time: TimeMs(facts.time_ms.unwrap_or(self.alert.last_event_time.0)),
            decided_time: now,
            requested_time: goes.then_some(now),
            delivered_time: None,
            confirmed_time: (state == State::InForce).then_some(now),
            not_after: TimeMs(self.now_ms.saturating_add(valid_ms)),
            approvals_needed: if state == State::Proposed { self.policy.approvals_for(action) } else { 0 },
            approvals: Vec::new(),
            undoes: None,
            undone_by: None,
        }
    }

    /// Writes the action and, where a target is asked, the message that carries its order.
    fn write(&self, action: &ActionRecord, about: &About) -> Result<(), DbError> {
        let subject = [&action.session, &action.address, &action.user].into_iter().flatten().next().map_or("", String::as_str);
        let detail = json!({
            "action": action.action, "target": action.target, "tenant": action.tenant, "alert": action.alert, "alert_version": self.alert.version,
            "detector": action.detector, "user": action.user, "session": action.session, "address": action.address,
            "what": action.what, "since": action.since, "state": action.state, "reason": self.alert.reason, "dry_run": self.is_dry_run(), "brake": action.brake, "message_id": action.id,
        });
        let message_state = match action.state {
            State::Held | State::Proposed => outbox::State::Held,
            State::Shadow | State::Protected => outbox::State::DryRun,
            _ => outbox::State::Pending,
        };
        if let Some(target) = self.target {
            let SessionFacts { source, token_hash, .. } = about.facts.clone();
            let order = Order { source, token_hash, added: about.added.clone(), ..Order::of(action, &self.alert.reason) };
            let message = message(&target.channel(), &action.id, self.alert.version, &order, message_state, self.now_ms)?;
            outbox::enqueue(self.tx, &message, self.now_ms)?;
            if target.token_itself && message_state != outbox::State::DryRun {
                self.keep_token(&action.id, order.token_hash.as_deref())?;
            }
        }
        let audited = match action.state {
            State::Held => "revocation.held",
            State::Shadow => "revocation.dry_run",
            State::Proposed => "action.proposed",
            State::Protected => "action.protected",
            _ => "revocation.requested",
        };
        audit::record(self.tx, self.now_ms, "detection", audited, subject, &detail)?;
        progress::write(self.tx, action, action.due_ms(), self.now_ms)
    }

    /// The token itself goes with its order, sealed, so that a restart does not lose it.
    fn keep_token(&self, id: &str, hash: Option<&str>) -> Result<(), DbError> {
        if let Some(token) = hash.and_then(TokenHash::from_hex).and_then(|hash| self.routing.held.sealed(hash)) {
            held_tokens::put(self.tx, id, &token, self.routing.response.hold_tokens_max)?;
        }
        Ok(())
    }

    /// People are told once for each alert and kind of action that they are asked.
    fn tell_of_proposal(&self, action: &ActionRecord) -> Result<(), DbError> {
        let kind = action.action.as_str();
        let people = if action.approvals_needed == 1 { "A person is" } else { "Two people are" };
        let mut text = format!(
            "A policy proposes it because of an alert. Approve or refuse it on the console's page of actions; nothing is done without, and \
             it lapses at {} UTC.",
            second(action.not_after)
        );
        if let Some(if_wrong) = action.action.if_wrong() {
            text += &format!(" It cannot be undone: if it was wrong, {if_wrong}.");
        }
        let notice = Notice {
            title: format!("{people} asked to agree: {}", action.named()),
            text,
            details: json!({
                "action": action.id, "kind": kind, "policy": action.policy, "target": action.target, "tenant": action.tenant,
                "user": action.user, "session": action.session, "address": action.address, "what": action.what, "since": action.since,
                "alert": action.alert, "detector": action.detector, "severity": action.severity,
            }),
        };
        let key = [action.target.as_str(), kind, &action.alert];
        let telling = Announcement { kind: "action.proposed", key: &key, except: None, notice: &notice };
        tell_everyone(self.tx, self.routing, &telling, self.now_ms)
    }

    /// People are told once for each brake, tenant (and user) and period, not for each session.
    fn tell_of_brake(&self, brake: Brake, hit: &SessionFacts) -> Result<(), DbError> {
        let target = self.target.map_or("the block list", |target| &target.name);
        let (user, period_ms) = match brake {
            Brake::User => (hit.user.as_deref().unwrap_or_default(), DAY_MS),
            _ => ("", HOUR_MS),
        };
        let period = self.now_ms.div_euclid(period_ms).to_string();
        let notice = Notice {
            title: format!("Actions at {target} are held by the brake {}", brake.as_str()),
            text: "More was wanted than a brake lets a machine do, so the rest waits for a person. If the attack is real, let go what is held, on the console's page of actions; if not, refuse it and look at the detector.".to_owned(),
            details: json!({
                "target": self.target_name(), "tenant": self.alert.tenant, "brake": brake.as_str(),
                "alert": self.alert.id, "detector": self.alert.detector, "user": hit.user, "session": hit.session,
            }),
        };
        let key = [self.target_name(), &self.alert.tenant, brake.as_str(), user, &period];
        let telling = Announcement { kind: "revocation.held", key: &key, except: None, notice: &notice };
        tell_everyone(self.tx, self.routing, &telling, self.now_ms)
    }
}

/// The message that carries an order.
pub(super) fn message(
    channel: &str,
    id: &str,
    version: u32,
    order: &Order,
    state: outbox::State,
    now_ms: i64,
) -> Result<NewMessage, DbError> {
    let kind = order.action.message_kind().to_owned();
    let payload = Payload { kind: kind.clone(), timestamp: TimeMs(now_ms), data: order, response: <_>::default(), url: None };
    Ok(NewMessage {
        channel: channel.to_owned(),
        message_id: id.to_owned(),
        kind,
        about: order.alert.clone(),
        version,
        body: serde_json::to_string(&payload)?,
        state,
        next_ms: now_ms,
        not_after_ms: Some(order.not_after.0),
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

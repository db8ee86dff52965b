//! Whom and what of an alert an action is about: what was hit, and who attacked.

use super::added::{Added, Change};
use super::order::ActionKind;
use crate::alert::Alert;
use bartizan_core::{Action, EntityKind, Role, Subject};
use std::collections::BTreeSet;

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

/// What is known of an alert from the events that it names, beyond what it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Of the sessions that were hit.
    pub sessions: Vec<SessionFacts>,
    /// What was added or changed.
    pub changes: Vec<Change>,
}

/// What one action is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The session, token or person.
    pub facts: SessionFacts,
    /// The address.
    pub address: Option<String>,
    /// What is to be taken back.
    pub added: Option<Added>,
}

impl About {
    /// What tells it apart among those of one alert.
    #[must_use]
    pub fn named(&self, action: ActionKind) -> String {
        let facts = &self.facts;
        if action.takes_back() {
            return format!("{} {}", facts.user.as_deref().unwrap_or_default(), facts.time_ms.unwrap_or_default());
        }
        let of_session = || facts.session.as_ref().or(facts.token_id.as_ref()).or(facts.token_hash.as_ref());
        let named = match action {
            ActionKind::RevokeSession | ActionKind::RevokeToken => of_session(),
            ActionKind::BlockAddress => self.address.as_ref(),
            _ => facts.user.as_ref(),
        };
        named.cloned().unwrap_or_default()
    }
}

/// What an action of this kind is about in an alert.
#[must_use]
pub fn of(action: ActionKind, alert: &Alert, known: &Facts) -> Vec<About> {
    let facts = known.sessions.as_slice();
    let about = |facts| About { facts, ..About::default() };
    match action {
        action if action.takes_back() => {
            let hit = hit_users(alert, facts).into_iter().filter_map(|facts| facts.user).collect();
            let taken_back = |change: Change| {
                let source = change.of.source.or_else(|| common(alert).source);
                About { facts: SessionFacts { source, ..change.of }, address: None, added: Some(change.added) }
            };
            Change::for_remedy(action, alert, &hit, &known.changes).into_iter().map(taken_back).collect()
        }
        ActionKind::RevokeSession | ActionKind::RevokeToken => hit_sessions(alert, facts).into_iter().map(about).collect(),
        ActionKind::BlockAddress => attackers(alert),
        _ => hit_users(alert, facts).into_iter().map(about).collect(),
    }
}

/// The sessions that the alert names as hit (or, where it knows of none, the tokens), each with what
/// is known of it.
fn hit_sessions(alert: &Alert, facts: &[SessionFacts]) -> Vec<SessionFacts> {
    let sessions: Vec<&Subject> =
        if alert.actions.contains(&Action::RevokeSessions) { hit(alert, EntityKind::Session).collect() } else { Vec::new() };
    let tokens: Vec<&Subject> = if alert.actions.is_empty() { Vec::new() } else { hit(alert, EntityKind::Token).collect() };
    let common = SessionFacts { user: only_user(alert), ..common(alert) };
    if sessions.is_empty() && alert.actions.contains(&Action::RevokeTokens) {
        return tokens.iter().map(|token| with_token(&common, token, facts)).collect();
    }
    let only_token = if let ([_], [token]) = (sessions.as_slice(), tokens.as_slice()) { Some(*token) } else { None };
    let fallback = only_token.map_or_else(|| common.clone(), |token| with_token(&common, token, facts));
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

/// The people whom the alert names as hit, or whose sessions were.
fn hit_users(alert: &Alert, facts: &[SessionFacts]) -> Vec<SessionFacts> {
    let owners = hit_sessions(alert, facts).into_iter().filter_map(|session| session.user);
    let users: BTreeSet<String> = hit(alert, EntityKind::User).map(|user| user.value.clone()).chain(owners).collect();
    users.into_iter().map(|user| SessionFacts { user: Some(user), ..common(alert) }).collect()
}

/// The addresses that attacked; those that the alert knows to be shared never are.
fn attackers(alert: &Alert) -> Vec<About> {
    let addresses = |role: Role| alert.subjects.iter().filter(move |subject| subject.kind == EntityKind::Ip && subject.role == role);
    let shared: BTreeSet<&str> = addresses(Role::Shared).map(|subject| subject.value.as_str()).collect();
    let alone = addresses(Role::Attacker).filter(|subject| !shared.contains(subject.value.as_str()));
    alone.map(|subject| About { facts: common(alert), address: Some(subject.value.clone()), added: None }).collect()
}

fn hit(alert: &Alert, kind: EntityKind) -> impl Iterator<Item = &Subject> {
    alert.subjects.iter().filter(move |subject| subject.kind == kind && subject.hit)
}

/// What holds for all that an alert is about.
fn common(alert: &Alert) -> SessionFacts {
    SessionFacts {
        source: alert.evidence.get("source").and_then(|source| source.as_str()).map(str::to_owned),
        time_ms: Some(alert.last_event_time.0),
        ..SessionFacts::default()
    }
}

fn with_token(common: &SessionFacts, token: &Subject, facts: &[SessionFacts]) -> SessionFacts {
    match token.value.strip_prefix("hash:") {
        Some(hash) => SessionFacts { token_hash: Some(hash.to_owned()), ..common.clone() },
        None => {
            let known = facts.iter().find(|facts| facts.token_id.as_ref() == Some(&token.value));
            let token_hash = known.and_then(|facts| facts.token_hash.clone());
            SessionFacts { token_id: Some(token.value.clone()), token_hash, ..common.clone() }
        }
    }
}

/// The one user that the alert is about. Where there are several, it is not known whose a session is.
fn only_user(alert: &Alert) -> Option<String> {
    match alert.entities.users.as_slice() {
        [user] => Some(user.clone()),
        _ => None,
    }
}

//! What a stolen session or token looks like to its reader.

use super::Config;
use super::lineage::{Innocent, Reuse};
use super::uses::{Proof, Theft, Uses};
use bartizan_core::{Action, EntityKind, Event, Finding, KeyKind, Role, Severity, Subject};

/// Why a refresh token that came back is no theft.
pub(super) fn excuse(innocent: &Innocent, config: &Config) -> String {
    let gap = span(innocent.gap_ms);
    match innocent.gate {
        "grace" => {
            let grace = span(config.grace_ms);
            format!(
                "A refresh token came back {gap} after it was exchanged, from another client, but within the grace ({grace}) and before its successor was used."
            )
        }
        _ => format!(
            "A refresh token came back {gap} after it was exchanged, but from the same client as far as can be told: a race or a lost answer."
        ),
    }
}

/// The finding about a refresh token that came back.
pub(super) fn lineage(event: &Event<'_>, reuse: &Reuse, config: &Config) -> Finding {
    let mut finding = Finding::new(event, key(event, false), severity(reuse.token_gained));
    "Exchanged refresh token used again".clone_into(&mut finding.title);
    let mut attacker_ip = event.ip();
    match &reuse.before {
        Some(before) => {
            finding.reason = format!(
                "A refresh token came back {} after it was exchanged (grace {}){}, from a client with another {}{}: the whole family is \
                 suspect.",
                span(reuse.gap_ms),
                span(config.grace_ms),
                if reuse.successor_used { ", when its successor was in use" } else { "" },
                reuse.changes.names(),
                if reuse.thief_came_first { "; this client looks like the owner's, so the exchange was the theft" } else { "" },
            );
            if reuse.thief_came_first {
                attacker_ip = before.ip;
            }
            finding.first_time_ms = before.time_ms.min(event.time_ms());
            finding.event_count = 2;
            finding.event_ids.insert(0, before.event.clone());
            if let Some(session) = &before.session {
                finding.involve(Subject::new(EntityKind::Session, session, Role::Victim).hit());
            }
            finding.note("gap_ms", reuse.gap_ms).note("changed", reuse.changes.names());
        }
        None => {
            finding.reason = format!(
                "A refresh token descended from a reused one is exchanged {} after that reuse: the theft goes on.",
                span(reuse.gap_ms)
            );
        }
    }
    finding.confidence = if reuse.successor_used { 0.95 } else { 0.85 };
    finding
        .note("grace_ms", config.grace_ms)
        .note("successor_used", reuse.successor_used)
        .note("thief_came_first", reuse.thief_came_first)
        .note("token_gained", reuse.token_gained);
    if let Some(ip) = attacker_ip {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    victims(&mut finding, event, true);
    finding
}

/// The finding about a session or token in a stranger's hands.
pub(super) fn theft(event: &Event<'_>, kind: KeyKind, theft: &Theft, uses: &Uses, config: &Config) -> Finding {
    let intruder = uses.client(theft.intruder);
    let used = intruder.is_some_and(|seen| seen.changed);
    let severity = if theft.refused { Severity::Medium } else { severity(used) };
    let mut finding = Finding::new(event, key(event, kind == KeyKind::Token), severity);
    let what = if kind == KeyKind::Token { "token" } else { "session" };
    match theft.proof {
        Proof::Turns { span_ms } => {
            finding.title = format!("Stolen {what} used from two clients in turns");
            finding.reason = format!(
                "The {what} was used from two clients in turns within {} (limit {}), with another {}.",
                span(span_ms),
                span(config.turns_window_ms),
                theft.changes.names()
            );
            finding.note("span_ms", span_ms).note("turns_window_ms", config.turns_window_ms);
        }
        Proof::AfterEnd { after_ms } => {
            let tried = if theft.refused { "tried" } else { "used" };
            finding.title = format!("Stolen {what} {tried} after its end");
            finding.reason = format!(
                "The {what} was {tried} {} after it was ended (grace {}), by a client that had not used it before: another {}.",
                span(after_ms),
                span(config.end_grace_ms),
                theft.changes.names()
            );
            finding.note("after_end_ms", after_ms).note("end_grace_ms", config.end_grace_ms);
        }
    }
    finding.confidence = if theft.changes.count() >= 3 { 0.95 } else { 0.85 };
    finding.note("changed", theft.changes.names()).note("changes", theft.changes.count());
    if !theft.again {
        finding.first_time_ms = theft.first_ms.min(event.time_ms());
    }
    if let Some(ip) = event.ip().filter(|_| theft.refused) {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    if let Some(seen) = intruder {
        if let Some(ip) = seen.ip {
            finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
        }
        let earlier = uses.event_of(theft.intruder).filter(|earlier| !theft.again && *earlier != event.id());
        if let Some(earlier) = earlier {
            finding.event_ids.insert(0, earlier.to_owned());
            finding.event_count = 2;
        }
    }
    victims(&mut finding, event, kind == KeyKind::Token);
    if theft.refused {
        finding.subjects.iter_mut().for_each(|subject| subject.hit = false);
        finding.actions.clear();
    }
    finding
}

/// Session first, so that all signs of one theft meet in one alert.
pub(super) fn key(event: &Event<'_>, of_token: bool) -> String {
    match (event.session(), event.user()) {
        (Some(session), _) if !of_token || event.token().is_none() => format!("session:{session}"),
        (_, Some(user)) if !of_token => format!("user:{user}"),
        _ => format!("token:{}", token_name(event)),
    }
}

fn token_name(event: &Event<'_>) -> String {
    match (event.token_id(), event.token()) {
        (Some(id), _) => id.to_owned(),
        (None, Some(hash)) => format!("hash:{}", hash.to_hex()),
        (None, None) => "unknown".to_owned(),
    }
}

fn victims(finding: &mut Finding, event: &Event<'_>, of_token: bool) {
    if let Some(user) = event.user() {
        finding.involve(Subject::new(EntityKind::User, user, Role::Victim).hit());
    }
    if let Some(session) = event.session() {
        finding.involve(Subject::new(EntityKind::Session, session, Role::Victim).hit());
    }
    if of_token && (event.token().is_some() || event.token_id().is_some()) {
        finding.involve(Subject::new(EntityKind::Token, token_name(event), Role::Victim).hit());
        finding.actions.push(Action::RevokeTokens);
    }
    if finding.subjects.iter().any(|subject| subject.kind == EntityKind::Session) {
        finding.actions.insert(0, Action::RevokeSessions);
    }
}

fn severity(used: bool) -> Severity {
    if used { Severity::Critical } else { Severity::High }
}

/// A span of time for people.
fn span(ms: i64) -> String {
    match ms {
        ..=119_999 => format!("{} seconds", ms / 1_000),
        120_000..=7_199_999 => format!("{} minutes", ms / 60_000),
        _ => format!("{} hours", ms / 3_600_000),
    }
}

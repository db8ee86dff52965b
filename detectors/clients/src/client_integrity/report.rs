//! What a client that is not the app looks like to its reader.

use super::Config;
use super::farm::Farm;
use super::look::Look;
use super::population::Standing;
use super::verdict::{Explained, Verdict};
use bartizan_core::{Action, EntityKind, Event, Finding, Role, Severity, Subject};

/// Users of one odd client from which on it is one matter, not one for each session.
const SESSIONS_APART_MAX: u32 = 2;
/// Letters of a program's name in a key.
const NAME_MAX: usize = 40;

/// What an explained oddity would have been about.
pub(super) fn app_key(event: &Event<'_>) -> String {
    format!("app:{}", event.app().unwrap_or_default())
}

/// What speaks against a client that is not told, and why it is not.
pub(super) fn excuse(event: &Event<'_>, explained: &Explained) -> String {
    let (app, words) = (event.app().unwrap_or_default(), explained.evidence.words());
    let because = match explained.gate {
        "page_within_app" => "it is a phone's browser on an ordinary network, like a page within the app",
        "old_phone" => "an old phone has an old version",
        "corporate_network" => "it is a company's own network",
        "own_oddity" => "this client always was like that",
        _ => "it takes two pieces that no single cause explains",
    };
    format!("A client of {app} has {}; {because}.", if words.is_empty() { "nothing odd" } else { &words })
}

/// The finding about a client that is not the app.
pub(super) fn odd_client(event: &Event<'_>, look: &Look, standing: &Standing, verdict: &Verdict, config: &Config) -> Finding {
    let evidence = verdict.evidence;
    let mut finding = Finding::new(event, key(event, standing, verdict), verdict.severity);
    let app = event.app().unwrap_or_default();
    let what = if event.session().is_some() { "session" } else { "token" };
    if verdict.hit {
        finding.title = format!("The app's {what} used by another client");
        finding.reason = format!(
            "A {what} that the clients of {app} had is used by another client, {}: {} (limit: {} pieces of evidence).",
            if look.changes() { "which changes something with it" } else { "which is not the app" },
            evidence.words(),
            2
        );
    } else {
        let is_low = verdict.severity == Severity::Low;
        (if is_low { "Odd client of an app" } else { "Backend reached past the app" }).clone_into(&mut finding.title);
        finding.reason = format!(
            "A client of {app} has {} ({} pieces of evidence, {}).",
            evidence.words(),
            evidence.count(),
            if is_low { "too little or too easily explained for an attempt" } else { "limit 2" }
        );
    }
    finding.confidence = match (verdict.severity, evidence.count()) {
        (Severity::Low, _) => 0.3,
        (_, 0..=2) => 0.75,
        (_, 3) => 0.85,
        _ => 0.95,
    };
    finding
        .note("app", app)
        .note("pieces", evidence.count())
        .note("signs", evidence.words())
        .note("client_users", standing.users)
        .note("client_networks", standing.networks)
        .note("usual_users_min", config.gate.users_min);
    if evidence.attestation_failed || evidence.attestation_missing {
        finding.note("attested_share", (standing.attested_share * 1_000.0).round() / 1_000.0);
    }
    if let Some(agent) = event.user_agent() {
        finding.note("user_agent", agent);
    }
    if let Some(ja4) = event.ja4() {
        finding.note("ja4", ja4);
    }
    name(&mut finding, event, verdict.hit);
    finding
}

fn name(finding: &mut Finding, event: &Event<'_>, hit: bool) {
    let victim = |kind, value: &str| {
        let subject = Subject::new(kind, value, Role::Victim);
        if hit { subject.hit() } else { subject }
    };
    if let Some(ip) = event.ip() {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    if let Some(user) = event.user() {
        finding.involve(victim(EntityKind::User, user));
    }
    if let Some(session) = event.session() {
        finding.involve(victim(EntityKind::Session, session));
        if hit {
            finding.actions.push(Action::RevokeSessions);
        }
    } else if let Some(token) = token_name(event) {
        finding.involve(victim(EntityKind::Token, &token));
        if hit {
            finding.actions.push(Action::RevokeTokens);
        }
    }
}

fn token_name(event: &Event<'_>) -> Option<String> {
    event.token_id().map(str::to_owned).or_else(|| event.token().map(|token| format!("hash:{}", token.to_hex())))
}

/// A stolen session stands for itself, where it is not one of many in the hands of one client. Context stays apart,
/// so that no alert of weight names whom it is not about.
fn key(event: &Event<'_>, standing: &Standing, verdict: &Verdict) -> String {
    if verdict.hit && standing.users < SESSIONS_APART_MAX {
        if let Some(session) = event.session() {
            return format!("session:{session}");
        }
        if let Some(token) = token_name(event) {
            return format!("token:{token}");
        }
    }
    let app = event.app().unwrap_or_default();
    let agent = event.user_agent().unwrap_or("no user agent");
    let name: String = agent.split(['/', '(']).next().unwrap_or(agent).trim().chars().take(NAME_MAX).collect();
    let context = if verdict.severity == Severity::Low { ", context" } else { "" };
    format!("app:{app}, {name}{context}")
}

/// The finding about a device with many users.
pub(super) fn farm(event: &Event<'_>, device: &str, farm: &Farm, config: &Config) -> Finding {
    let mut finding = Finding::new(event, format!("device:{device}"), Severity::Medium);
    "Many users behind one device".clone_into(&mut finding.title);
    finding.reason = format!(
        "{} users within two days behind one device (limit {}), {} of them new, {} from hosting networks or VPNs, {} with a failed \
         attestation, on {} networks.",
        farm.users, config.device_users_min, farm.new_users, farm.hidden_users, farm.failed, farm.networks
    );
    finding.confidence = if farm.signs() > 2 { 0.9 } else { 0.8 };
    finding
        .note("users", farm.users)
        .note("device_users_min", config.device_users_min)
        .note("new_users", farm.new_users)
        .note("hidden_users", farm.hidden_users)
        .note("failed_attestations", farm.failed)
        .note("networks", farm.networks);
    finding.involve(Subject::new(EntityKind::Device, device, Role::Attacker));
    attackers(&mut finding, event);
    finding
}

/// The finding about a model with many new users in hosting networks.
pub(super) fn models(event: &Event<'_>, users: u32, config: &Config) -> Finding {
    let app = event.app().unwrap_or_default();
    let agent: String = event.user_agent().unwrap_or_default().chars().take(2 * NAME_MAX).collect();
    let mut finding = Finding::new(event, format!("app:{app}, new users of {agent}"), Severity::Medium);
    "Many new users of one device model in hosting networks".clone_into(&mut finding.title);
    finding.reason = format!(
        "At least {users} new users of {app} within a day came with one device model and build from hosting networks (limit {}), and next \
         to none with it from elsewhere.",
        config.model_users_min
    );
    finding.confidence = 0.8;
    finding.note("users", users).note("model_users_min", config.model_users_min).note("app", app).note("user_agent", agent);
    attackers(&mut finding, event);
    if let Some(device) = event.device() {
        finding.involve(Subject::new(EntityKind::Device, device, Role::Attacker));
    }
    finding
}

/// The accounts of a farm are its own.
fn attackers(finding: &mut Finding, event: &Event<'_>) {
    if let Some(ip) = event.ip() {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    if let Some(user) = event.user() {
        finding.involve(Subject::new(EntityKind::User, user, Role::Attacker));
    }
}

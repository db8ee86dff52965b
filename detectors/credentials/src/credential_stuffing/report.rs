//! What a stuffing attack looks like to its reader.

use super::attempts::{Attempt, Attempts};
use super::lists::{self, Common, Lists};
use super::samples::Sample;
use super::{Attack, Config, SHARED_KNOWN_MIN, Scope};
use bartizan_core::batch::Field;
use bartizan_core::keys::subnet_cidr;
use bartizan_core::time::HOUR_MS;
use bartizan_core::{Action, EntityKind, Event, Finding, Role, Severity, Subject};

/// Ids of earlier events that the first finding names.
const EVENT_IDS_MAX: usize = 32;
const MINUTE_MS: i64 = 60_000;

/// The finding about an attempt that belongs to an attack. The first one of an attack names what led
/// to it; the following ones only themselves.
pub(super) fn finding(event: &Event<'_>, attempt: &Attempt, attack: &Attack, state: &mut Attempts, config: &Config) -> Finding {
    let mut finding = Finding::new(event, key(event, attack.scope), Severity::Medium);
    let role = if attack.tally.known >= SHARED_KNOWN_MIN { Role::Shared } else { Role::Attacker };
    let samples = state.take_samples(&attack.tally, &attack.parts, attack.tells_hits(), config);
    if !attack.open {
        name_earlier(&mut finding, event, &samples, role);
        finding.event_count = attack.tally.tries.max(1);
        finding.sign = match attack.scope {
            Scope::Client => Some(attempt.client.into()),
            Scope::Address | Scope::Network => state.sign(&attack.parts),
        };
    }
    if let Some(ip) = event.ip() {
        finding.involve(Subject::new(EntityKind::Ip, ip, role));
        if attack.scope == Scope::Network {
            finding.involve(Subject::new(EntityKind::Network, subnet_cidr(ip), role));
        }
    }
    name_victim(&mut finding, event.user().unwrap_or_default(), event.session(), attempt.success);
    let hits = finding.subjects.iter().filter(|subject| subject.hit && subject.kind == EntityKind::User).count() as u32;
    if hits > 0 {
        finding.severity = Severity::Critical;
        finding.actions = vec![Action::RevokeSessions, Action::StepUp];
    }
    let part = if attack.scope == Scope::Address { attempt.part } else { 0 };
    let hits = state.opened(part, attack.open, event.time_ms(), hits);
    let users = state.users(&attack.parts, attack.tally.users());
    describe(&mut finding, attack, users, hits, config);
    finding
}

/// Sign-ins of a list of right passwords that were not told, this one among them.
pub(super) fn list(event: &Event<'_>, common: Common, tally: &lists::Tally, lists: &mut Lists, config: &Config) -> Finding {
    let mut finding = Finding::new(event, list_key(event, common), Severity::High);
    let (news, hits) = lists.tell(common);
    finding.event_ids.clear();
    for one in &news {
        finding.involve(Subject::new(EntityKind::User, &one.name, Role::Victim).hit());
        finding.involve(Subject::new(EntityKind::Ip, one.ip, Role::Attacker));
        if one.ended_in && !one.session.is_empty() {
            finding.involve(Subject::new(EntityKind::Session, &one.session, Role::Victim).hit());
        }
        finding.event_ids.push(one.event.to_string());
        finding.first_time_ms = finding.first_time_ms.min(one.time_ms);
    }
    if let (Common::Device(_), Some(device)) = (common, event.device()) {
        finding.involve(Subject::new(EntityKind::Device, device, Role::Attacker));
    }
    finding.event_count = news.len().max(1) as u64;
    finding.actions = vec![Action::RevokeSessions, Action::StepUp];
    finding.confidence = 0.8;
    let (title, whose) = match common {
        Common::Device(_) => ("List of right passwords used by one device", "one device"),
        Common::Client(_) => ("List of right passwords used with one client", "one client that nobody is at home with"),
    };
    title.clone_into(&mut finding.title);
    let lists::Tally { users, networks, lines, .. } = *tally;
    finding.reason = format!(
        "{users} users gave a right password by {whose} within {} hours (limit {}), which none of them had before: from {networks} networks on {lines} \
         lines (limit {}); {hits} users were hit.",
        lists::WINDOW_MS / HOUR_MS,
        config.list_users_min,
        config.list_lines_min,
    );
    finding
        .note("list_users", users)
        .note("list_users_min", config.list_users_min)
        .note("networks", networks)
        .note("lines", lines)
        .note("list_lines_min", config.list_lines_min)
        .note("hit_users", hits)
        .note("window_ms", lists::WINDOW_MS);
    finding
}

/// What an alert of a list is about.
pub(super) fn list_key(event: &Event<'_>, common: Common) -> String {
    match common {
        Common::Device(_) => format!("device:{}", event.device().unwrap_or_default()),
        Common::Client(_) => key(event, Scope::Client),
    }
}

/// What an alert of this scope is about.
pub(super) fn key(event: &Event<'_>, scope: Scope) -> String {
    match (scope, event.ip()) {
        (Scope::Address, Some(ip)) => format!("ip:{ip}"),
        (Scope::Network, Some(ip)) => format!("net:{}", subnet_cidr(ip)),
        _ => format!("client:{}|{}", event.text(Field::Ja4), event.text(Field::UserAgent)),
    }
}

fn name_earlier(finding: &mut Finding, event: &Event<'_>, samples: &[Sample], role: Role) {
    let mut ids: Vec<String> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.event() != event.id()) {
        if let Some(ip) = sample.ip {
            finding.involve(Subject::new(EntityKind::Ip, ip, role));
        }
        name_victim(finding, sample.name(), sample.session(), sample.success);
        finding.first_time_ms = finding.first_time_ms.min(sample.time_ms);
        if ids.len() < EVENT_IDS_MAX || sample.success {
            ids.push(sample.event().to_owned());
        }
    }
    ids.append(&mut finding.event_ids);
    finding.event_ids = ids;
}

fn name_victim(finding: &mut Finding, user: &str, session: Option<&str>, hit: bool) {
    let victim = Subject::new(EntityKind::User, user, Role::Victim);
    finding.involve(if hit { victim.hit() } else { victim });
    if let (true, Some(session)) = (hit, session) {
        finding.involve(Subject::new(EntityKind::Session, session, Role::Victim).hit());
    }
}

fn describe(finding: &mut Finding, attack: &Attack, users: u32, hits: u32, config: &Config) {
    let tally = &attack.tally;
    let unknown_share = f64::from(tally.unknown) / f64::from(tally.failed.max(1));
    finding.confidence = (0.65 + 0.2 * unknown_share + if hits > 0 { 0.1 } else { 0.0 }).min(0.99) as f32;
    let (whence, title) = match attack.scope {
        Scope::Address => ("one address", "Credential stuffing from one address"),
        Scope::Network => ("one network", "Credential stuffing from one network"),
        Scope::Client => ("many networks with one client", "Credential stuffing from many networks with one client"),
    };
    title.clone_into(&mut finding.title);
    let share_min = if attack.scope == Scope::Client { config.client_failed_share_min } else { config.failed_share_min };
    finding.reason = format!(
        "{} users failed to sign in from {whence} within {} minutes (limit {}), {} % of the users tried (limit {} %), {} of them unknown{}{}.",
        tally.failed,
        config.window_ms / MINUTE_MS,
        attack.limit,
        percent(tally.failed_share()),
        percent(share_min),
        tally.unknown,
        match hits {
            0 => String::new(),
            1 => "; one user got in".to_owned(),
            many => format!("; {many} users got in"),
        },
        if users > tally.users() { format!("; about {users} users were tried in all") } else { String::new() },
    );
    finding
        .note("distinct_users", users)
        .note("failed_users", tally.failed)
        .note("failed_users_min", attack.limit)
        .note("failed_share", round(tally.failed_share()))
        .note("failed_share_min", share_min)
        .note("unknown_users", tally.unknown)
        .note("known_users", tally.known)
        .note("users_with_many_tries", tally.deep)
        .note("hit_users", hits)
        .note(if attack.scope == Scope::Client { "networks" } else { "addresses" }, tally.parts)
        .note("window_ms", config.window_ms);
}

/// As a whole number, which is written far faster than a fraction.
fn percent(share: f64) -> u32 {
    (share * 100.0).round_ties_even() as u32
}

fn round(share: f64) -> f64 {
    (share * 1_000.0).round() / 1_000.0
}

//! What a spraying attack looks like to its reader.

use super::guesses::Tried;
use super::tally::Tally;
use super::watch::{Doubtful, Scope, WINDOW_MS, Watch};
use super::{Config, SPAN_MIN_MS};
use crate::guess::{Ended, Guess};
use crate::sign::sign;
use bartizan_core::batch::Field;
use bartizan_core::keys::subnet_cidr;
use bartizan_core::time::{HOUR_MS, MINUTE_MS};
use bartizan_core::{Action, EntityKind, Event, Finding, Role, Severity, Subject};

/// Names that one finding tells; more are counted.
const NAMED_MAX: usize = 64;
/// Ids of events of failures.
const EVENT_IDS_MAX: usize = 32;
/// Addresses of one place, from which on the whole network is named.
const NETWORK_ADDRESSES_MIN: u32 = 3;
/// One of so many names that stand out, and only those that do are named.
const STAND_OUT_PART: usize = 3;

/// The failures of an attack that are news, with the sign-ins that turn out to be hits. The event that brought it
/// up is only named if it is one of them: it may be anybody's.
pub(super) fn failures(event: &Event<'_>, scope: Scope, tally: &Tally, watch: &mut Watch, config: &Config) -> Finding {
    let mut finding = Finding::new(event, key(event, scope), Severity::Medium);
    finding.event_ids.clear();
    let role = role(watch, scope);
    let is_new = !watch.is_open(scope);
    let tries: Vec<Tried> = tally.slow.iter().filter_map(|user| watch.guesses.get(*user)).map(|(_, tried)| *tried).collect();
    finding.event_count = tries.iter().map(|tried| u64::from(tried.untold)).sum::<u64>().max(1);
    finding.first_time_ms = tally.first_ms.min(event.time_ms());
    let named = named(scope, &tries, watch);
    finding.sign = is_new.then(|| sign(named.iter().map(|tried| tried.client))).flatten();
    for tried in named.into_iter().take(NAMED_MAX) {
        let Some((name, id)) = watch.guesses.texts(tried) else { continue };
        finding.involve(Subject::new(EntityKind::User, name, Role::Victim));
        finding.involve(Subject::new(EntityKind::Ip, tried.ip, role));
        if finding.event_ids.len() < EVENT_IDS_MAX {
            finding.event_ids.push(id.to_owned());
        }
    }
    if let (Scope::Place(_), Some(ip)) = (scope, event.ip())
        && tally.addresses >= NETWORK_ADDRESSES_MIN
    {
        finding.involve(Subject::new(EntityKind::Network, subnet_cidr(ip), role));
    }
    let hits = watch.take_hits(scope);
    for hit in &hits {
        name_hit(&mut finding, hit, role);
    }
    watch.guesses.tell(&tally.slow);
    let hits = watch.opened(scope, hits.len() as u32);
    severe(&mut finding, hits);
    describe(&mut finding, scope, tally, hits, watch, config);
    finding
}

/// A sign-in that belongs to an attack.
pub(super) fn hit(event: &Event<'_>, guess: &Guess, scope: Scope, watch: &mut Watch) -> Finding {
    let mut finding = Finding::new(event, key(event, scope), Severity::High);
    let role = role(watch, scope);
    finding.involve(Subject::new(EntityKind::User, event.user().unwrap_or_default(), Role::Victim).hit());
    finding.involve(Subject::new(EntityKind::Ip, guess.ip, role));
    if let Some(session) = event.session() {
        finding.involve(Subject::new(EntityKind::Session, session, Role::Victim).hit());
    }
    let hits = watch.opened(scope, 1);
    severe(&mut finding, hits);
    title(scope).clone_into(&mut finding.title);
    finding.confidence = 0.9;
    let what = match guess.ended {
        Ended::Halfway => "gave the right password and was asked for a second factor",
        _ => "got in",
    };
    finding.reason = format!(
        "A user {what} where this user never signed in, amid the failures of a password spraying attack from {}; it is hit {hits} of the \
         attack (limit 1).",
        whence(scope)
    );
    finding.note("hit_users", hits);
    finding
}

fn severe(finding: &mut Finding, hits: u32) {
    if finding.subjects.iter().any(|subject| subject.hit) {
        finding.severity = if hits > 1 { Severity::Critical } else { Severity::High };
        finding.actions = vec![Action::RevokeSessions, Action::StepUp];
    }
}

/// Where nothing is common, what fails by chance is among the rest; so if enough of them stand out, by being tried
/// from several networks or beside others, only those are named.
fn named<'t>(scope: Scope, tries: &'t [Tried], watch: &Watch) -> Vec<&'t Tried> {
    let stands_out = |tried: &&Tried| tried.moved || watch.guesses.subnet(tried.subnet).failing >= 2;
    let standing_out: Vec<&Tried> = tries.iter().filter(stands_out).collect();
    if scope == Scope::Everywhere && standing_out.len() * STAND_OUT_PART >= tries.len() { standing_out } else { tries.iter().collect() }
}

fn name_hit(finding: &mut Finding, hit: &Doubtful, role: Role) {
    finding.involve(Subject::new(EntityKind::User, &hit.name, Role::Victim).hit());
    finding.involve(Subject::new(EntityKind::Ip, hit.ip, role));
    if !hit.session.is_empty() {
        finding.involve(Subject::new(EntityKind::Session, &hit.session, Role::Victim).hit());
    }
    finding.event_ids.push(hit.event.to_string());
    finding.first_time_ms = finding.first_time_ms.min(hit.time_ms);
    finding.event_count += 1;
}

/// The tenant's own people share a place where they sign in.
fn role(watch: &Watch, scope: Scope) -> Role {
    match scope {
        Scope::Place(subnet) if watch.knows_place(subnet) => Role::Shared,
        _ => Role::Attacker,
    }
}

fn key(event: &Event<'_>, scope: Scope) -> String {
    match (scope, event.ip()) {
        (Scope::Client(_), _) => format!("client:{}|{}", event.text(Field::Ja4), event.text(Field::UserAgent)),
        (Scope::Place(_), Some(ip)) => format!("net:{}", subnet_cidr(ip)),
        _ => "tenant".to_owned(),
    }
}

/// In words, where it comes from.
pub(super) fn whence(scope: Scope) -> &'static str {
    match scope {
        Scope::Client(_) => "several networks with one client",
        Scope::Place(_) => "one network",
        Scope::Everywhere => "many networks",
    }
}

fn title(scope: Scope) -> &'static str {
    match scope {
        Scope::Client(_) => "Password spraying with one client",
        Scope::Place(_) => "Password spraying from one network",
        Scope::Everywhere => "Password spraying from many networks",
    }
}

fn describe(finding: &mut Finding, scope: Scope, tally: &Tally, hits: u32, watch: &Watch, config: &Config) {
    title(scope).clone_into(&mut finding.title);
    let names = tally.slow.len() as u32;
    let over = f64::from(names) / f64::from(tally.limit.max(1));
    finding.confidence = (0.6 + 0.1 * over.min(2.0) + if hits > 0 { 0.1 } else { 0.0 }).min(0.95) as f32;
    let minutes = tally.last_ms.saturating_sub(tally.first_ms) / MINUTE_MS;
    let usual = f64::from((watch.usual.daily() * 10.0).round()) / 10.0;
    finding.reason = format!(
        "{names} users failed to sign in from {} where they never signed in before, over {minutes} minutes, and did not get in from there \
         afterwards (limit {} within {} hours{}, over at least {} minutes or in rounds); {} of them in more rounds than one{}.",
        whence(scope),
        tally.limit,
        WINDOW_MS / HOUR_MS,
        if scope == Scope::Everywhere { format!(", {usual} a day are usual") } else { String::new() },
        SPAN_MIN_MS / MINUTE_MS,
        tally.again,
        match hits {
            0 => String::new(),
            1 => "; one user was hit".to_owned(),
            many => format!("; {many} users were hit"),
        },
    );
    finding
        .note("failed_users", tally.failed)
        .note("failed_users_min", tally.limit)
        .note("failed_users_slow", names)
        .note("failed_share", (tally.failed_share() * 1_000.0).round() / 1_000.0)
        .note("failed_share_min", config.failed_share_min)
        .note("unknown_users", tally.unknown)
        .note("users_in_rounds", tally.again)
        .note("users_retrying_at_once", tally.hasty)
        .note("sign_ins_that_went_well", tally.went_well)
        .note("networks", tally.networks)
        .note("addresses", tally.addresses)
        .note("hit_users", hits)
        .note("minutes", minutes)
        .note("window_ms", WINDOW_MS);
    if scope == Scope::Everywhere {
        finding.note("usual_users_a_day", usual);
    }
}

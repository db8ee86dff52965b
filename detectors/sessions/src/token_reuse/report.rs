//! What a stolen session or token looks like to its reader.

use super::Config;
use super::lineage::{Innocent, Reuse};
use super::services::{REFUSALS_MIN, Strayed};
use super::uses::{Abroad, Ground, Proof, Stray, Theft, Uses};
use super::watch::{Minted, Outlived, Told};
use bartizan_core::{Action, Changes, EntityKind, Event, Finding, NetworkClass, Role, Severity, Subject};

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
    finding.confidence = match reuse.successor_used {
        true if reuse.before.is_some() && reuse.changes.count() == 1 && reuse.changes.network => 0.8,
        true => 0.95,
        false => 0.85,
    };
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
pub(super) fn theft(event: &Event<'_>, is_token: bool, theft: &Theft, uses: &Uses, config: &Config) -> Finding {
    let intruder = uses.client(theft.intruder);
    let used = intruder.is_some_and(|seen| seen.changed);
    let severity = if theft.refused { Severity::Medium } else { severity(used) };
    let mut finding = Finding::new(event, key(event, is_token), severity);
    let what = name(is_token);
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
        Proof::Fixed { before_ms, .. } => {
            finding.title = format!("Login to a {what} that another client had prepared");
            let again = if theft.again { ", and uses it now" } else { "" };
            finding.reason = format!(
                "The {what} was used, without a user, {} before the login (start {}), by a client with another {}: whoever began it knows its id{again}.",
                span(before_ms),
                span(config.settle_ms),
                theft.changes.names()
            );
            finding.note("before_login_ms", before_ms).note("settle_ms", config.settle_ms);
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
    victims(&mut finding, event, is_token);
    if theft.refused {
        spare(&mut finding);
    }
    finding
}

/// What is other about a stray, in words.
fn ground(ground: Ground) -> &'static str {
    match ground {
        Ground::Browser => "another browser, which has a store of its own",
        Ground::System => "a client on another system",
        Ground::Device => "another device, where nobody lives",
        Ground::Tool => "a tool, where nobody lives",
    }
}

/// The finding about a session that a stranger goes on with while its owner is away. It is told where client and network
/// are not the person's either.
pub(super) fn stray(event: &Event<'_>, is_token: bool, stray: &Stray, uses: &Uses, config: &Config) -> Finding {
    let seen = uses.client(stray.client);
    let changed = seen.is_some_and(|seen| seen.changed);
    let mut finding = Finding::new(event, key(event, is_token), severity(changed));
    let what = name(is_token);
    finding.title = format!("Stolen {what} used elsewhere while its owner is away");
    finding.reason = format!(
        "The {what} of another client was used {} times over {} (limits {} and {}) from a {} network by {}: another {} than its owner's.",
        stray.uses,
        span(stray.since_ms),
        config.stray_uses_min,
        span(config.stray_ms),
        event.network_class(),
        ground(stray.ground),
        stray.changes.names()
    );
    finding.confidence = if stray.changes.count() >= 3 { 0.85 } else { 0.75 };
    finding
        .note("changed", stray.changes.names())
        .note("uses", stray.uses)
        .note("stray_uses_min", config.stray_uses_min)
        .note("since_ms", stray.since_ms)
        .note("stray_ms", config.stray_ms)
        .note("network", event.network_class().as_str());
    finding.first_time_ms = event.time_ms().saturating_sub(stray.since_ms);
    if let Some(earlier) = uses.event_of(stray.client).filter(|earlier| *earlier != event.id()) {
        finding.event_ids.insert(0, earlier.to_owned());
        finding.event_count = 2;
    }
    attacker(&mut finding, event);
    victims(&mut finding, event, is_token);
    finding
}

/// Why a tool that goes on with a session is no theft.
pub(super) fn back_end(stray: &Stray) -> String {
    format!(
        "Used {} times over {} by a tool (other {}), but one that has the sessions of several people: an application's back end.",
        stray.uses,
        span(stray.since_ms),
        stray.changes.names()
    )
}

/// It was an attempt.
fn spare(finding: &mut Finding) {
    finding.severity = Severity::Medium;
    finding.subjects.iter_mut().for_each(|subject| subject.hit = false);
    finding.actions.clear();
}

fn name(is_token: bool) -> &'static str {
    if is_token { "token" } else { "session" }
}

/// The finding about a stranger whose session or token outlived a change of the password.
pub(super) fn outlived(event: &Event<'_>, seen: &Outlived, config: &Config) -> Finding {
    let is_token = event.session().is_none();
    let mut finding = Finding::new(event, key(event, is_token), Severity::High);
    let (what, tried) = (name(is_token), if seen.told == Told::Refused { "tried" } else { "used" });
    finding.title = format!("Stolen {what} {tried} after the password was changed");
    finding.reason = format!(
        "A {what} from before was {tried} {} after the password was changed (watched for {}), by a client and on a network that are not this person's.",
        span(seen.after_ms),
        span(config.changed_ms)
    );
    finding.confidence = 0.8;
    finding.note("after_change_ms", seen.after_ms).note("changed_ms", config.changed_ms).note("end_grace_ms", config.end_grace_ms);
    attacker(&mut finding, event);
    victims(&mut finding, event, is_token || event.token().is_some());
    if seen.told == Told::Refused {
        spare(&mut finding);
    }
    finding
}

/// Why a strange client after a change of the password is no theft.
pub(super) fn outlived_excuse(seen: &Outlived) -> String {
    let why = match seen.gate {
        "changed_by_it" => "it is the one that changed it",
        "back_end" => "it looks like an application's back end, and nobody else is known to have had its session",
        _ => "it has signed in since",
    };
    format!("A client that is not this person's went on {} after the password was changed, but {why}.", span(seen.after_ms))
}

/// The finding about a session that was minted behind a proxy.
pub(super) fn minted(event: &Event<'_>, minted: &Minted, config: &Config) -> Finding {
    let mut finding = Finding::new(event, key(event, false), Severity::High);
    "Session minted behind a proxy and used elsewhere".clone_into(&mut finding.title);
    finding.reason = format!(
        "The session is used {} after a sign-in from a {} network that is not this person's (limit {}), by a client with another {} that is not theirs either.",
        span(minted.after_ms),
        minted.class,
        span(config.minted_ms),
        minted.changes.names()
    );
    let is_hidden = matches!(minted.class, NetworkClass::Hosting | NetworkClass::Vpn);
    finding.confidence = if is_hidden { 0.85 } else { 0.75 };
    finding
        .note("after_sign_in_ms", minted.after_ms)
        .note("minted_ms", config.minted_ms)
        .note("sign_in_network", minted.class.as_str())
        .note("changed", minted.changes.names());
    finding.first_time_ms = minted.time_ms.min(event.time_ms());
    finding.event_count = 2;
    finding.event_ids.insert(0, minted.event.clone());
    if let Some(ip) = minted.ip {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    attacker(&mut finding, event);
    victims(&mut finding, event, false);
    finding
}

/// Why a session that is used elsewhere than its sign-in is no theft.
pub(super) fn minted_excuse(minted: &Minted, gate: &str, config: &Config) -> String {
    let why = match gate {
        "from_start" => format!("by a client that was there within {} of the sign-in: a back end", span(config.settle_ms)),
        "own_client" => "by the person's own client or on their own line: the sign-in went through a tunnel".to_owned(),
        "back_end" => "by what looks like an application's back end".to_owned(),
        "relay" => "and one of both comes through a privacy relay, which is for the browser only".to_owned(),
        _ => "and by the client of the sign-in as well".to_owned(),
    };
    format!("A session is used {} after a strange sign-in with another {}, but {why}.", span(minted.after_ms), minted.changes.names())
}

/// The finding about a session or token in another tenant.
pub(super) fn abroad(event: &Event<'_>, became: Abroad, changes: Changes, uses: &Uses) -> Finding {
    let is_token = event.session().is_none();
    let mut finding = Finding::new(event, key(event, is_token), Severity::High);
    let (what, tried) = (name(is_token), if became == Abroad::Refused { "tried" } else { "used" });
    finding.title = format!("Stolen {what} {tried} in another tenant");
    finding.reason = format!(
        "The {what} was {tried} in another tenant {} after it was first seen (presented in {} tenants, limit 1), with another {}.",
        span(event.time_ms().saturating_sub(uses.start_ms()).max(0)),
        uses.tenants(),
        changes.names()
    );
    finding.confidence = if is_token { 0.9 } else { 0.8 };
    finding.note("tenants", uses.tenants()).note("changed", changes.names());
    attacker(&mut finding, event);
    victims(&mut finding, event, is_token);
    if became == Abroad::Refused {
        spare(&mut finding);
    }
    finding
}

/// The finding about a program's token elsewhere.
pub(super) fn strayed(event: &Event<'_>, strayed: &Strayed, config: &Config) -> Finding {
    let is_token = event.user().is_none() && event.session().is_none();
    // A new part of a service may be another program at the same provider, but knows what it may ask for.
    let probes = strayed.got_in && strayed.refusals >= REFUSALS_MIN;
    let severity = if strayed.same_network && !probes { Severity::Medium } else { Severity::High };
    let mut finding = Finding::new(event, key(event, is_token), severity);
    "Service's credential in a new place and on new routes".clone_into(&mut finding.title);
    finding.reason = format!(
        "A service known for {} days (limit {}) on {} networks and {} routes asks for {} routes that it never used (limit {}), from {} that it never used{}{}.",
        strayed.days,
        config.service_days_min,
        strayed.known_networks,
        strayed.known_routes,
        strayed.routes,
        config.service_routes_min,
        if strayed.same_network { "a part of its networks" } else { "a network" },
        if strayed.other_program { ", by another program (a day less is enough)" } else { ", and for none of its usual ones" },
        if probes { format!("; {} requests were refused (limit {REFUSALS_MIN})", strayed.refusals) } else { String::new() }
    );
    finding.confidence = if strayed.other_program && !strayed.same_network { 0.85 } else { 0.75 };
    finding
        .note("days", strayed.days)
        .note("service_days_min", config.service_days_min)
        .note("new_routes", strayed.routes)
        .note("other_program", strayed.other_program)
        .note("refusals", strayed.refusals)
        .note("service_routes_min", config.service_routes_min)
        .note("known_routes", strayed.known_routes)
        .note("known_networks", strayed.known_networks);
    finding.first_time_ms = strayed.first_ms.min(event.time_ms());
    if strayed.event != event.id() {
        finding.event_ids.insert(0, strayed.event.clone());
        finding.event_count = 2;
    }
    if let Some(ip) = strayed.ip {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    attacker(&mut finding, event);
    victims(&mut finding, event, event.token().is_some());
    if !strayed.got_in {
        spare(&mut finding);
    }
    finding
}

fn attacker(finding: &mut Finding, event: &Event<'_>) {
    if let Some(ip) = event.ip() {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
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

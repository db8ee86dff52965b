//! Credential stuffing: many names, few tries each, most of them wrong (ATT&CK T1110.004).
//!
//! **Where it looks.** One state machine for each /24 or /48 sees all addresses in it, so one attack
//! is told once: under the address that passes the limit by itself, or, when several addresses each
//! stay below it, under the network. From the third loud address of a network on, the network is named.
//! A second state machine for each client (user agent and JA4 together) finds attacks spread over many
//! networks; networks that pass the limit by themselves are left to the first one.
//!
//! **What counts.** Each user once, within a sliding window of event time that ends at the newest
//! attempt; out-of-order attempts count where their time puts them. A user fails if all tries in the
//! window failed, few of them (many tries of one name are a stale password or brute force), for a
//! reason that speaks of credentials, and if the user never got in from there before the window. Then
//! it takes enough failing users and a large share of them among all users tried: an office or a
//! carrier fails a lot but succeeds more, and its users are known there. A client that is everywhere
//! proves nothing by failing (a bad release fails for everybody), so there a share of unknown names is
//! needed too, or that next to nobody tries again, as people do whose sign-in fails. Public rules count 15 to 25 users an address in 15 minutes (Elastic), without the gates.
//!
//! Judged are the latest 256 users of the window, or all where there are fewer; of more, an alert says about
//! how many there were.
//!
//! **Attempt and hit.** The attempt is told at the try that passes the limits. A success in the
//! pattern, by a user not known there and with a client that the failures use, is a hit, told with
//! the session, also when it came before the limit was passed.
//!
//! **An attack that goes on.** Once told, an address, network or client keeps what fails there later, at a third of the
//! limit, and for hours of quiet: a try every six minutes now and then falls below the limit, and lists are gone through in rounds.
//! A client is not one attacker's, so there it is two hours.
//!
//! **From several addresses.** An alert is opened for each loud address, or network. Findings that begin an attack
//! show the client that most of its tries use ([`Finding::sign`](bartizan_core::Finding::sign)), by which those of one
//! attacker are joined where alerts are made.
//!
//! **Lists of right passwords.** Where nothing fails, a third state machine, of the tenant, finds strangers' sign-ins
//! that share nothing but the device or an outlandish client (`lists`).
//!
//! Absent on purpose: comparison with a network's own past failure rate, and slow attacks below the
//! limit in every window.

mod attempts;
mod crowd;
mod lists;
mod multitude;
mod report;
mod samples;

use crate::guess::{Ended, Guess};
use attempts::{Attempt, Attempts};
pub(crate) use attempts::{is_unknown_name, says_nothing};
use bartizan_core::time::HOUR_MS;
use bartizan_core::{Budget, Detector, Event, Findings, Key, KeyKind, KeyedState, Kind, Parameter, Parameters, Severity, Spec, State};
use crowd::{Crowd, Parts, Tally};
use lists::{Lists, Verdict};
use std::sync::Arc;

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "credential_stuffing",
    title: "Credential stuffing",
    looks_for: "Many user names tried a few times each, mostly without success, from one address, one network, or many networks with one \
                client; and the tries among them that got in. Also many names whose passwords are right, each from another \
                network, by one device or with a client that nobody is at home with.",
    blind_spots: "Fewer names in every window than the limits; a flood hidden among the many successes of a carrier's address; spread over \
                  many networks with a popular client, or with many clients; right passwords used with a device of its own each and \
                  a popular client, from the victims' own lines, or too few a day.",
    innocent_causes: "Offices and carriers (their users get in, or are known there); stale passwords and retry loops (many tries of one \
                      name); a bad release (its users are known, the names exist, and people try again); expired passwords (not a wrong credential); kiosks, front desks, agents (one device at one \
                      place); new releases (people are at home with those before).",
    keys: &[KeyKind::Subnet, KeyKind::Client, KeyKind::Tenant],
    parameters: PARAMETERS,
    attack: &[("TA0006", "T1110.004")],
    yields: false,
    quiet_gap_ms: QUIET_GAP_MS,
    state_version: 4,
    build: |parameters, budget| Box::new(CredentialStuffing::new(parameters, budget)),
};

/// Quiet for so long, an attack is over; rounds have hours between them.
const QUIET_GAP_MS: i64 = 8 * HOUR_MS;

static PARAMETERS: &[Parameter] = &[
    Parameter::int("window_ms", 3_600_000, 60_000, 86_400_000, "Sliding window of event time."),
    Parameter::int("users_min", 10, 3, 200, "Failing users from one address."),
    Parameter::int(
        "network_users_min",
        15,
        3,
        200,
        "Failing users from one /24 or /48, none of its addresses passing the limit by itself.",
    ),
    Parameter::int("network_addresses_min", 3, 2, 64, "Addresses of the network that take part."),
    Parameter::int("client_users_min", 25, 5, 200, "Failing users with one client over many networks."),
    Parameter::int("client_networks_min", 8, 2, 64, "Networks that take part in an attack with one client."),
    Parameter::int(
        "shared_users_min",
        25,
        3,
        200,
        "Failing users where at least three known users sign in as well (an office, a carrier).",
    ),
    Parameter::int("tries_max", 5, 1, 1_000, "Tries of one user in the window; users with more do not count."),
    Parameter::float("failed_share_min", 0.7, 0.1, 1.0, "Share of failing users among the users tried."),
    Parameter::float("client_failed_share_min", 0.85, 0.1, 1.0, "The same for one client over many networks."),
    Parameter::float("client_unknown_share_min", 0.15, 0.0, 1.0, "Share of names that do not exist, for one client over many networks."),
    Parameter::float("client_retry_share_max", 0.1, 0.0, 1.0, "Or else, share of failing users who try again within two minutes."),
    Parameter::int(
        "list_users_min",
        6,
        3,
        100,
        "Users who get in as strangers within a day by one device, or with a client that nobody is at home with.",
    ),
    Parameter::int("list_lines_min", 3, 2, 64, "Lines (a network's number, with the region) from which they come."),
];

/// The limits, read once.
pub(crate) struct Config {
    window_ms: i64,
    users_min: u32,
    network_users_min: u32,
    network_addresses_min: u32,
    client_users_min: u32,
    client_networks_min: u32,
    shared_users_min: u32,
    tries_max: u16,
    failed_share_min: f64,
    client_failed_share_min: f64,
    client_unknown_share_min: f64,
    client_retry_share_max: f64,
    list_users_min: u32,
    list_lines_min: u32,
}

/// Known users signing in by which a place is shared.
const SHARED_KNOWN_MIN: u32 = 3;
/// Share of failures of a client attack from which on its few successes are hits.
const CLIENT_HIT_SHARE_MIN: f64 = 0.95;
/// Addresses of a network with alerts of their own; the next one makes it the network's.
const OWN_ADDRESSES_MAX: usize = 2;

/// Quiet for so long, an attack with one client is over: others have the same tool.
const CLIENT_QUIET_GAP_MS: i64 = 2 * HOUR_MS;

/// An attack that was told goes on with one in so many of the failing users that it took.
const GOING_ON_PART: u32 = 3;

/// What an attempt is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Address,
    Network,
    Client,
}

/// An attack that an attempt belongs to.
struct Attack {
    scope: Scope,
    /// What it is counted over.
    parts: Parts,
    tally: Tally,
    /// Failing users that it took.
    limit: u32,
    /// Told before?
    open: bool,
}

impl Attack {
    /// Is a success among the failures one of the attack's? A client is many people's, so there it
    /// takes next to no other successes.
    fn tells_hits(&self) -> bool {
        self.scope != Scope::Client || self.tally.failed_share() >= CLIENT_HIT_SHARE_MIN
    }
}

struct CredentialStuffing {
    config: Config,
    networks: KeyedState<Attempts>,
    clients: KeyedState<Attempts>,
    tenants: KeyedState<Lists>,
}

impl CredentialStuffing {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            window_ms: parameters.int("window_ms"),
            users_min: parameters.count("users_min"),
            network_users_min: parameters.count("network_users_min"),
            network_addresses_min: parameters.count("network_addresses_min"),
            client_users_min: parameters.count("client_users_min"),
            client_networks_min: parameters.count("client_networks_min"),
            shared_users_min: parameters.count("shared_users_min"),
            tries_max: parameters.count("tries_max"),
            failed_share_min: parameters.float("failed_share_min"),
            client_failed_share_min: parameters.float("client_failed_share_min"),
            client_unknown_share_min: parameters.float("client_unknown_share_min"),
            client_retry_share_max: parameters.float("client_retry_share_max"),
            list_users_min: parameters.count("list_users_min"),
            list_lines_min: parameters.count("list_lines_min"),
        };
        Self { config, networks: KeyedState::new(budget), clients: KeyedState::new(budget), tenants: KeyedState::new(budget) }
    }
}

impl CredentialStuffing {
    /// Is a right password one of a list's?
    fn signed_in(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(guess) = Guess::of(event).filter(|guess| matches!(guess.ended, Ended::In | Ended::Halfway)) else { return };
        let mut lists = self.tenants.entry(key.hash, event.watermark_ms(), Lists::default);
        match lists.take(&guess, event, &self.config) {
            Verdict::Ordinary => {}
            Verdict::List(common, tally) => findings.push(report::list(event, common, &tally, &mut lists, &self.config)),
            Verdict::Few(tally) => findings.remark(BELOW_LIMIT, || {
                let Config { list_users_min, .. } = self.config;
                format!("{} users got in as strangers with what got in here (limit {list_users_min}).", tally.users)
            }),
            Verdict::OnePlace(common, tally) => {
                let lists::Tally { users, strangers, networks, lines } = tally;
                let reason = format!(
                    "{users} users got in with what none of them had before, {strangers} not on lines of their own: from {networks} networks \
                     on {lines} lines."
                );
                findings.excuse("one_place", report::list_key(event, common), Severity::High, reason);
            }
        }
    }
}

impl Detector for CredentialStuffing {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        if key.kind == KeyKind::Tenant {
            return self.signed_in(key, event, findings);
        }
        let Some(mut attempt) = Attempt::of(event, key.kind) else { return };
        let (config, states) = match key.kind {
            KeyKind::Client => (&self.config, &mut self.clients),
            _ => (&self.config, &mut self.networks),
        };
        let mut state = states.entry(key.hash, event.watermark_ms(), Attempts::default);
        if !state.record(&mut attempt, config) {
            return findings.remark("says_nothing", || "Too old for the window, or a failure that says nothing of credentials.".to_owned());
        }
        state.keep_sample(&attempt, event, config);
        let attack = match state.suspects() {
            Some(crowd) if key.kind == KeyKind::Client => client_attack(crowd, &attempt, state.newest_ms(), config),
            Some(crowd) => network_attack(crowd, &attempt, config),
            None => Err(Silence { gate: BELOW_LIMIT, tally: None }),
        };
        match attack {
            Ok(attack) if !attempt.success || (attack.tells_hits() && state.is_hit(&attempt, &attack.tally, &attack.parts)) => {
                findings.push(report::finding(event, &attempt, &attack, &mut state, config));
            }
            silent => {
                if attempt.success {
                    state.learn(&attempt);
                }
                match silent {
                    Err(silence) => silence.tell(event, key.kind, attempt.success, findings),
                    Ok(_) => findings.remark("no_hit", || "An attack goes on, and this success is of a known user or client.".to_owned()),
                }
            }
        }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        matches!(event, Kind::Login | Kind::TokenIssue)
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.networks);
        visit(&mut self.clients);
        visit(&mut self.tenants);
    }
}

/// Fewer names than it takes.
const BELOW_LIMIT: &str = "below_limit";

/// Why nothing is told.
struct Silence {
    gate: &'static str,
    /// What was counted, and the failing users that it took.
    tally: Option<(Tally, u32)>,
}

impl Silence {
    /// Enough names failed, or not.
    fn of(tally: Tally, limit: u32, gate: &'static str) -> Self {
        Self { gate: if tally.failed >= limit { gate } else { BELOW_LIMIT }, tally: Some((tally, limit)) }
    }

    fn tell(self, event: &Event<'_>, of: KeyKind, success: bool, findings: &mut Findings) {
        let sentence = |tally: Option<(Tally, u32)>| match tally {
            None => "Few tries within the window.".to_owned(),
            Some((tally, limit)) => format!(
                "{} users failed (limit {limit}), {} of them with names that do not exist; {:.0} % of the users tried; {} known users got in.",
                tally.failed,
                tally.unknown,
                100.0 * tally.failed_share(),
                tally.known
            ),
        };
        if self.gate == BELOW_LIMIT || success || self.tally.is_none() {
            findings.remark(self.gate, || sentence(self.tally));
        } else {
            let scope = if of == KeyKind::Client { Scope::Client } else { Scope::Network };
            findings.excuse(self.gate, report::key(event, scope), Severity::Medium, sentence(self.tally));
        }
    }
}

/// The attack from the attempt's address, or else from its network.
fn network_attack(crowd: &Crowd, attempt: &Attempt, config: &Config) -> Result<Attack, Silence> {
    if attempt.known {
        return Err(Silence { gate: "known_user", tally: None });
    }
    let network_open = crowd.is_open(0, attempt.time_ms);
    let own = crowd.parts_open(attempt.time_ms);
    if !network_open {
        let parts = Parts::One(attempt.part);
        let tally = crowd.tally(&parts);
        let limit = shared_limit(&tally, config.users_min, config);
        let open = own.contains(&attempt.part);
        if passes(&tally, if open { going_on(limit) } else { limit }, config.failed_share_min) {
            if open || own.len() < OWN_ADDRESSES_MAX {
                return Ok(Attack { scope: Scope::Address, parts, tally, limit, open });
            }
            let parts = Parts::AllBut(Vec::new());
            let tally = crowd.tally(&parts);
            return Ok(Attack { scope: Scope::Network, parts, tally, limit, open: false });
        }
    }
    let own = if network_open { Vec::new() } else { own };
    if own.contains(&attempt.part) {
        return Err(Silence { gate: "told_by_address", tally: None });
    }
    let parts = Parts::AllBut(own);
    let tally = crowd.tally(&parts);
    let limit = shared_limit(&tally, config.network_users_min, config);
    let takes_part = network_open || tally.parts >= config.network_addresses_min;
    if takes_part && passes(&tally, if network_open { going_on(limit) } else { limit }, config.failed_share_min) {
        Ok(Attack { scope: Scope::Network, parts, tally, limit, open: network_open })
    } else {
        let few_addresses = if takes_part { "many_get_in" } else { "few_addresses" };
        Err(Silence::of(tally, limit, few_addresses))
    }
}

/// The attack with one client from many networks, less those networks that are told by themselves.
fn client_attack(crowd: &Crowd, attempt: &Attempt, newest_ms: i64, config: &Config) -> Result<Attack, Silence> {
    let (parts, limit) = (Parts::Quiet, config.client_users_min);
    if !crowd.takes(&parts, attempt.part) {
        return Err(Silence { gate: "told_by_network", tally: None });
    }
    let open = crowd.is_open_within(0, newest_ms, CLIENT_QUIET_GAP_MS);
    let enough = if open { going_on(limit) } else { limit };
    let networks_min = if open { going_on(config.client_networks_min) } else { config.client_networks_min };
    let tally = crowd.tally(&parts);
    if tally.parts < networks_min || !passes(&tally, enough, config.client_failed_share_min) {
        return Err(Silence::of(tally, limit, "many_get_in"));
    }
    let names_are_guessed = f64::from(tally.unknown) >= config.client_unknown_share_min * f64::from(tally.failed);
    let nobody_retries = || {
        let (settled, retried) = crowd.retries(&parts, newest_ms);
        settled >= enough && f64::from(retried) <= config.client_retry_share_max * f64::from(settled)
    };
    let is_attack = names_are_guessed || nobody_retries();
    if is_attack {
        Ok(Attack { scope: Scope::Client, parts, tally, limit, open })
    } else {
        Err(Silence::of(tally, limit, "people_try_again"))
    }
}

fn shared_limit(tally: &Tally, limit: u32, config: &Config) -> u32 {
    if tally.known >= SHARED_KNOWN_MIN { limit.max(config.shared_users_min) } else { limit }
}

/// What it takes for an attack that was told to go on.
fn going_on(limit: u32) -> u32 {
    limit.div_ceil(GOING_ON_PART)
}

fn passes(tally: &Tally, limit: u32, share_min: f64) -> bool {
    tally.failed >= limit && tally.failed_share() >= share_min
}

//! Password spraying: a few common passwords over many names, slowly (ATT&CK T1110.003).
//!
//! `credential_stuffing` finds many names within an hour from one address, network or client. This detector
//! finds what stays below that: a name every few minutes for many hours, rounds with hours between them from
//! a few addresses, and tries that come from another address each time and share nothing. What passes the
//! limits of the other one within an hour is left to it, be it a part of an attack that also goes on slowly, unless it
//! comes in rounds.
//! What was told under one network or client is not told under another heading.
//!
//! **What counts.** Not failures, but users who failed where they are strangers, and did not get in from there
//! afterwards. A stranger never got in from that line or with that device; a person who mistypes at home, a stale
//! password on a phone, an office after a bad deployment all fail where they are known. A failure waits some
//! minutes before it counts, and a success from the same place takes it back at any later time. Names that are
//! tried again at once from the same place are people's, and many tries of one name brute force or a loop.
//! Ordinary life leaves a handful of such users a day among tens of thousands of sign-ins, so few are needed.
//!
//! **What they have in common.** One /24 or /48; one client (user agent and JA4) with which nobody ever got in;
//! or nothing, and then it takes several times as many as are usual in the tenant, all from networks where nobody
//! of the tenant ever got in. All of it needs to be slow: an hour between the first and the last, or names that
//! come again in another round. When sign-ins fail at home in unusual numbers, it is broken for everybody, and what
//! fails abroad meanwhile does not count.
//!
//! **Hits.** A success of a stranger amid the failures, with a client that takes part in them, or of a user whose
//! password was guessed before from elsewhere, is a hit. Such a sign-in teaches nothing. A right password that was
//! stopped by a second factor is a hit, too.
//!
//! One state for each tenant sees all its sign-ins, because what one user knows and what many users have in common
//! must come together. It holds a bit for each habit, and up to 256 failing users.
//!
//! Absent on purpose: even spacing as evidence (attackers draw their pauses, and little else is even in a day's log),
//! and time of day.

mod guesses;
mod report;
mod tally;
mod usual;
mod watch;

use crate::guess::{Ended, Guess};
use bartizan_core::time::{HOUR_MS, MINUTE_MS};
use bartizan_core::{Budget, Detector, Event, Findings, Key, KeyKind, KeyedState, Kind, Parameter, Parameters, Spec, State};
use std::sync::Arc;
use tally::Tally;
use watch::{Scope, Watch};

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "password_spraying",
    title: "Password spraying",
    looks_for: "Over a day, many users who failed a few times where they are strangers and never got in: from one network, with one \
                client, or far more than are usual in the tenant from networks that it does not know; and those among them who did get in.",
    blind_spots: "Fewer names a day than the limits; tries from the victims' own provider and region, or from networks where others of the \
                  tenant sign in; names tried several times at once from one address; a fast attack that is over within an hour; tenants \
                  with some hundred thousand people, where more failures are usual than are held.",
    innocent_causes: "Mistyped and stale passwords (known line or device, or in soon after); offices, hotels and carriers (most get in); \
                      broken sign-in (fails at home as well, and people try again at once); a VPN's or a partner's new network (most get \
                      in); loops (many tries of one name).",
    keys: &[KeyKind::Tenant],
    parameters: PARAMETERS,
    attack: &[("TA0006", "T1110.003")],
    yields: false,
    quiet_gap_ms: QUIET_GAP_MS,
    state_version: 3,
    build: |parameters, budget| Box::new(PasswordSpraying::new(parameters, budget)),
};

/// Quiet for so long, an attack is over; rounds have hours between them.
const QUIET_GAP_MS: i64 = 8 * HOUR_MS;
/// From the first to the last failure it takes so long, if names do not come again.
const SPAN_MIN_MS: i64 = HOUR_MS;

static PARAMETERS: &[Parameter] = &[
    Parameter::int("users_min", 10, 3, 200, "Users who failed as strangers within a day, from one network, with one client or in all."),
    Parameter::int("shared_users_min", 25, 3, 200, "The same from a network where users of the tenant sign in."),
    Parameter::float("rise_min", 3.0, 1.0, 100.0, "How many times as many as are usual a day it takes when they have nothing in common."),
    Parameter::int("tries_max", 10, 1, 200, "Tries of one user within a day; users with more do not count."),
    Parameter::int("settle_ms", 5 * MINUTE_MS, 0, HOUR_MS, "Time that a user has to get in after a failure before it counts."),
    Parameter::float("failed_share_min", 0.7, 0.1, 1.0, "Share of failing users among these and the sign-ins that go well."),
];

/// The limits, read once.
pub(crate) struct Config {
    users_min: u32,
    shared_users_min: u32,
    rise_min: f64,
    tries_max: u8,
    settle_ms: i64,
    failed_share_min: f64,
}

struct PasswordSpraying {
    config: Config,
    tenants: KeyedState<Watch>,
}

impl PasswordSpraying {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            users_min: parameters.count("users_min"),
            shared_users_min: parameters.count("shared_users_min"),
            rise_min: parameters.float("rise_min"),
            tries_max: parameters.count("tries_max"),
            settle_ms: parameters.int("settle_ms"),
            failed_share_min: parameters.float("failed_share_min"),
        };
        Self { config, tenants: KeyedState::new(budget) }
    }
}

impl Detector for PasswordSpraying {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(guess) = Guess::of(event) else {
            return findings
                .remark("no_guess", || "Not a person's sign-in with a password, or a failure that says nothing of it.".to_owned());
        };
        let config = &self.config;
        let mut watch = self.tenants.entry(key.hash, event.watermark_ms(), Watch::default);
        if !watch.advance(guess.time_ms, config) {
            return;
        }
        match guess.ended {
            Ended::Failed { unknown } => {
                if watch.failed(&guess, unknown, event, config) {
                    judge(&mut watch, &guess, event, config, findings);
                } else {
                    findings.remark("own_client", || "Failed with a device or on a line of the user's own.".to_owned());
                }
            }
            Ended::Halfway | Ended::In | Ended::Reset => {
                if let Some(scope) = watch.got_in(&guess, event) {
                    findings.push(report::hit(event, &guess, scope, &mut watch));
                } else {
                    findings.remark("no_attack", || "Got in, and no attack goes on that it belongs to.".to_owned());
                }
            }
        }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        matches!(event, Kind::Login | Kind::TokenIssue | Kind::PasswordReset)
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.tenants);
    }
}

/// A stranger failed: is it, with what came before, an attack? Told under what is most in common.
fn judge(watch: &mut Watch, guess: &Guess, event: &Event<'_>, config: &Config, findings: &mut Findings) {
    if watch.is_judged() {
        return findings.remark("judged_just_now", || "Of this tenant's failures others were judged just now.".to_owned());
    }
    // Fewer than it takes need not be gone through.
    let enough = |scope: Scope, failing: u32| failing >= tally::limit(watch, scope, config);
    let (client, place) = (Scope::Client(guess.client), Scope::Place(guess.subnet));
    let by_client = enough(client, watch.guesses.client(guess.client).failing.into()) && !watch.knows_client(guess.client);
    let by_place = enough(place, watch.guesses.subnet(guess.subnet).failing.into()) && watch.has_few_places();
    let by_all = enough(Scope::Everywhere, watch.guesses.len() as u32);
    let (client, place) = ((client, by_client), (place, by_place));
    // One attack is told once: under what was told already, else under the place if most of what the client does comes from it.
    let mostly_there = u32::from(watch.guesses.subnet(guess.subnet).failing) * 2 > u32::from(watch.guesses.client(guess.client).failing);
    let place_first = watch.is_open(place.0) || (mostly_there && !watch.is_open(client.0));
    let [first, second] = if place_first { [place, client] } else { [client, place] };
    for (scope, possible) in [first, second, (Scope::Everywhere, by_all)] {
        let open = watch.is_open(scope);
        if !open && !possible {
            continue;
        }
        watch.judged();
        // An attack that goes on grows by any name, another one has to pass the limit.
        let names_min = if open { 1 } else { tally::limit(watch, scope, config) };
        if tally::has_news(watch, scope, names_min, config) {
            let tally = tally::tally(watch, scope, config);
            if !tally.slow.is_empty() && (open || tally.passes(scope, config)) {
                findings.push(report::failures(event, scope, &tally, watch, config));
                return;
            }
        }
        findings.remark("below_limit", || {
            let tally = tally::tally(watch, scope, config);
            let Tally { failed, slow, limit, hasty, again, .. } = &tally;
            let (slow, share) = (slow.len(), 100.0 * tally.failed_share());
            format!(
                "{failed} users failed as strangers ({}), {slow} of them slowly or in rounds (limit {limit}), {again} in rounds, {hasty} more \
                 tried again at once, as people do; {share:.0} % of the users failed.",
                report::whence(scope)
            )
        });
    }
    findings.remark("below_limit", || {
        let in_all = tally::limit(watch, Scope::Everywhere, config);
        format!(
            "Fewer users failed as strangers within a day than it takes: {} from one network or with one client, {in_all} in all.",
            config.users_min
        )
    });
}

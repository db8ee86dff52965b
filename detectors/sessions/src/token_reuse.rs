//! Token reuse: a session or token in the hands of two clients (ATT&CK T1539, T1528, T1550.001/.004, T1557).
//!
//! Nine signs, each decided on the event that proves it:
//!
//! - **Lineage.** A refresh token that was already exchanged comes back from another client, after the
//!   grace period or after its successor was used (RFC 9700 §4.14.2; Auth0 and Okta revoke the family).
//!   The thief may have refreshed first, so that the owner brings the old token: the whole family is
//!   suspect, and the attacker is whoever does not look like the family's earlier clients. Races,
//!   retries and lost answers come within the grace or from the same client, and stay silent; in the
//!   field they are most of what naive rules revoke. Logs of identity providers often say nothing of
//!   the client: there it takes another provider's network, and a successor that was used.
//! - **Turns.** A session, or a token of events without a session, is used by client A, then B, then A
//!   again within the window. A way home from the office is A then B and never back so fast; a phone
//!   between Wi-Fi and cellular changes its network alone. So it takes another network together with
//!   another device, TLS client or user agent, or all three of these. Clients that appear within
//!   seconds of the session's start (a back end that shares it) belong to it.
//! - **After its end.** A session or token is used, past a grace for requests under way, after its
//!   sign-out or revocation, by a client that did not use it before; refused, it is an attempt (and
//!   takes two differences). The same client going
//!   on (a page left open, a locally validated JWT) is no theft.
//! - **After a change of the password.** Changed or reset by anybody, it should end what was stolen, but
//!   many products let other sessions live (OWASP ASVS 5.0 §7.4.3 wants it offered to end them). The
//!   person's other devices go on for hours and a stale phone is refused; so it takes a client and a
//!   network that are not the person's, as they were known before the change, and a session that was not
//!   begun since. What looks like an application's back end (hosting, no device, no browser) must have the
//!   session from another client besides.
//! - **Behind a proxy.** A phishing proxy (adversary in the middle) signs in with the right password and
//!   factor, and the session goes to somebody elsewhere. Known rules look for a session with two
//!   clients (Elastic's "Multiple Device Token Hashes for Single Okta Session", Panther's "Okta Potentially
//!   Stolen Session"); here the sign-in itself must come from a network that is not the person's (hosting,
//!   a VPN, or any with a client that is not theirs either), and within the hour the session be used on
//!   another network by another client, neither of which is theirs. Own VPNs, back ends that share the
//!   session from its start, apps beside a browser and privacy relays are told apart.
//! - **While its owner is away.** A stolen cookie is used elsewhere, and nobody comes back to it for hours, so there are
//!   no turns to see. Two halves prove it, on the third use after a minute: the session was begun by another client, which
//!   the new one cannot be ([`uses::Ground`]: two browsers share no store, a session does not change to another system, and
//!   where nobody lives another device or a tool is no move of the first), and neither the new client nor its network are the
//!   person's. A browser's update, a VPN, a gateway that looks into TLS, the other address family and cellular networks
//!   change one thing at most; an app and the pages within it are one installation; whoever signed in to the session, or
//!   had it from its start, is at home in it; and a tool that has the sessions of three people is a back end ([`crowd`]).
//! - **Over several tenants.** A session or token is presented in a tenant that is not its own (what RFC
//!   9700 §2.3 restricts audiences for), on another network and by another client. Who works for several
//!   tenants does so from one place. A session id too short to be random says nothing.
//! - **Before its login.** A session is used, without a user, and then another client on another network
//!   logs in to it: whoever began it knows its id (session fixation, CAPEC-61). The same client before and
//!   after is how web frameworks do it. Where the session was another user's, it takes that client's return.
//! - **Programs.** A service's credential (RFC 6749 §4.4, or an API key) that for days was at home on its
//!   networks and routes asks from a network that it never used for routes that it never used, and for
//!   none of its usual ones; or by a program that it never was, also for some of them ([`services`]).
//!
//! Requests are many: one by the only client of its session costs one look-up. Sessions and tokens are
//! held by what a request bears, over all tenants; people are watched only after a change or a strange
//! sign-in, and a small set of bits says of nearly all others that they are not ([`marks`]).
//!
//! What counts as another client is in `bartizan_core::client`: families of user agents, cipher parts of
//! JA4, networks rather than addresses; a named device that is the same outweighs all else.

mod crowd;
mod lineage;
mod marks;
mod program;
mod report;
mod route;
mod services;
mod uses;
mod watch;

use bartizan_core::client::short;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{
    Budget, Common, Detector, Event, Findings, Key, KeyKind, KeyedState, Kind, Memo, Outcome, Parameter, Parameters, Severity, Spec, State,
    UserKind,
};
use crowd::Crowd;
use lineage::{Innocent, Lineage};
use marks::Marks;
use services::Service;
use std::sync::Arc;
use uses::{Abroad, Ground, Uses};
use watch::{Told, Watch};

/// Letters of a session id from which on it is no chance that two tenants have one.
const SESSION_BYTES_MIN: usize = 16;

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "token_reuse",
    title: "Stolen session or token",
    looks_for: "A refresh token that comes back after it was exchanged; a session or token used by two clients in turns, by a stranger \
                after sign-out, revocation or a change of the password, in another tenant, before its login, or right after a sign-in \
                through a phishing proxy, or elsewhere while its owner is away; a service's token on a new network or in another \
                program, and on new routes.",
    blind_spots: "A thief on the victim's network with the victim's user agent and TLS client, or who copies the device id; a session \
                  that is stolen after a day without a use, used through a privacy relay, for less than a minute, at a carrier of the \
                  person's country, or near the owner in the same kind of browser; a stolen refresh token where the log does not give the one issued, or, of a client of which it gives the address alone, before \
                  its successor was used or on a line of the same provider; people with \
                  fewer than three sign-ins on two days; a phishing proxy that hands the session over at once, or on a line that the \
                  person uses; scripts in a data centre that look like an application's back end; a token of a session's events in a tenant where it comes without one; a thief of a service's token who \
                  mostly keeps to its usual routes, or a service of more than six networks or 128 routes.",
    innocent_causes: "Parallel refreshes, retries and lost answers (grace, same client); Wi-Fi to cellular, two address families, \
                      browser updates (one change at most); back ends that share a session from its start; a page left open after \
                      sign-out (same client); own devices after a change of the password; own VPNs and privacy relays at sign-in; a \
                      client of several tenants; a service that moves with its usual work; a tool in the cloud that \
                      has the sessions of several people. A phone restored from another's backup does \
                      look like theft, and so may an app's back end that takes over late after a sign-in from a new cloud, a new back end with its first two \
                      users, tests that carry a session into a runner, and a service's new part in another program at a new address.",
    keys: &[KeyKind::Principal, KeyKind::User, KeyKind::Bearer],
    parameters: PARAMETERS,
    attack: &[("TA0006", "T1539"), ("TA0006", "T1528"), ("TA0005", "T1550.001"), ("TA0005", "T1550.004"), ("TA0006", "T1557")],
    yields: false,
    quiet_gap_ms: 3_600_000,
    state_version: 7,
    build: |parameters, budget| Box::new(TokenReuse::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::int("grace_ms", 60_000, 0, 3_600_000, "Time in which an exchanged refresh token may come again: races and lost answers."),
    Parameter::int("turns_window_ms", 7_200_000, 10_000, 86_400_000, "Longest time from the first to the last of the turns A, B, A."),
    Parameter::int("settle_ms", 5_000, 0, 600_000, "Clients that appear so soon after a session's first event belong to it."),
    Parameter::int("end_grace_ms", 60_000, 0, 3_600_000, "Time after sign-out or revocation in which requests under way may arrive."),
    Parameter::int("lineage_kept_ms", 7 * DAY_MS, DAY_MS / 24, 90 * DAY_MS, "How long exchanged refresh tokens are remembered."),
    Parameter::int("changed_ms", DAY_MS, HOUR_MS, 7 * DAY_MS, "Time after a change of the password in which strangers' sessions are told."),
    Parameter::int("minted_ms", HOUR_MS, 60_000, DAY_MS, "Longest time from a sign-in behind a proxy to the use of its session elsewhere."),
    Parameter::int("stray_uses_min", 3, 1, 100, "Uses from which on a stranger goes on with a session of somebody who is away."),
    Parameter::int("stray_ms", 60_000, 0, 3_600_000, "Time that it has done so, at least: pages are looked through for viruses in less."),
    Parameter::int("service_days_min", 3, 1, 30, "Days at work from which on a service's networks and routes are known."),
    Parameter::int("service_routes_min", 2, 1, 20, "New routes from a new network from which on a service's token is told."),
];

/// The limits, read once.
pub(crate) struct Config {
    grace_ms: i64,
    turns_window_ms: i64,
    settle_ms: i64,
    end_grace_ms: i64,
    lineage_kept_ms: i64,
    changed_ms: i64,
    minted_ms: i64,
    stray_uses_min: i64,
    stray_ms: i64,
    service_days_min: i64,
    service_routes_min: i64,
}

impl Config {
    fn new(parameters: &Parameters) -> Self {
        Self {
            grace_ms: parameters.int("grace_ms"),
            turns_window_ms: parameters.int("turns_window_ms"),
            settle_ms: parameters.int("settle_ms"),
            end_grace_ms: parameters.int("end_grace_ms"),
            lineage_kept_ms: parameters.int("lineage_kept_ms"),
            changed_ms: parameters.int("changed_ms"),
            minted_ms: parameters.int("minted_ms"),
            stray_uses_min: parameters.int("stray_uses_min"),
            stray_ms: parameters.int("stray_ms"),
            service_days_min: parameters.int("service_days_min"),
            service_routes_min: parameters.int("service_routes_min"),
        }
    }
}

struct TokenReuse {
    config: Config,
    lineages: KeyedState<Lineage>,
    sessions: KeyedState<Uses>,
    tokens: KeyedState<Uses>,
    watched: KeyedState<Watch>,
    marks: Marks,
    services: KeyedState<Service>,
    /// Prints of the names of services' programs, by their client.
    names: Memo<u32>,
}

impl TokenReuse {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config::new(parameters);
        Self {
            marks: Marks::new(config.changed_ms.max(config.minted_ms)),
            config,
            lineages: KeyedState::new(budget),
            sessions: KeyedState::new(budget),
            tokens: KeyedState::new(budget),
            watched: KeyedState::new(budget),
            services: KeyedState::new(budget),
            names: Memo::new(0),
        }
    }

    fn observe_refresh(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(token) = event.token() else { return };
        let exchanged = event.token_issued().is_some_and(|issued| issued != token) && event.outcome() == Outcome::Success;
        // Only an exchange starts a lineage; a refused token concerns us if its exchange was seen.
        let mut lineage = if exchanged {
            self.lineages.entry(key.hash, event.watermark_ms(), Lineage::default)
        } else if let Some(lineage) = self.lineages.get_mut(key.hash, event.watermark_ms()) {
            lineage
        } else {
            return findings.remark("no_exchange", || "No exchange of refresh tokens is known of this user.".to_owned());
        };
        match lineage.observe(event, token, exchanged, &self.config) {
            Ok(reuse) => findings.push(report::lineage(event, &reuse, &self.config)),
            Err(Innocent { gap_ms: 0, gate }) => {
                findings.remark(gate, || "No exchange of this refresh token is known before.".to_owned());
            }
            Err(innocent) => {
                findings.excuse(innocent.gate, report::key(event, false), Severity::High, report::excuse(&innocent, &self.config))
            }
        }
    }

    fn observe_use(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(step) = Step::of(event) else {
            return findings.remark("no_use", || "Neither uses nor ends a person's session or token.".to_owned());
        };
        let states = if event.session().is_some() { &mut self.sessions } else { &mut self.tokens };
        if step == Step::Refused {
            return observe_refused(states, key, event, &self.config, findings);
        }
        let tenant = short(event.key(KeyKind::Tenant));
        let mut uses = states.entry(key.hash, event.watermark_ms(), || Uses::new(tenant, event.time_ms()));
        if uses.goes_on(event, step, &self.config) {
            return findings.remark("no_return", || uses.sentence(&self.config));
        }
        if !uses.is_abroad(tenant) {
            return observe_step(&mut uses, event, step, &self.config, findings);
        }
        observe_abroad(&mut uses, event, tenant, step, findings);
        drop(uses);
        // A token is followed in its own tenant; an id that is alike by chance in each.
        if let Some(own) = event.key(KeyKind::Session) {
            let mut uses = states.entry(own.hash, event.watermark_ms(), || Uses::new(tenant, event.time_ms()));
            observe_step(&mut uses, event, step, &self.config, findings);
        }
    }

    /// What begins a watch, and sign-ins during one.
    fn observe_person(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(person) = event.person().filter(|_| event.outcome() == Outcome::Success) else { return };
        let is_change = matches!(event.kind(), Kind::PasswordChange | Kind::PasswordReset);
        let is_login = event.kind() == Kind::Login && event.user_kind() == UserKind::Human;
        let begins = (is_change && person.familiar(event).established) || (is_login && watch::may_be_minted(event, person));
        let (watched, watermark_ms) = (self.watched.len(), event.watermark_ms());
        if begins {
            let mut watch = self.watched.entry(key.hash, watermark_ms, || Watch::new(person));
            if is_change {
                watch.changed(event, &self.config);
            } else {
                watch.signed_in(event);
                watch.minted(event, &self.config);
            }
            self.marks.mark(key.hash, watch.until_ms(), watched, watermark_ms);
            return findings.remark("watched", || "What becomes of this person's sessions is watched for a while.".to_owned());
        }
        if is_login
            && self.marks.may_have(key.hash, watched, watermark_ms)
            && let Some(mut watch) = self.watched.get_mut(key.hash, watermark_ms)
        {
            watch.signed_in(event);
        }
    }

    /// Uses by somebody who is watched, and what is begun.
    fn observe_watched(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let is_issue = event.kind() == Kind::TokenIssue;
        if !is_issue && !matches!(event.kind(), Kind::ApiRequest | Kind::TokenRefresh) {
            return;
        }
        let watermark_ms = event.watermark_ms();
        let Some(mut watch) = self.watched.get_mut(key.hash, watermark_ms) else { return };
        let refused = is_refused(event);
        if is_issue {
            if !refused {
                watch.issued(event, self.config.settle_ms);
            }
            return;
        }
        let was_anothers = || self.lineages.get(key.hash, watermark_ms).is_some_and(|lineage| lineage.was_anothers(event));
        let is_back_end = || watch::may_be_back_end(event) && !was_anothers();
        match watch.outlived(event, refused, is_back_end, &self.config) {
            Ok(seen) if seen.told == Told::Excused => {
                findings.excuse(seen.gate, report::key(event, event.session().is_none()), Severity::High, report::outlived_excuse(&seen));
            }
            // Devices are known by sign-ins that say where they are; that the session itself had another client proves the rest.
            Ok(seen) if seen.told == Told::Used => {
                findings.push_beside(uses::ONE_WAY, report::outlived(event, &seen, &self.config));
            }
            Ok(seen) => findings.push(report::outlived(event, &seen, &self.config)),
            Err(gate) => findings.remark(gate, || "No stranger to the person goes on after a change of the password.".to_owned()),
        }
        if refused {
            return;
        }
        match watch.used_elsewhere(event, &self.config) {
            Ok(minted) => match minted.gate {
                None => findings.push(report::minted(event, &minted, &self.config)),
                Some(gate) => {
                    let reason = report::minted_excuse(&minted, gate, &self.config);
                    findings.excuse(gate, report::key(event, false), Severity::High, reason);
                }
            },
            Err(gate) => findings.remark(gate, || "No strange sign-in's session is used elsewhere.".to_owned()),
        }
    }

    /// The person's half of a [stray](Uses::stray): neither the client nor its network are theirs.
    fn observe_stranger(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        if event.user_kind() == UserKind::Service || !event.person().is_some_and(|person| watch::is_not_theirs(event, person)) {
            return;
        }
        let is_watched = self.marks.may_have(key.hash, self.watched.len(), event.watermark_ms());
        let told = is_watched && self.watched.get(key.hash, event.watermark_ms()).is_some_and(|watch| watch.judges(event));
        if !told {
            findings.bear_out(uses::NOT_THEIRS);
        }
    }

    fn observe_service(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        if event.kind() != Kind::ApiRequest || event.path().is_none() {
            return;
        }
        let mut service = self.services.entry(key.hash, event.watermark_ms(), Service::default);
        match service.observe(event, is_refused(event), &mut self.names, &self.config) {
            Ok(strayed) if strayed.usual => {
                let is_token = event.user().is_none() && event.session().is_none();
                let reason = format!(
                    "A service asks for {} new routes from a network that it never used, but goes on with its usual ones: it moved.",
                    strayed.routes
                );
                findings.excuse("usual_routes", report::key(event, is_token), Severity::High, reason);
            }
            Ok(strayed) => findings.push(report::strayed(event, &strayed, &self.config)),
            Err(gate) => findings.remark(gate, || "Not a known service on new routes from a new network.".to_owned()),
        }
    }
}

/// A use or an end in its own tenant.
#[inline(never)]
fn observe_step(uses: &mut Uses, event: &Event<'_>, step: Step, config: &Config, findings: &mut Findings) {
    let (is_token, clients) = (event.session().is_none(), uses.count());
    match uses.observe(event, step, config) {
        Some(theft) => findings.push(report::theft(event, is_token, &theft, uses, config)),
        None if uses.count() > clients => {
            if uses.newest_is_server(event) && !Crowd::serves(event) {
                crowd::has_session(event).into_iter().for_each(|report| findings.report(report));
            }
            // Once for each further client.
            if clients > 0 {
                let (gate, reason) = uses.newcomer(event, step, config);
                findings.excuse(gate, report::key(event, is_token), Severity::Medium, reason);
            }
        }
        None => match if shows_client(event) { uses.stray(event, config) } else { None } {
            Some(stray) if stray.ground == Ground::Tool && Crowd::serves(event) => {
                findings.excuse("back_end", report::key(event, is_token), Severity::High, report::back_end(&stray));
            }
            Some(stray) => findings.push_beside(uses::NOT_THEIRS, report::stray(event, is_token, &stray, uses, config)),
            None => findings.remark("no_return", || uses.sentence(config)),
        },
    }
}

/// Is it a use by which a client is judged, of which the person's side is [asked](TokenReuse::observe_stranger)?
fn shows_client(event: &Event<'_>) -> bool {
    matches!(event.kind(), Kind::ApiRequest | Kind::TokenRefresh)
}

/// Refused requests begin nothing; they matter where something ended, and in other tenants.
fn observe_refused(states: &mut KeyedState<Uses>, key: Key, event: &Event<'_>, config: &Config, findings: &mut Findings) {
    let tenant = short(event.key(KeyKind::Tenant));
    let Some(mut uses) = states.get_mut(key.hash, event.watermark_ms()) else { return };
    if uses.is_abroad(tenant) {
        observe_abroad(&mut uses, event, tenant, Step::Refused, findings);
        drop(uses);
        let Some(own) = event.key(KeyKind::Session).and_then(|own| states.get_mut(own.hash, event.watermark_ms())) else { return };
        uses = own;
    }
    if let Some(theft) = uses.refused(event, config) {
        findings.push(report::theft(event, event.session().is_none(), &theft, &uses, config));
    }
}

/// A session or token in a tenant that is not its own.
fn observe_abroad(uses: &mut Uses, event: &Event<'_>, tenant: u32, step: Step, findings: &mut Findings) {
    if event.session().is_some_and(|session| session.len() < SESSION_BYTES_MIN) {
        return findings
            .remark("short_id", || format!("Another tenant has a session of this id, which is shorter than {SESSION_BYTES_MIN} bytes."));
    }
    match uses.abroad(event, tenant, step == Step::Refused) {
        Some((Abroad::Innocent, _)) => {
            let reason = format!(
                "Presented in {} tenants, but by one client or on one network, as far as can be told: it works for several.",
                uses.tenants()
            );
            findings.excuse("multi_tenant_client", report::key(event, event.session().is_none()), Severity::High, reason);
        }
        Some((became, changes)) => findings.push(report::abroad(event, became, changes, uses)),
        None => findings.remark("told", || "Presented in several tenants, which was told.".to_owned()),
    }
}

fn is_refused(event: &Event<'_>) -> bool {
    matches!(event.outcome(), Outcome::Failure | Outcome::Denied) || event.status().is_some_and(|status| status >= 400)
}

/// What an event does to a session or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is used.
    Use,
    /// It is used to change something or to get a new token.
    Change,
    /// It begins anew.
    Start,
    /// It was to be used or exchanged, and was refused.
    Refused,
    /// Its user signs out.
    SignOut,
    /// It, or one token of it, is revoked by whomever.
    Revoke,
}

impl Step {
    /// `None` for what neither uses nor ends it: second factors (they come from the phone), programs.
    fn of(event: &Event<'_>) -> Option<Self> {
        let refused = is_refused(event);
        if event.user_kind() == UserKind::Service {
            return None;
        }
        if refused {
            return matches!(event.kind(), Kind::ApiRequest | Kind::TokenRefresh).then_some(Self::Refused);
        }
        match event.kind() {
            Kind::ApiRequest => Some(Self::Use),
            Kind::TokenIssue | Kind::TokenRefresh | Kind::PasswordChange | Kind::PasswordReset | Kind::AccountChange => Some(Self::Change),
            Kind::Login => Some(Self::Start),
            Kind::Logout => Some(Self::SignOut),
            Kind::TokenRevoke => Some(Self::Revoke),
            _ => None,
        }
    }
}

impl Detector for TokenReuse {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        match key.kind {
            KeyKind::Bearer => self.observe_use(key, event, findings),
            KeyKind::Principal => {
                if event.kind() == Kind::TokenRefresh {
                    self.observe_refresh(key, event, findings);
                }
                if event.user_kind() == UserKind::Service {
                    self.observe_service(key, event, findings);
                } else if self.marks.may_have(key.hash, self.watched.len(), event.watermark_ms()) {
                    self.observe_watched(key, event, findings);
                }
            }
            _ if shows_client(event) => self.observe_stranger(key, event, findings),
            _ => self.observe_person(key, event, findings),
        }
    }

    fn looks_at(&self, key: KeyKind, event: Kind) -> bool {
        match key {
            KeyKind::Principal => matches!(event, Kind::TokenRefresh | Kind::TokenIssue | Kind::ApiRequest),
            KeyKind::User => {
                matches!(event, Kind::Login | Kind::PasswordChange | Kind::PasswordReset | Kind::ApiRequest | Kind::TokenRefresh)
            }
            _ => !matches!(event, Kind::MfaChallenge | Kind::MfaResult | Kind::Signup | Kind::Other),
        }
    }

    fn goes_by_people(&self) -> bool {
        true
    }

    fn common(&self, budget: &Arc<Budget>) -> Option<Box<dyn Common>> {
        Some(Box::new(Crowd::new(budget)))
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.lineages);
        visit(&mut self.sessions);
        visit(&mut self.tokens);
        visit(&mut self.watched);
        visit(&mut self.services);
    }
}

//! Token reuse: a session or token in the hands of two clients (ATT&CK T1539, T1528, T1550.001/.004).
//!
//! Three signs, each decided on the event that proves it:
//!
//! - **Lineage.** A refresh token that was already exchanged comes back from another client, after the
//!   grace period or after its successor was used (RFC 9700 §4.14.2; Auth0 and Okta revoke the family).
//!   The thief may have refreshed first, so that the owner brings the old token: the whole family is
//!   suspect, and the attacker is whoever does not look like the family's earlier clients. Races,
//!   retries and lost answers come within the grace or from the same client, and stay silent; in the
//!   field they are most of what naive rules revoke.
//! - **Turns.** A session, or a token of events without a session, is used by client A, then B, then A
//!   again within the window. A way home from the office is A then B and never back so fast; a phone
//!   between Wi-Fi and cellular changes its network alone. So it takes another network together with
//!   another device, TLS client or user agent, or all three of these. Clients that appear within
//!   seconds of the session's start (a back end that shares it) belong to it.
//! - **After its end.** A session or token is used, past a grace for requests under way, after its
//!   sign-out or revocation, by a client that did not use it before; refused, it is an attempt (and
//!   takes two differences). The same client going
//!   on (a page left open, a locally validated JWT) is no theft.
//!
//! What counts as another client is in `bartizan_core::client`: families of user agents, cipher parts of
//! JA4, networks rather than addresses; a named device that is the same outweighs all else.
//!
//! Absent on purpose: use after a password change, one token over several tenants, and sessions minted
//! behind a phishing proxy, which need the user's other sessions.

mod lineage;
mod report;
mod uses;

use bartizan_core::time::DAY_MS;
use bartizan_core::{
    Budget, Detector, Event, Findings, Key, KeyKind, KeyedState, Kind, Outcome, Parameter, Parameters, Severity, Spec, State, UserKind,
};
use lineage::{Innocent, Lineage};
use std::sync::Arc;
use uses::Uses;

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "token_reuse",
    title: "Stolen session or token",
    looks_for: "A refresh token that comes back after it was exchanged, a session or token used by two clients in turns, or used by a \
                stranger after sign-out or revocation.",
    blind_spots: "A thief on the victim's network with the victim's user agent and TLS client, or who copies the device id; a stolen \
                  session that its owner no longer uses; a stolen refresh token where the log does not give the one issued.",
    innocent_causes: "Parallel refreshes, retries and lost answers (grace, same client); Wi-Fi to cellular, two address families, \
                      browser updates (one change at most); back ends that share a session from its start; a page left open after \
                      sign-out (same client). A phone restored from another's backup does look like theft.",
    keys: &[KeyKind::Principal, KeyKind::Session, KeyKind::Token],
    parameters: PARAMETERS,
    attack: &[("TA0006", "T1539"), ("TA0006", "T1528"), ("TA0005", "T1550.001"), ("TA0005", "T1550.004")],
    yields: false,
    quiet_gap_ms: 3_600_000,
    state_version: 4,
    build: |parameters, budget| Box::new(TokenReuse::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::int("grace_ms", 60_000, 0, 3_600_000, "Time in which an exchanged refresh token may come again: races and lost answers."),
    Parameter::int("turns_window_ms", 7_200_000, 10_000, 86_400_000, "Longest time from the first to the last of the turns A, B, A."),
    Parameter::int("settle_ms", 5_000, 0, 600_000, "Clients that appear so soon after a session's first event belong to it."),
    Parameter::int("end_grace_ms", 60_000, 0, 3_600_000, "Time after sign-out or revocation in which requests under way may arrive."),
    Parameter::int("lineage_kept_ms", 7 * DAY_MS, DAY_MS / 24, 90 * DAY_MS, "How long exchanged refresh tokens are remembered."),
];

/// The limits, read once.
pub(crate) struct Config {
    grace_ms: i64,
    turns_window_ms: i64,
    settle_ms: i64,
    end_grace_ms: i64,
    lineage_kept_ms: i64,
}

struct TokenReuse {
    config: Config,
    lineages: KeyedState<Lineage>,
    sessions: KeyedState<Uses>,
    tokens: KeyedState<Uses>,
}

impl TokenReuse {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            grace_ms: parameters.int("grace_ms"),
            turns_window_ms: parameters.int("turns_window_ms"),
            settle_ms: parameters.int("settle_ms"),
            end_grace_ms: parameters.int("end_grace_ms"),
            lineage_kept_ms: parameters.int("lineage_kept_ms"),
        };
        Self { config, lineages: KeyedState::new(budget), sessions: KeyedState::new(budget), tokens: KeyedState::new(budget) }
    }

    fn observe_refresh(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(token) = event.token().filter(|_| event.kind() == Kind::TokenRefresh) else { return };
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
        let states = if key.kind == KeyKind::Session { &mut self.sessions } else { &mut self.tokens };
        let Some(step) = Step::of(event) else {
            return findings.remark("no_use", || "Neither uses nor ends a person's session or token.".to_owned());
        };
        if step == Step::Refused {
            // Refused requests begin nothing; they matter where something ended.
            if let Some(mut uses) = states.get_mut(key.hash, event.watermark_ms())
                && let Some(theft) = uses.refused(event, &self.config)
            {
                findings.push(report::theft(event, key.kind, &theft, &uses, &self.config));
            }
            return;
        }
        let mut uses = states.entry(key.hash, event.watermark_ms(), || Uses::new(event.time_ms()));
        let clients = uses.count();
        match uses.observe(event, step, &self.config) {
            Some(theft) => findings.push(report::theft(event, key.kind, &theft, &uses, &self.config)),
            // Once for each further client.
            None if clients > 0 && uses.count() > clients => {
                let (gate, reason) = uses.newcomer(&self.config);
                findings.excuse(gate, report::key(event, key.kind == KeyKind::Token), Severity::Medium, reason);
            }
            None => findings.remark("no_return", || uses.sentence(&self.config)),
        }
    }
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
        let refused = matches!(event.outcome(), Outcome::Failure | Outcome::Denied) || event.status().is_some_and(|status| status >= 400);
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
            KeyKind::Principal => self.observe_refresh(key, event, findings),
            _ => self.observe_use(key, event, findings),
        }
    }

    fn looks_at(&self, key: KeyKind, event: Kind) -> bool {
        match key {
            KeyKind::Principal => event == Kind::TokenRefresh,
            _ => !matches!(event, Kind::MfaChallenge | Kind::MfaResult | Kind::Signup | Kind::Other),
        }
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.lineages);
        visit(&mut self.sessions);
        visit(&mut self.tokens);
    }
}

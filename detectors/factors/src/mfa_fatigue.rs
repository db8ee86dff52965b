//! MFA fatigue: pushes sent to somebody's phone until one is accepted (ATT&CK T1621).
//!
//! Counting pushes is what naive rules do, and a phone without a net makes as many. So the question is who asked:
//! the client of the sign-in is held against what its person usually has (`client`), and a push is worth
//! nothing while that client is the person's own, however often it is denied or times out; that alone is told
//! as low, from a few explicit denials on. From a stranger, an explicit denial weighs most: the person says that it was
//! somebody else. A push without an answer weighs less, since a new laptop in a hotel makes some of these too,
//! and nothing at all while the person's own pushes go unanswered as well: then the phone is off or the provider down.
//!
//! Two limits follow. **An attempt** takes a sum of weights and a number of pushes, within a window of days: bombing
//! of minutes and of nights are the same to it. **A hit** is an accepted push of a stranger after the
//! same sum, from a client that has to do with those before; it is told at the acceptance, again with
//! the session, and again when that session or client changes something. What was accepted below that sum is the
//! person's, and its client's earlier pushes are forgiven; so are unanswered ones of a client that gives another factor
//! which is right, before or after.
//!
//! Logs differ. Some have the challenge and its result, some the result alone (often with the phone's address), some the
//! challenge and then the sign-in. So a user's latest records are kept by event time, and pushes are read out of them
//! anew at each record: a result belongs to the challenge before it, whose client counts; a sign-in
//! without a result answers the challenge. Late records change nothing but the moment. At most
//! 40 records are kept of a user, and of most users none: what was answered is let go.
//!
//! Absent on purpose: how many of a tenant's pushes go unanswered at the same time, which no state by user can know;
//! hours of the day.

mod client;
mod pushes;
mod reading;
mod report;

use bartizan_core::time::{DAY_MS, HOUR_MS, SECOND_MS};
use bartizan_core::{
    Budget, Detector, Event, Findings, Key, KeyKind, KeyedState, Kind, Outcome, Parameter, Parameters, Spec, State, Trust, UserKind,
};
use client::Whose;
use pushes::{Pushes, Record, What};
use reading::Verdict;
use std::sync::Arc;

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "mfa_fatigue",
    title: "Push bombing",
    looks_for: "Push requests from a client that is not the person's, denied or left unanswered again and again, and their acceptance.",
    blind_spots: "A push that is accepted at first, after one denial, or after up to three without an answer (five from nearby); fewer \
                  than four pushes in three days; attackers with the person's device id, or in the person's network with the person's \
                  user agent; unanswered pushes of people who are hardly known, of a client that gave another factor, or while \
                  their phone is off; results that name the \
                  phone alone, as long as nobody gets in. In logs that write a sign-in before its push, a stranger is known from \
                  the second day on.",
    innocent_causes: "A phone that is off, a provider that is down, VPN clients that reconnect, wrong numbers: silent, since the client is \
                      the person's own, or own pushes go unanswered too. Denials by mistake: an acceptance below the limit follows. \
                      Two pushes at once count as one. A new device in a new country whose person gets no push at all does look like \
                      an attack, also when the provider is down.",
    keys: &[KeyKind::User],
    parameters: PARAMETERS,
    attack: &[("TA0006", "T1621")],
    yields: false,
    quiet_gap_ms: DAY_MS,
    state_version: 1,
    build: |parameters, budget| Box::new(MfaFatigue::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::int("window_ms", 3 * DAY_MS, HOUR_MS, 14 * DAY_MS, "Time within which a stranger's pushes are added up."),
    Parameter::float(
        "suspicion_min",
        2.0,
        0.5,
        100.0,
        "Sum of weights for an attempt, and before a hit: a stranger's push weighs 1 if denied, 0.35 to 0.5 if unanswered.",
    ),
    Parameter::int("pushes_min", 4, 2, 30, "Pushes of strangers for an attempt of medium severity."),
    Parameter::int("own_denials_min", 4, 2, 30, "Denials of the own client's pushes in two hours that are told as low."),
    Parameter::int("double_push_ms", 10 * SECOND_MS, 0, 60 * SECOND_MS, "Unanswered pushes of one client so close together count as one."),
    Parameter::int("use_window_ms", HOUR_MS, 0, DAY_MS, "Time after a hit within which a change by its session or client is its use."),
    Parameter::int("sign_ins_min", 3, 1, 1_000, "Sign-ins known of a person before anybody is a stranger."),
    Parameter::int("days_min", 2, 1, 100, "Days on which they were."),
];

/// The limits, read once.
pub(crate) struct Config {
    window_ms: i64,
    /// In hundredths.
    suspicion_min: i64,
    pushes_min: usize,
    own_denials_min: usize,
    double_push_ms: i64,
    use_window_ms: i64,
    sign_ins_min: u16,
    days_min: u16,
}

struct MfaFatigue {
    config: Config,
    users: KeyedState<Pushes>,
}

impl MfaFatigue {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            window_ms: parameters.int("window_ms"),
            suspicion_min: (parameters.float("suspicion_min") * 100.0).round() as i64,
            pushes_min: parameters.count("pushes_min"),
            own_denials_min: parameters.count("own_denials_min"),
            double_push_ms: parameters.int("double_push_ms"),
            use_window_ms: parameters.int("use_window_ms"),
            sign_ins_min: parameters.count("sign_ins_min"),
            days_min: parameters.count("days_min"),
        };
        Self { config, users: KeyedState::new(budget) }
    }
}

impl What {
    /// Does it say anything without the pushes before it?
    fn may_begin(self) -> bool {
        !matches!(self, Self::Void | Self::Change)
    }

    /// The same for this client. An acceptance or a sign-in may overtake the pushes before it, but of own ones, and of
    /// sign-ins of people hardly known, there are too many to keep.
    fn may_begin_for(self, whose: Whose) -> bool {
        match self {
            // Who gave another factor is known by that later on.
            Self::Accepted | Self::Vouched => whose > Whose::Own,
            Self::SignedIn => whose >= Whose::Near,
            _ => self.may_begin(),
        }
    }
}

impl Detector for MfaFatigue {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(what) = What::of(event).filter(|_| event.user_kind() == UserKind::Human) else {
            return findings.remark("no_push", || "Says nothing of a person's pushes.".to_owned());
        };
        let is_new = self.users.get(key.hash, event.watermark_ms()).is_none();
        if is_new && !what.may_begin() {
            return findings.remark("no_push", || "Nobody was asked by push before.".to_owned());
        }
        let whose = Whose::of(event, &self.config);
        let tells = if is_new { what.may_begin_for(whose) } else { what != What::Change || whose > Whose::Own };
        if !tells {
            return findings.remark("own_client", || "The person's own client.".to_owned());
        }
        let mut pushes = self.users.entry(key.hash, event.watermark_ms(), Pushes::default);
        let verdict = pushes.observe(Record::new(event, what, whose), event.watermark_ms(), &self.config);
        if what == What::SignedIn && whose >= Whose::Near && pushes.has_strangers() {
            let is_hit = verdict.as_ref().is_some_and(Verdict::is_hit);
            findings.doubt(if is_hit { Trust::Stranger } else { Trust::Doubtful });
        }
        match verdict {
            Some(verdict) => findings.push(report::finding(event, &verdict, pushes.records(), &self.config)),
            None => findings.remark("below_limit", || pushes.sentence(&self.config)),
        }
        let is_over = pushes.is_over();
        drop(pushes);
        if is_over {
            self.users.remove(key.hash);
        }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        matches!(
            event,
            Kind::MfaChallenge
                | Kind::MfaResult
                | Kind::Login
                | Kind::PasswordChange
                | Kind::PasswordReset
                | Kind::AccountChange
                | Kind::TokenIssue
        )
    }

    fn goes_by_people(&self) -> bool {
        true
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.users);
    }
}

impl What {
    /// What an event says of pushes; `None` if nothing.
    fn of(event: &Event<'_>) -> Option<Self> {
        let done = match event.outcome() {
            Outcome::Success => true,
            Outcome::Failure | Outcome::Denied => false,
            // A challenge without an outcome was sent all the same.
            Outcome::Unknown if event.kind() == Kind::MfaChallenge => true,
            Outcome::Unknown => return None,
        };
        let factor = event.factor();
        let is_push = factor.is_some_and(|factor| factor.contains("push"));
        match (event.kind(), done) {
            (Kind::MfaChallenge, true) => is_push.then_some(Self::Sent),
            (Kind::MfaResult, true) if is_push || factor.is_none() => Some(Self::Accepted),
            // A printed code is stolen more easily than a phone.
            (Kind::MfaResult, true) => (factor != Some("recovery")).then_some(Self::Vouched),
            (Kind::MfaChallenge | Kind::MfaResult, false) if is_push => Some(Self::ending(event)),
            // Nobody can deny a code, so it was a push or a call.
            (Kind::MfaResult, false) if factor.is_none() => {
                event.reason().map(|_| Self::ending(event)).filter(|what| matches!(what, Self::Denied | Self::Reported))
            }
            (Kind::Login, true) => Some(Self::SignedIn),
            (Kind::Login, false) => {
                // Wrong passwords are many, and say nothing of pushes: their words are not read.
                let says_push = || event.reason().is_some_and(|reason| reason.contains("mfa") || reason.contains("push"));
                let ending = ((is_push || factor.is_none()) && says_push()).then(|| Self::ending(event));
                ending.filter(|what| matches!(what, Self::Denied | Self::Reported | Self::Ignored))
            }
            (Kind::PasswordChange | Kind::PasswordReset | Kind::AccountChange | Kind::TokenIssue, true) => Some(Self::Change),
            _ => None,
        }
    }

    /// How a push ended that was not accepted, by the words of its reason.
    fn ending(event: &Event<'_>) -> Self {
        const ENDINGS: [(What, &[&str]); 4] = [
            (What::Reported, &["fraud", "report", "suspicious"]),
            (
                What::Void,
                &["unavailable", "undeliver", "error", "offline", "unreachable", "enrol", "locked", "rate_limit", "policy", "required"],
            ),
            (What::Ignored, &["time", "expire", "ignore", "respon", "answer", "cancel", "supersed", "number", "mismatch", "wrong", "code"]),
            (What::Denied, &["deni", "deny", "reject", "declin", "refus"]),
        ];
        let reason = event.reason().unwrap_or_default();
        let says = |words: &&(Self, &[&str])| words.1.iter().any(|word| reason.contains(word));
        match (ENDINGS.iter().find(says), event.outcome()) {
            (Some((what, _)), _) => *what,
            (None, Outcome::Denied) => Self::Denied,
            (None, _) => Self::Ignored,
        }
    }
}

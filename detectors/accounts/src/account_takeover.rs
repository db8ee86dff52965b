//! Account takeover: a sign-in that need not be strange enough by itself, and then what makes the account the thief's
//! own (ATT&CK T1098, T1528).
//!
//! A new device in the victim's own town with the right password at once is an ordinary thing, and so is a new second
//! factor. Both together, by a client and on a line that were never the person's, are not. So sign-ins by strange
//! clients are remembered for an hour with what speaks against them, each piece with its weight: device, kind of
//! program, network, country, a network that hides where its users are, a password reset by the same client just before,
//! the person's own client at work elsewhere at the same time. A change by such a client (password, address, factor) is
//! the takeover (a password alone weighs less: many are made to change it as they sign in); its weight decides between high and critical.
//!
//! Whose a line is, its address tells better than its provider's name ([`lines`]): a new device on the address where an own
//! one was of late is set up in that person's home, office or hotel; on another address of the same provider, while
//! theirs stands, it is on a stranger's line as if the provider were new. Where that cannot be told (the person has not come for a day, or
//! their provider changes addresses all the time) it takes the person at work on their own line within the same hour, or
//! a sign-in without the second factor that the person has, as every new device is asked for it. Being at work elsewhere is
//! shown by fixed lines alone: a phone behind its carrier may lie beside the laptop. That a network
//! hides where its users are is one thing against them: their country is not known by it, and it is new to most.
//!
//! A second factor that the client proved as it signed in weighs against all that. What the owner does afterwards counts
//! as well as what they did before, in whatever order it arrives.
//!
//! Never enough are: a new client on an own line (a new phone at home, a new laptop in the office), an own client on a
//! new line (a journey), the first phone that is seen behind a carrier, and people of whom too little is known. Where there are no
//! device ids, a kind of program that the person never used has to stand for them.
//!
//! An application that the person gives access to (consent phishing, T1528) works from its maker's cloud as all do. Told is
//! one that asks for much at once, some of it to write, to administrate or for everything (the delegated permissions that
//! Microsoft Entra calls high-impact); what asks for little is held back and counted.
//!
//! A code that the victim enters for somebody else (device code phishing) needs no sign-in by the thief: the token itself
//! is issued to a strange client on a strange line, within minutes of the victim's own sign-in elsewhere.

mod lines;
mod scopes;
mod strangers;

use bartizan_core::finding::user_key;
use bartizan_core::time::{HOUR_MS, MINUTE_MS};
use bartizan_core::{
    Action, Budget, Detector, EntityKind, Event, Finding, Findings, Key, KeyKind, KeyedState, Kind, Outcome, Parameter, Parameters, Role,
    Severity, Spec, State, Subject, TimeMs, Trust, UserKind,
};
use std::net::IpAddr;
use std::sync::Arc;
use strangers::{Changed, Signs, Strangers, Takeover, What};

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "account_takeover",
    title: "Account takeover",
    looks_for: "A change of password, address or factor by a client and on a line that are not the person's, within an hour of its sign-in; \
                a device code approved by the person and used by somebody else; an application that the person gives wide access to.",
    blind_spots: "Thieves who come with the victim's device id or by the victim's line (a shared Wi-Fi, the victim's carrier or \
                  satellite operator), who wait longer than an hour with the change, or who change nothing; a password alone, by a \
                  new device behind a VPN; with an app by a carrier where the victim was never seen by one; people with fewer than \
                  three sign-ins on two days.",
    innocent_causes: "A new phone or laptop on an own line, a second phone on the own carrier, an own device on a journey, a forgotten \
                      password at home (not told). A new device that is set up on a strange line looks like a takeover, as does a command \
                      line in a cloud that is approved at home.",
    keys: &[KeyKind::User],
    parameters: PARAMETERS,
    attack: &[("TA0003", "T1098"), ("TA0006", "T1528")],
    yields: false,
    quiet_gap_ms: 6 * HOUR_MS,
    state_version: 6,
    build: |parameters, budget| Box::new(AccountTakeover::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::float("weight_min", 2.0, 1.0, 10.0, "Weight of what speaks against a client from which on its change is told as high."),
    Parameter::float("weight_critical_min", 2.5, 1.0, 10.0, "The same for critical."),
    Parameter::int("used_ms", HOUR_MS, 60_000, 24 * HOUR_MS, "Longest time from a strange sign-in to a change."),
    Parameter::int(
        "approved_ms",
        15 * MINUTE_MS,
        10_000,
        HOUR_MS,
        "Longest time from an own sign-in to the use of a device code, or from a consent to its use.",
    ),
    Parameter::int(
        "scopes_min",
        5,
        2,
        50,
        "Scopes of an application, some of them to write or administrate, from which on a consent is told.",
    ),
];

/// The limits, read once.
pub(crate) struct Config {
    weight_min: f32,
    weight_critical_min: f32,
    used_ms: i64,
    approved_ms: i64,
    scopes_min: usize,
}

/// What is remembered of whom nothing is.
static NOBODY: Strangers = Strangers::new();

struct AccountTakeover {
    config: Config,
    strangers: KeyedState<Strangers>,
}

impl AccountTakeover {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            weight_min: parameters.float("weight_min") as f32,
            weight_critical_min: parameters.float("weight_critical_min") as f32,
            used_ms: parameters.int("used_ms"),
            approved_ms: parameters.int("approved_ms"),
            scopes_min: parameters.count("scopes_min"),
        };
        Self { config, strangers: KeyedState::new(budget) }
    }

    fn code_used(&mut self, key: Key, event: &Event<'_>, signs: Signs, findings: &mut Findings) {
        let Some(mut strangers) = self.strangers.get_mut(key.hash, event.watermark_ms()) else { return };
        let Some(since_ms) = strangers.own_elsewhere(event).filter(|ms| *ms <= self.config.approved_ms) else { return };
        strangers.add(event, signs);
        let mut finding = finding(event, Severity::High, &signs, event.ip(), event.session());
        "Device code used by somebody else".clone_into(&mut finding.title);
        finding.reason = format!(
            "A device code brought a token to a client that is not this person's ({}), {} minutes after their own sign-in elsewhere (limit {} minutes).",
            signs.names(),
            since_ms / 60_000,
            self.config.approved_ms / 60_000
        );
        finding.note("since_own_sign_in_ms", since_ms).note("approved_ms", self.config.approved_ms);
        findings.push(finding);
    }

    /// An application got the access that the person gave it, and uses it from elsewhere. That is how all of them work;
    /// what makes it phishing is how much they ask for.
    fn application_used(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(strangers) = self.strangers.get(key.hash, event.watermark_ms()) else { return };
        let Some(since_ms) = strangers.since_consent(event).filter(|ms| *ms <= self.config.approved_ms) else { return };
        let (asked, limit) = (scopes::Asked::of(event), self.config.scopes_min);
        let from_cloud = !event.network_class().tells_place();
        let reason = format!(
            "An application got access within {} minutes of the person's consent (limit {} minutes) and uses it from {}: {} scopes (limit {limit}), \
             {} of them to write, to administrate or to everything.",
            since_ms.max(0) / 60_000,
            self.config.approved_ms / 60_000,
            if from_cloud { "a data centre" } else { "elsewhere" },
            asked.scopes,
            asked.powerful
        );
        if asked.scopes < limit || asked.powerful == 0 {
            return findings.excuse("narrow_scope", user_key(event), Severity::High, reason);
        }
        let mut finding = finding(event, Severity::High, &Signs::default(), event.ip(), event.session());
        "Wide access given to an application".clone_into(&mut finding.title);
        finding.reason = reason;
        finding.note("scopes", asked.scopes).note("scopes_min", limit).note("powerful_scopes", asked.powerful);
        finding.note("since_consent_ms", since_ms).note("approved_ms", self.config.approved_ms);
        finding.actions.insert(0, Action::RevokeTokens);
        findings.push(finding);
    }

    /// An own client at work: others are then elsewhere.
    fn own_seen(&mut self, key: Key, event: &Event<'_>) {
        if event.kind() == Kind::AccountChange {
            // Consent is given once in a long while, and remembered for what comes within minutes.
            self.strangers.entry(key.hash, event.watermark_ms(), Strangers::default).consented(event);
        }
        self.strangers.entry(key.hash, event.watermark_ms(), Strangers::default).own_seen(event);
    }

    fn stranger_seen(&mut self, key: Key, event: &Event<'_>, signs: Signs, findings: &mut Findings) {
        let what = match event.kind() {
            Kind::TokenIssue if !signs.is_strange() => return,
            Kind::TokenIssue if event.grant() == Some("device_code") => return self.code_used(key, event, signs, findings),
            Kind::TokenIssue => return self.application_used(key, event, findings),
            Kind::MfaResult if event.factor().is_some_and(|factor| factor != "recovery") => {
                return self.strangers.entry(key.hash, event.watermark_ms(), Strangers::default).prove(event, signs);
            }
            Kind::Login | Kind::PasswordReset => None,
            Kind::PasswordChange => Some(What::Password),
            Kind::AccountChange if event.factor().is_some() => Some(What::Factor),
            Kind::AccountChange => Some(What::Account),
            _ => return,
        };
        let mut strangers = self.strangers.entry(key.hash, event.watermark_ms(), Strangers::default);
        match what {
            Some(what) => strangers.change(event, signs, what),
            None if event.kind() == Kind::Login => {
                strangers.add(event, signs);
                if signs.is_strange() {
                    findings.doubt(Trust::Doubtful);
                }
            }
            None => strangers.reset(event, signs),
        }
    }

    /// Why a strange client's doings, or an own one's beside it, are not told.
    fn explain(&self, key: Key, event: &Event<'_>, signs: Signs, findings: &mut Findings) {
        let weight_min = self.config.weight_min;
        let changes = matches!(event.kind(), Kind::PasswordChange | Kind::AccountChange) && signs.is_strange();
        let strangers = self.strangers.get(key.hash, event.watermark_ms()).filter(|_| changes);
        match strangers.and_then(|strangers| strangers.held(event)) {
            Some((gate, weight)) => findings.excuse(gate, user_key(event), Severity::High, {
                format!(
                    "Changed the account with a client that does not fit this person: {} (weight {weight:.1}, limit {weight_min:.1}).",
                    signs.names()
                )
            }),
            None => findings.remark("no_change", || {
                let (names, weight) = (signs.names(), signs.weight());
                format!(
                    "Against this client: {}; weight {weight:.1}. Told is a change of password, factor or account (limit {weight_min:.1}).",
                    if names.is_empty() { "nothing" } else { &names }
                )
            }),
        }
    }

    fn tell(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(mut strangers) = self.strangers.get_mut(key.hash, event.watermark_ms()) else { return };
        let Some(takeover) = strangers.takeover(&self.config) else { return };
        findings.push(told(event, &takeover, &self.config));
    }
}

fn told(event: &Event<'_>, takeover: &Takeover, config: &Config) -> Finding {
    let (signs, weight) = (&takeover.signs, takeover.weight);
    let Changed { ip, session, .. } = &takeover.changed;
    let mut finding = finding(event, takeover.severity, signs, *ip, session.as_deref());
    "Account changed by a client that is not its person's".clone_into(&mut finding.title);
    finding.reason = format!(
        "Changed the {} {} minutes after a sign-in that does not fit this person: {} (weight {weight:.1}, limit {:.1}).",
        takeover.changed.what.name(),
        takeover.after_ms / 60_000,
        signs.names(),
        config.weight_min
    );
    finding.first_time_ms = takeover.changed.time_ms.min(event.time_ms());
    if *takeover.changed.event != *event.id() {
        finding.event_ids.insert(0, takeover.changed.event.to_string());
    }
    finding
        .note("weight", f64::from((weight * 10.0).round()) / 10.0)
        .note("weight_min", f64::from(config.weight_min))
        .note("weight_critical_min", f64::from(config.weight_critical_min))
        .note("after_sign_in_ms", takeover.after_ms)
        .note("changed", takeover.changed.what.name())
        .note("changed_time", TimeMs(takeover.changed.time_ms).to_string());
    finding
}

/// `ip` and `session` are those of the stranger: what proves it may be an event of the owner's.
fn finding(event: &Event<'_>, severity: Severity, signs: &Signs, ip: Option<IpAddr>, session: Option<&str>) -> Finding {
    let mut finding = Finding::new(event, user_key(event), severity);
    finding.confidence = (0.5 + signs.weight() / 10.0).min(0.95);
    signs.note(&mut finding);
    finding.involve(Subject::new(EntityKind::User, event.user().unwrap_or_default(), Role::Victim).hit());
    if let Some(ip) = ip {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    if let Some(session) = session {
        finding.involve(Subject::new(EntityKind::Session, session, Role::Victim).hit());
    }
    finding.actions = vec![Action::RevokeSessions, Action::StepUp];
    finding
}

impl Detector for AccountTakeover {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let counts = event.outcome() == Outcome::Success && event.user_kind() == UserKind::Human;
        let Some(person) = event.person().filter(|_| counts) else {
            return findings.remark("no_success", || "Not something that a person succeeded in.".to_owned());
        };
        let known = self.strangers.get(key.hash, event.watermark_ms());
        let strangers = known.unwrap_or(&NOBODY);
        // Requests are many, and matter where there are strangers, or to say where the person is.
        let is_use = matches!(event.kind(), Kind::ApiRequest | Kind::TokenRefresh);
        if is_use && strangers.knows_now(event) {
            return findings.remark("no_stranger", || "No strange client was seen with this person within a day.".to_owned());
        }
        // Every few minutes an own device says where the person is. Where nobody is strange, nothing comes of it.
        let is_known = is_use && known.is_some_and(Strangers::is_empty) && event.voucher().is_none() && person.has_device(event);
        if is_known && !findings.is_asked() {
            return self.own_seen(key, event);
        }
        let familiar = person.familiar(event);
        // Once in, a stranger looks like one of the person's own.
        if let Some(voucher) = person.voucher(event) {
            return findings.remark(voucher.gate(), || format!("No stranger: {}.", voucher.because()));
        }
        let before = strangers.signs_of(event);
        let signs = before.unwrap_or_else(|| Signs::of(event, familiar, &strangers.lines));
        if before.is_none() && signs.is_known() {
            self.own_seen(key, event);
        } else if signs.may_be_strange() {
            self.stranger_seen(key, event, signs, findings);
        } else {
            return findings.remark("own_client", || {
                let names = signs.names();
                format!(
                    "The client is the person's own, or too little is known of them: {}.",
                    if names.is_empty() { "nothing new" } else { &names }
                )
            });
        }
        self.tell(key, event, findings);
        if findings.is_empty() {
            self.explain(key, event, signs, findings);
        }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        let changes = matches!(event, Kind::PasswordChange | Kind::PasswordReset | Kind::AccountChange);
        let signs_in = matches!(event, Kind::Login | Kind::MfaResult | Kind::TokenIssue);
        changes || signs_in || matches!(event, Kind::ApiRequest | Kind::TokenRefresh)
    }

    fn goes_by_people(&self) -> bool {
        true
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.strangers);
    }
}

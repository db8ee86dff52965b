//! Brute force: many guesses at one account, from one place or many (ATT&CK T1110.001).
//!
//! What counts is a failed sign-in, or a failed code of a second factor, by a client that is not the person's. People
//! fail a lot by themselves: a stale password on a phone fails for days, a password manager fills in the old one,
//! somebody has forgotten it and tries eight times. All that comes from the person's own device, or, where no device is
//! told, from their network by a kind of program that they use, so it is only told, at low severity, when it goes on beyond all measure. The
//! same phone on a strange network, or a tablet that never got in, is known by its regular waits if its kind of program
//! or its country is the person's, for a hundred tries a day.
//!
//! Guesses are counted in three ways: many within an hour, fewer within an hour from several networks that have
//! nothing in common, and some tens within a day, which finds whoever tries every ten minutes. Each is one list of the
//! latest guesses, so that counting costs the same whatever the window holds.
//!
//! A success by one of the guessing clients is a hit, and a change in the hour after it makes it critical. A person
//! who gets in by their own device after somebody else's guesses is not one, nor is a client that has the password
//! reset after its failures: whoever can do that had no need to guess (whether it is the person, `account_takeover` asks).
//!
//! Names that nobody has are stuffing's or spraying's matter; programs fail in loops of their own and are left out.

mod tries;

use crate::credential_stuffing::{is_unknown_name, says_nothing};
use bartizan_core::finding::user_key;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{
    Action, Budget, Detector, EntityKind, Event, Familiar, Finding, Findings, Key, KeyKind, KeyedState, Kind, Outcome, Parameter,
    Parameters, Person, Role, Severity, Spec, State, Subject, Trust, UserKind,
};
use std::sync::Arc;
use tries::{Guess, Tries};

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "brute_force",
    title: "Brute force",
    looks_for: "Many failed sign-ins or second-factor codes at one account by clients that are not its person's, and a success among them.",
    blind_spots: "Fewer guesses than its limits: with the defaults 24 a day from up to three networks, or 9 an hour from any number of them \
                  as long as a day has no more than 24; 99 a day by the clock from one home in the person's country; guesses with the person's device id, or from their network by a program of the same family; \
                  accounts of programs.",
    innocent_causes: "Stale passwords on own devices, retry loops (regular, from one client), forgotten and expired passwords, lockouts \
                      of an own client: \
                      counted apart and told as low only beyond a hundred a day.",
    keys: &[KeyKind::User],
    parameters: PARAMETERS,
    attack: &[("TA0006", "T1110.001")],
    yields: false,
    quiet_gap_ms: QUIET_GAP_MS,
    state_version: 1,
    build: |parameters, budget| Box::new(BruteForce::new(parameters, budget)),
};

/// Quiet for so long, an attack is over: some tens of guesses a day have hours between them.
const QUIET_GAP_MS: i64 = 8 * HOUR_MS;

static PARAMETERS: &[Parameter] = &[
    Parameter::int("tries_min", 15, 3, 200, "Guesses by strange clients within an hour that are an attack."),
    Parameter::int("spread_tries_min", 10, 3, 200, "The same where they come from several networks."),
    Parameter::int("spread_networks_min", 4, 2, 50, "Networks from which they are several."),
    Parameter::int("slow_tries_min", 25, 3, 240, "Guesses by strange clients within a day that are an attack."),
    Parameter::int("own_tries_min", 100, 10, 240, "Failures by own clients within a day that are told, at low severity."),
    Parameter::int("hit_tries_min", 8, 1, 100, "Guesses by a client from which on its success is a hit."),
];

/// Time after a hit in which a change makes it critical.
const USED_MS: i64 = HOUR_MS;

/// The limits, read once.
pub(crate) struct Config {
    tries_min: usize,
    spread_tries_min: usize,
    spread_networks_min: usize,
    slow_tries_min: usize,
    own_tries_min: usize,
    hit_tries_min: usize,
}

struct BruteForce {
    config: Config,
    tries: KeyedState<Tries>,
}

impl BruteForce {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            tries_min: parameters.count("tries_min"),
            spread_tries_min: parameters.count("spread_tries_min"),
            spread_networks_min: parameters.count("spread_networks_min"),
            slow_tries_min: parameters.count("slow_tries_min"),
            own_tries_min: parameters.count("own_tries_min"),
            hit_tries_min: parameters.count("hit_tries_min"),
        };
        Self { config, tries: KeyedState::new(budget) }
    }

    fn failed(&mut self, key: Key, event: &Event<'_>, familiar: Familiar, findings: &mut Findings) {
        let guess = Guess::of(event, familiar);
        let mut tries = self.tries.entry(key.hash, event.watermark_ms(), Tries::default);
        tries.add(guess);
        let tally = tries.tally(guess.time_ms, guess.own, &self.config);
        let Some((severity, rule)) = tally.judge(guess.own, &self.config) else {
            return match tries.excused(&guess, &self.config) {
                Some(reason) => findings.excuse("retry_loop", user_key(event), Severity::Medium, reason),
                None => findings.remark("below_limit", || tally.sentence(guess.own, &self.config)),
            };
        };
        let mut finding = Finding::new(event, user_key(event), severity);
        "Many guesses at one account".clone_into(&mut finding.title);
        finding.reason = rule.sentence(&tally, &self.config);
        finding.confidence = if severity > Severity::Low { 0.8 } else { 0.3 };
        if tries.tell(guess.time_ms) {
            (finding.first_time_ms, finding.event_count) = (tally.first_ms, tally.tries_of(rule) as u64);
        }
        tally.note(&mut finding, rule, &self.config);
        finding.involve(Subject::new(EntityKind::User, event.user().unwrap_or_default(), Role::Victim));
        // One's own phone with an old password attacks nobody.
        if let Some(ip) = event.ip().filter(|_| !guess.own) {
            finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
        }
        findings.push(finding);
    }

    fn succeeded(&mut self, key: Key, event: &Event<'_>, person: &Person, findings: &mut Findings) {
        let Some(mut tries) = self.tries.get_mut(key.hash, event.watermark_ms()) else {
            return findings.remark("no_guesses", || "Nobody failed at this account within a day.".to_owned());
        };
        let familiar = person.familiar(event);
        let guess = Guess::of(event, familiar);
        // Not on their own line either, where it has been all the time (one of many lines is that of a neighbour's
        // machine), and not what has tried by the clock: a phone whose password was put right.
        if guess.own || (familiar.is_own() && tries.stayed(&guess)) || tries.is_looping(&guess) {
            return findings.remark("own_client", || {
                "Got in with a client or on a line of their own, or with what has tried by the clock.".to_owned()
            });
        }
        let by_client = tries.by_client(&guess);
        let under_attack = tries.tally(guess.time_ms, false, &self.config).judge(false, &self.config).is_some();
        if by_client < self.config.hit_tries_min && !(under_attack && by_client > 0) {
            return findings.remark("below_limit", || {
                format!("{by_client} failed tries by the client that got in (limit {}).", self.config.hit_tries_min)
            });
        }
        findings.doubt(Trust::Stranger);
        tries.hit(&guess, event);
        let mut finding = hit(event, Severity::High, by_client, &self.config);
        finding.reason = format!(
            "Signed in after {by_client} failed tries within a day by the same client, which is not this person's (limit {}).",
            self.config.hit_tries_min
        );
        findings.push(finding);
    }

    /// What the guessing client does with the account.
    fn changed(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(mut tries) = self.tries.get_mut(key.hash, event.watermark_ms()) else { return };
        let Some(after_ms) = tries.since_hit(event).filter(|after_ms| (0..=USED_MS).contains(after_ms)) else {
            if event.kind() == Kind::PasswordReset {
                tries.forgive(event);
            }
            return;
        };
        let mut finding = hit(event, Severity::Critical, tries.hit_tries(), &self.config);
        finding.reason = format!(
            "Changed the account ({}) {} minutes after it got in by guessing (limit {} minutes).",
            event.kind().as_str(),
            after_ms / 60_000,
            USED_MS / 60_000
        );
        finding.note("change", event.kind().as_str());
        findings.push(finding);
    }
}

fn hit(event: &Event<'_>, severity: Severity, tries: usize, config: &Config) -> Finding {
    let mut finding = Finding::new(event, user_key(event), severity);
    "Account guessed open".clone_into(&mut finding.title);
    finding.confidence = 0.9;
    finding.note("tries_of_client", tries).note("hit_tries_min", config.hit_tries_min);
    finding.involve(Subject::new(EntityKind::User, event.user().unwrap_or_default(), Role::Victim).hit());
    if let Some(ip) = event.ip() {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    if let Some(session) = event.session() {
        finding.involve(Subject::new(EntityKind::Session, session, Role::Victim).hit());
    }
    finding.actions = vec![Action::RevokeSessions, Action::StepUp];
    finding
}

/// Did a guess fail? A name that nobody has is none, nor what a right password meets, too (expired, a server that fails),
/// nor is a push, which nobody guesses.
fn is_guess(event: &Event<'_>) -> bool {
    let failed = matches!(event.outcome(), Outcome::Failure | Outcome::Denied);
    let reason = event.reason().unwrap_or_default();
    let guesses = match event.kind() {
        Kind::Login => !is_unknown_name(reason) && !says_nothing(reason),
        Kind::MfaResult => !matches!(event.factor(), Some("push" | "webauthn")),
        _ => false,
    };
    failed && guesses
}

impl Detector for BruteForce {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let Some(person) = event.person().filter(|_| event.user_kind() == UserKind::Human) else { return };
        match event.kind() {
            Kind::Login | Kind::MfaResult if is_guess(event) => self.failed(key, event, person.familiar(event), findings),
            Kind::Login if event.outcome() == Outcome::Success => self.succeeded(key, event, person, findings),
            Kind::PasswordChange | Kind::PasswordReset | Kind::AccountChange if event.outcome() == Outcome::Success => {
                self.changed(key, event, findings);
            }
            _ => {}
        }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        matches!(event, Kind::Login | Kind::MfaResult | Kind::PasswordChange | Kind::PasswordReset | Kind::AccountChange)
    }

    fn goes_by_people(&self) -> bool {
        true
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.tries);
    }
}

/// A day, within which guesses are counted.
pub(crate) const WINDOW_MS: i64 = DAY_MS;

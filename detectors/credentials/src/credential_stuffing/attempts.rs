//! The attempts of one network or client: who was tried, in a sliding window, and who is known there.
//!
//! Most networks are the home of one user, whose record is all there is; a second user makes it a
//! [`Crowd`], which is given up again when one user alone is left.

use super::crowd::{Crowd, Parts, Tally, Try};
use super::samples::{Sample, Samples};
use super::{Config, QUIET_GAP_MS};
use crate::sign::sign;
use bartizan_core::client::short;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Event, KeyKind, Kind, Outcome, Retained, heap_bytes};
use serde::{Deserialize, Serialize};

/// How long a place remembers its users.
const KNOWN_KEPT_MS: i64 = 30 * DAY_MS;
/// Known users of a place that is worth keeping, and of one that is worth more.
const KNOWN_WORTH: [usize; 2] = [8, 32];
/// Users tried in the window, by which a place may be under attack.
const TRIED_WORTH: usize = 8;

/// One attempt to sign in, as the state sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub user: u32,
    /// The address within a network, the network within a client's attempts.
    pub part: u32,
    pub client: u32,
    pub time_ms: i64,
    pub success: bool,
    pub unknown: bool,
    /// Got in from there before the window.
    pub known: bool,
}

impl Attempt {
    /// An attempt with a password that the log names a user and an address for; `None` for anything
    /// else, failures that say nothing about the credential included.
    pub fn of(event: &Event<'_>, kind: KeyKind) -> Option<Self> {
        let signs_in = event.kind() == Kind::Login || (event.kind() == Kind::TokenIssue && event.grant() == Some("password"));
        if !signs_in || event.outcome() == Outcome::Unknown {
            return None;
        }
        let (success, reason) = (event.outcome() == Outcome::Success, event.reason().unwrap_or_default());
        if !success && says_nothing(reason) {
            return None;
        }
        let part = if kind == KeyKind::Client { KeyKind::Subnet } else { KeyKind::Address };
        Some(Self {
            user: short(Some(event.key(KeyKind::User)?)),
            part: short(Some(event.key(part)?)),
            client: short(event.key(KeyKind::Client)),
            time_ms: event.time_ms(),
            success,
            unknown: is_unknown_name(reason),
            known: false,
        })
    }
}

/// Failures of names that do not exist.
pub(crate) fn is_unknown_name(reason: &str) -> bool {
    matches!(reason, "unknown_user" | "invalid_user" | "user_not_found" | "no_such_user")
}

/// Failures that a right password meets too.
pub(crate) fn says_nothing(reason: &str) -> bool {
    matches!(
        reason,
        "expired" | "cancelled" | "server_error" | "internal_error" | "timeout" | "unavailable" | "mfa_required" | "consent_required"
    )
}

/// The state of one network or client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attempts {
    newest_ms: i64,
    expires_ms: i64,
    samples: Samples,
    users: Users,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Users {
    Lone(Lone),
    Many(Box<Crowd>),
}

/// The only user of a place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lone {
    pub user: u32,
    /// Time of the latest try, and all tries in the window.
    pub tried: Option<(i64, Try)>,
    /// Since when the user is known, and the latest time.
    pub known: Option<(i64, i64)>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { newest_ms: i64::MIN, expires_ms: i64::MIN, samples: Samples::default(), users: Users::Lone(Lone::default()) }
    }
}

impl Retained for Attempts {
    fn expires_ms(&self) -> i64 {
        self.expires_ms
    }

    fn worth(&self) -> u8 {
        let is_settled =
            |since_ms: Option<i64>| u8::from(since_ms.is_some_and(|since_ms| since_ms <= self.newest_ms.saturating_sub(DAY_MS)));
        match &self.users {
            Users::Lone(lone) => is_settled(lone.known.map(|(since_ms, _)| since_ms)),
            Users::Many(crowd) if crowd.is_attacked() => 4,
            Users::Many(crowd) => {
                let many = KNOWN_WORTH.into_iter().filter(|least| crowd.known() >= *least).count() as u8;
                many + is_settled(crowd.known_since_ms()) + u8::from(crowd.users() >= TRIED_WORTH)
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        let users = match &self.users {
            Users::Lone(_) => 0,
            Users::Many(crowd) => heap_bytes(size_of::<Crowd>()) + crowd.heap_bytes(),
        };
        self.samples.heap_bytes() + users
    }
}

impl Lone {
    fn into_crowd(self) -> Crowd {
        let mut crowd = Crowd::default();
        if let Some((time_ms, one)) = self.tried {
            crowd.insert(self.user, time_ms, one);
        }
        if let Some((since_ms, last_ms)) = self.known {
            crowd.learn(self.user, since_ms, last_ms);
        }
        crowd
    }

    fn is_empty(&self) -> bool {
        self.tried.is_none() && self.known.is_none()
    }
}

impl Users {
    fn expire(&mut self, from_ms: i64, known_from_ms: i64) {
        match self {
            Self::Lone(lone) => {
                lone.tried = lone.tried.filter(|(time_ms, _)| *time_ms >= from_ms);
                lone.known = lone.known.filter(|(_, last_ms)| *last_ms >= known_from_ms);
            }
            Self::Many(crowd) => {
                crowd.expire(from_ms, known_from_ms);
                if let Some(lone) = crowd.only_user() {
                    *self = Self::Lone(lone);
                }
            }
        }
    }

    /// Makes sure that there is a record, or room for one, of this user.
    fn admit(&mut self, user: u32) {
        if let Self::Lone(lone) = self {
            if lone.is_empty() {
                lone.user = user;
            } else if lone.user != user {
                *self = Self::Many(Box::new(std::mem::take(lone).into_crowd()));
            }
        }
    }

    fn since_ms(&self, user: u32) -> Option<i64> {
        match self {
            Self::Lone(lone) => lone.known.filter(|_| lone.user == user).map(|(since_ms, _)| since_ms),
            Self::Many(crowd) => crowd.since_ms(user),
        }
    }

    fn has_known(&self) -> bool {
        match self {
            Self::Lone(lone) => lone.known.is_some(),
            Self::Many(crowd) => crowd.known() > 0,
        }
    }

    fn is_attacked(&self) -> bool {
        matches!(self, Self::Many(crowd) if crowd.is_attacked())
    }

    fn tried(&self) -> usize {
        match self {
            Self::Lone(lone) => usize::from(lone.tried.is_some()),
            Self::Many(crowd) => crowd.users(),
        }
    }
}

impl Attempts {
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    fn window_start_ms(&self, config: &Config) -> i64 {
        self.newest_ms.saturating_sub(config.window_ms)
    }

    /// Adds an attempt and says whether its user is known. False if it lies before the window.
    pub fn record(&mut self, attempt: &mut Attempt, config: &Config) -> bool {
        self.newest_ms = self.newest_ms.max(attempt.time_ms);
        let from_ms = self.window_start_ms(config);
        if attempt.time_ms < from_ms {
            return false;
        }
        self.samples.expire(from_ms);
        self.users.expire(from_ms, self.newest_ms.saturating_sub(KNOWN_KEPT_MS));
        self.users.admit(attempt.user);
        let before_ms = attempt.time_ms.saturating_sub(config.window_ms);
        attempt.known = self.users.since_ms(attempt.user).is_some_and(|since_ms| since_ms <= before_ms);
        let kept_ms = match () {
            () if self.users.has_known() => KNOWN_KEPT_MS,
            () if self.users.is_attacked() => config.window_ms.max(QUIET_GAP_MS),
            () => config.window_ms,
        };
        self.expires_ms = self.newest_ms.saturating_add(kept_ms);
        match &mut self.users {
            Users::Lone(lone) => {
                let (time_ms, mut one) = lone.tried.unwrap_or((attempt.time_ms, Try::default()));
                one.add(attempt, attempt.time_ms >= time_ms, config);
                lone.tried = Some((time_ms.max(attempt.time_ms), one));
            }
            Users::Many(crowd) => crowd.record(attempt, config),
        }
        true
    }

    /// The users, where an attack can be going on; none in ordinary places, so that these cost little.
    pub fn suspects(&self) -> Option<&Crowd> {
        match &self.users {
            Users::Many(crowd) if crowd.is_suspect() => Some(crowd),
            _ => None,
        }
    }

    /// Users tried in these parts, of whom `counted` were counted one by one.
    pub fn users(&self, parts: &Parts, counted: u32) -> u32 {
        self.suspects().and_then(|crowd| crowd.users_about(parts)).map_or(counted, |about| about.max(counted))
    }

    /// Is a success in an attack a hit: by a user not known there, with a client that the failures use?
    pub fn is_hit(&self, attempt: &Attempt, tally: &Tally, parts: &Parts) -> bool {
        !attempt.known && self.suspects().is_some_and(|crowd| crowd.takes_part(attempt.client, parts, tally.failed))
    }

    /// What the failures of these parts show of who makes them.
    pub fn sign(&self, parts: &Parts) -> Option<u64> {
        self.suspects().and_then(|crowd| sign(crowd.failing_clients(parts)))
    }

    /// A user got in from there in peace.
    pub fn learn(&mut self, attempt: &Attempt) {
        let (user, time_ms) = (attempt.user, attempt.time_ms);
        match &mut self.users {
            Users::Lone(lone) => {
                let (since_ms, last_ms) = lone.known.unwrap_or((time_ms, time_ms));
                lone.known = Some((since_ms.min(time_ms), last_ms.max(time_ms)));
            }
            Users::Many(crowd) => crowd.learn(user, time_ms, time_ms),
        }
        self.expires_ms = self.newest_ms.saturating_add(KNOWN_KEPT_MS);
    }

    /// Remembers who took part until the first finding names them.
    pub fn keep_sample(&mut self, attempt: &Attempt, event: &Event<'_>, config: &Config) {
        let plenty = self.users.tried() as u32 >= config.users_min.saturating_mul(2);
        if attempt.known || (attempt.success && plenty && self.suspects().is_none()) {
            return;
        }
        self.samples.keep(attempt, event);
    }

    /// Takes the remembered attempts of an attack: failures and hits, within the window.
    pub fn take_samples(&mut self, tally: &Tally, parts: &Parts, with_hits: bool, config: &Config) -> Vec<Sample> {
        let from_ms = self.window_start_ms(config);
        let Users::Many(crowd) = &self.users else { return Vec::new() };
        let mut taken = self.samples.take(|part| crowd.takes(parts, part));
        taken.retain(|sample| {
            let is_hit = || with_hits && crowd.takes_part(sample.client, parts, tally.failed);
            sample.time_ms >= from_ms && !crowd.knows(sample.user) && (!sample.success || is_hit())
        });
        taken
    }

    /// An attack of this part (0: of the whole) is told, as one that goes on or anew, with so many more hits; gives
    /// their sum.
    pub fn opened(&mut self, part: u32, goes_on: bool, time_ms: i64, hits: u32) -> u32 {
        self.expires_ms = self.expires_ms.max(self.newest_ms.saturating_add(QUIET_GAP_MS));
        match &mut self.users {
            Users::Many(crowd) => crowd.opened(part, goes_on, [time_ms, self.newest_ms], hits),
            Users::Lone(_) => hits,
        }
    }
}

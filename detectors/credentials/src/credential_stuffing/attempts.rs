//! The attempts of one network or client: who was tried, in a sliding window, and who is known there.

use super::{Config, QUIET_GAP_MS};
use bartizan_core::client::short;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Event, KeyKind, Kind, Outcome, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Users of the window; beyond them the least recent one goes.
const TRIES_MAX: usize = 256;
/// Known users; beyond them the least recent one goes.
const KNOWN_MAX: usize = 256;
/// Attempts remembered by name for the first finding.
pub(super) const SAMPLES_MAX: usize = 64;
/// Attacks of single addresses and of the whole, that are open at once.
const OPEN_MAX: usize = 8;
/// How long a place remembers its users.
const KNOWN_KEPT_MS: i64 = 30 * DAY_MS;
/// A person whose sign-in fails tries again within this time; a list of stolen passwords does not.
const RETRY_MS: i64 = 120_000;
/// Failing users by which a place is worth a closer look at its successes.
const SUSPECT_FAILED_MIN: u32 = 3;

fn vec_bytes<T>(list: &[T]) -> usize {
    heap_bytes(size_of_val(list))
}

/// One attempt to sign in, as the state sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub user: u64,
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
        let success = match event.outcome() {
            Outcome::Success => true,
            Outcome::Failure | Outcome::Denied => false,
            Outcome::Unknown => return None,
        };
        let reason = event.reason().unwrap_or_default();
        if !signs_in || (!success && says_nothing(reason)) {
            return None;
        }
        let part = if kind == KeyKind::Client { KeyKind::Subnet } else { KeyKind::Address };
        Some(Self {
            user: event.key(KeyKind::User)?.hash,
            part: short(Some(event.key(part)?)),
            client: short(event.key(KeyKind::Client)),
            time_ms: event.time_ms(),
            success,
            unknown: matches!(reason, "unknown_user" | "invalid_user" | "user_not_found" | "no_such_user"),
            known: false,
        })
    }
}

/// Failures that a right password meets too.
fn says_nothing(reason: &str) -> bool {
    matches!(
        reason,
        "expired" | "cancelled" | "server_error" | "internal_error" | "timeout" | "unavailable" | "mfa_required" | "consent_required"
    )
}

/// All tries of one user in the window; the latest decides where it belongs.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Try {
    user: u64,
    time_ms: i64,
    part: u32,
    client: u32,
    fails: u16,
    succeeded: bool,
    unknown: bool,
    known: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    user: u64,
    since_ms: i64,
    last_ms: i64,
}

/// An attempt by name, for the first finding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sample {
    pub name: Box<str>,
    pub event: Box<str>,
    pub session: Option<Box<str>>,
    pub ip: Option<IpAddr>,
    pub time_ms: i64,
    user: u64,
    pub part: u32,
    client: u32,
    pub success: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    /// The address; 0 for the whole network or client.
    part: u32,
    last_ms: i64,
    /// Users who got in so far.
    hits: u32,
}

/// What the window holds of one address, network or client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Users who only failed, few times, and are not known there.
    pub failed: u32,
    /// Of them, names that do not exist.
    pub unknown: u32,
    /// Users who got in.
    pub succeeded: u32,
    /// Users who are known there, failing or not.
    pub known: u32,
    /// Users with more tries than count.
    pub deep: u32,
    /// Addresses (of a client: networks) of failing users.
    pub parts: u32,
    /// Tries of failing users, and users who got in.
    pub tries: u64,
    /// Failing users who had time to try again.
    pub settled: u32,
    /// Of them, those who did.
    pub retried: u32,
    /// Failing users whose client is that of the failing user before: few when each try has another.
    repeats: u32,
}

impl Tally {
    pub fn failed_share(&self) -> f64 {
        f64::from(self.failed) / f64::from((self.failed + self.succeeded).max(1))
    }

    /// Users tried, however it ended.
    pub fn users(&self) -> u32 {
        self.failed + self.succeeded
    }
}

/// The state of one network or client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attempts {
    newest_ms: i64,
    expires_ms: i64,
    tries: Vec<Try>,
    known: Vec<Known>,
    samples: Vec<Sample>,
    open: Vec<Open>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { newest_ms: i64::MIN, expires_ms: i64::MIN, tries: Vec::new(), known: Vec::new(), samples: Vec::new(), open: Vec::new() }
    }
}

impl Retained for Attempts {
    fn expires_ms(&self) -> i64 {
        self.expires_ms
    }

    fn heap_bytes(&self) -> usize {
        let texts = |sample: &Sample| {
            [Some(&sample.name), Some(&sample.event), sample.session.as_ref()]
                .into_iter()
                .flatten()
                .map(|text| heap_bytes(text.len()))
                .sum::<usize>()
        };
        let lists = vec_bytes(&self.tries) + vec_bytes(&self.known) + vec_bytes(&self.samples) + vec_bytes(&self.open);
        lists + self.samples.iter().map(texts).sum::<usize>()
    }

    fn worth(&self) -> u8 {
        if !self.open.is_empty() || self.known.len() >= 8 { 3 } else { u8::from(self.known.len() >= 2) + u8::from(self.tries.len() >= 2) }
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
        let before_ms = attempt.time_ms.saturating_sub(config.window_ms);
        attempt.known = self.known.iter().any(|known| known.user == attempt.user && known.since_ms <= before_ms);
        let kept_ms = if self.known.is_empty() { config.window_ms } else { KNOWN_KEPT_MS };
        self.expires_ms = self.newest_ms.saturating_add(kept_ms);
        let one = match self.tries.iter().position(|one| one.user == attempt.user) {
            Some(position) => self.tries.get_mut(position),
            None => self.make_room(attempt, from_ms),
        };
        let Some(one) = one else { return false };
        if one.time_ms < from_ms {
            *one = new_try(attempt);
        }
        if attempt.time_ms >= one.time_ms {
            (one.time_ms, one.part, one.client) = (attempt.time_ms, attempt.part, attempt.client);
        }
        one.fails = one.fails.saturating_add(u16::from(!attempt.success));
        one.succeeded |= attempt.success;
        one.unknown |= attempt.unknown;
        one.known = attempt.known;
        true
    }

    fn make_room(&mut self, attempt: &Attempt, from_ms: i64) -> Option<&mut Try> {
        let full = self.tries.len() >= TRIES_MAX;
        let oldest = self.tries.iter().enumerate().filter(|_| full).min_by_key(|(_, one)| one.time_ms);
        match oldest.map(|(position, one)| (position, one.time_ms)) {
            // All lie within the window: one must go.
            Some((position, time_ms)) if time_ms >= from_ms => {
                self.tries.remove(position);
            }
            _ if full || self.tries.len() == self.tries.capacity() => self.tries.retain(|one| one.time_ms >= from_ms),
            _ => {}
        }
        self.tries.push(new_try(attempt));
        self.tries.last_mut()
    }

    /// Counts the window for those parts that `takes` chooses.
    pub fn tally(&self, config: &Config, takes: impl Fn(u32) -> bool) -> Tally {
        let from_ms = self.window_start_ms(config);
        let settled_ms = self.newest_ms.saturating_sub(RETRY_MS);
        let mut tally = Tally::default();
        let mut parts: Vec<u32> = Vec::new();
        let mut client_before = None;
        for one in self.tries.iter().filter(|one| one.time_ms >= from_ms && takes(one.part)) {
            tally.known += u32::from(one.known);
            if one.succeeded {
                tally.succeeded += 1;
                tally.tries += 1 + u64::from(one.fails);
            } else if one.known {
                // A known user who mistypes says nothing.
            } else if one.fails > config.tries_max {
                tally.deep += 1;
            } else {
                tally.failed += 1;
                tally.unknown += u32::from(one.unknown);
                if one.time_ms <= settled_ms {
                    tally.settled += 1;
                    tally.retried += u32::from(one.fails > 1);
                }
                tally.tries += u64::from(one.fails);
                tally.repeats += u32::from(client_before.replace(one.client) == Some(one.client));
                if !parts.contains(&one.part) {
                    parts.push(one.part);
                }
            }
        }
        tally.parts = parts.len() as u32;
        tally
    }

    /// Parts with at least `users` failing users of their own.
    pub fn parts_with(&self, users: u32, config: &Config) -> Vec<u32> {
        let from_ms = self.window_start_ms(config);
        let counts = |one: &&Try| one.time_ms >= from_ms && !one.succeeded && !one.known && one.fails <= config.tries_max;
        let mut parts: Vec<u32> = self.tries.iter().filter(counts).map(|one| one.part).collect();
        parts.sort_unstable();
        parts.chunk_by(|a, b| a == b).filter(|same| same.len() as u32 >= users).filter_map(|same| same.first().copied()).collect()
    }

    /// May a success here be a hit? Cheap, so that ordinary places cost little.
    pub fn is_suspect(&self) -> bool {
        let failing = self.tries.iter().filter(|one| !one.succeeded && !one.known).take(SUSPECT_FAILED_MIN as usize).count();
        !self.open.is_empty() || failing >= SUSPECT_FAILED_MIN as usize
    }

    /// Is a success in an attack a hit: by a user not known there, with a client that the failures use?
    pub fn is_hit(&self, attempt: &Attempt, tally: &Tally, config: &Config) -> bool {
        !attempt.known && self.fits(attempt.client, tally, config)
    }

    fn fits(&self, client: u32, tally: &Tally, config: &Config) -> bool {
        let from_ms = self.window_start_ms(config);
        let failing = |one: &&Try| one.time_ms >= from_ms && !one.succeeded && !one.known && one.client == client;
        let same = self.tries.iter().filter(failing).count() as u32;
        same.saturating_mul(10) >= tally.failed || tally.repeats.saturating_mul(2) < tally.failed
    }

    /// A user got in from there in peace.
    pub fn learn(&mut self, attempt: &Attempt) {
        if let Some(known) = self.known.iter_mut().find(|known| known.user == attempt.user) {
            known.since_ms = known.since_ms.min(attempt.time_ms);
            known.last_ms = known.last_ms.max(attempt.time_ms);
            return;
        }
        if self.known.len() >= KNOWN_MAX
            && let Some((oldest, _)) = self.known.iter().enumerate().min_by_key(|(_, known)| known.last_ms)
        {
            self.known.swap_remove(oldest);
        }
        self.known.push(Known { user: attempt.user, since_ms: attempt.time_ms, last_ms: attempt.time_ms });
        self.expires_ms = self.newest_ms.saturating_add(KNOWN_KEPT_MS);
    }

    /// Remembers who took part until the first finding names them.
    pub fn keep_sample(&mut self, attempt: &Attempt, event: &Event<'_>, config: &Config) {
        let plenty = self.tries.len() as u32 >= config.users_min.saturating_mul(2);
        if attempt.known || (attempt.success && plenty && !self.is_suspect()) {
            return;
        }
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.remove(0);
        }
        self.samples.push(Sample {
            name: event.user().unwrap_or_default().into(),
            event: event.id().into(),
            session: event.session().map(Into::into),
            ip: event.ip(),
            time_ms: attempt.time_ms,
            user: attempt.user,
            part: attempt.part,
            client: attempt.client,
            success: attempt.success,
        });
    }

    /// Takes the remembered attempts of an attack: failures and hits, within the window.
    pub fn take_samples(&mut self, tally: &Tally, config: &Config, with_hits: bool, takes: impl Fn(u32) -> bool) -> Vec<Sample> {
        let from_ms = self.window_start_ms(config);
        let (taken, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.samples).into_iter().partition(|sample| takes(sample.part));
        self.samples = kept;
        let known = |sample: &Sample| self.tries.iter().any(|one| one.user == sample.user && one.known);
        taken
            .into_iter()
            .filter(|sample| sample.time_ms >= from_ms && !known(sample))
            .filter(|sample| !sample.success || (with_hits && self.fits(sample.client, tally, config)))
            .collect()
    }

    /// Is an attack of this part (0: of the whole) going on?
    pub fn is_open(&self, part: u32, time_ms: i64) -> bool {
        self.open.iter().any(|open| open.part == part && open.last_ms.saturating_add(QUIET_GAP_MS) >= time_ms)
    }

    /// The single addresses with attacks of their own.
    pub fn parts_open(&self, time_ms: i64) -> Vec<u32> {
        self.open.iter().map(|open| open.part).filter(|part| *part != 0 && self.is_open(*part, time_ms)).collect()
    }

    pub fn open_parts(&self, time_ms: i64) -> usize {
        self.open.iter().filter(|open| open.part != 0 && self.is_open(open.part, time_ms)).count()
    }

    /// An attack of this part (0: of the whole) is told, with so many more hits; gives their sum.
    pub fn opened(&mut self, part: u32, time_ms: i64, hits: u32) -> u32 {
        let ended_ms = self.newest_ms.saturating_sub(QUIET_GAP_MS);
        self.open.retain(|open| open.last_ms >= ended_ms);
        if let Some(open) = self.open.iter_mut().find(|open| open.part == part) {
            open.last_ms = open.last_ms.max(time_ms);
            open.hits = open.hits.saturating_add(hits);
            return open.hits;
        }
        if self.open.len() < OPEN_MAX {
            self.open.push(Open { part, last_ms: time_ms, hits });
        }
        hits
    }
}

fn new_try(attempt: &Attempt) -> Try {
    Try {
        user: attempt.user,
        time_ms: attempt.time_ms,
        part: attempt.part,
        client: attempt.client,
        fails: 0,
        succeeded: false,
        unknown: false,
        known: false,
    }
}

//! What is held of one tenant: who is at home where, which names failed as strangers, what is usual, and the
//! attacks that go on.

use super::guesses::{Group, Guesses, Tried};
use super::usual::Usual;
use super::{Config, QUIET_GAP_MS};
use crate::facts::Of;
use crate::guess::{Ended, Guess};
use bartizan_core::familiar::Familiar;
use bartizan_core::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use bartizan_core::{Event, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Names that failed are held for so long.
pub(super) const WINDOW_MS: i64 = DAY_MS;
/// Without any sign-in for so long, nothing is remembered of a tenant.
const KEPT_MS: i64 = 60 * DAY_MS;
/// Who gets in within this time of a failure, anywhere at home, had only mistyped.
const MISTYPED_MS: i64 = 10 * MINUTE_MS;
/// Attacks that go on at once.
const OPEN_MAX: usize = 8;
/// Places that are told by themselves at once; with more of them it is one attack from everywhere.
const PLACES_MAX: usize = 2;
/// Sign-ins that may turn out to be hits.
const DOUBTFUL_MAX: usize = 16;
/// Names are gone through at most this often, and, until an attack goes on, when one failure for so many names has come since.
const JUDGED_EVERY_MS: i64 = SECOND_MS;
const JUDGED_EVERY_PART: u64 = 16;
/// Bytes of name, id and session of such a sign-in; longer ones are hits only while an attack goes on.
const DOUBTFUL_BYTES_MAX: usize = 512;

/// What an attack's tries have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Scope {
    /// One client, over networks.
    Client(u32),
    /// One /24 or /48.
    Place(u32),
    /// Nothing but the tenant.
    Everywhere,
}

/// An attack that goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    scope: Scope,
    last_ms: i64,
    hits: u32,
}

/// A sign-in that is a hit if there is an attack.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Doubtful {
    pub time_ms: i64,
    pub ip: IpAddr,
    pub name: Box<str>,
    pub event: Box<str>,
    pub session: Box<str>,
    subnet: u32,
    client: u32,
    guessed: bool,
}

/// The state of one tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    pub newest_ms: i64,
    /// Failures of strangers, and how many there were when names were last gone through, and when that was.
    came: u64,
    judged: u64,
    judged_ms: i64,
    pub familiar: Familiar,
    pub guesses: Guesses,
    pub usual: Usual,
    open: Vec<Open>,
    doubtful: Vec<Doubtful>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            newest_ms: i64::MIN,
            came: 0,
            judged: 0,
            judged_ms: i64::MIN,
            familiar: Familiar::default(),
            guesses: Guesses::default(),
            usual: Usual::default(),
            open: Vec::new(),
            doubtful: Vec::new(),
        }
    }
}

impl Retained for Watch {
    fn expires_ms(&self) -> i64 {
        self.newest_ms.saturating_add(KEPT_MS)
    }

    fn worth(&self) -> u8 {
        self.usual.days().clamp(1, 4)
    }

    fn heap_bytes(&self) -> usize {
        let open = if self.open.is_empty() { 0 } else { heap_bytes(OPEN_MAX * size_of::<Open>()) };
        let doubtful = if self.doubtful.is_empty() { 0 } else { heap_bytes(DOUBTFUL_MAX * size_of::<Doubtful>()) };
        let texts = |one: &Doubtful| [&one.name, &one.event, &one.session].into_iter().map(|text| heap_bytes(text.len())).sum::<usize>();
        let texts: usize = self.doubtful.iter().map(texts).sum();
        self.familiar.heap_bytes() + self.guesses.heap_bytes() + self.usual.heap_bytes() + open + doubtful + texts
    }
}

impl Watch {
    /// Goes on to the time of a sign-in. False if it is too old to say anything.
    pub fn advance(&mut self, time_ms: i64, config: &Config) -> bool {
        self.newest_ms = self.newest_ms.max(time_ms);
        let from_ms = self.newest_ms.saturating_sub(WINDOW_MS);
        self.familiar.advance(self.newest_ms);
        while let Some(gone) = self.guesses.pop_before(from_ms) {
            self.usual_loses(&gone, config);
        }
        self.usual.advance(self.newest_ms);
        if !self.open.is_empty() {
            let newest_ms = self.newest_ms;
            self.open.retain(|open| open.last_ms.saturating_add(QUIET_GAP_MS) >= newest_ms);
        }
        if self.doubtful.first().is_some_and(|doubtful| doubtful.time_ms < from_ms) {
            self.doubtful.retain(|doubtful| doubtful.time_ms >= from_ms);
        }
        time_ms >= from_ms
    }

    /// A name that failed for good counts among what is usual, unless it was part of an attack, be it a loud one that
    /// is told elsewhere.
    fn usual_loses(&mut self, gone: &Tried, config: &Config) {
        let crowded = |group: Group| u32::from(group.peak) >= config.users_min;
        let by_client = crowded(self.guesses.client(gone.client)) && !self.knows_client(gone.client);
        let in_attack = gone.told || by_client || crowded(self.guesses.subnet(gone.subnet));
        if !in_attack && self.is_nowhere(gone) && counts(gone, config) {
            self.usual.count();
        }
    }

    /// Failed from where nobody of the tenant ever got in?
    pub fn is_nowhere(&self, tried: &Tried) -> bool {
        !tried.unknown && !tried.stormy && !self.knows_place(tried.subnet)
    }

    pub fn knows_place(&self, subnet: u32) -> bool {
        self.familiar.knows(Of::Subnet.fact(0, subnet))
    }

    /// Did anybody get in with exactly this client? Who does not name one has a client that everybody has.
    pub fn knows_client(&self, client: u32) -> bool {
        client == 0 || self.familiar.knows(Of::Client.fact(0, client))
    }

    /// Is the user at home where the guess comes from?
    fn is_at_home(&self, guess: &Guess) -> bool {
        let has_device = guess.device != 0 && self.familiar.knows(Of::Device.fact(guess.user_key, guess.device));
        has_device || self.familiar.knows(Of::Line.fact(guess.user_key, guess.line))
    }

    fn learn(&mut self, guess: &Guess) {
        self.familiar.learn(Of::Subnet.fact(0, guess.subnet));
        self.familiar.learn(Of::Client.fact(0, guess.client));
        self.familiar.learn(Of::Line.fact(guess.user_key, guess.line));
        self.familiar.learn(Of::Agent.fact(guess.user_key, guess.agent));
        if guess.device != 0 {
            self.familiar.learn(Of::Device.fact(guess.user_key, guess.device));
        }
    }

    /// Takes a failure in. True if its user is a stranger there.
    pub fn failed(&mut self, guess: &Guess, unknown: bool, event: &Event<'_>, config: &Config) -> bool {
        if self.is_at_home(guess) {
            self.usual.failed_at_home(guess.user, guess.time_ms);
            return false;
        }
        let guesses = &self.guesses;
        let stormy = self.usual.is_storm(|from_ms| guesses.iter().filter(|(_, time_ms, _)| *time_ms >= from_ms).count());
        if let Some(gone) = self.guesses.add(guess, unknown, stormy, event) {
            self.usual_loses(&gone, config);
        }
        self.came += 1;
        true
    }

    /// Were names gone through just now? Where they are many, it pays when some more have come.
    pub fn is_judged(&self) -> bool {
        let more = self.came - self.judged;
        self.newest_ms.saturating_sub(self.judged_ms) < JUDGED_EVERY_MS
            || (self.open.is_empty() && more <= self.guesses.len() as u64 / JUDGED_EVERY_PART)
    }

    /// Names are gone through.
    pub fn judged(&mut self) {
        (self.judged, self.judged_ms) = (self.came, self.newest_ms);
    }

    /// Takes a right password in. Gives the attack that it is a hit of, if one goes on.
    pub fn got_in(&mut self, guess: &Guess, event: &Event<'_>) -> Option<Scope> {
        self.usual.got_in(guess.user);
        let at_home = self.is_at_home(guess);
        let tried = self.guesses.get(guess.user).map(|(time_ms, tried)| (time_ms, *tried));
        if guess.ended == Ended::Reset {
            // Whoever guesses resets nothing; who has forgotten a password does.
            self.guesses.remove(guess.user);
            return None;
        }
        if let Some((time_ms, tried)) = tried {
            let same_place =
                tried.subnet == guess.subnet || tried.line == guess.line || (tried.device != 0 && tried.device == guess.device);
            if same_place || (at_home && guess.time_ms.abs_diff(time_ms) <= MISTYPED_MS as u64) {
                self.guesses.remove(guess.user);
            }
        }
        let (place, client) = (self.guesses.subnet(guess.subnet), self.guesses.client(guess.client));
        let by_client = client.is_suspect() && !self.knows_client(guess.client);
        let guessed = tried.is_some_and(|(_, tried)| self.is_guessed(guess, &tried));
        let suspect = !at_home && (place.is_suspect() || by_client || guessed);
        if guess.ended == Ended::In {
            self.guesses.went_well(guess);
            if !suspect {
                self.learn(guess);
            }
        }
        if !suspect {
            return None;
        }
        let hit_of = self.open.iter().map(|open| open.scope).find(|scope| self.is_hit_of(*scope, guess.subnet, guess.client, guessed));
        if hit_of.is_some() {
            self.guesses.remove(guess.user);
        } else {
            self.doubt(guess, guessed, event);
        }
        hit_of
    }

    /// Were other passwords of this user guessed before, from elsewhere, with a client that the user never has?
    fn is_guessed(&self, guess: &Guess, tried: &Tried) -> bool {
        let has_agent = self.familiar.knows(Of::Agent.fact(guess.user_key, guess.agent));
        let same_client = guess.client != 0 && guess.client == tried.client;
        tried.subnet != guess.subnet && !tried.hasty && self.is_nowhere(tried) && (same_client || !has_agent)
    }

    /// Does a success from there, with that client, belong to an attack?
    fn is_hit_of(&self, scope: Scope, subnet: u32, client: u32, guessed: bool) -> bool {
        match scope {
            Scope::Client(attacker) => attacker == client,
            Scope::Place(place) => place == subnet && self.takes_part(subnet, client),
            Scope::Everywhere => {
                guessed || (!self.knows_place(subnet) && self.guesses.subnet(subnet).is_suspect() && self.takes_part(subnet, client))
            }
        }
    }

    /// Is it a client that the failures of a place use, or has each of them another?
    fn takes_part(&self, subnet: u32, client: u32) -> bool {
        let (mut all, mut same, mut changes, mut before) = (0_u32, 0_u32, 0_u32, None);
        for (_, _, tried) in self.guesses.iter().filter(|(_, _, tried)| tried.subnet == subnet) {
            all += 1;
            same += u32::from(tried.client == client);
            changes += u32::from(before.replace(tried.client) != Some(tried.client));
        }
        same * 10 >= all.max(1) || changes * 2 >= all
    }

    fn doubt(&mut self, guess: &Guess, guessed: bool, event: &Event<'_>) {
        let (name, id, session) = (event.user().unwrap_or_default(), event.id(), event.session().unwrap_or_default());
        if name.len() + id.len() + session.len() > DOUBTFUL_BYTES_MAX {
            return;
        }
        if self.doubtful.len() >= DOUBTFUL_MAX {
            self.doubtful.remove(0);
        }
        self.doubtful.push(Doubtful {
            time_ms: guess.time_ms,
            ip: guess.ip,
            name: name.into(),
            event: id.into(),
            session: session.into(),
            subnet: guess.subnet,
            client: guess.client,
            guessed,
        });
    }

    /// Takes out the sign-ins that turn out to be hits of an attack.
    pub fn take_hits(&mut self, scope: Scope) -> Vec<Doubtful> {
        let (hits, rest) =
            std::mem::take(&mut self.doubtful).into_iter().partition(|one| self.is_hit_of(scope, one.subnet, one.client, one.guessed));
        self.doubtful = rest;
        hits
    }

    /// Does this attack go on?
    pub fn is_open(&self, scope: Scope) -> bool {
        self.open.iter().any(|open| open.scope == scope)
    }

    /// May one more place be told by itself?
    pub fn has_few_places(&self) -> bool {
        self.open.iter().filter(|open| matches!(open.scope, Scope::Place(_))).count() < PLACES_MAX
    }

    /// An attack is told, with so many more hits; gives their sum.
    pub fn opened(&mut self, scope: Scope, hits: u32) -> u32 {
        if let Some(open) = self.open.iter_mut().find(|open| open.scope == scope) {
            (open.last_ms, open.hits) = (self.newest_ms, open.hits.saturating_add(hits));
            return open.hits;
        }
        if self.open.len() >= OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(Open { scope, last_ms: self.newest_ms, hits });
        hits
    }
}

/// Few tries, not as people do.
pub(super) fn counts(tried: &Tried, config: &Config) -> bool {
    !tried.hasty && tried.fails <= config.tries_max
}

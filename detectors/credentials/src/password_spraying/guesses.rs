//! The names that failed from where they are strangers, over a day, and what they have in common.
//!
//! Of more than [`VALUES_MAX`] names the latest are held; a place or client that fills a quarter of them adds
//! no more names then, so that one loud attack does not wash out what is slow. Names, event ids and addresses
//! stand in one text, which is rewritten without those that are gone when they make up half of it.

use crate::guess::Guess;
use crate::recent::{Recent, VALUES_MAX};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use bartizan_core::{Event, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A name that is tried again after so long is tried in another round.
const ROUND_MS: i64 = 20 * MINUTE_MS;
/// A person whose sign-in fails tries again from the same place within this time.
const RETRY_MS: i64 = 90_000;
/// Names of one place or client in a full table.
const SHARE_MAX: u16 = VALUES_MAX as u16 / 4;
/// Bytes of a name and an event's id; longer ones are counted, and not named.
const TEXT_BYTES_MAX: usize = 512;
/// Bytes of text below which nothing is tidied up.
const TIDY_BYTES_MIN: usize = 1_024;

/// All tries of one name within a day; the latest decides where it belongs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Tried {
    pub first_ms: i64,
    /// The first try of those from one place or with one client, the latest one's.
    pub here_ms: i64,
    pub subnet: u32,
    pub address: u32,
    pub client: u32,
    pub line: u32,
    pub device: u32,
    pub ip: IpAddr,
    pub fails: u8,
    /// Tries that no alert told.
    pub untold: u8,
    /// Part of an alert.
    pub told: bool,
    /// There is no such name.
    pub unknown: bool,
    /// Tried again at once from the same place, as people do.
    pub hasty: bool,
    /// Tried in more rounds than one.
    pub again: bool,
    /// The same from one place or with one client: in rounds of one attacker.
    pub again_here: bool,
    /// Tried from more networks than one.
    pub moved: bool,
    /// Tried while sign-ins failed for everybody.
    pub stormy: bool,
    text: Text,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Text {
    at: u32,
    name: u16,
    event: u16,
}

impl Text {
    fn len(self) -> usize {
        usize::from(self.name) + usize::from(self.event)
    }
}

/// What names of one place or client have in common.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Group {
    /// Names that fail.
    pub failing: u16,
    /// The most of them at once, since the first.
    pub peak: u16,
    /// Sign-ins from there that went well since the first of them.
    pub went_well: u16,
    /// Tries of names that found no room.
    pub turned_away: TurnedAway,
}

/// Tries that are only counted, by hours of the clock: of a flood too few names are held to see how loud it was.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct TurnedAway {
    hour: i64,
    in_hour: u16,
    /// Bit n: n hours ago there were at least `LOUD_MIN`.
    loud: u32,
}

impl TurnedAway {
    /// Tries an hour that no slow attack makes.
    const LOUD_MIN: u16 = 25;

    fn add(&mut self, time_ms: i64) {
        let hour = time_ms.div_euclid(HOUR_MS);
        if hour > self.hour {
            let later = u32::try_from(hour - self.hour).unwrap_or(u32::MAX);
            *self = Self { hour, in_hour: 0, loud: self.loud.checked_shl(later).unwrap_or_default() };
        }
        if hour == self.hour {
            self.in_hour = self.in_hour.saturating_add(1);
            self.loud |= u32::from(self.in_hour >= Self::LOUD_MIN);
        }
    }

    /// Was it loud in this hour?
    pub fn is_loud(self, time_ms: i64) -> bool {
        let ago = u32::try_from(self.hour - time_ms.div_euclid(HOUR_MS)).ok();
        ago.and_then(|ago| self.loud.checked_shr(ago)).is_some_and(|loud| loud & 1 == 1)
    }
}

impl Group {
    /// Is this where hardly anybody but strangers comes from?
    pub fn is_suspect(self) -> bool {
        self.failing >= 3 && self.failing > self.went_well
    }
}

/// The names of a day.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Guesses {
    tried: Recent<Tried>,
    subnets: Recent<Group>,
    clients: Recent<Group>,
    texts: String,
    /// Bytes of `texts` in use.
    used: usize,
}

impl Guesses {
    /// Bytes of memory.
    pub fn heap_bytes(&self) -> usize {
        let texts = if self.texts.is_empty() { 0 } else { heap_bytes(self.texts.len().next_power_of_two()) };
        self.tried.heap_bytes() + self.subnets.heap_bytes() + self.clients.heap_bytes() + texts
    }

    /// Names held.
    pub fn len(&self) -> usize {
        self.tried.len()
    }

    /// Names with their latest time, from the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = (u32, i64, &Tried)> {
        self.tried.iter()
    }

    pub fn get(&self, user: u32) -> Option<(i64, &Tried)> {
        self.tried.get(user)
    }

    pub fn subnet(&self, subnet: u32) -> Group {
        self.subnets.get(subnet).map_or(Group::default(), |(_, group)| *group)
    }

    pub fn client(&self, client: u32) -> Group {
        self.clients.get(client).map_or(Group::default(), |(_, group)| *group)
    }

    /// Name and event id of the latest try; `None` if they were too long.
    pub fn texts(&self, tried: &Tried) -> Option<(&str, &str)> {
        let Text { at, name, event } = tried.text;
        let (from, middle) = (at as usize, at as usize + usize::from(name));
        let name = self.texts.get(from..middle).filter(|name| !name.is_empty())?;
        Some((name, self.texts.get(middle..middle + usize::from(event))?))
    }

    /// Takes out the oldest name if its latest try lies before `from_ms`.
    pub fn pop_before(&mut self, from_ms: i64) -> Option<Tried> {
        let (user, ..) = self.tried.iter().next().filter(|(_, time_ms, _)| *time_ms < from_ms)?;
        self.remove(user)
    }

    /// Takes a name out.
    pub fn remove(&mut self, user: u32) -> Option<Tried> {
        let gone = self.tried.remove(user)?;
        self.used = self.used.saturating_sub(gone.text.len());
        self.leave(&gone);
        if self.tried.is_empty() {
            (self.texts, self.used) = (String::new(), 0);
        }
        Some(gone)
    }

    fn join(&mut self, tried: &Tried) {
        for (groups, key) in [(&mut self.subnets, tried.subnet), (&mut self.clients, tried.client)] {
            match groups.get_mut(key) {
                Some((_, group)) => {
                    group.failing += 1;
                    group.peak = group.peak.max(group.failing);
                }
                None => groups.insert(key, 0, Group { failing: 1, peak: 1, ..Group::default() }),
            }
        }
    }

    fn leave(&mut self, tried: &Tried) {
        for (groups, key) in [(&mut self.subnets, tried.subnet), (&mut self.clients, tried.client)] {
            let left = groups.get_mut(key).map(|(_, group)| {
                group.failing = group.failing.saturating_sub(1);
                group.failing
            });
            if left == Some(0) {
                groups.remove(key);
            }
        }
    }

    /// Somebody got in from where names fail, or with the client.
    pub fn went_well(&mut self, guess: &Guess) {
        for (groups, key) in [(&mut self.subnets, guess.subnet), (&mut self.clients, guess.client)] {
            if let Some((_, group)) = groups.get_mut(key) {
                group.went_well = group.went_well.saturating_add(1);
            }
        }
    }

    /// Adds a failed try; what made room for it comes back.
    pub fn add(&mut self, guess: &Guess, unknown: bool, stormy: bool, event: &Event<'_>) -> Option<Tried> {
        if let Some((time_ms, tried)) = self.tried.get(guess.user).map(|(time_ms, tried)| (time_ms, *tried)) {
            self.again(guess, time_ms, tried, stormy, event);
            return None;
        }
        let mut gone = None;
        if self.tried.len() >= VALUES_MAX {
            let shares = [self.subnet(guess.subnet).failing, self.client(guess.client).failing];
            if shares.iter().any(|share| *share >= SHARE_MAX) {
                let groups = [self.subnets.get_mut(guess.subnet), self.clients.get_mut(guess.client)];
                groups.into_iter().flatten().for_each(|(_, group)| group.turned_away.add(guess.time_ms));
                return None;
            }
            gone = self.pop_before(i64::MAX);
        }
        let text = self.write(event);
        let tried = Tried {
            first_ms: guess.time_ms,
            here_ms: guess.time_ms,
            subnet: guess.subnet,
            address: guess.address,
            client: guess.client,
            line: guess.line,
            device: guess.device,
            ip: guess.ip,
            fails: 1,
            untold: 1,
            told: false,
            unknown,
            hasty: false,
            again: false,
            again_here: false,
            moved: false,
            stormy,
            text,
        };
        self.tried.insert(guess.user, guess.time_ms, tried);
        self.join(&tried);
        gone
    }

    fn again(&mut self, guess: &Guess, time_ms: i64, before: Tried, stormy: bool, event: &Event<'_>) {
        let gap_ms = guess.time_ms.abs_diff(time_ms) as i64;
        let mut tried = before;
        if guess.time_ms.saturating_sub(tried.first_ms) >= DAY_MS {
            // A day has passed over the first of them.
            tried = Tried { fails: 1, untold: tried.untold.min(1), hasty: false, again: false, again_here: false, moved: false, ..tried };
            (tried.first_ms, tried.here_ms) = (time_ms, time_ms);
        }
        let is_here = guess.subnet == tried.subnet || (guess.client != 0 && guess.client == tried.client);
        if is_here {
            tried.here_ms = tried.here_ms.min(guess.time_ms);
            tried.again_here |= gap_ms >= ROUND_MS;
        } else if guess.time_ms >= time_ms {
            (tried.here_ms, tried.again_here) = (guess.time_ms, false);
        }
        tried.first_ms = tried.first_ms.min(guess.time_ms);
        tried.fails = tried.fails.saturating_add(1);
        tried.untold = tried.untold.saturating_add(1);
        tried.hasty |= gap_ms <= RETRY_MS && guess.subnet == tried.subnet;
        tried.again |= gap_ms >= ROUND_MS;
        tried.moved |= guess.subnet != tried.subnet;
        tried.stormy &= stormy;
        if guess.time_ms >= time_ms {
            self.used = self.used.saturating_sub(tried.text.len());
            // What is being written must not be kept where it is when the text is rewritten.
            if let Some((_, held)) = self.tried.get_mut(guess.user) {
                held.text = Text::default();
            }
            tried.text = self.write(event);
            (tried.subnet, tried.address, tried.client) = (guess.subnet, guess.address, guess.client);
            (tried.line, tried.device, tried.ip) = (guess.line, guess.device, guess.ip);
        }
        if (before.subnet, before.client) != (tried.subnet, tried.client) {
            self.leave(&before);
            self.join(&tried);
        }
        if let Some((_, held)) = self.tried.get_mut(guess.user) {
            *held = tried;
        }
        self.tried.touch(guess.user, guess.time_ms.max(time_ms));
    }

    /// Marks names as told.
    pub fn tell(&mut self, users: &[u32]) {
        for user in users {
            if let Some((_, tried)) = self.tried.get_mut(*user) {
                (tried.untold, tried.told) = (0, true);
            }
        }
    }

    fn write(&mut self, event: &Event<'_>) -> Text {
        let (name, id) = (event.user().unwrap_or_default(), event.id());
        let len = name.len() + id.len();
        if len > TEXT_BYTES_MAX {
            return Text::default();
        }
        if self.texts.len() + len > TIDY_BYTES_MIN.max(2 * (self.used + len)) {
            self.tidy();
        }
        let all = self.texts.len() + len;
        if self.texts.capacity() < all {
            self.texts.reserve_exact(all.next_power_of_two() - self.texts.len());
        }
        let at = self.texts.len() as u32;
        self.texts.push_str(name);
        self.texts.push_str(id);
        self.used += len;
        Text { at, name: name.len() as u16, event: id.len() as u16 }
    }

    /// Rewrites the texts without those that are gone.
    fn tidy(&mut self) {
        let users: Vec<u32> = self.tried.iter().map(|(user, ..)| user).collect();
        let old = std::mem::take(&mut self.texts);
        self.texts.reserve_exact(self.used.next_power_of_two());
        for user in users {
            if let Some((_, tried)) = self.tried.get_mut(user) {
                let from = tried.text.at as usize;
                let text = old.get(from..from + tried.text.len()).unwrap_or_default();
                tried.text.at = self.texts.len() as u32;
                self.texts.push_str(text);
            }
        }
    }
}

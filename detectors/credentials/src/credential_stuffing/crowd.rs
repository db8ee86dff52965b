//! The users of a place that more than one user tries: who was tried, in a sliding window, who is known
//! there, and the sums over each part of the place. Of more than [`VALUES_MAX`] users the latest are judged,
//! and how many there are in all is estimated.
//!
//! The sums follow each attempt, so that judging does not look at the users one by one. Only what is asked
//! once an attack passes its limits does, over [`VALUES_MAX`] users at most: whether its users try again,
//! and whether they share a client.

use super::attempts::{Attempt, Lone};
use super::multitude::Multitude;
use super::{Config, QUIET_GAP_MS};
use crate::recent::{Recent, VALUES_MAX};
use bartizan_core::heap_bytes;
use serde::{Deserialize, Serialize};

/// Attacks of single addresses and of the whole, that are open at once.
const OPEN_MAX: usize = 8;
/// A person whose sign-in fails tries again within this time; a list of stolen passwords does not.
const RETRY_MS: i64 = 120_000;
/// Failing users by which a place is worth a closer look.
const SUSPECT_FAILED_MIN: u16 = 3;

/// All tries of one user in the window; the latest decides where it belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Try {
    pub part: u32,
    pub client: u32,
    pub fails: u16,
    succeeded: bool,
    unknown: bool,
    known: bool,
    /// More fails than count.
    deep: bool,
}

impl Try {
    /// Takes a further attempt in, the latest one or an earlier one.
    pub fn add(&mut self, attempt: &Attempt, is_latest: bool, config: &Config) {
        if is_latest {
            (self.part, self.client) = (attempt.part, attempt.client);
        }
        self.fails = self.fails.saturating_add(u16::from(!attempt.success));
        self.succeeded |= attempt.success;
        self.unknown |= attempt.unknown;
        self.known = attempt.known;
        self.deep = self.fails > config.tries_max;
    }

    /// A known user who mistypes says nothing.
    fn only_fails(&self) -> bool {
        !self.succeeded && !self.known
    }

    fn counts_as_failed(&self) -> bool {
        self.only_fails() && !self.deep
    }
}

/// Users of the window by how it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sums {
    users: u16,
    failed: u16,
    unknown: u16,
    succeeded: u16,
    known: u16,
    deep: u16,
    tries: u32,
}

impl Sums {
    fn of(one: &Try) -> Self {
        let failed = one.counts_as_failed();
        Self {
            users: 1,
            failed: u16::from(failed),
            unknown: u16::from(failed && one.unknown),
            succeeded: u16::from(one.succeeded),
            known: u16::from(one.known),
            deep: u16::from(one.only_fails() && one.deep),
            tries: u32::from(one.succeeded) + if failed || one.succeeded { u32::from(one.fails) } else { 0 },
        }
    }

    fn with(self, other: Self, add: bool) -> Self {
        let small = |a: u16, b: u16| if add { a.saturating_add(b) } else { a.saturating_sub(b) };
        Self {
            users: small(self.users, other.users),
            failed: small(self.failed, other.failed),
            unknown: small(self.unknown, other.unknown),
            succeeded: small(self.succeeded, other.succeeded),
            known: small(self.known, other.known),
            deep: small(self.deep, other.deep),
            tries: if add { self.tries.saturating_add(other.tries) } else { self.tries.saturating_sub(other.tries) },
        }
    }
}

/// What the window holds of one address, network or client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

impl Tally {
    fn new(sums: Sums, parts: u32) -> Self {
        Self {
            failed: sums.failed.into(),
            unknown: sums.unknown.into(),
            succeeded: sums.succeeded.into(),
            known: sums.known.into(),
            deep: sums.deep.into(),
            parts,
            tries: sums.tries.into(),
        }
    }

    pub fn failed_share(&self) -> f64 {
        f64::from(self.failed) / f64::from((self.failed + self.succeeded).max(1))
    }

    /// Users tried, however it ended.
    pub fn users(&self) -> u32 {
        self.failed + self.succeeded
    }
}

/// The parts of a place that are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    One(u32),
    AllBut(Vec<u32>),
    /// Those that do not pass the limit of a single address by themselves.
    Quiet,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    /// The address; 0 for the whole network or client.
    part: u32,
    last_ms: i64,
    /// Users who got in so far.
    hits: u32,
}

/// The users of a place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Crowd {
    tries: Recent<Try>,
    /// Present while the window holds more users than `tries` can.
    multitude: Option<Box<Multitude>>,
    /// Since when a user is known, in order of the latest time.
    known: Recent<i64>,
    /// Sums by part, in no order.
    parts: Recent<Sums>,
    all: Sums,
    /// Parts with failing users.
    failing_parts: u16,
    /// Parts with at least `loud_min` failing users, and their sum.
    loud_parts: u16,
    loud: Sums,
    loud_min: u16,
    open: Vec<Open>,
}

impl Crowd {
    /// Users tried in the window.
    pub fn users(&self) -> usize {
        self.tries.len()
    }

    /// Users known there.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// Since when the user is known whom the place saw least lately.
    pub fn known_since_ms(&self) -> Option<i64> {
        self.known.iter().next().map(|(_, _, since_ms)| *since_ms)
    }

    /// Is an attack going on?
    pub fn is_attacked(&self) -> bool {
        !self.open.is_empty()
    }

    /// The only user, if there is no more to remember than that.
    pub fn only_user(&self) -> Option<Lone> {
        if self.is_attacked() || self.tries.len() > 1 || self.known.len() > 1 {
            return None;
        }
        let tried = self.tries.iter().next().map(|(user, time_ms, one)| (user, (time_ms, *one)));
        let known = self.known.iter().next().map(|(user, last_ms, since_ms)| (user, (*since_ms, last_ms)));
        let user = tried.map(|(user, _)| user).or(known.map(|(user, _)| user))?;
        let is_one = known.is_none_or(|(other, _)| other == user);
        is_one.then_some(Lone { user, tried: tried.map(|(_, tried)| tried), known: known.map(|(_, known)| known) })
    }

    /// Bytes of memory.
    pub fn heap_bytes(&self) -> usize {
        let open = if self.open.is_empty() { 0 } else { heap_bytes(OPEN_MAX * size_of::<Open>()) };
        let multitude = self.multitude.as_deref().map_or(0, Multitude::heap_bytes);
        self.tries.heap_bytes() + self.known.heap_bytes() + self.parts.heap_bytes() + open + multitude
    }

    /// Drops tries before the window, users who were not seen for long, and attacks that ended before the window.
    pub fn expire(&mut self, from_ms: i64, known_from_ms: i64) {
        if self.is_attacked() {
            self.open.retain(|open| open.last_ms.saturating_add(QUIET_GAP_MS) >= from_ms);
            if self.open.is_empty() {
                self.open = Vec::new();
            }
        }
        while self.tries.oldest_ms().is_some_and(|oldest_ms| oldest_ms < from_ms) {
            self.drop_oldest();
        }
        if self.tries.len() < VALUES_MAX {
            // What had made room was older than what just went.
            self.multitude = None;
        } else if let Some(multitude) = &mut self.multitude {
            multitude.expire(from_ms);
        }
        while self.known.oldest_ms().is_some_and(|oldest_ms| oldest_ms < known_from_ms) {
            self.known.pop();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(gone) = self.tries.pop() {
            self.count(&gone, false);
        }
    }

    /// Since when a user is known.
    pub fn since_ms(&self, user: u32) -> Option<i64> {
        self.known.get(user).map(|(_, since_ms)| *since_ms)
    }

    /// A user got in from there in peace.
    pub fn learn(&mut self, user: u32, since_ms: i64, last_ms: i64) {
        if let Some((before_ms, since)) = self.known.get_mut(user) {
            *since = since_ms.min(*since);
            self.known.touch(user, last_ms.max(before_ms));
            return;
        }
        if self.known.len() >= VALUES_MAX {
            self.known.pop();
        }
        self.known.insert(user, last_ms, since_ms);
    }

    /// Adds an attempt.
    pub fn record(&mut self, attempt: &Attempt, config: &Config) {
        let loud_min = u16::try_from(config.users_min).unwrap_or(u16::MAX);
        if self.loud_min != loud_min {
            self.loud_min = loud_min;
            self.count_loud();
        }
        if let Some(multitude) = &mut self.multitude {
            multitude.add(attempt.user, attempt.part, attempt.time_ms);
        }
        match self.tries.get_mut(attempt.user) {
            Some((time_ms, one)) => {
                let before = *one;
                one.add(attempt, attempt.time_ms >= time_ms, config);
                let after = *one;
                self.tries.touch(attempt.user, time_ms.max(attempt.time_ms));
                self.exchange(Some(&before), &after);
            }
            None => {
                let mut one = Try::default();
                one.add(attempt, true, config);
                self.insert(attempt.user, attempt.time_ms, one);
            }
        }
    }

    /// Adds a user who was not tried so far.
    pub fn insert(&mut self, user: u32, time_ms: i64, one: Try) {
        if self.tries.len() >= VALUES_MAX && self.multitude.is_none() {
            let mut multitude = Box::<Multitude>::default();
            self.tries.iter().for_each(|(user, time_ms, one)| multitude.add(user, one.part, time_ms));
            multitude.add(user, one.part, time_ms);
            self.multitude = Some(multitude);
        }
        let gone = if self.tries.len() >= VALUES_MAX { self.tries.pop() } else { None };
        self.tries.insert(user, time_ms, one);
        self.exchange(gone.as_ref(), &one);
    }

    /// Counts one in the place of another. In a crowd they are often alike, so that no sum changes.
    fn exchange(&mut self, gone: Option<&Try>, one: &Try) {
        if gone.is_some_and(|gone| gone.part == one.part && Sums::of(gone) == Sums::of(one)) {
            return;
        }
        if let Some(gone) = gone {
            self.count(gone, false);
        }
        self.count(one, true);
    }

    fn count(&mut self, one: &Try, add: bool) {
        let change = Sums::of(one);
        let (before, after) = match self.parts.get_mut(one.part) {
            Some((_, sums)) => {
                let before = *sums;
                *sums = before.with(change, add);
                (before, *sums)
            }
            None => {
                let (before, after) = (Sums::default(), Sums::default().with(change, add));
                self.parts.insert(one.part, 0, after);
                (before, after)
            }
        };
        if after.users == 0 {
            self.parts.remove(one.part);
        }
        self.all = self.all.with(change, add);
        self.failing_parts = (self.failing_parts + u16::from(after.failed > 0)).saturating_sub(u16::from(before.failed > 0));
        if self.is_loud(&before) {
            self.loud = self.loud.with(before, false);
            self.loud_parts = self.loud_parts.saturating_sub(1);
        }
        if self.is_loud(&after) {
            self.loud = self.loud.with(after, true);
            self.loud_parts += 1;
        }
    }

    fn is_loud(&self, sums: &Sums) -> bool {
        sums.failed > 0 && sums.failed >= self.loud_min
    }

    fn count_loud(&mut self) {
        let loud: Vec<Sums> = self.parts.iter().map(|(_, _, sums)| *sums).filter(|sums| self.is_loud(sums)).collect();
        self.loud_parts = loud.len() as u16;
        self.loud = loud.into_iter().fold(Sums::default(), |sum, one| sum.with(one, true));
    }

    /// Can an attack be going on, or one of its hits come? Ordinary places say no.
    pub fn is_suspect(&self) -> bool {
        self.is_attacked() || self.all.failed + self.all.deep >= SUSPECT_FAILED_MIN
    }

    /// Counts the window for these parts.
    pub fn tally(&self, parts: &Parts) -> Tally {
        let sums = |part: u32| self.parts.get(part).map_or(Sums::default(), |(_, sums)| *sums);
        match parts {
            Parts::One(part) => Tally::new(sums(*part), u32::from(sums(*part).failed > 0)),
            Parts::AllBut(others) => {
                let start = (self.all, self.failing_parts);
                let (rest, failing) = others
                    .iter()
                    .map(|part| sums(*part))
                    .fold(start, |(all, failing), one| (all.with(one, false), failing.saturating_sub(u16::from(one.failed > 0))));
                Tally::new(rest, failing.into())
            }
            Parts::Quiet => Tally::new(self.all.with(self.loud, false), self.failing_parts.saturating_sub(self.loud_parts).into()),
        }
    }

    /// Does this part belong to these?
    pub fn takes(&self, parts: &Parts, part: u32) -> bool {
        match parts {
            Parts::One(one) => part == *one,
            Parts::AllBut(others) => !others.contains(&part),
            Parts::Quiet => !self.parts.get(part).is_some_and(|(_, sums)| self.is_loud(sums)),
        }
    }

    /// About how many users were tried in these parts, if that is more than are counted one by one.
    pub fn users_about(&self, parts: &Parts) -> Option<u32> {
        self.multitude.as_ref().map(|multitude| multitude.users(|part| self.takes(parts, part)))
    }

    /// Failing users of these parts, from the oldest to the newest, with the time of their latest try.
    fn failing<'a>(&'a self, parts: &'a Parts) -> impl Iterator<Item = (i64, &'a Try)> {
        let takes = move |part| self.takes(parts, part);
        self.tries.iter().map(|(_, time_ms, one)| (time_ms, one)).filter(move |(_, one)| one.counts_as_failed() && takes(one.part))
    }

    /// The clients that failing users of these parts use.
    pub fn failing_clients<'a>(&'a self, parts: &'a Parts) -> impl Iterator<Item = u32> {
        self.failing(parts).map(|(_, one)| one.client)
    }

    /// Failing users of these parts who had time to try again by `newest_ms`, and those of them who did.
    pub fn retries(&self, parts: &Parts, newest_ms: i64) -> (u32, u32) {
        let settled_ms = newest_ms.saturating_sub(RETRY_MS);
        let settled = self.failing(parts).filter(|(time_ms, _)| *time_ms <= settled_ms);
        settled.fold((0, 0), |(settled, retried), (_, one)| (settled + 1, retried + u32::from(one.fails > 1)))
    }

    /// Does a client take part: is it one of those that the failures of these parts use, or does each try have another?
    pub fn takes_part(&self, client: u32, parts: &Parts, failed: u32) -> bool {
        let same = self.tries.iter().filter(|(_, _, one)| one.only_fails() && one.client == client).count() as u32;
        if same.saturating_mul(10) >= failed {
            return true;
        }
        let mut before = None;
        let repeats = self.failing(parts).filter(|(_, one)| before.replace(one.client) == Some(one.client)).count() as u32;
        repeats.saturating_mul(2) < failed
    }

    /// Is a user who was tried known there?
    pub fn knows(&self, user: u32) -> bool {
        self.tries.get(user).is_some_and(|(_, one)| one.known)
    }

    /// Is an attack of this part (0: of the whole) going on?
    pub fn is_open(&self, part: u32, time_ms: i64) -> bool {
        self.is_open_within(part, time_ms, QUIET_GAP_MS)
    }

    /// The same, if it was quiet for no longer than that.
    pub fn is_open_within(&self, part: u32, time_ms: i64, gap_ms: i64) -> bool {
        self.open.iter().any(|open| open.part == part && open.last_ms.saturating_add(gap_ms) >= time_ms)
    }

    /// The single addresses with attacks of their own.
    pub fn parts_open(&self, time_ms: i64) -> Vec<u32> {
        self.open.iter().map(|open| open.part).filter(|part| *part != 0 && self.is_open(*part, time_ms)).collect()
    }

    /// An attack of this part (0: of the whole) is told, as one that goes on or anew, with so many more hits; gives
    /// their sum.
    pub fn opened(&mut self, part: u32, goes_on: bool, [time_ms, newest_ms]: [i64; 2], hits: u32) -> u32 {
        let ended_ms = newest_ms.saturating_sub(QUIET_GAP_MS);
        self.open.retain(|open| open.last_ms >= ended_ms);
        if let Some(open) = self.open.iter_mut().find(|open| open.part == part) {
            open.last_ms = open.last_ms.max(time_ms);
            open.hits = if goes_on { open.hits.saturating_add(hits) } else { hits };
            return open.hits;
        }
        if self.open.len() < OPEN_MAX {
            if self.open.len() == self.open.capacity() {
                self.open.reserve_exact(OPEN_MAX - self.open.len());
            }
            self.open.push(Open { part, last_ms: time_ms, hits });
        }
        hits
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config() -> Config {
        Config {
            window_ms: 1_000,
            users_min: 3,
            network_users_min: 3,
            network_addresses_min: 2,
            client_users_min: 5,
            client_networks_min: 2,
            shared_users_min: 3,
            tries_max: 2,
            failed_share_min: 0.5,
            client_failed_share_min: 0.5,
            client_unknown_share_min: 0.5,
            client_retry_share_max: 0.1,
            list_users_min: 6,
            list_lines_min: 3,
        }
    }

    fn attempt(user: u32, part: u32, time_ms: i64, how: u8) -> Attempt {
        Attempt { user, part, client: part % 3, time_ms, success: how == 0, unknown: how == 1, known: how == 2 }
    }

    impl Crowd {
        /// The same as [`Crowd::tally`], user by user.
        fn counted(&self, takes: impl Fn(u32) -> bool) -> Tally {
            let mut tally = Tally::default();
            let mut parts = Vec::new();
            for (_, _, one) in self.tries.iter().filter(|(_, _, one)| takes(one.part)) {
                tally.known += u32::from(one.known);
                if one.succeeded {
                    tally.succeeded += 1;
                    tally.tries += 1 + u64::from(one.fails);
                } else if one.known {
                } else if one.fails > config().tries_max {
                    tally.deep += 1;
                } else {
                    tally.failed += 1;
                    tally.unknown += u32::from(one.unknown);
                    tally.tries += u64::from(one.fails);
                    parts.push(one.part);
                }
            }
            parts.sort_unstable();
            parts.dedup();
            Tally { parts: parts.len() as u32, ..tally }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// Sums that follow each attempt are those of a count user by user, also after a checkpoint.
        #[test]
        fn sums_are_what_a_count_gives(steps in prop::collection::vec((0_u32..330, 1_u32..9, 0_i64..200, 0_u8..6), 1..700)) {
            let (mut crowd, mut now_ms) = (Crowd::default(), 0);
            for (number, (user, part, later, how)) in steps.into_iter().enumerate() {
                now_ms += later / 20;
                crowd.expire(now_ms - 1_000, i64::MIN);
                crowd.record(&attempt(user, part, now_ms - later, how), &config());
                if number % 50 == 49 {
                    let heap = crowd.heap_bytes();
                    crowd = postcard::from_bytes(&postcard::to_allocvec(&crowd).unwrap()).unwrap();
                    prop_assert_eq!(crowd.heap_bytes(), heap);
                }
                if number % 7 > 0 {
                    continue;
                }
                let failed = |part: u32| crowd.counted(|other| other == part).failed;
                prop_assert_eq!(crowd.tally(&Parts::One(part)), crowd.counted(|other| other == part));
                prop_assert_eq!(crowd.tally(&Parts::AllBut(Vec::new())), crowd.counted(|_| true));
                prop_assert_eq!(crowd.tally(&Parts::AllBut(vec![1, 7])), crowd.counted(|other| other != 1 && other != 7));
                prop_assert_eq!(crowd.tally(&Parts::Quiet), crowd.counted(|other| failed(other) < 3));
            }
        }
    }
}

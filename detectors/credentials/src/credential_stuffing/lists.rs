//! Lists of names whose passwords are right: each used once from another home, so that nothing fails.
//!
//! All they share is what the thief has: one device, or a tool that nobody of the tenant is at home with. What counts
//! is a sign-in of somebody who got in before, neither with the device nor on the line it comes from. A few of them
//! are everyday life, each with a device of its own; so are many with one device at one place (a kiosk, a front desk,
//! an agent), which is why the lines must be several. A new release of an app or a browser is new for everybody, but
//! most who have it are at home on their line; a client that people are at home with is none of a thief's.
//!
//! One state for each tenant, because what a user has and what many users share must come together. A strange sign-in
//! teaches what the user has when it was part of nothing for a day. A user who was never seen before is no stranger,
//! and is only named among them.

use super::Config;
use crate::familiar::{Fact, Familiar, Of};
use crate::guess::{Ended, Guess};
use bartizan_core::time::DAY_MS;
use bartizan_core::{Event, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Strange sign-ins are held for so long.
pub(super) const WINDOW_MS: i64 = DAY_MS;
/// Without any sign-in for so long, nothing is remembered of a tenant.
const KEPT_MS: i64 = 60 * DAY_MS;
/// Quiet for so long, a list is used up.
const QUIET_GAP_MS: i64 = super::QUIET_GAP_MS;
/// Strange sign-ins held; beyond them the oldest teaches what it has.
const STRANGE_MAX: usize = 128;
/// Bytes of name, id and session; what has longer ones is left out.
const TEXT_BYTES_MAX: usize = 512;
/// Lists that go on at once.
const OPEN_MAX: usize = 8;
/// Groups of users, and how many of them have somebody at home with what many people use.
const GROUPS: u64 = 16;
const GROUPS_MIN: usize = 3;
/// Of so many users one may come from a network that another came from.
const SHARING_PART: usize = 5;

/// What the sign-ins of a list share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Common {
    Device(u32),
    Client(u32),
}

/// A strange sign-in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Strange {
    pub time_ms: i64,
    pub ip: IpAddr,
    pub name: Box<str>,
    pub event: Box<str>,
    pub session: Box<str>,
    /// In, or stopped by a second factor.
    pub ended_in: bool,
    user: u32,
    user_key: u64,
    subnet: u32,
    line: u32,
    device: u32,
    client: u32,
    agent: u32,
    /// Never seen before: named, not counted.
    newcomer: bool,
    told: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    common: Common,
    last_ms: i64,
    hits: u32,
}

/// What strange sign-ins share, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub users: usize,
    /// Networks (/24 or /48) and lines that they came from.
    pub networks: usize,
    pub lines: usize,
}

impl Tally {
    /// Does each of them come from elsewhere?
    fn is_spread(&self, config: &Config) -> bool {
        self.lines >= config.list_lines_min as usize && self.networks * SHARING_PART >= self.users * (SHARING_PART - 1)
    }
}

/// What a sign-in turns out to be.
pub(super) enum Verdict {
    /// Nothing.
    Ordinary,
    /// Strange, and what was counted falls short.
    Few(Tally),
    /// As many share it as it takes, but it is one of many people, or of one place.
    Shared(Common, Tally, &'static str),
    /// One of a list.
    List(Common, Tally),
}

/// The state of one tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lists {
    newest_ms: i64,
    familiar: Familiar,
    /// By time.
    strange: Vec<Strange>,
    open: Vec<Open>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { newest_ms: i64::MIN, familiar: Familiar::default(), strange: Vec::new(), open: Vec::new() }
    }
}

impl Retained for Lists {
    fn expires_ms(&self) -> i64 {
        self.newest_ms.saturating_add(KEPT_MS)
    }

    fn worth(&self) -> u8 {
        4
    }

    fn heap_bytes(&self) -> usize {
        let strange = if self.strange.is_empty() { 0 } else { heap_bytes(STRANGE_MAX * size_of::<Strange>()) };
        let open = if self.open.is_empty() { 0 } else { heap_bytes(OPEN_MAX * size_of::<Open>()) };
        let texts = |one: &Strange| [&one.name, &one.event, &one.session].into_iter().map(|text| heap_bytes(text.len())).sum::<usize>();
        self.familiar.heap_bytes() + strange + open + self.strange.iter().map(texts).sum::<usize>()
    }
}

impl Common {
    fn covers(self, one: &Strange) -> bool {
        match self {
            Self::Device(device) => one.device == device,
            Self::Client(client) => one.client == client,
        }
    }
}

impl Lists {
    /// Takes a sign-in with a right password in, and says what it is.
    pub fn take(&mut self, guess: &Guess, event: &Event<'_>, config: &Config) -> Verdict {
        self.advance(guess.time_ms);
        if guess.time_ms < self.newest_ms.saturating_sub(WINDOW_MS) {
            return Verdict::Ordinary;
        }
        let has_device = guess.device != 0 && self.familiar.knows(Fact::new(Of::Device, guess.user_key, guess.device));
        let has_line = self.familiar.knows(Fact::new(Of::Line, guess.user_key, guess.line));
        let commons = self.commons(guess);
        if has_device || has_line {
            self.learn_at_home(guess, has_device);
            return Verdict::Ordinary;
        }
        let newcomer = !self.familiar.knows(Fact::new(Of::Person, guess.user_key, 0));
        let joins = |common: &Common| self.is_open(*common) || self.strange.iter().any(|one| one.user != guess.user && common.covers(one));
        if newcomer && !commons.iter().any(joins) {
            self.learn(guess.user_key, guess.line, guess.device, guess.agent);
            return Verdict::Ordinary;
        }
        self.keep(guess, newcomer, event);
        self.judge(&commons, config)
    }

    fn advance(&mut self, time_ms: i64) {
        self.newest_ms = self.newest_ms.max(time_ms);
        self.familiar.advance(self.newest_ms);
        let from_ms = self.newest_ms.saturating_sub(WINDOW_MS);
        while self.strange.first().is_some_and(|one| one.time_ms < from_ms) {
            self.drop_oldest();
        }
        if self.strange.is_empty() {
            self.strange = Vec::new();
        }
        let newest_ms = self.newest_ms;
        self.open.retain(|open| open.last_ms.saturating_add(QUIET_GAP_MS) >= newest_ms);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
    }

    /// The oldest one was part of nothing: it was its user's own.
    fn drop_oldest(&mut self) {
        let gone = self.strange.remove(0);
        if !gone.told && gone.ended_in {
            self.learn(gone.user_key, gone.line, gone.device, gone.agent);
        }
    }

    /// What a thief could share: the device first, which says more.
    fn commons(&self, guess: &Guess) -> Vec<Common> {
        let device = (guess.device != 0).then_some(Common::Device(guess.device));
        let client = (guess.client != 0).then_some(Common::Client(guess.client));
        device.into_iter().chain(client).collect()
    }

    fn learn(&mut self, user_key: u64, line: u32, device: u32, agent: u32) {
        self.familiar.learn(Fact::new(Of::Person, user_key, 0));
        self.familiar.learn(Fact::new(Of::Line, user_key, line));
        self.familiar.learn(Fact::new(Of::Agent, user_key, agent));
        if device != 0 {
            self.familiar.learn(Fact::new(Of::Device, user_key, device));
        }
    }

    fn learn_at_home(&mut self, guess: &Guess, has_device: bool) {
        // A tool without a device that comes by somebody's line is not theirs for that.
        let has_client = guess.device != 0 || self.familiar.knows(Fact::new(Of::Agent, guess.user_key, guess.agent));
        let group = guess.user_key % GROUPS + 1;
        if has_client && guess.client != 0 {
            self.familiar.learn(Fact::new(Of::ClientGroup, group, guess.client));
        }
        if has_device {
            self.familiar.learn(Fact::new(Of::DeviceGroup, group, guess.device));
        }
        if has_client {
            self.learn(guess.user_key, guess.line, guess.device, guess.agent);
        }
    }

    /// Are several people at home with it?
    fn is_many_peoples(&self, common: Common) -> bool {
        let fact = |group| match common {
            Common::Device(device) => Fact::new(Of::DeviceGroup, group, device),
            Common::Client(client) => Fact::new(Of::ClientGroup, group, client),
        };
        (1..=GROUPS).filter(|group| self.familiar.knows(fact(*group))).nth(GROUPS_MIN - 1).is_some()
    }

    fn keep(&mut self, guess: &Guess, newcomer: bool, event: &Event<'_>) {
        let (name, id, session) = (event.user().unwrap_or_default(), event.id(), event.session().unwrap_or_default());
        if name.len() + id.len() + session.len() > TEXT_BYTES_MAX {
            return;
        }
        let one = Strange {
            time_ms: guess.time_ms,
            ip: guess.ip,
            name: name.into(),
            event: id.into(),
            session: session.into(),
            ended_in: guess.ended == Ended::In,
            user: guess.user,
            user_key: guess.user_key,
            subnet: guess.subnet,
            line: guess.line,
            device: guess.device,
            client: guess.client,
            agent: guess.agent,
            newcomer,
            told: false,
        };
        if self.strange.len() >= STRANGE_MAX {
            self.drop_oldest();
        }
        let place = self.strange.partition_point(|held| held.time_ms <= one.time_ms);
        self.strange.insert(place, one);
    }

    fn judge(&self, commons: &[Common], config: &Config) -> Verdict {
        if let Some(common) = commons.iter().find(|common| self.is_open(**common)) {
            return Verdict::List(*common, self.tally(*common));
        }
        let (mut most, mut shared) = (Tally::default(), None);
        for common in commons {
            let tally = self.tally(*common);
            let gate = if tally.users < config.list_users_min as usize {
                most.users = most.users.max(tally.users);
                continue;
            } else if self.is_many_peoples(*common) {
                "many_peoples_client"
            } else if !tally.is_spread(config) {
                "one_place"
            } else {
                return Verdict::List(*common, tally);
            };
            // That strangers have a browser that everybody has is not worth a word.
            if matches!(common, Common::Device(_)) || gate == "one_place" {
                shared = shared.or(Some((*common, tally, gate)));
            }
        }
        shared.map_or(Verdict::Few(most), |(common, tally, gate)| Verdict::Shared(common, tally, gate))
    }

    fn tally(&self, common: Common) -> Tally {
        let counted = || self.strange.iter().filter(|one| common.covers(one) && !one.newcomer);
        Tally {
            users: distinct(counted().map(|one| one.user)),
            networks: distinct(counted().map(|one| one.subnet)),
            lines: distinct(counted().map(|one| one.line)),
        }
    }

    fn is_open(&self, common: Common) -> bool {
        self.open.iter().any(|open| open.common == common)
    }

    /// Takes those of a list that were not told, and says how many users it has hit by now.
    pub fn tell(&mut self, common: Common) -> (Vec<Strange>, u32) {
        let mut news = Vec::new();
        for one in self.strange.iter_mut().filter(|one| common.covers(one) && !one.told) {
            one.told = true;
            news.push(one.clone());
        }
        let hits = distinct(news.iter().map(|one| one.user)) as u32;
        let newest_ms = self.newest_ms;
        if let Some(open) = self.open.iter_mut().find(|open| open.common == common) {
            (open.last_ms, open.hits) = (newest_ms, open.hits.saturating_add(hits));
            return (news, open.hits);
        }
        if self.open.len() >= OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(Open { common, last_ms: newest_ms, hits });
        (news, hits)
    }
}

fn distinct(values: impl Iterator<Item = u32>) -> usize {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

//! Lists of names whose passwords are right: each used once from another home, so that nothing fails.
//!
//! All they share is what the thief has: one device, or a tool that nobody of the tenant is at home with. What counts
//! is a sign-in of somebody who got in before, but never with the device; of a client without one, nor on the line it
//! comes from. A few of them are everyday life, each with a device of its own; so are many with one device at one place
//! (a kiosk, a front desk, an agent), which is why the lines must be several. Where nearly all are on lines of their own,
//! it is the id that is shared, by a cloned image or a fault of an app. A client is a thief's only if nobody is at home with any release of
//! it: an app or a browser is known by its family, without its numbers. Nor is that told of a tenant's first days, when
//! nobody is known to be at home with anything.
//!
//! One state for each tenant, because what a user has and what many users share must come together. A strange sign-in
//! teaches what the user has when it was part of nothing for a day. A user who was never seen before is no stranger,
//! and is only named among them.

use super::Config;
use crate::facts::Of;
use crate::guess::{Ended, Guess};
use bartizan_core::familiar::Familiar;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Event, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::IpAddr;

/// Strange sign-ins are held for so long.
pub(super) const WINDOW_MS: i64 = DAY_MS;
/// Without any sign-in for so long, nothing is remembered of a tenant.
const KEPT_MS: i64 = 60 * DAY_MS;
/// Quiet for so long, a list is used up.
const QUIET_GAP_MS: i64 = super::QUIET_GAP_MS;
/// Strange sign-ins held; beyond them the oldest teaches what it has.
const STRANGE_MAX: usize = 256;
/// Bytes of name, id and session; what has longer ones is left out.
const TEXT_BYTES_MAX: usize = 512;
/// Lists that go on at once.
const OPEN_MAX: usize = 8;
/// Groups of users, and how many of them have somebody at home with what many people use.
const GROUPS: u64 = 16;
const GROUPS_MIN: usize = 3;
/// Time until it is known what people of a tenant are at home with.
const SETTLED_MS: i64 = 2 * DAY_MS;
/// Of so many users one may come from a network that another came from.
const SHARING_PART: usize = 5;
/// Of so many users of one device one is not on a line of their own.
const STRANGERS_PART: usize = 4;

/// What the sign-ins of a list share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Common {
    Device(u32),
    /// Any release of it.
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
    software: u32,
    agent: u32,
    /// Never seen before: named, not counted.
    newcomer: bool,
    /// With a new device on the user's own line.
    on_line: bool,
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
    /// Of them, those who were not on a line of their own.
    pub strangers: usize,
    /// Networks (/24 or /48) and lines that they came from.
    pub networks: usize,
    pub lines: usize,
}

impl Tally {
    /// Does each of them come from elsewhere?
    fn is_spread(&self, config: &Config) -> bool {
        self.lines >= config.list_lines_min as usize
            && self.strangers * STRANGERS_PART >= self.users
            && self.networks * SHARING_PART >= self.users * (SHARING_PART - 1)
    }
}

/// What a sign-in turns out to be.
pub(super) enum Verdict {
    /// Nothing.
    Ordinary,
    /// Strange, and what was counted falls short.
    Few(Tally),
    /// As many share it as it takes, but they come from one place, or are at home.
    OnePlace(Common, Tally),
    /// One of a list.
    List(Common, Tally),
}

/// The state of one tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lists {
    /// When the tenant was first seen, and last.
    first_ms: i64,
    newest_ms: i64,
    familiar: Familiar,
    /// By time.
    strange: VecDeque<Strange>,
    /// Bytes of their texts, so that they are counted without a look at them.
    texts: usize,
    open: Vec<Open>,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            first_ms: i64::MAX,
            newest_ms: i64::MIN,
            familiar: Familiar::default(),
            strange: VecDeque::new(),
            texts: 0,
            open: Vec::new(),
        }
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
        self.familiar.heap_bytes() + strange + open + self.texts
    }
}

impl Strange {
    fn heap_bytes(&self) -> usize {
        [&self.name, &self.event, &self.session].into_iter().map(|text| heap_bytes(text.len())).sum()
    }
}

impl Common {
    fn covers(self, one: &Strange) -> bool {
        match self {
            Self::Device(device) => one.device == device,
            Self::Client(software) => one.software == software && !one.on_line,
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
        let has_device = guess.device != 0 && self.familiar.knows(Of::Device.fact(guess.user_key, guess.device));
        let has_line = self.familiar.knows(Of::Line.fact(guess.user_key, guess.line));
        let software = software(event);
        // Nearly all are at home: what a thief could share is asked of the others alone.
        if has_device || (has_line && guess.device == 0) {
            if guess.ended == Ended::In {
                self.learn_at_home(guess, software, has_device);
            }
            return Verdict::Ordinary;
        }
        let commons = self.commons(guess, software, has_line);
        let newcomer = !has_line && !self.familiar.knows(Of::Person.fact(guess.user_key, 0));
        let joins = |common: &Common| self.is_open(*common) || self.strange.iter().any(|one| one.user != guess.user && common.covers(one));
        if newcomer && !commons.iter().any(joins) {
            if guess.ended == Ended::In {
                self.learn(guess.user_key, guess.line, guess.device, guess.agent);
                if guess.device != 0 {
                    self.familiar.learn(Of::ClientGroup.fact(group_of(guess), software));
                }
            }
            return Verdict::Ordinary;
        }
        let again = |one: &Strange| one.on_line && one.user == guess.user && one.device == guess.device;
        if has_line && !commons.iter().any(|common| self.is_open(*common)) && self.strange.iter().any(again) {
            return Verdict::Ordinary;
        }
        if has_line && guess.ended == Ended::In {
            self.familiar.learn(Of::ClientGroup.fact(group_of(guess), software));
        }
        self.keep(guess, software, [newcomer, has_line], event);
        self.judge(&commons, config)
    }

    fn advance(&mut self, time_ms: i64) {
        self.first_ms = self.first_ms.min(time_ms);
        self.newest_ms = self.newest_ms.max(time_ms);
        self.familiar.advance(self.newest_ms);
        let from_ms = self.newest_ms.saturating_sub(WINDOW_MS);
        while self.strange.front().is_some_and(|one| one.time_ms < from_ms) {
            self.drop_oldest();
        }
        if self.strange.is_empty() {
            self.strange = VecDeque::new();
        }
        let newest_ms = self.newest_ms;
        self.open.retain(|open| open.last_ms.saturating_add(QUIET_GAP_MS) >= newest_ms);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
    }

    /// The oldest one was part of nothing: it was its user's own.
    fn drop_oldest(&mut self) {
        let Some(gone) = self.strange.pop_front() else { return };
        self.texts = self.texts.saturating_sub(gone.heap_bytes());
        if !gone.told && gone.ended_in {
            self.learn(gone.user_key, gone.line, gone.device, gone.agent);
        }
    }

    /// What a thief could share: the device first, which says more.
    fn commons(&self, guess: &Guess, software: u32, has_line: bool) -> Vec<Common> {
        let device = (guess.device != 0).then_some(Common::Device(guess.device));
        let is_settled = self.newest_ms.saturating_sub(self.first_ms) >= SETTLED_MS;
        let client = (guess.client != 0 && !has_line && is_settled).then_some(Common::Client(software));
        device.into_iter().chain(client).filter(|common| !self.is_many_peoples(*common)).collect()
    }

    fn learn(&mut self, user_key: u64, line: u32, device: u32, agent: u32) {
        self.familiar.learn(Of::Person.fact(user_key, 0));
        self.familiar.learn(Of::Line.fact(user_key, line));
        self.familiar.learn(Of::Agent.fact(user_key, agent));
        if device != 0 {
            self.familiar.learn(Of::Device.fact(user_key, device));
        }
    }

    fn learn_at_home(&mut self, guess: &Guess, software: u32, has_device: bool) {
        // A tool without a device that comes by somebody's line is not theirs for that.
        let has_client = guess.device != 0 || self.familiar.knows(Of::Agent.fact(guess.user_key, guess.agent));
        if has_client {
            self.familiar.learn(Of::ClientGroup.fact(group_of(guess), software));
        }
        if has_device {
            self.familiar.learn(Of::DeviceGroup.fact(group_of(guess), guess.device));
        }
        if has_client {
            self.learn(guess.user_key, guess.line, guess.device, guess.agent);
        }
    }

    /// Are several people at home with it?
    fn is_many_peoples(&self, common: Common) -> bool {
        let fact = |group| match common {
            Common::Device(device) => Of::DeviceGroup.fact(group, device),
            Common::Client(software) => Of::ClientGroup.fact(group, software),
        };
        (1..=GROUPS).filter(|group| self.familiar.knows(fact(*group))).nth(GROUPS_MIN - 1).is_some()
    }

    fn keep(&mut self, guess: &Guess, software: u32, [newcomer, on_line]: [bool; 2], event: &Event<'_>) {
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
            software,
            agent: guess.agent,
            newcomer,
            on_line,
            told: false,
        };
        if self.strange.len() >= STRANGE_MAX {
            self.drop_oldest();
        }
        self.texts += one.heap_bytes();
        let place = self.strange.partition_point(|held| held.time_ms <= one.time_ms);
        self.strange.insert(place, one);
    }

    fn judge(&self, commons: &[Common], config: &Config) -> Verdict {
        if let Some(common) = commons.iter().find(|common| self.is_open(**common)) {
            return Verdict::List(*common, self.tally(*common));
        }
        let (mut most, mut shared) = (Tally::default(), None);
        for common in commons {
            // Mostly they are too few, wherever they come from.
            let users = distinct(self.counted(*common).map(|one| one.user));
            if users < config.list_users_min as usize {
                most.users = most.users.max(users);
                continue;
            }
            let tally = self.tally(*common);
            if tally.is_spread(config) {
                return Verdict::List(*common, tally);
            }
            shared = shared.or(Some((*common, tally)));
        }
        shared.map_or(Verdict::Few(most), |(common, tally)| Verdict::OnePlace(common, tally))
    }

    fn counted(&self, common: Common) -> impl Iterator<Item = &Strange> {
        self.strange.iter().filter(move |one| common.covers(one) && !one.newcomer)
    }

    fn tally(&self, common: Common) -> Tally {
        let counted = || self.counted(common);
        Tally {
            users: distinct(counted().map(|one| one.user)),
            strangers: distinct(counted().filter(|one| !one.on_line).map(|one| one.user)),
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

fn group_of(guess: &Guess) -> u64 {
    guess.user_key % GROUPS + 1
}

/// The family of a program: user agent and ciphers.
fn software(event: &Event<'_>) -> u32 {
    let software = event.software();
    software.agent ^ software.ja4.rotate_left(16)
}

fn distinct(values: impl Iterator<Item = u32>) -> usize {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

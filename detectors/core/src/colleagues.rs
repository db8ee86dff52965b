//! What a tenant's people have in common: the devices of each, and the places where several of them are at home.
//!
//! Who signs in with a device that is a colleague's own (an assistant, a travel agent, a shared machine), or where
//! several colleagues are at home (another office), is no stranger, however new that is for the person. It counts what
//! was there on an earlier day alone: an attacker's device is nobody's own on the day of the attack. A place is
//! everybody's on its first day already where two colleagues came to it, to the very address, with devices that they had before
//! (a new office, a conference's hotel). What a colleague's device does in somebody's name makes it not theirs, however often, unless they
//! have no other. Insiders are not told apart by it.
//!
//! Beside what vouches it says in which countries the tenant's people are at home: a journey goes more often to where
//! others are.
//!
//! The runner asks it about a sign-in before any detector sees that ([`Event::voucher`](crate::Event::voucher)).
//!
//! All of one tenant stands in one state, because what one person has and what others have must come together. It
//! holds bits, not values, and is bounded.

use crate::client::{ClientPrint, country, short};
use crate::event::{Event, Kind, NetworkClass, Outcome, UserKind};
use crate::familiar::{Fact, Familiar};
use crate::keys::{Key, KeyKind};
use crate::people::day_of;
use crate::state::{Budget, KeyedState, Retained, State, heap_bytes};
use crate::time::DAY_MS;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// People who are at home at a place, from which on it is everybody's: at a network, and at a single address, where it
/// takes one less to be no chance.
const AT_HOME_MIN: u32 = 3;
const AT_ADDRESS_MIN: u32 = 2;
/// Facts of a day that wait for its end; beyond them they count at once.
const TODAY_MAX: usize = 65_536;
/// People whose countries are not known: of a few, a share says little.
const PEOPLE_PRIOR: f32 = 20.0;
/// Countries that are counted; there are some 250.
const COUNTRIES_MAX: usize = 300;
/// Without any sign-in for so long, nothing is remembered of a tenant.
const KEPT_MS: i64 = 60 * DAY_MS;

/// Stands for its state in checkpoints and counts.
pub const ID: &str = "colleagues";
/// Version of its saved state.
pub const STATE_VERSION: u32 = 2;
/// The key that it is held for.
pub const KEY: KeyKind = KeyKind::Tenant;

/// What vouches for a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The device is a colleague's own.
    Device,
    /// Several colleagues are at home at the address's /24 or /48, or two came to the address with devices of their own.
    Place,
}

impl Voucher {
    /// Its name as a gate.
    #[must_use]
    pub const fn gate(self) -> &'static str {
        match self {
            Self::Device => "colleagues_device",
            Self::Place => "colleagues_place",
        }
    }

    /// The same in words.
    #[must_use]
    pub const fn because(self) -> &'static str {
        match self {
            Self::Device => "the device is a colleague's own",
            Self::Place => {
                "three colleagues or more are at home at this address's network, or two came to the address with devices of their own"
            }
        }
    }
}

/// How a sign-in stands among the tenant's people.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// What vouches for it.
    pub voucher: Option<Voucher>,
    /// Share of its country among those that the tenant's people are at home in, from 0 to 1.
    pub country_share: f32,
}

/// The tenants of one slice.
#[derive(Debug)]
pub struct Colleagues(KeyedState<Tenant>);

impl Colleagues {
    /// No tenant, with memory from `budget`.
    #[must_use]
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self(KeyedState::new(budget))
    }

    /// Is it a person's successful sign-in, or one that goes on by a refresh? All others say nothing.
    #[must_use]
    pub fn looks_at(event: &Event<'_>) -> bool {
        let counts = matches!(event.kind(), Kind::Login | Kind::TokenRefresh);
        counts && event.outcome() == Outcome::Success && event.user_kind() == UserKind::Human
    }

    /// Takes a sign-in or a refresh in, and says how it stands.
    pub fn observe(&mut self, key: Key, event: &Event<'_>) -> Standing {
        self.0.entry(key.hash, event.watermark_ms(), Tenant::default).observe(event)
    }

    /// Its state, to be counted, bounded, saved and loaded.
    pub fn state(&mut self) -> &mut dyn State {
        &mut self.0
    }
}

#[derive(Clone, Copy)]
enum Of {
    /// The user signed in with this device.
    UsersDevice,
    /// The user signed in from this network.
    UsersPlace,
    /// A device that somebody had on an earlier day.
    Device,
    /// One more is at home there.
    Resident,
    /// So many are at home there: [`AT_HOME_MIN`] facts, one for each.
    AtHome,
    /// The user has a device that is no colleague's.
    HasDevice,
    /// The user signed in from this country.
    UsersCountry,
    /// One more is at home in it.
    Inhabitant,
}

/// People at home in a country.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Inhabitants {
    country: u32,
    /// As known by this generation of facts, and by the one before.
    now: u32,
    before: u32,
}

impl Inhabitants {
    fn count(self) -> u32 {
        self.now.max(self.before)
    }
}

/// The people of one tenant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tenant {
    familiar: Familiar,
    /// What was seen today for the first time: it counts from tomorrow on.
    today: Vec<(u64, u32, u8)>,
    countries: Vec<Inhabitants>,
    newest_ms: i64,
}

impl Retained for Tenant {
    fn expires_ms(&self) -> i64 {
        self.newest_ms.saturating_add(KEPT_MS)
    }

    fn worth(&self) -> u8 {
        4
    }

    fn heap_bytes(&self) -> usize {
        fn list<T>(list: &[T]) -> usize {
            if list.is_empty() { 0 } else { heap_bytes(list.len().next_power_of_two().max(4) * size_of::<T>()) }
        }
        self.familiar.heap_bytes() + list(&self.today) + list(&self.countries)
    }
}

impl Tenant {
    fn observe(&mut self, event: &Event<'_>) -> Standing {
        let Some(user) = event.key(KeyKind::User).map(|key| key.hash) else { return Standing::default() };
        self.advance(event.time_ms());
        let class = event.network_class();
        // A carrier's gateway is in no country and no building.
        let is_line = class.tells_place() && class != NetworkClass::Mobile;
        let (device, place) = (ClientPrint::of(event).device, short(event.key(KeyKind::Subnet)));
        let address = if is_line { short(event.key(KeyKind::Address)) } else { 0 };
        if event.kind() == Kind::TokenRefresh {
            self.goes_on(user, device, address);
            return Standing::default();
        }
        let land = event.place().filter(|_| is_line).map_or(0, |place| country(place.country));
        let country_share = self.share(land);
        let own_device = self.owns(Of::UsersDevice, user, device);
        let is_others = device != 0 && !own_device && self.familiar.knows(fact(Of::Device, 0, device));
        if is_others && self.familiar.knows(fact(Of::HasDevice, user, 0)) {
            return Standing { voucher: Some(Voucher::Device), country_share };
        }
        if own_device {
            self.familiar.learn(fact(Of::Device, 0, device));
            self.familiar.learn(fact(Of::HasDevice, user, 0));
        } else {
            self.note(Of::UsersDevice, user, device);
        }
        let own_place = self.owns(Of::UsersPlace, user, place);
        if own_place {
            self.is_at_home(user, place);
        } else {
            self.note(Of::UsersPlace, user, place);
        }
        if own_device {
            self.is_at_home(user, address);
        }
        if self.owns(Of::UsersCountry, user, land) {
            self.inhabits(user, land);
        } else if land != 0 {
            self.familiar.learn(fact(Of::UsersCountry, user, land));
        }
        let at_home = |place: u32, least: u32| place != 0 && self.familiar.knows(fact(Of::AtHome, (least - 1).into(), place));
        let is_everybodys = !own_place && (at_home(place, AT_HOME_MIN) || at_home(address, AT_ADDRESS_MIN));
        let voucher = if is_others { Some(Voucher::Device) } else { is_everybodys.then_some(Voucher::Place) };
        Standing { voucher, country_share }
    }

    /// A session goes on. Sign-ins are few, as sessions live for weeks: with an own device it shows who comes to an address.
    /// It shows nothing else, as the session may be stolen, and a /24 of homes is many people's.
    fn goes_on(&mut self, user: u64, device: u32, address: u32) {
        if self.owns(Of::UsersDevice, user, device) {
            self.is_at_home(user, address);
        }
    }

    /// Goes on to a time. With a new day, what was seen on the one before counts.
    fn advance(&mut self, time_ms: i64) {
        if day_of(time_ms) > day_of(self.newest_ms) {
            for (user, value, of) in std::mem::take(&mut self.today) {
                self.familiar.learn(Fact::new(of, user, value));
                if of == Of::UsersDevice as u8 {
                    self.familiar.learn(fact(Of::Device, 0, value));
                    self.familiar.learn(fact(Of::HasDevice, user, 0));
                }
            }
        }
        self.newest_ms = self.newest_ms.max(time_ms);
        if self.familiar.advance(self.newest_ms) {
            self.countries.iter_mut().for_each(|one| *one = Inhabitants { country: one.country, now: 0, before: one.now });
            self.countries.retain(|one| one.count() > 0);
        }
    }

    /// Did the user have it before, devices and places on an earlier day? Then it is remembered for longer.
    fn owns(&mut self, of: Of, user: u64, value: u32) -> bool {
        value != 0 && self.familiar.keeps(fact(of, user, value))
    }

    /// From tomorrow on the user has it.
    fn note(&mut self, of: Of, user: u64, value: u32) {
        if value == 0 {
            return;
        }
        if self.today.len() < TODAY_MAX {
            self.today.push((user, value, of as u8));
        } else {
            self.familiar.learn(fact(of, user, value));
        }
    }

    /// The user is at home at a place: a network, or a single address.
    fn is_at_home(&mut self, user: u64, place: u32) {
        if place != 0 && self.familiar.renew(fact(Of::Resident, user, place)) {
            let next = (0..AT_HOME_MIN).map(|number| fact(Of::AtHome, number.into(), place)).find(|fact| !self.familiar.is_fresh(*fact));
            next.into_iter().for_each(|fact| self.familiar.learn(fact));
        }
    }

    fn inhabits(&mut self, user: u64, land: u32) {
        if self.familiar.renew(fact(Of::Inhabitant, user, land)) {
            let has_room = self.countries.len() < COUNTRIES_MAX;
            match self.countries.iter_mut().find(|one| one.country == land) {
                Some(one) => one.now = one.now.saturating_add(1),
                None if has_room => self.countries.push(Inhabitants { country: land, now: 1, before: 0 }),
                None => {}
            }
        }
    }

    /// The part of the tenant's people that is at home in a country.
    fn share(&self, land: u32) -> f32 {
        let (mut there, mut all) = (0.0, PEOPLE_PRIOR);
        for one in &self.countries {
            let count = one.count() as f32;
            all += count;
            there += if one.country == land { count } else { 0.0 };
        }
        there / all
    }
}

fn fact(of: Of, user: u64, value: u32) -> Fact {
    Fact::new(of as u8, user, value)
}

//! What a tenant's people have in common: the devices of each, and the places where several of them are at home.
//!
//! Who signs in with a device that is a colleague's own (an assistant, a travel agent, a shared machine), or where
//! several colleagues are at home (another office), is no stranger, however new that is for the person. It counts what
//! was there on an earlier day alone: an attacker's device is nobody's own on the day of the attack. Insiders are not
//! told apart by it.
//!
//! The runner asks it about a sign-in before any detector sees that ([`Event::voucher`](crate::Event::voucher)).
//!
//! All of one tenant stands in one state, because what one person has and what others have must come together. It
//! holds bits, not values, and is bounded.

use crate::client::{ClientPrint, short};
use crate::event::{Event, Kind, Outcome, UserKind};
use crate::familiar::{Fact, Familiar};
use crate::keys::{Key, KeyKind};
use crate::people::day_of;
use crate::state::{Budget, KeyedState, Retained, State, heap_bytes};
use crate::time::DAY_MS;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// People who are at home at a place, from which on it is everybody's.
const AT_HOME_MIN: u32 = 3;
/// Facts of a day that wait for its end; beyond them they count at once.
const TODAY_MAX: usize = 65_536;
/// Without any sign-in for so long, nothing is remembered of a tenant.
const KEPT_MS: i64 = 60 * DAY_MS;

/// Stands for its state in checkpoints and counts.
pub const ID: &str = "colleagues";
/// Version of its saved state.
pub const STATE_VERSION: u32 = 1;
/// The key that it is held for.
pub const KEY: KeyKind = KeyKind::Tenant;

/// What vouches for a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The device is a colleague's own.
    Device,
    /// Several colleagues are at home at the address's /24 or /48.
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
            Self::Place => "three colleagues or more are at home at this address's network",
        }
    }
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

    /// Is it a person's successful sign-in? All others say nothing.
    #[must_use]
    pub fn looks_at(event: &Event<'_>) -> bool {
        event.kind() == Kind::Login && event.outcome() == Outcome::Success && event.user_kind() == UserKind::Human
    }

    /// Takes a sign-in in, and says what vouches for it.
    pub fn observe(&mut self, key: Key, event: &Event<'_>) -> Option<Voucher> {
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
    /// A device that somebody had on more days than one.
    Device,
    /// One more is at home there.
    Resident,
    /// So many are at home there: [`AT_HOME_MIN`] facts, one for each.
    AtHome,
}

/// The people of one tenant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tenant {
    familiar: Familiar,
    /// What was seen today for the first time: it counts from tomorrow on.
    today: Vec<(u64, u32, u8)>,
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
        self.familiar.heap_bytes()
            + if self.today.is_empty() { 0 } else { heap_bytes(self.today.len().next_power_of_two() * size_of::<(u64, u32, u8)>()) }
    }
}

impl Tenant {
    fn observe(&mut self, event: &Event<'_>) -> Option<Voucher> {
        let user = event.key(KeyKind::User)?.hash;
        self.advance(event.time_ms());
        let (device, place) = (ClientPrint::of(event).device, short(event.key(KeyKind::Subnet)));
        let own_device = device != 0 && self.is_own(Of::UsersDevice, user, device);
        let own_place = place != 0 && self.is_own(Of::UsersPlace, user, place);
        if own_device {
            self.familiar.learn(fact(Of::Device, 0, device));
        }
        if own_place && !self.familiar.knows(fact(Of::Resident, user, place)) {
            self.familiar.learn(fact(Of::Resident, user, place));
            let next = (0..AT_HOME_MIN).map(|number| fact(Of::AtHome, number.into(), place)).find(|fact| !self.familiar.knows(*fact));
            next.into_iter().for_each(|fact| self.familiar.learn(fact));
        }
        if device != 0 && !own_device && self.familiar.knows(fact(Of::Device, 0, device)) {
            return Some(Voucher::Device);
        }
        let all_at_home = fact(Of::AtHome, (AT_HOME_MIN - 1).into(), place);
        (place != 0 && !own_place && self.familiar.knows(all_at_home)).then_some(Voucher::Place)
    }

    /// Goes on to a time. With a new day, what was seen on the one before counts.
    fn advance(&mut self, time_ms: i64) {
        if day_of(time_ms) > day_of(self.newest_ms) {
            for (user, value, of) in std::mem::take(&mut self.today) {
                self.familiar.learn(Fact::new(of, user, value));
            }
        }
        self.newest_ms = self.newest_ms.max(time_ms);
        self.familiar.advance(self.newest_ms);
    }

    /// Did the user have it on an earlier day? If not, from tomorrow on.
    fn is_own(&mut self, of: Of, user: u64, value: u32) -> bool {
        if self.familiar.knows(fact(of, user, value)) {
            return true;
        }
        if self.today.len() >= TODAY_MAX {
            self.familiar.learn(fact(of, user, value));
        } else {
            self.today.push((user, value, of as u8));
        }
        false
    }
}

fn fact(of: Of, user: u64, value: u32) -> Fact {
    Fact::new(of as u8, user, value)
}

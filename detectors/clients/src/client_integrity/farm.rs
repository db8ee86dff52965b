//! Farms of accounts: many users behind one device, and many new users of one device model in hosting networks.

use bartizan_core::client::short;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Attestation, Event, KeyKind, Kind, NetworkClass, Retained, heap_bytes};
use serde::{Deserialize, Serialize};

/// Users that a device is known to have; beyond them it is no device.
const USERS_MAX: usize = 64;
/// Networks of a device told apart.
const NETWORKS_MAX: usize = 4;
/// Time after which a user of a device counts no more.
const WINDOW_MS: i64 = 2 * DAY_MS;
/// Programs of one app in which new users appear, told apart.
const MODELS_MAX: usize = 16;

/// A user of a device.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Member {
    time_ms: i64,
    user: u32,
    is_new: bool,
    is_hidden: bool,
    failed: bool,
}

/// A device and its users, the latest last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Device {
    members: Vec<Member>,
    networks: [u32; NETWORKS_MAX],
    /// More users than any device has.
    is_none: bool,
    last_ms: i64,
}

/// A device with too many users.
#[derive(Clone, Copy, Debug)]
pub(super) struct Farm {
    pub users: usize,
    pub new_users: usize,
    pub hidden_users: usize,
    pub failed: usize,
    pub networks: usize,
    pub is_first: bool,
}

impl Farm {
    /// Independent signs that it is no shared device.
    pub fn signs(&self) -> usize {
        let most = |part: usize| part * 2 > self.users;
        [most(self.new_users), most(self.hidden_users), most(self.failed), self.networks > 2].into_iter().filter(|sign| *sign).count()
    }
}

impl Retained for Device {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(WINDOW_MS)
    }

    fn worth(&self) -> u8 {
        u8::from(self.members.len() > 2)
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.members.len() * size_of::<Member>())
    }
}

impl Device {
    /// Takes a sign-in or a new user in; says so if the device has so many users within the window.
    pub fn observe(&mut self, event: &Event<'_>, users_min: usize) -> Option<Farm> {
        let (time_ms, user) = (event.time_ms(), short(event.key(KeyKind::User)));
        self.last_ms = self.last_ms.max(time_ms);
        let from_ms = self.last_ms.saturating_sub(WINDOW_MS);
        self.members.retain(|member| member.time_ms >= from_ms);
        let seen = Member {
            time_ms,
            user,
            is_new: event.kind() == Kind::Signup,
            is_hidden: matches!(event.network_class(), NetworkClass::Hosting | NetworkClass::Vpn),
            failed: event.attestation() == Attestation::Failed,
        };
        let network = if event.asn() == 0 { short(event.key(KeyKind::Subnet)) } else { event.asn() };
        if !self.networks.contains(&network)
            && let Some(free) = self.networks.iter_mut().find(|network| **network == 0)
        {
            *free = network;
        }
        let is_full = self.members.len() >= USERS_MAX;
        let known = self.members.iter_mut().find(|member| member.user == user);
        let is_first = known.is_none();
        match known {
            Some(member) => {
                member.time_ms = member.time_ms.max(time_ms);
                member.is_new |= seen.is_new;
                member.failed |= seen.failed;
            }
            None if is_full => self.is_none = true,
            None => {
                self.members.reserve_exact(1);
                self.members.push(seen);
            }
        }
        self.members.shrink_to_fit();
        if self.members.len() < users_min || self.is_none {
            return None;
        }
        let count = |has: fn(&Member) -> bool| self.members.iter().filter(|member| has(member)).count();
        Some(Farm {
            users: self.members.len(),
            new_users: count(|member| member.is_new),
            hidden_users: count(|member| member.is_hidden),
            failed: count(|member| member.failed),
            networks: self.networks.iter().filter(|network| **network != 0).count(),
            is_first,
        })
    }
}

/// New users with one program to the letter: device model and build.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Model {
    client: u32,
    start_ms: i64,
    users: u64,
    hosting_users: u64,
}

/// The models with which an app's new users come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Models {
    list: Vec<Model>,
    last_ms: i64,
}

impl Retained for Models {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(DAY_MS)
    }

    fn worth(&self) -> u8 {
        1
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.list.len() * size_of::<Model>())
    }
}

impl Models {
    /// Takes a new user in; the number of those of this model that came from hosting networks within a day, if nearly all did.
    pub fn observe(&mut self, event: &Event<'_>) -> Option<u32> {
        let (time_ms, client) = (event.time_ms(), short(event.key(KeyKind::Client)));
        self.last_ms = self.last_ms.max(time_ms);
        let from_ms = self.last_ms.saturating_sub(DAY_MS);
        let new = Model { client, start_ms: time_ms, users: 0, hosting_users: 0 };
        let known = self.list.iter().position(|model| model.client == client);
        let place = known.unwrap_or(self.list.len());
        if known.is_none() && place < MODELS_MAX {
            self.list.reserve_exact(1);
            self.list.push(new);
        }
        let model = match self.list.get_mut(place) {
            Some(model) => model,
            None => self.list.iter_mut().min_by_key(|model| model.start_ms)?,
        };
        if model.client != client || model.start_ms < from_ms {
            *model = new;
        }
        let user = 1 << (short(event.key(KeyKind::User)) & 63);
        model.users |= user;
        if event.network_class() == NetworkClass::Hosting {
            model.hosting_users |= user;
            let (users, hosting) = (model.users.count_ones(), model.hosting_users.count_ones());
            return (hosting * 5 >= users * 4).then_some(hosting);
        }
        None
    }
}

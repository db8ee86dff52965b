//! What a program with its own credential usually does: from which networks, by which routes.
//!
//! A network is an autonomous system, so that pods, addresses and regions of one provider are one. What the usual networks
//! do is usual, new routes included: a new version. A new network that goes on with the usual routes is a program that
//! moved, and becomes usual when it did so on two days.

use super::Config;
use super::route;
use bartizan_core::people::day_of;
use bartizan_core::time::DAY_MS;
use bartizan_core::{ClientPrint, Event, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Networks and routes that are usual; who has more is at home everywhere and is not judged.
const NETWORKS_MAX: usize = 6;
const ROUTES_MAX: usize = 128;
/// New networks looked at; beyond them the oldest goes.
const GUESTS_MAX: usize = 2;
/// New routes told apart of one of them.
const GUEST_ROUTES_MAX: usize = 20;
/// How long it is remembered after its last request.
const KEPT_MS: i64 = 30 * DAY_MS;

/// A network that it never used.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Guest {
    network: u32,
    first_ms: i64,
    event: Box<str>,
    ip: Option<IpAddr>,
    /// New routes.
    routes: Vec<u32>,
    /// Days with usual routes, and the last of them.
    usual_days: u8,
    usual_day: u16,
    got_in: bool,
    told: Level,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Level {
    #[default]
    Nothing,
    Excused,
    Refused,
    Used,
}

/// What was seen from a new network.
pub(super) struct Strayed {
    /// It goes on with its usual routes.
    pub usual: bool,
    pub got_in: bool,
    pub routes: usize,
    pub known_routes: usize,
    pub known_networks: usize,
    pub days: u16,
    pub first_ms: i64,
    pub event: String,
    pub ip: Option<IpAddr>,
}

/// A program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Service {
    last_ms: i64,
    last_day: u16,
    days: u16,
    is_broad: bool,
    networks: Vec<u32>,
    /// In order.
    routes: Vec<u32>,
    guests: Vec<Guest>,
}

impl Retained for Service {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(KEPT_MS)
    }

    fn worth(&self) -> u8 {
        (self.days / 2).min(4) as u8
    }

    fn heap_bytes(&self) -> usize {
        let guests = self.guests.iter().map(|guest| heap_bytes(guest.event.len()) + heap_bytes(guest.routes.len() * size_of::<u32>()));
        heap_bytes(self.networks.len() * size_of::<u32>())
            + heap_bytes(self.routes.len() * size_of::<u32>())
            + heap_bytes(self.guests.len() * size_of::<Guest>())
            + guests.sum::<usize>()
    }
}

impl Service {
    /// Full days on which it was at work, before this one.
    fn days_before(&self, day: u16) -> u16 {
        if day > self.last_day { self.days } else { self.days.saturating_sub(1) }
    }

    fn learn(&mut self, network: u32, route: u32, day: u16) {
        if day > self.last_day || self.days == 0 {
            (self.last_day, self.days) = (day, self.days.saturating_add(1));
        }
        self.is_broad |= !add(&mut self.networks, network, NETWORKS_MAX) || !add(&mut self.routes, route, ROUTES_MAX);
    }

    /// Looks at a request: one from a network and on routes that it never used, or why it is none.
    pub fn observe(&mut self, event: &Event<'_>, refused: bool, config: &Config) -> Result<Strayed, &'static str> {
        let (Some(path), Some(_)) = (event.path(), event.ip()) else { return Err("no_route") };
        let (network, route, day) = (ClientPrint::of(event).line(), route::of(event.method(), path), day_of(event.time_ms()));
        self.last_ms = self.last_ms.max(event.time_ms());
        let (days, is_known) = (self.days_before(day), self.networks.binary_search(&network).is_ok());
        if self.is_broad {
            return Err("broad");
        }
        if is_known || i64::from(days) < config.service_days_min {
            if !refused {
                self.learn(network, route, day);
            }
            return Err(if is_known { "usual_network" } else { "too_young" });
        }
        let is_usual = self.routes.binary_search(&route).is_ok();
        let (known_routes, known_networks) = (self.routes.len(), self.networks.len());
        let guest = self.guest(network, event);
        if is_usual {
            if !refused && (guest.usual_days == 0 || day > guest.usual_day) {
                (guest.usual_days, guest.usual_day) = (guest.usual_days.saturating_add(1), day);
            }
            if guest.usual_days > 1 && guest.told <= Level::Excused {
                self.guests.retain(|guest| guest.network != network);
                self.learn(network, route, day);
            }
            return Err("usual_routes");
        }
        add(&mut guest.routes, route, GUEST_ROUTES_MAX);
        guest.got_in |= !refused;
        if (guest.routes.len() as i64) < config.service_routes_min {
            return Err("below_limit");
        }
        let level = match (guest.usual_days > 0, guest.got_in) {
            (true, _) => Level::Excused,
            (false, false) => Level::Refused,
            (false, true) => Level::Used,
        };
        if guest.told >= level {
            return Err("told");
        }
        guest.told = level;
        Ok(Strayed {
            usual: level == Level::Excused,
            got_in: guest.got_in,
            routes: guest.routes.len(),
            known_routes,
            known_networks,
            days,
            first_ms: guest.first_ms,
            event: guest.event.to_string(),
            ip: guest.ip,
        })
    }

    fn guest(&mut self, network: u32, event: &Event<'_>) -> &mut Guest {
        let known = self.guests.iter().position(|guest| guest.network == network);
        let position = known.unwrap_or_else(|| {
            if self.guests.len() >= GUESTS_MAX {
                self.guests.remove(0);
            } else {
                self.guests.reserve_exact(1);
            }
            self.guests.push(Guest {
                network,
                first_ms: event.time_ms(),
                event: event.id().into(),
                ip: event.ip(),
                routes: Vec::new(),
                usual_days: 0,
                usual_day: 0,
                got_in: false,
                told: Level::Nothing,
            });
            self.guests.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found, or pushed in the lines above")]
        &mut self.guests[position]
    }
}

/// Adds a value to a list in order; false if it is full.
fn add(list: &mut Vec<u32>, value: u32, len_max: usize) -> bool {
    let Err(place) = list.binary_search(&value) else { return true };
    if list.len() >= len_max {
        return false;
    }
    list.reserve_exact(1);
    list.insert(place, value);
    true
}

//! What a program with its own credential usually does: from which networks, by which routes.
//!
//! Three signs speak for a stranger: the network, the program and the routes. A network is an autonomous system, so that
//! pods, addresses and regions of one provider are one. What the usual networks do is usual, new routes included: a new
//! version. A new network that goes on with the usual routes is a program that moved, and becomes usual when it did so
//! on two days.
//!
//! A program that moves stays the same program, whatever its version: where it is another one as well, usual
//! routes among its requests excuse it only while they are the most of what it asks for, and a day less has to be known of
//! the service. Since everybody can rent a machine at the service's own provider, another program is looked at there, too, on
//! an address of a /24 (or /48) that the service never used; unless the service has so many of these that one more says nothing.
//! That may be a new part of the service, until it was refused some of what it asks for.

use super::Config;
use super::route;
use bartizan_core::client::{agent_family, short};
use bartizan_core::people::day_of;
use bartizan_core::time::DAY_MS;
use bartizan_core::{ClientPrint, Event, KeyKind, Memo, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Networks and routes that are usual; who has more is at home everywhere and is not judged.
const NETWORKS_MAX: usize = 6;
const ROUTES_MAX: usize = 128;
/// Subnets that are usual; who has more moves within its networks all the time.
const SUBNETS_MAX: usize = 8;
/// Names and TLS clients of programs that are usual; who has more runs anything.
const PROGRAMS_MAX: usize = 8;
/// New networks looked at; beyond them the oldest goes.
const GUESTS_MAX: usize = 2;
/// New routes told apart of one of them.
const GUEST_ROUTES_MAX: usize = 20;
/// How long it is remembered after its last request.
const KEPT_MS: i64 = 30 * DAY_MS;

/// A place that it never used.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Guest {
    /// Network, or subnet of a usual one.
    place: u32,
    first_ms: i64,
    event: Box<str>,
    ip: Option<IpAddr>,
    /// New routes.
    routes: Vec<u32>,
    /// Requests for new routes and for usual ones by another program.
    odd: u16,
    usual: u16,
    /// Days with usual routes, and the last of them.
    usual_days: u8,
    usual_day: u16,
    /// New routes that it was let have.
    granted: u16,
    told: Level,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Level {
    #[default]
    Nothing,
    Excused,
    Refused,
    Used,
    /// Let in, and refused some of what it asked for.
    Probing,
}

/// Refusals among its new routes by which a stranger who was let in is told from a new part of the service: whoever gives
/// that a credential lets it have what it asks for.
pub(super) const REFUSALS_MIN: u16 = 2;

/// What was seen from a new place.
pub(super) struct Strayed {
    /// It goes on with its usual routes.
    pub usual: bool,
    /// By another program.
    pub other_program: bool,
    /// On a network that it uses, elsewhere.
    pub same_network: bool,
    pub got_in: bool,
    /// Requests for new routes that were refused.
    pub refusals: u16,
    pub routes: usize,
    pub known_routes: usize,
    pub known_networks: usize,
    pub days: u16,
    pub first_ms: i64,
    pub event: String,
    pub ip: Option<IpAddr>,
}

/// What one request shows.
struct Request {
    network: u32,
    subnet: u32,
    route: u32,
    /// The program's name, without its version; 0 if it gives none.
    name: u32,
    ja4: u32,
}

impl Request {
    fn of(event: &Event<'_>, names: &mut Memo<u32>) -> Option<Self> {
        let (path, _) = event.path().zip(event.ip())?;
        let print = ClientPrint::of(event);
        let client = event.key(KeyKind::Client).map_or(0, |key| key.hash);
        Some(Self {
            network: print.line(),
            subnet: short(event.key(KeyKind::Subnet)),
            route: route::of(event.method(), path),
            name: names.get(client, || name_of(event.user_agent().unwrap_or_default())),
            ja4: print.ja4,
        })
    }
}

/// Print of a program's name; 0 if it has none.
fn name_of(agent: &str) -> u32 {
    let name = agent.split(['/', ' ', '(']).next().unwrap_or_default();
    if name.is_empty() { 0 } else { agent_family(name) }
}

/// A program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Service {
    last_ms: i64,
    last_day: u16,
    days: u16,
    is_broad: bool,
    networks: Vec<u32>,
    /// In order, as all these are.
    routes: Vec<u32>,
    subnets: Vec<u32>,
    programs: Vec<u32>,
    /// Has it more subnets, or programs, than are kept?
    roams: bool,
    is_varied: bool,
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
        let lists = [&self.networks, &self.routes, &self.subnets, &self.programs];
        lists.map(|list| heap_bytes(list.len() * size_of::<u32>())).iter().sum::<usize>()
            + heap_bytes(self.guests.len() * size_of::<Guest>())
            + guests.sum::<usize>()
    }
}

impl Service {
    /// Full days on which it was at work, before this one.
    fn days_before(&self, day: u16) -> u16 {
        if day > self.last_day { self.days } else { self.days.saturating_sub(1) }
    }

    fn learn(&mut self, request: &Request, day: u16) {
        if day > self.last_day || self.days == 0 {
            (self.last_day, self.days) = (day, self.days.saturating_add(1));
        }
        self.is_broad |= !add(&mut self.networks, request.network, NETWORKS_MAX) || !add(&mut self.routes, request.route, ROUTES_MAX);
        self.roams |= !add(&mut self.subnets, request.subnet, SUBNETS_MAX);
        for print in [request.name, request.ja4].into_iter().filter(|print| *print != 0) {
            self.is_varied |= !add(&mut self.programs, print, PROGRAMS_MAX);
        }
    }

    /// Is neither the program's name nor its TLS client usual?
    fn is_other_program(&self, request: &Request) -> bool {
        let prints = || [request.name, request.ja4].into_iter().filter(|print| *print != 0);
        !self.is_varied && !self.programs.is_empty() && prints().next().is_some() && prints().all(|print| !has(&self.programs, print))
    }

    /// Looks at a request: one from a place and on routes that it never used, or why it is none.
    pub fn observe(&mut self, event: &Event<'_>, refused: bool, names: &mut Memo<u32>, config: &Config) -> Result<Strayed, &'static str> {
        let Some(request) = Request::of(event, names) else { return Err("no_route") };
        let day = day_of(event.time_ms());
        self.last_ms = self.last_ms.max(event.time_ms());
        if self.is_broad {
            return Err("broad");
        }
        let (days, other_program) = (self.days_before(day), self.is_other_program(&request));
        let same_network = has(&self.networks, request.network);
        let is_known = same_network && (!other_program || self.roams || has(&self.subnets, request.subnet));
        let days_min = config.service_days_min.saturating_sub(i64::from(other_program)).max(1);
        if is_known || i64::from(days) < days_min {
            if !refused {
                self.learn(&request, day);
            }
            return Err(if is_known { "usual_network" } else { "too_young" });
        }
        let is_usual = has(&self.routes, request.route);
        let (known_routes, known_networks) = (self.routes.len(), self.networks.len());
        let guest = self.guest(if same_network { request.subnet } else { request.network }, event);
        if is_usual {
            guest.usual = guest.usual.saturating_add(1);
            if !refused && (guest.usual_days == 0 || day > guest.usual_day) {
                (guest.usual_days, guest.usual_day) = (guest.usual_days.saturating_add(1), day);
            }
            if guest.usual_days > 1 && guest.told <= Level::Excused {
                let place = guest.place;
                self.guests.retain(|guest| guest.place != place);
                self.learn(&request, day);
            }
            return Err("usual_routes");
        }
        add(&mut guest.routes, request.route, GUEST_ROUTES_MAX);
        guest.odd = guest.odd.saturating_add(1);
        guest.granted = guest.granted.saturating_add(u16::from(!refused));
        if (guest.routes.len() as i64) < config.service_routes_min {
            return Err("below_limit");
        }
        let goes_on = guest.usual_days > 0 && !(other_program && guest.odd > guest.usual);
        let (got_in, refusals) = (guest.granted > 0, guest.odd.saturating_sub(guest.granted));
        let level = match (goes_on, got_in) {
            (true, _) => Level::Excused,
            (false, false) => Level::Refused,
            (false, true) if refusals < REFUSALS_MIN => Level::Used,
            (false, true) => Level::Probing,
        };
        if guest.told >= level {
            return Err("told");
        }
        guest.told = level;
        Ok(Strayed {
            usual: level == Level::Excused,
            other_program,
            same_network,
            got_in,
            refusals,
            routes: guest.routes.len(),
            known_routes,
            known_networks,
            days,
            first_ms: guest.first_ms,
            event: guest.event.to_string(),
            ip: guest.ip,
        })
    }

    fn guest(&mut self, place: u32, event: &Event<'_>) -> &mut Guest {
        let known = self.guests.iter().position(|guest| guest.place == place);
        let position = known.unwrap_or_else(|| {
            if self.guests.len() >= GUESTS_MAX {
                self.guests.remove(0);
            } else {
                self.guests.reserve_exact(1);
            }
            self.guests.push(Guest {
                place,
                first_ms: event.time_ms(),
                event: event.id().into(),
                ip: event.ip(),
                routes: Vec::new(),
                odd: 0,
                usual: 0,
                usual_days: 0,
                usual_day: 0,
                granted: 0,
                told: Level::Nothing,
            });
            self.guests.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found, or pushed in the lines above")]
        &mut self.guests[position]
    }
}

fn has(list: &[u32], value: u32) -> bool {
    list.binary_search(&value).is_ok()
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

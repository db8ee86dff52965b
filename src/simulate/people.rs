//! Ordinary people, offices and service accounts: who they are, and where they are when.

use super::atlas::Class;
use super::clients::{Client, Family};
use super::dice::mix;
use super::stage::Stage;
use super::tenants::TENANTS;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use std::net::IpAddr;

/// Addresses behind which a carrier puts all phones of a town.
const GATEWAYS: i64 = 12;

/// A session and the refresh token that is current in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    /// Number of the current refresh token.
    pub(crate) refresh: u64,
    /// Number of the one before; 0 if there was none.
    pub(crate) previous: u64,
    pub(crate) opened_ms: i64,
    pub(crate) refreshed_ms: i64,
}

/// A journey to another town and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trip {
    pub(crate) town: u16,
    pub(crate) depart_ms: i64,
    pub(crate) arrive_ms: i64,
    pub(crate) leave_ms: i64,
    pub(crate) back_ms: i64,
    pub(crate) hotel: IpAddr,
    /// Does the phone get a local card, or roam by way of its home carrier?
    pub(crate) local_card: bool,
    /// What the labels of its visits call it.
    pub(crate) kind: &'static str,
}

/// Where somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Home,
    Office,
    Out,
    Underway,
    Away(u16),
}

/// One person.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) tenant: u8,
    pub(crate) number: u32,
    pub(crate) town: u16,
    pub(crate) home: u16,
    pub(crate) home_v6: Option<u16>,
    /// The one address of the house, where many live behind it.
    pub(crate) shared_home: Option<IpAddr>,
    pub(crate) carrier: Option<u16>,
    pub(crate) carrier_v6: Option<u16>,
    pub(crate) office: Option<u16>,
    pub(crate) laptop: Client,
    pub(crate) phone: Client,
    pub(crate) laptop_session: Option<Session>,
    pub(crate) phone_session: Option<Session>,
    pub(crate) vpn: Option<u16>,
    pub(crate) relay: Option<u16>,
    pub(crate) mfa: bool,
    /// How often they come, in halves of the average.
    pub(crate) half_visits: u8,
    /// Uses private windows: signs in at each visit.
    pub(crate) forgets: bool,
    /// Sign-ins so far.
    pub(crate) sign_ins: u32,
    /// First visit that the log has; `i64::MAX` before.
    pub(crate) first_seen_ms: i64,
    /// Days (UTC) with a visit, and the last of them.
    pub(crate) active_days: u16,
    pub(crate) last_active_day: i64,
    /// Where the latest journey went.
    pub(crate) been_in: Option<u16>,
    pub(crate) trip: Option<Trip>,
    pub(crate) next_trip_ms: i64,
    pub(crate) new_phone_ms: i64,
    pub(crate) new_password_ms: i64,
    /// Until when everything about this person is planned already.
    pub(crate) busy_until_ms: i64,
    pub(crate) attacked_ms: i64,
    /// Does not act by itself (kept for attacks on people who have been idle for long).
    pub(crate) dormant: bool,
    /// From then on the person does not come any more; `i64::MAX` for nearly all.
    pub(crate) stops_ms: i64,
}

/// An office: many people behind one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Office {
    pub(crate) tenant: u8,
    pub(crate) town: u16,
    pub(crate) ip: IpAddr,
}

/// A service account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) tenant: u8,
    pub(crate) number: u16,
    pub(crate) ip: IpAddr,
    pub(crate) client: Client,
    pub(crate) session: u64,
    pub(crate) token: u64,
    pub(crate) issued_ms: i64,
}

impl Person {
    /// Where the person is at a time.
    pub(crate) fn spot(&self, stage: &mut Stage, time_ms: i64) -> Spot {
        if let Some(trip) = &self.trip {
            if time_ms >= trip.depart_ms && time_ms < trip.arrive_ms || time_ms >= trip.leave_ms && time_ms < trip.back_ms {
                return Spot::Underway;
            }
            if time_ms >= trip.arrive_ms && time_ms < trip.leave_ms {
                return Spot::Away(trip.town);
            }
        }
        let clock = stage.atlas.clock(self.town, time_ms);
        let works_here = self.office.is_some() && clock.is_workday() && mix(clock.day as u64 ^ u64::from(self.number)) % 10 < 7;
        match clock.hour {
            9..=17 if works_here => Spot::Office,
            8 | 18 if works_here => Spot::Out,
            10..=21 if stage.dice.chance(0.2) => Spot::Out,
            _ => Spot::Home,
        }
    }

    /// The session of one of the two devices.
    pub(crate) fn session(&mut self, on_phone: bool) -> &mut Option<Session> {
        if on_phone { &mut self.phone_session } else { &mut self.laptop_session }
    }

    pub(crate) fn client(&self, on_phone: bool) -> Client {
        if on_phone { self.phone } else { self.laptop }
    }

    /// A visit leaves its trace in the log.
    pub(crate) fn was_seen(&mut self, time_ms: i64) {
        let day = time_ms.div_euclid(DAY_MS);
        self.first_seen_ms = self.first_seen_ms.min(time_ms);
        self.active_days = self.active_days.saturating_add(u16::from(day > self.last_active_day));
        self.last_active_day = self.last_active_day.max(day);
    }

    /// The fixed-line address; it changes every few weeks.
    pub(crate) fn home_ip(&self, stage: &mut Stage, time_ms: i64) -> IpAddr {
        if let Some(shared) = self.shared_home {
            return shared;
        }
        let lease = time_ms.div_euclid(DAY_MS) as u64 / 45;
        let number = mix(u64::from(self.number) << 20 ^ u64::from(self.tenant) << 52 ^ lease);
        match self.home_v6 {
            Some(v6) if stage.dice.chance(0.5) => stage.atlas.address(v6, (number << 8) | (time_ms.div_euclid(DAY_MS) as u64 & 0xff)),
            _ => stage.atlas.address(self.home, number),
        }
    }

    /// The phone's address: one of the carrier's few gateways in town.
    pub(crate) fn carrier_ip(&self, stage: &mut Stage) -> Option<IpAddr> {
        let carrier = self.carrier?;
        if let Some(v6) = self.carrier_v6
            && stage.dice.chance(0.5)
        {
            let attachment = stage.dice.bits();
            return Some(stage.atlas.address(v6, attachment));
        }
        let gateway = stage.dice.between(0, GATEWAYS - 1) as u64;
        Some(stage.atlas.address(carrier, gateway))
    }

    /// A gateway of the same carrier in another town of the country: the phone has not moved.
    pub(crate) fn far_gateway_ip(&self, stage: &mut Stage) -> Option<IpAddr> {
        let network = stage.atlas.elsewhere(&mut stage.dice, self.carrier?)?;
        let gateway = stage.dice.between(0, GATEWAYS - 1) as u64;
        Some(stage.atlas.address(network, gateway))
    }
}

/// Makes `count` people and the offices and services around them; nobody has a session yet.
pub(crate) fn populate(stage: &mut Stage, count: usize, start_ms: i64) {
    stage.population = count;
    make_offices(stage, count);
    for index in 0..count {
        let tenant = (index % TENANTS.len()) as u8;
        let part = stage.tenant(tenant).office;
        let office = if stage.dice.chance(part) { random_office(stage, tenant) } else { None };
        let town = match office.and_then(|o| stage.offices.get(usize::from(o))) {
            Some(office) => office.town,
            None => home_town(stage, tenant),
        };
        let person = make_person(stage, tenant, (index / TENANTS.len()) as u32, town, office, start_ms);
        stage.people.push(person);
    }
    for number in 0..(count / 50).clamp(4, 200) {
        let tenant = (number % TENANTS.len()) as u8;
        let Some(network) = stage.atlas.anywhere(&mut stage.dice, Class::Hosting) else { continue };
        let ip = stage.atlas.address(network, number as u64);
        let client = Client { family: Family::Backend, device: 0, update_lag_days: 0 };
        stage.services.push(Service { tenant, number: number as u16, ip, client, session: 0, token: 0, issued_ms: 0 });
    }
}

fn make_offices(stage: &mut Stage, people: usize) {
    for index in 0..(people / 40).clamp(4, 400) {
        let tenant = (index % TENANTS.len()) as u8;
        let town = home_town(stage, tenant);
        let Some(network) = stage.atlas.pick(&mut stage.dice, town, Class::Residential, false) else { continue };
        let ip = stage.atlas.address(network, mix(index as u64) | 1 << 40);
        stage.offices.push(Office { tenant, town, ip });
    }
}

/// A town where people of a tenant live.
pub(crate) fn home_town(stage: &mut Stage, tenant: u8) -> u16 {
    let countries = stage.tenant(tenant).countries;
    let country = countries.get(stage.dice.index(countries.len())).copied();
    let towns: Vec<u16> = country.map(|c| stage.atlas.towns_in(c).collect()).unwrap_or_default();
    match towns.get(stage.dice.index(towns.len())) {
        Some(town) => *town,
        None => stage.atlas.any_town(&mut stage.dice),
    }
}

/// Somebody of a tenant who comes after the beginning; their number is nobody else's.
pub(crate) fn newcomer(stage: &mut Stage, tenant: u8, town: u16, office: Option<u16>, now_ms: i64) -> Person {
    let number = stage.people.len() as u32;
    let person = make_person(stage, tenant, number, town, office, now_ms);
    Person { next_trip_ms: now_ms + 60 * DAY_MS, new_phone_ms: now_ms + 500 * DAY_MS, new_password_ms: now_ms + 200 * DAY_MS, ..person }
}

/// The lines of somebody at home, and the phone's.
#[derive(Clone, Copy, Debug)]
struct Lines {
    home: u16,
    home_v6: Option<u16>,
    carrier: Option<u16>,
    carrier_v6: Option<u16>,
}

impl Lines {
    fn in_town(stage: &mut Stage, town: u16) -> Self {
        let satellite = if stage.dice.chance(0.01) { stage.atlas.pick(&mut stage.dice, town, Class::Satellite, false) } else { None };
        let home = satellite.or_else(|| stage.atlas.pick(&mut stage.dice, town, Class::Residential, false)).unwrap_or(0);
        let home_v6 = if stage.dice.chance(0.4) { stage.atlas.v6_of(home) } else { None };
        let carrier = stage.atlas.pick(&mut stage.dice, town, Class::Mobile, false);
        let carrier_v6 = if stage.dice.chance(0.4) { carrier.and_then(|c| stage.atlas.v6_of(c)) } else { None };
        Self { home, home_v6, carrier, carrier_v6 }
    }
}

impl Person {
    /// Lives in a town from now on, with new lines.
    pub(crate) fn moves_to(&mut self, stage: &mut Stage, town: u16) {
        let Lines { home, home_v6, carrier, carrier_v6 } = Lines::in_town(stage, town);
        *self = Self { town, home, home_v6, carrier, carrier_v6, shared_home: None, ..*self };
    }
}

fn make_person(stage: &mut Stage, tenant: u8, number: u32, town: u16, office: Option<u16>, start_ms: i64) -> Person {
    let Lines { home, home_v6, carrier, carrier_v6 } = Lines::in_town(stage, town);
    let laptop = make_laptop(stage);
    let phone = make_phone(stage);
    let vpn = if stage.dice.chance(0.06) { stage.atlas.anywhere(&mut stage.dice, Class::Vpn) } else { None };
    let has_relay = phone.family == Family::AppIphone && stage.dice.chance(0.15);
    let relay = if has_relay { stage.atlas.anywhere(&mut stage.dice, Class::Relay) } else { None };
    let part = stage.tenant(tenant).mfa;
    let mfa = stage.dice.chance(part);
    Person {
        tenant,
        number,
        town,
        home,
        home_v6,
        shared_home: None,
        carrier,
        carrier_v6,
        office,
        laptop,
        phone,
        laptop_session: None,
        phone_session: None,
        vpn,
        relay,
        mfa,
        half_visits: stage.dice.of(&[1, 2, 2, 3]),
        forgets: stage.dice.chance(0.05),
        sign_ins: 0,
        first_seen_ms: i64::MAX,
        active_days: 0,
        last_active_day: i64::MIN,
        been_in: None,
        trip: None,
        next_trip_ms: start_ms + stage.dice.between(DAY_MS, 45 * DAY_MS),
        new_phone_ms: start_ms + stage.dice.between(0, 500 * DAY_MS),
        new_password_ms: start_ms + stage.dice.between(0, 200 * DAY_MS),
        busy_until_ms: start_ms,
        attacked_ms: i64::MIN / 2,
        dormant: false,
        stops_ms: i64::MAX,
    }
}

fn random_office(stage: &mut Stage, tenant: u8) -> Option<u16> {
    let count = stage.offices.iter().filter(|o| o.tenant == tenant).count();
    let chosen = stage.dice.index(count);
    stage.offices.iter().enumerate().filter(|(_, o)| o.tenant == tenant).nth(chosen).map(|(i, _)| i as u16)
}

/// A browser nobody has seen.
pub(crate) fn make_laptop(stage: &mut Stage) -> Client {
    let family = stage.dice.of(&[
        Family::ChromeWindows,
        Family::ChromeWindows,
        Family::ChromeWindows,
        Family::ChromeMac,
        Family::Edge,
        Family::Firefox,
        Family::SafariMac,
    ]);
    Client { family, device: stage.number(), update_lag_days: stage.dice.between(0, 30) as u8 }
}

/// A phone nobody has seen.
pub(crate) fn make_phone(stage: &mut Stage) -> Client {
    let family = stage.dice.of(&[Family::AppIphone, Family::AppAndroid]);
    Client { family, device: stage.number(), update_lag_days: stage.dice.between(0, 40) as u8 }
}

/// Plans the next journey of somebody who is free from `from_ms` on.
pub(crate) fn plan_trip(stage: &mut Stage, person: &Person, from_ms: i64) -> Option<Trip> {
    let near = stage.dice.chance(0.6);
    let town = (0..32).map(|_| stage.atlas.any_town(&mut stage.dice)).find(|t| {
        let km = stage.atlas.distance_km(person.town, *t);
        if near { km > 100.0 && km < 2_500.0 } else { km >= 2_500.0 }
    })?;
    let depart_ms = from_ms + stage.dice.between(10 * MINUTE_MS, 6 * HOUR_MS);
    let stay_ms = stage.dice.between(DAY_MS, 6 * DAY_MS);
    let hotel = hotel(stage, town)?;
    Some(trip_to(stage, person, Stay { town, hotel, stay_ms, kind: "journey" }, depart_ms))
}

/// The address of a hotel in a town.
pub(crate) fn hotel(stage: &mut Stage, town: u16) -> Option<IpAddr> {
    let network = stage.atlas.pick(&mut stage.dice, town, Class::Residential, false)?;
    let hotel = stage.dice.between(0, 60) as u64;
    Some(stage.atlas.address(network, hotel | 1 << 41))
}

/// Where a journey goes, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    pub(crate) town: u16,
    pub(crate) hotel: IpAddr,
    pub(crate) stay_ms: i64,
    pub(crate) kind: &'static str,
}

/// A journey that begins at `depart_ms`.
pub(crate) fn trip_to(stage: &mut Stage, person: &Person, stay: Stay, depart_ms: i64) -> Trip {
    let journey_ms = stage.atlas.journey_ms(person.town, stay.town);
    let arrive_ms = depart_ms + journey_ms;
    let leave_ms = arrive_ms + stay.stay_ms;
    let local_card = stage.dice.chance(0.4);
    let Stay { town, hotel, kind, .. } = stay;
    Trip { town, depart_ms, arrive_ms, leave_ms, back_ms: leave_ms + journey_ms, hotel, local_card, kind }
}

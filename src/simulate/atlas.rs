//! Towns, and real networks in them.
//!
//! Addresses are taken from prefixes that home providers, mobile carriers, hosters, VPN providers,
//! relays and satellite operators really announce, and that the free place files locate in the named
//! town (checked when the tables were made, against DB-IP's city files of November 2026), so that
//! simulated traffic goes through the same look-ups as real traffic. The tables are compiled in: a
//! simulation needs no place files.
//!
//! Deliberately absent: reserved documentation prefixes (no place file locates them), and any claim
//! that these addresses did anything.

use super::dice::{Dice, mix};
use bartizan_core::event::Place;
use bartizan_core::geo::distance_km;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TOWNS: &str = include_str!("towns.csv");
const NETWORKS: &str = include_str!("networks.csv");

/// Speed of an airliner from gate to gate, km/h.
const FLIGHT_KMH: f64 = 830.0;
/// Way to the airport, checks, boarding, way into town.
const FLIGHT_OVERHEAD_MIN: i64 = 210;

/// What kind of network it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Residential,
    Mobile,
    Hosting,
    Vpn,
    Relay,
    Satellite,
}

impl Class {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "residential" => Self::Residential,
            "mobile" => Self::Mobile,
            "hosting" => Self::Hosting,
            "vpn" => Self::Vpn,
            "relay" => Self::Relay,
            "satellite" => Self::Satellite,
            _ => return None,
        })
    }
}

/// A town where people live.
#[derive(Clone, Debug)]
pub(crate) struct Town {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) utc_offset_ms: i64,
    networks: Vec<u16>,
}

/// What the clock on the wall says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Days since 1970-01-01.
    pub(crate) day: i64,
    pub(crate) hour: i64,
}

impl Clock {
    /// Monday to Friday.
    pub(crate) fn is_workday(self) -> bool {
        // 1970-01-01 was a Thursday: 0 is Monday.
        (self.day + 3).rem_euclid(7) < 5
    }
}

/// A prefix that one operator announces in one town.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) town: u16,
    pub(crate) class: Class,
    pub(crate) asn: u32,
    pub(crate) prefix: IpNet,
}

/// All towns and networks.
#[derive(Clone, Debug)]
pub(crate) struct Atlas {
    towns: Vec<Town>,
    networks: Vec<Network>,
}

impl Atlas {
    /// Reads the compiled-in tables. A line that does not parse is left out; a test holds that none is.
    pub(crate) fn new() -> Self {
        let mut towns: Vec<Town> = TOWNS.lines().skip(1).filter_map(parse_town).collect();
        let mut networks = Vec::new();
        for (town, class, asn, prefix) in NETWORKS.lines().skip(1).filter_map(parse_network) {
            let Some(index) = towns.iter().position(|t| t.name == town) else { continue };
            if let Some(town) = towns.get_mut(index) {
                town.networks.push(networks.len() as u16);
            }
            networks.push(Network { town: index as u16, class, asn, prefix });
        }
        Self { towns, networks }
    }

    pub(crate) fn town(&self, index: u16) -> Option<&Town> {
        self.towns.get(usize::from(index))
    }

    /// Local time in a town.
    pub(crate) fn clock(&self, town: u16, time_ms: i64) -> Clock {
        let local_ms = time_ms + self.town(town).map_or(0, |t| t.utc_offset_ms);
        Clock { day: local_ms.div_euclid(DAY_MS), hour: local_ms.rem_euclid(DAY_MS) / HOUR_MS }
    }

    pub(crate) fn network(&self, index: u16) -> Option<&Network> {
        self.networks.get(usize::from(index))
    }

    /// Towns of one country.
    pub(crate) fn towns_in(&self, country: [u8; 2]) -> impl Iterator<Item = u16> {
        self.towns.iter().enumerate().filter(move |(_, t)| t.place.country == country).map(|(i, _)| i as u16)
    }

    /// Any town.
    pub(crate) fn any_town(&self, dice: &mut Dice) -> u16 {
        dice.index(self.towns.len()) as u16
    }

    /// A network of a class in a town, IPv4 if `v6` is false.
    pub(crate) fn pick(&self, dice: &mut Dice, town: u16, class: Class, v6: bool) -> Option<u16> {
        let fits = |n: &&u16| self.network(**n).is_some_and(|n| n.class == class && is_v6(&n.prefix) == v6);
        let networks = &self.town(town)?.networks;
        let count = networks.iter().filter(fits).count();
        networks.iter().filter(fits).nth(dice.index(count)).copied()
    }

    /// The IPv6 network of the operator behind an IPv4 network, in the same town.
    pub(crate) fn v6_of(&self, network: u16) -> Option<u16> {
        let v4 = self.network(network)?;
        self.networks.iter().position(|n| n.town == v4.town && n.asn == v4.asn && n.class == v4.class && is_v6(&n.prefix)).map(|i| i as u16)
    }

    /// The networks of the same carrier in other towns of the country.
    pub(crate) fn elsewhere(&self, dice: &mut Dice, network: u16) -> Option<u16> {
        let home = self.network(network)?;
        let country = self.town(home.town)?.place.country;
        let fits = |(_, n): &(usize, &Network)| {
            n.asn == home.asn
                && n.class == home.class
                && n.town != home.town
                && !is_v6(&n.prefix)
                && self.town(n.town).is_some_and(|t| t.place.country == country)
        };
        let count = self.networks.iter().enumerate().filter(fits).count();
        self.networks.iter().enumerate().filter(fits).nth(dice.index(count)).map(|(i, _)| i as u16)
    }

    /// A network of a class anywhere in the world (IPv4).
    pub(crate) fn anywhere(&self, dice: &mut Dice, class: Class) -> Option<u16> {
        (0..64).find_map(|_| {
            let town = self.any_town(dice);
            self.pick(dice, town, class, false)
        })
    }

    /// An address in a network: the same number gives the same address.
    pub(crate) fn address(&self, network: u16, number: u64) -> IpAddr {
        match self.network(network).map(|n| n.prefix) {
            Some(IpNet::V4(prefix)) => {
                let size = 1_u64 << (32 - prefix.prefix_len());
                let host = mix(number) % size;
                // Neither the network's nor the broadcast address of a /24.
                let host = (host & !0xff) | (host & 0xff).clamp(2, 250);
                IpAddr::V4(Ipv4Addr::from(u32::from(prefix.network()) | host as u32))
            }
            Some(IpNet::V6(prefix)) => {
                // One /64 for a number; the interface identifier changes as privacy addresses do.
                let subnets = 64_u32.saturating_sub(u32::from(prefix.prefix_len()));
                let subnet = u128::from(mix(number >> 8)) & ((1_u128 << subnets) - 1);
                let interface = u128::from(mix(number ^ 0x5bd1_e995));
                IpAddr::V6(Ipv6Addr::from(u128::from(prefix.network()) | (subnet << 64) | interface))
            }
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Kilometres between two towns.
    pub(crate) fn distance_km(&self, a: u16, b: u16) -> f64 {
        match (self.town(a), self.town(b)) {
            (Some(a), Some(b)) => distance_km(&a.place, &b.place),
            _ => 0.0,
        }
    }

    /// Door to door between two towns, in milliseconds: by train where that is near, else by air.
    pub(crate) fn journey_ms(&self, a: u16, b: u16) -> i64 {
        let km = self.distance_km(a, b);
        let minutes = if km < 400.0 { 60 + (km / 130.0 * 60.0) as i64 } else { FLIGHT_OVERHEAD_MIN + (km / FLIGHT_KMH * 60.0) as i64 };
        minutes * bartizan_core::time::MINUTE_MS
    }
}

fn is_v6(prefix: &IpNet) -> bool {
    matches!(prefix, IpNet::V6(_))
}

fn parse_town(line: &'static str) -> Option<Town> {
    let mut cells = line.split(',');
    let name = cells.next()?;
    let country = <[u8; 2]>::try_from(cells.next()?.as_bytes()).ok()?;
    let (latitude, longitude) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
    let utc_offset_ms = cells.next()?.parse::<i64>().ok()? * bartizan_core::time::MINUTE_MS;
    Some(Town { name, place: Place { country, latitude, longitude, accuracy_km: 0 }, utc_offset_ms, networks: Vec::new() })
}

fn parse_network(line: &'static str) -> Option<(&'static str, Class, u32, IpNet)> {
    let mut cells = line.split(',');
    Some((cells.next()?, Class::parse(cells.next()?)?, cells.next()?.parse().ok()?, cells.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_used_and_every_town_has_homes() {
        let atlas = Atlas::new();
        assert_eq!(atlas.towns.len(), TOWNS.lines().count() - 1);
        assert_eq!(atlas.networks.len(), NETWORKS.lines().count() - 1);
        let mut dice = Dice::new(1);
        for town in 0..atlas.towns.len() as u16 {
            assert!(atlas.pick(&mut dice, town, Class::Residential, false).is_some(), "{}", atlas.town(town).unwrap().name);
        }
    }

    #[test]
    fn nobody_lives_in_a_network_that_is_known_as_a_carriers() {
        for network in Atlas::new().networks.iter().filter(|n| n.class == Class::Residential) {
            let class = crate::enrich::classes::of_network(network.asn, "");
            assert_ne!(class, bartizan_core::NetworkClass::Mobile, "AS{}", network.asn);
        }
    }

    #[test]
    fn addresses_lie_in_their_network() {
        let atlas = Atlas::new();
        for index in 0..atlas.networks.len() as u16 {
            for number in [0, 1, 77, u64::MAX] {
                let address = atlas.address(index, number);
                assert!(atlas.networks[usize::from(index)].prefix.contains(&address), "{address}");
            }
        }
    }

    #[test]
    fn journeys_take_the_time_that_airliners_take() {
        let atlas = Atlas::new();
        let find = |name| atlas.towns.iter().position(|t| t.name == name).unwrap() as u16;
        let hours = atlas.journey_ms(find("Berlin"), find("Tokyo")) as f64 / 3_600_000.0;
        assert!((12.0..18.0).contains(&hours), "{hours}");
    }
}

//! The class of a network: the user's lists first, then the table of well-known networks, then its name.
//!
//! How far each can be trusted: a list says it of exactly these addresses. The table
//! (`data/networks.csv`) says what most addresses of an autonomous system are; it is right about the
//! system and can be wrong about one address. A name is a weak hint, used only where a word leaves
//! little doubt ("hosting", "university"); carriers' names say little, so most stay unknown.
//!
//! Deliberately absent: guesses from reverse DNS, and reputation. Classes say what a network is, not
//! whether it is bad.

use super::files::BadLines;
use super::ranges::{Range, RangeMap};
use bartizan_core::NetworkClass;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::LazyLock;

/// The table of well-known networks, sorted by number.
static TABLE: LazyLock<Vec<(u32, NetworkClass)>> = LazyLock::new(|| {
    let mut table: Vec<_> = table_lines().filter_map(parse_table_line).collect();
    table.sort_by_key(|(number, _)| *number);
    table
});

/// The lines of the table without comments and heading.
fn table_lines() -> impl Iterator<Item = &'static str> {
    include_str!("data/networks.csv").lines().filter(|line| !line.starts_with('#')).skip(1)
}

fn parse_table_line(line: &str) -> Option<(u32, NetworkClass)> {
    let mut fields = line.split(',');
    Some((fields.next()?.parse().ok()?, NetworkClass::parse(fields.next()?)?))
}

/// The class of an autonomous system by the table, else by its name.
#[must_use]
pub fn of_network(number: u32, name: &str) -> NetworkClass {
    match TABLE.binary_search_by_key(&number, |(number, _)| *number) {
        Ok(index) => TABLE.get(index).map_or(NetworkClass::Unknown, |(_, class)| *class),
        Err(_) => by_name(name),
    }
}

/// Words that decide, in the order in which they are asked: the more special ones first.
const WORDS: &[(NetworkClass, &[&str])] = &[
    (NetworkClass::Vpn, &["vpn"]),
    (NetworkClass::Satellite, &["satellite", "satellites", "satcom"]),
    (
        NetworkClass::Corporate,
        &[
            "university",
            "universitaet",
            "universidad",
            "universidade",
            "universite",
            "universita",
            "college",
            "school",
            "schools",
            "hospital",
            "bank",
            "bancorp",
            "ministry",
            "ministerio",
            "government",
            "insurance",
            "academy",
        ],
    ),
    (
        NetworkClass::Hosting,
        &[
            "hosting",
            "webhosting",
            "host",
            "hosts",
            "cloud",
            "vps",
            "server",
            "servers",
            "datacenter",
            "datacentre",
            "colocation",
            "dedicated",
        ],
    ),
    (NetworkClass::Mobile, &["mobile", "cellular"]),
    (NetworkClass::Residential, &["broadband", "cable", "cablevision", "fibre", "ftth", "dsl", "catv"]),
];

/// The class that a name gives away.
fn by_name(name: &str) -> NetworkClass {
    let lower = name.to_lowercase();
    let words = || lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    WORDS.iter().find(|(_, listed)| words().any(|word| listed.contains(&word))).map_or(NetworkClass::Unknown, |(class, _)| *class)
}

/// Ranges with their class from the user's lists; the longest prefix wins, of equal ones the first given.
#[derive(Default)]
pub struct ClassLists {
    v4: RangeMap<u32>,
    v6: RangeMap<u128>,
}

impl ClassLists {
    /// The class of an address; `None` if no list has it.
    #[must_use]
    pub fn get(&self, ip: IpAddr) -> Option<NetworkClass> {
        let value = match ip {
            IpAddr::V4(ip) => self.v4.get(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.get(ip.to_bits()),
        }?;
        NetworkClass::ALL.get(value as usize).copied()
    }
}

/// Collects lists before they are sorted.
pub(super) struct ClassListsBuilder {
    ranges_max: usize,
    v4: Vec<Range<u32>>,
    v6: Vec<Range<u128>>,
}

impl ClassListsBuilder {
    /// Takes at most `ranges_max` ranges of all lists together.
    pub const fn new(ranges_max: usize) -> Self {
        Self { ranges_max, v4: Vec::new(), v6: Vec::new() }
    }

    /// Adds the ranges of one file: the first field of each line (fields end at a blank, comma or
    /// semicolon, so lists with further columns, as Apple's egress ranges, work as they are).
    /// Returns how many were used and which lines were not.
    pub fn add(&mut self, content: &[u8], class: NetworkClass) -> (usize, BadLines) {
        let (mut used, mut bad) = (0, BadLines::default());
        for (line, number) in content.split(|byte| *byte == b'\n').zip(1..) {
            let text = std::str::from_utf8(line).unwrap_or("?");
            let text = text.split('#').next().unwrap_or("").trim_start_matches('\u{feff}').trim();
            if text.is_empty() {
                continue;
            }
            let first = text.split([' ', '\t', ',', ';']).next().unwrap_or("");
            match parse_range(first).filter(|_| self.v4.len() + self.v6.len() < self.ranges_max) {
                Some(range) => {
                    self.push(range, class);
                    used += 1;
                }
                None => bad.add(number),
            }
        }
        (used, bad)
    }

    fn push(&mut self, range: IpNet, class: NetworkClass) {
        let value = class as u32;
        match range {
            IpNet::V4(net) => self.v4.push(Range { start: net.network().to_bits(), end: net.broadcast().to_bits(), value }),
            IpNet::V6(net) => self.v6.push(Range { start: net.network().to_bits(), end: net.broadcast().to_bits(), value }),
        }
    }

    pub fn build(self) -> ClassLists {
        ClassLists { v4: RangeMap::build(self.v4), v6: RangeMap::build(self.v6) }
    }
}

/// A range in CIDR notation, or one address; IPv4-mapped addresses as IPv4.
fn parse_range(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(|ip| IpNet::from(ip.to_canonical())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_sound_and_no_number_stands_twice() {
        let mut last = 0;
        for line in table_lines() {
            let (number, class) = parse_table_line(line).unwrap_or_else(|| panic!("{line}"));
            assert!(number > last, "sorted and unique: {line}");
            assert_ne!(class, NetworkClass::Unknown, "{line}");
            assert!(line.split(',').count() >= 5, "{line}");
            last = number;
        }
        assert!(TABLE.len() > 500);
        assert_eq!(of_network(14593, ""), NetworkClass::Satellite);
        assert_eq!(of_network(14061, "whatever university"), NetworkClass::Hosting);
    }

    #[test]
    fn names_decide_only_by_whole_words() {
        let cases = [
            ("Example Hosting GmbH", NetworkClass::Hosting),
            ("University of Nowhere", NetworkClass::Corporate),
            ("Univ-Cloud University", NetworkClass::Corporate),
            ("Cloudy Networks", NetworkClass::Unknown),
            ("Acme Mobile Ltd", NetworkClass::Mobile),
            ("Automobile Club", NetworkClass::Unknown),
            ("SatCom Direct", NetworkClass::Satellite),
            ("", NetworkClass::Unknown),
        ];
        for (name, class) in cases {
            assert_eq!(of_network(4_200_000_000, name), class, "{name}");
        }
    }

    #[test]
    fn the_longest_prefix_wins_over_all_lists() {
        let mut lists = ClassListsBuilder::new(100);
        let (used, bad) =
            lists.add(b"# offices\n10.0.0.0/8\n10.1.2.3 # the gateway\n\n2001:db8::/32,DE,Berlin\r\n", NetworkClass::Corporate);
        assert_eq!((used, bad), (3, BadLines::default()));
        let (used, bad) = lists.add(b"10.1.0.0/16\n10.1.2.3\nnonsense\n10.0.0.0/33\n\xff\n", NetworkClass::Vpn);
        assert_eq!((used, bad), (2, BadLines { count: 3, first: 3 }));
        let lists = lists.build();
        let class = |ip: &str| lists.get(ip.parse().unwrap());
        assert_eq!(class("10.1.9.9"), Some(NetworkClass::Vpn));
        assert_eq!(class("10.1.2.3"), Some(NetworkClass::Corporate), "the list named first wins between equals");
        assert_eq!(class("10.2.0.1"), Some(NetworkClass::Corporate));
        assert_eq!(class("2001:db8::5"), Some(NetworkClass::Corporate));
        assert_eq!(class("11.0.0.1"), None);
    }
}

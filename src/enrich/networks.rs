//! Which autonomous system announces an address: from CSV of ranges or from a MaxMind ASN file.
//!
//! A CSV line is `start,end,number,name`, both addresses inclusive, IPv4 or IPv6, as the package
//! `@ip-location-db/asn` has it; half a million lines become two sorted arrays and one list of names.
//! Lines that make no sense are left out and counted.

use super::city::{look_up, open_reader};
use super::classes;
use super::files::{BadLines, clean};
use super::ranges::{Range, RangeMap};
use bartizan_core::NetworkClass;
use hashbrown::HashMap;
use maxminddb::Reader;
use serde::Deserialize;
use std::borrow::Cow;
use std::net::IpAddr;

/// Bytes of a network's name that are kept.
const NAME_BYTES_MAX: usize = 128;

/// What is known of the network of an address.
#[derive(Debug, PartialEq)]
pub struct Network<'a> {
    /// Number of the autonomous system.
    pub number: u32,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its class by number or name.
    pub class: NetworkClass,
}

/// An open network file.
pub enum NetworkFile {
    /// From CSV.
    Table(NetworkTable),
    /// MaxMind's ASN layout: `autonomous_system_number`, `autonomous_system_organization`.
    MaxMind(Reader<Vec<u8>>),
}

#[derive(Deserialize)]
struct AsnRecord<'a> {
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<&'a str>,
}

impl NetworkFile {
    /// Opens a MaxMind ASN file.
    ///
    /// # Errors
    /// If it is not a sound MaxMind DB file with numbers of autonomous systems.
    pub fn open_mmdb(content: Vec<u8>) -> Result<Self, String> {
        let reader = open_reader(content)?;
        let first = reader.networks(maxminddb::WithinOptions::default()).ok().and_then(|mut all| all.next());
        let record = first.and_then(Result::ok).and_then(|found| found.decode::<AsnRecord<'_>>().ok().flatten());
        if record.is_none_or(|record| record.autonomous_system_number.is_none()) {
            return Err(format!("holds no autonomous systems (it calls itself {:?})", reader.metadata().database_type));
        }
        Ok(Self::MaxMind(reader))
    }

    /// What the file says of the address; `None` if it does not know it.
    ///
    /// # Errors
    /// If the file is damaged there.
    pub fn get(&self, ip: IpAddr) -> Result<Option<Network<'_>>, maxminddb::MaxMindDbError> {
        match self {
            Self::Table(table) => Ok(table.get(ip)),
            Self::MaxMind(reader) => {
                let Some(found) = look_up(reader, ip)? else { return Ok(None) };
                let record = found.decode::<AsnRecord<'_>>()?;
                Ok(record.and_then(|record| {
                    let number = record.autonomous_system_number?;
                    let name = clean(record.autonomous_system_organization.unwrap_or(""), NAME_BYTES_MAX);
                    let class = classes::of_network(number, &name);
                    Some(Network { number, name, class })
                }))
            }
        }
    }
}

/// Ranges of a CSV file, ready to be searched.
#[derive(Default)]
pub struct NetworkTable {
    v4: RangeMap<u32>,
    v6: RangeMap<u128>,
    networks: Vec<(u32, Box<str>, NetworkClass)>,
}

impl NetworkTable {
    /// Reads CSV of at most `ranges_max` ranges. Returns the table and the lines that could not be used.
    pub(super) fn parse(content: &[u8], ranges_max: usize) -> (Self, BadLines) {
        let mut building = Building { ranges_max, ..Building::default() };
        let mut bad = BadLines::default();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(content);
        let mut record = csv::ByteRecord::new();
        // Reading from memory does not fail, and any length of record is allowed.
        while reader.read_byte_record(&mut record).unwrap_or(false) {
            let line = record.position().map_or(0, csv::Position::line);
            // A heading is no damage.
            if building.add(&record).is_none() && line != 1 {
                bad.add(line);
            }
        }
        (building.finish(), bad)
    }

    /// How many ranges it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The network of an address.
    #[must_use]
    pub fn get(&self, ip: IpAddr) -> Option<Network<'_>> {
        let index = match ip {
            IpAddr::V4(ip) => self.v4.get(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.get(ip.to_bits()),
        }?;
        let (number, name, class) = self.networks.get(index as usize)?;
        Some(Network { number: *number, name: Cow::Borrowed(name), class: *class })
    }
}

#[derive(Default)]
struct Building {
    ranges_max: usize,
    v4: Vec<Range<u32>>,
    v6: Vec<Range<u128>>,
    networks: Vec<(u32, Box<str>, NetworkClass)>,
    index: HashMap<u32, u32, foldhash::fast::RandomState>,
}

impl Building {
    /// Adds a line; `None` if it makes no sense.
    fn add(&mut self, record: &csv::ByteRecord) -> Option<()> {
        let field = |index: usize| record.get(index).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim);
        let (start, end): (IpAddr, IpAddr) = (field(0)?.parse().ok()?, field(1)?.parse().ok()?);
        let number: u32 = field(2)?.trim_start_matches("AS").parse().ok()?;
        if start > end || self.v4.len() + self.v6.len() >= self.ranges_max {
            return None;
        }
        match (start, end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => {
                let value = self.network(number, field(3).unwrap_or(""));
                self.v4.push(Range { start: start.to_bits(), end: end.to_bits(), value });
            }
            (IpAddr::V6(start), IpAddr::V6(end)) => {
                let value = self.network(number, field(3).unwrap_or(""));
                self.v6.push(Range { start: start.to_bits(), end: end.to_bits(), value });
            }
            _ => return None,
        }
        Some(())
    }

    /// The index of a network; its first name is kept.
    fn network(&mut self, number: u32, name: &str) -> u32 {
        *self.index.entry(number).or_insert_with(|| {
            let name = clean(name, NAME_BYTES_MAX);
            let class = classes::of_network(number, &name);
            self.networks.push((number, name.into(), class));
            (self.networks.len() - 1) as u32
        })
    }

    fn finish(self) -> NetworkTable {
        NetworkTable { v4: RangeMap::build(self.v4), v6: RangeMap::build(self.v6), networks: self.networks }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::test_mmdb;
    use super::*;

    const CSV: &str = "start,end,number,name\n\
        192.0.2.0,192.0.2.255,64500,\"Example, Inc.\"\n\
        203.0.113.0,203.0.113.127,AS14061,\"DigitalOcean, LLC\"\n\
        2001:db8::,2001:db8::ffff,64501,University of Examples\n";

    fn get<'a>(table: &'a NetworkTable, ip: &str) -> Option<Network<'a>> {
        table.get(ip.parse().unwrap())
    }

    #[test]
    fn ranges_are_found_up_to_their_last_address() {
        let (table, bad) = NetworkTable::parse(CSV.as_bytes(), 3);
        assert_eq!((table.len(), bad), (3, BadLines::default()));
        let one = get(&table, "192.0.2.255").unwrap();
        assert_eq!((one.number, one.name.as_ref(), one.class), (64500, "Example, Inc.", NetworkClass::Unknown));
        assert_eq!(get(&table, "203.0.113.127").unwrap().class, NetworkClass::Hosting);
        assert_eq!(get(&table, "203.0.113.128"), None);
        assert_eq!(get(&table, "2001:db8::1").unwrap().class, NetworkClass::Corporate);
        assert_eq!(get(&table, "0.0.0.0"), None);
    }

    #[test]
    fn malformed_lines_are_counted_and_cost_no_other_line() {
        let text = b"192.0.2.0,192.0.2.255,64500,a\n192.0.2.9\n2001:db8::,192.0.2.1,1,x\n192.0.3.9,192.0.3.1,1,x\n\
            192.0.4.0,192.0.4.255,4294967296,x\n\xff,\xfe,1,x\n203.0.113.0,203.0.113.9,2,b\n";
        let (table, bad) = NetworkTable::parse(text, 100);
        assert_eq!((table.len(), bad), (2, BadLines { count: 5, first: 2 }));
        assert_eq!(get(&table, "203.0.113.1").unwrap().number, 2);
    }

    #[test]
    fn a_maxmind_file_answers_alike_for_both_families() {
        let file = NetworkFile::open_mmdb(test_mmdb::networks()).unwrap();
        for ip in ["203.0.113.1", "2001:db8::1"] {
            let network = file.get(ip.parse().unwrap()).unwrap().unwrap();
            assert_eq!((network.number, network.class), (14061, NetworkClass::Hosting));
        }
        assert!(NetworkFile::open_mmdb(test_mmdb::flat_v4()).is_err());
    }
}

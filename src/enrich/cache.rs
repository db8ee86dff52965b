//! What a worker remembers of addresses, so that a file is asked once and a name stands once in a batch.
//!
//! Two generations, each of half the size: when the young one is full it becomes the old one, and what
//! is asked for again comes back. So memory is bounded, an attacker's stream of fresh addresses costs
//! look-ups but nothing else, and addresses in use survive it.

use super::Places;
use bartizan_core::batch::{Field, Text};
use bartizan_core::{EventBatch, NetworkClass, Place};
use hashbrown::HashMap;
use std::net::IpAddr;

/// Members that come from place files, in the order in which a remembered entry holds them.
const FIELDS: [Field; 3] = [Field::Region, Field::City, Field::NetworkName];

/// What is remembered of one address.
pub(super) struct Known {
    pub place: Option<Place>,
    pub number: u32,
    pub class: NetworkClass,
    /// Region, city and name of the network, one after the other, with where the first two end.
    names: Box<str>,
    ends: [u16; 2],
    /// The batch in whose arena the names stand, and where.
    batch: u64,
    spans: [Text; 3],
}

impl Known {
    pub fn new(place: Option<Place>, number: u32, class: NetworkClass, names: [&str; 3]) -> Self {
        let [region, city, _] = names;
        // Names are cut to 128 bytes where they are read, so the ends fit.
        let ends = [region.len() as u16, (region.len() + city.len()) as u16];
        Self { place, number, class, names: names.concat().into(), ends, batch: 0, spans: [Text::default(); 3] }
    }

    /// The names' places in the arena of this batch; they are written there on the first call.
    fn spans(&mut self, number: u64, batch: &mut EventBatch) -> [Text; 3] {
        if self.batch != number {
            let ([first, second], names) = (self.ends.map(usize::from), batch.append_text(&self.names));
            self.spans = [0..first, first..second, second..self.names.len()].map(|at| names.part(at));
            self.batch = number;
        }
        self.spans
    }

    /// Writes what is known into the event at `index`.
    pub fn write(&mut self, number: u64, batch: &mut EventBatch, index: usize) {
        let spans = self.spans(number, batch);
        let Some(record) = batch.records_mut().get_mut(index) else { return };
        record.place = self.place;
        record.asn = self.number;
        record.network_class = self.class;
        for (field, span) in FIELDS.into_iter().zip(spans) {
            record.set_text(field, span);
        }
    }
}

/// By address as one number, IPv4 as mapped into IPv6: that is hashed in one step.
type Map = HashMap<u128, Known, foldhash::fast::RandomState>;

/// One worker's memory of addresses.
pub struct AddressCache {
    young: Map,
    old: Map,
    generation_max: usize,
    places: u64,
    batch: u64,
}

impl AddressCache {
    /// A memory of at most `addresses_max` addresses.
    #[must_use]
    pub fn new(addresses_max: usize) -> Self {
        Self { young: Map::default(), old: Map::default(), generation_max: (addresses_max / 2).max(1), places: 0, batch: 0 }
    }

    /// Addresses remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Nothing remembered?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a batch: forgets everything if the place files are others now, and returns the batch's number.
    pub(super) fn begin(&mut self, places: u64) -> u64 {
        if self.places != places {
            self.young.clear();
            self.old.clear();
            self.places = places;
        }
        self.batch += 1;
        self.batch
    }

    /// What is known of an address, from memory or from the files.
    pub(super) fn get(&mut self, ip: IpAddr, places: &Places) -> &mut Known {
        if self.young.len() >= self.generation_max {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        let old = &mut self.old;
        let key = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_else(|| places.look_up(ip)))
    }
}

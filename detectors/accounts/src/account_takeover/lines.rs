//! The lines that a person's own devices were on of late.
//!
//! A provider's name says little: whole towns share it. The address says more. All devices at home, in an office or in a
//! hotel come by one address (IPv4 behind NAT; of IPv6 the /64 is the line's), and it stays for days. So a new device on an
//! address where an own one was is at that person's place; one of the same provider on another address, while theirs
//! stands, is somewhere else. A carrier's gateways and a satellite's ground stations tell nothing of the kind: behind them
//! the operator is the line. Many providers sell lines and phones from one number, so where own phones alone were seen may
//! be a carrier, too.

use bartizan_core::client::country;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use bartizan_core::{ClientPrint, Event, NetworkClass, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Lines remembered of a person, and of one provider; beyond them the oldest goes.
const LINES_MAX: usize = 6;
const OF_PROVIDER_MAX: usize = 3;
/// How long a line is remembered.
const KEPT_MS: i64 = 3 * DAY_MS;
/// So long a home's address stands nearly everywhere; some providers give another one each day.
const STANDS_MS: i64 = 18 * HOUR_MS;
/// Use of a line is noted anew after so long.
const NOTED_MS: i64 = 5 * MINUTE_MS;

/// What a network says of where its users are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Reach {
    /// They are in one building.
    Fixed,
    /// Somewhere in the country, perhaps at home.
    Mobile,
    /// Anywhere, by a dish of their own.
    Satellite,
    /// Nothing.
    #[default]
    Hidden,
}

/// Where a client is in the net.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// [`ClientPrint::line`]: the provider, and of fixed lines the region.
    pub network: u32,
    asn: u32,
    subnet: u32,
    /// The IPv4 address, or the /64, folded.
    address: u32,
    country: u16,
    ipv6: bool,
    reach: Reach,
}

impl Line {
    pub fn of(event: &Event<'_>) -> Self {
        let print = ClientPrint::of(event);
        let reach = match event.network_class() {
            NetworkClass::Mobile => Reach::Mobile,
            NetworkClass::Satellite => Reach::Satellite,
            class if class.tells_place() => Reach::Fixed,
            _ => Reach::Hidden,
        };
        let address = event.ip().map_or(0, |ip| match ip {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => (ip.to_bits() >> 96) as u32 ^ (ip.to_bits() >> 64) as u32,
        });
        let country = event.place().map_or(0, |place| country(place.country)) as u16;
        Self { network: print.line(), asn: print.asn, subnet: print.subnet, address, country, ipv6: print.ipv6, reach }
    }

    /// Of one provider?
    fn has_provider_of(&self, other: &Self) -> bool {
        if self.asn == 0 { self.network == other.network } else { self.asn == other.asn }
    }

    /// The same line?
    pub fn is(&self, other: &Self) -> bool {
        match (self.reach, other.reach) {
            (Reach::Fixed, Reach::Fixed) => self.has_provider_of(other) && (self.ipv6, self.address) == (other.ipv6, other.address),
            (Reach::Mobile, Reach::Mobile) | (Reach::Satellite, Reach::Satellite) => self.has_provider_of(other),
            _ => false,
        }
    }

    /// May a phone be there by its carrier?
    pub fn may_be_carrier(&self) -> bool {
        matches!(self.reach, Reach::Fixed | Reach::Mobile)
    }

    /// Another line, by what its address says? Of one provider, the two families of one line look like two.
    pub fn is_elsewhere(&self, other: &Self) -> bool {
        let other_provider = self.asn != 0 && other.asn != 0 && self.asn != other.asn;
        other_provider || (self.ipv6 == other.ipv6 && self.subnet != other.subnet)
    }

    /// Is a client here certainly not beside one on that fixed line? A phone at home is often on its carrier, or behind its
    /// maker's relay.
    fn is_apart_from(&self, fixed: &Self, is_phone: bool) -> bool {
        let is_nowhere = matches!(self.reach, Reach::Satellite | Reach::Hidden);
        let may_be_beside = is_phone && (is_nowhere || self.country == fixed.country);
        self.is_elsewhere(fixed) && !may_be_beside
    }
}

/// Whose a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// An own device was on it of late.
    Own,
    /// Of a provider where own devices have another line at the time.
    Other,
    /// That cannot be told.
    Unknown,
}

/// A line and when an own device was last on it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Used {
    line: Line,
    last_ms: i64,
    by_phones_alone: bool,
}

impl Used {
    /// It may be behind a carrier, whatever the network is said to be.
    fn may_be_carrier(&self) -> bool {
        self.line.reach == Reach::Mobile || self.by_phones_alone
    }

    /// Is it one of a building, as far as one can tell?
    fn is_fixed(&self) -> bool {
        self.line.reach == Reach::Fixed && !self.by_phones_alone
    }
}

/// The lines of one person.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lines(Vec<Used>);

impl Lines {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn expires_ms(&self) -> i64 {
        self.0.iter().map(|used| used.last_ms.saturating_add(KEPT_MS)).max().unwrap_or(i64::MIN)
    }

    pub fn heap_bytes(&self) -> usize {
        heap_bytes(self.0.capacity() * size_of::<Used>())
    }

    /// Does use of this line say nothing new of where the person is?
    pub fn knows_now(&self, line: &Line, is_phone: bool, now_ms: i64) -> bool {
        let is_noted = |used: &Used| now_ms.saturating_sub(used.last_ms) < NOTED_MS && (is_phone || !used.by_phones_alone);
        line.reach == Reach::Hidden || self.0.iter().any(|used| used.line.is(line) && is_noted(used))
    }

    /// An own device is on a line.
    pub fn note(&mut self, line: Line, is_phone: bool, now_ms: i64) {
        if line.reach == Reach::Hidden {
            return;
        }
        if let Some(used) = self.0.iter_mut().find(|used| used.line.is(&line)) {
            used.last_ms = used.last_ms.max(now_ms);
            used.by_phones_alone &= is_phone;
            return;
        }
        self.0.retain(|used| now_ms.saturating_sub(used.last_ms) <= KEPT_MS);
        // Where addresses change all the time they must not crowd out the other lines.
        let is_many = self.of_provider(&line).count() >= OF_PROVIDER_MAX;
        let goes = |used: &Used| !is_many || (used.line.has_provider_of(&line) && used.line.ipv6 == line.ipv6);
        let oldest = self.0.iter().enumerate().filter(|(_, used)| goes(used)).min_by_key(|(_, used)| used.last_ms).map(|(at, _)| at);
        if let Some(oldest) = oldest.filter(|_| is_many || self.0.len() >= LINES_MAX) {
            self.0.remove(oldest);
        }
        self.0.reserve_exact(1);
        self.0.push(Used { line, last_ms: now_ms, by_phones_alone: is_phone });
    }

    /// Lines of one provider and family of addresses.
    fn of_provider(&self, line: &Line) -> impl Iterator<Item = &Used> {
        let is_of = |used: &&Used| used.line.has_provider_of(line) && used.line.ipv6 == line.ipv6;
        self.0.iter().filter(|used| used.line.reach == Reach::Fixed).filter(is_of)
    }

    /// Whose is the line of a client at a time?
    pub fn whose(&self, line: &Line, is_phone: bool, now_ms: i64) -> Whose {
        let since_ms = |used: &Used| now_ms.saturating_sub(used.last_ms).saturating_abs();
        let by_carrier = |used: &Used| is_phone && used.may_be_carrier() && used.line.has_provider_of(line);
        if self.0.iter().any(|used| (used.line.is(line) || by_carrier(used)) && since_ms(used) <= KEPT_MS) {
            return Whose::Own;
        }
        let stands = self.of_provider(line).any(|used| since_ms(used) < STANDS_MS);
        // Within a /24 neighbours and a line's own next address cannot be told apart.
        let is_near = self.of_provider(line).any(|used| used.line.subnet == line.subnet);
        if line.reach == Reach::Fixed && stands && !is_near && !self.is_pool(line) { Whose::Other } else { Whose::Unknown }
    }

    /// Does this provider give the person's line one address after the other?
    fn is_pool(&self, line: &Line) -> bool {
        self.of_provider(line).count() >= OF_PROVIDER_MAX
    }

    /// Has the person been seen behind a carrier at all? Where a provider's line serves own laptops, too, it is that of
    /// their home.
    pub fn has_carrier(&self) -> bool {
        let is_home = |used: &Used| self.of_provider(&used.line).any(Used::is_fixed);
        self.0.iter().any(|used| used.may_be_carrier() && (used.line.reach == Reach::Mobile || !is_home(used)))
    }

    /// Time from the nearest use of own lines that are elsewhere, by whatever rule.
    fn nearest(&self, now_ms: i64, is_elsewhere: impl Fn(&Used) -> bool) -> Option<i64> {
        let elsewhere = self.0.iter().filter(|used| is_elsewhere(used));
        elsewhere.map(|used| now_ms.saturating_sub(used.last_ms).saturating_abs()).min()
    }

    /// Time between this moment and own use of another line.
    pub fn since_elsewhere(&self, line: &Line, now_ms: i64) -> Option<i64> {
        self.nearest(now_ms, |own| line.is_elsewhere(&own.line))
    }

    /// The same of own use that was certainly not beside the client there.
    pub fn since_apart(&self, line: &Line, is_phone: bool, now_ms: i64) -> Option<i64> {
        let changes = |own: &Line| own.has_provider_of(line) && self.is_pool(own);
        self.nearest(now_ms, |own| own.is_fixed() && line.is_apart_from(&own.line, is_phone) && !changes(&own.line))
    }
}

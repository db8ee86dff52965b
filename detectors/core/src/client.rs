//! What tells one client from another, in a form that fits into state.
//!
//! Evidence is compared in families, so that what changes by itself is no change: a user agent without
//! its digits (a browser's or a system's update is the same client), of a JA4 the cipher part alone
//! (session resumption, QUIC and a pre-shared key alter the others; FoxIO's JA4 description), of an
//! address the autonomous system (IPv4 and IPv6 of one line, a carrier's pool), of fixed lines together
//! with the region, since one provider may serve a whole country, and only where the system is unknown
//! the /24 or /48. What is absent on either side is never a change.
//!
//! Prints are 32-bit: they are compared within one user's or session's few clients, never looked up
//! in a large set, so chance collisions do not matter and a wilful one only hides its maker from one
//! of several pieces of evidence, which sending the same text would do as well.

use crate::batch::Field;
use crate::event::{Event, NetworkClass};
use crate::keys::{Key, KeyKind};
use serde::{Deserialize, Serialize};

/// A client as its events show it; 0 stands for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientPrint {
    /// Device id.
    pub device: u32,
    /// Autonomous system.
    pub asn: u32,
    /// The address's /24 or /48.
    pub subnet: u32,
    /// Cipher part of the JA4.
    pub ja4: u32,
    /// Family of the user agent.
    pub agent: u32,
    /// Region of a fixed line; of networks that lead their users out elsewhere nothing is known.
    pub region: u32,
    /// Is the address IPv6?
    pub ipv6: bool,
}

/// Which pieces of evidence differ between two clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Both name a device, and not the same.
    pub device: bool,
    /// Another network.
    pub network: bool,
    /// Another TLS client.
    pub ja4: bool,
    /// Another family of user agents.
    pub agent: bool,
}

impl Changes {
    /// How many pieces of evidence differ.
    #[must_use]
    pub fn count(self) -> u32 {
        [self.device, self.network, self.ja4, self.agent].into_iter().map(u32::from).sum()
    }

    /// Does something of the client itself differ, not only where it is?
    #[must_use]
    pub fn of_client(self) -> bool {
        self.device || self.ja4 || self.agent
    }

    /// The names of what differs, for a sentence.
    #[must_use]
    pub fn names(self) -> String {
        let all = [(self.device, "device"), (self.network, "network"), (self.ja4, "TLS client"), (self.agent, "user agent")];
        all.iter().filter(|(differs, _)| *differs).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
}

impl ClientPrint {
    /// The client of an event.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        Self {
            device: short(event.key(KeyKind::Device)),
            asn: event.asn(),
            subnet: short(event.key(KeyKind::Subnet)),
            ja4: event.ja4().map_or(0, |ja4| print(ja4.split('_').nth(1).unwrap_or(ja4).bytes())),
            agent: event.user_agent().map_or(0, agent_family),
            region: if is_fixed_line(event.network_class()) { region(event) } else { 0 },
            ipv6: event.ip().is_some_and(|ip| ip.is_ipv6()),
        }
    }

    /// Nothing known at all?
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.device == 0 && self.asn == 0 && self.subnet == 0 && self.ja4 == 0 && self.agent == 0
    }

    /// Do both name the same device?
    #[must_use]
    pub fn same_device(&self, other: &Self) -> bool {
        self.device != 0 && self.device == other.device
    }

    /// What differs. A client that names the same device differs in nothing that counts.
    #[must_use]
    pub fn changes(&self, other: &Self) -> Changes {
        if self.same_device(other) {
            return Changes::default();
        }
        Changes {
            device: differ(self.device, other.device),
            network: self.other_network(other),
            ja4: differ(self.ja4, other.ja4),
            agent: differ(self.agent, other.agent),
        }
    }

    /// What somebody has at a place: the network, of a fixed line within its region, else the /24 or
    /// /48 (above all network numbers in use).
    #[must_use]
    pub fn line(&self) -> u32 {
        match (self.asn, self.region) {
            (0, _) => self.subnet | ABOVE_NETWORKS,
            (asn, 0) => asn,
            (asn, region) => print(asn.to_le_bytes().into_iter().chain(region.to_le_bytes())) | ABOVE_NETWORKS,
        }
    }

    fn other_network(&self, other: &Self) -> bool {
        if self.asn != 0 && other.asn != 0 {
            // Place files often put the two families of one line into two regions.
            return self.asn != other.asn || (self.ipv6 == other.ipv6 && differ(self.region, other.region));
        }
        // Without a network's number the two families of one line cannot be told from two lines.
        self.ipv6 == other.ipv6 && differ(self.subnet, other.subnet)
    }
}

/// Sets prints apart from the numbers of networks.
const ABOVE_NETWORKS: u32 = 0x8000_0000;

/// Is an address there one of a building, in its own region?
fn is_fixed_line(class: NetworkClass) -> bool {
    class.tells_place() && !matches!(class, NetworkClass::Mobile | NetworkClass::Corporate)
}

/// Print of an event's region within its country; 0 if there is none.
#[must_use]
pub fn region(event: &Event<'_>) -> u32 {
    match (event.place(), event.text(Field::Region)) {
        (None, _) | (_, "") => 0,
        (Some(place), region) => print(place.country.into_iter().chain(region.bytes())),
    }
}

fn differ(a: u32, b: u32) -> bool {
    a != 0 && b != 0 && a != b
}

/// A key's hash folded to 32 bits; 0 for an absent key, never 0 otherwise.
#[must_use]
pub fn short(key: Option<Key>) -> u32 {
    key.map_or(0, |key| ((key.hash ^ (key.hash >> 32)) as u32).max(1))
}

/// Print of a user agent's family: the text without digits and what stands between them.
#[must_use]
pub fn agent_family(agent: &str) -> u32 {
    print(agent.bytes().filter(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'_')))
}

/// Stable 32-bit print of bytes (FNV-1a); never 0.
#[must_use]
pub fn print(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME_140: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0.7339.80 Safari/537.36";
    const CHROME_141: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/141.0.1.2 Safari/537.36";

    #[test]
    fn an_update_is_the_same_client_and_another_program_is_not() {
        assert_eq!(agent_family(CHROME_140), agent_family(CHROME_141));
        assert_ne!(agent_family(CHROME_140), agent_family("python-requests/2.32.3"));
    }

    #[test]
    fn the_same_device_outweighs_everything_else() {
        let phone = ClientPrint { device: 1, asn: 10, ja4: 3, agent: 4, ..ClientPrint::default() };
        assert_eq!(phone.changes(&ClientPrint { asn: 20, ja4: 5, agent: 6, ..phone }).count(), 0);
        assert_eq!(phone.changes(&ClientPrint { device: 2, asn: 20, ..phone }).count(), 2);
    }

    #[test]
    fn what_is_not_known_is_no_change() {
        let one = ClientPrint { subnet: 7, ..ClientPrint::default() };
        assert!(one.changes(&ClientPrint { subnet: 8, ..one }).network);
        assert!(!one.changes(&ClientPrint { subnet: 8, ipv6: true, ..one }).network);
        assert_eq!(one.changes(&ClientPrint::default()), Changes::default());
    }

    #[test]
    fn a_provider_in_another_region_is_another_network() {
        let one = ClientPrint { asn: 10, region: 1, ..ClientPrint::default() };
        let far = ClientPrint { region: 2, ..one };
        assert!(one.changes(&far).network);
        assert_ne!(one.line(), far.line());
        assert!(!one.changes(&ClientPrint { ipv6: true, ..far }).network, "the other family of one line");
        assert!(!one.changes(&ClientPrint { region: 0, ..one }).network, "a carrier's gateway");
    }
}

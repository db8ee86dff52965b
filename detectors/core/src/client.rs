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
//! of several pieces of evidence, which sending the same text would do as well. Prints of texts are made
//! once for an event, with its keys.

use crate::batch::Field;
use crate::event::{Event, NetworkClass};
use crate::finding::names_of;
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
        names_of(&all)
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
            ja4: event.software().ja4,
            agent: event.software().agent,
            region: if is_fixed_line(event.network_class()) { event.region_print() } else { 0 },
            ipv6: event.ip().is_some_and(|ip| ip.is_ipv6()),
        }
    }

    /// Nothing known at all?
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.device == 0 && self.asn == 0 && self.subnet == 0 && self.ja4 == 0 && self.agent == 0
    }

    /// Is nothing known of the client itself, but only where it is?
    #[must_use]
    pub fn is_only_a_network(&self) -> bool {
        self.device == 0 && self.ja4 == 0 && self.agent == 0 && !self.is_blank()
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

    /// The device, or the software where no device is named: what stays when the network is another one.
    #[must_use]
    pub fn installation(&self) -> u32 {
        if self.device != 0 { self.device } else { self.agent ^ self.ja4.rotate_left(16) }
    }

    /// What somebody has at a place: the network, of a fixed line within its region, else the /24 or
    /// /48 (above all network numbers in use).
    #[must_use]
    pub fn line(&self) -> u32 {
        match (self.asn, self.region) {
            (0, _) => self.subnet | ABOVE_NETWORKS,
            (asn, 0) => asn,
            (asn, region) => mix(mix(SEED, u64::from(asn)), u64::from(region)) as u32 | ABOVE_NETWORKS,
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

/// Print of an event's region within its country; 0 if there is none. It is made once, with the keys ([`Event::region_print`]).
pub(crate) fn region(event: &Event<'_>) -> u32 {
    match (event.place(), event.text(Field::Region)) {
        (None, _) | (_, "") => 0,
        (Some(place), region) => print(mix(SEED, country(place.country).into()), region.as_bytes()),
    }
}

/// A country by its letters; 0 if it is not known.
#[must_use]
pub fn country(letters: [u8; 2]) -> u32 {
    u16::from_be_bytes(letters).into()
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
    let (mut hash, mut piece, mut len) = (SEED, [0; 256], 0);
    for byte in agent.bytes() {
        if let Some(slot) = piece.get_mut(len) {
            *slot = byte;
        }
        len += usize::from(!matches!(byte, b'0'..=b'9' | b'.' | b'_'));
        if len == piece.len() {
            hash = print(hash, &piece).into();
            len = 0;
        }
    }
    print(hash, piece.get(..len).unwrap_or_default())
}

/// Print of a JA4's cipher part.
fn ciphers(ja4: &str) -> u32 {
    print(SEED, ja4.split('_').nth(1).unwrap_or(ja4).as_bytes())
}

/// Words of phones and tablets, and of the libraries that apps there use.
const PHONES: &[&str] = &["android", "iphone", "ipad", "ios", "cfnetwork", "dalvik", "okhttp", "alamofire", "mobile"];

/// Letters of a text that are looked at for words.
const LOOKED_AT: usize = 256;

/// Does a text, of which the first letters are looked at, have one of these words, which begin with letters, whatever the
/// case? `at_start`: as its beginning.
#[must_use]
pub fn has_word(text: &str, words: &[&str], at_start: bool) -> bool {
    let text = text.as_bytes();
    let text = text.get(..text.len().min(LOOKED_AT)).unwrap_or_default();
    // A bit for each letter that a word begins with: few places are looked at more closely.
    let bit = |letter: u8| 1_u32 << (letter & 31);
    let firsts = words.iter().filter_map(|word| word.as_bytes().first()).fold(0, |firsts, letter| firsts | bit(*letter));
    let may_begin = |place: usize| text.get(place).is_some_and(|letter| letter.is_ascii_alphabetic() && firsts & bit(*letter) != 0);
    let starts = |text: &[u8], word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    let places = if at_start { 1 } else { text.len() };
    // A short word within another says nothing (a studio is no iOS).
    let within = |place: usize| place > 0 && text.get(place - 1).is_some_and(u8::is_ascii_alphabetic);
    let at = |place: usize, word: &str| text.get(place..).is_some_and(|rest| starts(rest, word)) && (word.len() > 3 || !within(place));
    (0..places).any(|place| may_begin(place) && words.iter().any(|word| at(place, word)))
}

/// Does a user agent say that its program runs on a phone or tablet?
#[must_use]
pub fn says_phone(agent: &str) -> bool {
    has_word(agent, PHONES, false)
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes one word into a hash.
fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x2545_f491_4f6c_dd1d);
    mixed ^ (mixed >> 29)
}

/// Stable 32-bit print of bytes; never 0.
fn print(start: u64, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = words.iter().fold(mix(start, bytes.len() as u64), |hash, word| mix(hash, u64::from_le_bytes(*word)));
    if !rest.is_empty() {
        hash = mix(hash, rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    ((hash >> 32) as u32).max(1)
}

/// The client software of an event; 0 stands for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Software {
    /// Family of the user agent.
    pub agent: u32,
    /// Cipher part of the JA4.
    pub ja4: u32,
    /// Does the user agent say that its program runs on a phone or tablet?
    pub phone: bool,
}

impl Software {
    pub(crate) fn of(agent: &str, ja4: &str) -> Self {
        let print = |text: &str, print: fn(&str) -> u32| if text.is_empty() { 0 } else { print(text) };
        Self { agent: print(agent, agent_family), ja4: print(ja4, ciphers), phone: says_phone(agent) }
    }
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
    fn digits_do_not_count_in_agents_of_any_length() {
        for len in [0, 1, 7, 255, 256, 257, 600] {
            let (short, long) = (format!("{}/end", "x".repeat(len)), format!("1{}/2.3.{}end", "x".repeat(len), "9".repeat(len)));
            assert_eq!(agent_family(&short), agent_family(&long), "{len}");
            assert_ne!(agent_family(&short), agent_family(&format!("{short}x")), "{len}");
        }
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

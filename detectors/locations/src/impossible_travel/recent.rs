//! Where people were of late: their last few sign-ins, packed, for as long as others may be compared with
//! them.
//!
//! A sign-in is packed into one piece of bytes: time, place and address as fixed numbers, of what tells
//! clients apart what there is. Its session and its event are needed by name if it turns out to be a stranger's;
//! a UUID is kept as 16 bytes and what consists of letters, digits, `-` and `_` in six bits a letter, and they are
//! unpacked only when they are told.

use super::journey::SignIn;
use bartizan_core::{ClientPrint, Place, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;

/// Sign-ins kept to compare with.
const SIGN_INS_MAX: usize = 4;
/// Degrees times this are whole numbers in most place files.
const DEGREE: f32 = 10_000.0;

/// What of one person is kept for the length of the window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Recent {
    /// [`Past`], packed.
    packed: Box<[u8]>,
    /// Second after which none of it can be compared any more; times in it are told from here.
    until_s: u32,
    /// Print of the network that was told last; 0 is none.
    told: u16,
    /// [`Retained::worth`].
    worth: u8,
}

impl Retained for Recent {
    fn expires_ms(&self) -> i64 {
        self.until_ms()
    }

    fn worth(&self) -> u8 {
        self.worth
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.packed.len())
    }
}

impl Recent {
    fn until_ms(&self) -> i64 {
        i64::from(self.until_s) * 1_000
    }

    /// Takes the packed sign-ins out, and the time that they go by.
    pub fn take(&mut self) -> (Box<[u8]>, i64) {
        (std::mem::take(&mut self.packed), self.until_ms())
    }

    /// Keeps sign-ins until `window_ms` after the latest of them, packed in `buffer` first. A person of many `days` is
    /// worth more.
    pub fn keep(&mut self, past: &Past<'_>, window_ms: i64, days: u16, buffer: &mut Vec<u8>) {
        let newest_ms = past.iter().map(|one| one.time_ms).max().unwrap_or(0);
        let until_s = newest_ms.saturating_add(window_ms).saturating_add(999).div_euclid(1_000).max(0);
        self.until_s = u32::try_from(until_s).unwrap_or(u32::MAX);
        self.worth = (days / 2).min(4) as u8;
        past.pack(self.until_ms(), buffer);
        // Exactly as large as it has to be.
        self.packed = Box::from(buffer.as_slice());
    }

    /// Notes that a network is told; was it the last one told for this person, too?
    pub fn tell(&mut self, network: u32) -> bool {
        let print = if network == 0 { 0 } else { ((network ^ network >> 16) as u16).max(1) };
        std::mem::replace(&mut self.told, print) == print && print != 0
    }
}

/// Sign-ins with which further ones are compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Past<'a>([Option<SignIn<'a>>; SIGN_INS_MAX]);

impl<'a> Past<'a> {
    /// Reads what was packed, but for what is older than `oldest_ms`.
    pub fn unpack(bytes: &'a [u8], until_ms: i64, oldest_ms: i64) -> Self {
        let (mut reader, mut past) = (Reader(bytes), Self::default());
        for place in &mut past.0 {
            *place = if reader.0.is_empty() { None } else { reader.sign_in(until_ms).filter(|one| one.time_ms >= oldest_ms) };
        }
        past
    }

    fn pack(&self, until_ms: i64, out: &mut Vec<u8>) {
        out.clear();
        self.iter().for_each(|one| write(one, until_ms, out));
    }

    pub fn iter(&self) -> impl Iterator<Item = &SignIn<'a>> {
        self.0.iter().flatten()
    }

    /// Keeps a sign-in: one for each address, the latest ones.
    pub fn keep(&mut self, sign_in: SignIn<'a>) {
        let same = |place: &&mut Option<SignIn<'a>>| place.is_some_and(|one| one.ip == sign_in.ip);
        if let Some(place) = self.0.iter_mut().find(same) {
            *place = place.filter(|one| one.time_ms > sign_in.time_ms).or(Some(sign_in));
        } else if let Some(place) = self.0.iter_mut().min_by_key(|place| place.map(|one| one.time_ms)) {
            // A free place, or that of the oldest.
            *place = Some(sign_in);
        }
    }

    /// Takes out the sign-in at an address.
    pub fn remove(&mut self, ip: IpAddr) {
        self.0.iter_mut().filter(|place| place.is_some_and(|one| one.ip == ip)).for_each(|place| *place = None);
    }
}

/// A text as it is, or packed.
#[derive(Clone, Copy, Debug, Eq)]
pub(super) enum Text<'a> {
    Plain(&'a str),
    /// So many letters in these bytes.
    Packed(Form, usize, &'a [u8]),
}

/// How a text is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A UUID in lower case, in 16 bytes.
    Uuid,
    /// Six bits for each letter.
    Letters,
}

impl Form {
    /// Stands in the lowest two bits of the length; 0 is a text as it is.
    const fn mark(self) -> u64 {
        match self {
            Self::Uuid => 1,
            Self::Letters => 2,
        }
    }
}

/// Letters that take six bits, by number: four of them are three bytes.
const LETTERS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
/// The number of each letter; 64 for what is none.
#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const NUMBERS: [u8; 256] = {
    let mut numbers = [64; 256];
    let mut number = 0;
    while number < LETTERS.len() {
        numbers[LETTERS[number] as usize] = number as u8;
        number += 1;
    }
    numbers
};
const UUID_BYTES: usize = 16;
/// Letters of a UUID, and where its dashes are.
const UUID_LEN: usize = 36;
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];

fn number(letter: u8) -> u8 {
    NUMBERS.get(usize::from(letter)).copied().unwrap_or(64)
}

fn letter(number: u8) -> char {
    LETTERS.get(usize::from(number)).copied().map_or('-', char::from)
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl<'a> Text<'a> {
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Plain(""))
    }

    /// The text itself.
    pub fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Packed(Form::Uuid, _, bytes) => Cow::Owned(uuid(bytes)),
            Self::Packed(Form::Letters, len, bytes) => Cow::Owned(letters(bytes).take(*len).collect()),
        }
    }
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(UUID_LEN);
    for half in bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
        if UUID_DASHES.contains(&text.len()) {
            text.push('-');
        }
        text.push(letter(half));
    }
    text
}

fn letters(bytes: &[u8]) -> impl Iterator<Item = char> {
    bytes.chunks(3).flat_map(|piece| {
        let word = piece.iter().enumerate().fold(0, |word, (place, byte)| word | u32::from(*byte) << (8 * place));
        [0, 6, 12, 18].map(|shift| letter((word >> shift & 0x3f) as u8))
    })
}

fn is_uuid(text: &[u8]) -> bool {
    let fits = |(place, byte): (usize, &u8)| if UUID_DASHES.contains(&place) { *byte == b'-' } else { number(*byte) < 16 };
    text.len() == UUID_LEN && text.iter().enumerate().all(fits)
}

/// Writes a text with its length and form in front.
fn write_text(text: &Text<'_>, out: &mut Vec<u8>) {
    let text = match text {
        Text::Plain(text) => text.as_bytes(),
        Text::Packed(form, len, bytes) => {
            write_number((*len as u64) << 2 | form.mark(), out);
            out.extend_from_slice(bytes);
            return;
        }
    };
    if is_uuid(text) {
        write_number((UUID_LEN as u64) << 2 | Form::Uuid.mark(), out);
        let mut halves = text.iter().filter(|byte| **byte != b'-').map(|byte| number(*byte));
        while let (Some(high), Some(low)) = (halves.next(), halves.next()) {
            out.push(high << 4 | low);
        }
    } else if text.iter().all(|byte| number(*byte) < 64) {
        write_number((text.len() as u64) << 2 | Form::Letters.mark(), out);
        for piece in text.chunks(4) {
            let word = piece.iter().enumerate().fold(0, |word, (place, byte)| word | u32::from(number(*byte)) << (6 * place));
            // One letter takes a byte, two take two, three and four take three.
            out.extend(word.to_le_bytes().iter().take(piece.len().min(3)));
        }
    } else {
        write_number((text.len() as u64) << 2, out);
        out.extend_from_slice(text);
    }
}

/// Writes a number in as many bytes of seven bits as it needs.
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What follows in a packed sign-in.
mod has {
    pub const DEVICE: u8 = 1;
    pub const AGENT: u8 = 2;
    pub const JA4: u8 = 4;
    pub const REGION: u8 = 8;
    /// The network is known by number; if not, by its /24 or /48.
    pub const ASN: u8 = 16;
    pub const IPV6: u8 = 32;
    pub const FAR_GATEWAY: u8 = 64;
}

fn write(one: &SignIn<'_>, until_ms: i64, out: &mut Vec<u8>) {
    let client = &one.client;
    let flag = |bit, is: bool| if is { bit } else { 0 };
    let prints = [(has::DEVICE, client.device), (has::AGENT, client.agent), (has::JA4, client.ja4), (has::REGION, client.region)];
    let present = prints.iter().fold(0, |bits, (bit, print)| bits | flag(*bit, *print != 0));
    out.push(present | flag(has::ASN, client.asn != 0) | flag(has::IPV6, one.ip.is_ipv6()) | flag(has::FAR_GATEWAY, one.far_gateway));
    prints.iter().filter(|(_, print)| *print != 0).for_each(|(_, print)| out.extend(print.to_le_bytes()));
    write_number(if client.asn == 0 { client.subnet.into() } else { client.asn.into() }, out);
    // Zigzag: near zero on both sides is short.
    let before = until_ms.wrapping_sub(one.time_ms);
    write_number((before << 1 ^ before >> 63) as u64, out);
    out.extend(one.place.country);
    for degrees in [one.place.latitude, one.place.longitude] {
        out.extend(((degrees * DEGREE).round() as i32).to_le_bytes().iter().take(3));
    }
    write_number(one.place.accuracy_km.into(), out);
    match one.ip {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    write_text(&one.session, out);
    write_text(&one.event, out);
}

/// What of the bytes was not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        self.bytes(LEN)?.first_chunk().copied()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn degrees(&mut self) -> Option<f32> {
        let [a, b, c] = self.array()?;
        // The sign stands in the third byte.
        Some((i32::from_le_bytes([0, a, b, c]) >> 8) as f32 / DEGREE)
    }

    fn text(&mut self) -> Option<Text<'a>> {
        let head = self.number()?;
        let len = usize::try_from(head >> 2).ok()?;
        match head & 3 {
            0 => Some(Text::Plain(std::str::from_utf8(self.bytes(len)?).ok()?)),
            1 => Some(Text::Packed(Form::Uuid, len, self.bytes(UUID_BYTES)?)),
            _ if len == 0 => Some(Text::Plain("")),
            _ => Some(Text::Packed(Form::Letters, len, self.bytes(len / 4 * 3 + len % 4)?)),
        }
    }

    fn sign_in(&mut self, until_ms: i64) -> Option<SignIn<'a>> {
        let [has] = self.array()?;
        let mut print = |bit| if has & bit == 0 { Some(0) } else { self.array().map(u32::from_le_bytes) };
        let (device, agent, ja4, region) = (print(has::DEVICE)?, print(has::AGENT)?, print(has::JA4)?, print(has::REGION)?);
        let network = u32::try_from(self.number()?).ok()?;
        let (asn, subnet) = if has & has::ASN == 0 { (0, network) } else { (network, 0) };
        let zigzag = self.number()?;
        let before = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let country = self.array()?;
        let (latitude, longitude) = (self.degrees()?, self.degrees()?);
        let accuracy_km = u16::try_from(self.number()?).ok()?;
        let ipv6 = has & has::IPV6 != 0;
        let ip = if ipv6 { IpAddr::from(self.array::<16>()?) } else { IpAddr::from(self.array::<4>()?) };
        Some(SignIn {
            time_ms: until_ms.wrapping_sub(before),
            place: Place { country, latitude, longitude, accuracy_km },
            ip,
            client: ClientPrint { device, asn, subnet, ja4, agent, region, ipv6 },
            far_gateway: has & has::FAR_GATEWAY != 0,
            session: self.text()?,
            event: self.text()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9a-zA-Z_-]{0,40}",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-fg]{12}",
            "\\PC{0,40}",
        ]
    }

    fn packed(past: &Past<'_>, until_ms: i64) -> Vec<u8> {
        let mut out = Vec::new();
        past.pack(until_ms, &mut out);
        out
    }

    fn sign_in<'a>(time_ms: i64, ip: IpAddr, prints: [u32; 6], place: Place, texts: &'a (String, String)) -> SignIn<'a> {
        let [device, asn, subnet, ja4, agent, region] = prints;
        // Of the network one is known, as it is told by one.
        let client = ClientPrint { device, asn, subnet: if asn == 0 { subnet } else { 0 }, ja4, agent, region, ipv6: ip.is_ipv6() };
        let (session, event) = (Text::Plain(&texts.0), Text::Plain(&texts.1));
        SignIn { time_ms, place, ip, client, far_gateway: device.is_multiple_of(2), session, event }
    }

    fn print() -> impl Strategy<Value = u32> {
        prop_oneof![Just(0), any::<u32>(), 0_u32..100_000]
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            all in prop::collection::vec((any::<i64>(), any::<IpAddr>(), [print(), print(), print(), print(), print(), print()],
                (-900_000_i32..=900_000, -1_800_000_i32..=1_800_000, any::<u16>()), (text(), text())), 0..5),
            until_ms in any::<i64>(),
        ) {
            let mut past = Past::default();
            for (time_ms, ip, prints, (latitude, longitude, accuracy_km), texts) in &all {
                let place = Place { country: *b"DE", latitude: *latitude as f32 / DEGREE, longitude: *longitude as f32 / DEGREE, accuracy_km: *accuracy_km };
                past.keep(sign_in(*time_ms, *ip, *prints, place, texts));
            }
            let bytes = packed(&past, until_ms);
            let unpacked = Past::unpack(&bytes, until_ms, i64::MIN);
            prop_assert_eq!(&unpacked, &past);
            // And once more, from what was never unpacked.
            prop_assert_eq!(packed(&unpacked, until_ms), bytes);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let past = Past::unpack(&bytes, 0, i64::MIN);
            past.iter().for_each(|one| _ = (one.session.text(), one.event.text()));
        }
    }

    #[test]
    fn the_latest_of_each_address_are_kept() {
        let (texts, place) = ((String::new(), String::new()), Place { country: *b"DE", latitude: 0.0, longitude: 0.0, accuracy_km: 0 });
        let mut past = Past::default();
        for (ip, time_ms) in [(1, i64::MIN), (2, i64::MAX), (3, 0), (2, 5), (4, 1), (5, 2)] {
            past.keep(sign_in(time_ms, [ip; 16].into(), [0; 6], place, &texts));
        }
        let times = |past: &Past<'_>| past.iter().map(|one| one.time_ms).collect::<Vec<_>>();
        assert_eq!(times(&past), [2, i64::MAX, 0, 1]);
        past.remove([3; 16].into());
        assert_eq!(times(&past), [2, i64::MAX, 1]);
    }

    #[test]
    fn an_ordinary_sign_in_takes_little_memory() {
        let texts = ("0f8fad5b-d9cb-469f-a165-70867728950e".to_owned(), "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned());
        let place = Place { country: *b"DE", latitude: 52.5, longitude: 13.4, accuracy_km: 50 };
        let mut past = Past::default();
        past.keep(sign_in(1_780_272_000_000, [198, 51, 100, 7].into(), [1 << 31, 3_320, 0, 0, 1 << 30, 1 << 29], place, &texts));
        let mut recent = Recent::default();
        recent.keep(&past, 86_400_000, 10, &mut Vec::new());
        assert_eq!((recent.heap_bytes(), recent.expires_ms(), recent.worth()), (80, 1_780_358_400_000, 4));
        let (packed, until_ms) = recent.take();
        assert_eq!(Past::unpack(&packed, until_ms, i64::MIN), past);
    }

    #[test]
    fn a_network_told_again_is_known_as_such() {
        let mut recent = Recent::default();
        assert_eq!([0, 0, 7, 7, 0x1_0000, 7].map(|network| recent.tell(network)), [false, false, false, true, false, false]);
    }
}

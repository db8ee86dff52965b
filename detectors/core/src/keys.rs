//! Keys of detector state: what an event concerns, hashed once.
//!
//! A key is a 64-bit keyed hash of kind, tenant and value. It is keyed so that an attacker who chooses
//! names cannot aim at collisions, and stable so that a checkpoint outlives the process.
//! Nothing that leaves the process depends on the hash: ids and texts come from the values.

use crate::event::names;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::net::{IpAddr, Ipv6Addr};

names! {
    /// What a piece of state is about.
    KeyKind {
        /// The user within the tenant.
        User = "user",
        /// The client address.
        Address = "address",
        /// The address's /24 (IPv4) or /48 (IPv6).
        Subnet = "subnet",
        /// The session.
        Session = "session",
        /// The token presented (its keyed hash), of an event without a session: a session speaks for its
        /// tokens, and most requests have one.
        Token = "token",
        /// Whom tokens belong to: the user, else the session, else the token. Its hash is that key's.
        Principal = "principal",
        /// The device.
        Device = "device",
        /// The client software: user agent and JA4 together.
        Client = "client",
        /// The client application (OAuth client) within the tenant.
        App = "app",
        /// The tenant itself, for what only all its events together show. One slice sees all of them: for
        /// rare kinds of events alone.
        Tenant = "tenant",
        /// What a request bears, whatever the tenant it is presented in: the session, else the token.
        Bearer = "bearer",
    }
}

impl KeyKind {
    /// How many kinds there are.
    pub const COUNT: usize = Self::ALL.len();
}

/// The network that [`KeyKind::Subnet`] stands for, as a CIDR.
#[must_use]
pub fn subnet_cidr(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// One key: its kind and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What it is about.
    pub kind: KeyKind,
    /// Keyed hash of tenant and value; never 0.
    pub hash: u64,
}

/// Bytes that are hashed in one piece: all but wilfully long values.
const PIECE_BYTES: usize = 512;
/// Keys of the sum: two for what stands before a piece, two for its end, one for each eight bytes of it.
const SUM_KEYS: usize = 4 + PIECE_BYTES / 8;
/// Marks the hash of an event's identity; 1 to 8 mark keys that are hashed with a value.
const IDENTITY: u64 = 9;
/// Marks, beside its length, a piece that is not the last one of its value.
const MORE: u64 = 1 << 63;

/// Hashes keys with a secret of the installation.
///
/// A value's words, each with a secret number added, are multiplied in pairs and summed (NH, from UMAC:
/// Black, Halevi, Krawczyk, Krovetz and Rogaway, CRYPTO 1999). Whoever does not know the numbers cannot
/// name two values that have one sum with more than a chance of 2^-64, whatever the values. A closing
/// multiplication with two more numbers folds the sum to 64 bits and hides its linearity, so that a
/// collision of buckets, if one could ever be seen from outside, says nothing of other values. That is
/// what keyed state needs, at a fraction of a cryptographic hash: words do not wait for each other. It is no
/// message authentication code; no hash ever leaves the process.
#[derive(Clone, Copy)]
pub struct KeyHasher {
    sum: [u64; SUM_KEYS],
    fold: [u64; 2],
}

/// A tenant, made ready to be hashed with many values.
#[derive(Clone, Copy, Debug)]
pub struct TenantHash(u64);

impl KeyHasher {
    /// A hasher with this secret. The daemon draws one per data directory and keeps it with the
    /// checkpoints; offline commands use zeros.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        let drawn = |number: usize| SipHasher13::new_with_key(&secret).hash(&(number as u64).to_le_bytes());
        Self { sum: std::array::from_fn(drawn), fold: [drawn(SUM_KEYS), drawn(SUM_KEYS + 1)] }
    }

    /// Makes a tenant ready.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> TenantHash {
        TenantHash(self.part(0, 0, tenant.as_bytes()))
    }

    /// Hash of the parts of a value, each closed off against the next; never 0.
    #[must_use]
    #[inline]
    pub fn hash(&self, kind: KeyKind, tenant: TenantHash, parts: &[&[u8]]) -> u64 {
        parts.iter().fold(tenant.0, |before, part| self.part(before, kind as u64 + 1, part)).max(1)
    }

    /// Hashes of one value under several kinds and tenants: it is read once.
    #[must_use]
    #[inline]
    pub fn hash_under<const N: usize>(&self, heads: [(KeyKind, TenantHash); N], value: &[u8]) -> [u64; N] {
        if value.len() > PIECE_BYTES {
            return heads.map(|(kind, tenant)| self.hash(kind, tenant, &[value]));
        }
        let words = self.words(value);
        heads.map(|(kind, tenant)| self.close(tenant.0, kind as u64 + 1, value.len(), words).max(1))
    }

    /// Hash of what makes two records one event: tenant, id and time.
    #[must_use]
    #[inline]
    pub fn identity(&self, tenant: TenantHash, id: &[u8], time_ms: i64) -> u64 {
        self.part(tenant.0 ^ time_ms as u64, IDENTITY, id)
    }

    #[inline]
    fn part(&self, before: u64, kind: u64, part: &[u8]) -> u64 {
        if part.len() > PIECE_BYTES { self.long_part(before, kind, part) } else { self.piece(before, kind, part) }
    }

    #[cold]
    fn long_part(&self, mut before: u64, kind: u64, mut part: &[u8]) -> u64 {
        while let Some((piece, rest)) = part.split_at_checked(PIECE_BYTES).filter(|(_, rest)| !rest.is_empty()) {
            before = self.piece(before, kind | MORE, piece);
            part = rest;
        }
        self.piece(before, kind, part)
    }

    /// Hash of a piece that goes on from `before`.
    #[inline]
    fn piece(&self, before: u64, mark: u64, piece: &[u8]) -> u64 {
        self.close(before, mark, piece.len(), self.words(piece))
    }

    /// The sum over a piece by itself. How pieces become words is one to one for each length.
    #[inline]
    fn words(&self, piece: &[u8]) -> u128 {
        let [_, _, end_key, last_key, keys @ ..] = &self.sum;
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let mut sum = 0_u128;
        let (pairs, tail) = piece.as_chunks::<16>();
        for ([a, b], pair) in keys.as_chunks::<2>().0.iter().zip(pairs) {
            let (first, second) = halves(pair);
            sum = sum.wrapping_add(product(first.wrapping_add(*a), second.wrapping_add(*b)));
        }
        if !tail.is_empty() {
            // The end overlaps what is summed already, or itself: that is quicker than filling it up.
            let (first, second) = match (piece.last_chunk::<16>(), piece.first_chunk::<8>(), piece.last_chunk::<8>()) {
                (Some(end), ..) => halves(end),
                (None, Some(first), Some(last)) => (word(first), word(last)),
                _ => short(piece),
            };
            sum = sum.wrapping_add(product(first.wrapping_add(*end_key), second.wrapping_add(*last_key)));
        }
        sum
    }

    /// Hash of a piece with these words, and with what stands before it.
    #[inline]
    fn close(&self, before: u64, mark: u64, len: usize, words: u128) -> u64 {
        let [before_key, mark_key, ..] = self.sum;
        let head = product(before.wrapping_add(before_key), (mark ^ (len as u64) << 8).wrapping_add(mark_key));
        let sum = words.wrapping_add(head);
        let [low_key, high_key] = self.fold;
        let folded = product(sum as u64 ^ low_key, (sum >> 64) as u64 ^ high_key);
        folded as u64 ^ (folded >> 64) as u64
    }
}

fn product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

fn halves(pair: &[u8; 16]) -> (u64, u64) {
    let pair = u128::from_le_bytes(*pair);
    (pair as u64, (pair >> 64) as u64)
}

/// Fewer than eight bytes as two words.
fn short(piece: &[u8]) -> (u64, u64) {
    match (piece.first_chunk::<4>(), piece.last_chunk::<4>()) {
        (Some(first), Some(last)) => (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into()),
        _ => (piece.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const HASHER: fn() -> KeyHasher = || KeyHasher::new([7; 16]);

    fn key(value: &[&[u8]]) -> u64 {
        let hasher = HASHER();
        hasher.hash(KeyKind::User, hasher.tenant("acme"), value)
    }

    /// The sum by the definition: words that overlap as they do, multiplied in pairs.
    fn by_definition(hasher: &KeyHasher, before: u64, mark: u64, piece: &[u8]) -> u64 {
        let read = |from: usize, len: usize| (0..len).fold(0, |word, index| word | u64::from(piece[from + index]) << (8 * index));
        let len = piece.len();
        let mut pairs = vec![(before, mark ^ (len as u64) << 8, 0)];
        pairs.extend((0..len / 16).map(|index| (read(16 * index, 8), read(16 * index + 8, 8), 4 + 2 * index)));
        if !len.is_multiple_of(16) {
            pairs.push(match len {
                16.. => (read(len - 16, 8), read(len - 8, 8), 2),
                8.. => (read(0, 8), read(len - 8, 8), 2),
                4.. => (read(0, 4), read(len - 4, 4), 2),
                _ => (piece.iter().fold(0, |word, byte| word * 256 + u64::from(*byte)), 0, 2),
            });
        }
        let sum = pairs.into_iter().fold(0_u128, |sum, (a, b, at)| {
            sum.wrapping_add(u128::from(a.wrapping_add(hasher.sum[at])) * u128::from(b.wrapping_add(hasher.sum[at + 1])))
        });
        let folded = u128::from(sum as u64 ^ hasher.fold[0]) * u128::from((sum >> 64) as u64 ^ hasher.fold[1]);
        folded as u64 ^ (folded >> 64) as u64
    }

    /// The values are from another implementation, in Python.
    #[test]
    fn the_hash_stays_what_checkpoints_were_written_with() {
        assert_eq!(key(&[b"ann"]), 0xf0c0_5efe_84d6_0505);
        assert_eq!(key(&[b"ann@acme.example", b"a longer second part"]), 0xcb57_0f93_fb46_79f5);
        assert_eq!(key(&[&[b'x'; 1500]]), 0x01dd_b8a8_24d4_7af9);
    }

    #[test]
    fn what_differs_in_kind_tenant_part_or_length_has_another_hash() {
        let hasher = HASHER();
        let (acme, beta) = (hasher.tenant("acme"), hasher.tenant("beta"));
        let mut hashes = vec![
            hasher.hash(KeyKind::User, acme, &[b"ab", b"c"]),
            hasher.hash(KeyKind::User, acme, &[b"a", b"bc"]),
            hasher.hash(KeyKind::User, acme, &[b"abc", b""]),
            hasher.hash(KeyKind::User, acme, &[b"abc"]),
            hasher.hash(KeyKind::User, beta, &[b"abc"]),
            hasher.hash(KeyKind::Session, acme, &[b"abc"]),
            hasher.identity(acme, b"abc", 1),
            hasher.identity(acme, b"abc", 2),
            hasher.identity(beta, b"abc", 2),
            KeyHasher::new([8; 16]).identity(acme, b"abc", 2),
        ];
        let zeros = vec![0; 3 * PIECE_BYTES];
        hashes.extend((0..zeros.len()).map(|len| key(&[&zeros[..len]])));
        hashes.extend((0..zeros.len()).map(|len| key(&[&zeros[..len], &zeros[len..]])));
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
    }

    #[test]
    fn hashes_of_counted_names_fill_slices_and_buckets_evenly() {
        for shift in [0, 20, 52, 58] {
            let mut buckets = [0_u32; 64];
            (0..64_000).for_each(|n| buckets[(key(&[format!("user{n}@acme.example").as_bytes()]) >> shift) as usize % 64] += 1);
            // Five standard deviations of a thousand.
            assert!(buckets.iter().all(|held| held.abs_diff(1_000) < 160), "{shift}: {buckets:?}");
        }
    }

    proptest! {
        #[test]
        fn a_piece_is_summed_as_defined(before: u64, piece in prop::collection::vec(any::<u8>(), 0..=PIECE_BYTES)) {
            let hasher = HASHER();
            prop_assert_eq!(hasher.piece(before, 3, &piece), by_definition(&hasher, before, 3, &piece));
        }

        #[test]
        fn what_is_read_once_is_hashed_like_what_is_read_each_time(value in prop::collection::vec(any::<u8>(), 0..=3 * PIECE_BYTES)) {
            let hasher = HASHER();
            let heads = [(KeyKind::Session, hasher.tenant("acme")), (KeyKind::Bearer, hasher.tenant(""))];
            prop_assert_eq!(hasher.hash_under(heads, &value), heads.map(|(kind, tenant)| hasher.hash(kind, tenant, &[&value])));
        }
    }
}

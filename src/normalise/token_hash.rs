//! The keyed hash that stands for a token, everywhere behind this module.
//!
//! A session's token comes with each of its requests, so the hashes of the last tokens are remembered: a
//! look there costs a fifth of the hash. What is remembered of a token itself is a fingerprint, an almost
//! universal hash of 128 bits with keys that nobody knows ([`KeyHasher`], twice): no text of a token stays in
//! memory, and whoever chooses tokens cannot find two of one fingerprint.

use bartizan_core::keys::TenantHash;
use bartizan_core::{KeyHasher, KeyKind, TokenHash};
use parking_lot::Mutex;
use sha2::block_api::compress256;
use std::fmt;
use std::sync::Arc;

/// The secret key of the token hashes. Two installations with one key give one token the same hash.
#[derive(Clone)]
pub struct TokenKey(pub [u8; 32]);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// SHA-256 before its first block (FIPS 180-4 §5.3.3).
const START: [u32; 8] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Hashes tokens with a prepared key: HMAC (RFC 2104) put together from the compression function, since
/// there is nothing to prepare for each token then, and most take two blocks in all.
#[derive(Clone)]
pub(crate) struct TokenHasher {
    /// SHA-256 after the block of the key for the inner and for the outer hash.
    inner: [u32; 8],
    outer: [u32; 8],
    memo: Arc<Memo>,
}

impl TokenHasher {
    pub(crate) fn new(key: &TokenKey) -> Self {
        let after = |pad: u8| {
            let mut block = [pad; BLOCK_BYTES];
            block.iter_mut().zip(key.0).for_each(|(to, from)| *to ^= from);
            let mut state = START;
            compress256(&mut state, &[block]);
            state
        };
        let unremembered = Self { inner: after(0x36), outer: after(0x5c), memo: Arc::default() };
        let secrets = ["names of the memo, one", "names of the memo, two"].map(|purpose| unremembered.compute(purpose).0);
        Self { memo: Arc::new(Memo::new(secrets)), ..unremembered }
    }

    /// HMAC-SHA-256 cut to its first 128 bits (RFC 2104 §5).
    pub(crate) fn hash(&self, token: &str) -> TokenHash {
        self.memo.get(token, || self.compute(token))
    }

    fn compute(&self, token: &str) -> TokenHash {
        let inner = finish(self.inner, token.as_bytes());
        let mut digest = [0; 32];
        digest.as_chunks_mut::<4>().0.iter_mut().zip(inner).for_each(|(to, word)| *to = word.to_be_bytes());
        let outer = finish(self.outer, &digest);
        let mut cut = [0; 16];
        cut.as_chunks_mut::<4>().0.iter_mut().zip(outer).for_each(|(to, word)| *to = word.to_be_bytes());
        TokenHash(cut)
    }
}

/// SHA-256 of one block and `message`, from its state after that block.
fn finish(mut state: [u32; 8], message: &[u8]) -> [u32; 8] {
    let (blocks, tail) = message.as_chunks::<BLOCK_BYTES>();
    compress256(&mut state, blocks);
    // Padded as FIPS 180-4 §5.1.1 says: a bit, zeros, the length in bits.
    let mut last = [[0; BLOCK_BYTES]; 2];
    let padded = last.as_flattened_mut();
    padded.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    if let Some(end) = padded.get_mut(tail.len()) {
        *end = 0x80;
    }
    let used = if tail.len() + 1 + 8 > BLOCK_BYTES { 2 } else { 1 };
    let (last, _) = last.split_at_mut(used);
    if let Some(length) = last.last_mut().and_then(|block| block.last_chunk_mut::<8>()) {
        *length = ((BLOCK_BYTES + message.len()) as u64 * 8).to_be_bytes();
    }
    compress256(&mut state, last);
    state
}

/// Parts of the memo, each under a lock of its own.
const PARTS: usize = 64;
/// Hashes remembered in one part: 256 KiB in all.
const PART_HASHES: usize = 128;

/// The hashes of the last tokens by fingerprint; one that comes to the same place takes it over.
struct Memo {
    names: [(KeyHasher, TenantHash); 2],
    parts: Box<[Mutex<Part>]>,
}

/// Fingerprints (0: none) and the hashes of their tokens.
type Part = [(u128, TokenHash); PART_HASHES];

impl Default for Memo {
    fn default() -> Self {
        Self::new([[0; 16]; 2])
    }
}

impl Memo {
    fn new(secrets: [[u8; 16]; 2]) -> Self {
        let empty = || Mutex::new([(0, TokenHash([0; 16])); PART_HASHES]);
        let name = |secret| {
            let hasher = KeyHasher::new(secret);
            (hasher, hasher.tenant(""))
        };
        Self { names: secrets.map(name), parts: (0..PARTS).map(|_| empty()).collect() }
    }

    fn get(&self, token: &str, compute: impl FnOnce() -> TokenHash) -> TokenHash {
        let name = |(hasher, tenant): &(KeyHasher, TenantHash)| hasher.hash(KeyKind::Token, *tenant, &[token.as_bytes()]);
        let [first, second] = self.names.each_ref().map(name);
        let fingerprint = u128::from(first) << 64 | u128::from(second);
        let (part, place) = (first as usize % PARTS, first as usize / PARTS % PART_HASHES);
        let Some(part) = self.parts.get(part) else { return compute() };
        let known = part.lock().get(place).filter(|(known, _)| *known == fingerprint).map(|(_, hash)| *hash);
        known.unwrap_or_else(|| {
            let hash = compute();
            if let Some(slot) = part.lock().get_mut(place) {
                *slot = (fingerprint, hash);
            }
            hash
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_hmac_sha_256_cut_in_half() {
        // RFC 4231 has no 32-byte key of this pattern; the value is from `openssl dgst -sha256 -mac HMAC`.
        let hasher = TokenHasher::new(&TokenKey([0x0b; 32]));
        assert_eq!(hasher.hash("Hi There").to_hex(), EXPECTED);
        assert_ne!(hasher.hash("Hi There"), hasher.hash("Hi There "));
        assert_eq!(format!("{:?}", TokenKey([7; 32])), "TokenKey(…)");
    }

    proptest! {
        /// Also where the padding takes a block more, and over several blocks.
        #[test]
        fn tokens_are_hashed_as_by_the_library(key: [u8; 32], token in "[ -~]{0,300}") {
            let mut library = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
            library.update(token.as_bytes());
            let (hasher, expected) = (TokenHasher::new(&TokenKey(key)), library.finalize().into_bytes());
            prop_assert_eq!(&hasher.hash(&token).0[..], &expected[..16]);
            prop_assert_eq!(&hasher.hash(&token).0[..], &expected[..16], "from memory");
        }
    }

    const EXPECTED: &str = "198a607eb44bfbc69903a0f1cf2bbdc5";

    #[test]
    fn what_is_remembered_is_each_tokens_own() {
        let hasher = TokenHasher::new(&TokenKey([1; 32]));
        let tokens: Vec<String> = (0..3 * PARTS * PART_HASHES).map(|number| format!("rt_{number}")).collect();
        for _ in 0..2 {
            assert!(tokens.iter().all(|token| hasher.hash(token) == hasher.compute(token)));
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(tokens.iter().take(1_000).all(|token| hasher.hash(token) == hasher.compute(token))));
            }
        });
    }
}

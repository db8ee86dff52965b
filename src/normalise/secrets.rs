//! Keeps credentials out of what is stored.
//!
//! Tokens become keyed hashes. Members that are not the event's own but carry a credential by their name
//! (`password`, `access_token`, `Authorization`) lose their value, as do such parameters in the query
//! string of a path. A credential under a harmless name cannot be told and stays.

use super::json::Json;
use bartizan_core::TokenHash;
use sha2::block_api::compress256;
use std::borrow::Cow;
use std::fmt;

/// What stands in place of a removed value.
pub(crate) const REMOVED: &str = "[removed]";
/// Letters and digits of a member's name that are looked at, from its end.
const NAME_TAIL_CHARS_MAX: usize = 16;
/// How the names of members that hold a credential end, in lower case and without separators.
const SECRET_ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "tokenissued",
    "apikey",
    "privatekey",
    "authorization",
    "cookie",
    "assertion",
    "credential",
];

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
        Self { inner: after(0x36), outer: after(0x5c) }
    }

    /// HMAC-SHA-256 cut to its first 128 bits (RFC 2104 §5).
    pub(crate) fn hash(&self, token: &str) -> TokenHash {
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

/// Does a member of this name hold a credential?
pub(crate) fn is_secret_name(name: &str) -> bool {
    // Nearly all names end as none of them does.
    let mut letters = name.bytes().rev().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    let (last, before) = (letters.next(), letters.next());
    let ends = |ending: &&str| ending.bytes().rev().map(Some).take(2).eq([last, before]);
    if !SECRET_ENDINGS.iter().any(ends) {
        return false;
    }
    // The name's end without separators and in lower case, filled from the right.
    let mut tail = [0; NAME_TAIL_CHARS_MAX];
    let letters = name.bytes().rev().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    tail.iter_mut().rev().zip(letters).for_each(|(to, from)| *to = from);
    SECRET_ENDINGS.iter().any(|ending| tail.ends_with(ending.as_bytes()))
}

/// Takes the value of a member that holds a credential, also deep inside. Truth values and numbers stay
/// (`has_password`, `expires_in`): they are none.
pub(crate) fn remove_secrets(name: &str, value: &mut Json<'_>) {
    match value {
        Json::Text(text) if !text.is_empty() && is_secret_name(name) => *text = Cow::Borrowed(REMOVED),
        Json::Array(values) => values.iter_mut().for_each(|inner| remove_secrets(name, inner)),
        Json::Object(members) => members.iter_mut().for_each(|(inner_name, inner)| remove_secrets(inner_name, inner)),
        _ => {}
    }
}

/// Removes credentials from the query string of a path; `None` if there are none.
pub(crate) fn without_query_secrets(path: &str) -> Option<String> {
    let (before, query) = path.split_at_checked(memchr::memchr(b'?', path.as_bytes())? + 1)?;
    let holds = |pair: &str| pair.split_once('=').is_some_and(|(name, value)| !value.is_empty() && is_secret_name(name));
    if !query.split('&').any(holds) {
        return None;
    }
    let clean = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if holds(pair) => format!("{name}={REMOVED}"),
        _ => pair.to_owned(),
    };
    Some(format!("{before}{}", query.split('&').map(clean).collect::<Vec<_>>().join("&")))
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
            prop_assert_eq!(&TokenHasher::new(&TokenKey(key)).hash(&token).0[..], &library.finalize().into_bytes()[..16]);
        }
    }

    const EXPECTED: &str = "198a607eb44bfbc69903a0f1cf2bbdc5";

    #[test]
    fn names_tell_secrets() {
        for name in ["password", "access_token", "X-Api-Key", "Authorization", "client_secret", "Set-Cookie", "refreshToken", "token"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["token_type", "password_age", "user", "é", "", "cookie_policy"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_of_secrets_go_and_their_names_stay() {
        let text = r#"{"user":"ann","headers":{"Authorization":"Bearer x","cookie":["a","b"]},"has_password":true}"#;
        let mut value = Json::parse(text, &crate::normalise::NormaliseConfig::default()).unwrap();
        remove_secrets("request", &mut value);
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(
            text,
            r#"{"user":"ann","headers":{"Authorization":"[removed]","cookie":["[removed]","[removed]"]},"has_password":true}"#
        );
        assert_eq!(without_query_secrets("/reset?token=abc&next=/a").unwrap(), "/reset?token=[removed]&next=/a");
        assert_eq!(without_query_secrets("/list?page=2"), None);
    }
}

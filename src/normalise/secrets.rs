//! Keeps credentials out of what is stored.
//!
//! Tokens become keyed hashes. Members that are not the event's own but carry a credential by their name
//! (`password`, `access_token`, `Authorization`) lose their value, as do such parameters in the query
//! string of a path. A credential under a harmless name cannot be told and stays.

use super::json::Json;
use bartizan_core::TokenHash;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
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

/// Hashes tokens with a prepared key.
#[derive(Clone)]
pub(crate) struct TokenHasher(Hmac<Sha256>);

impl TokenHasher {
    pub(crate) fn new(key: &TokenKey) -> Self {
        // HMAC fills a short key up to the hash's block with zeros (RFC 2104 §2); done here, nothing can fail.
        let mut block = [0; 64];
        block.iter_mut().zip(key.0).for_each(|(to, from)| *to = from);
        Self(Hmac::new(&block.into()))
    }

    /// HMAC-SHA-256 cut to its first 128 bits (RFC 2104 §5).
    pub(crate) fn hash(&self, token: &str) -> TokenHash {
        let mut mac = self.0.clone();
        mac.update(token.as_bytes());
        let full = mac.finalize().into_bytes();
        let mut cut = [0; 16];
        cut.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        TokenHash(cut)
    }
}

/// Does a member of this name hold a credential?
pub(crate) fn is_secret_name(name: &str) -> bool {
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
    let (before, query) = path.split_once('?')?;
    let holds = |pair: &str| pair.split_once('=').is_some_and(|(name, value)| !value.is_empty() && is_secret_name(name));
    if !query.split('&').any(holds) {
        return None;
    }
    let clean = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if holds(pair) => format!("{name}={REMOVED}"),
        _ => pair.to_owned(),
    };
    Some(format!("{before}?{}", query.split('&').map(clean).collect::<Vec<_>>().join("&")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_hmac_sha_256_cut_in_half() {
        // RFC 4231 has no 32-byte key of this pattern; the value is from `openssl dgst -sha256 -mac HMAC`.
        let hasher = TokenHasher::new(&TokenKey([0x0b; 32]));
        assert_eq!(hasher.hash("Hi There").to_hex(), EXPECTED);
        assert_ne!(hasher.hash("Hi There"), hasher.hash("Hi There "));
        assert_eq!(format!("{:?}", TokenKey([7; 32])), "TokenKey(…)");
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
        let mut value =
            Json::parse(r#"{"user":"ann","headers":{"Authorization":"Bearer x","cookie":["a","b"]},"has_password":true}"#).unwrap();
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

//! Keeps credentials out of what is stored.
//!
//! Tokens become keyed hashes ([`super::token_hash`]). Members that are not the event's own but carry a credential by their name
//! (`password`, `access_token`, `Authorization`) lose their value, as do such parameters in the query
//! string of a path. A credential under a harmless name cannot be told and stays.

use super::json::Json;
use std::borrow::Cow;

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

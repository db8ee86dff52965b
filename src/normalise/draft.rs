//! What a format's parser makes of a record: typed, but neither bounded nor cleaned yet.
//!
//! Only `validate` reads a raw draft; the rest of the daemon sees the `EventDraft` that comes out of it.

use super::json::Json;
use super::reject::{Reject, RejectCode};
use super::time::RawTime;
use bartizan_core::batch::{DraftTexts, Field};
use bartizan_core::{Attestation, Kind, Outcome, TokenHash, UserKind};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// A parsed record on its way to `validate`.
#[derive(Debug, Default)]
pub struct RawDraft<'a> {
    /// When it happened, in whatever form the format has.
    pub time: Option<RawTime<'a>>,
    /// What happened.
    pub kind: Option<Kind>,
    /// How it ended; absent means unknown.
    pub outcome: Option<Outcome>,
    /// Who acts; absent means a person.
    pub user_kind: Option<UserKind>,
    /// Proof of the genuine app; absent means unknown.
    pub attestation: Option<Attestation>,
    /// Client address.
    pub ip: Option<IpAddr>,
    /// The token presented.
    pub token: Option<Secret<'a>>,
    /// The token given in return.
    pub token_issued: Option<Secret<'a>>,
    /// HTTP status.
    pub status: Option<u64>,
    /// Response bytes.
    pub bytes: Option<u64>,
    /// Duration of the request in milliseconds.
    pub duration_ms: Option<u64>,
    /// The text members but `attrs`; empty means absent.
    pub texts: DraftTexts<'a>,
    /// Everything else.
    pub attrs: Attrs<'a>,
}

impl<'a> RawDraft<'a> {
    /// Sets a text member if there is a text.
    pub fn set(&mut self, field: Field, text: Option<Cow<'a, str>>) {
        if let Some(text) = text {
            self.texts.set(field, text);
        }
    }

    /// Reads a client address into the draft.
    ///
    /// # Errors
    /// `bad_address` if it is neither IPv4 nor IPv6.
    pub fn set_ip(&mut self, member: &str, text: &str) -> Result<(), Reject> {
        self.ip = Some(
            parse_ip(text)
                .ok_or_else(|| Reject::new(RejectCode::BadAddress, format!("{member}: is neither an IPv4 nor an IPv6 address")))?,
        );
        Ok(())
    }
}

/// Reads an address: zone ids go (they mean something on one host only), and an IPv4-mapped IPv6
/// address is the IPv4 address that it stands for (RFC 4291 §2.5.5.2).
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Some(ip) = parse_ipv4(text.as_bytes()) {
        return Some(IpAddr::V4(ip));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let text = text.trim();
    let bare = text.split_once('%').map_or(text, |(address, _)| address);
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// A dotted quad without leading zeros, as the standard library reads it, several times faster.
fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut octet, mut digits, mut dots) = (0_u32, 0_u32, 0, 0);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 && !(digits > 0 && octet == 0) => {
                octet = octet * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && octet <= 255 && dots < 3 => {
                address = address << 8 | octet;
                (octet, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    (digits > 0 && octet <= 255 && dots == 3).then(|| Ipv4Addr::from_bits(address << 8 | octet))
}

/// A token: in clear only between parser and validation, which are one call, or already hashed.
pub enum Secret<'a> {
    /// As it stands in the record.
    Clear(Cow<'a, str>),
    /// The keyed hash, in what `bartizan normalise` wrote.
    Hashed(TokenHash),
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Members beside the event's own, in the record's order.
#[derive(Debug, Default)]
pub struct Attrs<'a>(pub(crate) Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Attrs<'a> {
    /// Adds a member; the parser sees to it that names differ. `null` is dropped later.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: Json<'a>) {
        self.0.push((name.into(), value));
    }

    /// Adds a text member if it is not empty.
    pub fn push_text(&mut self, name: &'static str, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        if !text.is_empty() {
            self.0.push((Cow::Borrowed(name), Json::Text(text)));
        }
    }

    /// Is there a member of this name?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quads_are_read_as_the_standard_library_reads_them(text in r"[0-9]{0,4}(\.[0-9]{0,4}){0,4}[.x]?|((0|1?[0-9]{1,2}|2[0-9]{2})\.){3}[0-9]{1,3}") {
            prop_assert_eq!(parse_ipv4(text.as_bytes()), text.parse::<Ipv4Addr>().ok());
        }
    }
}

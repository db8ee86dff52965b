//! One normalised event as detectors and the store see it: a small borrowed view into a batch.
//!
//! Strings live in the batch's text arena, so a view is two pointers and costs nothing to copy. An
//! empty string and an absent member are the same thing: absent.

use crate::batch::{Field, Record};
use crate::client::Software;
use crate::colleagues::Voucher;
use crate::common::Common;
use crate::keys::{Key, KeyKind};
use crate::people::Person;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::net::IpAddr;

/// Declares a closed set of names with their wire form, parse and print.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in wire order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name as it stands in records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value with this name; `None` if there is none.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
    };
}
pub(crate) use names;

names! {
    /// What happened.
    Kind {
        /// Someone tried to sign in.
        Login = "login",
        /// Someone signed out.
        Logout = "logout",
        /// A token was issued.
        TokenIssue = "token_issue",
        /// A refresh token was presented for a new one (RFC 6749 §6).
        TokenRefresh = "token_refresh",
        /// A token was revoked (RFC 7009).
        TokenRevoke = "token_revoke",
        /// A second factor was asked for.
        MfaChallenge = "mfa_challenge",
        /// A second factor was answered.
        MfaResult = "mfa_result",
        /// A signed-in user changed the password.
        PasswordChange = "password_change",
        /// The password was reset by a recovery flow.
        PasswordReset = "password_reset",
        /// E-mail, phone, factor or another part of the account was changed.
        AccountChange = "account_change",
        /// A new account was made.
        Signup = "signup",
        /// A call to the product's API.
        ApiRequest = "api_request",
        /// Anything else.
        Other = "other",
    }
}

names! {
    /// How it ended.
    Outcome {
        /// It was done.
        Success = "success",
        /// It was tried and failed (wrong password, wrong code).
        Failure = "failure",
        /// Policy refused it.
        Denied = "denied",
        /// The log does not say.
        Unknown = "unknown",
    }
}

names! {
    /// Who acts.
    UserKind {
        /// A person.
        Human = "human",
        /// A program with its own credential.
        Service = "service",
    }
}

names! {
    /// What the backend logged of the client's proof that it is the genuine app.
    Attestation {
        /// The proof was valid.
        Passed = "passed",
        /// The proof was missing where it is required, or wrong.
        Failed = "failed",
        /// Nothing is known.
        Unknown = "unknown",
    }
}

names! {
    /// What kind of network an address belongs to.
    NetworkClass {
        /// Homes: cable, DSL, fibre.
        Residential = "residential",
        /// Cellular carriers, often with gateways far from their users.
        Mobile = "mobile",
        /// Clouds and hosting companies.
        Hosting = "hosting",
        /// Commercial VPN services.
        Vpn = "vpn",
        /// Privacy relays (Apple's iCloud Private Relay and the like) and Tor.
        Relay = "relay",
        /// Satellite and in-flight access.
        Satellite = "satellite",
        /// Offices, universities, agencies.
        Corporate = "corporate",
        /// Not known.
        Unknown = "unknown",
    }
}

impl NetworkClass {
    /// Does an address in such a network say where its user is? False for what moves people on the
    /// map without moving them (VPN, relay, satellite, hosting).
    #[must_use]
    pub const fn tells_place(self) -> bool {
        !matches!(self, Self::Vpn | Self::Relay | Self::Satellite | Self::Hosting)
    }
}

/// A keyed hash of a token (HMAC-SHA-256 cut to 128 bits, RFC 2104 §5). The token itself is never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenHash(pub [u8; 16]);

impl TokenHash {
    /// The hash as 32 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::with_capacity(32), |mut text, byte| {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").ok();
            text
        })
    }

    /// The hash in 64 bits, for keys; never 0.
    #[must_use]
    pub fn folded(self) -> u64 {
        let bits = u128::from_be_bytes(self.0);
        let (high, low) = ((bits >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15, bits as u64 ^ 0xbf58_476d_1ce4_e5b9);
        let product = u128::from(high) * u128::from(low);
        ((product >> 64) as u64 ^ product as u64).max(1)
    }

    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// Where an address lies, as far as a place file knows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// ISO 3166-1 alpha-2, upper case; zeros if unknown.
    pub country: [u8; 2],
    /// Degrees north.
    pub latitude: f32,
    /// Degrees east.
    pub longitude: f32,
    /// Radius within which the true place lies with some confidence, in kilometres; a file without
    /// one leaves the reader's default.
    pub accuracy_km: u16,
}

impl Place {
    /// The country's two letters, or an empty string.
    #[must_use]
    pub fn country_str(&self) -> &str {
        std::str::from_utf8(&self.country).ok().map_or("", |text| text.trim_end_matches('\0'))
    }
}

/// A borrowed view of one event. All strings are bounded and free of NUL.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    pub(crate) text: &'a str,
    pub(crate) record: &'a Record,
    pub(crate) person: Option<&'a Person>,
    pub(crate) common: Option<&'a dyn Common>,
}

/// Declares one accessor for each text member.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $field:ident,)+) => {
        $($(#[$doc])* #[must_use] pub fn $name(&self) -> Option<&'a str> { self.optional(Field::$field) })+
    };
}

impl<'a> Event<'a> {
    pub(crate) fn new(text: &'a str, record: &'a Record) -> Self {
        Self { text, record, person: None, common: None }
    }

    /// What is known of the event's person, for detectors that
    /// [go by it](crate::Detector::goes_by_people); `None` for all others.
    #[must_use]
    pub fn person(&self) -> Option<&'a Person> {
        self.person
    }

    /// The [common part](crate::common) of the detector that looks at the event, if it is of this type.
    #[must_use]
    pub fn common<T: Common>(&self) -> Option<&'a T> {
        (self.common? as &dyn Any).downcast_ref()
    }

    /// The event for a detector with this common part.
    #[must_use]
    pub fn with_common(self, common: Option<&'a dyn Common>) -> Self {
        Self { common, ..self }
    }

    fn optional(&self, field: Field) -> Option<&'a str> {
        let text = self.text(field);
        (!text.is_empty()).then_some(text)
    }

    /// The text of a member; empty if absent.
    #[must_use]
    pub fn text(&self, field: Field) -> &'a str {
        self.record.text(field).of(self.text)
    }

    texts! {
        /// Why it failed, e.g. `bad_password`, `unknown_user`, `locked`, `mfa_denied`.
        reason = Reason,
        /// The system that wrote it.
        source = Source,
        /// Stable user id or login name.
        user = User,
        /// The client's user agent.
        user_agent = UserAgent,
        /// Stable device id or fingerprint.
        device = Device,
        /// JA4 fingerprint of the TLS client.
        ja4 = Ja4,
        /// Client application (OAuth client).
        app = App,
        /// OAuth grant.
        grant = Grant,
        /// OAuth scopes, separated by spaces.
        scope = Scope,
        /// Second factor.
        factor = Factor,
        /// Session id.
        session = Session,
        /// Public handle of the token (`jti`).
        token_id = TokenId,
        /// HTTP method.
        method = Method,
        /// HTTP path.
        path = Path,
        /// Everything else, as one JSON object.
        attrs = Attrs,
        /// First-level subdivision of the country, from a place file.
        region = Region,
        /// City, from a place file.
        city = City,
        /// Name of the autonomous system.
        network_name = NetworkName,
    }

    /// Id of the event within tenant and time.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.text(Field::Id)
    }
    /// Tenant; state and queries never cross tenants.
    #[must_use]
    pub fn tenant(&self) -> &'a str {
        self.text(Field::Tenant)
    }
    /// Event time.
    #[must_use]
    pub fn time_ms(&self) -> i64 {
        self.record.time_ms
    }
    /// When it arrived, as the recorded order says; in a replay its event time.
    #[must_use]
    pub fn arrival_ms(&self) -> i64 {
        self.record.arrival_ms
    }
    /// Position in the recorded order.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.record.seq
    }
    /// Event time before which no event will be judged any more, as of this event.
    #[must_use]
    pub fn watermark_ms(&self) -> i64 {
        self.record.watermark_ms
    }
    /// What happened.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.record.kind
    }
    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.record.outcome
    }
    /// Who acts.
    #[must_use]
    pub fn user_kind(&self) -> UserKind {
        self.record.user_kind
    }
    /// Proof of the genuine app.
    #[must_use]
    pub fn attestation(&self) -> Attestation {
        self.record.attestation
    }
    /// Client address; IPv4-mapped IPv6 addresses arrive as IPv4.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.record.ip
    }
    /// Keyed hash of the token presented (on `token_issue`: the one issued).
    #[must_use]
    pub fn token(&self) -> Option<TokenHash> {
        self.record.token
    }
    /// Keyed hash of the refresh token given in return, on `token_refresh`.
    #[must_use]
    pub fn token_issued(&self) -> Option<TokenHash> {
        self.record.token_issued
    }
    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.record.status
    }
    /// Response size in bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.record.bytes
    }
    /// Duration of the request in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        self.record.duration_ms
    }
    /// Where the address lies.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.record.place
    }
    /// Number of the autonomous system; 0 if unknown.
    #[must_use]
    pub fn asn(&self) -> u32 {
        self.record.asn
    }
    /// Class of the network.
    #[must_use]
    pub fn network_class(&self) -> NetworkClass {
        self.record.network_class
    }
    /// Prints of the client software, set with the keys.
    #[must_use]
    pub fn software(&self) -> Software {
        self.record.software
    }
    /// Print of the region within its country, set with the keys; 0 if there is none.
    #[must_use]
    pub fn region_print(&self) -> u32 {
        self.record.region
    }
    /// The hashed key of one kind; `None` if the event has no such member.
    #[must_use]
    pub fn key(&self, kind: KeyKind) -> Option<Key> {
        self.record.key(kind)
    }
    /// Hash of tenant, id and time: what makes two records one event. Collisions are negligible among the
    /// events of one lateness.
    #[must_use]
    pub fn identity(&self) -> u64 {
        self.record.identity
    }
    /// Is the event within the lateness, seen for the first time, and so to be judged?
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.record.judged
    }
    /// What [colleagues](crate::colleagues) vouch for this sign-in with: it is no stranger's, however new for its person.
    #[must_use]
    pub fn voucher(&self) -> Option<Voucher> {
        self.record.standing.voucher
    }
    /// Share of its country among those that [colleagues](crate::colleagues) are at home in, from 0 to 1; known of sign-ins.
    #[must_use]
    pub fn country_share(&self) -> f32 {
        self.record.standing.country_share
    }
    /// The record behind the view, for the code that moves events around.
    #[must_use]
    pub fn record(&self) -> &'a Record {
        self.record
    }
}

//! Why a record was not taken.
//!
//! A reject is for people (the reason, which names the member) and for metrics (the code, from a closed
//! set). A reason never quotes the record: what stands there may be a secret or endless.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// What rule a record broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RejectCode { $($(#[$doc])* $variant,)+ }

        impl RejectCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name, as it stands in metrics and headers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// The bytes are not UTF-8.
    NotUtf8 = "not_utf8",
    /// Not JSON, or cut off.
    NotJson = "not_json",
    /// JSON, but not an object.
    NotObject = "not_object",
    /// Not a line of the format asked for.
    Malformed = "malformed",
    /// No format recognises the record.
    UnknownFormat = "unknown_format",
    /// The record, a member, or the number of members is over its limit.
    TooLarge = "too_large",
    /// Nested deeper than the limit.
    TooDeep = "too_deep",
    /// A member stands twice in one object.
    DuplicateMember = "duplicate_member",
    /// A required member is absent.
    MissingMember = "missing_member",
    /// A member has another JSON type than it should.
    WrongType = "wrong_type",
    /// A name that is not in the member's list.
    UnknownValue = "unknown_value",
    /// A number or a time that cannot be.
    OutOfRange = "out_of_range",
    /// Text that is no time.
    BadTime = "bad_time",
    /// Text that is no IP address.
    BadAddress = "bad_address",
    /// Older than what is kept.
    TooOld = "too_old",
    /// Further ahead of the clock than is allowed.
    InTheFuture = "in_the_future",
    /// Names another tenant than the one its token stands for.
    WrongTenant = "wrong_tenant",
    /// Names a tenant that is reserved for the daemon itself.
    ReservedTenant = "reserved_tenant",
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Reject {
    /// The rule, for metrics and headers.
    pub code: RejectCode,
    /// One sentence for people. It names the member and quotes nothing.
    pub reason: String,
}

impl Reject {
    /// A reject with a reason in words.
    #[must_use]
    pub fn new(code: RejectCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub(crate) fn wrong_type(member: &str, wanted: &str) -> Self {
        Self::new(RejectCode::WrongType, format!("{}: must be {wanted}", name_shown(member)))
    }

    pub(crate) fn missing(member: &str) -> Self {
        Self::new(RejectCode::MissingMember, format!("{member}: is required"))
    }

    pub(crate) fn duplicate(member: &str) -> Self {
        Self::new(RejectCode::DuplicateMember, format!("{}: stands twice", name_shown(member)))
    }

    pub(crate) fn out_of_range(member: &str, range: &str) -> Self {
        Self::new(RejectCode::OutOfRange, format!("{member}: must be {range}"))
    }

    pub(crate) fn too_large(member: &str, bytes_max: usize) -> Self {
        Self::new(RejectCode::TooLarge, format!("{}: longer than {bytes_max} bytes", name_shown(member)))
    }
}

/// Characters of a member's name that a reason repeats: names come from the record, too.
const NAME_CHARS_MAX: usize = 64;

/// A member's name as a reason may show it: bounded, and without control characters.
pub(crate) fn name_shown(name: &str) -> String {
    let mut shown: String = name.chars().take(NAME_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.len() < name.len() && name.chars().nth(NAME_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

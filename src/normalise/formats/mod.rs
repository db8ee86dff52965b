//! The log formats: one file each, and the one list of them.
//!
//! A new format is a file with a [`FormatSpec`], a line in [`SPECS`], and a folder of fixtures. The
//! command line, `auto`, the documentation and the tests all go by the list.

mod accounts;
pub(in crate::normalise) mod bartizan;
mod keycloak;
mod ocsf;
mod openssh;
mod pam;
mod sshd;
pub mod syslog;

use super::NormaliseConfig;
use super::draft::RawDraft;
use super::json::{self, Json};
use super::proxies::Proxies;
use super::reject::{Reject, RejectCode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::OnceCell;
use std::fmt;
use std::str::FromStr;

/// One log format.
pub struct FormatSpec {
    /// Its name on the command line and in the configuration.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// How sure it is that a record is its own.
    pub detect: fn(&Record<'_>) -> Confidence,
    /// Reads a record. `Ok(None)`: one of its own, with nothing to see.
    pub parse: for<'a> fn(&Record<'a>, &Env<'_>) -> Result<Option<RawDraft<'a>>, Reject>,
}

/// All formats, in the order in which they are listed; of equally sure ones, `auto` takes the first.
pub static SPECS: &[&FormatSpec] = &[&bartizan::SPEC, &ocsf::SPEC, &keycloak::SPEC, &sshd::SPEC];

/// How sure a format is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Not this format.
    No,
    /// Has the outer form, which others share (any syslog line).
    Weak,
    /// Has members or words that hardly any other has.
    Likely,
    /// Has the format's own mark.
    Sure,
}

/// What the configuration adds to a record.
#[derive(Clone, Copy)]
pub struct Env<'e> {
    /// The operator's own proxies.
    pub proxies: &'e Proxies,
    /// How large what is in a record may be.
    pub limits: &'e NormaliseConfig,
}

/// One record: text without surrounding blanks, never empty.
pub struct Record<'a> {
    /// The text.
    pub text: &'a str,
    members: OnceCell<Vec<&'a str>>,
}

impl<'a> Record<'a> {
    /// A record of a text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, members: OnceCell::new() }
    }

    /// Does it look like a JSON object?
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    /// Is it an object with this member?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.is_object() && self.members.get_or_init(|| json::top_members(self.text)).contains(&name)
    }
}

/// How a source's records are read.
#[derive(Clone, Copy)]
pub enum Format {
    /// Each record by the format that is surest of it.
    Auto,
    /// Events as HTTP ingest writes them to our own log. Cannot be asked for by name.
    Canonical,
    /// The same as the canary writes them to its topic. Cannot be asked for by name.
    Canary,
    /// One format.
    Of(&'static FormatSpec),
}

impl Format {
    /// The native format.
    pub const BARTIZAN: Self = Self::Of(&bartizan::SPEC);
    /// OCSF.
    pub const OCSF: Self = Self::Of(&ocsf::SPEC);
    /// OpenSSH and the other programs that write to `auth.log`.
    pub const SSHD: Self = Self::Of(&sshd::SPEC);

    /// The format of this name; `None` if there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            _ => SPECS.iter().find(|spec| spec.name == name).map(|spec| Self::Of(spec)),
        }
    }

    /// The names that can be asked for.
    pub fn names() -> impl Iterator<Item = &'static str> {
        std::iter::once("auto").chain(SPECS.iter().map(|spec| spec.name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Canonical => "canonical",
            Self::Canary => "canary",
            Self::Of(spec) => spec.name,
        }
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Format {}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Self::parse(name).ok_or_else(|| format!("unknown format; one of {}", Self::names().collect::<Vec<_>>().join(", ")))
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The format that is surest of a record.
pub(crate) fn recognise(record: &Record<'_>, limits: &NormaliseConfig) -> Result<&'static FormatSpec, Reject> {
    let mut best: (Confidence, Option<&'static FormatSpec>) = (Confidence::No, None);
    for spec in SPECS {
        let confidence = (spec.detect)(record);
        if confidence > best.0 {
            best = (confidence, Some(spec));
        }
    }
    best.1.ok_or_else(|| unrecognised(record, limits))
}

/// Broken JSON deserves a better word than «unknown format».
fn unrecognised(record: &Record<'_>, limits: &NormaliseConfig) -> Reject {
    if record.is_object()
        && let Err(reject) = Json::parse(record.text, limits)
    {
        return reject;
    }
    Reject::new(RejectCode::UnknownFormat, "no format recognises this record")
}

//! Suppressions: findings about something that people know to be harmless (a scanner that is paid for, a monitor, a
//! travel desk) open no alert.
//!
//! A suppressed finding is never lost: it is counted in the ledger, by suppression, with a sample of it; what detectors
//! themselves excuse (a known device far away, a relay) stands there, too, by the gate that excused it, and so does what
//! an open [circuit breaker](crate::detect::breaker) folds into a campaign. What is suppressed for all detectors is not
//! learnt as its person's either. Each entry belongs to a tenant, has an owner, a reason and an end. It is about one
//! [entity](About::Entity), or about all events of which an [expression](When) holds: conditions tied by `all`, `any` and
//! `not`. Entries that name something which can be looked up (all but beginnings of texts and what is only negated) are
//! found by it; the others are gone through. Changes are made at run time and take effect with an entry of the recorded
//! order, so that a restart judges again as it was judged then: entries are kept with the versions of the list between
//! which they were in it, and the order says which version counts from where on. Time is the recorded arrival.

mod ledger;
mod list;
mod rule;
mod source;
mod when;

pub use ledger::{By, Held, Tally};
pub use list::Suppressions;
pub use rule::{Condition, Rule};
pub use source::Lists;
pub use when::{Expression, Matching, When, Wrong};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Bytes of one value.
const VALUE_BYTES_MAX: usize = 1_024;

/// What a suppression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A user.
    User,
    /// An address, or a network in CIDR notation.
    Ip,
    /// An autonomous system: `AS64496`.
    Network,
    /// A device id.
    Device,
    /// A session.
    Session,
    /// A user agent, to the letter.
    UserAgent,
    /// A client application.
    App,
    /// A country or a region of it, as a place file names them: `DE`, `DE/Bavaria`.
    Place,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [Self::User, Self::Ip, Self::Network, Self::Device, Self::Session, Self::UserAgent, Self::App, Self::Place];

    /// Its name in the API and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ip => "ip",
            Self::Network => "network",
            Self::Device => "device",
            Self::Session => "session",
            Self::UserAgent => "user_agent",
            Self::App => "app",
            Self::Place => "place",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Do beginnings of its values mean anything?
    pub(super) const fn has_prefixes(self) -> bool {
        matches!(self, Self::User | Self::Device | Self::UserAgent | Self::App)
    }

    /// The value in the form in which it is compared.
    ///
    /// # Errors
    /// It is none of this kind.
    pub fn normal(self, value: &str) -> Result<String, &'static str> {
        match self {
            _ if value.len() > VALUE_BYTES_MAX => Err("must have at most 1024 bytes"),
            Self::Ip => {
                let net = value.parse::<IpNet>().or_else(|_| value.parse::<std::net::IpAddr>().map(|ip| IpNet::from(ip.to_canonical())));
                net.map(|net| net.trunc().to_string()).map_err(|_| "must be an address or a CIDR block")
            }
            Self::Network => {
                let number = value.strip_prefix("AS").unwrap_or(value).parse::<u32>().ok().filter(|number| *number > 0);
                number.map(|number| format!("AS{number}")).ok_or("must be the number of an autonomous system, like AS64496")
            }
            Self::Place => {
                let parts = value.split_at_checked(2).filter(|(country, region)| {
                    let is_region = region.strip_prefix('/').is_some_and(|name| !name.trim().is_empty());
                    country.bytes().all(|byte| byte.is_ascii_alphabetic()) && (region.is_empty() || is_region)
                });
                let place = parts.map(|(country, region)| country.to_ascii_uppercase() + region);
                place.ok_or("must be a country or a region of it, like DE or DE/Bavaria")
            }
            _ if value.trim().is_empty() => Err("must not be empty"),
            _ => Ok(value.to_owned()),
        }
    }
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    /// One thing.
    Entity {
        /// What it is.
        kind: Kind,
        /// Which one, in [normal form](Kind::normal).
        value: String,
    },
    /// All of which this holds.
    When(Expression),
}

impl About {
    /// What has to hold of an event, ready to be asked.
    #[must_use]
    pub fn rule(&self) -> Arc<Rule> {
        match self {
            Self::Entity { kind, value } => {
                Arc::new(Rule::One(Condition::new(*kind, Matching::Exact, "entity", std::iter::once(value.as_str()))))
            }
            Self::When(expression) => expression.rule(),
        }
    }
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Its id.
    pub id: String,
    /// The tenant whose findings it holds back.
    pub tenant: String,
    /// The one detector that it is for; none: all.
    pub detector: Option<String>,
    /// What it is about.
    pub about: About,
    /// Name of the token that made it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
    /// Version of the list that has it first.
    pub added: u64,
    /// Version of the list that lacks it again.
    pub removed: Option<u64>,
}

impl Suppression {
    /// Is it in this version of the list?
    #[must_use]
    pub fn is_in(&self, version: u64) -> bool {
        self.added <= version && self.removed.is_none_or(|removed| removed > version)
    }

    /// Does it count for a detector, or for all, when something arrives then?
    pub(super) fn counts(&self, detector: Option<&str>, arrival_ms: i64) -> bool {
        let is_for = self.detector.is_none() || self.detector.as_deref() == detector;
        is_for && arrival_ms < self.expires_ms
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

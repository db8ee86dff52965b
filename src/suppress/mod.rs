//! Suppressions: findings about something that people know to be harmless (a scanner that is paid for, a monitor, a
//! travel desk) open no alert.
//!
//! A suppressed finding is never lost: it is counted in the ledger, by suppression, with a sample of it; what detectors
//! themselves excuse (a known device far away, a relay) stands there, too, by the gate that excused it, and so does what
//! an open [circuit breaker](crate::detect::breaker) folds into a campaign. What is suppressed for all detectors is not
//! learnt as its person's either. Each entry belongs to a tenant, has an owner, a reason and an end. Changes are made at
//! run time and take effect with an entry of the recorded order, so that a restart judges again as it was judged then:
//! entries are kept with the versions of the list between which they were in it, and the order says which version
//! counts from where on. Time is the recorded arrival.

mod ledger;
mod source;

pub use ledger::{By, Held, Tally};
pub use source::Lists;

use bartizan_core::Event;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;

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
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::User, Self::Ip, Self::Network, Self::Device, Self::Session, Self::UserAgent, Self::App];

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
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The value in the form in which it is compared.
    ///
    /// # Errors
    /// It is none of this kind.
    pub fn normal(self, value: &str) -> Result<String, &'static str> {
        match self {
            Self::Ip => {
                let net = value.parse::<IpNet>().or_else(|_| value.parse::<std::net::IpAddr>().map(|ip| IpNet::from(ip.to_canonical())));
                net.map(|net| net.trunc().to_string()).map_err(|_| "must be an address or a CIDR block")
            }
            Self::Network => {
                let number = value.strip_prefix("AS").unwrap_or(value).parse::<u32>().ok().filter(|number| *number > 0);
                number.map(|number| format!("AS{number}")).ok_or("must be the number of an autonomous system, like AS64496")
            }
            _ if value.trim().is_empty() => Err("must not be empty"),
            _ => Ok(value.to_owned()),
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
    pub kind: Kind,
    /// Which one, in [normal form](Kind::normal).
    pub value: String,
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

    fn counts(&self, detector: Option<&str>, arrival_ms: i64) -> bool {
        let is_for = self.detector.is_none() || self.detector.as_deref() == detector;
        is_for && arrival_ms < self.expires_ms
    }
}

/// One version of the list, to be asked.
#[derive(Debug, Default)]
pub struct Suppressions {
    entries: Vec<Suppression>,
    /// Entries by tenant, kind and value.
    exact: HashMap<(String, Kind, String), Vec<usize>>,
    /// Entries of networks, by tenant.
    nets: HashMap<String, Vec<(IpNet, usize)>>,
}

impl Suppressions {
    /// The list of these entries.
    #[must_use]
    pub fn new(entries: Vec<Suppression>) -> Self {
        let mut list = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            match entry.value.parse::<IpNet>() {
                Ok(net) if entry.kind == Kind::Ip => list.nets.entry(entry.tenant.clone()).or_default().push((net, index)),
                _ => list.exact.entry((entry.tenant.clone(), entry.kind, entry.value.clone())).or_default().push(index),
            }
        }
        Self { entries, ..list }
    }

    /// Is nothing suppressed? Then nothing has to be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry that holds back what `detector` says of an event; none as a detector: what is held back of all.
    #[must_use]
    pub fn of(&self, event: &Event<'_>, detector: Option<&str>) -> Option<&Suppression> {
        if self.is_empty() {
            return None;
        }
        let tenant = event.tenant();
        let network = (event.asn() != 0).then(|| format!("AS{}", event.asn()));
        let values = [
            (Kind::User, event.user()),
            (Kind::Network, network.as_deref()),
            (Kind::Device, event.device()),
            (Kind::Session, event.session()),
            (Kind::UserAgent, event.user_agent()),
            (Kind::App, event.app()),
        ];
        let named = |(kind, value): (Kind, Option<&str>)| self.exact.get(&(tenant.to_owned(), kind, value?.to_owned()));
        let exact = values.into_iter().filter_map(named).flatten().copied();
        let address = event.ip().map(|ip| ip.to_canonical());
        let nets = self.nets.get(tenant).into_iter().flatten();
        let nets = nets.filter(|(net, _)| address.is_some_and(|ip| net.contains(&ip))).map(|(_, index)| *index);
        let entries = exact.chain(nets).filter_map(|index| self.entries.get(index));
        // Several may hold it: the oldest is named, always the same one.
        entries.filter(|entry| entry.counts(detector, event.arrival_ms())).min_by_key(|entry| (entry.added, &entry.id))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

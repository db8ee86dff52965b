//! Whom something concerns: which of the entities that an alert or an incident names a channel or a policy is about.

use bartizan_core::{EntityKind, Subject};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Bytes of one pattern.
const PATTERN_BYTES_MAX: usize = 256;

/// Entities that are meant, as they stand in the configuration: a kind, a colon and a value, in which `*` stands for
/// anything (`user:*@board.example`, `network:AS64496`); of addresses the value is an address or a network in CIDR
/// notation (`ip:203.0.113.0/24`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntityPattern {
    text: String,
    kind: EntityKind,
    net: Option<IpNet>,
}

impl TryFrom<String> for EntityPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{text:?}: {what}"));
        if text.len() > PATTERN_BYTES_MAX {
            return wrong("must have at most 256 bytes");
        }
        let Some((kind, value)) = text.split_once(':').filter(|(_, value)| !value.is_empty()) else {
            return wrong("must be a kind and a value, like user:*@board.example or ip:203.0.113.0/24");
        };
        let Some(kind) = EntityKind::parse(kind) else {
            return wrong("begins with none of user, ip, session, device, network, token");
        };
        let net = match kind {
            EntityKind::Ip => match value.parse().or_else(|_| value.parse().map(|ip: IpAddr| IpNet::from(ip.to_canonical()))) {
                Ok(net) => Some(net),
                Err(_) => return wrong("needs an address or a network in CIDR notation"),
            },
            _ => None,
        };
        Ok(Self { text, kind, net })
    }
}

impl From<EntityPattern> for String {
    fn from(pattern: EntityPattern) -> Self {
        pattern.text
    }
}

impl EntityPattern {
    /// Is this one of them?
    #[must_use]
    pub fn takes(&self, subject: &Subject) -> bool {
        subject.kind == self.kind && self.has(&subject.value)
    }

    fn has(&self, value: &str) -> bool {
        match self.net {
            Some(net) => value.parse::<IpAddr>().is_ok_and(|ip| net.contains(&ip.to_canonical())),
            None => self.text.split_once(':').is_some_and(|(_, pattern)| is_like(pattern, value)),
        }
    }

    /// Does a list of them leave one in, by those of its kind? What is not known fits none.
    #[must_use]
    pub fn leave_in(all: &[Self], kind: EntityKind, value: Option<&str>) -> bool {
        let mut of_kind = all.iter().filter(|pattern| pattern.kind == kind).peekable();
        of_kind.peek().is_none() || value.is_some_and(|value| of_kind.any(|pattern| pattern.has(value)))
    }

    /// Is one of the subjects in the list? An empty one has all.
    #[must_use]
    pub fn name_one(all: &[Self], subjects: &[Subject]) -> bool {
        all.is_empty() || subjects.iter().any(|subject| Self::has_one(all, subject))
    }

    fn has_one(all: &[Self], subject: &Subject) -> bool {
        all.is_empty() || all.iter().any(|pattern| pattern.takes(subject))
    }
}

/// Is a text like a pattern, in which `*` stands for anything?
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_suffix(end) else { return false };
    middle.split('*').all(|piece| {
        let found = text.split_once(piece);
        text = found.map_or("", |(_, after)| after);
        found.is_some()
    })
}

/// Which of them something must name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concern {
    /// One of these; empty: anybody.
    pub entities: Vec<EntityPattern>,
    /// And it must have been hit: somebody got in, a token was used.
    pub only_hits: bool,
}

impl Concern {
    /// Do they name one that is meant?
    #[must_use]
    pub fn is_met(&self, subjects: &[Subject]) -> bool {
        match self.only_hits {
            true => subjects.iter().any(|subject| subject.hit && EntityPattern::has_one(&self.entities, subject)),
            false => EntityPattern::name_one(&self.entities, subjects),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use bartizan_core::Role;

    fn pattern(text: &str) -> EntityPattern {
        text.to_owned().try_into().unwrap()
    }

    fn victim(kind: EntityKind, value: &str) -> Subject {
        Subject::new(kind, value, Role::Victim)
    }

    #[test]
    fn patterns_take_what_they_say() {
        let users = [("user:ann", "ann", true), ("user:ann", "anna", false), ("user:*@board.example", "kim@board.example", true)];
        let more = [("user:*", "", true), ("user:a*a", "a", false), ("user:a*b*c", "a-b-b-c", true), ("user:a*b*c", "acb", false)];
        for (text, value, takes) in users.into_iter().chain(more) {
            assert_eq!(pattern(text).takes(&victim(EntityKind::User, value)), takes, "{text} {value}");
        }
        let within = pattern("ip:203.0.113.0/24");
        for (value, takes) in [("203.0.113.9", true), ("203.0.114.9", false), ("2001:db8::1", false), ("no address", false)] {
            assert_eq!(within.takes(&victim(EntityKind::Ip, value)), takes, "{value}");
        }
        assert!(pattern("ip:2001:db8::/32").takes(&victim(EntityKind::Ip, "2001:db8::1")));
        assert!(!within.takes(&victim(EntityKind::User, "203.0.113.9")));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_would_be_one() {
        for text in ["", "user", "user:", "person:ann", "ip:203.0.113.0/33", "ip:*", &format!("user:{}", "x".repeat(300))] {
            assert!(EntityPattern::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hit_counts_where_it_is_of_one_that_is_meant() {
        let subjects = [victim(EntityKind::User, "ann"), victim(EntityKind::User, "bob").hit()];
        let met = |entities: &[&str], only_hits| {
            let entities = entities.iter().map(|text| pattern(text)).collect();
            Concern { entities, only_hits }.is_met(&subjects)
        };
        assert!(met(&[], false) && met(&[], true) && met(&["user:ann"], false) && met(&["user:x", "user:bob"], true));
        assert!(!met(&["user:ann"], true) && !met(&["user:x"], false));
        assert!(!Concern { only_hits: true, ..Concern::default() }.is_met(&subjects[..1]));
    }
}

//! What an entry asks of an event, made ready once so that it is quickly asked.

use super::Kind;
use super::when::Matching;
use bartizan_core::Event;
use bartizan_core::batch::Field;
use ipnet::IpNet;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Bound;

/// What has to hold.
#[derive(Debug)]
pub enum Rule {
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// This.
    One(Condition),
}

impl Rule {
    /// Does it hold, if `ask` knows of each condition whether that does? `None`: that is not to be known.
    pub fn judge(&self, ask: &impl Fn(&Condition) -> Option<bool>) -> Option<bool> {
        match self {
            Self::All(rules) => all(rules.iter().map(|rule| rule.judge(ask))),
            // One holds unless all fail.
            Self::Any(rules) => all(rules.iter().map(|rule| rule.judge(ask).map(|holds| !holds))).map(|none| !none),
            Self::Not(rule) => rule.judge(ask).map(|holds| !holds),
            Self::One(condition) => ask(condition),
        }
    }

    /// Does it hold of an event that says this?
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        self.judge(&|condition| Some(condition.holds(facts))) == Some(true)
    }

    /// Conditions one of which holds wherever the rule does, all of them to be looked up by value; none if there
    /// are no such.
    pub fn anchors(&self) -> Option<Vec<&Condition>> {
        match self {
            Self::All(rules) => rules.iter().find_map(Self::anchors),
            Self::Any(rules) => rules.iter().map(Self::anchors).collect::<Option<Vec<_>>>().map(|all| all.into_iter().flatten().collect()),
            Self::Not(_) => None,
            Self::One(condition) => (!matches!(condition.values, Values::Prefixes(_))).then(|| vec![condition]),
        }
    }

    /// Shows each condition, in the order in which they were written.
    pub fn each<'r>(&'r self, visit: &mut impl FnMut(&'r Condition)) {
        match self {
            Self::All(rules) | Self::Any(rules) => rules.iter().for_each(|rule| rule.each(visit)),
            Self::Not(rule) => rule.each(visit),
            Self::One(condition) => visit(condition),
        }
    }
}

/// False if one is, else unknown if one is.
fn all(mut judged: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let known = judged.try_fold(true, |known, holds| match holds {
        Some(false) => None,
        Some(true) => Some(known),
        None => Some(false),
    });
    known.map_or(Some(false), |known| known.then_some(true))
}

/// One member of an event is one of these.
#[derive(Debug)]
pub struct Condition {
    /// Which member.
    pub kind: Kind,
    /// Where it was written, like `when.all[1]`.
    pub at: String,
    /// What it is compared with.
    pub values: Values,
}

/// What a member is compared with.
#[derive(Debug)]
pub enum Values {
    /// Whole texts.
    Texts(HashSet<String>),
    /// Beginnings of texts, none of which begins with another one.
    Prefixes(BTreeSet<String>),
    /// Networks of addresses.
    Nets(Nets<()>),
}

impl Condition {
    /// A condition of values in [normal form](Kind::normal).
    pub fn new<'v>(kind: Kind, matching: Matching, at: &str, values: impl Iterator<Item = &'v str>) -> Self {
        let values = match (kind, matching) {
            (Kind::Ip, _) => {
                let mut nets = Nets::default();
                values.filter_map(|value| value.parse().ok()).for_each(|net| *nets.entry(net) = ());
                Values::Nets(nets)
            }
            (_, Matching::Exact) => Values::Texts(values.map(str::to_owned).collect()),
            (_, Matching::Prefix) => {
                let mut sorted: Vec<_> = values.map(str::to_owned).collect();
                sorted.sort();
                sorted.dedup_by(|next, kept| next.starts_with(kept.as_str()));
                Values::Prefixes(sorted.into_iter().collect())
            }
        };
        Self { kind, at: at.to_owned(), values }
    }

    /// Is this value of its kind one of these?
    pub fn has(&self, value: &str) -> bool {
        match &self.values {
            Values::Texts(texts) => texts.contains(value),
            // Nothing stands between a text and its beginning but longer beginnings, of which there are none.
            Values::Prefixes(prefixes) => {
                let up_to = (Bound::Unbounded, Bound::Included(value));
                prefixes.range::<str, _>(up_to).next_back().is_some_and(|prefix| value.starts_with(prefix.as_str()))
            }
            Values::Nets(nets) => value.parse().is_ok_and(|ip| nets.of(ip).next().is_some()),
        }
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
        match &self.values {
            Values::Nets(nets) => facts.ip.is_some_and(|ip| nets.of(ip).next().is_some()),
            _ => facts.texts(self.kind).into_iter().flatten().any(|text| self.has(text)),
        }
    }
}

/// What stands with networks of addresses, found in one step for each length of prefix that there is.
#[derive(Debug, Default)]
pub struct Nets<V> {
    /// Lengths of prefixes in bits, of IPv4 and of IPv6.
    lengths: BTreeSet<(bool, u8)>,
    nets: HashMap<IpNet, V>,
}

impl<V: Default> Nets<V> {
    /// What stands with a network.
    pub fn entry(&mut self, net: IpNet) -> &mut V {
        self.lengths.insert((net.addr().is_ipv4(), net.prefix_len()));
        self.nets.entry(net.trunc()).or_default()
    }
}

impl<V> Nets<V> {
    /// What stands with the networks of an address.
    pub fn of(&self, ip: IpAddr) -> impl Iterator<Item = &V> {
        let lengths = self.lengths.iter().filter(move |(is_v4, _)| *is_v4 == ip.is_ipv4());
        let nets = lengths.filter_map(move |(_, length)| IpNet::new(ip, *length).ok());
        nets.filter_map(|net| self.nets.get(&net.trunc()))
    }

    /// The networks.
    pub fn all(&self) -> impl Iterator<Item = IpNet> {
        self.nets.keys().copied()
    }
}

/// What an event says of each kind; nothing by default.
#[derive(Default)]
pub struct Facts<'e> {
    event: Option<Event<'e>>,
    /// The address, an IPv4 one as such.
    pub ip: Option<IpAddr>,
    /// Texts that are made when somebody asks for them.
    network: OnceCell<Option<String>>,
    places: OnceCell<[Option<String>; 2]>,
}

impl<'e> Facts<'e> {
    /// What this event says.
    pub fn of(event: &Event<'e>) -> Self {
        Self { event: Some(*event), ip: event.ip().map(|ip| ip.to_canonical()), ..Self::default() }
    }

    /// The texts that a condition of this kind is compared with; of addresses none.
    pub fn texts(&self, kind: Kind) -> [Option<&str>; 2] {
        let event = self.event.as_ref();
        let text = match kind {
            Kind::User => event.and_then(Event::user),
            Kind::Device => event.and_then(Event::device),
            Kind::Session => event.and_then(Event::session),
            Kind::UserAgent => event.and_then(Event::user_agent),
            Kind::App => event.and_then(Event::app),
            Kind::Network => self.network.get_or_init(|| event.and_then(network)).as_deref(),
            Kind::Place => return self.places.get_or_init(|| event.map(places).unwrap_or_default()).each_ref().map(Option::as_deref),
            Kind::Ip => None,
        };
        [text, None]
    }
}

fn network(event: &Event<'_>) -> Option<String> {
    (event.asn() != 0).then(|| format!("AS{}", event.asn()))
}

/// The country, and with its region.
fn places(event: &Event<'_>) -> [Option<String>; 2] {
    let country = event.place().map(|place| place.country_str().to_owned()).filter(|country| !country.is_empty());
    let region = Some(event.text(Field::Region)).filter(|region| !region.is_empty());
    let both = country.as_ref().zip(region).map(|(country, region)| format!("{country}/{region}"));
    [country, both]
}

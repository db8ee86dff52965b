//! Hashes the keys of a batch's events.
//!
//! Most events go on in the session of an event before: what they share with it is taken over, since to compare texts costs
//! less than to hash them.

use super::{EventBatch, Field, Record};
use crate::client::{Software, region};
use crate::event::Event;
use crate::keys::{KeyHasher, KeyKind, TenantHash};
use crate::memo::Memo;
use std::net::IpAddr;

/// Sessions of which the latest event is at hand.
const SESSIONS: usize = 256;

/// What was read of the user agents that came last, for events to come.
#[derive(Clone, Debug, Default)]
pub struct Programs(Option<Memo<Software>>);

impl EventBatch {
    /// Hashes the keys of the events that were added since the last call. Whoever prepares a batch may do it;
    /// whoever detects sees to it that it is done.
    pub fn hash_keys(&mut self, hasher: &KeyHasher) {
        let mut programs = std::mem::take(&mut self.programs);
        self.hash_keys_with(hasher, &mut programs);
        self.programs = programs;
    }

    /// The same for who makes a new batch each time, and keeps what programs say beside them.
    pub fn hash_keys_with(&mut self, hasher: &KeyHasher, programs: &mut Programs) {
        let Self { arena, records, hashed, .. } = self;
        if *hashed == records.len() {
            return;
        }
        let memo = programs.0.get_or_insert_with(|| Memo::new(Software::default()));
        let mut tenant = Tenant::new("", hasher);
        // The latest event of some sessions.
        let mut latest_of = [0; SESSIONS];
        for index in std::mem::replace(hashed, records.len())..records.len() {
            let (before, rest) = records.split_at_mut(index);
            let Some(record) = rest.first_mut() else { return };
            // Neighbours are often of one tenant.
            let name = record.text(Field::Tenant).of(arena);
            if name != tenant.name {
                tenant = Tenant::new(name, hasher);
            }
            record.identity = hasher.identity(tenant.hash, record.text(Field::Id).bytes_of(arena), record.time_ms);
            let bearing = Bearing::of(record, arena, &tenant, hasher);
            let latest = latest_of.get_mut(bearing.session as usize % SESSIONS).map(|latest| std::mem::replace(latest, index));
            let goes_on =
                |one: &&Record| bearing.session != 0 && one.key_hash(KeyKind::Session) == bearing.session && one.is_like(record, arena);
            if let Some(one) = latest.and_then(|latest| before.get(latest)).filter(goes_on) {
                (record.keys, record.software, record.region) = (one.keys, one.software, one.region);
                continue;
            }
            let keys = keys_of(record, arena, &tenant, &bearing, hasher);
            let event = Event::new(arena, record);
            let client = keys.get(KeyKind::Client as usize).copied().unwrap_or(0);
            let software = memo.get(client, || Software::of(event.text(Field::UserAgent), event.text(Field::Ja4)));
            let region = region(&event);
            (record.keys, record.software, record.region) = (keys, software, region);
        }
    }
}

impl Record {
    /// Has another event of its session all that goes into keys and prints, too?
    fn is_like(&self, other: &Self, arena: &str) -> bool {
        let text = |field: Field| self.text(field).bytes_of(arena) == other.text(field).bytes_of(arena);
        let country = |record: &Self| record.place.map(|place| place.country);
        self.ip == other.ip
            && country(self) == country(other)
            && [Field::User, Field::Device, Field::UserAgent, Field::Ja4, Field::App, Field::Region].into_iter().all(text)
    }
}

/// A tenant, with what does not change from event to event.
struct Tenant<'a> {
    name: &'a str,
    hash: TenantHash,
    key: u64,
    /// A tenant that stands for none.
    nobody: TenantHash,
}

impl<'a> Tenant<'a> {
    fn new(name: &'a str, hasher: &KeyHasher) -> Self {
        let hash = hasher.tenant(name);
        Self { name, hash, key: hasher.hash(KeyKind::Tenant, hash, &[]), nobody: hasher.tenant("") }
    }
}

/// Hashes of what an event bears; 0 for what it does not.
struct Bearing {
    session: u64,
    token: u64,
    bearer: u64,
}

impl Bearing {
    fn of(record: &Record, arena: &str, tenant: &Tenant<'_>, hasher: &KeyHasher) -> Self {
        let session = record.text(Field::Session).bytes_of(arena);
        if !session.is_empty() {
            let [session, bearer] = hasher.hash_under([(KeyKind::Session, tenant.hash), (KeyKind::Bearer, tenant.nobody)], session);
            return Self { session, token: 0, bearer };
        }
        record.token.map_or(Self { session: 0, token: 0, bearer: 0 }, |token| Self {
            session: 0,
            token: hasher.hash(KeyKind::Token, tenant.hash, &[&token.0]),
            // A token's hash is keyed already.
            bearer: token.folded(),
        })
    }
}

fn keys_of(record: &Record, arena: &str, tenant: &Tenant<'_>, bearing: &Bearing, hasher: &KeyHasher) -> [u64; KeyKind::COUNT] {
    let mut keys = [0; KeyKind::COUNT];
    let mut set = |kind: KeyKind, hash: u64| {
        if let Some(slot) = keys.get_mut(kind as usize) {
            *slot = hash;
        }
    };
    let bytes = |field| record.text(field).bytes_of(arena);
    // 0 for what is absent.
    let hash = |kind: KeyKind, value: &[u8]| if value.is_empty() { 0 } else { hasher.hash(kind, tenant.hash, &[value]) };
    let Bearing { session, token, bearer } = *bearing;
    let user = hash(KeyKind::User, bytes(Field::User));
    set(KeyKind::Tenant, tenant.key);
    set(KeyKind::User, user);
    set(KeyKind::Session, session);
    set(KeyKind::Token, token);
    // The kind is part of what was hashed, so a user and a session of one name stay apart.
    set(KeyKind::Principal, [user, session, token].into_iter().find(|hash| *hash != 0).unwrap_or(0));
    set(KeyKind::Bearer, bearer);
    set(KeyKind::Device, hash(KeyKind::Device, bytes(Field::Device)));
    set(KeyKind::App, hash(KeyKind::App, bytes(Field::App)));
    let (agent, ja4) = (bytes(Field::UserAgent), bytes(Field::Ja4));
    if !(agent.is_empty() && ja4.is_empty()) {
        set(KeyKind::Client, hasher.hash(KeyKind::Client, tenant.hash, &[agent, ja4]));
    }
    match record.ip {
        Some(IpAddr::V4(ip)) => {
            let octets = ip.octets();
            set(KeyKind::Address, hash(KeyKind::Address, &octets));
            set(KeyKind::Subnet, hash(KeyKind::Subnet, &octets[..3]));
        }
        Some(IpAddr::V6(ip)) => {
            let octets = ip.octets();
            set(KeyKind::Address, hash(KeyKind::Address, &octets));
            set(KeyKind::Subnet, hash(KeyKind::Subnet, &octets[..6]));
        }
        None => {}
    }
    keys
}

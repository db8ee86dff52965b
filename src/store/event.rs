//! Event rows: the borrowed one that goes in, the owned one that comes out.
//!
//! Field names and order are those of the table (`deploy/clickhouse/0001_events.sql`); the client
//! holds them against the table's own description at the first insert and at every answer.

use bartizan_core::batch::Field;
use bartizan_core::{Attestation, Event, EventBatch, EventDraft, Kind, NetworkClass, Outcome, Place, TimeMs, TokenHash, UserKind};
use clickhouse::Row;
use serde::{Deserialize, Serialize, Serializer};
use std::net::{IpAddr, Ipv6Addr};

/// Where in the log an event stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position<'a> {
    /// Topic, or the journal's name.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset of the record or batch.
    pub offset: i64,
}

/// One row of the table `events`, borrowed from a batch: encoding it copies no text.
#[derive(Clone, Copy, Debug, Row, Serialize)]
#[expect(missing_docs, reason = "the columns are described in the DDL and in `Event`")]
pub struct EventRow<'a> {
    /// Milliseconds since the epoch.
    pub time: i64,
    pub tenant: &'a str,
    pub id: &'a str,
    pub kind: &'a str,
    pub outcome: &'a str,
    pub reason: &'a str,
    pub source: &'a str,
    pub user: &'a str,
    pub user_kind: &'a str,
    pub ip: Ipv6Addr,
    pub user_agent: &'a str,
    pub device: &'a str,
    pub ja4: &'a str,
    pub app: &'a str,
    pub grant: &'a str,
    pub scope: &'a str,
    pub factor: &'a str,
    pub attestation: &'a str,
    pub session: &'a str,
    pub token_hash: [u8; 16],
    pub token_issued_hash: [u8; 16],
    pub token_id: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub status: u16,
    pub bytes: Option<u64>,
    pub duration_ms: Option<u64>,
    pub attrs: &'a str,
    pub country: &'a str,
    pub region: &'a str,
    pub city: &'a str,
    pub latitude: Option<f32>,
    pub longitude: Option<f32>,
    pub accuracy_km: u16,
    pub asn: u32,
    pub network_name: &'a str,
    pub network_class: &'a str,
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub received_time: i64,
}

impl<'a> EventRow<'a> {
    /// The row of an event that stood at `position`.
    #[must_use]
    pub fn new(event: &Event<'a>, position: Position<'a>) -> Self {
        let record = event.record();
        let place = record.place.as_ref();
        Self {
            time: event.time_ms(),
            tenant: event.tenant(),
            id: event.id(),
            kind: event.kind().as_str(),
            outcome: event.outcome().as_str(),
            reason: event.text(Field::Reason),
            source: event.text(Field::Source),
            user: event.text(Field::User),
            user_kind: event.user_kind().as_str(),
            ip: event.ip().map_or(Ipv6Addr::UNSPECIFIED, mapped),
            user_agent: event.text(Field::UserAgent),
            device: event.text(Field::Device),
            ja4: event.text(Field::Ja4),
            app: event.text(Field::App),
            grant: event.text(Field::Grant),
            scope: event.text(Field::Scope),
            factor: event.text(Field::Factor),
            attestation: event.attestation().as_str(),
            session: event.text(Field::Session),
            token_hash: event.token().map_or([0; 16], |token| token.0),
            token_issued_hash: event.token_issued().map_or([0; 16], |token| token.0),
            token_id: event.text(Field::TokenId),
            method: event.text(Field::Method),
            path: event.text(Field::Path),
            status: event.status().unwrap_or(0),
            bytes: event.bytes(),
            duration_ms: event.duration_ms(),
            attrs: event.text(Field::Attrs),
            country: place.map_or("", |place| place.country_str()),
            region: event.text(Field::Region),
            city: event.text(Field::City),
            latitude: place.map(|place| place.latitude),
            longitude: place.map(|place| place.longitude),
            accuracy_km: place.map_or(0, |place| place.accuracy_km),
            asn: event.asn(),
            network_name: event.text(Field::NetworkName),
            network_class: event.network_class().as_str(),
            topic: position.topic,
            partition: position.partition,
            offset: position.offset,
            received_time: event.arrival_ms(),
        }
    }
}

/// An address as the column holds it: IPv4 as a mapped IPv6 address.
pub(super) fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// An event as it was stored. Serialised for people (JSON) it has the native event's member names,
/// times in RFC 3339 and no absent members.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns are described in the DDL and in `Event`")]
pub struct StoredEvent {
    /// Milliseconds since the epoch.
    #[serde(serialize_with = "rfc3339")]
    pub time: i64,
    pub tenant: String,
    pub id: String,
    pub kind: String,
    pub outcome: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_kind: String,
    /// `::` if absent.
    #[serde(skip_serializing_if = "Ipv6Addr::is_unspecified", serialize_with = "canonical")]
    pub ip: Ipv6Addr,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ja4: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub grant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub factor: String,
    #[serde(skip_serializing_if = "is_unknown")]
    pub attestation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Zeros if absent.
    #[serde(skip_serializing_if = "is_zero", serialize_with = "hex")]
    pub token_hash: [u8; 16],
    /// Zeros if absent.
    #[serde(skip_serializing_if = "is_zero", serialize_with = "hex")]
    pub token_issued_hash: [u8; 16],
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// 0 if absent.
    #[serde(skip_serializing_if = "is_0")]
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// A JSON object as text; empty if absent.
    #[serde(skip_serializing_if = "String::is_empty", serialize_with = "object")]
    pub attrs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub country: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub city: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f32>,
    #[serde(skip_serializing_if = "is_0")]
    pub accuracy_km: u16,
    #[serde(skip_serializing_if = "is_0_wide")]
    pub asn: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network_name: String,
    #[serde(skip_serializing_if = "is_unknown")]
    pub network_class: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch.
    #[serde(serialize_with = "rfc3339")]
    pub received_time: i64,
}

impl From<EventRow<'_>> for StoredEvent {
    /// What would be stored.
    fn from(row: EventRow<'_>) -> Self {
        Self {
            time: row.time,
            tenant: row.tenant.to_owned(),
            id: row.id.to_owned(),
            kind: row.kind.to_owned(),
            outcome: row.outcome.to_owned(),
            reason: row.reason.to_owned(),
            source: row.source.to_owned(),
            user: row.user.to_owned(),
            user_kind: row.user_kind.to_owned(),
            ip: row.ip,
            user_agent: row.user_agent.to_owned(),
            device: row.device.to_owned(),
            ja4: row.ja4.to_owned(),
            app: row.app.to_owned(),
            grant: row.grant.to_owned(),
            scope: row.scope.to_owned(),
            factor: row.factor.to_owned(),
            attestation: row.attestation.to_owned(),
            session: row.session.to_owned(),
            token_hash: row.token_hash,
            token_issued_hash: row.token_issued_hash,
            token_id: row.token_id.to_owned(),
            method: row.method.to_owned(),
            path: row.path.to_owned(),
            status: row.status,
            bytes: row.bytes,
            duration_ms: row.duration_ms,
            attrs: row.attrs.to_owned(),
            country: row.country.to_owned(),
            region: row.region.to_owned(),
            city: row.city.to_owned(),
            latitude: row.latitude,
            longitude: row.longitude,
            accuracy_km: row.accuracy_km,
            asn: row.asn,
            network_name: row.network_name.to_owned(),
            network_class: row.network_class.to_owned(),
            topic: row.topic.to_owned(),
            partition: row.partition,
            offset: row.offset,
            received_time: row.received_time,
        }
    }
}

impl StoredEvent {
    /// Adds the event to a batch, with the place and network that it was judged with. False if what is stored is no
    /// event of this program's.
    pub fn push(&self, batch: &mut EventBatch) -> bool {
        let kinds = (Kind::parse(&self.kind), Outcome::parse(&self.outcome), UserKind::parse(&self.user_kind));
        let (Some(kind), Some(outcome), Some(user_kind)) = kinds else { return false };
        let hash = |hash: [u8; 16]| (hash != [0; 16]).then_some(TokenHash(hash));
        let mut draft = EventDraft {
            time_ms: self.time,
            kind,
            outcome,
            user_kind,
            attestation: Attestation::parse(&self.attestation).unwrap_or(Attestation::Unknown),
            ip: (!self.ip.is_unspecified()).then(|| IpAddr::V6(self.ip).to_canonical()),
            token: hash(self.token_hash),
            token_issued: hash(self.token_issued_hash),
            status: Some(self.status).filter(|status| *status != 0),
            bytes: self.bytes,
            duration_ms: self.duration_ms,
            ..EventDraft::default()
        };
        for (field, text) in self.texts() {
            draft.texts.set(field, text);
        }
        let country = <[u8; 2]>::try_from(self.country.as_bytes()).unwrap_or_default();
        let place = self.latitude.zip(self.longitude);
        let record = batch.push(&draft);
        record.place = place.map(|(latitude, longitude)| Place { country, latitude, longitude, accuracy_km: self.accuracy_km });
        record.asn = self.asn;
        record.network_class = NetworkClass::parse(&self.network_class).unwrap_or(NetworkClass::Unknown);
        record.arrival_ms = self.received_time;
        true
    }

    fn texts(&self) -> [(Field, &str); Field::COUNT] {
        [
            (Field::Id, &self.id),
            (Field::Tenant, &self.tenant),
            (Field::Reason, &self.reason),
            (Field::Source, &self.source),
            (Field::User, &self.user),
            (Field::UserAgent, &self.user_agent),
            (Field::Device, &self.device),
            (Field::Ja4, &self.ja4),
            (Field::App, &self.app),
            (Field::Grant, &self.grant),
            (Field::Scope, &self.scope),
            (Field::Factor, &self.factor),
            (Field::Session, &self.session),
            (Field::TokenId, &self.token_id),
            (Field::Method, &self.method),
            (Field::Path, &self.path),
            (Field::Attrs, &self.attrs),
            (Field::Region, &self.region),
            (Field::City, &self.city),
            (Field::NetworkName, &self.network_name),
        ]
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn rfc3339<S: Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&TimeMs(*time))
}

fn canonical<S: Serializer>(ip: &Ipv6Addr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&ip.to_canonical())
}

fn hex<S: Serializer>(hash: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&TokenHash(*hash).to_hex())
}

/// A stored object goes out as an object; what is no JSON, which only another writer can have put
/// there, as a string.
fn object<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(raw) => raw.serialize(serializer),
        Err(_) => serializer.serialize_str(text),
    }
}

fn is_unknown(text: &str) -> bool {
    text.is_empty() || text == "unknown"
}

fn is_zero(hash: &[u8; 16]) -> bool {
    *hash == [0; 16]
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_0(number: &u16) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_0_wide(number: &u32) -> bool {
    *number == 0
}

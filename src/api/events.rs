//! `GET /api/v1/events`: stored events, newest first.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::Params;
use super::{ApiState, openapi};
use crate::store::{EventCursor, EventFilter, StoredEvent};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use bartizan_core::{Kind, Outcome, TimeMs, TokenHash};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::net::IpAddr;
use utoipa::{IntoParams, ToSchema};

/// Which events.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// From this event time on.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<i64>,
    /// Before this event time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<i64>,
    /// User.
    #[param(max_length = 1024, min_length = 1)]
    pub user: Option<String>,
    /// Client address.
    #[param(schema_with = openapi::ip)]
    pub ip: Option<IpAddr>,
    /// Session.
    #[param(max_length = 1024, min_length = 1)]
    pub session: Option<String>,
    /// Device.
    #[param(max_length = 1024, min_length = 1)]
    pub device: Option<String>,
    /// What happened.
    #[param(schema_with = openapi::kind)]
    pub kind: Option<Kind>,
    /// How it ended.
    #[param(schema_with = openapi::outcome)]
    pub outcome: Option<Outcome>,
    /// Tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    pub tenant: Option<String>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// Events on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: u32,
}

impl EventQuery {
    fn read(params: &Params) -> Result<Self, Problem> {
        let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let outcomes: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        Ok(Self {
            since: params.time_ms("since")?,
            until: params.time_ms("until")?,
            user: params.text("user"),
            ip: params.ip("ip")?,
            session: params.text("session"),
            device: params.text("device"),
            kind: params.name("kind", &kinds, Kind::parse)?,
            outcome: params.name("outcome", &outcomes, Outcome::parse)?,
            tenant: params.text("tenant"),
            cursor: params.text("cursor"),
            limit: params.limit()?,
        })
    }
}

/// Where an event was, by its address.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// City; may be unknown.
    pub city: Option<String>,
    /// Region; may be unknown.
    pub region: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country_code: String,
    /// Degrees north.
    pub latitude: Option<f32>,
    /// Degrees east.
    pub longitude: Option<f32>,
    /// How far off the place may be; absent: nobody says.
    pub accuracy_km: Option<u16>,
}

/// The network of an address.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Number of the autonomous system.
    pub asn: u32,
    /// Its name.
    pub name: String,
    /// What kind of network it is, e.g. `residential`, `hosting`, `vpn`, `unknown`.
    pub class: String,
}

/// An event as it is stored: the members of the native event, with place and network. Absent members
/// are `null`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// The same tenant, id and time again is the same event.
    pub id: String,
    /// Event time.
    #[schema(value_type = String, format = DateTime)]
    pub time: TimeMs,
    /// Tenant.
    pub tenant: String,
    /// What happened.
    #[schema(schema_with = openapi::kind)]
    pub kind: String,
    /// How it ended.
    #[schema(schema_with = openapi::outcome)]
    pub outcome: String,
    /// Why, e.g. `bad_password`.
    pub reason: Option<String>,
    /// The system that wrote it.
    pub source: Option<String>,
    /// User.
    pub user: Option<String>,
    /// `human` or `service`.
    pub user_kind: Option<String>,
    /// Client address.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// User agent.
    pub user_agent: Option<String>,
    /// Device.
    pub device: Option<String>,
    /// TLS client fingerprint.
    pub ja4: Option<String>,
    /// Client application.
    pub app: Option<String>,
    /// OAuth grant.
    pub grant: Option<String>,
    /// OAuth scopes, separated by spaces.
    pub scope: Option<String>,
    /// Second factor.
    pub factor: Option<String>,
    /// Proof of the genuine app: `passed` or `failed`.
    pub attestation: Option<String>,
    /// Session.
    pub session: Option<String>,
    /// Keyed hash of the token presented, in hexadecimal.
    pub token_hash: Option<String>,
    /// Keyed hash of the token given in return, in hexadecimal.
    pub token_issued_hash: Option<String>,
    /// Public handle of the token.
    pub token_id: Option<String>,
    /// HTTP method.
    pub method: Option<String>,
    /// Path.
    pub path: Option<String>,
    /// HTTP status.
    pub status: Option<u16>,
    /// Bytes of the response.
    pub bytes: Option<u64>,
    /// Duration of the request in milliseconds.
    pub duration_ms: Option<u64>,
    /// Everything else.
    #[schema(value_type = Object)]
    pub attrs: Box<RawValue>,
    /// Where the address is; `null`: unknown.
    #[schema(inline)]
    pub place: Option<Place>,
    /// The network of the address; `null`: unknown.
    #[schema(inline)]
    pub network: Option<Network>,
    /// When it arrived.
    #[schema(value_type = String, format = DateTime)]
    pub received_time: TimeMs,
}

impl From<StoredEvent> for EventView {
    fn from(event: StoredEvent) -> Self {
        let hash = |hash: [u8; 16]| (hash != [0; 16]).then(|| TokenHash(hash).to_hex());
        let ip = IpAddr::V6(event.ip).to_canonical();
        Self {
            place: place_of(&event),
            network: (event.asn != 0).then_some(Network { asn: event.asn, name: event.network_name, class: event.network_class }),
            id: event.id,
            time: TimeMs(event.time),
            tenant: event.tenant,
            kind: event.kind,
            outcome: event.outcome,
            reason: known(event.reason),
            source: known(event.source),
            user: known(event.user),
            user_kind: known(event.user_kind),
            ip: (!event.ip.is_unspecified()).then_some(ip),
            user_agent: known(event.user_agent),
            device: known(event.device),
            ja4: known(event.ja4),
            app: known(event.app),
            grant: known(event.grant),
            scope: known(event.scope),
            factor: known(event.factor),
            attestation: known(event.attestation).filter(|attestation| attestation != "unknown"),
            session: known(event.session),
            token_hash: hash(event.token_hash),
            token_issued_hash: hash(event.token_issued_hash),
            token_id: known(event.token_id),
            method: known(event.method),
            path: known(event.path),
            status: (event.status != 0).then_some(event.status),
            bytes: event.bytes,
            duration_ms: event.duration_ms,
            attrs: object(event.attrs),
            received_time: TimeMs(event.received_time),
        }
    }
}

fn known(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn place_of(event: &StoredEvent) -> Option<Place> {
    known(event.country.clone()).map(|country_code| Place {
        city: known(event.city.clone()),
        region: known(event.region.clone()),
        country_code,
        latitude: event.latitude,
        longitude: event.longitude,
        accuracy_km: (event.accuracy_km != 0).then_some(event.accuracy_km),
    })
}

/// The stored object as it is; what is none, which only another writer can have stored, is empty.
fn object(text: String) -> Box<RawValue> {
    let raw = RawValue::from_string(text).ok().filter(|raw| raw.get().starts_with('{'));
    raw.unwrap_or_else(|| RawValue::from_string("{}".to_owned()).unwrap_or_default())
}

/// Stored events, newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventQuery),
    responses((status = 200, description = "One page", body = Page<EventView>), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<Page<EventView>>, Problem> {
    caller.may_read()?;
    let params = Params::read::<EventQuery>(&uri)?;
    let query = EventQuery::read(&params)?;
    let filter = EventFilter {
        tenant: caller.scope(query.tenant)?,
        since_ms: query.since,
        until_ms: query.until,
        user: query.user,
        ip: query.ip,
        session: query.session,
        device: query.device,
        kind: query.kind,
        outcome: query.outcome,
    };
    let question = params.fingerprint("events", caller.tenant.as_deref());
    let after: Option<EventCursor> = query.cursor.map(|cursor| page::place(&question, &cursor)).transpose()?;
    let found = state.store()?.events(&filter, after.as_ref(), query.limit).await?;
    state.reads.note_list(&caller, "events.listed", &params, filter.tenant.as_deref());
    let next_cursor = found.next.and_then(|next| page::cursor(&question, &next));
    Ok(Json(Page { items: found.events.into_iter().map(EventView::from).collect(), next_cursor }))
}

//! `GET /api/v1/entities/{kind}/{value}`: what is known of a user, an address, a session or a device.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{Params, VALUE_BYTES_MAX};
use super::{ApiState, openapi};
use crate::alert::Alert;
use crate::clock::now_ms;
use crate::db::alert_list::{self, Filter};
use crate::incident::risk::{self, Risk};
use crate::store::{Entity, EntitySummary, Name, Seen, SeenNetwork, SeenPlace};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use bartizan_core::{EntityKind, TimeMs};
use serde::Serialize;
use std::net::IpAddr;
use utoipa::{IntoParams, ToSchema};

/// Whom a path names.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents the path")]
struct EntityPlace {
    #[param(schema_with = openapi::entity)]
    kind: String,
    /// Its name, percent-encoded.
    #[param(min_length = 1, max_length = 1024)]
    value: String,
}

/// Of which tenant.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EntityQuery {
    /// Tenant; for tokens of all tenants. Without it, all tenants together.
    #[param(max_length = 1024, min_length = 1)]
    #[expect(dead_code, reason = "names the parameter")]
    tenant: Option<String>,
}

/// How often and when something was seen with the entity.
#[derive(Debug, Serialize, ToSchema)]
pub struct Times {
    /// First event with it.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: TimeMs,
    /// Last event with it.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: TimeMs,
    /// Events with it.
    pub event_count: u64,
}

/// A plain value, e.g. an address.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValueSeen {
    /// The value.
    pub value: String,
    /// How often and when.
    #[serde(flatten)]
    pub times: Times,
}

/// A place.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlaceSeen {
    /// City.
    pub city: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country_code: String,
    /// How often and when.
    #[serde(flatten)]
    pub times: Times,
}

/// A device by its id, or a user agent by its text.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceSeen {
    /// Device id.
    pub device: Option<String>,
    /// User agent.
    pub user_agent: Option<String>,
    /// How often and when.
    #[serde(flatten)]
    pub times: Times,
}

/// A network.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkSeen {
    /// Number of the autonomous system.
    pub asn: u32,
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// How often and when.
    #[serde(flatten)]
    pub times: Times,
}

/// What is known of a user, an address, a session or a device. Lists hold the values with most events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntityView {
    /// `user`, `ip`, `session` or `device`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    pub value: String,
    /// Tenant; `null`: all together.
    pub tenant: Option<String>,
    /// First event ever; `null`: never seen.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first_seen: Option<TimeMs>,
    /// Last event.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<TimeMs>,
    /// Events counted.
    pub event_count: u64,
    /// Are there more events than were counted?
    pub event_count_cut: bool,
    /// How much it is at risk.
    #[schema(inline)]
    pub risk: Risk,
    /// Events by outcome.
    pub outcomes: Vec<ValueSeen>,
    /// Events by kind.
    pub kinds: Vec<ValueSeen>,
    /// Places.
    pub places: Vec<PlaceSeen>,
    /// Devices, then user agents.
    pub devices: Vec<DeviceSeen>,
    /// Networks.
    pub networks: Vec<NetworkSeen>,
    /// Users.
    pub users: Vec<ValueSeen>,
    /// Addresses.
    pub ips: Vec<ValueSeen>,
    /// Sessions.
    pub sessions: Vec<ValueSeen>,
    /// Alerts that name it, newest first.
    pub alerts: Vec<Alert>,
}

type EntityPath = Result<Path<(String, String)>, PathRejection>;

/// What a path names.
struct Wanted {
    kind: EntityKind,
    value: String,
    entity: Entity,
}

fn wanted(path: EntityPath) -> Result<Wanted, Problem> {
    let Path((kind, value)) = path.map_err(|_| Problem::parameter("value", "is not percent-encoded UTF-8"))?;
    let kind = EntityKind::parse(&kind).ok_or_else(no_such_kind)?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(Problem::parameter("value", format_args!("longer than {VALUE_BYTES_MAX} bytes")));
    }
    match kind {
        EntityKind::User => Ok(Wanted { kind, entity: Entity::User(value.clone()), value }),
        EntityKind::Session => Ok(Wanted { kind, entity: Entity::Session(value.clone()), value }),
        EntityKind::Ip => {
            let ip: IpAddr = value.parse().map_err(|_| Problem::parameter("value", "must be an IPv4 or IPv6 address"))?;
            let ip = ip.to_canonical();
            Ok(Wanted { kind, entity: Entity::Ip(ip), value: ip.to_string() })
        }
        EntityKind::Device => Ok(Wanted { kind, entity: Entity::Device(value.clone()), value }),
        EntityKind::Network | EntityKind::Token => Err(no_such_kind()),
    }
}

fn no_such_kind() -> Problem {
    Problem::not_found("entities are of the kinds user, ip, session and device").naming("kind")
}

/// What is known of a user, an address, a session or a device.
#[utoipa::path(get, path = "/api/v1/entities/{kind}/{value}", tag = "entities",
    params(EntityPlace, EntityQuery),
    responses((status = 200, description = "What is known; a name never seen has no events", body = EntityView), openapi::ItemErrors))]
pub async fn get(State(state): State<ApiState>, caller: Caller, path: EntityPath, uri: Uri) -> Result<Json<EntityView>, Problem> {
    caller.may_read()?;
    let params = Params::read::<EntityQuery>(&uri)?;
    let tenant = caller.scope(params.text("tenant"))?;
    let wanted = wanted(path)?;
    let summary = state.store()?.entity_summary(tenant.as_deref(), &wanted.entity).await?;
    let filter = Filter {
        tenant: tenant.clone(),
        entities: vec![(wanted.kind, wanted.value.clone())],
        limit: state.config.entity_alerts_max,
        ..Filter::default()
    };
    let alerts = state.read(move |tx| alert_list::list(tx, &filter)).await?.items;
    state.reads.note(&caller, "entity.read", &format!("{}:{}", wanted.kind.as_str(), wanted.value), tenant.as_deref());
    Ok(Json(view(wanted, tenant, summary, alerts)))
}

fn view(wanted: Wanted, tenant: Option<String>, summary: EntitySummary, alerts: Vec<Alert>) -> EntityView {
    let agents =
        summary.user_agents.into_iter().map(|seen| DeviceSeen { times: times(&seen), device: None, user_agent: Some(seen.value.value) });
    let devices =
        summary.devices.into_iter().map(|seen| DeviceSeen { times: times(&seen), device: Some(seen.value.value), user_agent: None });
    EntityView {
        kind: wanted.kind.as_str(),
        risk: risk::of(&alerts, wanted.kind, &wanted.value, now_ms()),
        value: wanted.value,
        tenant,
        first_seen: summary.first_ms.map(TimeMs),
        last_seen: summary.last_ms.map(TimeMs),
        event_count: summary.events,
        event_count_cut: summary.truncated,
        outcomes: values(summary.outcomes),
        kinds: values(summary.kinds),
        places: summary.places.into_iter().map(place).collect(),
        devices: devices.chain(agents).collect(),
        networks: summary.networks.into_iter().map(network).collect(),
        users: values(summary.users),
        ips: values(summary.ips),
        sessions: values(summary.sessions),
        alerts,
    }
}

fn times<T>(seen: &Seen<T>) -> Times {
    Times { first_seen: TimeMs(seen.first_ms), last_seen: TimeMs(seen.last_ms), event_count: seen.events }
}

fn values(seen: Vec<Seen<Name>>) -> Vec<ValueSeen> {
    seen.into_iter().map(|seen| ValueSeen { times: times(&seen), value: seen.value.value }).collect()
}

fn place(seen: Seen<SeenPlace>) -> PlaceSeen {
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    let times = times(&seen);
    PlaceSeen { city: known(seen.value.city), region: known(seen.value.region), country_code: seen.value.country, times }
}

fn network(seen: Seen<SeenNetwork>) -> NetworkSeen {
    let times = times(&seen);
    NetworkSeen { asn: seen.value.asn, name: seen.value.name, class: seen.value.class, times }
}

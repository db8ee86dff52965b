//! `/api/v1/incidents`: the list, one incident with its history, its timeline, triage.
//!
//! All of it is read from the working database, so it is there whatever state the store is in, but for the events of a
//! timeline: if the store is away, they are missing, and that is said.

use super::auth::Caller;
use super::cases::{self, CaseQuery, IdPath, STORE_AWAY, id_of, none_of_this_id};
use super::events::EventView;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::triage::{Triage, etag};
use super::{ApiState, openapi};
use crate::db::alert_list::Cursor;
use crate::db::incidents::{self, Happened, NamedEvents};
use crate::incident::Incident;
use crate::notify::Desk;
use crate::store::{IDS_MAX, StoredEvent};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use bartizan_core::TimeMs;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Incidents, newest first.
#[utoipa::path(get, path = "/api/v1/incidents", tag = "incidents", params(CaseQuery),
    responses((status = 200, description = "One page", body = Page<Incident>), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<Page<Incident>>, Problem> {
    caller.may_read()?;
    let params = Params::read::<CaseQuery>(&uri)?;
    Ok(Json(cases::list(&state, &caller, ("incidents.listed", &params), incidents::list).await?))
}

/// A line of an incident's history.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncidentLine {
    /// The version that it led to.
    pub version: u32,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: TimeMs,
    /// `detection`, `silence`, or the name of a token.
    pub by: String,
    /// What changed.
    #[schema(value_type = Object)]
    pub change: Value,
}

/// An incident with its history.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncidentDetail {
    /// The incident.
    #[serde(flatten)]
    pub incident: Incident,
    /// What became of it, oldest first.
    pub history: Vec<IncidentLine>,
}

pub(super) async fn detail(state: &ApiState, caller: &Caller, id: String) -> Result<IncidentDetail, Problem> {
    let history_max = state.config.history_max;
    let read = state.read(move |tx| {
        let Some(incident) = incidents::get(tx, &id)? else { return Ok(None) };
        Ok(Some((incident, incidents::history(tx, &id, history_max)?)))
    });
    let (incident, history) = read.await?.filter(|(incident, _)| caller.sees(&incident.tenant)).ok_or_else(none_of_this_id)?;
    let line = |entry: incidents::HistoryEntry| IncidentLine {
        version: entry.version,
        time: TimeMs(entry.at_ms),
        by: entry.actor,
        change: entry.change,
    };
    Ok(IncidentDetail { incident, history: history.into_iter().map(line).collect() })
}

/// One incident with its history.
#[utoipa::path(get, path = "/api/v1/incidents/{id}", tag = "incidents", params(("id" = String, Path, description = "Incident id")),
    responses((status = 200, description = "The incident; its version as ETag", body = IncidentDetail), openapi::ItemErrors))]
pub async fn get(State(state): State<ApiState>, caller: Caller, path: IdPath, uri: Uri) -> Result<impl IntoResponse, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    let detail = detail(&state, &caller, id_of(path)?).await?;
    note(&state, &caller, &detail.incident);
    Ok(([(ETAG, etag(detail.incident.version))], Json(detail)))
}

fn note(state: &ApiState, caller: &Caller, incident: &Incident) {
    state.reads.note(caller, "incident.read", &incident.id, Some(&incident.tenant));
}

/// Triages an incident: status, disposition, assignee, note. Its alerts that are not resolved follow in status and
/// disposition, large numbers of them within seconds.
#[utoipa::path(patch, path = "/api/v1/incidents/{id}", tag = "incidents",
    params(("id" = String, Path, description = "Incident id"),
        ("If-Match" = Option<String>, Header, description = "The version that was seen; 412 if there is another by now")),
    request_body(content = Triage, content_type = "application/json"),
    responses((status = 200, description = "The incident as it stands now", body = IncidentDetail), openapi::TriageErrors))]
pub async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    path: IdPath,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    Params::read::<NoParams>(&uri)?;
    let id = id_of(path)?;
    cases::triage(&state, &caller, &id, (&headers, body), Desk::incident).await?;
    let detail = detail(&state, &caller, id).await?;
    Ok(([(ETAG, etag(detail.incident.version))], Json(detail)))
}

/// Which part of a timeline.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct TimelineQuery {
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Entries on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// Something that happened in the course of an incident.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: TimeMs,
    /// `incident`, `alert`, `notification`, `action` or `event`.
    pub kind: String,
    /// Who or what did it; of notifications and actions the channel, for callers of all tenants, since channels serve all;
    /// of events the system that wrote it.
    pub by: Option<String>,
    /// The incident, the alert, or the event.
    pub about: String,
    /// What it was; of an event all of it.
    #[schema(value_type = Object)]
    pub change: Value,
}

/// One page of a timeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    /// What is on it.
    #[serde(flatten)]
    pub page: Page<TimelineEntry>,
    /// Why there are no events on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_missing: Option<String>,
}

/// What happened in the course of an incident, as one sequence, newest first: the events that its alerts name (of the latest
/// ones, up to 1,000 a page), what detection found, what people did and said, what was told, what machines were asked to do.
#[utoipa::path(get, path = "/api/v1/incidents/{id}/timeline", tag = "incidents",
    params(("id" = String, Path, description = "Incident id"), TimelineQuery),
    responses((status = 200, description = "One page", body = Timeline), openapi::ItemErrors))]
pub async fn timeline(State(state): State<ApiState>, caller: Caller, path: IdPath, uri: Uri) -> Result<Json<Timeline>, Problem> {
    caller.may_read()?;
    let params = Params::read::<TimelineQuery>(&uri)?;
    let (id, limit) = (id_of(path)?, params.limit()?);
    let question = params.fingerprint(&id, caller.tenant.as_deref());
    let before: Option<Cursor> = params.text("cursor").map(|cursor| page::place(&question, &cursor)).transpose()?;
    let before = before.unwrap_or(Cursor { updated_ms: i64::MAX, id: String::new() });
    let from = before.clone();
    let read = state.read(move |tx| {
        let Some(incident) = incidents::get(tx, &id)? else { return Ok(None) };
        let named = incidents::named_events(tx, &id, from.updated_ms, IDS_MAX)?;
        Ok(Some((incident, incidents::timeline(tx, &id, (from.updated_ms, &from.id), limit + 1)?, named)))
    });
    let (incident, happened, named) = read.await?.filter(|(incident, ..)| caller.sees(&incident.tenant)).ok_or_else(none_of_this_id)?;
    note(&state, &caller, &incident);
    let mut entries: Vec<_> = happened.into_iter().map(|one| placed(one, caller.tenant.is_none())).collect();
    let events_missing = match events(&state, &incident.tenant, &named).await {
        Ok(events) => {
            entries.extend(events.into_iter().filter(|(place, _)| (place.updated_ms, &place.id) < (before.updated_ms, &before.id)));
            None
        }
        Err(_) => Some(STORE_AWAY.to_owned()),
    };
    entries.sort_unstable_by(|(one, _), (other, _)| (other.updated_ms, &other.id).cmp(&(one.updated_ms, &one.id)));
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let next_cursor = entries.last().filter(|_| more).and_then(|(place, _)| page::cursor(&question, place));
    let items = entries.into_iter().map(|(_, entry)| entry).collect();
    Ok(Json(Timeline { page: Page { items, next_cursor }, events_missing }))
}

/// An entry, and its place in the sequence. Channels are for callers of all tenants.
fn placed(one: Happened, of_all: bool) -> (Cursor, TimelineEntry) {
    let entry = TimelineEntry {
        time: TimeMs(one.at_ms),
        by: Some(one.by).filter(|_| of_all || matches!(one.kind.as_str(), "incident" | "alert")),
        kind: one.kind,
        about: one.about,
        change: serde_json::from_str(&one.change).unwrap_or_default(),
    };
    (Cursor { updated_ms: one.at_ms, id: one.key }, entry)
}

/// The same of the events that alerts name.
async fn events(state: &ApiState, tenant: &str, named: &NamedEvents) -> Result<Vec<(Cursor, TimelineEntry)>, Problem> {
    let Some((first_ms, last_ms)) = named.span_ms.filter(|_| !named.ids.is_empty()) else { return Ok(Vec::new()) };
    let found = state.store()?.events_by_id(tenant, &named.ids, first_ms, last_ms).await?;
    let placed = |event: StoredEvent| {
        let event = EventView::from(event);
        let entry = TimelineEntry {
            time: event.time,
            by: event.source.clone(),
            kind: "event".to_owned(),
            about: event.id.clone(),
            change: serde_json::to_value(&event).unwrap_or_default(),
        };
        (Cursor { updated_ms: event.time.0, id: format!("e:{}", event.id) }, entry)
    };
    Ok(found.into_iter().map(placed).collect())
}

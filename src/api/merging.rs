//! `/api/v1/incidents/{id}/merge` and `/split`: what people put together or take apart.

use super::auth::Caller;
use super::cases::{IdPath, bounded, id_of};
use super::incidents::{IncidentDetail, detail};
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::triage::etag;
use super::{ApiState, body, openapi};
use crate::clock::now_ms;
use crate::db::alerts::{NOTE_BYTES_MAX, TriageError};
use crate::incident::Incident;
use crate::incident::by_hand::Hand;
use crate::notify::Desk;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderName, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

/// What is merged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// Incidents that are merged into this one.
    #[schema(min_items = 1, max_items = 200)]
    incidents: Vec<String>,
    /// A remark, kept in the history.
    #[schema(max_length = 8192)]
    note: Option<String>,
}

/// What is taken out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Alerts that become an incident of their own.
    #[schema(min_items = 1, max_items = 200)]
    alerts: Vec<String>,
    /// A remark, kept in the history.
    #[schema(max_length = 8192)]
    note: Option<String>,
}

/// Merges incidents into this one: it gets all their alerts, and they end and name it.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/merge", tag = "incidents", params(("id" = String, Path, description = "Incident id")),
    request_body(content = Merge, content_type = "application/json"),
    responses((status = 200, description = "The incident as it stands now; its version as ETag", body = IncidentDetail), openapi::ActionErrors))]
pub async fn merge(
    state: State<ApiState>,
    caller: Caller,
    path: IdPath,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    let asked: Merge = read(&state, &caller, &uri, (&headers, body)).await?;
    let (id, ids, note) = (id_of(path)?, bounded("incidents", asked.incidents)?, remark(asked.note)?);
    by_hand(&state, &caller, note, move |desk, hand| desk.merge(&id, &ids, hand)).await
}

/// Takes alerts out of this incident into one of their own.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/split", tag = "incidents", params(("id" = String, Path, description = "Incident id")),
    request_body(content = Split, content_type = "application/json"),
    responses((status = 200, description = "The new incident; its version as ETag", body = IncidentDetail), openapi::ActionErrors))]
pub async fn split(
    state: State<ApiState>,
    caller: Caller,
    path: IdPath,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    let asked: Split = read(&state, &caller, &uri, (&headers, body)).await?;
    let (id, ids, note) = (id_of(path)?, bounded("alerts", asked.alerts)?, remark(asked.note)?);
    by_hand(&state, &caller, note, move |desk, hand| desk.split(&id, &ids, hand)).await
}

async fn read<T: DeserializeOwned>(
    state: &ApiState,
    caller: &Caller,
    uri: &Uri,
    (headers, body): (&HeaderMap, Body),
) -> Result<T, Problem> {
    caller.may_triage()?;
    Params::read::<NoParams>(uri)?;
    body::json(body, headers, &state.config).await
}

fn remark(note: Option<String>) -> Result<Option<String>, Problem> {
    if note.as_ref().is_some_and(|note| note.len() > NOTE_BYTES_MAX) {
        return Err(Problem::parameter("note", format_args!("longer than {NOTE_BYTES_MAX} bytes")));
    }
    Ok(note)
}

/// An incident with its version as `ETag`.
type Answer = ([(HeaderName, String); 1], Json<IncidentDetail>);

async fn by_hand(
    state: &ApiState,
    caller: &Caller,
    note: Option<String>,
    work: impl FnOnce(&Desk, Hand<'_>) -> Result<Incident, TriageError> + Send + 'static,
) -> Result<Answer, Problem> {
    let (desk, who) = (state.desk.clone(), caller.clone());
    let work = move || {
        let hand = Hand { actor: &who.name, tenant: who.tenant.as_deref(), note: note.as_deref(), now_ms: now_ms() };
        work(&desk, hand)
    };
    let incident = tokio::task::spawn_blocking(work).await??;
    let detail = detail(state, caller, incident.id).await?;
    Ok(([(ETAG, etag(detail.incident.version))], Json(detail)))
}

//! `/api/v1/alerts/triage`, `/api/v1/incidents/triage`: one step on many, and first a preview of it.

use super::auth::Caller;
use super::cases::bounded;
use super::problem::Problem;
use super::query::Params;
use super::triage::{Triage, read};
use super::{ApiState, body, openapi};
use crate::db::alerts::{Change, TriageError, TriageStep};
use crate::notify::desk::{Case, Desk, Standing};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// Whether it is done.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
pub struct BulkQuery {
    /// Only tell what would change.
    #[param(default = false)]
    preview: Option<bool>,
}

/// What changes, and of which.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    ids: Vec<String>,
    change: Map<String, Value>,
}

/// What changes, and of which.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, whose change is read member by member to name the wrong one")]
pub struct BulkTriage {
    /// Of which.
    #[schema(min_items = 1, max_items = 200)]
    ids: Vec<String>,
    /// What changes.
    #[schema(inline)]
    change: Triage,
}

/// What became, or would become, of one of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkLine {
    /// Its id.
    pub id: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub title: Option<String>,
    /// Where it stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<Standing>,
    /// Where it stands then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<Standing>,
    /// Why nothing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refused: Option<String>,
}

/// What became, or would become, of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkAnswer {
    /// One by one, as they were asked for.
    #[schema(max_items = 200)]
    pub items: Vec<BulkLine>,
    /// How many changed, or would.
    pub changed: usize,
    /// How many did not.
    pub refused: usize,
}

/// Triages many alerts by one step, each as if alone: in its history, with what follows from it.
#[utoipa::path(post, path = "/api/v1/alerts/triage", tag = "alerts", params(BulkQuery),
    request_body(content = BulkTriage, content_type = "application/json"),
    responses((status = 200, description = "What became of each", body = BulkAnswer), openapi::ActionErrors))]
pub async fn alerts(state: State<ApiState>, caller: Caller, uri: Uri, headers: HeaderMap, body: Body) -> Result<Json<BulkAnswer>, Problem> {
    triage(state, caller, Case::Alert, &uri, (&headers, body)).await
}

/// Triages many incidents by one step, each as if alone: in its history, and its alerts follow.
#[utoipa::path(post, path = "/api/v1/incidents/triage", tag = "incidents", params(BulkQuery),
    request_body(content = BulkTriage, content_type = "application/json"),
    responses((status = 200, description = "What became of each", body = BulkAnswer), openapi::ActionErrors))]
pub async fn incidents(
    state: State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BulkAnswer>, Problem> {
    triage(state, caller, Case::Incident, &uri, (&headers, body)).await
}

async fn triage(
    State(state): State<ApiState>,
    caller: Caller,
    case: Case,
    uri: &Uri,
    (headers, body): (&HeaderMap, Body),
) -> Result<Json<BulkAnswer>, Problem> {
    caller.may_triage()?;
    let params = Params::read::<BulkQuery>(uri)?;
    let preview = params.parsed("preview", "true or false", |text| text.parse::<bool>().ok())?.unwrap_or(false);
    let asked: Asked = body::json(body, headers, &state.config).await?;
    let ids = bounded("ids", asked.ids)?;
    let change = read(asked.change)?;
    let desk = state.desk.clone();
    let work = move || ids.into_iter().map(|id| line(&desk, case, &caller, &change, id, preview)).collect::<Result<Vec<_>, _>>();
    let items = tokio::task::spawn_blocking(work).await??;
    let refused = items.iter().filter(|line| line.refused.is_some()).count();
    Ok(Json(BulkAnswer { changed: items.len() - refused, refused, items }))
}

fn line(desk: &Desk, case: Case, caller: &Caller, change: &Change, id: String, preview: bool) -> Result<BulkLine, Problem> {
    let step = TriageStep { id: &id, tenant: caller.tenant.as_deref(), expected_version: None, change, actor: &caller.name };
    let (title, from, to, refused) = match desk.each(case, &step, preview) {
        Ok((title, from, to)) => (Some(title), Some(from), Some(to), None),
        Err(TriageError::Db(error)) => return Err(error.into()),
        Err(error) => (None, None, None, Some(error.to_string())),
    };
    Ok(BulkLine { id, title, from, to, refused })
}

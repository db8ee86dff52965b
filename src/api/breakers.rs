//! `/api/v1/breakers`: detectors that open alerts out of all proportion, and the word of a person that they may.
//!
//! A closing counts from the next batch on, and survives a crash as part of the recorded order. It stands in the audit
//! trail with the token's name.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, body, openapi};
use crate::clock::now_ms;
use crate::db::{DbError, audit, breakers};
use crate::detect::breaker::OpenBreaker;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use bartizan_core::TimeMs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// The breaker of one detector and tenant that is open: further alerts are folded into one campaign.
#[derive(Debug, Serialize, ToSchema)]
pub struct BreakerView {
    /// The detector.
    pub detector: String,
    /// The tenant.
    pub tenant: String,
    /// Event time of the alert that opened it.
    #[schema(value_type = String, format = DateTime)]
    pub since: TimeMs,
    /// Alerts of medium severity or higher within the hour before.
    pub alerts_opened: u64,
    /// How many are usual in an hour.
    pub usual_per_hour: f64,
    /// How many within an hour open it.
    pub limit_per_hour: u64,
    /// Alerts that would have opened since. From 512 on an estimate, like the next two.
    pub alerts_folded: u64,
    /// Users hit in them.
    pub users_hit: u64,
    /// Sessions hit in them.
    pub sessions_hit: u64,
    /// Findings folded since.
    pub findings_folded: u64,
}

impl From<OpenBreaker> for BreakerView {
    fn from(open: OpenBreaker) -> Self {
        Self {
            detector: open.detector,
            tenant: open.tenant,
            since: TimeMs(open.since_ms),
            alerts_opened: open.alerts_opened,
            usual_per_hour: open.usual,
            limit_per_hour: open.limit,
            alerts_folded: open.alerts_folded,
            users_hit: open.users_hit,
            sessions_hit: open.sessions_hit,
            findings_folded: open.findings_folded,
        }
    }
}

/// The breakers that are open.
#[derive(Debug, Serialize, ToSchema)]
pub struct BreakerList {
    /// By detector and tenant.
    pub items: Vec<BreakerView>,
}

/// Whose breaker is to be closed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseBreaker {
    /// The tenant; of a token of one tenant that one.
    #[schema(max_length = 1024)]
    tenant: Option<String>,
}

/// Breakers that are open.
#[utoipa::path(get, path = "/api/v1/breakers", tag = "breakers",
    responses((status = 200, description = "Those that are open now", body = BreakerList), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<BreakerList>, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    let open = state.status.breakers().into_iter().filter(|open| caller.sees(&open.tenant));
    Ok(Json(BreakerList { items: open.map(BreakerView::from).collect() }))
}

/// Closes a breaker, from the next batch of events on: alerts are opened singly again, for a day of event time at least.
#[utoipa::path(post, path = "/api/v1/breakers/{detector}/close", tag = "breakers",
    params(("detector" = String, Path, description = "Id of the detector")),
    request_body(content = CloseBreaker, content_type = "application/json"),
    responses((status = 204, description = "It closes"), openapi::ActionErrors))]
pub async fn close(
    State(state): State<ApiState>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    caller.may_triage()?;
    Params::read::<NoParams>(&uri)?;
    let asked: CloseBreaker = body::json(body, &headers, &state.config).await?;
    let tenant = caller.acts_for(asked.tenant)?;
    let none = || Problem::not_found("no breaker of this detector and tenant is open");
    let Path(detector) = path.map_err(|_| none())?;
    let is_it = |open: &OpenBreaker| open.detector == detector && open.tenant == tenant;
    let Some(open) = state.status.breakers().into_iter().find(is_it) else { return Err(none()) };
    let (db, closings) = (state.db.clone(), Arc::clone(&state.closings));
    let work = move || {
        let detail = json!({"tenant": tenant, "since": TimeMs(open.since_ms), "alerts_folded": open.alerts_folded});
        db.write(|tx| {
            breakers::close(tx, &detector, &tenant)?;
            Ok::<_, DbError>(audit::record(tx, now_ms(), &caller.name, "breaker.closed", &detector, &detail)?)
        })?;
        closings.renew(&db)
    };
    tokio::task::spawn_blocking(work).await??;
    Ok(StatusCode::NO_CONTENT)
}

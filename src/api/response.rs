//! `/api/v1/response`: the switch that stops machines from acting, for all tenants.
//!
//! Who triages may throw it; that machines act again is an admin's word.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, body, openapi};
use crate::clock::now_ms;
use crate::db::actions;
use crate::respond::stop::{REASON_BYTES_MAX, SwitchError};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use bartizan_core::TimeMs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// May machines act, and what waits for people?
#[derive(Debug, Serialize, ToSchema)]
pub struct ResponseView {
    /// Is nothing done by machines now?
    pub stopped: bool,
    /// Since when; `null` also where that is not known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<TimeMs>,
    /// Who stopped them; for callers of all tenants.
    pub by: Option<String>,
    /// Why; for callers of all tenants.
    pub reason: Option<String>,
    /// Actions that wait for a person, of the caller's tenant or of all.
    pub waiting: u64,
}

impl ResponseView {
    /// As this caller may see it.
    ///
    /// # Errors
    /// SQLite says no.
    pub async fn of(state: &ApiState, caller: &Caller) -> Result<Self, Problem> {
        let tenant = caller.tenant.clone();
        let waiting = state.read(move |tx| Ok(actions::count_waiting(tx, tenant.as_deref())?)).await?;
        let stopped = state.switch.stopped();
        let since = stopped.as_ref().and_then(|stopped| stopped.time);
        let shown = stopped.as_ref().filter(|_| caller.tenant.is_none());
        let (by, reason) = shown.map(|stopped| (stopped.by.clone(), stopped.reason.clone())).unzip();
        Ok(Self { stopped: stopped.is_some(), since, by, reason, waiting })
    }
}

/// Why machines are stopped.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Why, for those who find them stopped.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// May machines act, and what waits for people?
#[utoipa::path(get, path = "/api/v1/response", tag = "operation",
    responses((status = 200, description = "How the switch stands", body = ResponseView), openapi::QuestionErrors))]
pub async fn get(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<ResponseView>, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    ResponseView::of(&state, &caller).await.map(Json)
}

/// Stops machines from acting, at once: no session is asked to be ended any more, and no call is tried again. What runs
/// out of time meanwhile is told to people. They stay stopped through restarts.
#[utoipa::path(post, path = "/api/v1/response/stop", tag = "operation",
    request_body(content = StopRequest, content_type = "application/json"),
    responses((status = 200, description = "They are stopped; by whom first", body = ResponseView), openapi::ActionErrors))]
pub async fn stop(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ResponseView>, Problem> {
    caller.may_stop_response()?;
    Params::read::<NoParams>(&uri)?;
    let StopRequest { reason } = body::json(body, &headers, &state.config).await?;
    let reason = reason.trim().to_owned();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(Problem::parameter("reason", format_args!("must have 1 to {REASON_BYTES_MAX} bytes")));
    }
    let (shared, by) = (state.clone(), caller.name.clone());
    turn(&state, move || {
        shared.switch.stop(&by, &reason, now_ms())?;
        // Stopped they are; should this fail, it is told a moment later.
        if let Err(error) = shared.switch.tell(&shared.db, &shared.desk.routing, now_ms()) {
            tracing::warn!(%error, "that machines are stopped cannot be told yet");
        }
        Ok(())
    })
    .await?;
    ResponseView::of(&state, &caller).await.map(Json)
}

/// Lets machines act again. What waits and has not run out of time is done now.
#[utoipa::path(post, path = "/api/v1/response/start", tag = "operation",
    responses((status = 200, description = "They may act", body = ResponseView), openapi::ActionErrors))]
pub async fn start(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<ResponseView>, Problem> {
    caller.may_administer()?;
    Params::read::<NoParams>(&uri)?;
    let (shared, by) = (state.clone(), caller.name.clone());
    turn(&state, move || shared.switch.start(&shared.db, &shared.desk.routing, &by, now_ms()).map(drop)).await?;
    ResponseView::of(&state, &caller).await.map(Json)
}

/// Turns the switch on a blocking thread; people are told after it, and what waits goes out or not.
async fn turn(state: &ApiState, work: impl FnOnce() -> Result<(), SwitchError> + Send + 'static) -> Result<(), Problem> {
    tokio::task::spawn_blocking(work).await?.map_err(|error| match error {
        SwitchError::Db(error) => error.into(),
        SwitchError::File(error) => Problem::internal(&error),
    })?;
    state.desk.wake.wake();
    Ok(())
}

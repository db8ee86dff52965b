//! `/api/v1/maintenance`: times in which people hear of no incident of a tenant, as its own people are at work on it.
//!
//! Everything is stored and shown, and machines act, as ever. What waited is told when the window ends, as it is by then;
//! what was resolved by then only in the digest. A window that is ended early lets go of what waits for it.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, body, openapi};
use crate::clock::now_ms;
use crate::db::maintenance::{self, Window};
use crate::db::{DbError, audit, outbox};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bartizan_core::TimeMs;
use bartizan_core::time::DAY_MS;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// The longest window, and how far ahead it may begin.
const LASTS_MAX_MS: i64 = 7 * DAY_MS;
const AHEAD_MAX_MS: i64 = 90 * DAY_MS;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 1_024;

/// A window to be made, in place of the one that the tenant has.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWindow {
    /// Whose incidents wait; of a token of one tenant that one.
    #[schema(max_length = 1024)]
    tenant: Option<String>,
    /// When it begins; now, if nothing is said.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<TimeMs>,
    /// When it ends; a week after its beginning at most.
    #[schema(value_type = String, format = DateTime)]
    until: TimeMs,
    /// Why.
    #[schema(min_length = 1, max_length = 1024)]
    reason: String,
}

/// A window.
#[derive(Debug, Serialize, ToSchema)]
pub struct WindowView {
    /// Whose incidents wait.
    pub tenant: String,
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: TimeMs,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub until: TimeMs,
    /// Name of the token that made it.
    pub owner: String,
    /// Why.
    pub reason: String,
}

impl From<Window> for WindowView {
    fn from(window: Window) -> Self {
        let Window { tenant, from_ms, until_ms, owner, reason } = window;
        Self { tenant, from: TimeMs(from_ms), until: TimeMs(until_ms), owner, reason }
    }
}

/// The windows that are not over.
#[derive(Debug, Serialize, ToSchema)]
pub struct WindowList {
    /// By tenant.
    pub items: Vec<WindowView>,
}

/// Maintenance windows that are not over.
#[utoipa::path(get, path = "/api/v1/maintenance", tag = "maintenance",
    responses((status = 200, description = "They", body = WindowList), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<WindowList>, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    let windows = state.read(move |tx| maintenance::list(tx, caller.tenant.as_deref(), now_ms())).await?;
    Ok(Json(WindowList { items: windows.into_iter().map(WindowView::from).collect() }))
}

/// Makes a maintenance window, in place of the one that the tenant has.
#[utoipa::path(put, path = "/api/v1/maintenance", tag = "maintenance",
    request_body(content = NewWindow, content_type = "application/json"),
    responses((status = 200, description = "The window", body = WindowView), openapi::ActionErrors))]
pub async fn put(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<WindowView>, Problem> {
    caller.may_triage()?;
    Params::read::<NoParams>(&uri)?;
    let new: NewWindow = body::json(body, &headers, &state.config).await?;
    let now_ms = now_ms();
    let from_ms = new.from.map_or(now_ms, |from| from.0.max(now_ms));
    if !(now_ms..=now_ms + AHEAD_MAX_MS).contains(&from_ms) {
        return Err(Problem::parameter("from", format_args!("must lie within {} days", AHEAD_MAX_MS / DAY_MS)));
    }
    if !(from_ms + 1..=from_ms + LASTS_MAX_MS).contains(&new.until.0) {
        return Err(Problem::parameter("until", format_args!("must lie after the beginning, by {} days at most", LASTS_MAX_MS / DAY_MS)));
    }
    if new.reason.trim().is_empty() || new.reason.len() > REASON_BYTES_MAX {
        return Err(Problem::parameter("reason", format_args!("must be there and have at most {REASON_BYTES_MAX} bytes")));
    }
    let tenant = caller.acts_for(new.tenant)?;
    let window = Window { tenant, from_ms, until_ms: new.until.0, owner: caller.name, reason: new.reason };
    let (db, set) = (state.db.clone(), window.clone());
    let work = move || {
        db.write(|tx| {
            maintenance::set(tx, &set, now_ms)?;
            let detail = json!({"tenant": set.tenant, "from": TimeMs(set.from_ms), "until": TimeMs(set.until_ms), "reason": set.reason});
            Ok::<_, DbError>(audit::record(tx, now_ms, &set.owner, "maintenance.set", &set.tenant, &detail)?)
        })
    };
    tokio::task::spawn_blocking(work).await??;
    Ok(Json(window.into()))
}

/// Whose window is ended.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
pub struct EndQuery {
    /// The tenant; of a token of one tenant that one.
    #[param(max_length = 1024, min_length = 1)]
    tenant: Option<String>,
}

/// Ends a maintenance window; what waits for its end is told now.
#[utoipa::path(delete, path = "/api/v1/maintenance", tag = "maintenance", params(EndQuery),
    responses((status = 204, description = "It is over"), openapi::ItemErrors))]
pub async fn end(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<StatusCode, Problem> {
    caller.may_triage()?;
    let tenant = caller.acts_for(Params::read::<EndQuery>(&uri)?.text("tenant"))?;
    let db = state.db.clone();
    let work = move || {
        db.write(|tx| {
            let now_ms = now_ms();
            let Some(window) = maintenance::list(tx, Some(&tenant), now_ms)?.pop() else { return Ok(false) };
            maintenance::end(tx, &tenant, now_ms)?;
            outbox::hasten(tx, &tenant, window.until_ms, now_ms)?;
            audit::record(tx, now_ms, &caller.name, "maintenance.ended", &tenant, &json!({"tenant": tenant}))?;
            Ok::<_, DbError>(true)
        })
    };
    if !tokio::task::spawn_blocking(work).await?? {
        return Err(Problem::not_found("this tenant has no maintenance window"));
    }
    state.desk.wake.wake();
    Ok(StatusCode::NO_CONTENT)
}

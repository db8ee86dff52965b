//! `/api/v1/policies/preview`: what policies would have done about the alerts of the last days.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, body, openapi};
use crate::alert::Alert;
use crate::clock::now_ms;
use crate::db::alert_list::{self, Filter, PAGE_MAX};
use crate::db::{Db, DbError};
use crate::respond::PolicyConfig;
use crate::respond::preview::{Foreseen, foresee};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use bartizan_core::TimeMs;
use bartizan_core::time::DAY_MS;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// How far back it looks if nothing is said, and at most.
const BACK_MS: i64 = 7 * DAY_MS;
const BACK_MAX_MS: i64 = 90 * DAY_MS;
/// Alerts that are planned for, the newest.
const ALERTS_MAX: usize = 10_000;

/// What is to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyTrial {
    /// Alerts with an event at or after this time; 90 days back at most. Default: the last seven days.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<TimeMs>,
    /// A policy as a `[[policies]]` table has it, tried alone. Default: all that is configured, as if nothing of it were a
    /// dry run.
    #[schema(value_type = Option<Object>)]
    policy: Option<Value>,
}

/// What would have been done.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyForesight {
    /// Alerts that were looked at.
    pub alerts: usize,
    /// Were there more, which were left out as they are older?
    pub truncated: bool,
    /// By policy, action, target, and where the action would have begun.
    pub items: Vec<Foreseen>,
}

/// Tells what policies would have done about stored alerts: nothing is sent or kept.
#[utoipa::path(post, path = "/api/v1/policies/preview", tag = "actions",
    request_body(content = PolicyTrial, content_type = "application/json"),
    responses((status = 200, description = "What would have been done", body = PolicyForesight), openapi::ActionErrors))]
pub async fn preview(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PolicyForesight>, Problem> {
    caller.may_triage()?;
    Params::read::<NoParams>(&uri)?;
    let asked: PolicyTrial = body::json(body, &headers, &state.config).await?;
    let now_ms = now_ms();
    let since_ms = asked.since.map_or(now_ms - BACK_MS, |since| since.0);
    if !(now_ms - BACK_MAX_MS..=now_ms).contains(&since_ms) {
        return Err(Problem::parameter("since", format_args!("must lie within the last {} days", BACK_MAX_MS / DAY_MS)));
    }
    let routing = Arc::clone(&state.desk.routing);
    let policy: Option<PolicyConfig> =
        asked.policy.map(serde_json::from_value).transpose().map_err(|error| Problem::parameter("policy", error))?;
    if let Some(problem) = policy.as_ref().and_then(|policy| policy.problems(&routing.targets).into_iter().next()) {
        return Err(Problem::parameter("policy", problem));
    }
    let (db, tenant) = (state.db.clone(), caller.tenant);
    let work = move || {
        let (alerts, truncated) = since(&db, tenant.as_deref(), since_ms)?;
        Ok::<_, DbError>(PolicyForesight { alerts: alerts.len(), truncated, items: foresee(&alerts, policy.as_ref(), &routing)? })
    };
    Ok(Json(tokio::task::spawn_blocking(work).await??))
}

/// The newest alerts since then, oldest first, and whether there are more. Page by page: others wait for the database.
fn since(db: &Db, tenant: Option<&str>, since_ms: i64) -> Result<(Vec<Alert>, bool), DbError> {
    let mut filter = Filter { since_ms: Some(since_ms), tenant: tenant.map(str::to_owned), limit: PAGE_MAX, ..Filter::default() };
    let mut alerts = Vec::new();
    loop {
        let page = db.read(|connection| alert_list::list(connection, &filter))?;
        alerts.extend(page.items);
        filter.cursor = page.next;
        if filter.cursor.is_none() || alerts.len() >= ALERTS_MAX {
            break;
        }
    }
    let truncated = filter.cursor.is_some();
    alerts.sort_by(|a, b| (a.detected_time, &a.id).cmp(&(b.detected_time, &b.id)));
    Ok((alerts, truncated))
}

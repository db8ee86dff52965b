//! `/healthz`, `/readyz`, `/metrics`: for those who watch the daemon.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, openapi, status};
use crate::telemetry::metrics;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use utoipa::ToSchema;

/// How long the store's answer to a probe is believed, and how long it may take.
const PING_AGE_MAX: Duration = Duration::from_secs(1);
const PING_TIME_MAX: Duration = Duration::from_secs(2);

/// The answer to a probe.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    /// Always `ok`.
    #[schema(example = "ok")]
    pub status: &'static str,
}

/// Is the store reachable? Asked at most once a second, however many probes come.
#[derive(Debug, Default)]
pub struct Ping {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Ping {
    async fn is_answered(&self, state: &ApiState) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, answered)) = *last
            && at.elapsed() < PING_AGE_MAX
        {
            return answered;
        }
        let answered = match state.store() {
            Ok(store) => matches!(tokio::time::timeout(PING_TIME_MAX, store.ping()).await, Ok(Ok(()))),
            Err(_) => false,
        };
        *last = Some((Instant::now(), answered));
        answered
    }
}

impl ApiState {
    /// Why the daemon does not take and judge events now; empty if it does.
    pub(super) async fn not_ready(&self) -> Vec<String> {
        let mut reasons = self.status.waiting_for();
        reasons.extend(self.health.unready().iter().map(status::summary));
        if !self.ping.is_answered(self).await && !self.health.unready().iter().any(|alert| alert.id.as_str() == "store_down") {
            reasons.push("the store does not answer".to_owned());
        }
        reasons
    }
}

/// Does the process answer?
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, description = "Alive", body = Alive), openapi::ProbeErrors))]
pub async fn healthz() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Are events taken and judged?
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()),
    responses((status = 200, description = "Ready", body = Alive), openapi::ProbeErrors))]
pub async fn readyz(State(state): State<ApiState>) -> Result<Json<Alive>, Problem> {
    let reasons = state.not_ready().await;
    if reasons.is_empty() { Ok(Json(Alive { status: "ok" })) } else { Err(Problem::unavailable(reasons.join("; "), 1)) }
}

/// Metrics for Prometheus. They are about all tenants, so a token of one tenant may not read them.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "OpenMetrics 1.0", body = String, content_type = "application/openmetrics-text"), openapi::QuestionErrors))]
pub async fn metrics(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<impl IntoResponse, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    if caller.tenant.is_some() {
        return Err(Problem::forbidden("metrics are about all tenants"));
    }
    state.metrics.ready.set(i64::from(state.not_ready().await.is_empty()));
    state.metrics.observe(&state.health, &state.latencies);
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], state.metrics.encode()))
}

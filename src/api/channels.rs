//! `/api/v1/channels`: does a channel work?
//!
//! For admins of all tenants alone, since channels serve all of them. A test does not go through the outbox, so
//! it tells of the channel as it is now, also while messages wait. It stands in the audit trail with the token's name.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, openapi};
use crate::clock::now_ms;
use crate::db::{DbError, audit};
use crate::notify::sample;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::Serialize;
use serde_json::json;
use std::time::Instant;
use utoipa::ToSchema;

/// What became of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestAnswer {
    /// Has the other end taken it?
    pub delivered: bool,
    /// Why not.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Sends a message that says it is a test through a channel, once, and tells what became of it.
#[utoipa::path(post, path = "/api/v1/channels/{name}/test", tag = "operation",
    params(("name" = String, Path, description = "Name of a configured channel that tells somebody: no topic")),
    responses((status = 200, description = "What became of it", body = TestAnswer), openapi::ActionErrors))]
pub async fn test(
    State(state): State<ApiState>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<TestAnswer>, Problem> {
    caller.may_administer()?;
    Params::read::<NoParams>(&uri)?;
    let none = || Problem::not_found("there is no such channel in the configuration, or it is a topic");
    let Path(name) = path.map_err(|_| none())?;
    let channel = state.channels.iter().find(|channel| channel.name() == name).ok_or_else(none)?;
    let _turn = state.tests.acquire().await.map_err(|_| Problem::unavailable("the daemon is stopping", 1))?;
    let (now_ms, started) = (now_ms(), Instant::now());
    let outcome = channel.deliver(&sample::test(&name, now_ms), now_ms).await;
    let error = outcome.failure().map(str::to_owned);
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (db, detail) = (state.db.clone(), json!({"error": error}));
    let record = move || db.write(|tx| Ok::<_, DbError>(audit::record(tx, now_ms, &caller.name, "channel.tested", &name, &detail)?));
    tokio::task::spawn_blocking(record).await??;
    Ok(Json(TestAnswer { delivered: error.is_none(), error, took_ms }))
}

//! `/api/v1/deliveries`, `/api/v1/revocations`: the outbox, and what a person may set going again.
//!
//! For admins of all tenants alone, since channels serve all of them. What is done stands in the audit
//! trail with the token's name. The messages' bodies are not shown: alerts have their own route, and
//! orders name sessions.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, actions, body, openapi};
use crate::clock::now_ms;
use crate::db::outbox::{self, Delivery, State as OutboxState};
use crate::db::{DbError, audit, channels};
use crate::respond::decide::Decision;
use crate::respond::progress::ACTION;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bartizan_core::TimeMs;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which deliveries.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct DeliveryQuery {
    /// Name of the channel; of a revocation target `revoke:` and its name.
    #[param(max_length = 1024, min_length = 1)]
    channel: Option<String>,
    /// Where they stand.
    #[param(inline)]
    state: Option<DeliveryState>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Deliveries on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// Where a delivery stands; a test holds it equal to the outbox's own list.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(test), expect(dead_code, reason = "documents the state, which is read by name"))]
enum DeliveryState {
    /// To be sent.
    Pending,
    /// The other end has it.
    Delivered,
    /// Given up after a day of tries, or because the channel ended.
    Failed,
    /// A revocation that did not arrive in time.
    Expired,
    /// A revocation that a brake held back: a person decides.
    Held,
    /// No longer wanted: people judged the alert false or harmless.
    Cancelled,
    /// A revocation that was only recorded.
    DryRun,
}

/// One message to one channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// The `webhook-id`: stays the same over retries and restarts.
    pub message_id: String,
    /// Channel.
    pub channel: String,
    /// `alert.opened`, `session.revoke` …
    pub kind: String,
    /// The alert that it tells of, or that an order follows from.
    pub alert: Option<String>,
    /// The incident that it tells of.
    pub incident: Option<String>,
    /// The action that it tells of.
    pub action: Option<String>,
    /// The version of that.
    pub version: u32,
    /// Where it stands.
    #[schema(value_type = String, example = "failed")]
    pub state: String,
    /// Tries begun.
    pub tries: u32,
    /// When it was written, or its tries last began anew.
    #[schema(value_type = String, format = DateTime)]
    pub created_time: TimeMs,
    /// When it is tried next, while it is pending.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_time: Option<TimeMs>,
    /// When it is void, of a revocation.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<TimeMs>,
    /// When it reached a state that it does not leave by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_time: Option<TimeMs>,
    /// Why the last try failed, or a remark.
    pub last_error: Option<String>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let Delivery { message, state, next_ms, finished_ms } = delivery;
        let (mut alert, mut incident, mut action) = (None, None, None);
        let named = match message.kind.as_str() {
            ACTION => &mut action,
            kind if kind.starts_with("incident.") => &mut incident,
            _ => &mut alert,
        };
        *named = Some(message.about).filter(|about| !about.is_empty());
        Self {
            message_id: message.message_id,
            channel: message.channel,
            kind: message.kind,
            alert,
            incident,
            action,
            version: message.version,
            next_attempt_time: (state == OutboxState::Pending.as_str()).then_some(TimeMs(next_ms)),
            state,
            tries: message.attempts,
            created_time: TimeMs(message.created_ms),
            not_after: message.not_after_ms.map(TimeMs),
            finished_time: finished_ms.map(TimeMs),
            last_error: message.last_error,
        }
    }
}

/// Where a page begins, as it stands in a cursor.
#[derive(Serialize, Deserialize)]
struct Place {
    id: i64,
}

/// Messages to channels and revocation targets, newest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "operation", params(DeliveryQuery),
    responses((status = 200, description = "One page", body = Page<DeliveryView>), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<Page<DeliveryView>>, Problem> {
    caller.may_administer()?;
    let params = Params::read::<DeliveryQuery>(&uri)?;
    let known = OutboxState::ALL.map(OutboxState::as_str).join(", ");
    let wanted =
        params.parsed("state", &format!("one of {known}"), |text| OutboxState::ALL.into_iter().find(|state| state.as_str() == text))?;
    let (channel, limit) = (params.text("channel"), params.limit()?);
    let question = params.fingerprint("deliveries", None);
    let place: Option<Place> = params.text("cursor").map(|cursor| page::place(&question, &cursor)).transpose()?;
    let before = place.map_or(i64::MAX, |place| place.id);
    let find = move |tx: &Connection| Ok(outbox::list(tx, channel.as_deref(), wanted, before, limit.saturating_add(1))?);
    let mut found = state.read(find).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let last = found.last().filter(|_| more).map(|delivery| Place { id: delivery.message.id });
    let next_cursor = last.and_then(|place| page::cursor(&question, &place));
    Ok(Json(Page { items: found.into_iter().map(DeliveryView::from).collect(), next_cursor }))
}

/// Which channel is tried again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// Name of a configured channel; of a revocation target `revoke:` and its name.
    #[schema(max_length = 128)]
    channel: String,
}

/// What is tried again.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetryAnswer {
    /// Messages that had failed and are tried for a day from now on.
    pub retried: usize,
    /// Was the channel ended by its other end, and lives again?
    pub revived: bool,
}

/// Tries a channel's failed messages again, and lets a channel live again that its other end had ended.
/// Of a revocation target only the latter: orders that failed are void by now.
#[utoipa::path(post, path = "/api/v1/deliveries/retry", tag = "operation",
    request_body(content = RetryRequest, content_type = "application/json"),
    responses((status = 200, description = "What is tried again", body = RetryAnswer), openapi::ActionErrors))]
pub async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RetryAnswer>, Problem> {
    caller.may_administer()?;
    let channel = request::<RetryRequest>(&state, &uri, body, &headers).await?.channel;
    let is_target = state.desk.routing.targets.iter().any(|target| target.channel() == channel);
    if !is_target && !state.desk.routing.channels.iter().any(|route| route.name == channel) {
        return Err(not_configured("channel"));
    }
    let answer = act(&state, move |tx, now_ms| {
        let revived = channels::revive(tx, &channel)?;
        let retried = if is_target { 0 } else { outbox::retry_failed(tx, &channel, now_ms)? };
        audit::record(tx, now_ms, &caller.name, "deliveries.retried", &channel, &json!({"retried": retried, "revived": revived}))?;
        Ok::<_, DbError>(RetryAnswer { retried, revived })
    });
    Ok(Json(answer.await?))
}

/// Which target's revocations are let go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Name of a configured revocation target.
    #[schema(max_length = 128)]
    target: String,
}

/// What was let go.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseAnswer {
    /// Revocations that go out now; at most `http.release_max` a request, the newest first.
    pub released: usize,
}

/// Lets go the revocations that a brake held back, each with a new time limit.
#[utoipa::path(post, path = "/api/v1/revocations/release", tag = "operation",
    request_body(content = ReleaseRequest, content_type = "application/json"),
    responses((status = 200, description = "How many go out", body = ReleaseAnswer), openapi::ActionErrors))]
pub async fn release(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ReleaseAnswer>, Problem> {
    caller.may_administer()?;
    let name = request::<ReleaseRequest>(&state, &uri, body, &headers).await?.target;
    if !state.desk.routing.targets.iter().any(|target| target.name == name) {
        return Err(not_configured("target"));
    }
    let (release_max, routing, person) = (state.config.release_max, Arc::clone(&state.desk.routing), actions::person(caller));
    let release =
        act(&state, move |tx, now_ms| Decision { tx, routing: &routing, person: &person, now_ms }.release_held(&name, release_max));
    Ok(Json(ReleaseAnswer { released: release.await? }))
}

fn not_configured(parameter: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no such {parameter} in the configuration")).naming(parameter)
}

async fn request<T: serde::de::DeserializeOwned>(state: &ApiState, uri: &Uri, body: Body, headers: &HeaderMap) -> Result<T, Problem> {
    Params::read::<NoParams>(uri)?;
    body::json(body, headers, &state.config).await
}

/// One transaction on a blocking thread; the deliverers look at the outbox after it.
async fn act<T: Send + 'static, E: From<rusqlite::Error> + Send + 'static>(
    state: &ApiState,
    work: impl FnOnce(&Connection, i64) -> Result<T, E> + Send + 'static,
) -> Result<T, Problem>
where
    Problem: From<E>,
{
    let db = state.db.clone();
    let done = tokio::task::spawn_blocking(move || db.write(|tx| work(tx, now_ms()))).await??;
    state.desk.wake.wake();
    Ok(done)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_documented_states_are_those_of_the_outbox() {
        use DeliveryState::*;
        let documented = [Pending, Delivered, Failed, Expired, Held, Cancelled, DryRun];
        let names = documented.map(|state| serde_json::to_value(state).unwrap());
        assert_eq!(names, OutboxState::ALL.map(|state| serde_json::Value::from(state.as_str())));
    }
}

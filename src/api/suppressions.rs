//! `/api/v1/suppressions`, `/api/v1/suppressed`: what people want no alerts about, and the ledger of what that held
//! back.
//!
//! A change counts from the next batch on, and survives a crash as part of the recorded order. What was done stands in the
//! audit trail with the token's name. What one would have held back can be [looked at](super::preview) before it is made.

use super::auth::Caller;
use super::openapi::{self, AnyOf};
use super::page::{self, Page};
use super::preview::{self, SuppressionPreview};
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, body};
use crate::clock::now_ms;
use crate::db::suppressions::LineFilter;
use crate::db::{DbError, audit, suppressions};
use crate::suppress::{About, By, Expression, Held, Kind, Suppression, Tally, When};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use bartizan_core::time::DAY_MS;
use bartizan_core::{Severity, TimeMs};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// How long a suppression lasts if nothing is said, and at most: nothing is held back for ever unseen.
const LASTS_MS: i64 = 90 * DAY_MS;
const LASTS_MAX_MS: i64 = 366 * DAY_MS;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 1_024;

/// What it is about.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuppressedEntity {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Which one. Of an `ip` an address or a CIDR block, of a `network` `AS64496`, of a `place` `DE` or `DE/Bavaria`;
    /// others to the letter.
    #[schema(min_length = 1, max_length = 1024)]
    pub value: String,
}

/// A suppression to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSuppression {
    /// The tenant whose findings are held back; of a token of one tenant that one.
    #[schema(max_length = 1024)]
    tenant: Option<String>,
    /// Id of the one detector that it is for; all if none is named.
    #[schema(max_length = 128)]
    detector: Option<String>,
    /// What it is about; this or `when`.
    entity: Option<SuppressedEntity>,
    /// What has to hold of an event; this or `entity`.
    when: Option<When>,
    /// Why.
    #[schema(min_length = 1, max_length = 1024)]
    reason: String,
    /// When it ends: 90 days from now if nothing is said, 366 days at most.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_time: Option<TimeMs>,
}

/// A suppression in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuppressionView {
    /// Its id.
    pub id: String,
    /// The tenant whose findings it holds back.
    pub tenant: String,
    /// The one detector that it is for; `null`: all.
    #[schema(required)]
    pub detector: Option<String>,
    /// What it is about; absent: `when` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub entity: Option<SuppressedEntity>,
    /// What has to hold of an event; absent: `entity` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub when: Option<When>,
    /// Name of the token that made it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_time: TimeMs,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_time: TimeMs,
}

impl From<Suppression> for SuppressionView {
    fn from(entry: Suppression) -> Self {
        let (entity, when) = match entry.about {
            About::Entity { kind, value } => (Some(SuppressedEntity { kind, value }), None),
            About::When(expression) => (None, Some(expression.when().clone())),
        };
        Self {
            id: entry.id,
            tenant: entry.tenant,
            detector: entry.detector,
            entity,
            when,
            owner: entry.owner,
            reason: entry.reason,
            created_time: TimeMs(entry.created_ms),
            expires_time: TimeMs(entry.expires_ms),
        }
    }
}

/// Which suppressions.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct SuppressionQuery {
    /// Only of this tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    tenant: Option<String>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Suppressions on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// Where a page begins, as it stands in a cursor.
#[derive(Serialize, Deserialize)]
struct Place {
    before: i64,
}

/// One page of `found`, which has one more than `limit` if there is another one; `number` is what a place is told by.
fn page_of<T, V: From<T>>(mut found: Vec<T>, limit: u32, question: &str, number: impl Fn(&T) -> i64) -> Page<V> {
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).and_then(|last| page::cursor(question, &Place { before: number(last) }));
    Page { items: found.into_iter().map(V::from).collect(), next_cursor }
}

fn place(params: &Params, question: &str) -> Result<i64, Problem> {
    let place: Option<Place> = params.text("cursor").map(|cursor| page::place(question, &cursor)).transpose()?;
    Ok(place.map_or(i64::MAX, |place| place.before))
}

/// Suppressions in force, newest first.
#[utoipa::path(get, path = "/api/v1/suppressions", tag = "suppressions", params(SuppressionQuery),
    responses((status = 200, description = "One page", body = Page<SuppressionView>), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<Page<SuppressionView>>, Problem> {
    caller.may_read()?;
    let params = Params::read::<SuppressionQuery>(&uri)?;
    let tenant = caller.scope(params.text("tenant"))?;
    let limit = params.limit()?;
    let question = params.fingerprint("suppressions", tenant.as_deref());
    let before = place(&params, &question)?;
    let in_force = move |entry: &Suppression| {
        let is_old = entry.removed.is_some() || entry.expires_ms <= now_ms();
        !is_old && tenant.as_deref().is_none_or(|tenant| tenant == entry.tenant) && (entry.added as i64) < before
    };
    let mut found = state.read(suppressions::all).await?;
    found.retain(in_force);
    found.reverse();
    found.truncate(limit as usize + 1);
    Ok(Json(page_of(found, limit, &question, |entry: &Suppression| entry.added as i64)))
}

/// How a suppression is made.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct AddQuery {
    /// Only tell what it would have held back of the last 24 hours, and make nothing.
    #[param(default = false)]
    preview: Option<bool>,
}

/// Suppresses the findings about something, from the next batch of events on.
#[utoipa::path(post, path = "/api/v1/suppressions", tag = "suppressions", params(AddQuery),
    request_body(content = NewSuppression, content_type = "application/json"),
    responses((status = 200, description = "What it would have held back", body = SuppressionPreview),
        (status = 201, description = "It is in force", body = SuppressionView), openapi::SuppressionErrors))]
pub async fn add(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<AnyOf<SuppressionView, SuppressionPreview>>), Problem> {
    caller.may_triage()?;
    let params = Params::read::<AddQuery>(&uri)?;
    let is_preview = params.name("preview", &["true", "false"], |text| text.parse::<bool>().ok())?.unwrap_or_default();
    let bytes = body::read(body, &headers, &state.config, state.config.suppression_body_bytes_max).await?;
    let new = checked(read(&bytes)?, &caller, now_ms())?;
    if is_preview {
        let preview = state.read(move |tx| preview::of(tx, new, now_ms())).await?;
        return Ok((StatusCode::OK, Json(AnyOf::Second(preview))));
    }
    let entries_max = state.suppressions_max;
    let added = act(&state, move |tx, now_ms| {
        let added = suppressions::add(tx, new, entries_max, now_ms)?;
        if let Some(entry) = &added {
            record(tx, now_ms, &entry.owner, "suppression.added", entry)?;
        }
        Ok(added)
    });
    let full =
        || Problem::new(StatusCode::CONFLICT, format!("there are {entries_max} suppressions in force already (detect.suppressions_max)"));
    Ok((StatusCode::CREATED, Json(AnyOf::First(added.await?.ok_or_else(full)?.into()))))
}

/// What a body says; what is wrong with it names the member.
fn read(bytes: &[u8]) -> Result<NewSuppression, Problem> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(bytes)).map_err(|error| {
        let (is_whole, member) = (error.path().iter().next().is_none(), error.path().to_string());
        let problem = Problem::bad_request(format!("the body is not what it should be: {}", error.into_inner()));
        if is_whole { problem } else { problem.naming(member) }
    })
}

/// What a request asks for, as an entry.
fn checked(new: NewSuppression, caller: &Caller, now_ms: i64) -> Result<Suppression, Problem> {
    let wrong = |member: &str, what: String| Problem::bad_request(format!("{member} {what}")).naming(member);
    let tenant = caller.acts_for(new.tenant)?;
    if let Some(detector) = new.detector.as_deref().filter(|id| bartizan_catalogue::find(id).is_none()) {
        return Err(wrong("detector", format!("{detector:?} is none")));
    }
    let about = match (new.entity, new.when) {
        (Some(SuppressedEntity { kind, value }), None) => {
            let value = kind.normal(&value).map_err(|what| wrong("entity.value", what.to_owned()))?;
            About::Entity { kind, value }
        }
        (None, Some(when)) => About::When(Expression::new(when).map_err(|error| wrong(&error.at, error.what))?),
        (Some(_), Some(_)) => return Err(wrong("when", "must not stand beside `entity`: one of both says what it is about".to_owned())),
        (None, None) => return Err(wrong("entity", "or `when` must say what it is about".to_owned())),
    };
    if new.reason.trim().is_empty() || new.reason.len() > REASON_BYTES_MAX {
        return Err(wrong("reason", format!("must be there and have at most {REASON_BYTES_MAX} bytes")));
    }
    let expires_ms = new.expires_time.map_or(now_ms + LASTS_MS, |time| time.0);
    if !(now_ms + 1..=now_ms + LASTS_MAX_MS).contains(&expires_ms) {
        return Err(wrong("expires_time", format!("must lie ahead, by {} days at most", LASTS_MAX_MS / DAY_MS)));
    }
    Ok(Suppression {
        id: format!("sup_{:016x}", rand::random::<u64>()),
        tenant,
        detector: new.detector,
        about,
        owner: caller.name.clone(),
        reason: new.reason,
        created_ms: now_ms,
        expires_ms,
        added: 0,
        removed: None,
    })
}

/// Ends a suppression, from the next batch of events on.
#[utoipa::path(delete, path = "/api/v1/suppressions/{id}", tag = "suppressions",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is no longer in force"), openapi::ItemErrors))]
pub async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    caller.may_triage()?;
    Params::read::<NoParams>(&uri)?;
    let none = || Problem::not_found("there is no suppression of this id in force");
    let Path(id) = path.map_err(|_| none())?;
    let removed = act(&state, move |tx, now_ms| {
        // Another tenant's does not exist for this caller.
        let Some(entry) = suppressions::get(tx, &id, now_ms)?.filter(|entry| caller.sees(&entry.tenant)) else { return Ok(false) };
        suppressions::remove(tx, &id)?;
        record(tx, now_ms, &caller.name, "suppression.removed", &entry)?;
        Ok(true)
    });
    if removed.await? { Ok(StatusCode::NO_CONTENT) } else { Err(none()) }
}

fn record(tx: &Connection, now_ms: i64, actor: &str, action: &str, entry: &Suppression) -> Result<(), DbError> {
    let Suppression { tenant, detector, about, reason, expires_ms, .. } = entry;
    let mut detail = json!({"tenant": tenant, "detector": detector, "reason": reason, "expires_time": TimeMs(*expires_ms)});
    let about = match about {
        About::Entity { kind, value } => json!({"type": kind.as_str(), "value": value}),
        About::When(expression) => json!({"when": expression.when()}),
    };
    if let (Some(detail), serde_json::Value::Object(about)) = (detail.as_object_mut(), about) {
        detail.extend(about);
    }
    Ok(audit::record(tx, now_ms, actor, action, &entry.id, &detail)?)
}

/// One transaction on a blocking thread; the pipeline sees the new list after it.
async fn act<T: Send + 'static>(
    state: &ApiState,
    work: impl FnOnce(&Connection, i64) -> Result<T, DbError> + Send + 'static,
) -> Result<T, Problem> {
    let (db, lists) = (state.db.clone(), std::sync::Arc::clone(&state.suppressions));
    let work = move || {
        let done = db.write(|tx| work(tx, now_ms()))?;
        lists.renew(&db)?;
        Ok::<_, DbError>(done)
    };
    Ok(tokio::task::spawn_blocking(work).await??)
}

/// Which lines of the ledger.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct SuppressedQuery {
    /// Only of this suppression.
    #[param(max_length = 128, min_length = 1)]
    suppression: Option<String>,
    /// Only of this gate.
    #[param(max_length = 128, min_length = 1)]
    gate: Option<String>,
    /// Only of this detector.
    #[param(max_length = 128, min_length = 1)]
    detector: Option<String>,
    /// Only about this key, e.g. `user:ann`.
    #[param(max_length = 1100, min_length = 1)]
    key: Option<String>,
    /// Only of this tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    tenant: Option<String>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Lines on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// What was held back of one detector about one key within an hour: by a suppression, by a gate of the detector, or
/// folded into a campaign by an open circuit breaker.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SuppressedView {
    /// Id of the suppression; `null`: a gate.
    #[schema(required)]
    pub suppression: Option<String>,
    /// What the detector knows that speaks for innocence, e.g. `own_client`; `circuit_breaker`: it is told within the
    /// detector's campaign; `null`: a suppression.
    #[schema(required)]
    pub gate: Option<String>,
    /// Tenant.
    pub tenant: String,
    /// Detector.
    pub detector: String,
    /// What the alert would have been about.
    pub key: String,
    /// How bad it would have been.
    #[schema(value_type = String, example = "medium")]
    pub severity: Severity,
    /// Findings held back.
    pub findings: u64,
    /// Event time of the first.
    #[schema(value_type = String, format = DateTime)]
    pub first_event_time: TimeMs,
    /// Event time of the last.
    #[schema(value_type = String, format = DateTime)]
    pub last_event_time: TimeMs,
    /// Event of the worst.
    pub event_id: String,
    /// What that would have said.
    pub reason: String,
}

impl From<Tally> for SuppressedView {
    fn from(tally: Tally) -> Self {
        let Held { by, tenant, detector, key, severity, reason, event_id, .. } = tally.sample;
        let (suppression, gate) = match by {
            By::Suppression(id) => (Some(id), None),
            By::Gate(gate) => (None, Some(gate.to_owned())),
        };
        Self {
            suppression,
            gate,
            tenant,
            detector: detector.to_owned(),
            key,
            severity,
            findings: tally.findings,
            first_event_time: TimeMs(tally.times_ms.0),
            last_event_time: TimeMs(tally.times_ms.1),
            event_id,
            reason,
        }
    }
}

impl From<suppressions::Line> for SuppressedView {
    fn from(line: suppressions::Line) -> Self {
        Self {
            suppression: Some(line.suppression).filter(|id| !id.is_empty()),
            gate: Some(line.gate).filter(|gate| !gate.is_empty()),
            tenant: line.tenant,
            detector: line.detector,
            key: line.key,
            severity: Severity::ALL.iter().copied().find(|severity| *severity as u8 == line.severity).unwrap_or(Severity::Info),
            findings: line.findings,
            first_event_time: TimeMs(line.first_event_ms),
            last_event_time: TimeMs(line.last_event_ms),
            event_id: line.event_id,
            reason: line.reason,
        }
    }
}

/// The ledger of findings that were held back, newest lines first.
#[utoipa::path(get, path = "/api/v1/suppressed", tag = "suppressions", params(SuppressedQuery),
    responses((status = 200, description = "One page", body = Page<SuppressedView>), openapi::QuestionErrors))]
pub async fn held(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<Page<SuppressedView>>, Problem> {
    caller.may_read()?;
    let params = Params::read::<SuppressedQuery>(&uri)?;
    let limit = params.limit()?;
    let filter = LineFilter {
        tenant: caller.scope(params.text("tenant"))?,
        suppression: params.text("suppression"),
        gate: params.text("gate"),
        detector: params.text("detector"),
        key: params.text("key"),
        ..LineFilter::default()
    };
    let question = params.fingerprint("suppressed", filter.tenant.as_deref());
    let before = place(&params, &question)?;
    state.reads.note_list(&caller, "suppressed.listed", &params, filter.tenant.as_deref());
    let found = state.read(move |tx| suppressions::held(tx, &filter, before, limit.saturating_add(1))).await?;
    Ok(Json(page_of(found, limit, &question, |line: &suppressions::Line| line.id)))
}

//! What alerts and incidents have in common here: how lists of them are asked for, one of them is named, and triaged.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Params, VALUE_BYTES_MAX};
use super::triage::{change_of, expected_version};
use super::{ApiState, body, openapi};
use crate::alert::model::Status;
use crate::db::DbError;
use crate::db::alert_list::{self, Filter};
use crate::db::alerts::{TriageError, TriageStep};
use crate::notify::Desk;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderMap;
use bartizan_core::{EntityKind, Severity};
use rusqlite::Connection;
use utoipa::IntoParams;

/// Ids of one body. Stands in the OpenAPI document.
const IDS_MAX: usize = 200;

/// Which of them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
pub struct CaseQuery {
    /// With an event at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<i64>,
    /// With an event before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<i64>,
    /// Detector id; of incidents, that of an alert in it.
    #[param(max_length = 1024, min_length = 1)]
    detector: Option<String>,
    /// Any of these severities, separated by commas.
    #[param(value_type = Option<String>, min_length = 1, example = "high,critical")]
    severity: Vec<Severity>,
    /// Any of these states, separated by commas.
    #[param(value_type = Option<String>, min_length = 1, example = "open")]
    status: Vec<Status>,
    /// Names this user; of incidents, an alert in it does.
    #[param(max_length = 1024, min_length = 1)]
    user: Option<String>,
    /// Names this address.
    #[param(schema_with = openapi::ip)]
    ip: Option<String>,
    /// Names this session.
    #[param(max_length = 1024, min_length = 1)]
    session: Option<String>,
    /// Names this device.
    #[param(max_length = 1024, min_length = 1)]
    device: Option<String>,
    /// Tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    tenant: Option<String>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Items on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// One page of what `list` finds for the query; `action` names it on record, and tells its cursors from others'.
///
/// # Errors
/// A parameter is wrong, or not for this caller; the database.
pub async fn list<T: Send + 'static>(
    state: &ApiState,
    caller: &Caller,
    (action, params): (&'static str, &Params),
    list: impl FnOnce(&Connection, &Filter) -> Result<alert_list::Page<T>, DbError> + Send + 'static,
) -> Result<Page<T>, Problem> {
    let question = params.fingerprint(action, caller.tenant.as_deref());
    let ip = params.ip("ip")?.map(|ip| ip.to_string());
    let named = [
        (EntityKind::User, params.text("user")),
        (EntityKind::Ip, ip),
        (EntityKind::Session, params.text("session")),
        (EntityKind::Device, params.text("device")),
    ];
    let filter = Filter {
        since_ms: params.time_ms("since")?,
        until_ms: params.time_ms("until")?,
        detector: params.text("detector"),
        severities: params.severities()?,
        statuses: params.statuses()?,
        tenant: caller.scope(params.text("tenant"))?,
        entities: named.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect(),
        cursor: params.text("cursor").map(|cursor| page::place(&question, &cursor)).transpose()?,
        limit: params.limit()?,
    };
    state.reads.note_list(caller, action, params, filter.tenant.as_deref());
    let found = state.read(move |tx| list(tx, &filter)).await?;
    let next_cursor = found.next.and_then(|next| page::cursor(&question, &next));
    Ok(Page { items: found.items, next_cursor })
}

/// Why there are no events.
pub const STORE_AWAY: &str = "the store does not answer at the moment";

/// The `{id}` of a path.
pub type IdPath = Result<Path<String>, PathRejection>;

/// The id in a path.
///
/// # Errors
/// 404: nothing has such an id.
pub fn id_of(path: IdPath) -> Result<String, Problem> {
    path.ok().map(|Path(id)| id).filter(|id| id.len() <= VALUE_BYTES_MAX).ok_or_else(none_of_this_id)
}

/// The ids that a body names, of which one step takes so many at most: each costs a transaction, or part of one.
///
/// # Errors
/// There are none, or too many; `member` names them.
pub fn bounded(member: &str, ids: Vec<String>) -> Result<Vec<String>, Problem> {
    if ids.is_empty() || ids.len() > IDS_MAX { Err(Problem::parameter(member, format_args!("1 to {IDS_MAX}"))) } else { Ok(ids) }
}

/// 404: there is none, for this caller.
#[must_use]
pub fn none_of_this_id() -> Problem {
    Problem::not_found("there is none of this id")
}

/// Takes in the step that a request asks for with `take_in`: [`Desk::alert`] or [`Desk::incident`].
///
/// # Errors
/// The caller may not; the request is wrong; as `take_in`.
pub async fn triage(
    state: &ApiState,
    caller: &Caller,
    id: &str,
    (headers, body): (&HeaderMap, Body),
    take_in: fn(&Desk, &TriageStep<'_>) -> Result<(), TriageError>,
) -> Result<(), Problem> {
    caller.may_triage()?;
    let expected_version = expected_version(headers)?;
    let body = body::read(body, headers, &state.config, state.config.triage_body_bytes_max).await?;
    let change = change_of(&body)?;
    let (desk, caller, id) = (state.desk.clone(), caller.clone(), id.to_owned());
    let work = move || {
        let tenant = caller.tenant.as_deref();
        take_in(&desk, &TriageStep { id: &id, tenant, expected_version, change: &change, actor: &caller.name })
    };
    Ok(tokio::task::spawn_blocking(work).await??)
}

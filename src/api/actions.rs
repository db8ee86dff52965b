//! `/api/v1/actions`: what machines were asked to do because of alerts, where each action stands, and what people
//! decide on it.

use super::auth::Caller;
use super::cases::{IdPath, id_of, none_of_this_id};
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, openapi};
use crate::clock::now_ms;
use crate::db::actions::{self, Filter};
use crate::respond::ActionRecord;
use crate::respond::decide::{Decision, DecisionError, Person};
use crate::respond::order::ActionKind;
use crate::respond::record::State as ActionState;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use std::sync::Arc;
use utoipa::IntoParams;

/// Which actions.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ActionQuery {
    /// In any of these states, separated by commas.
    #[param(value_type = Option<String>, min_length = 1, example = "held,unconfirmed")]
    pub state: Vec<ActionState>,
    /// What is done.
    #[param(value_type = Option<String>, min_length = 1, example = "revoke_session")]
    pub action: Option<ActionKind>,
    /// Name of the target.
    #[param(max_length = 1024, min_length = 1)]
    pub target: Option<String>,
    /// Whom it concerns.
    #[param(max_length = 1024, min_length = 1)]
    pub user: Option<String>,
    /// The session.
    #[param(max_length = 1024, min_length = 1)]
    pub session: Option<String>,
    /// The address.
    #[param(max_length = 1024, min_length = 1)]
    pub address: Option<String>,
    /// Id of the alert that is the cause.
    #[param(max_length = 1024, min_length = 1)]
    pub alert: Option<String>,
    /// Id of that alert's incident.
    #[param(max_length = 1024, min_length = 1)]
    pub incident: Option<String>,
    /// Tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    pub tenant: Option<String>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// Actions on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: u32,
}

/// Actions, the last changed first.
#[utoipa::path(get, path = "/api/v1/actions", tag = "actions", params(ActionQuery),
    responses((status = 200, description = "One page", body = Page<ActionRecord>), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<Page<ActionRecord>>, Problem> {
    caller.may_read()?;
    let params = Params::read::<ActionQuery>(&uri)?;
    let question = params.fingerprint("actions", caller.tenant.as_deref());
    let states = ActionState::ALL.map(ActionState::as_str);
    let kinds = ActionKind::ALL.map(ActionKind::as_str);
    let filter = Filter {
        tenant: caller.scope(params.text("tenant"))?,
        states: params.names("state", &states, |text| ActionState::ALL.into_iter().find(|state| state.as_str() == text))?,
        action: params.name("action", &kinds, |text| ActionKind::ALL.into_iter().find(|kind| kind.as_str() == text))?,
        target: params.text("target"),
        user: params.text("user"),
        session: params.text("session"),
        address: params.text("address"),
        alert: params.text("alert"),
        incident: params.text("incident"),
        cursor: params.text("cursor").map(|cursor| page::place(&question, &cursor)).transpose()?,
        limit: params.limit()?,
    };
    let found = state.read(move |tx| actions::list(tx, &filter)).await?;
    let next_cursor = found.next.and_then(|next| page::cursor(&question, &next));
    Ok(Json(Page { items: found.items, next_cursor }))
}

/// One action.
#[utoipa::path(get, path = "/api/v1/actions/{id}", tag = "actions", params(("id" = String, Path, description = "Action id")),
    responses((status = 200, description = "As it stands now", body = ActionRecord), openapi::ItemErrors))]
pub async fn get(State(state): State<ApiState>, caller: Caller, path: IdPath, uri: Uri) -> Result<Json<ActionRecord>, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    let id = id_of(path)?;
    let action = state.read(move |tx| actions::get(tx, &id)).await?;
    action.filter(|action| caller.sees(&action.tenant)).map(Json).ok_or_else(none_of_this_id)
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::NotFound => none_of_this_id(),
            DecisionError::Conflict(reason) => Self::new(StatusCode::CONFLICT, reason),
            DecisionError::Db(error) => error.into(),
        }
    }
}

/// Agrees to an action that waits: one that a brake holds, or that a policy proposes. It goes once as many people agreed
/// as it wants, each with a token of their own.
#[utoipa::path(post, path = "/api/v1/actions/{id}/approve", tag = "actions", params(("id" = String, Path, description = "Action id")),
    responses((status = 200, description = "As it stands now", body = ActionRecord), openapi::DecisionErrors))]
pub async fn approve(State(state): State<ApiState>, caller: Caller, path: IdPath, uri: Uri) -> Result<Json<ActionRecord>, Problem> {
    decide(state, caller, path, uri, |decision, id| decision.approve(id)).await
}

/// Says no to an action that waits.
#[utoipa::path(post, path = "/api/v1/actions/{id}/reject", tag = "actions", params(("id" = String, Path, description = "Action id")),
    responses((status = 200, description = "As it stands now", body = ActionRecord), openapi::DecisionErrors))]
pub async fn reject(State(state): State<ApiState>, caller: Caller, path: IdPath, uri: Uri) -> Result<Json<ActionRecord>, Problem> {
    decide(state, caller, path, uri, |decision, id| decision.reject(id)).await
}

/// Undoes an action that was done: a block at once; a sign-in that was required, or an account that was disabled, by an
/// action of its own.
#[utoipa::path(post, path = "/api/v1/actions/{id}/undo", tag = "actions", params(("id" = String, Path, description = "Action id")),
    responses((status = 200, description = "The action that undoes it, or the block as it stands now", body = ActionRecord), openapi::DecisionErrors))]
pub async fn undo(State(state): State<ApiState>, caller: Caller, path: IdPath, uri: Uri) -> Result<Json<ActionRecord>, Problem> {
    decide(state, caller, path, uri, |decision, id| decision.undo(id)).await
}

/// One decision in one transaction; the deliverers look at the outbox after it.
async fn decide(
    state: ApiState,
    caller: Caller,
    path: IdPath,
    uri: Uri,
    work: impl FnOnce(&Decision<'_>, &str) -> Result<ActionRecord, DecisionError> + Send + 'static,
) -> Result<Json<ActionRecord>, Problem> {
    caller.may_triage()?;
    Params::read::<NoParams>(&uri)?;
    let id = id_of(path)?;
    let (db, routing, person) = (state.db.clone(), Arc::clone(&state.desk.routing), person(caller));
    let decided = move || db.write(|tx| work(&Decision { tx, routing: &routing, person: &person, now_ms: now_ms() }, &id));
    let action = tokio::task::spawn_blocking(decided).await??;
    state.desk.wake.wake();
    Ok(Json(action))
}

/// The caller as one who decides.
pub(super) fn person(caller: Caller) -> Person {
    Person { name: caller.name, token: caller.id, tenant: caller.tenant }
}

//! `/api/v1/actions`: what machines were asked to do because of alerts, and where each action stands.

use super::alerts::NoParams;
use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Params, VALUE_BYTES_MAX};
use super::{ApiState, openapi};
use crate::db::actions::{self, Filter};
use crate::respond::ActionRecord;
use crate::respond::order::ActionKind;
use crate::respond::record::State as ActionState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
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
    /// Id of the alert that is the cause.
    #[param(max_length = 1024, min_length = 1)]
    pub alert: Option<String>,
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
        alert: params.text("alert"),
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
pub async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ActionRecord>, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    let none = || Problem::not_found("there is no action of this id");
    let Path(id) = path.map_err(|_| none())?;
    if id.len() > VALUE_BYTES_MAX {
        return Err(none());
    }
    let action = state.read(move |tx| actions::get(tx, &id)).await?;
    action.filter(|action| caller.sees(&action.tenant)).map(Json).ok_or_else(none)
}

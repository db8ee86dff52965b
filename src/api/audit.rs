//! `GET /api/v1/audit`: the audit trail, for admins.
//!
//! A token of one tenant sees that tenant's records alone. Looking is recorded, too.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::Params;
use super::{ApiState, openapi};
use crate::db::audit::{self, Filter};
use crate::db::chain::Record;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// Stretches of the trail that one request looks through, each read by itself: others use the database, too.
const STRETCHES_MAX: usize = 50;

/// Which records.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct AuditQuery {
    /// At or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<i64>,
    /// Before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<i64>,
    /// By this actor: the name of a token, `command line`, `detection`, `delivery` …
    #[param(max_length = 1024, min_length = 1)]
    actor: Option<String>,
    /// With this action, such as `alert.triage`.
    #[param(max_length = 1024, min_length = 1)]
    action: Option<String>,
    /// About this subject.
    #[param(max_length = 1024, min_length = 1)]
    subject: Option<String>,
    /// Tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    tenant: Option<String>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Records on the page. Where few of many fit, there may be fewer, although there is a next page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// Where a page begins, as it stands in a cursor.
#[derive(Serialize, Deserialize)]
struct Place {
    below: i64,
}

/// The audit trail, newest first: who did what, when and why. `hash` is the SHA-256 of a record's JSON
/// without that member.
#[utoipa::path(get, path = "/api/v1/audit", tag = "operation", params(AuditQuery),
    responses((status = 200, description = "One page", body = Page<Record>), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<Page<Record>>, Problem> {
    caller.may_audit()?;
    let params = Params::read::<AuditQuery>(&uri)?;
    let filter = Filter {
        since_ms: params.time_ms("since")?,
        until_ms: params.time_ms("until")?,
        tenant: caller.scope(params.text("tenant"))?,
        actor: params.text("actor"),
        action: params.text("action"),
        subject: params.text("subject"),
    };
    let limit = params.limit()?;
    let question = params.fingerprint("audit", caller.tenant.as_deref());
    let place: Option<Place> = params.text("cursor").map(|cursor| page::place(&question, &cursor)).transpose()?;
    state.reads.note_list(&caller, "audit.listed", &params, filter.tenant.as_deref());
    let (mut items, mut below) = (Vec::new(), Some(place.map_or(i64::MAX, |place| place.below)));
    for _ in 0..STRETCHES_MAX {
        let Some(from) = below.filter(|_| items.len() < limit as usize) else { break };
        let (filter, wanted) = (filter.clone(), limit.saturating_sub(items.len() as u32));
        let (found, next) = state.read(move |tx| Ok(audit::list(tx, &filter, from, wanted)?)).await?;
        items.extend(found);
        below = next;
    }
    let next_cursor = below.and_then(|below| page::cursor(&question, &Place { below }));
    Ok(Json(Page { items, next_cursor }))
}

//! `/api/v1/blocks`, `/v1/decisions/stream`: addresses that are blocked, for gateways to turn away.
//!
//! The first is a plain list. The second speaks as CrowdSec's local API does to its bouncers (the stream of
//! decisions, with the token as `X-Api-Key`), so that those that exist can be pointed here: at the start all that
//! are in force, then what is new and what ended since the same token asked last. What a token was told is known
//! to this process alone; after a restart it is told again, which changes nothing for whoever has it already.

use super::auth::Caller;
use super::problem::Problem;
use super::query::Params;
use super::{ApiState, openapi};
use crate::clock::now_ms;
use crate::db::actions;
use crate::respond::ActionRecord;
use crate::respond::record::State as ActionState;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bartizan_core::time::{DAY_MS, SECOND_MS};
use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::{IntoParams, ToSchema};

/// How far back ended blocks are told to a token that was told nothing yet.
const ENDED_TOLD_MS: i64 = DAY_MS;
/// How far each question goes back behind the one before: what is decided is there a little later.
const OVERLAP_MS: i64 = 10 * SECOND_MS;
/// Tokens whose last question is remembered.
const TOKENS_MAX: usize = 10_000;

/// When each token asked last, in milliseconds since 1970, by its id.
#[derive(Debug, Default)]
pub struct Asked(Mutex<BTreeMap<String, i64>>);

impl Asked {
    /// When this token asked last, and notes that it asks now.
    fn since(&self, token: &str, now_ms: i64) -> Option<i64> {
        let mut asked = self.0.lock();
        if asked.len() >= TOKENS_MAX && !asked.contains_key(token) {
            asked.clear();
        }
        asked.insert(token.to_owned(), now_ms)
    }
}

/// Whose blocks.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct BlockQuery {
    /// Tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    tenant: Option<String>,
}

/// Addresses that are blocked now, one a line.
#[utoipa::path(get, path = "/api/v1/blocks", tag = "actions", params(BlockQuery),
    responses((status = 200, description = "Addresses", body = String, content_type = "text/plain"), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<impl IntoResponse, Problem> {
    caller.may_read()?;
    let tenant = caller.scope(Params::read::<BlockQuery>(&uri)?.text("tenant"))?;
    let blocks = state.read(move |tx| actions::blocks(tx, tenant.as_deref(), ActionState::InForce, i64::MIN)).await?;
    let mut addresses: Vec<String> = blocks.into_iter().filter_map(|block| block.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let text = addresses.iter().fold(String::new(), |text, address| text + address + "\n");
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}

/// A decision as CrowdSec's local API tells it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decision {
    /// A number that stays the same.
    pub id: u64,
    /// `bartizan`.
    pub origin: &'static str,
    /// `ban`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `Ip`.
    pub scope: &'static str,
    /// The address.
    pub value: String,
    /// How long it still holds, as Go writes durations: `3h59m58s`; of one that ended, less than nothing.
    pub duration: String,
    /// The detector.
    pub scenario: String,
}

impl Decision {
    fn of(block: ActionRecord, now_ms: i64) -> Option<Self> {
        let left_ms = match block.state {
            ActionState::InForce => block.not_after.0.saturating_sub(now_ms).max(0),
            _ => -1_000,
        };
        let hash = Sha256::digest(&block.id);
        Some(Self {
            // 48 bits, which every JSON reader takes for a whole number.
            id: hash.iter().take(6).fold(0, |id, byte| id << 8 | u64::from(*byte)),
            origin: "bartizan",
            kind: "ban",
            scope: "Ip",
            value: block.address?,
            duration: duration(left_ms),
            scenario: format!("bartizan/{}", block.detector),
        })
    }
}

/// A duration as Go writes it, in whole seconds.
fn duration(ms: i64) -> String {
    let (sign, seconds) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs() / 1_000);
    format!("{sign}{}h{}m{}s", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// What changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionStream {
    /// Blocks that hold now.
    pub new: Vec<Decision>,
    /// Blocks that ended.
    pub deleted: Vec<Decision>,
}

/// What is asked for. What bouncers may also say of the decisions they want is taken and has no effect.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct StreamQuery {
    /// All that are in force, not only what is new.
    startup: Option<bool>,
    /// Scopes, separated by commas: nothing is told unless `ip` is among them.
    #[param(max_length = 1024, min_length = 1)]
    scopes: Option<String>,
    /// No effect.
    #[param(max_length = 1024, min_length = 1)]
    origins: Option<String>,
    /// No effect.
    #[param(max_length = 1024, min_length = 1)]
    scenarios_containing: Option<String>,
    /// No effect.
    #[param(max_length = 1024, min_length = 1)]
    scenarios_not_containing: Option<String>,
    /// No effect.
    dedup: Option<bool>,
    /// No effect.
    community_pull: Option<bool>,
    /// No effect.
    additional_pull: Option<bool>,
}

/// What CrowdSec's local API tells its bouncers: decisions that are new, and those that ended.
#[utoipa::path(get, path = "/v1/decisions/stream", tag = "actions", params(StreamQuery),
    responses((status = 200, description = "Decisions", body = DecisionStream), openapi::QuestionErrors))]
pub async fn stream(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<DecisionStream>, Problem> {
    caller.may_read()?;
    let params = Params::read::<StreamQuery>(&uri)?;
    let startup = params.parsed("startup", "true or false", |text| text.parse::<bool>().ok())?.unwrap_or_default();
    if params.text("scopes").is_some_and(|scopes| !scopes.split(',').any(|scope| scope.trim().eq_ignore_ascii_case("ip"))) {
        return Ok(Json(DecisionStream { new: Vec::new(), deleted: Vec::new() }));
    }
    let now_ms = now_ms();
    let since = state.blocks_asked.since(&caller.id, now_ms).filter(|_| !startup);
    let (tenant, since_ms) = (caller.tenant, since.map(|since| since - OVERLAP_MS));
    let read = state.read(move |tx| {
        let of = |state, since_ms| actions::blocks(tx, tenant.as_deref(), state, since_ms);
        let ended_ms = since_ms.unwrap_or(now_ms - ENDED_TOLD_MS);
        Ok((of(ActionState::InForce, i64::MIN)?, of(ActionState::Lifted, ended_ms)?, of(ActionState::Undone, ended_ms)?))
    });
    let (in_force, lifted, undone) = read.await?;
    let blocked: BTreeSet<String> = in_force.iter().filter_map(|block| block.address.clone()).collect();
    let is_new = |block: &ActionRecord| since_ms.is_none_or(|since_ms| block.confirmed_time.is_none_or(|time| time.0 > since_ms));
    let is_over = |block: &ActionRecord| !block.address.as_ref().is_some_and(|address| blocked.contains(address));
    let told = |block| Decision::of(block, now_ms);
    Ok(Json(DecisionStream {
        new: in_force.into_iter().filter(is_new).filter_map(told).collect(),
        deleted: lifted.into_iter().chain(undone).filter(is_over).filter_map(told).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_reads_them() {
        assert_eq!([0, 59_999, 3_599_000, 14_399_000, -1_000].map(duration), ["0h0m0s", "0h0m59s", "0h59m59s", "3h59m59s", "-0h0m1s"]);
    }
}

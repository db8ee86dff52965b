//! `GET /api/v1/explain`: what each detector makes of a stored event, and what kept it silent.
//!
//! The event is judged again after what is stored of those whom it concerns (see [`crate::explain`]) and what analysts
//! had taught of its user, so the answer says how much that was. One at a time: it takes a core for a moment, and the
//! daemon has better things to do.

use super::auth::Caller;
use super::events::EventView;
use super::problem::Problem;
use super::query::Params;
use super::suppressions::SuppressedView;
use super::{ApiState, openapi};
use crate::db::suppressions::{self, LineFilter};
use crate::db::{alert_list, lessons};
use crate::detect::{DetectConfig, Enabled};
use crate::explain::around::{AROUND_MS, NAMED_MAX, concerned, key_of};
use crate::explain::{Explainer, Explanation};
use crate::store::{EventFilter, StoredEvent};
use crate::teach::Lesson;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use bartizan_core::EventBatch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

/// The detectors as the daemon has them.
#[derive(Debug)]
pub struct Detectors {
    /// `[detect]`.
    pub config: DetectConfig,
    /// Which detectors, with their limits.
    pub enabled: Enabled,
}

/// Which event.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct ExplainQuery {
    /// Id of the event; of several with it the newest.
    #[param(max_length = 1024, min_length = 1)]
    event: Option<String>,
    /// Instead of an event: the latest one of this user at or before `time`.
    #[param(max_length = 1024, min_length = 1)]
    user: Option<String>,
    /// Event time, for `user`.
    #[param(value_type = Option<String>, format = DateTime)]
    time: Option<i64>,
    /// Tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    tenant: Option<String>,
}

/// An event, what each detector makes of it, and what became of it. `bartizan explain` prints the same over files.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// The event.
    pub event: EventView,
    /// What the detectors make of it, judged again.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// Were there more events to judge before it than `http.explain_events_max`?
    pub truncated: bool,
    /// Ids of the alerts that name its user, address or session within an hour of its time, the newest first.
    pub alerts: Vec<String>,
    /// What was held back about its user, address or session within the hour of its time, the newest first.
    pub ledger: Vec<SuppressedView>,
}

/// What each detector makes of a stored event.
#[utoipa::path(get, path = "/api/v1/explain", tag = "events", params(ExplainQuery),
    responses((status = 200, description = "The event and what is made of it", body = ExplainView), openapi::QuestionErrors,
        (status = 404, description = "There is no such event", body = Problem, content_type = "application/problem+json")))]
pub async fn get(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<ExplainView>, Problem> {
    caller.may_read()?;
    let params = Params::read::<ExplainQuery>(&uri)?;
    let event = asked(&state, &params, caller.scope(params.text("tenant"))?).await?;
    state.reads.note(&caller, "event.explained", &event.id, Some(&event.tenant));
    let _turn = state.explains.acquire().await.map_err(|_| Problem::unavailable("the daemon is stopping", 1))?;
    let events_max = state.config.explain_events_max;
    let before = state.store()?.events_before(&event, events_max).await?;
    let truncated = before.len() as u64 >= u64::from(events_max / 2);
    let (tenant, user, before_ms) = (event.tenant.clone(), event.user.clone(), event.received_time);
    let lessons = state.read(move |connection| lessons::of_user(connection, &tenant, &user, before_ms)).await?;
    let (shared, asked) = (state.clone(), event.clone());
    let explanation = tokio::task::spawn_blocking(move || explain(&shared, &before, &lessons, &asked)).await??;
    let (alerts, ledger) = around(&state, &event).await?;
    Ok(Json(ExplainView { event: event.into(), explanation, truncated, alerts, ledger }))
}

async fn asked(state: &ApiState, params: &Params, tenant: Option<String>) -> Result<StoredEvent, Problem> {
    let store = state.store()?;
    let found = match (params.text("event"), params.text("user"), params.time_ms("time")?) {
        (Some(id), None, None) => store.event(tenant.as_deref(), &id).await?,
        (None, Some(user), Some(time_ms)) => {
            let until_ms = Some(time_ms.saturating_add(1));
            let filter = EventFilter { tenant, user: Some(user), until_ms, ..EventFilter::default() };
            store.events(&filter, None, 1).await?.events.into_iter().next()
        }
        _ => return Err(Problem::bad_request("wants `event`, or `user` and `time`")),
    };
    found.ok_or_else(|| Problem::not_found("there is no such event"))
}

fn explain(state: &ApiState, before: &[StoredEvent], lessons: &[Lesson], event: &StoredEvent) -> Result<Explanation, Problem> {
    let mut past = EventBatch::with_capacity(before.len());
    // What another program wrote into the table says nothing.
    before.iter().for_each(|event| _ = event.push(&mut past));
    let mut asked = EventBatch::default();
    event.push(&mut asked);
    let asked = asked.get(0).ok_or_else(|| Problem::not_found("it is no event of this program's"))?;
    let mut explainer = Explainer::new(&state.detectors.config, &state.detectors.enabled);
    explainer.judge(past.iter());
    let mut taught = EventBatch::default();
    lessons.iter().try_for_each(|lesson| lesson.push(&mut taught)).map_err(|error| Problem::internal(&error))?;
    explainer.learn(taught);
    let lists = &state.suppressions;
    Ok(explainer.explain(&asked, Some(lists.of_version(lists.newest()))))
}

/// Alerts and lines of the ledger about those of the event, around its time.
async fn around(state: &ApiState, event: &StoredEvent) -> Result<(Vec<String>, Vec<SuppressedView>), Problem> {
    let (tenant, time_ms, entities) = (event.tenant.clone(), event.time, concerned(event));
    let find = move |tx: &rusqlite::Connection| {
        let (mut alerts, mut ledger) = (BTreeSet::new(), Vec::new());
        for entity in entities {
            let key = Some(key_of(&entity));
            let filter = LineFilter { tenant: Some(tenant.clone()), key, around_ms: Some(time_ms), ..LineFilter::default() };
            ledger.extend(suppressions::held(tx, &filter, i64::MAX, NAMED_MAX as u32)?);
            let filter = alert_list::Filter {
                since_ms: Some(time_ms.saturating_sub(AROUND_MS)),
                until_ms: Some(time_ms.saturating_add(AROUND_MS + 1)),
                tenant: Some(tenant.clone()),
                entities: vec![entity],
                limit: NAMED_MAX as u32,
                ..alert_list::Filter::default()
            };
            alerts.extend(alert_list::list(tx, &filter)?.items.into_iter().map(|alert| alert.id));
        }
        ledger.sort_by_key(|line| std::cmp::Reverse(line.id));
        ledger.truncate(NAMED_MAX);
        Ok((alerts.into_iter().rev().collect(), ledger.into_iter().map(SuppressedView::from).collect()))
    };
    state.read(find).await
}

//! `/api/v1/alerts`: the list, one alert with what proves it and what became of it, triage.
//!
//! Alerts are read from the working database, so they are there, and triaged, whatever state the
//! store is in; only the events behind an alert come from the store.

use super::auth::Caller;
use super::cases::{self, CaseQuery, IdPath, STORE_AWAY, id_of, none_of_this_id};
use super::events::EventView;
use super::openapi::AnyOf;
use super::page::Page;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::triage::{Triage, etag};
use super::{ApiState, openapi};
use crate::alert::Alert;
use crate::alert::ocsf::DetectionFinding;
use crate::db::alert_list;
use crate::db::alerts::{self, HistoryEntry};
use crate::notify::Desk;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use bartizan_core::{Severity, TimeMs};
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

/// Which alerts, and in which form.
pub struct AlertQuery;

impl IntoParams for AlertQuery {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let form = FormatQuery::into_params(&parameter_in);
        CaseQuery::into_params(&parameter_in).into_iter().chain(form).collect()
    }
}

/// In which form alerts are shown.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct FormatQuery {
    /// Form of an alert: Bartizan's own (the default), or an OCSF Detection Finding (class 2004), which has no history
    /// and names its events by id alone.
    #[param(inline)]
    format: Option<AlertFormat>,
}

/// Forms in which alerts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum AlertFormat {
    /// As everywhere in this API.
    Bartizan,
    /// OCSF Detection Finding, class 2004.
    Ocsf,
}

impl AlertFormat {
    fn read(params: &Params) -> Result<Option<Self>, Problem> {
        params.parsed("format", "bartizan or ocsf", |text| match text {
            "bartizan" => Some(Self::Bartizan),
            "ocsf" => Some(Self::Ocsf),
            _ => None,
        })
    }
}

type AlertPage = AnyOf<Page<Alert>, Page<DetectionFinding>>;
type AlertAnswer = AnyOf<AlertDetail, DetectionFinding>;

/// Alerts, newest first.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(AlertQuery),
    responses((status = 200, description = "One page", body = AlertPage), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<AlertPage>, Problem> {
    caller.may_read()?;
    let params = Params::read::<AlertQuery>(&uri)?;
    let format = AlertFormat::read(&params)?;
    let Page { items, next_cursor } = cases::list(&state, &caller, ("alerts.listed", &params), alert_list::list).await?;
    Ok(Json(match format {
        Some(AlertFormat::Ocsf) => AnyOf::Second(Page { items: items.iter().map(DetectionFinding::of).collect(), next_cursor }),
        _ => AnyOf::First(Page { items, next_cursor }),
    }))
}

/// A line of an alert's history: a version that detection wrote, a triage step, or what was learnt of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryLine {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: TimeMs,
    /// `version`, `triage` or `lesson`.
    pub kind: &'static str,
    /// The alert's version that it led to; of a lesson the one that it belongs to.
    pub version: u32,
    /// Name of the token, of a triage step and what was learnt by it.
    pub by: Option<String>,
    /// What happened, of a version: `opened`, `severity`, `grown`, `closed`.
    pub change: Option<&'static str>,
    /// Severity, of a version.
    pub severity: Option<Value>,
    /// Events, of a version.
    pub event_count: Option<Value>,
    /// Status that was set.
    pub status: Option<Value>,
    /// Disposition that was set.
    pub disposition: Option<Value>,
    /// Who was put on it; an empty text: nobody.
    pub assignee: Option<Value>,
    /// Remark.
    pub note: Option<Value>,
    /// Where more of it stands.
    pub link: Option<Value>,
    /// What became part of its people's normal, or why nothing did.
    pub lesson: Option<Value>,
}

/// An alert with the events that show it and with its history.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertDetail {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// Events that show it, oldest first.
    pub events: Vec<EventView>,
    /// Why `events` lacks events that there were; `null`: it lacks none.
    pub events_missing: Option<String>,
    /// Events that belong to it.
    pub events_total: u64,
    /// What became of it, oldest first.
    pub history: Vec<HistoryLine>,
}

/// One alert with its evidence events and its history.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", params(("id" = String, Path, description = "Alert id"), FormatQuery),
    responses((status = 200, description = "The alert; its version as ETag", body = AlertAnswer), openapi::ItemErrors))]
pub async fn get(State(state): State<ApiState>, caller: Caller, path: IdPath, uri: Uri) -> Result<impl IntoResponse, Problem> {
    caller.may_read()?;
    let format = AlertFormat::read(&Params::read::<FormatQuery>(&uri)?)?;
    let id = id_of(path)?;
    if format == Some(AlertFormat::Ocsf) {
        let alert = seen(&caller, state.read(move |tx| alerts::get(tx, &id)).await?)?;
        note(&state, &caller, &alert);
        return Ok(([(ETAG, etag(alert.version))], Json(AnyOf::Second(DetectionFinding::of(&alert)))));
    }
    let detail = detail(&state, &caller, id).await?;
    note(&state, &caller, &detail.alert);
    Ok(([(ETAG, etag(detail.alert.version))], Json(AnyOf::First(detail))))
}

fn note(state: &ApiState, caller: &Caller, alert: &Alert) {
    state.reads.note(caller, "alert.read", &alert.id, Some(&alert.tenant));
}

/// The alert, if there is one that the caller may see.
fn seen(caller: &Caller, alert: Option<Alert>) -> Result<Alert, Problem> {
    alert.filter(|alert| caller.sees(&alert.tenant)).ok_or_else(none_of_this_id)
}

async fn detail(state: &ApiState, caller: &Caller, id: String) -> Result<AlertDetail, Problem> {
    let history_max = state.config.history_max;
    let read = state.read(move |tx| {
        let Some(alert) = alerts::get(tx, &id)? else { return Ok(None) };
        Ok(Some((alert, alerts::history(tx, &id, history_max)?)))
    });
    let (alert, history) = read.await?.filter(|(alert, _)| caller.sees(&alert.tenant)).ok_or_else(none_of_this_id)?;
    let (events, events_missing) = match evidence(state, &alert).await {
        Ok(events) => (events, None),
        Err(_) => (Vec::new(), Some(STORE_AWAY.to_owned())),
    };
    Ok(AlertDetail { events, events_missing, events_total: alert.event_count, history: lines(history), alert })
}

async fn evidence(state: &ApiState, alert: &Alert) -> Result<Vec<EventView>, Problem> {
    if alert.event_ids.is_empty() {
        return Ok(Vec::new());
    }
    let (first, last) = (alert.first_event_time.0, alert.last_event_time.0);
    let events = state.store()?.events_by_id(&alert.tenant, &alert.event_ids, first, last).await?;
    Ok(events.into_iter().map(EventView::from).collect())
}

fn lines(history: Vec<HistoryEntry>) -> Vec<HistoryLine> {
    let mut severity_before: Option<Severity> = None;
    history.into_iter().map(|entry| line(entry, &mut severity_before)).collect()
}

fn line(entry: HistoryEntry, severity_before: &mut Option<Severity>) -> HistoryLine {
    let detection = entry.actor == "detection";
    let mut change = None;
    if detection {
        let severity = entry.change.get("severity").and_then(Value::as_str).and_then(Severity::parse);
        let closed = entry.change.get("ongoing") == Some(&Value::Bool(false));
        change = Some(match (*severity_before, severity) {
            _ if entry.version == 1 => "opened",
            _ if closed => "closed",
            (Some(before), Some(now)) if now > before => "severity",
            _ => "grown",
        });
        *severity_before = severity.or(*severity_before);
    }
    let member = |name: &str| entry.change.get(name).filter(|value| !value.is_null()).cloned();
    let lesson = member("lesson");
    HistoryLine {
        time: TimeMs(entry.at_ms),
        kind: match (detection, &lesson) {
            (true, _) => "version",
            (false, Some(_)) => "lesson",
            (false, None) => "triage",
        },
        version: entry.version,
        change,
        severity: member("severity"),
        event_count: member("event_count"),
        status: member("status"),
        disposition: member("disposition"),
        assignee: member("assignee"),
        note: member("note"),
        link: member("link"),
        lesson,
        by: (!detection).then_some(entry.actor),
    }
}

/// Triages an alert: status, disposition, assignee, note. Kept as history with who and when. What is resolved as `benign`
/// or `false_positive` becomes part of its people's normal, where the detector goes by that.
#[utoipa::path(patch, path = "/api/v1/alerts/{id}", tag = "alerts",
    params(("id" = String, Path, description = "Alert id"),
        ("If-Match" = Option<String>, Header, description = "The version that was seen; 412 if there is another by now")),
    request_body(content = Triage, content_type = "application/json"),
    responses((status = 200, description = "The alert as it stands now", body = AlertDetail), openapi::TriageErrors))]
pub async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    path: IdPath,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    Params::read::<NoParams>(&uri)?;
    let id = id_of(path)?;
    cases::triage(&state, &caller, &id, (&headers, body), Desk::alert).await?;
    let detail = detail(&state, &caller, id).await?;
    Ok(([(ETAG, etag(detail.alert.version))], Json(detail)))
}

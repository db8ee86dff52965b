//! `/api/v1/alerts`: the list, one alert with what proves it and what became of it, triage.
//!
//! Alerts are read from the working database, so they are there, and triaged, whatever state the
//! store is in; only the events behind an alert come from the store.

use super::auth::Caller;
use super::body;
use super::events::EventView;
use super::openapi::AnyOf;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Params, VALUE_BYTES_MAX};
use super::triage::{Triage, change_of, etag, expected_version};
use super::{ApiState, openapi};
use crate::alert::Alert;
use crate::alert::model::Status;
use crate::alert::ocsf::DetectionFinding;
use crate::clock::now_ms;
use crate::db::alert_list::{self, Filter};
use crate::db::alerts::{self, Change, HistoryEntry, TriageError, TriageStep};
use crate::notify::commit_triage;
use crate::pipeline::commit::AlertChange;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use bartizan_core::{EntityKind, Severity, TimeMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which alerts.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// With an event at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<i64>,
    /// With an event before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<i64>,
    /// Detector id.
    #[param(max_length = 1024, min_length = 1)]
    pub detector: Option<String>,
    /// Any of these severities, separated by commas.
    #[param(value_type = Option<String>, min_length = 1, example = "high,critical")]
    pub severity: Vec<Severity>,
    /// Any of these states, separated by commas.
    #[param(value_type = Option<String>, min_length = 1, example = "open")]
    pub status: Vec<Status>,
    /// Names this user.
    #[param(max_length = 1024, min_length = 1)]
    pub user: Option<String>,
    /// Names this address.
    #[param(schema_with = openapi::ip)]
    pub ip: Option<String>,
    /// Names this session.
    #[param(max_length = 1024, min_length = 1)]
    pub session: Option<String>,
    /// Tenant; for tokens of all tenants.
    #[param(max_length = 1024, min_length = 1)]
    pub tenant: Option<String>,
    /// Form of the alerts: Bartizan's own (the default), or OCSF Detection Findings (class 2004).
    #[param(inline)]
    pub format: Option<AlertFormat>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// Alerts on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: u32,
}

impl AlertQuery {
    fn read(params: &Params) -> Result<Self, Problem> {
        Ok(Self {
            since: params.time_ms("since")?,
            until: params.time_ms("until")?,
            detector: params.text("detector"),
            severity: params.severities()?,
            status: params.statuses()?,
            user: params.text("user"),
            ip: params.ip("ip")?.map(|ip| ip.to_string()),
            session: params.text("session"),
            tenant: params.text("tenant"),
            format: AlertFormat::read(params)?,
            cursor: params.text("cursor"),
            limit: params.limit()?,
        })
    }

    fn entities(&self) -> Vec<(EntityKind, String)> {
        let named = [(EntityKind::User, &self.user), (EntityKind::Ip, &self.ip), (EntityKind::Session, &self.session)];
        named.into_iter().filter_map(|(kind, value)| value.clone().map(|value| (kind, value))).collect()
    }
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

/// Where a page of alerts begins, as it stands in a cursor.
#[derive(Serialize, Deserialize)]
struct Place {
    t: i64,
    id: String,
}

type AlertPage = AnyOf<Page<Alert>, Page<DetectionFinding>>;
type AlertAnswer = AnyOf<AlertDetail, DetectionFinding>;

/// Alerts, newest first.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(AlertQuery),
    responses((status = 200, description = "One page", body = AlertPage), openapi::QuestionErrors))]
pub async fn list(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<AlertPage>, Problem> {
    caller.may_read()?;
    let params = Params::read::<AlertQuery>(&uri)?;
    let query = AlertQuery::read(&params)?;
    let question = params.fingerprint("alerts", caller.tenant.as_deref());
    let place: Option<Place> = query.cursor.as_ref().map(|cursor| page::place(&question, cursor)).transpose()?;
    let filter = Filter {
        since_ms: query.since,
        until_ms: query.until,
        entities: query.entities(),
        detector: query.detector,
        severities: query.severity,
        statuses: query.status,
        tenant: caller.scope(query.tenant)?,
        cursor: place.map(|place| alert_list::Cursor { updated_ms: place.t, id: place.id }),
        limit: query.limit,
    };
    state.reads.note_list(&caller, "alerts.listed", &params, filter.tenant.as_deref());
    let found = state.read(move |tx| alert_list::list(tx, &filter)).await?;
    let next_cursor = found.next.and_then(|next| page::cursor(&question, &Place { t: next.updated_ms, id: next.id }));
    Ok(Json(match query.format {
        Some(AlertFormat::Ocsf) => AnyOf::Second(Page { items: found.items.iter().map(DetectionFinding::of).collect(), next_cursor }),
        _ => AnyOf::First(Page { items: found.items, next_cursor }),
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

type AlertPath = Result<Path<String>, PathRejection>;

fn id_of(path: AlertPath) -> Result<String, Problem> {
    let Path(id) = path.map_err(|_| no_such_alert())?;
    if id.len() > VALUE_BYTES_MAX { Err(no_such_alert()) } else { Ok(id) }
}

fn no_such_alert() -> Problem {
    Problem::not_found("there is no alert of this id")
}

/// In which form one alert is shown.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the query, which is read by name")]
struct DetailQuery {
    /// Form of the alert: Bartizan's own (the default), or an OCSF Detection Finding (class 2004),
    /// which has no history and names its events by id alone.
    #[param(inline)]
    format: Option<AlertFormat>,
}

/// One alert with its evidence events and its history.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", params(("id" = String, Path, description = "Alert id"), DetailQuery),
    responses((status = 200, description = "The alert; its version as ETag", body = AlertAnswer), openapi::ItemErrors))]
pub async fn get(State(state): State<ApiState>, caller: Caller, path: AlertPath, uri: Uri) -> Result<impl IntoResponse, Problem> {
    caller.may_read()?;
    let format = AlertFormat::read(&Params::read::<DetailQuery>(&uri)?)?;
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
    alert.filter(|alert| caller.sees(&alert.tenant)).ok_or_else(no_such_alert)
}

/// A route without parameters.
#[derive(IntoParams)]
pub struct NoParams {}

async fn detail(state: &ApiState, caller: &Caller, id: String) -> Result<AlertDetail, Problem> {
    let history_max = state.config.history_max;
    let read = state.read(move |tx| {
        let Some(alert) = alerts::get(tx, &id)? else { return Ok(None) };
        Ok(Some((alert, alerts::history(tx, &id, history_max)?)))
    });
    let (alert, history) = read.await?.filter(|(alert, _)| caller.sees(&alert.tenant)).ok_or_else(no_such_alert)?;
    let (events, events_missing) = match evidence(state, &alert).await {
        Ok(events) => (events, None),
        Err(_) => (Vec::new(), Some("the store does not answer at the moment".to_owned())),
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
    path: AlertPath,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    caller.may_triage()?;
    Params::read::<NoParams>(&uri)?;
    let id = id_of(path)?;
    let expected_version = expected_version(&headers)?;
    let body = body::read(body, &headers, &state.config, state.config.triage_body_bytes_max).await?;
    let change = change_of(&body)?;
    let kind = if change.status == Some(Status::Resolved) { "alert.resolved" } else { "alert.updated" };
    let alert = triage(&state, &caller, id.clone(), expected_version, change).await?;
    // Nobody may be looking.
    state.changes.send(Arc::new(AlertChange { kind, alert })).ok();
    state.wake.wake();
    let detail = detail(&state, &caller, id).await?;
    Ok(([(ETAG, etag(detail.alert.version))], Json(detail)))
}

async fn triage(state: &ApiState, caller: &Caller, id: String, expected_version: Option<u32>, change: Change) -> Result<Alert, Problem> {
    let (db, routing, caller) = (state.db.clone(), Arc::clone(&state.routing), caller.clone());
    let lessons = Arc::clone(&state.lessons);
    let work = move || {
        let alert = db.write(|tx| {
            // Another tenant's alert does not exist for this caller.
            if !alerts::get(tx, &id).map_err(TriageError::Db)?.is_some_and(|alert| caller.sees(&alert.tenant)) {
                return Err(TriageError::NotFound);
            }
            let step = TriageStep { id: &id, expected_version, change: &change, actor: &caller.name };
            commit_triage(tx, &step, &routing, now_ms())
        })?;
        // One may have been taken back, or noted.
        lessons.renew(&db).map_err(TriageError::Db)?;
        lessons.wake();
        Ok::<_, TriageError>(alert)
    };
    Ok(tokio::task::spawn_blocking(work).await??)
}

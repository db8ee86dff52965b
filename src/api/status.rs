//! `GET /api/v1/status`: how far the pipeline is, how fast, and what does not work.
//!
//! What the pipeline knows of itself comes from a [`StatusSource`], which the composition root gives;
//! the rest is added here. A token of one tenant sees none of what is about all tenants or about the
//! installation: counts, partitions, channels, addresses.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::response::ResponseView;
use super::{ApiState, openapi};
use crate::canary::Standing;
use crate::clock::now_ms;
use crate::db::chain::Link;
use crate::db::{alert_list, audit};
use crate::detect::breaker::OpenBreaker;
use crate::telemetry::health::HealthAlert;
use crate::telemetry::latency::{Percentiles, Stage};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use bartizan_core::{Severity, TimeMs};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Gives the pipeline's part of the status.
pub trait StatusSource: Send + Sync {
    /// How the pipeline stands. Called on a blocking thread: it may read the database.
    fn pipeline(&self) -> PipelineStatus;

    /// The circuit breakers that are open.
    fn breakers(&self) -> Vec<OpenBreaker>;

    /// What is still missing before events are judged, e.g. partitions that are not assigned yet; empty:
    /// nothing. Cheap: probes ask often.
    fn waiting_for(&self) -> Vec<String>;
}

/// Counts since the start.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct EventCounts {
    /// Records read from the log.
    #[serde(rename = "in")]
    pub received: u64,
    /// Events judged.
    pub out: u64,
    /// Records that broke a rule.
    pub rejected: u64,
    /// Events seen before; judged once.
    pub duplicate: u64,
    /// Events too late to be judged; stored.
    pub late: u64,
}

/// One partition of an input.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PartitionStatus {
    /// `kafka` or `journal`.
    pub log: String,
    /// Topic.
    pub topic: String,
    /// Number.
    pub partition: i32,
    /// Next offset to read.
    pub position: Option<i64>,
    /// Offset that the last durable checkpoint reached.
    pub committed: Option<i64>,
    /// Offset after the last record.
    pub end: Option<i64>,
    /// Records not read yet.
    pub lag: Option<u64>,
    /// Event time up to which it was judged.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub complete_up_to: Option<TimeMs>,
}

/// Where events come from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceStatus {
    /// Name.
    pub name: String,
    /// `kafka`, `http`, `simulator`.
    pub kind: String,
    /// `running`, `paused`, `waiting`, `failed`.
    pub state: String,
    /// More, for people.
    pub detail: String,
}

/// The store.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct StoreStatus {
    /// `embedded` or `server`.
    pub kind: String,
    /// `running`, `starting`, `failed`.
    pub state: String,
    /// More, for people.
    pub detail: String,
    /// Events that wait to be stored.
    pub rows_pending: u64,
}

/// One channel or revocation target.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChannelStatus {
    /// Name.
    pub name: String,
    /// `webhook`, `email`, `kafka`, `revocation`.
    pub kind: String,
    /// `delivering`, `retrying`, `ended`, `dry_run`.
    pub state: String,
    /// Messages that wait.
    pub pending: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages given up.
    pub failed: u64,
    /// When one last arrived.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_success_time: Option<TimeMs>,
    /// When the next is tried.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_time: Option<TimeMs>,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// One detector.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DetectorStatus {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// `running` or `disabled`.
    pub state: String,
    /// Keys that it holds.
    pub keys: u64,
}

/// A detector that the canary cannot ask.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Uncovered {
    /// The detector.
    pub detector: String,
    /// Why.
    pub reason: String,
}

/// What came of the attacks that the daemon sends itself.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct CanaryStatus {
    /// When the latest round that was judged was sent; `null`: none yet.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_round_time: Option<TimeMs>,
    /// When a round was sent that did not come back; `null` if one did since.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub missing_round_time: Option<TimeMs>,
    /// Detectors that found their latest attack.
    pub heard: Vec<String>,
    /// Detectors that did not.
    pub silent: Vec<String>,
    /// Detectors that take more rounds, or days, to be asked.
    pub learning: Vec<String>,
    /// Detectors that cannot be asked.
    pub uncovered: Vec<Uncovered>,
}

impl From<Standing> for CanaryStatus {
    fn from(standing: Standing) -> Self {
        let names = |detectors: Vec<&str>| detectors.into_iter().map(str::to_owned).collect();
        let uncovered = |(detector, why): (&str, &str)| Uncovered { detector: detector.to_owned(), reason: why.to_owned() };
        Self {
            last_round_time: standing.judged_ms.map(TimeMs),
            missing_round_time: standing.missing_ms.map(TimeMs),
            heard: names(standing.heard),
            silent: names(standing.silent),
            learning: names(standing.learning),
            uncovered: standing.uncovered.into_iter().map(uncovered).collect(),
        }
    }
}

/// How the pipeline stands.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct PipelineStatus {
    /// Name of this instance.
    pub instance: String,
    /// When it was started.
    #[schema(value_type = String, format = DateTime)]
    pub started_time: TimeMs,
    /// Event time up to which everything was judged; `null`: nothing yet.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub complete_up_to: Option<TimeMs>,
    /// Counts since the start.
    pub events: Option<EventCounts>,
    /// Records in the log that were not judged yet.
    pub lag: Option<u64>,
    /// Each partition.
    pub partitions: Vec<PartitionStatus>,
    /// Where events come from.
    pub sources: Vec<SourceStatus>,
    /// The store.
    pub store: Option<StoreStatus>,
    /// Who is told.
    pub channels: Vec<ChannelStatus>,
    /// The detectors.
    pub detectors: Vec<DetectorStatus>,
    /// The canary; `null` if it is off.
    pub canary: Option<CanaryStatus>,
}

impl PipelineStatus {
    /// What a token of one tenant may see.
    fn for_one_tenant(self) -> Self {
        let Self { instance, started_time, complete_up_to, mut detectors, .. } = self;
        for detector in &mut detectors {
            detector.keys = 0;
        }
        Self { instance, started_time, complete_up_to, detectors, ..Self::default() }
    }
}

/// Whose token it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallerView {
    /// Id of the token, which approvals of actions name.
    pub id: String,
    /// Name of the token.
    pub name: String,
    /// Its role.
    pub role: &'static str,
    /// Its tenant; `null`: all.
    pub tenant: Option<String>,
}

/// Alerts by state.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertCounts {
    /// Open ones.
    pub open: u64,
}

/// Latency of one stage over the last minutes.
#[derive(Debug, Serialize, ToSchema)]
pub struct StageLatency {
    /// Stage.
    pub stage: &'static str,
    /// Samples.
    pub count: u64,
    /// Median in microseconds.
    pub p50_us: u64,
    /// 90th percentile in microseconds.
    pub p90_us: u64,
    /// 99th percentile in microseconds.
    pub p99_us: u64,
    /// 99.9th percentile in microseconds.
    pub p999_us: u64,
    /// Longest in microseconds.
    pub max_us: u64,
}

impl From<(Stage, Percentiles)> for StageLatency {
    fn from((stage, percentiles): (Stage, Percentiles)) -> Self {
        let Percentiles { count, p50_us, p90_us, p99_us, p999_us, max_us } = percentiles;
        Self { stage: stage.as_str(), count, p50_us, p90_us, p99_us, p999_us, max_us }
    }
}

/// Something that is wrong with the daemon itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// Which.
    pub id: &'static str,
    /// Of what there are several: the channel, detector or file.
    pub subject: Option<String>,
    /// `high` when no events are judged because of it.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// What is wrong.
    pub summary: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: TimeMs,
    /// Where the runbook says what to do.
    pub runbook: String,
}

impl From<HealthAlert> for HealthView {
    fn from(alert: HealthAlert) -> Self {
        let severity = if alert.id.stops_readiness() { Severity::High } else { Severity::Medium };
        Self {
            id: alert.id.as_str(),
            severity,
            summary: summary(&alert),
            subject: Some(alert.subject).filter(|subject| !subject.is_empty()),
            since: TimeMs(alert.since_ms),
            runbook: alert.runbook,
        }
    }
}

/// A health alert in one line.
#[must_use]
pub fn summary(alert: &HealthAlert) -> String {
    let subject = if alert.subject.is_empty() { String::new() } else { format!("{}: ", alert.subject) };
    let detail = if alert.detail.is_empty() { String::new() } else { format!(" ({})", alert.detail) };
    format!("{subject}{}{detail}", alert.text)
}

/// The newest record of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditHead {
    /// Its number.
    pub id: i64,
    /// Its hash: noted elsewhere, it shows later whether the trail is still the same (`bartizan audit verify --head`).
    pub hash: String,
}

impl From<Link> for AuditHead {
    fn from(Link { id, hash }: Link) -> Self {
        Self { id, hash }
    }
}

/// How the daemon stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusView {
    /// Version of the program.
    pub version: &'static str,
    /// The daemon's clock.
    #[schema(value_type = String, format = DateTime)]
    pub now: TimeMs,
    /// Whose token this is.
    pub caller: CallerView,
    /// Are events taken and judged?
    pub ready: bool,
    /// Why not.
    pub ready_reason: Option<String>,
    /// Alerts.
    pub alerts: AlertCounts,
    /// How long each stage takes.
    pub latency: Vec<StageLatency>,
    /// What does not work.
    pub health: Vec<HealthView>,
    /// May machines act?
    pub response: ResponseView,
    /// The head of the audit trail; `null` for a token of one tenant.
    pub audit_head: Option<AuditHead>,
    /// The pipeline.
    #[serde(flatten)]
    pub pipeline: PipelineStatus,
}

/// How far the pipeline is, how fast, and what does not work.
#[utoipa::path(get, path = "/api/v1/status", tag = "operation",
    responses((status = 200, description = "The state now", body = StatusView), openapi::QuestionErrors))]
pub async fn get(State(state): State<ApiState>, caller: Caller, uri: Uri) -> Result<Json<StatusView>, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    let source = Arc::clone(&state.status);
    let pipeline = tokio::task::spawn_blocking(move || source.pipeline()).await?;
    let tenant = caller.tenant.clone();
    let (open, head) = state.read(move |tx| Ok((alert_list::count_open(tx, tenant.as_deref())?, audit::head(tx)?))).await?;
    let reasons = state.not_ready().await;
    let one_tenant = caller.tenant.is_some();
    let health = if one_tenant { Vec::new() } else { state.health.active().into_iter().map(HealthView::from).collect() };
    let reason = if one_tenant { "not ready".to_owned() } else { reasons.join("; ") };
    Ok(Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        now: TimeMs(now_ms()),
        ready: reasons.is_empty(),
        ready_reason: (!reasons.is_empty()).then_some(reason),
        alerts: AlertCounts { open },
        latency: state.latencies.snapshot().into_iter().map(StageLatency::from).collect(),
        health,
        response: ResponseView::of(&state, &caller).await?,
        audit_head: (!one_tenant).then(|| head.into()),
        pipeline: if one_tenant { pipeline.for_one_tenant() } else { pipeline },
        caller: CallerView { id: caller.id, name: caller.name, role: caller.role.as_str(), tenant: caller.tenant },
    }))
}

//! The API as a client sees it, on a database in memory and a log that only collects.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod actions;
mod answers;
mod audit;
mod breakers;
mod channels;
mod deliveries;
mod documented;
mod incidents;
mod ingest;
mod lessons;
mod limited;
mod maintenance;
mod policies;
mod response;
mod served;
mod stored;
mod streamed;
mod suppressions;

use super::status::{ChannelStatus, DetectorStatus, EventCounts, PartitionStatus, SourceStatus, StoreStatus};
use super::{ApiParts, ApiState, HttpConfig, PipelineStatus, StatusSource, router};
use crate::alert::Alert;
use crate::alert::change::AlertChanges;
use crate::clock::Clock;
use crate::db::Db;
use crate::db::tokens::{NewToken, Role};
use crate::detect::breaker::OpenBreaker;
use crate::detect::closings::Closings;
use crate::detect::{DetectConfig, DetectorTables, Enabled};
use crate::log::{Appender, Appending, LogError, Outgoing};
use crate::normalise::{Normaliser, TokenKey};
use crate::notify::Desk;
use crate::notify::testing::commit_at;
use crate::notify::{Channel, Routing, Wake};
use crate::respond::StopSwitch;
use crate::store::Store;
use crate::suppress::Lists;
use crate::teach::Lessons;
use crate::telemetry::{Health, Latencies, Metrics, Stage};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use bartizan_core::TimeMs;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Keeps what is appended, or fails as told.
#[derive(Default)]
struct FakeLog {
    appended: Mutex<Vec<(String, Outgoing)>>,
    failure: Mutex<Option<fn() -> LogError>>,
}

impl Appender for FakeLog {
    fn append<'a>(&'a self, topic: &'a str, records: Vec<Outgoing>) -> Appending<'a> {
        Box::pin(async move {
            if let Some(failure) = *self.failure.lock() {
                return Err(failure());
            }
            self.appended.lock().extend(records.into_iter().map(|record| (topic.to_owned(), record)));
            Ok(())
        })
    }
}

struct FakePipeline;

impl StatusSource for FakePipeline {
    fn pipeline(&self) -> PipelineStatus {
        let text = str::to_owned;
        let time = Some(TimeMs(1_772_366_400_000));
        let channel = ChannelStatus {
            name: text("oncall"),
            kind: text("webhook"),
            state: text("delivering"),
            pending: 0,
            delivered: 1,
            failed: 0,
            last_success_time: time,
            next_attempt_time: None,
            last_error: None,
        };
        let partition = PartitionStatus {
            log: text("journal"),
            topic: text("bartizan.ingest"),
            partition: 0,
            position: Some(5),
            committed: Some(5),
            end: Some(5),
            lag: Some(0),
            complete_up_to: time,
        };
        PipelineStatus {
            instance: text("test"),
            started_time: TimeMs(0),
            complete_up_to: time,
            events: Some(EventCounts { received: 5, ..EventCounts::default() }),
            lag: Some(0),
            partitions: vec![partition],
            sources: vec![SourceStatus { name: text("http"), kind: text("http"), state: text("running"), detail: text("") }],
            store: Some(StoreStatus { kind: text("embedded"), state: text("running"), ..StoreStatus::default() }),
            channels: vec![channel],
            detectors: vec![DetectorStatus { id: text("token_reuse"), title: text("Token reuse"), state: text("running"), keys: 3 }],
            canary: None,
        }
    }

    fn breakers(&self) -> Vec<OpenBreaker> {
        let open = |tenant: &str| OpenBreaker {
            detector: "token_reuse".to_owned(),
            tenant: tenant.to_owned(),
            since_ms: 1_772_366_400_000,
            alerts_opened: 50,
            usual: 1.5,
            limit: 50,
            alerts_folded: 4_000,
            users_hit: 3_000,
            sessions_hit: 4_000,
            findings_folded: 5_000,
        };
        vec![open("acme"), open("globex")]
    }

    fn waiting_for(&self) -> Vec<String> {
        Vec::new()
    }
}

/// An API with all its parts in the hands of the test.
struct Api {
    router: Router,
    db: Db,
    log: Arc<FakeLog>,
    changes: AlertChanges,
    health: Arc<Health>,
    shutdown: CancellationToken,
    lists: Arc<Lists>,
    lessons: Arc<Lessons>,
    closings: Arc<Closings>,
    store: watch::Sender<Option<Store>>,
    metrics: Metrics,
    switch: StopSwitch,
    _folder: tempfile::TempDir,
}

impl Api {
    fn new() -> Self {
        Self::with(HttpConfig::default(), None)
    }

    fn with(config: HttpConfig, store: Option<Store>) -> Self {
        Self::routed(config, store, Routing::default())
    }

    fn routed(config: HttpConfig, store: Option<Store>, routing: Routing) -> Self {
        Self::telling(config, store, routing, Vec::new())
    }

    fn telling(config: HttpConfig, store: Option<Store>, routing: Routing, channels: Vec<Arc<dyn Channel>>) -> Self {
        let (store_sender, store) = watch::channel(store);
        let (db, log, health) = (Db::in_memory().unwrap(), Arc::new(FakeLog::default()), Arc::new(Health::default()));
        let changes = broadcast::Sender::new(64);
        let shutdown = CancellationToken::new();
        let latencies = Arc::new(Latencies::default());
        latencies.record(Stage::Detect, Duration::from_millis(3));
        let (lists, lessons, closings) = (Arc::<Lists>::default(), Arc::<Lessons>::default(), Arc::<Closings>::default());
        let enabled = Enabled::new(bartizan_catalogue::all(), &DetectorTables::new()).unwrap();
        let (folder, metrics) = (tempfile::tempdir().unwrap(), Metrics::default());
        let switch = StopSwitch::of(folder.path());
        let parts = ApiParts {
            detectors: Arc::new(super::explain::Detectors { config: DetectConfig::default(), enabled }),
            suppressions: lists.clone(),
            suppressions_max: 2,
            closings: closings.clone(),
            config,
            retention_days: 90,
            db: db.clone(),
            store,
            normaliser: Arc::new(Normaliser::new(&crate::normalise::NormaliseConfig::default(), &TokenKey([7; 32])).unwrap()),
            appender: log.clone(),
            desk: Desk {
                db: db.clone(),
                routing: Arc::new(routing),
                wake: Wake::default(),
                changes: changes.clone(),
                lessons: lessons.clone(),
                clock: Clock::system(),
            },
            channels,
            status: Arc::new(FakePipeline),
            health: health.clone(),
            metrics: metrics.clone(),
            switch: switch.clone(),
            latencies,
            shutdown: shutdown.clone(),
        };
        let router = router(ApiState::new(parts));
        Self { router, db, log, changes, health, shutdown, lists, lessons, closings, store: store_sender, metrics, switch, _folder: folder }
    }

    fn token(&self, role: Role, tenant: Option<&str>) -> String {
        let new = NewToken { name: format!("{}-name", role.as_str()), role, tenant: tenant.map(str::to_owned), expires_ms: None };
        self.db.create_token(&new, 0).unwrap()
    }

    fn alert(&self, id: &str, tenant: &str) -> Alert {
        let mut alert = crate::notify::testing::alert(id);
        alert.tenant = tenant.to_owned();
        commit_at(&self.db, &alert, &Routing::default(), alert.detected_time.0).unwrap();
        alert
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(request("GET", path, token).body(Body::empty()).unwrap()).await
    }

    async fn patch(&self, token: &str, path: &str, body: &str) -> Answer {
        self.send(request("PATCH", path, token).body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn post(&self, token: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.send(request("POST", path, token).body(body.into()).unwrap()).await
    }
}

fn request(method: &str, path: &str, token: &str) -> axum::http::request::Builder {
    let builder = Request::builder().method(method).uri(path);
    if token.is_empty() { builder } else { builder.header("authorization", format!("Bearer {token}")) }
}

/// The same request from another address.
fn from(mut request: Request<Body>, address: &str) -> Request<Body> {
    let address: SocketAddr = format!("{address}:4242").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    request
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Is it a problem document of this status that names this parameter?
    #[track_caller]
    fn is_problem(&self, status: u16, parameter: Option<&str>) {
        assert_eq!((self.status.as_u16(), self.header("content-type")), (status, "application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!((json["status"].as_u64(), json["parameter"].as_str()), (Some(u64::from(status)), parameter), "{json}");
        assert!(!json["detail"].as_str().unwrap().is_empty() && !json["title"].as_str().unwrap().is_empty());
    }
}

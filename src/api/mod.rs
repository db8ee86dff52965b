//! The HTTP surface: query API, ingest, stream, console.
//!
//! One file per resource. Every route but probes and the console's files wants a token; every error
//! is a problem document (RFC 9457); everything that comes in is bounded in size, time and rate. The
//! OpenAPI document is made from the handlers, and a query parameter that it does not list is refused.
//!
//! Reads of alerts and all triage go to the working database and need nothing else; events and
//! entities come from the store and are a 503 while it is away. Nothing here decides what is an alert.

pub mod actions;
pub mod alerts;
pub mod audit;
pub mod auth;
pub mod blocks;
pub mod body;
pub mod breakers;
pub mod bulk;
pub mod cases;
pub mod channels;
pub mod config;
pub mod console;
pub mod deliveries;
pub mod detectors;
pub mod entities;
pub mod events;
pub mod explain;
pub mod health;
pub mod incidents;
pub mod ingest;
pub mod limits;
pub mod maintenance;
pub mod merging;
pub mod openapi;
pub mod page;
pub mod policies;
pub mod preview;
pub mod problem;
pub mod query;
pub mod reads;
pub mod response;
pub mod server;
pub mod status;
pub mod stream;
pub mod suppressions;
pub mod triage;

#[cfg(test)]
mod tests;

pub use config::HttpConfig;
pub use server::Server;
pub use status::{PipelineStatus, StatusSource};

use crate::db::{Db, DbError};
use crate::detect::closings::Closings;
use crate::log::Appender;
use crate::normalise::Normaliser;
use crate::notify::{Channel, Desk};
use crate::respond::StopSwitch;
use crate::store::Store;
use crate::suppress::Lists;
use crate::telemetry::{Health, Latencies, Metrics};
use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use bartizan_core::time::DAY_MS;
use problem::Problem;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::routes;

/// What the API works with.
pub struct ApiParts {
    /// `[http]`.
    pub config: HttpConfig,
    /// How long the store keeps events; older ones are rejected.
    pub retention_days: u32,
    /// The working database.
    pub db: Db,
    /// The store, once it is there.
    pub store: watch::Receiver<Option<Store>>,
    /// Makes events of records.
    pub normaliser: Arc<Normaliser>,
    /// Where accepted events go.
    pub appender: Arc<dyn Appender>,
    /// Takes in triage steps.
    pub desk: Desk,
    /// The channels that tell somebody, to be tested.
    pub channels: Vec<Arc<dyn Channel>>,
    /// Stops machines from acting.
    pub switch: StopSwitch,
    /// Suppressions as the pipeline sees them.
    pub suppressions: Arc<Lists>,
    /// Suppressions that may be in force.
    pub suppressions_max: usize,
    /// Breakers that people closed, as the pipeline sees them.
    pub closings: Arc<Closings>,
    /// The detectors, to be asked about single events.
    pub detectors: Arc<explain::Detectors>,
    /// Tells how the pipeline stands.
    pub status: Arc<dyn StatusSource>,
    /// Health.
    pub health: Arc<Health>,
    /// Metrics.
    pub metrics: Metrics,
    /// Latencies.
    pub latencies: Arc<Latencies>,
    /// Ends open streams.
    pub shutdown: CancellationToken,
}

/// What handlers share; cloning is cheap.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

/// The parts, and what requests share among themselves.
pub struct Shared {
    parts: ApiParts,
    limits: limits::Limits,
    tokens: auth::Tokens,
    reads: reads::Reads,
    ping: health::Ping,
    hub: Arc<stream::Hub>,
    uploads: Arc<Semaphore>,
    ingest_memory: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    explains: Semaphore,
    tests: Semaphore,
    blocks_asked: blocks::Asked,
    retention_ms: i64,
}

impl Deref for Shared {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.parts
    }
}

impl Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl ApiState {
    /// Takes the parts and begins to follow the changes of alerts. Wants to be called on a runtime.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        let config = &parts.config;
        Self(Arc::new(Shared {
            limits: limits::Limits::new(config),
            tokens: auth::Tokens::new(config.tokens_cached_max),
            reads: reads::Reads::start(parts.db.clone(), config, parts.metrics.clone(), parts.shutdown.clone()),
            ping: health::Ping::default(),
            hub: stream::start(&parts.desk.changes, config),
            uploads: Arc::new(Semaphore::new(config.uploads_max)),
            ingest_memory: Arc::new(Semaphore::new(ingest::memory_mib_max(config) as usize)),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            explains: Semaphore::new(1),
            tests: Semaphore::new(1),
            blocks_asked: blocks::Asked::default(),
            retention_ms: i64::from(parts.retention_days) * DAY_MS,
            parts,
        }))
    }

    /// The store.
    ///
    /// # Errors
    /// 503: it is not there yet.
    fn store(&self) -> Result<Store, Problem> {
        self.store.borrow().clone().ok_or_else(|| Problem::unavailable("the store is not there yet", 2))
    }

    /// Reads the working database on a blocking thread.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, Problem> {
        let db = self.db.clone();
        Ok(tokio::task::spawn_blocking(move || db.read(work)).await??)
    }
}

/// The OpenAPI document as it is served.
#[derive(Clone)]
pub struct Documented(Bytes);

/// All routes with their limits.
pub fn router(state: ApiState) -> Router {
    let documented = openapi::router()
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::get, alerts::patch))
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::get, incidents::patch))
        .routes(routes!(incidents::timeline))
        .routes(routes!(merging::merge))
        .routes(routes!(merging::split))
        .routes(routes!(bulk::alerts))
        .routes(routes!(bulk::incidents))
        .routes(routes!(actions::list))
        .routes(routes!(actions::get))
        .routes(routes!(actions::approve))
        .routes(routes!(actions::reject))
        .routes(routes!(actions::undo))
        .routes(routes!(policies::preview))
        .routes(routes!(blocks::list))
        .routes(routes!(blocks::stream))
        .routes(routes!(events::list, ingest::post))
        .routes(routes!(explain::get))
        .routes(routes!(entities::get))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::release))
        .routes(routes!(channels::test))
        .routes(routes!(detectors::list))
        .routes(routes!(suppressions::list, suppressions::add))
        .routes(routes!(suppressions::remove))
        .routes(routes!(suppressions::held))
        .routes(routes!(breakers::list))
        .routes(routes!(maintenance::list, maintenance::put, maintenance::end))
        .routes(routes!(breakers::close))
        .routes(routes!(audit::list))
        .routes(routes!(response::get))
        .routes(routes!(response::stop))
        .routes(routes!(response::start))
        .routes(routes!(status::get))
        .routes(routes!(stream::get))
        .routes(routes!(openapi::get))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics));
    let (router, document) = documented.split_for_parts();
    // A document of this program's own types is always written.
    let document = Documented(document.to_pretty_json().unwrap_or_default().into());
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    router
        .merge(console::routes())
        .fallback(async || Problem::not_found("there is no such route; /openapi.json lists them"))
        .layer(Extension(document))
        .layer(CatchPanicLayer::custom(problem::of_panic))
        .layer(from_fn_with_state(state.clone(), limits::enforce))
        .layer(from_fn(problem::ensure))
        .layer(from_fn_with_state(state.clone(), limits::measure))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(CACHE_CONTROL, "no-store"))
        .with_state(state)
}

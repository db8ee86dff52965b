//! The daemon: starts every part in order, runs until it is told to stop, stops in reverse.

use super::actions::Actions;
use super::canary::Canary;
use super::incidents::Incidents;
use super::maintain::{Maintenance, tell_places};
use super::pipeline::{Parts, Running};
use super::status::{Kinds, Status};
use super::vigil::{Heart, Vigil};
use super::{history, log, open_database, open_enricher, pipeline, places, secrets, sessions, store};
use crate::api::server::ServeError;
use crate::api::{self, ApiParts, ApiState, Server};
use crate::canary::{Rounds, Watch};
use crate::clock::{Clock, now_ms};
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::detect::Enabled;
use crate::detect::checkpoint::{CheckpointError, Checkpoints, Saved};
use crate::detect::closings::Closings;
use crate::detect::engine::Engine;
use crate::flow::{Order, Start};
use crate::log::kafka::{KafkaAppender, KafkaConfig};
use crate::log::sequencer::Sequencer;
use crate::log::{Appender, LogError};
use crate::normalise::{HeldTokens, Normaliser};
use crate::notify::routing::HISTORY_CHANNEL;
use crate::notify::schedule::Schedule;
use crate::notify::{self, Channel, Deliveries, Desk, Route, Wake};
use crate::pipeline::checkpoint::CHECKPOINTED;
use crate::pipeline::cut::Pace;
use crate::respond::{ActiveSessions, LaterUses, StopSwitch};
use crate::suppress::Lists;
use crate::teach::{Lessons, Teacher};
use crate::telemetry::{HealthId, Telemetry};
use bartizan_core::time::DAY_MS;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Folder of checkpoints within `data_dir`.
pub(super) const CHECKPOINTS: &str = "checkpoints";
/// File whose lock says that a daemon uses `data_dir`.
const LOCK: &str = "bartizan.lock";
/// Wait between two tries to make the topics.
const TOPICS_RETRY: Duration = Duration::from_secs(2);
/// How long the pipeline may drain at a stop; giving up takes up to a second more. SIGTERM promises
/// 15 s for everything.
const DRAIN: Duration = Duration::from_secs(5);
/// How long deliveries in flight may take after that; the others wait for the next start.
const DELIVER: Duration = Duration::from_secs(2);
/// How long the embedded store may take to close after that, or to be killed.
const CLOSE: Duration = Duration::from_secs(5);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("data_dir {0}: {1}")]
    DataDir(String, std::io::Error),
    /// Another daemon runs on it.
    #[error("data_dir {0}: another bartizan daemon uses it")]
    InUse(String),
    /// The configuration names something that cannot be used.
    #[error("{0}")]
    Config(String),
    /// The database does not open.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The checkpoints cannot be read at all.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log does not open.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The HTTP surface does not open.
    #[error(transparent)]
    Http(#[from] ServeError),
    /// A thread cannot be started.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A running daemon.
pub struct Daemon {
    /// The working database.
    pub db: Db,
    address: SocketAddr,
    url: String,
    running: Running,
    deliveries: JoinSet<()>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    embedded: Option<crate::store::embedded::Embedded>,
    _lock: File,
}

/// What detection goes on from.
pub(super) struct Resumed {
    pub engine: Engine,
    /// Ids and titles of the detectors that are switched on.
    pub detectors: Vec<(&'static str, &'static str)>,
    pub checkpoints: Checkpoints,
    pub start: Start,
}

impl Daemon {
    /// Starts every part. Returns as soon as the HTTP surface answers; the log and a remote store may
    /// still be away then, which `/readyz` tells.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let folder = config.data_dir.display().to_string();
        std::fs::create_dir_all(&config.data_dir).map_err(|error| StartError::DataDir(folder.clone(), error))?;
        let lock = lock(&config, &folder)?;
        let server = Server::bind(&config.http)?;
        let telemetry = Telemetry::new(&config.telemetry);
        let db = open_database(&config)?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();

        let held = secrets::held_tokens(&config).map_err(StartError::Config)?;
        let normaliser = Arc::new(normaliser(&config, &db)?.holding(held.clone()));
        let (enricher, problems) = open_enricher(&config);
        let enricher = enricher.keeping(places::kept(&config.data_dir));
        tell_places(&telemetry, problems);
        let keeps_order = config.kafka.is_none();
        let resumed = resume(&config, &db, &telemetry, keeps_order)?;
        places::forget_unneeded(&config.data_dir, &enricher, &db);
        let start = Sequencer::new(resumed.start.clone(), keeps_order).start();
        if let Some(kafka) = config.kafka.clone() {
            create_topics(kafka, &stop, &mut tasks).await;
        }
        let log = log::open(&config, &db, &start)?;
        let (appender, committer) = (Arc::clone(&log.appender), Arc::clone(&log.committer));

        let opened = store::open(&config).await?;
        let (store_sender, store) = watch::channel(None);
        tasks.spawn(store::keep(opened.store, store_sender, telemetry.clone(), stop.clone()));
        if let Some(embedded) = &opened.embedded {
            tasks.spawn(store::watch_embedded(embedded.state()));
        }

        let Delivering { routing, channels, wake, tasks: deliveries } =
            deliver(&config, (&db, &held), (&appender, &store), &telemetry, &stop)?;
        let hearts = hearts(&config, &channels);
        let switch = StopSwitch::of(&config.data_dir);
        let (changes, _) = broadcast::channel(config.http.stream_changes_max);
        let (enricher, suppressions) = (Arc::new(enricher), Arc::new(Lists::open(&db)?));
        let lessons = Arc::new(Lessons::open(&db, &resumed.start.in_force)?);
        let closings = Arc::new(Closings::open(&db)?);
        let (active_sessions, later_uses, canary) = (ActiveSessions::default(), LaterUses::default(), Watch::default());
        let mut running = pipeline::start(Parts {
            db: db.clone(),
            log,
            clock: Clock::system(),
            engine: resumed.engine,
            checkpoints: resumed.checkpoints,
            pace: Pace::every(Duration::from_millis(config.detect.checkpoint_interval_ms), &config.pipeline),
            normaliser: Arc::clone(&normaliser),
            enricher: Arc::clone(&enricher),
            suppressions: Arc::clone(&suppressions),
            lessons: Arc::clone(&lessons),
            closings: Arc::clone(&closings),
            retention_ms: i64::from(config.store.retention_days) * DAY_MS,
            store: store.clone(),
            routing: Arc::clone(&routing),
            wake: wake.clone(),
            changes: changes.clone(),
            active_sessions: active_sessions.clone(),
            later_uses: later_uses.clone(),
            canary: canary.clone(),
            telemetry: telemetry.clone(),
            limits: config.pipeline,
            start: resumed.start,
        })?;
        if config.canary.enabled {
            let ids = resumed.detectors.iter().map(|(id, _)| *id).collect();
            let rounds = Rounds::new(ids, config.detect.lateness_ms, now_ms());
            let (appender, enricher) = (Arc::clone(&appender), Arc::clone(&enricher));
            let (watch, telemetry, stop) = (canary.clone(), telemetry.clone(), stop.clone());
            tasks.spawn(Canary { rounds, watch, interval_ms: config.canary.interval_ms, appender, enricher, telemetry, stop }.run());
        }
        let status = Arc::new(Status {
            started_ms: now_ms(),
            db: db.clone(),
            seen: Arc::clone(&running.seen),
            reading: Arc::clone(&running.reading),
            committer: Arc::clone(&committer),
            durable: Arc::clone(&running.durable),
            acknowledged: running.acknowledged.clone(),
            store: store.clone(),
            canary: config.canary.enabled.then_some(canary),
            kind: Kinds::of(&config, resumed.detectors),
        });
        let detectors = Arc::new(api::explain::Detectors { config: config.detect.clone(), enabled: enabled(&config)? });
        let vigil = Vigil {
            config: config.telemetry.clone(),
            db: db.clone(),
            routing: Arc::clone(&routing),
            wake: wake.clone(),
            telemetry: telemetry.clone(),
            seen: Arc::clone(&running.seen),
            committer: Arc::clone(&committer),
            hearts,
            stop: stop.clone(),
        };
        tasks.spawn(vigil.run());
        let desk = Desk {
            db: db.clone(),
            routing: Arc::clone(&routing),
            wake: wake.clone(),
            changes,
            lessons: Arc::clone(&lessons),
            clock: Clock::system(),
        };
        let incidents = Incidents { desk: desk.clone(), stop: stop.clone() };
        let actions = Actions {
            db: db.clone(),
            routing: Arc::clone(&routing),
            wake: wake.clone(),
            later_uses,
            clock: Clock::system(),
            stop: stop.clone(),
        };
        let api = ApiState::new(ApiParts {
            detectors,
            config: config.http.clone(),
            retention_days: config.store.retention_days,
            db: db.clone(),
            store: store.clone(),
            normaliser,
            appender,
            desk,
            channels,
            switch: switch.clone(),
            suppressions,
            suppressions_max: config.detect.suppressions_max,
            closings,
            status,
            health: Arc::clone(&telemetry.health),
            metrics: telemetry.metrics.clone(),
            latencies: Arc::clone(&telemetry.latencies),
            shutdown: stop.clone(),
        });
        tasks.spawn(incidents.run());
        tasks.spawn(actions.run());
        let (address, url) = (server.address(), server.url());
        let serving = server.serve(api::router(api), stop.clone());
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "http surface ended");
            }
        });
        if !config.revocation.is_empty() {
            tasks.spawn(sessions::keep_counting(store.clone(), active_sessions, stop.clone()));
        }
        tasks.spawn(Teacher { db: db.clone(), lessons, store, stop: stop.clone() }.run());
        let maintenance = Maintenance {
            db: db.clone(),
            enricher,
            committer,
            seen: Arc::clone(&running.seen),
            queues: std::mem::take(&mut running.queues),
            data_dir: config.data_dir.clone(),
            switch,
            routing,
            wake,
            suppressed_lines_max: config.detect.suppressed_lines_max,
            lessons_max: config.detect.lessons_max,
            telemetry: telemetry.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(maintenance.run());
        Ok(Self { db, address, url, running, deliveries, tasks, stop, embedded: opened.embedded, _lock: lock })
    }

    /// Where the HTTP surface answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as an address for a browser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops reading, drains, takes a checkpoint and ends every part, within 15 seconds.
    pub async fn stop(mut self) {
        self.running.stop(DRAIN).await;
        self.stop.cancel();
        let delivered = async { while self.deliveries.join_next().await.is_some() {} };
        if tokio::time::timeout(DELIVER, delivered).await.is_err() {
            tracing::warn!("deliveries still in flight are done again after the next start");
        }
        self.deliveries.shutdown().await;
        self.tasks.shutdown().await;
        if let Some(embedded) = self.embedded
            && tokio::time::timeout(CLOSE, embedded.stop()).await.is_err()
        {
            tracing::warn!("embedded store did not close in time");
        }
    }
}

/// Locks the data directory against a second daemon; the system frees the lock with the process.
fn lock(config: &Config, folder: &str) -> Result<File, StartError> {
    let failed = |error| StartError::DataDir(folder.to_owned(), error);
    let file = File::create(config.data_dir.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn normaliser(config: &Config, db: &Db) -> Result<Normaliser, StartError> {
    let configured = secrets::token_key_of(config).map_err(StartError::Config)?;
    let key = secrets::token_key(db, configured)?;
    Normaliser::new(&config.normalise, &key).map_err(|error| StartError::Config(error.to_string()))
}

fn enabled(config: &Config) -> Result<Enabled, StartError> {
    Enabled::new(bartizan_catalogue::all(), &config.detectors).map_err(|errors| StartError::Config(errors.join("\n")))
}

/// Loads the newest checkpoint that reads, and the recorded order since, of which a log that is its own order
/// (`keeps_order`) has little.
pub(super) fn resume(config: &Config, db: &Db, telemetry: &Telemetry, keeps_order: bool) -> Result<Resumed, StartError> {
    let enabled = enabled(config)?;
    let hasher = secrets::key_hasher(db)?;
    let checkpoints = Checkpoints::open(&config.data_dir.join(CHECKPOINTS))?;
    let mut damaged = Vec::new();
    let mut loaded = None;
    for snapshot in checkpoints.newest_first()? {
        // A restore that fails half-way leaves a half-filled engine: each try has a new one.
        let mut engine = Engine::new(&config.detect, &enabled, hasher);
        match snapshot.and_then(|snapshot| engine.restore(snapshot)) {
            Ok(afresh) => {
                loaded = Some((engine, afresh));
                break;
            }
            Err(error) => damaged.push(error.to_string()),
        }
    }
    if !damaged.is_empty() {
        telemetry.report(HealthId::CheckpointFailed, "start", Some(&damaged.join("; ")));
        if !sabotaged!(DamagedCounts) {
            checkpoints.remove_newer(loaded.as_ref().map_or(0, |(engine, _)| engine.next_seq()))?;
        }
    }
    let engine = match loaded {
        Some((engine, afresh)) => {
            tracing::info!(next_seq = engine.next_seq(), "checkpoint loaded");
            if !afresh.is_empty() {
                tracing::warn!(detectors = afresh.join(","), "detectors start without state, as this version keeps it differently");
            }
            engine
        }
        None => {
            // A fresh start is no loss; one with a past is.
            if !damaged.is_empty() || db.has_fact(CHECKPOINTED)? {
                telemetry.report(
                    HealthId::PositionsLost,
                    "checkpoint",
                    Some("there is no checkpoint that can be read: state starts afresh"),
                );
            }
            tracing::info!("no checkpoint, starting afresh");
            Engine::new(&config.detect, &enabled, hasher)
        }
    };
    let start = engine.start(if keeps_order { changes(&engine, &checkpoints, db)? } else { merged_order(&engine, db)? });
    let detectors = enabled.detectors.iter().map(|(spec, _)| (spec.id, spec.title)).collect();
    Ok(Resumed { engine, detectors, checkpoints, start })
}

/// The recorded order since the checkpoint.
fn merged_order(engine: &Engine, db: &Db) -> Result<Vec<Order>, StartError> {
    let orders = db.orders_from(engine.next_seq())?;
    db.forget_orders_from(orders.last().map_or(engine.next_seq(), Order::next_seq))?;
    Ok(orders)
}

/// The same of a journal, which is its own order: what changed besides.
fn changes(engine: &Engine, checkpoints: &Checkpoints, db: &Db) -> Result<Vec<Order>, StartError> {
    // One that does not read stays for now, and what it may need with it.
    let oldest = checkpoints.oldest()?.and_then(|path| Saved::open(&path).and_then(|mut saved| saved.header()).ok());
    if let Some(oldest) = oldest {
        db.forget_changes_until(oldest.arrival_ms)?;
    }
    Ok(db.changes_after(engine.arrival_ms())?)
}

/// Makes the daemon's own topics, so that the group can hold all partitions from the start; where the
/// brokers are away it goes on trying in the background.
async fn create_topics(kafka: KafkaConfig, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let Err(error) = KafkaAppender::create_topics(&kafka).await else { return };
    tracing::warn!(%error, "topics cannot be made yet");
    let stop = stop.clone();
    tasks.spawn(async move {
        while stop.run_until_cancelled(tokio::time::sleep(TOPICS_RETRY)).await.is_some() {
            match KafkaAppender::create_topics(&kafka).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "topics cannot be made yet"),
            }
        }
    });
}

/// The deliverers at work, and what others need of them.
struct Delivering {
    routing: Arc<notify::Routing>,
    /// The channels that tell somebody.
    channels: Vec<Arc<dyn notify::Channel>>,
    wake: Wake,
    tasks: JoinSet<()>,
}

/// Starts the deliverers of all channels.
fn deliver(
    config: &Config,
    (db, held): (&Db, &HeldTokens),
    (appender, store): (&Arc<dyn Appender>, &watch::Receiver<Option<crate::store::Store>>),
    telemetry: &Telemetry,
    stop: &CancellationToken,
) -> Result<Delivering, StartError> {
    let public_url = Some(config.http.public_url.as_str()).filter(|url| !url.is_empty());
    let built =
        notify::build(&config.channels, &config.revocation, &config.notify, public_url, (db, held), appender).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            StartError::Config(problems.join("\n"))
        })?;
    let (mut routing, mut channels) = (built.routing, built.channels);
    routing.incidents.clone_from(&config.incidents);
    routing.response.clone_from(&config.response);
    routing.policies.clone_from(&config.policies);
    routing.channels.push(Route::every_version(HISTORY_CHANNEL));
    channels.push(Arc::new(history::History::new(store.clone())));
    let (routing, wake) = (Arc::new(routing), Wake::default());
    let deliveries = Deliveries {
        db: db.clone(),
        routing: Arc::clone(&routing),
        schedule: Schedule::default(),
        clock: Clock::system(),
        switch: StopSwitch::of(&config.data_dir),
        telemetry: telemetry.clone(),
        wake: wake.clone(),
        shutdown: stop.clone(),
    };
    let tasks = deliveries.spawn(channels)?;
    Ok(Delivering { routing, channels: built.telling, wake, tasks })
}

/// The channels that get signs of life.
fn hearts(config: &Config, channels: &[Arc<dyn Channel>]) -> Vec<Heart> {
    let every_ms = |channel: &Arc<dyn Channel>| {
        let config = config.channels.iter().find(|config| config.name == channel.name());
        config.map(|config| config.heartbeat_ms).filter(|every_ms| *every_ms > 0)
    };
    channels.iter().filter_map(|channel| Some(Heart { every_ms: every_ms(channel)?, channel: Arc::clone(channel) })).collect()
}

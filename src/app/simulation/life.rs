//! One life of a daemon: everything from its start to its death or stop, on one thread.

use super::edges::{Cuts, Offsets, Partitions, Receiver, Stepped, Tables, Topics};
use super::plan::Ending;
use super::traffic::Line;
use super::world::{Step, World};
use crate::app::daemon::{Resumed, resume};
use crate::app::log::OpenLog;
use crate::app::pipeline::{Parts, Stages, wire};
use crate::canary::Watch;
use crate::clock::Effort;
use crate::config::Config;
use crate::db::outbox::{self, State};
use crate::db::{Db, DbError};
use crate::detect::checkpoint::Checkpoints;
use crate::enrich::{Enricher, Folders, PlacesConfig};
use crate::flow::Positions;
use crate::log::journal::{Journal, Writer};
use crate::log::sequencer::Sequencer;
use crate::log::{ALERTS_TOPIC, Appender, Committer, INGEST_TOPIC, Outgoing, Source};
use crate::normalise::{Format, NormaliseConfig, Normaliser, TokenKey};
use crate::notify::channels::kafka::TopicChannel;
use crate::notify::routing::{ACTIONS_TOPIC_CHANNEL, ALERTS_TOPIC_CHANNEL, HISTORY_CHANNEL};
use crate::notify::schedule::Schedule;
use crate::notify::testing::{people, target};
use crate::notify::{Channel, Deliveries, Route, Routing, Wake};
use crate::pipeline::cut::Pace;
use crate::pipeline::read::{Piece, Reader, Turn};
use crate::respond::{ActiveSessions, LaterUses, StopSwitch};
use crate::telemetry::{HealthId, Telemetry};
use bartizan_core::Severity;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Topic of the simulated partitions.
pub(super) const TOPIC: &str = "auth-logs";
/// Channel of people, and the severity from which on they are told.
pub(super) const PEOPLE: (&str, Severity) = ("oncall", Severity::Medium);
/// Virtual time after which what has not drained in peace never will.
const DRAIN_MS_MAX: i64 = HOUR_MS;
/// Compressed bytes of one append: so far the journal may pass its limit.
const APPEND_BYTES_MAX: u64 = 4_000;
const RETENTION_MS: i64 = 90 * DAY_MS;

/// What stays the same over all lives of a seed.
pub(super) struct House {
    pub world: Arc<World>,
    pub config: Config,
    pub db: Db,
    pub lines: Vec<Line>,
    /// Address of the journal, if that is the log.
    pub journal: Option<PathBuf>,
}

impl House {
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.config.data_dir.join("checkpoints")
    }

    /// Formats of the topics.
    pub(super) fn formats() -> HashMap<Arc<str>, Format> {
        HashMap::from([(Arc::from(TOPIC), Format::BARTIZAN), (Arc::from(INGEST_TOPIC), Format::BARTIZAN)])
    }

    pub(super) fn preparer() -> crate::pipeline::prepare::Preparer {
        let (normaliser, enricher) = normalising();
        crate::pipeline::prepare::Preparer::new(normaliser, enricher, Self::formats(), RETENTION_MS)
    }
}

#[allow(clippy::unwrap_used, reason = "a simulation")]
fn normalising() -> (Arc<Normaliser>, Arc<Enricher>) {
    let normaliser = Normaliser::new(&NormaliseConfig::default(), &TokenKey([0; 32])).unwrap();
    let places = PlacesConfig { city: Vec::new(), networks: Vec::new(), ..PlacesConfig::default() };
    (Arc::new(normaliser), Arc::new(Enricher::open(places, Folders::only(Vec::new())).0))
}

pub(super) fn routing() -> Routing {
    let every = [ALERTS_TOPIC_CHANNEL, HISTORY_CHANNEL].map(Route::every_version);
    Routing {
        channels: every.into_iter().chain([people(PEOPLE.0, PEOPLE.1)]).collect(),
        targets: vec![target("identity", "http://127.0.0.1:9/", false)],
        ..Routing::default()
    }
}

/// What moves in one life.
struct Daemon {
    stages: CancellationToken,
    abandon: CancellationToken,
    shutdown: CancellationToken,
    pipeline: JoinSet<()>,
    deliveries: JoinSet<()>,
    others: JoinSet<()>,
    telemetry: Telemetry,
    committer: Arc<dyn Committer>,
    seen: Arc<parking_lot::Mutex<crate::app::pipeline::Seen>>,
    acknowledged: watch::Receiver<crate::pipeline::Acknowledged>,
}

impl House {
    /// Lives once.
    pub(super) async fn live(&self, ending: Ending) -> Result<(), String> {
        let steps = if let Ending::Dies(steps) = ending { Some(steps) } else { None };
        self.world.lock().calm = matches!(ending, Ending::Drains);
        self.world.begin(steps);
        let mut daemon = match self.start() {
            Ok(daemon) => daemon,
            // A daemon whose database refuses does not start, and is started again.
            Err(_) if !matches!(ending, Ending::Drains) => {
                self.world.kill();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let began_ms = self.world.lock().now_ms();
        loop {
            tokio::select! {
                biased;
                // The call may be that of a daemon before.
                () = self.world.died.notified() => {}
                Some(ended) = daemon.pipeline.join_next() => return Err(format!("a stage ended: {ended:?}")),
                Some(ended) = daemon.deliveries.join_next() => return Err(format!("a deliverer ended: {ended:?}")),
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            if !self.world.is_alive() {
                return daemon.checked();
            }
            let now_ms = self.world.lock().now_ms();
            match ending {
                Ending::Dies(_) if now_ms - began_ms > 60_000 => self.world.kill(),
                Ending::DiesAt(at_ms) if now_ms - began_ms >= at_ms => self.world.kill(),
                Ending::Stops(at_ms) if now_ms - began_ms >= at_ms => return daemon.stop().await,
                Ending::Drains if self.is_drained(&daemon)? => return daemon.stop().await,
                Ending::Drains if now_ms - began_ms > DRAIN_MS_MAX => {
                    return Err(format!("does not drain: {:?}, {:?}", *daemon.acknowledged.borrow(), daemon.telemetry.health.active()));
                }
                _ => {}
            }
        }
    }

    fn start(&self) -> Result<Daemon, String> {
        let world = &self.world;
        let telemetry = Telemetry::default();
        let Resumed { engine, checkpoints, start, .. } =
            resume(&self.config, &self.db, &telemetry, self.journal.is_some()).map_err(|error| error.to_string())?;
        let from = Sequencer::new(start.clone(), self.journal.is_some()).start();
        let mut others = JoinSet::new();
        let log = self.open_log(&from, &mut others).map_err(|error| error.to_string())?;
        let (appender, committer) = (Arc::clone(&log.appender), Arc::clone(&log.committer));

        let (routing, wake, shutdown) = (Arc::new(routing()), Wake::default(), CancellationToken::new());
        let deliveries = Deliveries {
            db: self.db.clone(),
            routing: Arc::clone(&routing),
            schedule: Schedule::default(),
            clock: world.clock(),
            switch: StopSwitch::of(&self.config.data_dir),
            telemetry: telemetry.clone(),
            wake: wake.clone(),
            shutdown: shutdown.clone(),
        };
        let receiver = |name: &str| -> Arc<dyn Channel> { Arc::new(Receiver { name: name.to_owned(), world: Arc::clone(world) }) };
        let topic = Arc::new(TopicChannel::new(ALERTS_TOPIC_CHANNEL, ALERTS_TOPIC, appender));
        let channels =
            vec![topic, receiver(HISTORY_CHANNEL), receiver(ACTIONS_TOPIC_CHANNEL), receiver(PEOPLE.0), receiver("revoke:identity")];
        let deliveries = deliveries.spawn(channels).map_err(|error| error.to_string())?;

        let (changes, _) = broadcast::channel(16);
        let (normaliser, enricher) = normalising();
        let limits = self.config.pipeline;
        let parts = Parts {
            db: self.db.clone(),
            log,
            clock: world.clock(),
            engine,
            checkpoints,
            pace: self.pace(),
            normaliser,
            enricher,
            suppressions: Arc::default(),
            lessons: Arc::default(),
            closings: Arc::default(),
            retention_ms: RETENTION_MS,
            store: watch::channel(Some(Tables(Arc::clone(world)))).1,
            routing,
            wake,
            changes,
            active_sessions: ActiveSessions::default(),
            later_uses: LaterUses::default(),
            canary: Watch::default(),
            telemetry: telemetry.clone(),
            limits,
            start,
        };
        let (read_sender, read) = mpsc::channel(1);
        let (raw_sender, raw) = mpsc::channel(limits.stage_batches_max);
        let Stages { reader, prepare, detect, behind, seen, acknowledged, stop, abandon, .. } = wire(parts, (read_sender, raw));
        let mut pipeline = JoinSet::new();
        pipeline.spawn(drive(reader.within(world.lock().plan.limits), Arc::clone(world)));
        pipeline.spawn(look_on(read, raw_sender, Arc::clone(world)));
        for stage in [prepare, detect].into_iter().chain(behind) {
            pipeline.spawn(stage);
        }
        Ok(Daemon { stages: stop, abandon, shutdown, pipeline, deliveries, others, telemetry, committer, seen, acknowledged })
    }

    /// Little at a time, so that much happens between the first part of a checkpoint and its last.
    fn pace(&self) -> Pace {
        let interval = Duration::from_millis(self.config.detect.checkpoint_interval_ms);
        let limits = &self.config.pipeline;
        Pace { pause: Duration::ZERO, step_bytes: 4 << 10, piece_bytes: 16 << 10, effort: Effort::NONE, ..Pace::every(interval, limits) }
    }

    fn open_log(&self, from: &Positions, others: &mut JoinSet<()>) -> Result<OpenLog, crate::log::LogError> {
        let world = &self.world;
        let Some(path) = &self.journal else {
            let folder = self.checkpoints();
            let committer = Offsets { world: Arc::clone(world), durable: Box::new(move || durable(&folder)) };
            let source: Box<dyn Source> = Box::new(Partitions::new(world));
            return Ok(OpenLog {
                appender: Arc::new(Topics(Arc::clone(world))),
                source,
                committer: Arc::new(committer),
                formats: Self::formats(),
            });
        };
        let (journal, writer) = Journal::at_rest(path, &self.config.journal, world.clock())?;
        let inner = journal.source(path, from)?;
        others.spawn(write(writer, Arc::clone(world)));
        others.spawn(send(self.lines.clone(), journal.clone(), Arc::clone(world)));
        Ok(OpenLog {
            appender: Arc::new(journal.clone()),
            source: Box::new(Stepped { world: Arc::clone(world), next: 0, inner }),
            committer: Arc::new(Cuts { world: Arc::clone(world), inner: Arc::new(journal) }),
            formats: Self::formats(),
        })
    }

    /// Is everything read, stored, committed and told?
    fn is_drained(&self, daemon: &Daemon) -> Result<bool, String> {
        let seen = daemon.seen.lock().clone();
        {
            let state = self.world.lock();
            let all_read = match &self.journal {
                None => state.log.iter().all(|(id, records)| {
                    let end = records.last().map_or(0, |last| last.offset + 1);
                    seen.positions.get(id).copied().unwrap_or(0) == end
                }),
                Some(_) => state.accepted.len() == self.lines.len() && seen.positions == daemon.committer.ends(),
            };
            if !all_read || daemon.acknowledged.borrow().both() < seen.next_seq {
                return Ok(false);
            }
        }
        let waiting =
            |tx: &rusqlite::Connection| Ok::<_, DbError>(outbox::counts(tx)?.iter().any(|(_, state, _)| state == State::Pending.as_str()));
        self.db.read(waiting).map(|waiting| !waiting).map_err(|error| error.to_string())
    }
}

impl Daemon {
    /// As the real one stops.
    async fn stop(mut self) -> Result<(), String> {
        self.stages.cancel();
        if tokio::time::timeout(Duration::from_secs(5), all(&mut self.pipeline)).await.is_err() {
            self.abandon.cancel();
            tokio::time::timeout(Duration::from_secs(1), all(&mut self.pipeline)).await.map_err(|_| "stages do not end".to_owned())??;
        }
        self.shutdown.cancel();
        let deliveries = tokio::time::timeout(Duration::from_secs(2), all(&mut self.deliveries)).await;
        deliveries.unwrap_or(Ok(()))?;
        self.checked()
    }

    /// What must hold whenever a life ends.
    fn checked(mut self) -> Result<(), String> {
        for tasks in [&mut self.pipeline, &mut self.deliveries, &mut self.others] {
            while let Some(ended) = tasks.try_join_next() {
                ended.map_err(|error| format!("a task failed: {error}"))?;
            }
        }
        let told = self.telemetry.health.active();
        match told.iter().find(|alert| matches!(alert.id, HealthId::PositionsLost | HealthId::DetectorDisabled)) {
            Some(alert) => Err(format!("{}: {}", alert.text, alert.detail)),
            None => Ok(()),
        }
    }
}

async fn all(tasks: &mut JoinSet<()>) -> Result<(), String> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| format!("a task failed: {error}"))?;
    }
    Ok(())
}

/// The reader's thread, in virtual time.
async fn drive(mut reader: Reader, world: Arc<World>) {
    while world.is_alive() {
        if reader.turn() == Turn::Over {
            return;
        }
        let wait = {
            let mut state = world.lock();
            let asked_ms = state.asked.as_millis() as i64;
            state.dice.between(1, asked_ms.max(1))
        };
        tokio::time::sleep(Duration::from_millis(wait as u64)).await;
    }
    std::future::pending().await
}

/// Sees what passes into the order.
async fn look_on(mut from: mpsc::Receiver<Piece>, to: mpsc::Sender<Piece>, world: Arc<World>) {
    while let Some(piece) = from.recv().await {
        if let Piece::Batch(batch) = &piece
            && world.is_alive()
        {
            world.lock().order_passes(batch.clone());
        }
        if to.send(piece).await.is_err() {
            return;
        }
    }
}

/// The journal's thread, in virtual time.
async fn write(mut writer: Writer, world: Arc<World>) {
    loop {
        let wait = world.lock().dice.between(1, 10) as u64;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        writer.turn(|| world.step(|| "journal".to_owned()) != Step::Dead);
    }
}

/// A client of HTTP ingest: sends until it is told that the records are taken.
async fn send(lines: Vec<Line>, journal: Journal, world: Arc<World>) {
    let mut next = 0;
    while next < lines.len() {
        let (now_ms, most) = {
            let mut state = world.lock();
            (state.now_ms(), state.dice.between(1, 30) as usize)
        };
        let due = |(_, line): &(usize, &Line)| line.at_ms <= now_ms;
        let fresh: Vec<_> = {
            let state = world.lock();
            lines.iter().enumerate().filter(|(index, _)| !state.accepted.contains(index)).filter(due).take(most).collect()
        };
        next = world.lock().accepted.len();
        if !fresh.is_empty() {
            let records = fresh.iter().map(|(_, line)| Outgoing { payload: line.text.clone(), ..Outgoing::default() }).collect();
            if journal.append(INGEST_TOPIC, records).await.is_ok() {
                world.lock().accepted.extend(fresh.iter().map(|(index, _)| *index));
            }
            let (held, limit) = (journal.ingest_bytes(), world.lock().plan.journal_bytes_max + APPEND_BYTES_MAX);
            if held > limit {
                world.violated(format!("the journal holds {held} bytes, more than {limit}"));
            }
        }
        let pause = world.lock().dice.between(1, 400) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    std::future::pending().await
}

/// Positions of the newest checkpoint that reads.
fn durable(folder: &Path) -> Positions {
    let checkpoints = Checkpoints::at(folder);
    let Ok(newest) = checkpoints.newest_first() else { return Positions::new() };
    newest.flatten().find_map(|saved| saved.positions().ok()).unwrap_or_default()
}

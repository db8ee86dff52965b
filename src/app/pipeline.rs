//! Wires the stages of the pipeline up, starts them and stops them again.
//!
//! [`wire`] joins the stages by their channels and leaves open who drives them: the daemon gives
//! `read`, `prepare` and `detect` a thread each ([`start`]), the simulation (`simulation`) drives all of
//! them on one.

use super::log::OpenLog;
use crate::alert::change::AlertChanges;
use crate::canary::Watch;
use crate::clock::{Clock, now_ms};
use crate::db::Db;
use crate::detect::breaker::OpenBreaker;
use crate::detect::checkpoint::Checkpoints;
use crate::detect::closings::Closings;
use crate::detect::engine::{Engine, Outcome};
use crate::enrich::Enricher;
use crate::flow::{EventFlow, PartitionId, Positions, Start};
use crate::log::Appender;
use crate::normalise::Normaliser;
use crate::notify::{Routing, Wake};
use crate::pipeline::checkpoint::{CheckpointWriter, Durable, Finished};
use crate::pipeline::commit::{CommitStage, Unrecorded};
use crate::pipeline::cut::{Cutter, Pace};
use crate::pipeline::detect::{DetectStage, Outputs};
use crate::pipeline::prepare::Preparer;
use crate::pipeline::queue::{Receiver, queue};
use crate::pipeline::read::{Changing, Piece, Reader, Reading};
use crate::pipeline::skew::Skew;
use crate::pipeline::store::{EventStore, StoreStage};
use crate::pipeline::{Acknowledged, PipelineConfig};
use crate::respond::{ActiveSessions, LaterUses};
use crate::suppress::Lists;
use crate::teach::Lessons;
use crate::telemetry::{HealthId, Stage, Telemetry};
use futures::executor::block_on;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// What the pipeline is made of.
pub(super) struct Parts<S> {
    pub db: Db,
    pub log: OpenLog,
    pub clock: Clock,
    pub engine: Engine,
    pub checkpoints: Checkpoints,
    pub pace: Pace,
    pub normaliser: Arc<Normaliser>,
    pub enricher: Arc<Enricher>,
    pub suppressions: Arc<Lists>,
    pub lessons: Arc<Lessons>,
    pub closings: Arc<Closings>,
    pub retention_ms: i64,
    pub store: watch::Receiver<Option<S>>,
    pub routing: Arc<Routing>,
    pub wake: Wake,
    pub changes: AlertChanges,
    pub active_sessions: ActiveSessions,
    pub later_uses: LaterUses,
    pub canary: Watch,
    pub telemetry: Telemetry,
    pub limits: PipelineConfig,
    /// Where the checkpoint that was loaded stands, and the recorded order since.
    pub start: Start,
}

/// What others may see of detection, renewed with each batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The next offset of each partition.
    pub positions: Positions,
    /// Sequence number of the next record.
    pub next_seq: u64,
    /// Event time up to which everything is judged.
    pub watermark_ms: Option<i64>,
    /// Newest event time of each partition.
    pub newest_ms: BTreeMap<PartitionId, i64>,
    /// Keys held and pushed out, by detector.
    pub state_keys: Vec<(&'static str, usize, u64)>,
    /// Alerts that may still grow, and their bytes.
    pub episodes: (usize, usize),
    /// Circuit breakers that are open.
    pub breakers: Vec<OpenBreaker>,
    /// Detectors that failed.
    pub disabled: Vec<&'static str>,
    /// Events judged, late and repeated since the start.
    pub judged: u64,
    /// See above.
    pub late: u64,
    /// See above.
    pub repeated: u64,
    /// Records read since the start.
    pub records: u64,
    /// Records rejected since the start.
    pub rejected: u64,
}

/// A running pipeline.
pub(super) struct Running {
    pub reading: Arc<Reading>,
    pub seen: Arc<Mutex<Seen>>,
    pub durable: Arc<Mutex<Durable>>,
    pub acknowledged: watch::Receiver<Acknowledged>,
    /// Taken by whoever shows them.
    pub queues: Vec<Queue>,
    stop: CancellationToken,
    abandon: CancellationToken,
    threads: Vec<std::thread::JoinHandle<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// A queue between two stages, to be looked at.
pub(super) struct Queue {
    pub name: &'static str,
    pub capacity: usize,
    depth: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Queue {
    /// The queue before the stage `name`. Does not keep it open.
    fn before<T: Send + 'static>(name: &'static str, sender: &mpsc::Sender<T>) -> Self {
        let (capacity, weak) = (sender.max_capacity(), sender.downgrade());
        let depth = move || weak.upgrade().map_or(0, |sender| capacity.saturating_sub(sender.capacity()));
        Self { name, capacity, depth: Box::new(depth) }
    }

    /// What waits in it.
    pub fn depth(&self) -> usize {
        (self.depth)()
    }
}

/// Batches between `prepare` and `detect`.
enum Prepared {
    Flow(Box<EventFlow>, Instant),
    Checkpoint,
    Quiet,
}

/// The stages, joined by their channels and at rest.
pub(super) struct Stages {
    pub reader: Reader,
    /// From here on futures, to be driven to their end.
    pub prepare: BoxFuture<'static, ()>,
    pub detect: BoxFuture<'static, ()>,
    /// `store`, `commit` and `checkpoint`, which need a runtime.
    pub behind: Vec<BoxFuture<'static, ()>>,
    pub seen: Arc<Mutex<Seen>>,
    pub durable: Arc<Mutex<Durable>>,
    pub acknowledged: watch::Receiver<Acknowledged>,
    pub queues: Vec<Queue>,
    /// Ends reading; the rest drains.
    pub stop: CancellationToken,
    /// Ends what waits for a store or a database that is away.
    pub abandon: CancellationToken,
}

/// Joins the stages. Both ends of the channel from `read` to `prepare` come from the caller, who may
/// look at what goes through.
pub(super) fn wire<S: EventStore + Clone + 'static>(
    parts: Parts<S>,
    (raw_sender, raw): (mpsc::Sender<Piece>, mpsc::Receiver<Piece>),
) -> Stages {
    let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
    let limits = parts.limits;
    let (prepared_sender, prepared) = mpsc::channel(limits.stage_batches_max);
    let (store_sender, to_store) = queue(limits.store_events_max);
    let (commit_sender, to_commit) = mpsc::channel(limits.stage_batches_max);
    let (checkpoint_sender, to_checkpoint) = mpsc::channel(limits.checkpoint_pieces_max);
    let (finish, finished) = watch::channel(Finished::default());
    let queues = vec![
        Queue::before("prepare", &raw_sender),
        Queue::before("detect", &prepared_sender),
        Queue { name: "store", capacity: store_sender.events_max(), depth: Box::new(store_sender.depth()) },
        Queue::before("commit", &commit_sender),
        Queue::before("checkpoint", &checkpoint_sender),
    ];
    let first = Acknowledged { stored: parts.start.next_seq, committed: parts.start.next_seq };
    let (acknowledge, acknowledged) = watch::channel(first);

    let durable = Arc::new(Mutex::new(Durable { positions: parts.start.positions.clone() }));
    let unrecorded = Unrecorded::default();
    let commit = CommitStage {
        db: parts.db.clone(),
        routing: parts.routing,
        wake: parts.wake,
        changes: parts.changes,
        active_sessions: parts.active_sessions,
        later_uses: parts.later_uses,
        canary: parts.canary,
        telemetry: parts.telemetry.clone(),
        acknowledge: acknowledge.clone(),
        clock: parts.clock.clone(),
        unrecorded: unrecorded.clone(),
        keeps_order: parts.log.source.keeps_order(),
        limits,
        abandon: abandon.clone(),
    };
    let checkpoint = CheckpointWriter {
        checkpoints: parts.checkpoints,
        db: parts.db,
        unrecorded,
        keeps_order: parts.log.source.keeps_order(),
        committer: parts.log.committer,
        telemetry: parts.telemetry.clone(),
        acknowledged: acknowledged.clone(),
        durable: Arc::clone(&durable),
        previous: (parts.start.next_seq, parts.start.positions.clone()),
        finished: finish,
        effort: parts.pace.effort,
        abandon: abandon.clone(),
    };
    let storing = store_stage(parts.store, parts.log.appender, acknowledge, parts.telemetry.clone(), limits, abandon.clone(), to_store);

    let preparer = Preparer::new(parts.normaliser, Arc::clone(&parts.enricher), parts.log.formats, parts.retention_ms);
    let mut preparer = preparer.with_suppressions(Arc::clone(&parts.suppressions)).with_lessons(Arc::clone(&parts.lessons));
    preparer.go_on_with(&parts.start.in_force);
    let reader = Reader::new(parts.log.source, parts.start, raw_sender, parts.telemetry.clone());
    let reader = reader.until(stop.clone()).by(parts.clock).within(limits.batches()).with_changes_of(Changing {
        places: parts.enricher,
        suppressions: Arc::clone(&parts.suppressions),
        lessons: parts.lessons,
        closings: parts.closings,
    });
    let outputs = Outputs { store: store_sender, commit: commit_sender };
    let cutter = Cutter::new(parts.engine.next_seq(), checkpoint_sender, finished, parts.telemetry.clone(), parts.pace);
    let stage = DetectStage::new(parts.engine.with_suppressions(&parts.suppressions), outputs, cutter, parts.telemetry.clone());
    let seen = Arc::new(Mutex::new(Seen::default()));
    Stages {
        reader,
        prepare: Box::pin(prepare(preparer, raw, prepared_sender, parts.telemetry.clone())),
        detect: Box::pin(detect(stage, prepared, Arc::clone(&seen), parts.telemetry)),
        behind: vec![Box::pin(commit.run(to_commit)), Box::pin(checkpoint.run(to_checkpoint)), Box::pin(storing)],
        seen,
        durable,
        acknowledged,
        queues,
        stop,
        abandon,
    }
}

/// Starts all stages.
pub(super) fn start<S: EventStore + Clone + 'static>(parts: Parts<S>) -> io::Result<Running> {
    let raw = mpsc::channel(parts.limits.stage_batches_max);
    let Stages { reader, prepare, detect, behind, seen, durable, acknowledged, queues, stop, abandon } = wire(parts, raw);
    let tasks = behind.into_iter().map(tokio::spawn).collect();
    let reading = reader.reading();
    let threads = vec![
        thread("read", move || reader.run())?,
        thread("prepare", move || block_on(prepare))?,
        thread("detect", move || block_on(detect))?,
    ];
    Ok(Running { reading, seen, durable, acknowledged, queues, stop, abandon, threads, tasks })
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Waits for the store to be there, then stores.
async fn store_stage<S: EventStore + Clone>(
    mut store: watch::Receiver<Option<S>>,
    appender: Arc<dyn Appender>,
    acknowledge: watch::Sender<Acknowledged>,
    telemetry: Telemetry,
    limits: PipelineConfig,
    abandon: CancellationToken,
    batches: Receiver<Arc<crate::pipeline::detect::Detected>>,
) {
    let ready = abandon.run_until_cancelled(store.wait_for(Option::is_some)).await;
    let ready = ready.and_then(Result::ok).and_then(|store| store.clone());
    if let Some(store) = ready {
        StoreStage { store, appender, telemetry, acknowledge, limits, abandon }.run(batches).await;
    }
}

async fn prepare(mut preparer: Preparer, mut raw: mpsc::Receiver<Piece>, next: mpsc::Sender<Prepared>, telemetry: Telemetry) {
    let mut skew = Skew::default();
    while let Some(piece) = raw.recv().await {
        let read_at = Instant::now();
        let prepared = match piece {
            Piece::Checkpoint => Prepared::Checkpoint,
            Piece::Quiet => Prepared::Quiet,
            Piece::Batch(batch) => {
                for run in &batch.order.runs {
                    telemetry.metrics.received.with([&run.partition.topic]).inc_by(u64::from(run.records));
                }
                let span = tracing::debug_span!("prepare", first_seq = batch.order.first_seq, records = batch.len());
                let mut flow = span.in_scope(|| preparer.normalise(batch));
                telemetry.latencies.record(Stage::Normalise, read_at.elapsed());
                let normalised_at = Instant::now();
                span.in_scope(|| preparer.enrich(&mut flow));
                telemetry.latencies.record(Stage::Enrich, normalised_at.elapsed());
                for rejected in &flow.rejected {
                    telemetry.metrics.rejected.with([rejected.code]).inc();
                    crate::warn_limited!(code = rejected.code, reason = rejected.reason, partition = %rejected.partition, "record rejected");
                }
                if let Some(problem) = skew.note(&flow, read_at) {
                    telemetry.report(HealthId::ClockSkew, "", problem.as_deref());
                }
                Prepared::Flow(Box::new(flow), read_at)
            }
        };
        if next.send(prepared).await.is_err() {
            return;
        }
    }
}

async fn detect(mut stage: DetectStage, mut prepared: mpsc::Receiver<Prepared>, seen: Arc<Mutex<Seen>>, telemetry: Telemetry) {
    while let Some(piece) = next(&mut stage, &mut prepared).await {
        let (flow, read_at) = match piece {
            Prepared::Checkpoint => {
                stage.checkpoint().await;
                continue;
            }
            Prepared::Quiet => {
                stage.quiet();
                continue;
            }
            Prepared::Flow(flow, read_at) => (*flow, read_at),
        };
        let (records, counted, rejected) = (flow.order.records(), flow.order.counted(), flow.rejected.len() as u64);
        let started = Instant::now();
        let span = tracing::debug_span!("detect", first_seq = flow.order.first_seq, records);
        let Some(outcome) = stage.take(flow, read_at).instrument(span).await else { return };
        telemetry.latencies.record(Stage::Detect, started.elapsed());
        count(&outcome, &telemetry);
        let mut seen = seen.lock();
        seen.records += counted;
        seen.rejected += rejected;
        seen.judged += outcome.judged;
        seen.late += outcome.late;
        seen.repeated += outcome.repeated;
        seen.disabled.extend(outcome.disabled);
        seen.positions.clone_from(stage.engine().positions());
        seen.next_seq = stage.engine().next_seq();
        seen.newest_ms = stage.engine().newest_ms();
        seen.watermark_ms = Some(stage.engine().watermark_ms()).filter(|ms| *ms != i64::MIN);
        seen.state_keys = stage.engine().state_keys();
        seen.episodes = (stage.engine().episodes(), stage.engine().episodes_bytes());
        seen.breakers = stage.engine().open_breakers();
    }
    // The channel closed: everything that was read is through, and the last checkpoint covers it.
    stage.checkpoint().await;
}

/// The next batch; while none is there, a checkpoint goes on.
async fn next(stage: &mut DetectStage, prepared: &mut mpsc::Receiver<Prepared>) -> Option<Prepared> {
    while stage.is_cutting() {
        tokio::select! {
            biased;
            piece = prepared.recv() => return piece,
            () = stage.use_pause() => {}
        }
    }
    prepared.recv().await
}

fn count(outcome: &Outcome, telemetry: &Telemetry) {
    let metrics = &telemetry.metrics;
    metrics.batches.inc();
    metrics.judged.inc_by(outcome.judged);
    metrics.late.inc_by(outcome.late);
    metrics.duplicate.inc_by(outcome.repeated);
    metrics.alerts_closed_early.inc_by(outcome.closed_early);
    if outcome.closed_early > 0 {
        crate::warn_limited!(alerts = outcome.closed_early, "alerts closed early: open ones hold more than detect.episodes_* allow");
    }
    metrics.detectors_disabled.inc_by(outcome.disabled.len() as i64);
    for (detector, findings) in &outcome.findings {
        metrics.findings.with([detector]).inc_by(*findings);
    }
    for (detector, findings) in &outcome.folded {
        metrics.findings_folded.with([detector]).inc_by(*findings);
    }
}

impl Running {
    /// Stops reading and lets the stages drain for up to `patience`; what is not through by then comes
    /// again after the next start.
    pub async fn stop(self, patience: Duration) {
        self.stop.cancel();
        let started_ms = now_ms();
        let threads = self.threads;
        let mut drained = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let mut tasks = futures::future::join_all(self.tasks);
        let all = async {
            (&mut drained).await.ok();
            (&mut tasks).await;
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("pipeline not drained in time, the rest is done again after the next start");
            self.abandon.cancel();
            tokio::time::timeout(Duration::from_secs(1), async { (&mut tasks).await }).await.ok();
        }
        tracing::info!(took_ms = now_ms() - started_ms, "pipeline stopped");
    }
}

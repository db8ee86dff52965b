//! What is done from time to time: place files, gauges, health, pruning.

use super::daemon::CHECKPOINTS;
use super::disk;
use super::outbox::OutboxWatch;
use super::pipeline::{Queue, Seen};
use super::places;
use crate::clock::now_ms;
use crate::db::{Db, DbError, actions, alerts, audit, incidents, lessons, outbox as messages, suppressions};
use crate::detect::breaker::OpenBreaker;
use crate::detect::checkpoint::{CheckpointError, Checkpoints, Saved};
use crate::enrich::Enricher;
use crate::log::Committer;
use crate::notify::{Routing, Wake};
use crate::respond::StopSwitch;
use crate::teach;
use crate::telemetry::{HealthId, Telemetry, latency};
use bartizan_core::time::DAY_MS;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often gauges are set.
const GAUGES_INTERVAL: Duration = Duration::from_secs(2);
/// How often old rows are dropped, and how many at once.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
const PRUNE_ROWS_MAX: u32 = 5_000;
/// How often the head of the audit trail is logged.
const HEAD_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long delivered messages stay to be looked at.
const DELIVERED_KEPT_MS: i64 = 14 * DAY_MS;
/// How long the working copy of alerts and the audit trail stay.
const ALERTS_KEPT_MS: i64 = 400 * DAY_MS;

/// What is looked after.
pub(super) struct Maintenance {
    pub db: Db,
    pub enricher: Arc<Enricher>,
    pub committer: Arc<dyn Committer>,
    pub seen: Arc<Mutex<Seen>>,
    pub queues: Vec<Queue>,
    pub data_dir: PathBuf,
    pub switch: StopSwitch,
    /// Who is told of the switch.
    pub routing: Arc<Routing>,
    pub wake: Wake,
    /// Lines that the ledger of suppressed findings may have.
    pub suppressed_lines_max: usize,
    /// Lessons that are kept.
    pub lessons_max: usize,
    pub telemetry: Telemetry,
    pub stop: CancellationToken,
}

impl Maintenance {
    /// Runs until stopped.
    pub async fn run(self) {
        let (mut places, mut prune, mut window) = (Instant::now(), Instant::now(), Instant::now());
        let mut head: Option<Instant> = None;
        let mut outbox = OutboxWatch::new(self.db.clone(), self.telemetry.clone());
        while self.stop.run_until_cancelled(tokio::time::sleep(GAUGES_INTERVAL)).await.is_some() {
            self.gauges();
            outbox.look().await;
            disk::check(&self.data_dir, &self.telemetry);
            self.stop_switch().await;
            if head.is_none_or(|told| told.elapsed() >= HEAD_INTERVAL) {
                head = Some(Instant::now());
                self.audit_head().await;
            }
            if places.elapsed() >= self.enricher.check_interval() {
                places = Instant::now();
                self.places().await;
            }
            if window.elapsed() >= latency::WINDOW {
                window = Instant::now();
                self.telemetry.latencies.rotate();
            }
            if prune.elapsed() >= PRUNE_INTERVAL {
                prune = Instant::now();
                self.prune().await;
            }
        }
    }

    /// Shows how the switch stands, and tells of it where nobody did.
    async fn stop_switch(&self) {
        let stopped = self.switch.stopped().map(|stopped| format!("by {}: {}", stopped.by, stopped.reason));
        self.telemetry.report(HealthId::ResponseStopped, "", stopped.as_deref());
        let (db, switch, routing) = (self.db.clone(), self.switch.clone(), Arc::clone(&self.routing));
        match tokio::task::spawn_blocking(move || switch.tell(&db, &routing, now_ms())).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => self.wake.wake(),
            Ok(Err(error)) => tracing::warn!(%error, "how the stop switch stands cannot be told"),
            Err(error) => tracing::error!(%error, "telling how the stop switch stands failed"),
        }
    }

    /// Logs the head of the audit trail: where logs are collected, it is then known outside of this machine.
    async fn audit_head(&self) {
        let db = self.db.clone();
        match tokio::task::spawn_blocking(move || db.read(|tx| Ok::<_, DbError>(audit::head(tx)?))).await {
            Ok(Ok(head)) => tracing::info!(record = head.id, hash = head.hash, "head of the audit trail"),
            Ok(Err(error)) => tracing::warn!(%error, "the audit trail cannot be read"),
            Err(error) => tracing::error!(%error, "reading the audit trail failed"),
        }
    }

    fn gauges(&self) {
        let metrics = &self.telemetry.metrics;
        let seen = self.seen.lock().clone();
        let ends = self.committer.ends();
        for (partition, position) in &seen.positions {
            let labels = [&*partition.topic, &partition.partition.to_string()];
            metrics.partition_position.with(labels).set(*position);
            if let Some(end) = ends.get(partition) {
                metrics.partition_lag.with(labels).set((end - position).max(0));
            }
        }
        if let Some(watermark_ms) = seen.watermark_ms {
            metrics.watermark.set(watermark_ms as f64 / 1e3);
        }
        for (detector, keys, evicted) in &seen.state_keys {
            metrics.state_keys.with([detector]).set(*keys as i64);
            let counter = metrics.state_evicted.with([detector]);
            counter.inc_by(evicted.saturating_sub(counter.get()));
        }
        metrics.alerts_open.set(seen.episodes.0 as i64);
        metrics.alerts_open_bytes.set(seen.episodes.1 as i64);
        self.breakers(&seen.breakers);
        metrics.places_files.set(self.enricher.places().files() as i64);
        metrics.places_damaged.set(self.enricher.places().damaged_lookups() as i64);
        for queue in &self.queues {
            metrics.queue_depth.with([queue.name]).set(queue.depth() as i64);
            metrics.queue_capacity.with([queue.name]).set(queue.capacity as i64);
        }
        let full = self.committer.is_full().then_some("the journal holds as much as it may");
        self.telemetry.report(HealthId::DiskFull, "journal", full);
        metrics.ready.set(i64::from(self.telemetry.health.unready().is_empty()));
    }

    fn breakers(&self, open: &[OpenBreaker]) {
        let metrics = &self.telemetry.metrics;
        metrics.breaker_open.clear();
        let mut details = BTreeMap::new();
        for breaker in open {
            metrics.breaker_open.with([&breaker.detector]).inc();
            let detail: &mut String = details.entry(breaker.detector.clone()).or_default();
            let comma = if detail.is_empty() { "" } else { ", " };
            detail.push_str(&format!("{comma}{}: {} alerts folded", breaker.tenant, breaker.alerts_folded));
        }
        self.telemetry.health.replace(HealthId::BreakerOpen, now_ms(), &details);
    }

    async fn places(&self) {
        let enricher = Arc::clone(&self.enricher);
        let reload = move || enricher.changed().then(|| enricher.reload());
        match tokio::task::spawn_blocking(reload).await {
            Ok(Some(problems)) => {
                tracing::info!(version = self.enricher.places().version(), "place files read again");
                tell_places(&self.telemetry, problems);
                places::forget_unneeded(&self.data_dir, &self.enricher, &self.db);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "place files could not be looked at"),
        }
    }

    async fn prune(&self) {
        let (db, lines_max) = (self.db.clone(), self.suppressed_lines_max);
        let (data_dir, lessons_max) = (self.data_dir.clone(), self.lessons_max);
        let prune = move || {
            let now_ms = now_ms();
            db.write(|tx| {
                alerts::prune(tx, now_ms - ALERTS_KEPT_MS, PRUNE_ROWS_MAX)?;
                actions::prune(tx, now_ms - ALERTS_KEPT_MS, PRUNE_ROWS_MAX)?;
                incidents::prune(tx, now_ms - ALERTS_KEPT_MS, PRUNE_ROWS_MAX)?;
                // Once a day, as each time leaves a record.
                audit::prune(tx, now_ms, (now_ms - ALERTS_KEPT_MS).div_euclid(DAY_MS) * DAY_MS, PRUNE_ROWS_MAX)?;
                messages::prune(tx, now_ms - DELIVERED_KEPT_MS, PRUNE_ROWS_MAX)?;
                suppressions::prune(tx, now_ms - ALERTS_KEPT_MS, PRUNE_ROWS_MAX)?;
                suppressions::prune_held(tx, now_ms - ALERTS_KEPT_MS, lines_max, PRUNE_ROWS_MAX)?;
                Ok::<_, DbError>(())
            })?;
            prune_lessons(&db, &data_dir, lessons_max)
        };
        match tokio::task::spawn_blocking(prune).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "old rows cannot be dropped"),
            Err(error) => tracing::error!(%error, "pruning failed"),
        }
    }
}

/// Drops the oldest lessons beyond `lessons_max` that no checkpoint needs.
fn prune_lessons(db: &Db, data_dir: &Path, lessons_max: usize) -> Result<(), DbError> {
    if !db.read(|connection| lessons::are_more_than(connection, lessons_max))? {
        return Ok(());
    }
    let passed = || -> Result<u64, CheckpointError> {
        match Checkpoints::at(&data_dir.join(CHECKPOINTS)).oldest()? {
            Some(path) => Ok(teach::version_in(&Saved::open(&path)?.header()?.in_force)),
            None => Ok(0),
        }
    };
    match passed() {
        Ok(passed) => db.write(|tx| lessons::prune(tx, passed, lessons_max, PRUNE_ROWS_MAX).map(|_| ())),
        Err(error) => {
            tracing::warn!(%error, "the oldest checkpoint does not read: all lessons stay");
            Ok(())
        }
    }
}

/// Tells which place files are not usable.
pub(super) fn tell_places(telemetry: &Telemetry, problems: Vec<crate::enrich::Problem>) {
    let problems: BTreeMap<String, String> = problems.into_iter().map(|problem| (problem.file.clone(), problem.to_string())).collect();
    telemetry.health.replace(HealthId::PlacesMissing, now_ms(), &problems);
}

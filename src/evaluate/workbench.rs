//! Simulates a seed, judges it as `replay` does, and scores it.

use super::traffic::Traffic;
use super::{Cases, Score, SignIns, score};
use crate::config::Config;
use crate::detect::Enabled;
use crate::detect::engine::Engine;
use crate::detect::offline::Offline;
use crate::enrich::Enricher;
use crate::normalise::Normaliser;
use crate::simulate::SimulationConfig;
use bartizan_core::{EventBatch, KeyHasher};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What seeds are judged with, one after the other.
pub struct Workbench {
    pub(super) config: Config,
    normaliser: Normaliser,
    pub(super) enricher: Enricher,
}

impl Workbench {
    /// Judges with a configuration, and what was opened for it.
    #[must_use]
    pub fn new(config: Config, normaliser: Normaliser, enricher: Enricher) -> Self {
        Self { config, normaliser, enricher }
    }

    /// Scores one seed, with detectors that know nothing yet.
    ///
    /// # Errors
    /// A wrong configuration, an event that the normaliser rejects, a detector that fails.
    pub fn score(&self, simulated: SimulationConfig) -> Result<Score, String> {
        let seed = simulated.seed;
        let mut judge = Offline::new(&self.config, hasher())?;
        let mut traffic = self.traffic(simulated);
        let (mut events, mut cases, mut sign_ins) = (EventBatch::default(), Cases::default(), SignIns::default());
        while traffic.next(&mut events)? {
            events.hash_keys(&hasher());
            sign_ins.see(&events);
            let alerts;
            (events, alerts) = judge.batch(events);
            alerts.iter().for_each(|alert| cases.add(alert));
        }
        none_failed(seed, &judge.totals.disabled)?;
        if judge.totals.closed_early > 0 {
            tracing::warn!(seed, alerts = judge.totals.closed_early, "alerts closed early for want of room");
        }
        Ok(score(Some(seed), &traffic.into_labels(), &cases, Some(&sign_ins)))
    }

    pub(super) fn traffic(&self, simulated: SimulationConfig) -> Traffic<'_> {
        Traffic::new(simulated, &self.normaliser, &self.enricher)
    }

    /// Detectors that know nothing yet.
    pub(super) fn engine(&self, config: &Config) -> Result<Engine, String> {
        let enabled = Enabled::new(bartizan_catalogue::all(), &config.detectors).map_err(|errors| errors.join("\n"))?;
        Ok(Engine::new(&config.detect, &enabled, hasher()))
    }
}

/// Keys need not be secret here, and the same each time.
pub(super) fn hasher() -> KeyHasher {
    KeyHasher::new([0; 16])
}

pub(super) fn none_failed(seed: u64, disabled: &[&str]) -> Result<(), String> {
    if disabled.is_empty() {
        return Ok(());
    }
    Err(format!("seed {seed}: detectors failed and were switched off: {}", disabled.join(", ")))
}

/// Does something for each item, on as many threads as there are cores; in the order of the items.
pub(super) fn in_parallel<T: Sync, R: Send>(items: &[T], run: impl Fn(&T) -> Result<R, String> + Sync) -> Result<Vec<R>, String> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, R)>, String> {
        let mut done = Vec::new();
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(number)
        {
            done.push((number, run(item)?));
        }
        Ok(done)
    };
    let mut done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_fold(Vec::new(), |mut all, thread| {
            all.extend(thread.join().unwrap_or_else(|_| Err("a thread failed".to_owned()))?);
            Ok::<_, String>(all)
        })
    })?;
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

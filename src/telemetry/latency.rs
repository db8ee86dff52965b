//! How long each stage takes, as histograms with two significant digits.
//!
//! Stages record once a batch, alerts once each, so a short lock is cheaper than a histogram for each
//! worker. Two windows are kept, the running one and the one before; readers see both together, so a
//! figure is never older than two windows and never made of a moment's few samples. Who owns the
//! clock calls [`Latencies::rotate`].

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;
use std::time::Duration;

/// Longest latency that is told apart, an hour; longer ones count as this.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// How long a window should last.
pub const WINDOW: Duration = Duration::from_secs(300);
/// The quantiles that are shown.
pub const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// Declares the stages with their names.
macro_rules! stages {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// What is measured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Stage { $($(#[$doc])* $variant,)+ }

        impl Stage {
            /// All stages in the order of the pipeline.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in metrics and in the status.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

stages! {
    /// HTTP ingest, from the request's last byte until its records are durable.
    Ingest = "ingest",
    /// Reading a batch from the log.
    Fetch = "fetch",
    /// Records to events.
    Normalise = "normalise",
    /// Places and networks.
    Enrich = "enrich",
    /// Detectors.
    Detect = "detect",
    /// One transaction of alerts and outbox.
    Commit = "commit",
    /// An insert into the store.
    Store = "store",
    /// State and positions to disk.
    Checkpoint = "checkpoint",
    /// How long the flow stands still for a checkpoint at a time.
    CheckpointPause = "checkpoint_pause",
    /// One attempt to tell a channel.
    Deliver = "deliver",
    /// From the deciding event's arrival until its alert is durable.
    EventToAlert = "event_to_alert",
    /// From the deciding event's arrival until a channel has acknowledged.
    EventToDelivery = "event_to_delivery",
}

/// What was measured of one stage in the last one to two windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
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

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let [p50_us, p90_us, p99_us, p999_us] = QUANTILES.map(|quantile| histogram.value_at_quantile(quantile));
        Self { count: histogram.len(), p50_us, p90_us, p99_us, p999_us, max_us: histogram.max() }
    }

    /// The values of [`QUANTILES`].
    #[must_use]
    pub const fn quantiles_us(&self) -> [u64; 4] {
        [self.p50_us, self.p90_us, self.p99_us, self.p999_us]
    }
}

/// The running window and the one before it; none until something was recorded.
#[derive(Default)]
struct Windows {
    running: Option<Histogram<u64>>,
    before: Option<Histogram<u64>>,
}

impl Windows {
    fn record(&mut self, micros: u64, times: u64) {
        if self.running.is_none() {
            // The bounds are constants that the library accepts.
            self.running = Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).ok();
        }
        if let Some(histogram) = &mut self.running {
            histogram.saturating_record_n(micros.clamp(1, LATENCY_US_MAX), times);
        }
    }

    fn percentiles(&self) -> Percentiles {
        match (&self.running, &self.before) {
            (Some(running), Some(before)) => {
                let mut both = running.clone();
                // Both have the same bounds, so nothing can be out of range.
                both.add(before).ok();
                Percentiles::of(&both)
            }
            (Some(only), None) | (None, Some(only)) => Percentiles::of(only),
            (None, None) => Percentiles::default(),
        }
    }
}

/// The latencies of all stages; shared by reference.
#[derive(Default)]
pub struct Latencies {
    stages: [Mutex<Windows>; Stage::ALL.len()],
}

impl Latencies {
    /// Records one sample.
    pub fn record(&self, stage: Stage, took: Duration) {
        self.record_n(stage, took, 1);
    }

    /// Records the same latency for several things at once, as for the alerts of one batch.
    pub fn record_n(&self, stage: Stage, took: Duration, times: u64) {
        if let Some(windows) = self.stages.get(stage as usize) {
            windows.lock().record(u64::try_from(took.as_micros()).unwrap_or(LATENCY_US_MAX), times);
        }
    }

    /// Begins a new window and drops the one before the last.
    pub fn rotate(&self) {
        for windows in &self.stages {
            let mut windows = windows.lock();
            windows.before = windows.running.take();
        }
    }

    /// What was measured of each stage, in the order of the pipeline.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(Stage, Percentiles)> {
        Stage::ALL.iter().zip(&self.stages).map(|(stage, windows)| (*stage, windows.lock().percentiles())).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn of(latencies: &Latencies, stage: Stage) -> Percentiles {
        latencies.snapshot().into_iter().find(|(this, _)| *this == stage).unwrap().1
    }

    #[test]
    fn percentiles_are_right_to_a_hundredth() {
        let latencies = Latencies::default();
        for millis in 1..=1_000 {
            latencies.record(Stage::Store, Duration::from_millis(millis));
        }
        let shown = of(&latencies, Stage::Store);
        for (value, wanted) in shown.quantiles_us().into_iter().zip([500_000.0, 900_000.0, 990_000.0, 999_000.0]) {
            assert!((value as f64 / wanted - 1.0).abs() < 0.01, "{value} for {wanted}");
        }
        assert_eq!((shown.count, of(&latencies, Stage::Fetch)), (1_000, Percentiles::default()));
    }

    #[test]
    fn a_sample_is_gone_after_two_windows() {
        let latencies = Latencies::default();
        latencies.record_n(Stage::EventToAlert, Duration::from_secs(1), 5);
        latencies.rotate();
        latencies.record(Stage::EventToAlert, Duration::from_secs(100_000));
        assert_eq!(of(&latencies, Stage::EventToAlert).count, 6);
        assert!(of(&latencies, Stage::EventToAlert).max_us <= LATENCY_US_MAX / 100 * 101);
        latencies.rotate();
        assert_eq!(of(&latencies, Stage::EventToAlert).count, 1);
        latencies.rotate();
        assert_eq!(of(&latencies, Stage::EventToAlert), Percentiles::default());
    }
}

//! All Prometheus metrics, by name, in one place.
//!
//! Labels are bounded twice: by what callers put in (configured names, the catalogue, closed sets;
//! never a user, an address or a raw path) and by `telemetry.series_max` for each metric, past which values
//! are counted under `other`. Metrics that only show a state (queues, lags, health) are set just
//! before they are read; everything else counts where it happens, once a batch.

use super::TelemetryConfig;
use super::health::Health;
use super::latency::{Latencies, QUANTILES};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as PromCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PromGauge;
use prometheus_client::metrics::histogram::Histogram as PromHistogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes of a label's value that are kept.
const LABEL_BYTES_MAX: usize = 128;
/// What stands for values past the maximum of series.
const OTHER: &str = "other";
/// What all names begin with.
pub const PREFIX: &str = "bartizan";
/// Media type of [`Metrics::encode`]'s text (OpenMetrics 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A count that only grows.
pub type Counter = PromCounter;
/// A whole number that goes up and down.
pub type Gauge = PromGauge;
/// A number that goes up and down.
pub type Float = PromGauge<f64, AtomicU64>;
/// Durations in seconds.
pub type Histogram = PromHistogram;

/// Upper bounds of the buckets of durations: a millisecond to two minutes.
const SECONDS_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0];

/// What a series is made of.
trait Kind: Clone + std::fmt::Debug + Send + Sync + 'static {
    fn create() -> Self;
    /// Endings of the names under which Prometheus shows it.
    const SUFFIXES: &'static [&'static str];
}

impl Kind for Counter {
    fn create() -> Self {
        Self::default()
    }
    const SUFFIXES: &'static [&'static str] = &["_total"];
}

impl Kind for Gauge {
    fn create() -> Self {
        Self::default()
    }
    const SUFFIXES: &'static [&'static str] = &[""];
}

impl Kind for Float {
    fn create() -> Self {
        Self::default()
    }
    const SUFFIXES: &'static [&'static str] = &[""];
}

impl Kind for Histogram {
    fn create() -> Self {
        Self::new(SECONDS_BUCKETS)
    }
    const SUFFIXES: &'static [&'static str] = &["_bucket", "_sum", "_count"];
}

type Pairs<const N: usize> = [(&'static str, String); N];

/// A metric with `N` labels.
#[derive(Clone, Debug)]
pub struct Labelled<M, const N: usize> {
    keys: [&'static str; N],
    family: Family<Pairs<N>, M, fn() -> M>,
    /// Series made so far; several threads may pass the maximum by one each.
    made: Arc<AtomicUsize>,
    series_max: usize,
}

#[expect(private_bounds, reason = "only the kinds of this file exist")]
impl<M: Kind, const N: usize> Labelled<M, N> {
    fn new(keys: [&'static str; N], series_max: usize) -> Self {
        Self { keys, family: Family::new_with_constructor(M::create), made: Arc::default(), series_max }
    }

    /// The series with these values, in the order of the metric's labels. Hot code keeps the handle.
    #[must_use]
    pub fn with(&self, values: [&str; N]) -> M {
        let pairs = self.pairs(values);
        if let Some(series) = self.family.get(&pairs).map(|series| series.clone()) {
            return series;
        }
        if self.made.load(Ordering::Relaxed) >= self.series_max {
            return self.family.get_or_create_owned(&self.pairs([OTHER; N]));
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        self.family.get_or_create_owned(&pairs)
    }

    /// Drops all series, before the ones that exist now are set.
    pub fn clear(&self) {
        self.family.clear();
        self.made.store(0, Ordering::Relaxed);
    }

    fn pairs(&self, values: [&str; N]) -> Pairs<N> {
        let mut values = values.into_iter();
        self.keys.map(|key| {
            let value = values.next().unwrap_or(OTHER);
            (key, value.get(..value.floor_char_boundary(LABEL_BYTES_MAX)).unwrap_or(OTHER).to_owned())
        })
    }
}

/// Declares [`Metrics`]: a field, its kind and labels, its name and what it means.
macro_rules! metrics {
    ($($field:ident: $kind:ident $([$($label:literal),+])? = $name:literal, $help:literal;)+) => {
        /// All metrics of the process. Cloning shares them.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Arc<Registry>,
            $(#[doc = $help] pub $field: metrics!(@type $kind $([$($label),+])?),)+
        }

        impl Metrics {
            /// A fresh set, all at zero, with so many series for each metric.
            #[must_use]
            pub fn new(series_max: usize) -> Self {
                let mut registry = Registry::with_prefix(PREFIX);
                $(
                    let $field = metrics!(@new $kind $([$($label),+] series_max)?);
                    registry.register($name, $help, metrics!(@registered $field $([$($label),+])?));
                )+
                Self { registry: Arc::new(registry), $($field,)+ }
            }

            /// The names of all series as Prometheus shows them, with their labels.
            #[must_use]
            pub fn series() -> Vec<(String, &'static [&'static str])> {
                let mut series = Vec::new();
                $(
                    let labels: &'static [&'static str] = &[$($($label),+)?];
                    series.extend(<$kind as Kind>::SUFFIXES.iter().map(|suffix| (format!("{PREFIX}_{}{suffix}", $name), labels)));
                )+
                series
            }
        }
    };
    (@type $kind:ident) => { $kind };
    (@type $kind:ident [$($label:literal),+]) => { Labelled<$kind, { [$($label),+].len() }> };
    (@new $kind:ident) => { <$kind as Kind>::create() };
    (@new $kind:ident [$($label:literal),+] $series_max:ident) => { Labelled::<$kind, { [$($label),+].len() }>::new([$($label),+], $series_max) };
    (@registered $field:ident) => { $field.clone() };
    (@registered $field:ident [$($label:literal),+]) => { $field.family.clone() };
}

metrics! {
    build: Gauge["version"] = "build_info", "Always 1; the label says which version runs";
    resident: Gauge = "resident_memory_bytes", "Memory of the process that is in use, without its child";
    ready: Gauge = "ready", "1 when events are taken and judged, else 0";
    health_active: Gauge["id"] = "health_alerts_active", "Health alerts that are raised now";
    log_held_back: Counter = "log_lines_held_back", "Log lines that were held back by their rate limit";

    ingest_bytes: Counter = "ingest_bytes", "Bytes of records that HTTP ingest took";
    ingest_records: Counter["outcome"] = "ingest_records", "Records sent to HTTP ingest: accepted, rejected, refused";
    received: Counter["topic"] = "events_received", "Records read from the log";
    rejected: Counter["reason"] = "events_rejected", "Records that are no valid event";
    judged: Counter = "events_judged", "Events that detectors saw";
    late: Counter = "events_late", "Events too late to be judged; stored and counted";
    duplicate: Counter = "events_duplicate", "Events seen before; judged once";
    stored: Counter = "events_stored", "Events that the store acknowledged";
    batches: Counter = "batches", "Batches that went through the pipeline";
    queue_depth: Gauge["queue"] = "queue_depth", "What waits before a stage: events before the store, batches before the others";
    queue_capacity: Gauge["queue"] = "queue_capacity", "What may wait before a stage, in the same units";
    partition_lag: Gauge["topic", "partition"] = "partition_lag_records", "Records in the log that were not read yet";
    partition_position: Gauge["topic", "partition"] = "partition_position", "Offset up to which everything is done";
    watermark: Float = "complete_up_to_timestamp_seconds", "Event time up to which everything was judged, in seconds since 1970";
    stage_latency: Float["stage", "quantile"] = "stage_latency_seconds", "Recent latency of each stage";

    places_files: Gauge = "places_files_loaded", "Place and network files in use";
    places_damaged: Gauge = "places_damaged_lookups", "Look-ups that met a damaged part of a file, since it was read";
    state_keys: Gauge["detector"] = "detector_state_keys", "Keys that a detector holds";
    state_evicted: Counter["detector"] = "detector_state_evicted", "Keys that a detector dropped because its state was full";
    detectors_disabled: Gauge = "detectors_disabled", "Detectors that failed and were switched off";
    findings: Counter["detector"] = "findings", "Findings of detectors, before they become alerts";
    alerts: Counter["detector", "severity"] = "alerts_opened", "Alerts opened, with their first severity";
    alert_versions: Counter["detector"] = "alert_versions", "Versions of alerts written: opened, updated, closed";
    alerts_open: Gauge = "alerts_ongoing", "Alerts that may still grow";
    alerts_open_bytes: Gauge = "alerts_ongoing_bytes", "Memory of alerts that may still grow";
    alerts_closed_early: Counter = "alerts_closed_early", "Alerts closed while they could still grow, as these held more than they may";
    alerts_folded: Counter["detector"] = "alerts_folded", "Alerts that channels were told of together, by the brake on floods";
    findings_folded: Counter["detector"] = "findings_folded", "Findings folded into one campaign alert by an open circuit breaker";
    breaker_open: Gauge["detector"] = "breaker_open", "Tenants for which the circuit breaker of a detector is open";

    canary_heard: Counter["detector"] = "canary_heard", "Attacks of the canary that a detector found";
    canary_last: Float = "canary_last_seconds", "When the canary's latest round that was judged was sent, in seconds since 1970";

    deliveries: Counter["channel", "outcome"] = "deliveries", "Attempts to tell a channel: delivered, retried, failed";
    delivery_seconds: Histogram["channel"] = "delivery_seconds", "Duration of one attempt to tell a channel";
    outbox_pending: Gauge["channel"] = "outbox_pending", "Messages that wait to be delivered";
    outbox_failed: Gauge["channel"] = "outbox_failed", "Messages that could not be delivered and are given up";
    revocations: Counter["outcome"] = "revocations", "Sessions asked to be ended: done, dry_run, retried, refused, braked, expired";
    action_seconds: Histogram["action"] = "action_seconds", "From the event that proves it to its end as the provider confirms it, of each action";

    insert_seconds: Histogram["table"] = "store_insert_seconds", "Duration of one insert into the store";
    insert_errors: Counter["table"] = "store_insert_errors", "Inserts into the store that failed and were tried again";
    checkpoint_seconds: Histogram = "checkpoint_seconds", "Duration of saving state and positions";
    checkpoint_errors: Counter = "checkpoint_errors", "Checkpoints that could not be saved";
    checkpoint_bytes: Gauge = "checkpoint_bytes", "Size of the last checkpoint";
    checkpoint_time: Float = "checkpoint_timestamp_seconds", "When the last checkpoint was saved, in seconds since 1970";

    http_requests: Counter["route", "status"] = "http_requests", "HTTP requests answered; the route is its template";
    http_seconds: Histogram["route"] = "http_request_seconds", "Duration of HTTP requests";
    streams: Gauge = "http_streams_open", "Open streams of server-sent events";
    reads_lost: Counter = "audit_reads_lost", "Reads of personal data that could not be recorded in the audit trail";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(TelemetryConfig::default().series_max)
    }
}

impl Metrics {
    /// Sets what is derived from health and latencies.
    pub fn observe(&self, health: &Health, latencies: &Latencies) {
        self.health_active.clear();
        for alert in health.active() {
            self.health_active.with([alert.id.as_str()]).inc();
        }
        for (stage, percentiles) in latencies.snapshot() {
            for (quantile, micros) in QUANTILES.iter().zip(percentiles.quantiles_us()) {
                self.stage_latency.with([stage.as_str(), &quantile.to_string()]).set(micros as f64 / 1e6);
            }
        }
    }

    /// All metrics as text; see [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        self.build.with([env!("CARGO_PKG_VERSION")]).set(1);
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
        let held_back = super::logging::held_back_total();
        self.log_held_back.inc_by(held_back.saturating_sub(self.log_held_back.get()));
        let mut text = String::with_capacity(16 << 10);
        // Writing to a String cannot fail; should a series refuse to be written, the rest is still there.
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        text
    }
}

/// Resident memory by `/proc/self/status` (Linux, proc(5)); `None` elsewhere.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::{HealthId, Stage};
    use super::*;

    #[test]
    fn counted_things_appear_under_their_names() {
        let metrics = Metrics::default();
        metrics.rejected.with(["not_json"]).inc_by(3);
        metrics.alerts.with(["token_reuse", "high"]).inc();
        metrics.insert_seconds.with(["events"]).observe(0.02);
        let health = Health::default();
        health.raise(HealthId::StoreDown, "", 1, "refused");
        let latencies = Latencies::default();
        latencies.record(Stage::Detect, std::time::Duration::from_millis(4));
        metrics.observe(&health, &latencies);
        let text = metrics.encode();
        for line in [
            "bartizan_events_rejected_total{reason=\"not_json\"} 3",
            "bartizan_alerts_opened_total{detector=\"token_reuse\",severity=\"high\"} 1",
            "bartizan_store_insert_seconds_count{table=\"events\"} 1",
            "bartizan_health_alerts_active{id=\"store_down\"} 1",
            "bartizan_stage_latency_seconds{stage=\"detect\",quantile=\"0.999\"} 0.00",
            "bartizan_events_judged_total 0",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        health.clear(HealthId::StoreDown, "");
        metrics.observe(&health, &latencies);
        assert!(!metrics.encode().contains("health_alerts_active{"));
    }

    #[test]
    fn every_series_that_is_encoded_is_declared() {
        let metrics = Metrics::default();
        metrics.http_seconds.with(["/healthz"]).observe(0.1);
        metrics.partition_lag.with(["auth", "0"]).set(1);
        let declared = Metrics::series();
        for line in metrics.encode().lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(declared.iter().any(|(series, _)| series == name), "{line}");
        }
    }

    #[test]
    fn labels_cannot_grow_without_bound() {
        let metrics = Metrics::new(100);
        for number in 0..200 {
            metrics.rejected.with([&number.to_string()]).inc();
        }
        let series = metrics.encode().lines().filter(|line| line.starts_with("bartizan_events_rejected_total")).count();
        assert_eq!(series, 101);
        assert_eq!(metrics.rejected.with([OTHER]).get(), 100);
        metrics.received.with([&"ä".repeat(1_000)]).inc();
        assert!(metrics.encode().lines().all(|line| line.len() < 400));
    }
}

//! Logs go to standard error: text on a terminal, one JSON object a line otherwise.
//!
//! `RUST_LOG` chooses what is shown (the syntax of `tracing_subscriber::EnvFilter`); the default is
//! `info`. Messages are lowercase constants, everything that varies is a field. What hostile input can
//! cause at any rate is logged through [`warn_limited!`](crate::warn_limited), which says how many
//! lines it held back.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

/// Shown when `RUST_LOG` is not set.
const DEFAULT_FILTER: &str = "info";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` is no valid filter.
    #[error("RUST_LOG is not a valid filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::FromEnvError),
    /// It was set up before.
    #[error("logging was set up twice: {0}")]
    Twice(#[from] TryInitError),
}

/// Sets up logging for the process, once.
///
/// # Errors
/// If `RUST_LOG` cannot be understood, or logging was set up before.
pub fn init() -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt as _;
    let filter = match std::env::var_os(EnvFilter::DEFAULT_ENV) {
        Some(text) if !text.is_empty() => EnvFilter::try_from_default_env()?,
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    if terminal {
        builder.finish().try_init()?;
    } else {
        builder.json().flatten_event(true).with_span_list(false).finish().try_init()?;
    }
    Ok(())
}

/// Lines that all limits of the process have held back.
static HELD_BACK: AtomicU64 = AtomicU64::new(0);

/// Lines that all limits of the process have held back since it started, for the metric.
#[must_use]
pub fn held_back_total() -> u64 {
    HELD_BACK.load(Ordering::Relaxed)
}

/// Lets one line through in each interval and counts the others.
#[derive(Debug)]
pub struct LogLimit {
    interval: Duration,
    start: OnceLock<Instant>,
    /// Milliseconds after `start` from which the next line may pass.
    next_ms: AtomicU64,
    held_back: AtomicU64,
}

impl LogLimit {
    /// A limit of one line in each `interval`.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self { interval, start: OnceLock::new(), next_ms: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// May a line pass? Then the number of those held back since the last one, else `None`.
    pub fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    /// As [`Self::admit`], at a given time.
    pub fn admit_at(&self, now: Instant) -> Option<u64> {
        let since = now.saturating_duration_since(*self.start.get_or_init(|| now)).as_millis() as u64;
        let next = self.next_ms.load(Ordering::Relaxed);
        let after = since + self.interval.as_millis() as u64;
        // Of several threads that come in time, the one that moves the mark has the line.
        if since < next || self.next_ms.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            HELD_BACK.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.held_back.swap(0, Ordering::Relaxed))
    }
}

/// A warning that is written at most every ten seconds from this place in the code; the field
/// `held_back` says how many were not written since the last.
#[macro_export]
macro_rules! warn_limited {
    ($($arg:tt)+) => {{
        static LIMIT: $crate::telemetry::logging::LogLimit =
            $crate::telemetry::logging::LogLimit::every(::std::time::Duration::from_secs(10));
        if let Some(held_back) = LIMIT.admit() {
            ::tracing::warn!(held_back, $($arg)+);
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_interval_passes_and_says_how_many_did_not() {
        let limit = LogLimit::every(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds: f64| limit.admit_at(start + Duration::from_secs_f64(seconds));
        assert_eq!(
            [at(0.0), at(1.0), at(9.9), at(10.0), at(10.1), at(30.0), at(40.0)],
            [Some(0), None, None, Some(2), None, Some(1), Some(0)]
        );
        assert!(held_back_total() >= 3);
    }

    #[test]
    fn threads_share_one_line() {
        let limit = LogLimit::every(Duration::from_secs(3_600));
        let now = Instant::now();
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..1_000).filter(|_| limit.admit_at(now).is_some()).count())).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
        });
        assert_eq!(passed, 1);
    }

    #[test]
    fn the_macro_takes_fields_and_a_message() {
        for line in 0..3 {
            crate::warn_limited!(line, reason = "not_json", "record rejected");
        }
    }
}

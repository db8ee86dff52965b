//! Clocks of the wall and of the processor. Detection never reads one: it sees recorded arrivals.

use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A clock that a part is given, so that what it does can be tried under another time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(now_ms)
    }

    /// One that shows what `now_ms` says.
    pub fn new(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

/// Processor time, where the daemon goes by it.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Of the whole process.
    pub of_process: fn() -> Duration,
    /// Of the running thread.
    pub of_thread: fn() -> Duration,
}

impl Effort {
    /// What the machine counts.
    pub const MACHINE: Self =
        Self { of_process: || processor_time(ClockId::ProcessCPUTime), of_thread: || processor_time(ClockId::ThreadCPUTime) };
    /// Nothing costs anything.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { of_process: || Duration::ZERO, of_thread: || Duration::ZERO };
}

fn processor_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

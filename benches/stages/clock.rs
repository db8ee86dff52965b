//! Time as the processor counts it, so that what else runs on the machine adds noise and no lie.

use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::process::{Command, Stdio};

/// Seconds of processor time that this thread has used.
pub fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Processor time that `work` takes on this thread.
pub fn seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = thread_seconds();
    let result = work();
    (thread_seconds() - start, result)
}

/// Processor time of a child process, all its threads, user and system; resolution 10 ms.
///
/// # Errors
/// It cannot be started, or fails.
pub fn child_seconds(command: &mut Command) -> io::Result<f64> {
    let before = children_ticks()?;
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("{command:?}: {status}")));
    }
    Ok((children_ticks()? - before) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `cutime` and `cstime` of proc(5): ticks of all children that have ended.
fn children_ticks() -> io::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name, in brackets, may hold blanks.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_ascii_whitespace().skip(13).take(2);
    Ok(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// The middle one of several values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

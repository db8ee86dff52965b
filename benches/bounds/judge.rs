//! `replay` over a pipe, with its own processor time and memory.

use crate::people::Lines;
use crate::support::daemon::BINARY;
use crate::support::{cpu, folder};
use serde_json::Value;
use std::io::{self, BufWriter};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a run came to.
pub struct Judged {
    pub events: u64,
    /// Processor time, start-up and all.
    pub seconds: f64,
    /// Greatest resident memory in KiB.
    pub peak_kib: u64,
    /// Every version of every alert.
    pub alerts: Vec<Value>,
}

/// Judges what `write` writes under a configuration.
pub fn judge(config: &str, write: impl FnOnce(&mut Lines<BufWriter<ChildStdin>>) -> io::Result<()>) -> Judged {
    let folder = folder("judge");
    let alerts = folder.join("alerts.jsonl");
    std::fs::write(folder.join("bartizan.toml"), config).expect("the configuration");
    let before = cpu::of_children();
    let mut child = Command::new(BINARY)
        .current_dir(&folder)
        .args(["replay", "-c", "bartizan.toml", "--format", "bartizan", "--alerts", "alerts.jsonl", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("replay");
    let mut lines = Lines::new(BufWriter::with_capacity(256 << 10, child.stdin.take().expect("its input")));
    let (over, process) = (AtomicBool::new(false), child.id());
    let peak_kib = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch_memory(process, &over));
        write(&mut lines).expect("replay reads");
        let events = lines.count;
        drop(lines);
        let status = child.wait().expect("its status");
        over.store(true, Ordering::Release);
        assert!(status.success(), "replay: {status}");
        (watch.join().expect("the watch"), events)
    });
    let (peak_kib, events) = peak_kib;
    let text = std::fs::read_to_string(&alerts).expect("the alerts");
    let alerts = text.lines().map(|line| serde_json::from_str(line).expect("an alert")).collect();
    Judged { events, seconds: cpu::of_children() - before, peak_kib, alerts }
}

/// The peak as the system counts it, asked for until the end.
fn watch_memory(process: u32, over: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !over.load(Ordering::Acquire) {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(50));
    }
    peak
}

/// The default configuration with every detector off: what is left is reading and looking up.
pub fn without_detectors() -> String {
    bartizan_catalogue::all().map(|spec| format!("[detectors.{}]\nenabled = false\n", spec.id)).collect()
}

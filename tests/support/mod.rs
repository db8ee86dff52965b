//! What integration tests are built on: the real parts as processes, and the
//! daemon itself.
//!
//! Every part starts on loopback ports of its own in a folder of its own, is
//! waited for by a condition with a deadline, and ends with the test binary
//! whatever becomes of that. Tests are plain `#[test]` functions and may run side
//! by side. The parts come from `deploy/setup/test-parts.sh`, which `make test`
//! runs first.
//!
//! Deliberately absent: sleeping for a time and hoping, and stand-ins for parts.

#![allow(dead_code, reason = "a kit, of which not every test run uses every part")]

pub mod browser;
pub mod cpu;
pub mod daemon;
pub mod disk;
pub mod http;
pub mod kafka;
pub mod keycloak;
pub mod outcome;
pub mod parts;
pub mod process;
pub mod proxy;
pub mod published;
pub mod scenario;
pub mod smtp;
pub mod tls;
pub mod traffic;
pub mod webhook;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The parts of a benchmark that `BENCH_PARTS` names, by default `all`. None where `cargo test --benches`
/// starts it, without `--bench`, to see that it runs.
pub fn parts_to_bench(all: &str) -> Vec<String> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return Vec::new();
    }
    let chosen = std::env::var("BENCH_PARTS").unwrap_or_else(|_| all.to_owned());
    chosen.split(',').map(str::to_owned).collect()
}

/// Waits until `condition` gives a value.
///
/// # Panics
/// When the deadline passes; the message names `what` was waited for.
pub fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A new folder for one part, removed after the test binary has ended (unless
/// `BARTIZAN_TEST_KEEP` is set: then it stays for a look at its logs).
pub fn folder(name: &str) -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let root = tempfile::Builder::new().prefix("bartizan-test-").tempdir().expect("a temporary folder").keep();
        if std::env::var_os("BARTIZAN_TEST_KEEP").is_none() {
            process::sweep_folder(&root);
        }
        root
    });
    let folder = root.join(unique(name));
    std::fs::create_dir(&folder).expect("a folder for a part");
    folder
}

/// `name` with a suffix that no other call in this test binary gets, for topics,
/// groups and folders on shared parts.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{number}", std::process::id())
}

/// A loopback port that stays the caller's while nothing listens on it, so that a
/// part can be stopped and started again: it lies below the range from which the
/// system gives ports to others, and is given out once.
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(97)));
    (0..COUNT)
        .map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// A number from the environment, for what a soak may set larger than a test.
///
/// # Panics
/// When it is set and no number.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// A file beside this one.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name)
}

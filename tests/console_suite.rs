//! The console's own tests, which Node runs in Chromium against a mock of the daemon.

use std::path::Path;
use std::process::Command;

use crate::support::parts::part;

#[test]
fn the_console_passes_its_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console");
    let mut suites: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    suites.retain(|path| path.to_string_lossy().ends_with(".test.js"));
    assert!(!suites.is_empty());
    // `timeout` ends a browser that hangs, with all its processes.
    let output = Command::new("timeout")
        .args(["--kill-after=5", "480", part("NODE"), "--test", "--test-reporter=spec"])
        .args(&suites)
        .env("BARTIZAN_CHROMIUM", part("CHROMIUM"))
        .env("BARTIZAN_PLAYWRIGHT_DIR", part("PLAYWRIGHT"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

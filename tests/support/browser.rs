//! Chromium, driven by playwright-core: a list of steps in, values out.
//!
//! The steps are described in `browser.mjs`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use super::parts::part;
use super::{folder, script};

/// What a run in the browser gave.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    /// Why it stopped at a step; `None` when all were done.
    pub error: Option<String>,
    /// The value of each step that has a name; a screenshot's is its file.
    pub values: BTreeMap<String, Value>,
    /// Console messages, `level: text`.
    pub console: Vec<String>,
    /// Uncaught errors and failed requests.
    pub failures: Vec<String>,
}

impl Outcome {
    /// The file of a screenshot step.
    pub fn screenshot(&self, name: &str) -> &Path {
        let file = self.values.get(name).and_then(Value::as_str);
        Path::new(file.unwrap_or_else(|| panic!("no screenshot {name}: {self:?}")))
    }
}

/// Runs the steps in a fresh browser profile.
///
/// # Panics
/// When the browser does not start. A step that fails is in the outcome.
pub fn browse(steps: &Value) -> Outcome {
    browse_in(&folder("browser"), 1280, 800, steps)
}

/// As [`browse`], with a folder for the screenshots and a window size in pixels.
pub fn browse_in(folder: &Path, width: u32, height: u32, steps: &Value) -> Outcome {
    let input = json!({
        "playwright": part("PLAYWRIGHT"),
        "chromium": part("CHROMIUM"),
        "folder": PathBuf::from(folder),
        "width": width,
        "height": height,
        "steps": steps,
    });
    // `timeout` ends a browser that hangs, with all its processes.
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", "120", part("NODE")])
        .arg(script("browser.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node");
    let mut stdin = child.stdin.take().expect("its input");
    write!(stdin, "{input}").expect("the steps written");
    drop(stdin);
    let output = child.wait_with_output().expect("its output");
    assert!(output.status.success(), "browser: {output:?}");
    serde_json::from_slice(&output.stdout).expect("an outcome")
}

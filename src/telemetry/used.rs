//! Holds the lists of metrics, stages and health alerts against the source: what is declared is
//! recorded somewhere.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{HealthId, Stage};
use std::path::{Path, PathBuf};

/// The source without tests, white space and the files of `telemetry` that only declare.
fn sources() -> String {
    let mut folders: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !matches!(name, "tests" | "telemetry") {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                all.extend(code.chars().filter(|c| !c.is_whitespace()));
            }
        }
    }
    all
}

/// The fields of `metrics!`, less those that `Metrics` sets itself.
fn fields() -> Vec<String> {
    let own = ["build", "resident", "health_active", "log_held_back", "stage_latency"];
    let text = include_str!("metrics.rs");
    let list = text.split("\nmetrics! {\n").nth(1).unwrap().split("\n}").next().unwrap();
    let names = list.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name.trim().to_owned());
    names.filter(|name| !own.contains(&name.as_str())).collect()
}

#[test]
fn every_metric_is_set_somewhere() {
    let (sources, fields) = (sources(), fields());
    assert!(fields.len() > 30, "{fields:?}");
    let missing: Vec<_> = fields.iter().filter(|field| !sources.contains(&format!("metrics.{field}"))).collect();
    assert!(missing.is_empty(), "declared and never set: {missing:?}");
    assert!(!sources.contains("metrics.no_such_metric"));
}

#[test]
fn every_stage_is_recorded_somewhere() {
    let sources = sources();
    let missing: Vec<_> = Stage::ALL.iter().filter(|stage| !sources.contains(&format!("Stage::{stage:?}"))).collect();
    assert!(missing.is_empty(), "declared and never recorded: {missing:?}");
}

#[test]
fn every_health_alert_is_raised_somewhere() {
    let sources = sources();
    let missing: Vec<_> = HealthId::ALL.iter().filter(|id| !sources.contains(&format!("HealthId::{id:?}"))).collect();
    assert!(missing.is_empty(), "declared and never raised: {missing:?}");
}

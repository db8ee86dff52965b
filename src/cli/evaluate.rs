//! `bartizan evaluate`: the alerts of a replay against the labels of a simulation.

use super::CommandError;
use crate::simulate::{Label, ScoredAlert, score};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Lines that a file may have: both are read whole.
const LINES_MAX: usize = 5_000_000;

/// Arguments of `evaluate`.
#[derive(clap::Args)]
pub struct EvaluateArgs {
    /// Labels that `simulate` wrote
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Alerts that `replay` wrote; of several versions of one the last counts
    #[arg(long, value_name = "FILE")]
    alerts: PathBuf,
    /// Also list the ids of attacks that were missed and of alerts that no label is about
    #[arg(long)]
    list: bool,
}

/// Prints what was found, by kind of attack, and what has no label, by detector.
///
/// # Errors
/// When a file cannot be read or is not what it should be.
pub fn run(args: &EvaluateArgs) -> Result<(), CommandError> {
    let labels: Vec<Label> = read_lines(&args.labels)?;
    let alerts: Vec<ScoredAlert> = read_lines(&args.alerts)?;
    let result = score(&labels, &alerts);
    print!("{result}");
    if args.list {
        result.missed().iter().for_each(|id| println!("missed {id}"));
        result.unlabelled().iter().for_each(|id| println!("no label for alert {id}"));
    }
    Ok(())
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, CommandError> {
    let failed = |error: String| CommandError::Failed(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut items = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| failed(error.to_string()))?;
        if index >= LINES_MAX {
            return Err(failed(format!("more than {LINES_MAX} lines")));
        }
        if !line.trim().is_empty() {
            items.push(serde_json::from_str(&line).map_err(|error| failed(format!("line {}: {error}", index + 1)))?);
        }
    }
    Ok(items)
}

//! `bartizan simulate`: labelled traffic in the native format.

use super::CommandError;
use crate::evaluate::attacks_looked_for;
use crate::simulate::{Attack, DAYS_MAX, Label, Simulation, SimulationConfig};
use bartizan_core::time::TimeMs;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes collected before they are written.
const CHUNK_BYTES: usize = 256 * 1024;
/// Lines between two looks at the labels and the progress bar.
const STEP_LINES: u64 = 4_096;
/// Event time of the beginning, unless another is named.
pub(super) const START: &str = "2026-06-01T00:00:00Z";

/// Arguments of `simulate`.
#[derive(clap::Args)]
pub struct SimulateArgs {
    /// Seed: the same seed and arguments give the same bytes
    #[arg(long, value_name = "N")]
    seed: u64,
    /// How many lines to write (a few of them are repeated deliveries)
    #[arg(long, value_name = "N")]
    events: u64,
    /// Where the events go, as JSON Lines; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where the labels go, as JSON Lines: one for each attack and each awkward innocent happening
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Event time of the beginning
    #[arg(long, value_name = "RFC3339", default_value = START, value_parser = parse_time)]
    start: TimeMs,
    /// Days to cover [default: 3 below 50,000 events, 7 below a million, else 14]
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    days: Option<u32>,
    /// Only attacks of this kind; can be given several times [default: those that a detector of the
    /// catalogue looks for; others happen only if named]
    #[arg(long = "attack", value_name = "KIND", value_parser = parse_kind)]
    attacks: Vec<&'static str>,
}

pub(super) fn parse_time(text: &str) -> Result<TimeMs, String> {
    TimeMs::parse(text).ok_or_else(|| "not an RFC 3339 time, like 2026-06-01T00:00:00Z".to_owned())
}

fn parse_kind(text: &str) -> Result<&'static str, String> {
    let mut kinds: Vec<&'static str> = Attack::ALL.iter().map(|attack| attack.kind()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.iter().find(|kind| **kind == text).copied().ok_or_else(|| format!("not one of {}", kinds.join(", ")))
}

/// Writes the traffic and its labels.
///
/// # Errors
/// When a file cannot be made or written.
pub fn run(args: SimulateArgs) -> Result<(), CommandError> {
    let attacks = if args.attacks.is_empty() {
        attacks_looked_for()
    } else {
        Attack::ALL.into_iter().filter(|attack| args.attacks.contains(&attack.kind())).collect()
    };
    let config = SimulationConfig {
        seed: args.seed,
        events: args.events,
        start_ms: args.start.0,
        days: args.days.unwrap_or_else(|| SimulationConfig::days_for(args.events)),
        attacks,
    };
    let mut out = create(&args.out)?;
    let mut labels = create(&args.labels)?;
    let result = write_all(config, &mut out, &mut labels);
    match result {
        // Whoever read the pipe has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(CommandError::failed),
    }
}

fn create(path: &Path) -> Result<Box<dyn Write>, CommandError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout().lock()));
    }
    let file = File::create(path).map_err(|error| CommandError::Failed(format!("{}: {error}", path.display())))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn write_all(config: SimulationConfig, out: &mut dyn Write, labels: &mut dyn Write) -> io::Result<()> {
    let progress = progress_bar(config.events);
    let mut simulation = Simulation::new(config);
    let mut lines = String::with_capacity(CHUNK_BYTES + 1_024);
    let mut given = 0;
    while simulation.next_event(&mut lines) {
        lines.push('\n');
        given += 1;
        if lines.len() >= CHUNK_BYTES {
            out.write_all(lines.as_bytes())?;
            lines.clear();
        }
        if given % STEP_LINES == 0 {
            write_labels(&simulation.take_labels(), labels)?;
            progress.set_position(given);
        }
    }
    out.write_all(lines.as_bytes())?;
    write_labels(&simulation.finish(), labels)?;
    progress.finish_and_clear();
    out.flush()?;
    labels.flush()
}

fn write_labels(complete: &[Label], out: &mut dyn Write) -> io::Result<()> {
    for label in complete {
        serde_json::to_writer(&mut *out, label)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Drawn on a terminal only.
fn progress_bar(events: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} events, {per_sec}, {eta} left");
    let bar = ProgressBar::new(events);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

//! `bartizan replay`: judges log files offline, through the daemon's own code.
//!
//! No server, no clock, no state from before: the same input and configuration give the same bytes.

use super::input::Inputs;
use super::normalise::InputArgs;
use super::{CommandError, load_values};
use crate::alert::Alert;
use crate::alert::ocsf::DetectionFinding;
use crate::app;
use crate::config::Config;
use crate::detect::Enabled;
use crate::detect::engine::Engine;
use crate::flow::EventFlow;
use crate::normalise::Normaliser;
use bartizan_core::{EventBatch, KeyHasher};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `replay`.
#[derive(clap::Args)]
pub struct ReplayArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the alerts to this file [default: standard output]
    #[arg(long, value_name = "PATH")]
    alerts: Option<PathBuf>,
    /// Form of the alerts
    #[arg(long, value_name = "FORM", value_enum, default_value_t = AlertsFormat::Bartizan)]
    alerts_format: AlertsFormat,
    #[command(flatten)]
    input: InputArgs,
}

/// Forms in which alerts are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum AlertsFormat {
    /// As everywhere in Bartizan
    Bartizan,
    /// OCSF Detection Findings (class 2004)
    Ocsf,
}

impl AlertsFormat {
    fn write(self, alert: &Alert, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bartizan => serde_json::to_writer(&mut *out, alert)?,
            Self::Ocsf => serde_json::to_writer(&mut *out, &DetectionFinding::of(alert))?,
        }
        out.write_all(b"\n")
    }
}

/// What came out.
#[derive(Default)]
struct Summary {
    late: u64,
    repeated: u64,
    opened: BTreeMap<String, u64>,
    disabled: Vec<&'static str>,
    /// Bytes of state at the end, and keys that were forgotten for want of room, by detector.
    state_bytes: usize,
    forgotten: Vec<(&'static str, u64)>,
}

/// Judges the inputs.
///
/// # Errors
/// Wrong configuration, an input that cannot be read to its end, an output that cannot be written.
pub fn run(args: &ReplayArgs) -> Result<(), CommandError> {
    let mut config = load_values(args.config.as_deref())?;
    args.input.apply(&mut config.normalise);
    let token_key = app::token_key_of(&config).map_err(CommandError::wrong)?.unwrap_or([0; 32]);
    let normaliser = Normaliser::new(&config.normalise, &crate::normalise::TokenKey(token_key)).map_err(CommandError::wrong)?;
    let started = Instant::now();
    let mut inputs = Inputs::open(&args.input, &normaliser).map_err(CommandError::failed)?;
    let alerts: Box<dyn Write> = match &args.alerts {
        Some(path) => Box::new(File::create(path).map_err(|error| CommandError::failed(format!("{}: {error}", path.display())))?),
        None => Box::new(io::stdout().lock()),
    };
    let summary = match judge(&config, &mut inputs, args.alerts_format, BufWriter::new(alerts)) {
        Ok(summary) => summary,
        // Whoever read the alerts has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(CommandError::failed(error)),
    };
    summary.print(&inputs, started.elapsed().as_secs_f64());
    if !inputs.whole {
        return Err(CommandError::failed("not every input could be read to its end"));
    }
    if !summary.disabled.is_empty() {
        return Err(CommandError::failed(format!("detectors failed and were switched off: {}", summary.disabled.join(", "))));
    }
    Ok(())
}

fn judge(config: &Config, inputs: &mut Inputs<'_>, format: AlertsFormat, mut out: BufWriter<Box<dyn Write>>) -> io::Result<Summary> {
    let enabled = Enabled::new(bartizan_catalogue::all(), &config.detectors).map_err(|errors| io::Error::other(errors.join("\n")))?;
    let mut engine = Engine::new(&config.detect, &enabled, KeyHasher::new([0; 16]));
    let (enricher, problems) = app::open_enricher(config);
    for problem in problems {
        tracing::warn!(%problem, "place file not usable");
    }
    let mut cache = enricher.cache();
    let progress = progress();
    let mut summary = Summary::default();
    let mut events = EventBatch::default();
    loop {
        inputs.next_batch(&mut events)?;
        if events.is_empty() {
            break;
        }
        let mut flow = EventFlow::replayed(events, engine.next_seq());
        enricher.enrich(&mut flow.events, &mut cache);
        let outcome = engine.process(&mut flow);
        summary.late += outcome.late;
        summary.repeated += outcome.repeated;
        summary.disabled.extend(outcome.disabled);
        for alert in &outcome.alerts {
            if alert.version == 1 {
                *summary.opened.entry(alert.detector.clone()).or_default() += 1;
            }
            format.write(alert, &mut out)?;
        }
        progress.set_position(inputs.counts.events);
        events = flow.events;
    }
    progress.finish_and_clear();
    summary.state_bytes = engine.state_bytes();
    summary.forgotten = engine.state_keys().into_iter().map(|(id, _, evicted)| (id, evicted)).filter(|(_, evicted)| *evicted > 0).collect();
    out.flush()?;
    inputs.finish()?;
    Ok(summary)
}

fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} events, {per_sec}, {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

impl Summary {
    fn print(&self, inputs: &Inputs<'_>, seconds: f64) {
        let counts = inputs.counts;
        let rate = counts.events as f64 / seconds.max(1e-9);
        eprintln!("events     {} ({} late, {} repeated)", counts.events, self.late, self.repeated);
        eprintln!("rejected   {}", counts.rejected);
        eprintln!("skipped    {}", counts.skipped);
        eprintln!("alerts     {}", self.opened.values().sum::<u64>());
        for (detector, count) in &self.opened {
            eprintln!("           {count} {detector}");
        }
        eprintln!("state      {} bytes", self.state_bytes);
        for (detector, keys) in &self.forgotten {
            eprintln!("           {keys} keys of {detector} forgotten for want of room");
        }
        eprintln!("seconds    {seconds:.3}");
        eprintln!("events/s   {rate:.0}");
    }
}

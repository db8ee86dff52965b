//! `bartizan replay`: judges log files offline, through the daemon's own code.
//!
//! No server, no clock, no state from before: the same input and configuration give the same bytes. The exception
//! is what `export` wrote: that holds a state to begin with, and is judged again as the daemon did.

use super::ahead::{Ahead, Means};
use super::input::{Inputs, Single};
use super::normalise::{Counts, InputArgs};
use super::{CommandError, load_values};
use crate::alert::Alert;
use crate::alert::ocsf::DetectionFinding;
use crate::app;
use crate::config::Config;
use crate::detect::checkpoint::Saved;
use crate::detect::offline::{Offline, Totals};
use crate::enrich::Enricher;
use crate::incident::Again;
use crate::log::recording;
use crate::normalise::{Normaliser, TokenKey};
use crate::pipeline::prepare::Preparer;
use crate::suppress::Lists;
use crate::teach::Lessons;
use bartizan_core::{EventBatch, KeyHasher};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    counts: Counts,
    totals: Totals,
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
    let recording = match args.input.inputs.as_slice() {
        [only] => Some(only).filter(|path| recording::is_recording(path)),
        _ => None,
    };
    let token_key = match recording {
        Some(_) => app::installed_token_key(&config).map_err(CommandError::wrong)?,
        None => app::token_key_of(&config).map_err(CommandError::wrong)?.map(TokenKey),
    };
    let normaliser = Normaliser::new(&config.normalise, &token_key.unwrap_or(TokenKey([0; 32]))).map_err(CommandError::wrong)?;
    let started = Instant::now();
    let alerts: Box<dyn Write> = match &args.alerts {
        Some(path) => Box::new(File::create(path).map_err(|error| CommandError::failed(format!("{}: {error}", path.display())))?),
        None => Box::new(io::stdout().lock()),
    };
    let out = BufWriter::new(alerts);
    let (judged, whole) = match recording {
        Some(path) => (judge_recording(&config, path, normaliser, args.alerts_format, out), true),
        None => {
            let mut inputs = Inputs::open(&args.input, &normaliser).map_err(CommandError::failed)?;
            (judge(&config, &mut inputs, args.alerts_format, out), inputs.whole)
        }
    };
    let summary = match judged {
        Ok(summary) => summary,
        // Whoever read the alerts has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(CommandError::failed(error)),
    };
    summary.print(started.elapsed().as_secs_f64());
    if !whole {
        return Err(CommandError::failed("not every input could be read to its end"));
    }
    let disabled = &summary.totals.disabled;
    if !disabled.is_empty() {
        return Err(CommandError::failed(format!("detectors failed and were switched off: {}", disabled.join(", "))));
    }
    Ok(())
}

/// Judges again what the daemon judged, from the state with which that began.
fn judge_recording(
    config: &Config,
    path: &Path,
    normaliser: Normaliser,
    format: AlertsFormat,
    out: BufWriter<Box<dyn Write>>,
) -> io::Result<Summary> {
    let (mut recording, head) = recording::Reader::open(path).map_err(io::Error::other)?;
    let mut formats = app::own_formats();
    for (topic, format) in head.formats {
        formats.insert(topic.into(), format.parse().map_err(io::Error::other)?);
    }
    let (normaliser, enricher) = (Arc::new(normaliser), Arc::new(app::find_places(config, enricher(config))));
    let suppressions = Arc::new(Lists::fixed(head.suppressions));
    let preparer = Preparer::new(normaliser, enricher, formats, head.retention_ms);
    let preparer = preparer.with_suppressions(Arc::clone(&suppressions));
    let mut preparer = preparer.with_lessons(Arc::new(Lessons::fixed(head.lessons)));
    let mut judge = Judge::new(config, KeyHasher::new(head.state_key), format, out)?;
    let incidents = Again::new(&config.incidents).map_err(io::Error::other)?;
    let mut checkpoint = Vec::new();
    if recording.checkpoint(&mut checkpoint).map_err(io::Error::other)? {
        let saved = Saved::of(path, Box::new(io::Cursor::new(checkpoint)));
        let afresh = saved.and_then(|saved| judge.offline.engine.restore(saved)).map_err(io::Error::other)?;
        preparer.go_on_with(judge.offline.engine.in_force());
        judge.offline.engine = judge.offline.engine.with_suppressions(&suppressions);
        if !afresh.is_empty() {
            tracing::warn!(detectors = afresh.join(","), "detectors start without state, as this version keeps it differently");
        }
    }
    while let Some(batch) = recording.entry().map_err(io::Error::other)? {
        let mut flow = preparer.normalise(batch);
        judge.summary.counts.rejected += flow.rejected.len() as u64;
        judge.summary.counts.skipped += flow.ignored;
        judge.summary.counts.events += flow.stored() as u64;
        preparer.enrich(&mut flow);
        let mut alerts = judge.offline.flow(&mut flow);
        incidents.join(&mut alerts).map_err(io::Error::other)?;
        judge.write(&alerts)?;
    }
    judge.finish()
}

/// Reads the place files, and warns of those that cannot be used.
pub(super) fn enricher(config: &Config) -> Enricher {
    let (enricher, problems) = app::open_enricher(config);
    for problem in problems {
        tracing::warn!(%problem, "place file not usable");
    }
    enricher
}

fn judge(config: &Config, inputs: &mut Inputs<'_>, format: AlertsFormat, out: BufWriter<Box<dyn Write>>) -> io::Result<Summary> {
    let (enricher, hasher) = (enricher(config), KeyHasher::new([0; 16]));
    let mut judge = Judge::new(config, hasher, format, out)?;
    match if config.detect.threads > 1 { inputs.take_single() } else { None } {
        Some(single) => judge.on_threads(config.detect.threads, single, inputs, &enricher, &hasher)?,
        None => judge.on_one_thread(inputs, &enricher, &hasher)?,
    }
    inputs.finish()?;
    judge.summary.counts = inputs.counts;
    judge.finish()
}

/// Judges batches and writes what comes of them.
struct Judge {
    offline: Offline,
    format: AlertsFormat,
    out: BufWriter<Box<dyn Write>>,
    progress: ProgressBar,
    summary: Summary,
}

impl Judge {
    fn new(config: &Config, hasher: KeyHasher, format: AlertsFormat, out: BufWriter<Box<dyn Write>>) -> io::Result<Self> {
        let offline = Offline::new(config, hasher).map_err(io::Error::other)?;
        Ok(Self { offline, format, out, progress: progress(), summary: Summary::default() })
    }

    fn on_one_thread(&mut self, inputs: &mut Inputs<'_>, enricher: &Enricher, hasher: &KeyHasher) -> io::Result<()> {
        let (mut cache, mut events) = (enricher.cache(), EventBatch::default());
        loop {
            inputs.next_batch(&mut events)?;
            if events.is_empty() {
                return Ok(());
            }
            enricher.enrich(&mut events, &mut cache);
            events.hash_keys(hasher);
            events = self.batch(events)?;
            self.progress.set_position(inputs.counts.events);
        }
    }

    /// One thread detects, and prepares when it would have to wait; the others prepare.
    fn on_threads(
        &mut self,
        threads: usize,
        single: Single,
        inputs: &mut Inputs<'_>,
        enricher: &Enricher,
        hasher: &KeyHasher,
    ) -> io::Result<()> {
        let name = single.reader.name().to_owned();
        let (normaliser, format) = (inputs.normaliser(), inputs.format());
        let means = Means { normaliser, format, reference_ms: single.reference_ms, input: single.number, enricher, hasher };
        let ahead = Ahead::new(single.reader, means, threads);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| ahead.help());
            }
            let mut cache = enricher.cache();
            let mut detect = || {
                while let Some(mut piece) = ahead.next(&mut cache) {
                    inputs.count(&name, &piece)?;
                    piece.events = self.batch(std::mem::take(&mut piece.events))?;
                    self.progress.set_position(inputs.counts.events);
                    ahead.give_back(piece);
                }
                Ok(())
            };
            let detected = detect();
            ahead.end();
            detected
        })
    }

    /// Judges a batch and gives its memory back.
    fn batch(&mut self, events: EventBatch) -> io::Result<EventBatch> {
        let (events, alerts) = self.offline.batch(events);
        self.write(&alerts)?;
        Ok(events)
    }

    fn write(&mut self, alerts: &[Alert]) -> io::Result<()> {
        alerts.iter().try_for_each(|alert| self.format.write(alert, &mut self.out))
    }

    fn finish(mut self) -> io::Result<Summary> {
        self.progress.finish_and_clear();
        self.out.flush()?;
        self.summary.state_bytes = self.offline.engine.state_bytes();
        let keys = self.offline.engine.state_keys().into_iter();
        self.summary.forgotten = keys.map(|(id, _, evicted)| (id, evicted)).filter(|(_, evicted)| *evicted > 0).collect();
        self.summary.totals = self.offline.totals;
        Ok(self.summary)
    }
}

fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} events, {per_sec}, {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

impl Summary {
    fn print(&self, seconds: f64) {
        let (counts, totals) = (self.counts, &self.totals);
        let rate = counts.events as f64 / seconds.max(1e-9);
        eprintln!("events     {} ({} late, {} repeated)", counts.events, totals.late, totals.repeated);
        eprintln!("rejected   {}", counts.rejected);
        eprintln!("skipped    {}", counts.skipped);
        eprintln!("alerts     {}", totals.opened.values().sum::<u64>());
        for (detector, count) in &totals.opened {
            eprintln!("           {count} {detector}");
        }
        if totals.closed_early > 0 {
            eprintln!("           {} closed early for want of room", totals.closed_early);
        }
        eprintln!("state      {} bytes", self.state_bytes);
        for (detector, keys) in &self.forgotten {
            eprintln!("           {keys} keys of {detector} forgotten for want of room");
        }
        eprintln!("seconds    {seconds:.3}");
        eprintln!("events/s   {rate:.0}");
    }
}

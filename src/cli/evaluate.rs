//! `bartizan evaluate`: what the detectors find of simulated attacks, and whom they accuse wrongly. Either the alerts
//! of a replay against the labels of a simulation, or whole seeds, simulated and judged in memory.

use super::input::Inputs;
use super::normalise::InputArgs;
use super::simulate::{START, parse_time};
use super::{CommandError, load_values, print, replay};
use crate::alert::Alert;
use crate::app;
use crate::evaluate::{Ablation, Cases, Group, Report, Score, SignIns, Workbench, attacks_looked_for, score};
use crate::normalise::{Format, Normaliser, TokenKey};
use crate::simulate::{DAYS_MAX, Label, SimulationConfig};
use bartizan_core::{EventBatch, KeyHasher};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Lines that a file of labels or alerts may have.
const LINES_MAX: usize = 5_000_000;
/// Seeds of one evaluation: the sums of each are kept.
const SEEDS_MAX: u64 = 10_000;

/// Arguments of `evaluate`.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["labels", "seeds"])))]
pub struct EvaluateArgs {
    /// Labels that `simulate` wrote
    #[arg(long, value_name = "FILE", requires = "alerts")]
    labels: Option<PathBuf>,
    /// Alerts that `replay` wrote of its events
    #[arg(long, value_name = "FILE", requires = "labels")]
    alerts: Option<PathBuf>,
    /// The events themselves, to tell rates per 100,000 sign-ins
    #[arg(long, value_name = "FILE", requires = "labels")]
    events: Option<PathBuf>,
    /// Simulates and judges these seeds instead of reading files: one, or a range like 901..=910
    #[arg(long, value_name = "A..=B", value_parser = parse_seeds)]
    seeds: Option<RangeInclusive<u64>>,
    /// Events of each seed
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    events_per_seed: u64,
    /// Days that each seed covers
    #[arg(long, value_name = "D", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    days: u32,
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Switch this detector off; can be given several times
    #[arg(long, value_name = "DETECTOR", requires = "seeds", value_parser = parse_detector)]
    without: Vec<&'static str>,
    /// Score the same traffic without each detector, gate, rule and piece of evidence in turn, and say what that
    /// changes; of some groups alone if named
    #[arg(
        long,
        value_name = "GROUP,...",
        requires = "seeds",
        value_enum,
        value_delimiter = ',',
        num_args = 0..,
        require_equals = true,
        default_missing_value = "detectors,gates,rules,evidence",
        conflicts_with_all = ["list", "evade", "FLOORS"]
    )]
    ablate: Option<Vec<Group>>,
    /// Search how much a day an attacker gets away with who knows the defaults, by strategy; of those alone whose name
    /// begins so
    #[arg(
        long,
        value_name = "STRATEGY",
        requires = "seeds",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with_all = ["labels", "list", "FLOORS"]
    )]
    evade: Option<String>,
    #[command(flatten)]
    floors: Floors,
    /// Write the same as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also list the single attacks that were missed, or told too low, and the false alerts
    #[arg(long)]
    list: bool,
}

/// What must be reached over everything that is evaluated; else the exit code is 1.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "FLOORS", multiple = true)]
struct Floors {
    /// Least part of all attacks that is found
    #[arg(long, value_name = "PART")]
    floor_recall: Option<f64>,
    /// Least part that is found of each kind and variant of attack
    #[arg(long, value_name = "PART")]
    floor_kind: Option<f64>,
    /// Least part that is told at high or above, of attacks in which somebody got in
    #[arg(long, value_name = "PART")]
    floor_hits: Option<f64>,
    /// Most false alerts per 100,000 sign-ins
    #[arg(long, value_name = "N")]
    max_false: Option<f64>,
    /// Most alerts below medium per 100,000 sign-ins
    #[arg(long, value_name = "N")]
    max_low: Option<f64>,
}

impl Floors {
    /// One line for each that is missed.
    fn missed(&self, report: &Report) -> Vec<String> {
        let total = &report.total;
        let kind = report.worst_kind();
        let kind_name = kind.map_or_else(String::new, |(name, _)| format!(" of {name}"));
        let floors = [
            (self.floor_recall, total.recall, "recall".to_owned(), "--floor-recall"),
            (self.floor_kind, kind.map(|(_, recall)| recall), format!("recall{kind_name}"), "--floor-kind"),
            (self.floor_hits, total.hits_recall, "hits told at high".to_owned(), "--floor-hits"),
        ];
        let limits = [
            (self.max_false, total.false_rate, "false alerts per 100,000 sign-ins", "--max-false"),
            (self.max_low, total.low_rate, "alerts below medium per 100,000 sign-ins", "--max-low"),
        ];
        let below = floors.into_iter().filter_map(|(floor, reached, what, flag)| match (floor?, reached) {
            (floor, Some(reached)) if reached >= floor => None,
            (floor, Some(reached)) => Some(format!("{flag} missed: {what} is {reached:.3}, below {floor}")),
            (_, None) => Some(format!("{flag} missed: {what} is not known")),
        });
        let above = limits.into_iter().filter_map(|(limit, reached, what, flag)| match (limit?, reached) {
            (limit, Some(reached)) if reached <= limit => None,
            (limit, Some(reached)) => Some(format!("{flag} missed: {what} are {reached:.1}, above {limit}")),
            (_, None) => Some(format!("{flag} missed: {what} are not known")),
        });
        below.chain(above).collect()
    }
}

fn parse_seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once("..=").unwrap_or((text, text));
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last && last - first < SEEDS_MAX => Ok(first..=last),
        (Ok(_), Ok(_)) => Err(format!("must be from one seed to a later one, {SEEDS_MAX} at most")),
        _ => Err("not a seed like 901, nor a range like 901..=910".to_owned()),
    }
}

fn parse_detector(text: &str) -> Result<&'static str, String> {
    bartizan_catalogue::find(text).map(|spec| spec.id).ok_or_else(|| "there is no such detector".to_owned())
}

/// Prints what was found by kind of attack, what was raised by detector, whom it touched, and the sums; or what each part
/// is worth, or what is missed by design.
///
/// # Errors
/// A file that cannot be read or is not what it should be, a wrong configuration, a floor that is missed.
pub fn run(args: &EvaluateArgs) -> Result<(), CommandError> {
    let mut config = load_values(args.config.as_deref())?;
    for id in &args.without {
        config.detectors.entry((*id).to_owned()).or_default().insert("enabled".to_owned(), false.into());
    }
    let token_key = app::token_key_of(&config).map_err(CommandError::wrong)?.unwrap_or([0; 32]);
    let normaliser = Normaliser::new(&config.normalise, &TokenKey(token_key)).map_err(CommandError::wrong)?;
    let scores = match (&args.seeds, &args.labels, &args.alerts) {
        (Some(seeds), _, _) => {
            let enricher = replay::enricher(&config);
            let bench = Workbench::new(config, normaliser, enricher);
            if let Some(groups) = &args.ablate {
                let ablation = Ablation::of(of_seeds(args, seeds, |simulated| bench.ablate(simulated, groups))?);
                return tell(args, &ablation.to_string(), &ablation);
            }
            if let Some(prefix) = &args.evade {
                let evasions = of_seeds(args, seeds, |simulated| bench.evade(simulated, prefix))?;
                let text: String = evasions.iter().map(|evasions| format!("{evasions}\n")).collect();
                return tell(args, &text, &evasions);
            }
            of_seeds(args, seeds, |simulated| bench.score(simulated))?
        }
        (None, Some(labels), Some(alerts)) => vec![of_files(labels, alerts, args.events.as_deref(), &normaliser)?],
        _ => return Err(CommandError::wrong("either --seeds, or --labels and --alerts")),
    };
    let report = Report::of(scores);
    let list = if args.list { report.list() } else { String::new() };
    tell(args, &format!("{report}{list}"), &report)?;
    let missed = args.floors.missed(&report);
    if missed.is_empty() { Ok(()) } else { Err(CommandError::failed(missed.join("\n"))) }
}

/// Prints it, and writes it as JSON where that is asked for.
fn tell(args: &EvaluateArgs, text: &str, json: &impl Serialize) -> Result<(), CommandError> {
    print(text.trim_end())?;
    args.json
        .as_ref()
        .map_or(Ok(()), |path| write_json(path, json).map_err(|error| CommandError::failed(format!("{}: {error}", path.display()))))
}

/// Does the same with the simulation of each seed.
fn of_seeds<T>(
    args: &EvaluateArgs,
    seeds: &RangeInclusive<u64>,
    evaluate: impl Fn(SimulationConfig) -> Result<T, String>,
) -> Result<Vec<T>, CommandError> {
    let start_ms = parse_time(START).map_err(CommandError::wrong)?.0;
    let attacks = attacks_looked_for();
    let mut results = Vec::new();
    for seed in seeds.clone() {
        let simulated = SimulationConfig { seed, events: args.events_per_seed, start_ms, days: args.days, attacks: attacks.clone() };
        results.push(evaluate(simulated).map_err(CommandError::failed)?);
        tracing::info!(seed, "seed evaluated");
    }
    Ok(results)
}

fn of_files(labels: &Path, alerts: &Path, events: Option<&Path>, normaliser: &Normaliser) -> Result<Score, CommandError> {
    let (mut all, mut cases) = (Vec::<Label>::new(), Cases::default());
    each_line(labels, |label| all.push(label))?;
    each_line(alerts, |alert: Alert| cases.add(&alert))?;
    let sign_ins = events.map(|path| sign_ins_of(path, normaliser)).transpose()?;
    Ok(score(None, &all, &cases, sign_ins.as_ref()))
}

fn sign_ins_of(path: &Path, normaliser: &Normaliser) -> Result<SignIns, CommandError> {
    let args = InputArgs { format: Format::BARTIZAN, rejects: None, assume_year: None, assume_zone: None, inputs: vec![path.to_owned()] };
    let mut inputs = Inputs::open(&args, normaliser).map_err(CommandError::failed)?;
    let (mut sign_ins, mut events, hasher) = (SignIns::default(), EventBatch::default(), KeyHasher::new([0; 16]));
    loop {
        inputs.next_batch(&mut events).map_err(CommandError::failed)?;
        if events.is_empty() {
            break;
        }
        events.hash_keys(&hasher);
        sign_ins.see(&events);
    }
    match (inputs.whole, inputs.counts.rejected) {
        (true, 0) => Ok(sign_ins),
        (true, rejected) => Err(CommandError::failed(format!("{}: {rejected} lines are no events", path.display()))),
        (false, _) => Err(CommandError::failed(format!("{}: cannot be read to its end", path.display()))),
    }
}

/// Hands out each line of a file that is not empty, read as JSON.
fn each_line<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Result<(), CommandError> {
    let failed = |error: String| CommandError::Failed(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| failed(error.to_string()))?;
        if index >= LINES_MAX {
            return Err(failed(format!("more than {LINES_MAX} lines")));
        }
        if !line.trim().is_empty() {
            take(serde_json::from_str(&line).map_err(|error| failed(format!("line {}: {error}", index + 1)))?);
        }
    }
    Ok(())
}

fn write_json(path: &Path, report: &impl Serialize) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    serde_json::to_writer_pretty(&mut out, report)?;
    out.write_all(b"\n")?;
    out.flush()
}

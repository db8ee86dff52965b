//! `bartizan normalise`: shows what a log becomes.
//!
//! Native events go to standard output as JSON Lines, each with the number of its input line; lines that
//! are rejected go with their reason to `--rejects`, or are only counted. The same code as in the daemon
//! and in `replay` reads them, but any time is taken.

use crate::ingest::files::{Limits, Line, LineReader};
use crate::normalise::{Context, Format, NormaliseConfig, Normaliser, Reject, RejectCode, to_native_json};
use base64::Engine as _;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes of a rejected line that are told.
pub const RAW_BYTES_MAX: usize = 64 * 1024;

/// Flags that `normalise` and `replay` share.
#[derive(Clone, Debug, clap::Args)]
pub struct InputArgs {
    /// Format of the input; `auto` recognises it record by record
    #[arg(long, value_name = "F", default_value = "auto")]
    pub format: Format,
    /// Write rejected lines with their reason to this file, as JSON Lines
    #[arg(long, value_name = "PATH")]
    pub rejects: Option<PathBuf>,
    /// Year of times without one [default: the newest in which they are not in the future]
    #[arg(long, value_name = "Y")]
    pub assume_year: Option<i16>,
    /// Zone of times without one: a name like Europe/Berlin, or an offset like +02:00 [default: UTC]
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub assume_zone: Option<String>,
    /// Files to read, gzip and zstd unpacked; `-` is standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
}

impl InputArgs {
    /// Lets the flags override the configuration.
    pub fn apply(&self, config: &mut NormaliseConfig) {
        config.assume_year = self.assume_year.or(config.assume_year);
        if self.assume_zone.is_some() {
            config.assume_zone.clone_from(&self.assume_zone);
        }
    }
}

/// Arguments of `bartizan normalise`.
#[derive(Clone, Debug, clap::Args)]
pub struct NormaliseArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to read.
    #[command(flatten)]
    pub input: InputArgs,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that became events.
    pub events: u64,
    /// Sound lines with nothing to see.
    pub skipped: u64,
    /// Lines that broke a rule.
    pub rejected: u64,
}

/// One rejected line as `--rejects` tells it. `raw` is the line; where it is not UTF-8, `raw_base64` is.
#[derive(Serialize)]
struct Rejected<'a> {
    input: &'a str,
    line: u64,
    code: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
    /// Length of the line, where only its beginning is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_bytes: Option<u64>,
}

/// Where rejected lines go.
pub struct Rejects(Option<BufWriter<File>>);

impl Rejects {
    /// Opens the file, if one is named.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        path.map(File::create).transpose().map(|file| Self(file.map(BufWriter::new)))
    }

    /// Writes one rejected line.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&mut self, input: &str, line: &Line<'_>, reject: &Reject) -> io::Result<()> {
        let Some(out) = &mut self.0 else { return Ok(()) };
        let shown = line.bytes.get(..RAW_BYTES_MAX).unwrap_or(line.bytes);
        // A cut may fall into a character: then the valid part is told, if that is why it is not UTF-8.
        let raw = match std::str::from_utf8(shown) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() && shown.len() < line.bytes.len() => {
                shown.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok())
            }
            Err(_) => None,
        };
        let whole = line.skipped_bytes.unwrap_or(line.bytes.len() as u64);
        let rejected = Rejected {
            input,
            line: line.number,
            code: reject.code.as_str(),
            reason: &reject.reason,
            raw,
            raw_base64: raw.is_none().then(|| base64::engine::general_purpose::STANDARD.encode(shown)),
            raw_bytes: (whole > shown.len() as u64).then_some(whole),
        };
        serde_json::to_writer(&mut *out, &rejected)?;
        out.write_all(b"\n")
    }

    /// Writes out what is still in memory.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn finish(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// The reject of a line that the reader skipped.
#[must_use]
pub fn too_long(line_bytes_max: usize) -> Reject {
    Reject::new(RejectCode::TooLarge, format!("the record is longer than {line_bytes_max} bytes"))
}

/// Runs the command. An input that cannot be read to its end makes the exit status 1, after the others
/// were read; so does an output that cannot be written. A reader that closes the pipe ends it quietly.
///
/// # Errors
/// When standard output or the file of rejects cannot be written.
pub fn run(args: &NormaliseArgs, normaliser: &Normaliser) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 * 1024, io::stdout().lock());
    match run_to(&args.input, normaliser, &mut out) {
        Ok((counts, whole)) => {
            tracing::info!(events = counts.events, skipped = counts.skipped, rejected = counts.rejected, "input normalised");
            if whole { Ok(()) } else { Err(io::Error::other("not every input could be read to its end")) }
        }
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error),
    }
}

fn run_to(args: &InputArgs, normaliser: &Normaliser, out: &mut impl Write) -> io::Result<(Counts, bool)> {
    let mut rejects = Rejects::open(args.rejects.as_deref())
        .map_err(|error| io::Error::new(error.kind(), format!("--rejects: {error}")))?;
    let (mut counts, mut whole) = (Counts::default(), true);
    for (index, path) in args.inputs.iter().enumerate() {
        let limits = Limits { line_bytes_max: normaliser.record_bytes_max(), ..Limits::default() };
        match LineReader::open(path, limits) {
            Ok(mut reader) => {
                let mut run = Run { normaliser, format: args.format, rejects: &mut rejects, counts: &mut counts };
                whole &= run.input(index + 1, &mut reader, out)?;
            }
            Err(error) => {
                tracing::error!(input = %path.display(), %error, "input cannot be read");
                whole = false;
            }
        }
    }
    out.flush()?;
    rejects.finish()?;
    Ok((counts, whole))
}

struct Run<'r> {
    normaliser: &'r Normaliser,
    format: Format,
    rejects: &'r mut Rejects,
    counts: &'r mut Counts,
}

impl Run<'_> {
    /// Reads one input to its end; `false` if it broke off.
    fn input(&mut self, index: usize, reader: &mut LineReader, out: &mut impl Write) -> io::Result<bool> {
        let name = reader.name().to_owned();
        let reference_ms = reader.modified_ms().unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
        let mut json = Vec::new();
        loop {
            let line = match reader.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(true),
                Err(error) => {
                    tracing::error!(input = %name, %error, "input breaks off");
                    return Ok(false);
                }
            };
            let default_id = format!("{index}:{}", line.number);
            let context = Context { default_id: &default_id, tenant: None, window: None, reference_ms };
            let result = match line.skipped_bytes {
                Some(_) => Err(too_long(self.normaliser.record_bytes_max())),
                None => self.normaliser.normalise(self.format, line.bytes, &context),
            };
            match result {
                Ok(Some(draft)) => {
                    self.counts.events += 1;
                    json.clear();
                    to_native_json(&draft, Some(line.number), &mut json);
                    json.push(b'\n');
                    out.write_all(&json)?;
                }
                Ok(None) => self.counts.skipped += 1,
                Err(reject) => {
                    self.counts.rejected += 1;
                    self.rejects.write(&name, &line, &reject)?;
                }
            }
        }
    }
}

//! `bartizan normalise`: shows what a log becomes.
//!
//! Native events go to standard output as JSON Lines, each with the number of its input line; lines that
//! are rejected go with their reason to `--rejects`, or are only counted. The same code as in the daemon
//! and in `replay` reads them, but any time is taken.

use crate::ingest::files::{Limits, Line, LineReader};
use crate::normalise::{Context, Format, NormaliseConfig, Normaliser, Reject, RejectCode, to_native_json};
use bartizan_core::{EventBatch, EventDraft};
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
    let mut rejects =
        Rejects::open(args.rejects.as_deref()).map_err(|error| io::Error::new(error.kind(), format!("--rejects: {error}")))?;
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
        let (mut json, mut event) = (Vec::new(), EventBatch::default());
        loop {
            event.clear();
            let line = match reader.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(true),
                Err(error) => {
                    tracing::error!(input = %name, %error, "input breaks off");
                    return Ok(false);
                }
            };
            let context = Context { default_id: &format_args!("{index}:{}", line.number), tenant: None, window: None, reference_ms };
            let result = match line.skipped_bytes {
                Some(_) => Err(too_long(self.normaliser.record_bytes_max())),
                None => self.normaliser.normalise_into(self.format, line.bytes, &context, &mut event),
            };
            match result {
                Ok(true) => self.counts.events += 1,
                Ok(false) => self.counts.skipped += 1,
                Err(reject) => {
                    self.counts.rejected += 1;
                    self.rejects.write(&name, &line, &reject)?;
                }
            }
            if let Some(event) = event.get(0) {
                json.clear();
                to_native_json(&EventDraft::of(&event), Some(line.number), &mut json);
                json.push(b'\n');
                out.write_all(&json)?;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::normalise::TokenKey;
    use serde_json::Value;

    struct Done {
        events: Vec<Value>,
        rejects: Vec<Value>,
        counts: Counts,
        whole: bool,
    }

    fn run_on(inputs: &[&[u8]], format: &str) -> Done {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = inputs
            .iter()
            .enumerate()
            .map(|(index, bytes)| {
                let path = folder.path().join(format!("{index}.log"));
                std::fs::write(&path, bytes).unwrap();
                path
            })
            .collect();
        let rejects = folder.path().join("rejects.jsonl");
        let format = format.parse().unwrap();
        let args = InputArgs { format, rejects: Some(rejects.clone()), assume_year: None, assume_zone: None, inputs: paths };
        let normaliser = Normaliser::new(&NormaliseConfig::default(), &TokenKey([1; 32])).unwrap();
        let mut out = Vec::new();
        let (counts, whole) = run_to(&args, &normaliser, &mut out).unwrap();
        let parse = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Done { events: parse(&out), rejects: parse(&std::fs::read(rejects).unwrap()), counts, whole }
    }

    #[test]
    fn lines_keep_their_numbers_and_inputs_their_ids() {
        let done = run_on(&[b"\n{\"time\":1,\"kind\":\"login\"}\n", b"{\"time\":2,\"kind\":\"logout\"}"], "auto");
        assert_eq!(done.counts, Counts { events: 2, skipped: 1, rejected: 0 });
        assert_eq!((&done.events[0]["line"], &done.events[0]["id"]), (&Value::from(2), &Value::from("1:2")));
        assert_eq!((&done.events[1]["line"], &done.events[1]["id"]), (&Value::from(1), &Value::from("2:1")));
    }

    #[test]
    fn rejected_lines_are_told_without_loss_and_within_bounds() {
        let mut input = b"{\"time\":1,\"kind\":\"login\",\"user\":\"\xff\"}\nplain \xc3\xa9\n".to_vec();
        input.extend(std::iter::repeat_n(b'x', 50 << 20));
        input.extend_from_slice(b"\n{\"time\":1,\"kind\":\"login\"}\n");
        let done = run_on(&[&input], "auto");
        assert_eq!(done.counts, Counts { events: 1, skipped: 0, rejected: 3 });
        assert_eq!(done.events[0]["line"], 4);
        let base64 = done.rejects[0]["raw_base64"].as_str().unwrap();
        let raw = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
        assert_eq!(
            (raw.as_slice(), &done.rejects[0]["code"]),
            (&b"{\"time\":1,\"kind\":\"login\",\"user\":\"\xff\"}"[..], &Value::from("not_utf8"))
        );
        assert_eq!((&done.rejects[1]["raw"], &done.rejects[1]["line"]), (&Value::from("plain é"), &Value::from(2)));
        let long = &done.rejects[2];
        assert_eq!((&long["code"], &long["raw_bytes"]), (&Value::from("too_large"), &Value::from(50 << 20)));
        assert_eq!(long["raw"].as_str().unwrap().len(), RAW_BYTES_MAX);
    }

    #[test]
    fn an_input_that_breaks_off_does_not_hide_the_others() {
        let text: String = (0..5000).map(|n| format!("{{\"time\":{n},\"kind\":\"login\",\"id\":\"{}\"}}\n", n * 7919 % 10_007)).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let done = run_on(&[&packed[..packed.len() / 2], b"", b"{\"time\":1,\"kind\":\"login\"}"], "bartizan");
        assert!(!done.whole);
        assert_eq!(done.counts.rejected, 0);
        assert_eq!(done.events.last().unwrap()["id"], "3:1");
        assert!(done.events.len() > 1000);
        assert!(run_on(&[b""], "auto").whole);
    }
}

//! `bartizan audit`: checks and exports the audit trail, beside a running daemon, too.

use super::{CommandError, load_values, open_installed, print};
use crate::db::audit::{self, TrailError};
use crate::db::chain::Verifier;
use bartizan_core::TimeMs;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a line of an export: far more than a record has.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Digits of a hash.
const HASH_DIGITS: usize = 64;

/// Subcommands of `audit`.
#[derive(clap::Subcommand)]
pub enum AuditCommand {
    /// Checks that no record of the trail was changed, left out or put in
    Verify(VerifyArgs),
    /// Writes the trail as JSON Lines, which `verify` checks as well
    Export(ExportArgs),
}

/// Arguments of `audit verify`.
#[derive(clap::Args)]
pub struct VerifyArgs {
    /// The configuration file, for its data_dir
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A hash that was noted earlier, elsewhere, and must still be in the trail
    #[arg(long, value_name = "HASH", value_parser = hash)]
    head: Option<String>,
    /// An export to check instead of the trail of an installation (`-`: standard input)
    #[arg(value_name = "EXPORT", conflicts_with = "config")]
    export: Option<PathBuf>,
}

/// Arguments of `audit export`.
#[derive(clap::Args)]
pub struct ExportArgs {
    /// The configuration file, for its data_dir
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Records from this time on (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<TimeMs>,
    /// Records before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<TimeMs>,
    /// Where they go, readable for its owner alone [default: standard output]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

fn hash(text: &str) -> Result<String, String> {
    let is_hash = text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { Ok(text.to_ascii_lowercase()) } else { Err(format!("must have {HASH_DIGITS} hexadecimal digits")) }
}

fn time(text: &str) -> Result<TimeMs, String> {
    TimeMs::parse(text).ok_or_else(|| "must be a time like 2026-01-31T12:00:00Z (RFC 3339)".to_owned())
}

/// Runs `audit`.
///
/// # Errors
/// Wrong arguments, no trail, or one that is broken.
pub fn run(command: &AuditCommand) -> Result<(), CommandError> {
    match command {
        AuditCommand::Verify(args) => verify(args),
        AuditCommand::Export(args) => export(args),
    }
}

fn verify(args: &VerifyArgs) -> Result<(), CommandError> {
    let verified = match &args.export {
        Some(path) => verify_export(path, args.head.clone()),
        None => audit::verify(&open_installed(&load_values(args.config.as_deref())?)?, args.head.clone()),
    };
    let verified = verified.map_err(|error| match error {
        TrailError::Broken(broken) => CommandError::Failed(format!("the trail is broken at {broken}")),
        error => CommandError::failed(error),
    })?;
    let head = verified.head().map_or_else(|| "none".to_owned(), |head| format!("{} (record {})", head.hash, head.id));
    print(&format!("records  {}\nhead     {head}", verified.records()))?;
    match &args.head {
        Some(wanted) if !verified.met_wanted() => Err(CommandError::Failed(format!("{wanted} is not in the trail: it is another one"))),
        _ => Ok(()),
    }
}

fn verify_export(path: &Path, wanted: Option<String>) -> Result<Verifier, TrailError> {
    let input: Box<dyn BufRead> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?)),
    };
    verify_lines(input, wanted)
}

fn verify_lines(mut input: impl BufRead, wanted: Option<String>) -> Result<Verifier, TrailError> {
    let mut verifier = Verifier::new(None, wanted);
    let mut line = Vec::new();
    while input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        let text = std::str::from_utf8(&line).unwrap_or_default();
        verifier.check(text.strip_suffix('\n').unwrap_or(text))?;
        line.clear();
    }
    Ok(verifier)
}

fn export(args: &ExportArgs) -> Result<(), CommandError> {
    let db = open_installed(&load_values(args.config.as_deref())?)?;
    let out: Box<dyn Write> = match &args.out {
        Some(path) => {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
            Box::new(file.map_err(|error| CommandError::Failed(format!("{}: {error}", path.display())))?)
        }
        None => Box::new(io::stdout().lock()),
    };
    let mut out = BufWriter::new(out);
    let span_ms = (args.since.map_or(i64::MIN, |time| time.0), args.until.map_or(i64::MAX, |time| time.0));
    let written = audit::export(&db, span_ms, |line| Ok(writeln!(out, "{line}")?)).and_then(|()| Ok(out.flush()?));
    match written {
        // Whoever closed it has seen enough.
        Err(TrailError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CommandError::failed),
    }
}

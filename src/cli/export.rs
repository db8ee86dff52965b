//! `bartizan export`: writes what the daemon judged since its oldest checkpoint into one file, for `replay`.

use super::{CommandError, load_values};
use crate::app;
use std::path::PathBuf;

/// Arguments of `export`.
#[derive(clap::Args)]
pub struct ExportArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where it goes: a file with raw records in it, readable for its owner alone
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// Exports the recorded order.
///
/// # Errors
/// Wrong configuration, a data directory without data, a log that no longer holds the records.
pub fn run(args: &ExportArgs) -> Result<(), CommandError> {
    let config = load_values(args.config.as_deref())?;
    let exported = app::export(&config, &args.out).map_err(CommandError::failed)?;
    eprintln!("from       record {}", exported.first_seq);
    eprintln!("entries    {}", exported.entries);
    eprintln!("records    {}", exported.records);
    Ok(())
}

//! `bartizan check`.

use super::{CommandError, load, print};
use std::path::PathBuf;

/// Arguments of `check`.
#[derive(clap::Args)]
pub struct CheckArgs {
    /// The configuration file (TOML or YAML)
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

/// Validates a configuration.
///
/// # Errors
/// Every error of it.
pub fn run(args: &CheckArgs) -> Result<(), CommandError> {
    load(Some(&args.config))?;
    print(&format!("{}: the configuration is good", args.config.display()))
}

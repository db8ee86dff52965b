//! `bartizan check`.
//!
//! Finds what would keep the daemon from using its configuration, the files of secrets that it names
//! included; it connects to nothing.

use super::{CommandError, load, print};
use crate::app::{held_tokens, token_key_of};
use crate::config::Config;
use crate::notify;
use crate::store::Store;
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
    let config = load(Some(&args.config))?;
    let problems = file_problems(&config);
    if !problems.is_empty() {
        return Err(CommandError::wrong(problems.join("\n")));
    }
    print(&format!("{}: the configuration is good", args.config.display()))
}

/// What is wrong with the files that the configuration names.
fn file_problems(config: &Config) -> Vec<String> {
    let told = notify::problems(&config.channels, &config.revocation, &config.notify);
    let mut problems: Vec<String> = told.iter().map(ToString::to_string).collect();
    problems.extend(token_key_of(config).err());
    problems.extend(held_tokens(config).err());
    let server = config.clickhouse.as_ref().map(|server| Store::server(server, &config.store));
    problems.extend(server.and_then(Result::err).map(|error| error.to_string()));
    problems
}

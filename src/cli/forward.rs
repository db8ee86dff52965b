//! `bartizan forward`.

use super::run::{runtime, stop_signal};
use super::{CommandError, load_values};
use crate::forward::{ForwardError, keycloak};
use std::path::PathBuf;

/// What events are taken from.
#[derive(clap::Subcommand)]
pub enum ForwardCommand {
    /// Events of Keycloak realms, as `[keycloak]` says, to Kafka or to HTTP ingest
    Keycloak(ForwardArgs),
}

/// Arguments of `forward`.
#[derive(clap::Args)]
pub struct ForwardArgs {
    /// The configuration file (TOML or YAML)
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

/// Forwards until SIGTERM or SIGINT.
///
/// # Errors
/// Wrong configuration.
pub fn run(ForwardCommand::Keycloak(args): &ForwardCommand) -> Result<(), CommandError> {
    let config = load_values(Some(&args.config))?;
    runtime()?.block_on(async {
        let stopped = stop_signal()?;
        tokio::select! {
            ended = keycloak::run(&config) => ended.map_err(|error| match error {
                ForwardError::Config(reason) => CommandError::Wrong(reason),
                ForwardError::Retry(reason) => CommandError::Failed(reason),
            }),
            () = stopped => Ok(()),
        }
    })
}

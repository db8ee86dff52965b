//! The command line. Exit 0 = done, 1 = ran and failed, 2 = wrong use or wrong configuration.

mod ahead;
mod audit;
mod check;
mod demo;
mod detectors;
mod evaluate;
mod explain;
mod export;
mod forward;
mod input;
mod normalise;
mod notify;
mod replay;
mod response;
mod run;
mod simulate;
mod token;

use crate::config::{Config, ConfigErrors};
use crate::db::Db;
use crate::normalise::{Normaliser, TokenKey};
use crate::telemetry::logging;
use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// What a command failed of; its class is the exit code.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Ran and failed.
    #[error("{0}")]
    Failed(String),
    /// Wrong use or wrong configuration.
    #[error("{0}")]
    Wrong(String),
}

impl CommandError {
    /// Ran and failed of `error`.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// Wrong use.
    pub fn wrong(error: impl std::fmt::Display) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl From<ConfigErrors> for CommandError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Wrong(errors.to_string())
    }
}

/// Watches API and sign-in logs for account takeovers.
#[derive(Parser)]
#[command(name = "bartizan", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The daemon: reads logs, detects, alerts, serves the API and the console
    Run(run::RunArgs),
    /// Judges log files offline and writes the alerts as JSON Lines
    Replay(replay::ReplayArgs),
    /// Tells what each detector makes of one event, and what kept it silent
    Explain(explain::ExplainArgs),
    /// Writes what the daemon judged since its oldest checkpoint into one file, for `replay`
    Export(export::ExportArgs),
    /// Shows what log files become: normalised events as JSON Lines
    Normalise(normalise::NormaliseArgs),
    /// The daemon with simulated traffic and attacks, to look at
    Demo(demo::DemoArgs),
    /// Writes labelled traffic with attacks in it
    Simulate(simulate::SimulateArgs),
    /// Says what is found of simulated attacks, and who is accused wrongly
    Evaluate(evaluate::EvaluateArgs),
    /// Validates a configuration and reports every error at once
    Check(check::CheckArgs),
    /// Lists the detectors with their parameters
    Detectors(detectors::DetectorsArgs),
    /// Takes events from a source that must be asked, and sends them on
    #[command(subcommand)]
    Forward(forward::ForwardCommand),
    /// Tests the channels, and shows what they would say
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// Makes, lists and revokes API tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Checks and exports the audit trail
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Stops machines from acting, and lets them act again
    #[command(subcommand)]
    Response(response::ResponseCommand),
    /// The embedded store's own process, started by the daemon
    #[command(hide = true)]
    EmbeddedStore,
}

/// Parses the arguments and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    // Wrong use ends here with exit code 2, help with 0.
    let cli = Cli::parse();
    if let Err(error) = logging::init() {
        eprintln!("bartizan: {error}");
        return ExitCode::from(2);
    }
    // TLS everywhere by the same library; a second installation would be refused and change nothing.
    rustls::crypto::ring::default_provider().install_default().ok();
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Simulate(args) => simulate::run(args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Normalise(args) => normalise(&args),
        Command::Check(args) => check::run(&args),
        Command::Detectors(args) => detectors::run(&args),
        Command::Forward(command) => forward::run(&command),
        Command::Notify(command) => notify::run(&command),
        Command::Token(command) => token::run(command),
        Command::Audit(command) => audit::run(&command),
        Command::Response(command) => response::run(&command),
        Command::EmbeddedStore => crate::store::embedded::serve().map_err(CommandError::failed),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading any more; the exit code says it all the same.
            let message = error.to_string();
            message.lines().for_each(|line| eprintln!("bartizan: {line}"));
            ExitCode::from(match error {
                CommandError::Failed(_) => 1,
                CommandError::Wrong(_) => 2,
            })
        }
    }
}

fn normalise(args: &normalise::NormaliseArgs) -> Result<(), CommandError> {
    let mut config = load_values(args.config.as_deref())?;
    args.input.apply(&mut config.normalise);
    let token_key = crate::app::token_key_of(&config).map_err(CommandError::wrong)?.unwrap_or([0; 32]);
    let normaliser = Normaliser::new(&config.normalise, &TokenKey(token_key)).map_err(CommandError::wrong)?;
    normalise::run(args, &normaliser).map_err(CommandError::failed)
}

/// The configuration, with every file that it names looked at.
fn load(file: Option<&Path>) -> Result<Config, CommandError> {
    Ok(Config::load(file)?)
}

/// The configuration for commands that use a part of it, perhaps as a user who may not read the
/// daemon's secrets.
fn load_values(file: Option<&Path>) -> Result<Config, CommandError> {
    Ok(Config::load_values(file)?)
}

/// The database of an installation that is there.
fn open_installed(config: &Config) -> Result<Db, CommandError> {
    if !crate::app::is_installed(config) {
        return Err(CommandError::Failed(format!("{} holds no data of a daemon", config.data_dir.display())));
    }
    crate::app::open_database(config).map_err(CommandError::failed)
}

/// Writes lines to standard output. Whoever closed it has seen enough: that is no failure.
fn print(text: &str) -> Result<(), CommandError> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandError::failed(error)),
        _ => Ok(()),
    }
}

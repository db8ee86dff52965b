//! `bartizan response`: stops machines from acting, and lets them act again. Works without daemon and database.

use super::{CommandError, load_values, open_installed, print};
use crate::clock::now_ms;
use crate::config::Config;
use crate::notify::Routing;
use crate::respond::StopSwitch;
use crate::respond::stop::REASON_BYTES_MAX;
use std::path::PathBuf;

/// Subcommands of `response`.
#[derive(clap::Subcommand)]
pub enum ResponseCommand {
    /// Stops machines from acting, at once: nothing is sent that ends a session or does anything else to others
    Stop(StopArgs),
    /// Lets machines act again
    Start(SwitchArgs),
    /// Says whether machines may act
    Status(SwitchArgs),
}

/// Arguments of `response stop`.
#[derive(clap::Args)]
pub struct StopArgs {
    #[command(flatten)]
    switch: SwitchArgs,
    /// Why, for those who find machines stopped
    #[arg(long)]
    reason: String,
}

/// Arguments of all of them.
#[derive(clap::Args)]
pub struct SwitchArgs {
    /// The configuration file, for its data_dir
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs `response`.
///
/// # Errors
/// Wrong arguments, or the switch cannot be turned.
pub fn run(command: &ResponseCommand) -> Result<(), CommandError> {
    match command {
        ResponseCommand::Stop(args) => stop(args),
        ResponseCommand::Start(args) => start(args),
        ResponseCommand::Status(args) => status(&load_values(args.config.as_deref())?),
    }
}

fn stop(args: &StopArgs) -> Result<(), CommandError> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(CommandError::Wrong(format!("--reason: must have 1 to {REASON_BYTES_MAX} bytes")));
    }
    let config = load_values(args.switch.config.as_deref())?;
    let switch = StopSwitch::of(&config.data_dir);
    switch.stop(&operator(), reason, now_ms()).map_err(|error| in_folder(&config, &error))?;
    status(&config)?;
    let told = open_installed(&config).and_then(|db| switch.tell(&db, &routing(&config), now_ms()).map_err(CommandError::failed));
    if let Err(error) = told {
        eprintln!("bartizan: the daemon records and tells it once it can: {error}");
    }
    Ok(())
}

fn start(args: &SwitchArgs) -> Result<(), CommandError> {
    let config = load_values(args.config.as_deref())?;
    let switch = StopSwitch::of(&config.data_dir);
    let started =
        open_installed(&config).and_then(|db| switch.start(&db, &routing(&config), &operator(), now_ms()).map_err(CommandError::failed));
    if let Err(error) = started {
        switch.remove().map_err(|error| in_folder(&config, &error))?;
        eprintln!("bartizan: the daemon records it once it can, without a name: {error}");
    }
    status(&config)
}

fn status(config: &Config) -> Result<(), CommandError> {
    print(&StopSwitch::of(&config.data_dir).stopped().map_or_else(
        || "machines may act".to_owned(),
        |stopped| {
            let since = stopped.time.map_or_else(String::new, |time| format!(" since {time}"));
            format!("machines are stopped{since} by {}: {}", stopped.by.escape_debug(), stopped.reason.escape_debug())
        },
    ))
}

/// Who runs the command, as far as the system says.
fn operator() -> String {
    let name = ["SUDO_USER", "USER"].into_iter().find_map(|variable| std::env::var(variable).ok());
    format!("command line ({})", name.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string()))
}

fn routing(config: &Config) -> Routing {
    Routing::new(&config.channels, &config.revocation, &config.notify, None)
}

fn in_folder(config: &Config, error: &std::io::Error) -> CommandError {
    CommandError::Failed(format!("data_dir {}: {error}", config.data_dir.display()))
}

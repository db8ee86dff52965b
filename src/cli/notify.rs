//! `bartizan notify`: does a channel work, and what would it say?

use super::run::runtime;
use super::{CommandError, load, print};
use crate::clock::now_ms;
use crate::config::Config;
use crate::notify::{self, Channel, sample};
use clap::builder::PossibleValuesParser;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Subcommands of `notify`.
#[derive(clap::Subcommand)]
pub enum NotifyCommand {
    /// Sends a message that says it is a test through each channel, and tells what became of it
    Test(TestArgs),
    /// Shows what a channel would send of a made-up message; sends nothing
    Preview(PreviewArgs),
}

/// Arguments of `notify test`.
#[derive(clap::Args)]
pub struct TestArgs {
    /// The configuration file (TOML or YAML)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The one channel to test; absent: all of them
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
}

/// Arguments of `notify preview`.
#[derive(clap::Args)]
pub struct PreviewArgs {
    /// The configuration file (TOML or YAML)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The channel
    #[arg(long, value_name = "NAME")]
    channel: String,
    /// The type of the message
    #[arg(long = "type", value_name = "TYPE", default_value = "incident.opened", value_parser = PossibleValuesParser::new(sample::KINDS))]
    kind: String,
}

/// Runs `notify`.
///
/// # Errors
/// Wrong configuration, or a channel that does not work.
pub fn run(command: &NotifyCommand) -> Result<(), CommandError> {
    match command {
        NotifyCommand::Test(args) => test(args),
        NotifyCommand::Preview(args) => preview(args),
    }
}

fn test(args: &TestArgs) -> Result<(), CommandError> {
    let (_, channels) = open(args.config.as_deref(), args.channel.as_deref())?;
    let mut failed = Vec::new();
    runtime()?.block_on(async {
        for channel in &channels {
            let (name, started, now_ms) = (channel.name(), Instant::now(), now_ms());
            let outcome = channel.deliver(&sample::test(name, now_ms), now_ms).await;
            let took = started.elapsed().as_millis();
            match outcome.failure() {
                None => print(&format!("{name}: delivered in {took} ms"))?,
                Some(error) => {
                    print(&format!("{name}: failed after {took} ms: {error}"))?;
                    failed.push(name);
                }
            }
        }
        Ok::<_, CommandError>(())
    })?;
    if failed.is_empty() { Ok(()) } else { Err(CommandError::Failed(format!("did not work: {}", failed.join(", ")))) }
}

fn preview(args: &PreviewArgs) -> Result<(), CommandError> {
    let (config, channels) = open(args.config.as_deref(), Some(&args.channel))?;
    let console = Some(config.http.public_url.trim_end_matches('/')).filter(|url| !url.is_empty());
    for channel in channels {
        let message = sample::message(channel.name(), &args.kind, console);
        print(&channel.preview(&message).map_err(CommandError::failed)?)?;
    }
    Ok(())
}

/// The configuration and its channels: those that tell somebody, or the one of that name.
fn open(file: Option<&Path>, name: Option<&str>) -> Result<(Config, Vec<Arc<dyn Channel>>), CommandError> {
    let config = load(file)?;
    let mut channels = Vec::new();
    for table in config.channels.iter().filter(|table| name.is_none_or(|name| table.name == name)) {
        match notify::channel(table, &config.notify).map_err(CommandError::wrong)? {
            Some(channel) => channels.push(channel),
            None if name.is_some() => return Err(CommandError::Wrong(format!("{}: a topic, which tells nobody", table.name))),
            None => {}
        }
    }
    if channels.is_empty() {
        return Err(CommandError::Wrong(match name {
            Some(name) => format!("--channel: there is no channel {name:?} in the configuration"),
            None => "there is no channel in the configuration that tells somebody".to_owned(),
        }));
    }
    Ok((config, channels))
}

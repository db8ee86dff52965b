//! `bartizan run`: the daemon.

use super::{CommandError, load};
use crate::app::{Daemon, StartError};
use crate::clock::now_ms;
use crate::config::Config;
use crate::db::tokens::{NewToken, Role};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `run`.
#[derive(clap::Args)]
pub struct RunArgs {
    /// Configuration file (TOML or YAML) [default: embedded store under ./bartizan-data, no Kafka]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// Wrong configuration, or something that keeps it from starting.
pub fn run(args: &RunArgs) -> Result<(), CommandError> {
    let config = load(args.config.as_deref())?;
    runtime()?.block_on(async {
        // From the first moment on: a stop during the start is a stop like any other.
        let mut stopped = std::pin::pin!(stop_signal()?);
        let daemon = tokio::select! {
            started = start(config) => started?,
            () = &mut stopped => return Ok(()),
        };
        stopped.await;
        daemon.stop().await;
        Ok(())
    })
}

/// The runtime of commands that serve.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::failed)
}

/// Starts the daemon; at the first start it makes an admin token and shows it this once.
pub(super) async fn start(config: Config) -> Result<Daemon, CommandError> {
    let daemon = Daemon::start(config).await.map_err(|error| match error {
        StartError::Config(_) => CommandError::wrong(error),
        _ => CommandError::failed(error),
    })?;
    if daemon.db.tokens().map_err(CommandError::failed)?.is_empty() {
        println!("admin token (shown once): {}", admin_token(&daemon, "first start")?);
    }
    println!("console: {}", daemon.url());
    Ok(daemon)
}

/// Makes a token that may do everything.
pub(super) fn admin_token(daemon: &Daemon, name: &str) -> Result<String, CommandError> {
    let new = NewToken { name: name.to_owned(), role: Role::Admin, tenant: None, expires_ms: None };
    daemon.db.create_token(&new, now_ms()).map_err(CommandError::failed)
}

/// Takes SIGTERM and SIGINT from now on, and waits for one.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, CommandError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
        }
    })
}

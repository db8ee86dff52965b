//! The command line.

use bartizan::cli::normalise::{NormaliseArgs, run};
use bartizan::normalise::{NormaliseConfig, Normaliser, TokenKey};
use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
enum Command {
    /// Shows what a log becomes
    Normalise(NormaliseArgs),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Command::Normalise(args) = Command::parse();
    let mut config = NormaliseConfig::default();
    args.input.apply(&mut config);
    let done = Normaliser::new(&config, &TokenKey([0; 32])).map_err(|error| (2, error.to_string()));
    match done.and_then(|normaliser| run(&args, &normaliser).map_err(|error| (1, error.to_string()))) {
        Ok(code) => code,
        Err((code, error)) => {
            tracing::error!(error, "command failed");
            ExitCode::from(code)
        }
    }
}

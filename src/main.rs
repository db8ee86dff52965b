//! The command line of Bartizan.

use std::process::ExitCode;

fn main() -> ExitCode {
    bartizan::cli::main()
}

//! The one binary: CLI, roles and wiring. It holds no rules; see `ARCHITECTURE.md` for where they live.

mod bus;
mod cli;
mod clock;
mod commands;
mod data_dir;
mod failure;
mod log_choice;
mod logging;
mod render;
mod saga;
mod session;
mod sidecar;
mod supervisor;

use clap::Parser;
use cli::Cli;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    match commands::run(command, &global) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let said = failure.to_string();
            if !said.is_empty() {
                // Nobody is left to tell when standard error is closed.
                let _ = writeln!(std::io::stderr().lock(), "tenon: {said}");
            }
            failure.exit_code()
        }
    }
}

//! The one binary: CLI, roles and wiring. It holds no rules; see `ARCHITECTURE.md` for where they live.

mod cli;
mod clock;
mod data_dir;
mod supervisor;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Launch(launch) => {
            let error = supervisor::shim::launch(launch.parent, &launch.command);
            eprintln!("tenon: cannot start {:?}: {error}", launch.command.first());
            ExitCode::from(supervisor::shim::CANNOT_START)
        }
        Command::Reap => match supervisor::reaper::run(std::io::stdin().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        _ => ExitCode::FAILURE,
    }
}

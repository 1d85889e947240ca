//! The project's own tasks. `cargo xtask demo` shows the main job, `cargo xtask test` passes all tests,
//! `cargo xtask tidy` checks what a reviewer should not have to, `cargo xtask bench` measures,
//! `cargo xtask fuzz` feeds the parsers.
//!
//! Each installs what it lacks where it may, and otherwise says exactly what to install.

// A task runner's output is its purpose.
#![allow(clippy::print_stdout)]

mod bench;
mod demo;
mod fuzz;
mod http;
mod prepare;
mod shell;
mod stats;
mod system;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of the Tenon project")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start the example shop, send it traffic while things fail, and tell what its clients saw
    Demo(demo::Options),
    /// Run every test
    Test(test::Options),
    /// Check formatting, lints, crate edges, licences, file lengths and documentation
    Tidy,
    /// Feed the parsers of what comes from the network with made-up bytes
    Fuzz(fuzz::Options),
    /// Measure, beside peers where there are any
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Tidy => tidy::run_all(),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(options) => bench::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

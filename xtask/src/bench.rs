//! `cargo xtask bench …`: what is measured, against what goal.
//!
//! Each bench prints a table with goal and verdict; `--json` prints the same as JSON on standard output, alone. The
//! last tables are kept in `bench/README.md`.

mod envoy;
mod log;
mod platform;
mod proxy;
mod saga;

use crate::shell::Outcome;
use clap::{Args, Subcommand};
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    /// Print JSON on standard output, alone
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The shop as a whole: time until all is healthy, memory of the platform and of a sidecar
    Platform,
    /// One hop through the data plane beside nginx, HAProxy and Envoy: CPU, latency, memory, many routes
    Proxy(proxy::Options),
    /// The log beside a bare segment log, JetStream and Redis: appends, replay, single streams, bytes written, opening
    Log(log::Options),
    /// Sagas of three steps beside Restate: how many a second, how long one takes, memory
    Saga(saga::Options),
    /// The services that take part in the sagas of that
    #[command(hide = true)]
    Participant,
    /// The server that a data plane follows while it is measured
    #[command(hide = true)]
    Server(proxy::server::Options),
}

/// One measured figure.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Option<f64>,
    /// Whether the goal is the least that is wanted, rather than the most.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    at_least: bool,
    ok: bool,
    /// The least and the most, of what was measured several times, or what else is said to be around the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<[f64; 2]>,
}

impl Figure {
    /// A figure that should not exceed a goal.
    fn at_most(name: impl Into<String>, value: f64, unit: &'static str, goal: f64) -> Self {
        Self { goal: Some(goal), ok: value <= goal, ..Self::plain(name, value, unit) }
    }

    /// A figure that should not fall short of a goal.
    fn at_least(name: impl Into<String>, value: f64, unit: &'static str, goal: f64) -> Self {
        Self { goal: Some(goal), at_least: true, ok: value >= goal, ..Self::plain(name, value, unit) }
    }

    /// A figure without a goal.
    fn plain(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, goal: None, at_least: false, ok: true, spread: None }
    }

    /// The same, measured several times.
    fn over_rounds(self, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let value = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
        let spread = values.first().zip(values.last()).map(|(least, most)| [*least, *most]);
        let ok = self.goal.is_none_or(|goal| if self.at_least { value >= goal } else { value <= goal });
        Self { value, ok, spread, ..self }
    }
}

/// Runs a bench and prints its figures.
pub(crate) fn run(options: &Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let figures = match &options.what {
        What::Platform => runtime.block_on(platform::measure())?,
        What::Proxy(options) => runtime.block_on(proxy::measure(options))?,
        What::Log(options) => log::measure(options)?,
        What::Saga(options) => runtime.block_on(saga::measure(options))?,
        What::Participant => return runtime.block_on(saga::participant::serve()),
        What::Server(options) => return runtime.block_on(proxy::server::serve(options)),
    };
    if options.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print(&figures);
    }
    Ok(())
}

fn print(figures: &[Figure]) {
    println!("| figure | value | goal | |");
    println!("|---|---|---|---|");
    for figure in figures {
        let side = if figure.at_least { '≥' } else { '≤' };
        let goal = figure.goal.map_or("–".to_owned(), |goal| format!("{side} {goal} {}", figure.unit));
        let verdict = match (figure.goal, figure.ok) {
            (None, _) => "",
            (_, true) => "met",
            (_, false) => "missed",
        };
        let spread = figure.spread.map_or(String::new(), |[least, most]| format!(" ({least:.2}–{most:.2})"));
        println!("| {} | {:.2} {}{spread} | {goal} | {verdict} |", figure.name, figure.value, figure.unit);
    }
}

//! Sagas of three steps beside Restate's, in one run: each started over HTTP, and answered when it has ended.
//!
//! Tenon runs as a whole: a server whose log is synced, a data plane through which the steps are called, and a service of one
//! process that is called over HTTP. Restate's steps are functions in the process of its SDK. The two take turns, so that
//! what disturbs the machine disturbs both.

mod caller;
pub(super) mod participant;
mod restate;

use super::Figure;
use super::log::{built, remove};
use super::platform::mebibytes;
use crate::shell::{Outcome, programs, read, root, target};
use crate::stats::Times;
use crate::system::{self, Ports, System};
use caller::Caller;
use clap::Args;
use restate::Restate;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Short rounds, to see that it works
    #[arg(long)]
    quick: bool,
}

/// What is measured runs as it is shipped.
const PROFILE: &str = "dist";

/// How many callers there are, each of which waits for one saga at a time.
const CALLERS: usize = 64;

/// How many sagas run when a server starts.
const RUNNING: u32 = 10_000;

/// Who starts sagas, and how.
struct Side {
    url: String,
    headers: Vec<(&'static str, String)>,
    body: fn(u64) -> Value,
    is_done: fn(&Value) -> bool,
}

pub(super) async fn measure(options: &Options) -> Outcome<Vec<Figure>> {
    system::build(PROFILE)?;
    let (rounds, seconds) = if options.quick { (1, 1.0) } else { (5, 4.0) };
    let restate = Restate::start().await?;
    let tenon = System::start_in(&folder()?, PROFILE, Ports::Free).await?;
    define(&tenon).await?;
    let sides = [of_tenon(&tenon), of_restate(&restate)].map(Arc::new);
    for side in &sides {
        load(side, CALLERS, Duration::from_secs_f64(seconds)).await?;
    }
    let mut figures = Vec::new();
    let mut rates = [Vec::new(), Vec::new()];
    let mut alone = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (at, side) in sides.iter().enumerate() {
            let run = load(side, CALLERS, Duration::from_secs_f64(seconds)).await?;
            rates[at].push(run.len() as f64 / seconds);
        }
        for (at, side) in sides.iter().enumerate() {
            let run = load(side, 1, Duration::from_secs_f64(seconds)).await?;
            alone[at].push(run.quantile(0.5).as_secs_f64() * 1e3);
        }
    }
    let row = format!("three steps, {CALLERS} callers");
    figures.extend(compared(&row, "/s", rates, |name| Figure::at_least(name, 0.0, "×", 8.0)));
    figures.extend(compared("three steps, singly, p50", "ms", alone, |name| {
        Figure::at_most(name, 0.0, "×", 0.4)
    }));
    figures.extend(memory(&tenon, &restate)?);
    drop((tenon, restate));
    figures.extend(in_process(options.quick)?);
    figures.push(verified()?);
    Ok(figures)
}

/// How long the checker takes for all sagas of the shop.
fn verified() -> Outcome<Figure> {
    let manifest = root().join("examples/shop/tenon.yaml");
    let begin = Instant::now();
    read(Command::new(programs(PROFILE)?.join("tenon")).args(["saga", "verify"]).arg(manifest))?;
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Figure::at_most("`tenon saga verify` of the shop", seconds, "s", 10.0))
}

/// Steps that are functions in the server's process, and a server that starts among many sagas.
fn in_process(quick: bool) -> Outcome<Vec<Figure>> {
    let (program, folder) = built()?;
    let folder = folder.join("sagas");
    let fresh = || remove(&folder);
    let ask = |task: &str, arguments: &[String]| -> Outcome<Value> {
        let mut command = Command::new(&program);
        command.arg(task).arg(&folder).args(arguments);
        Ok(serde_json::from_str(&read(&mut command)?)?)
    };
    let number = |report: &Value, name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    let (rounds, seconds, finished) = if quick { (1, 1, 20_000) } else { (5, 3, 1_000_000) };
    let mut rates = Vec::new();
    for _ in 0..rounds {
        fresh()?;
        let report = ask("saga-run", &[CALLERS.to_string(), seconds.to_string()])?;
        rates.push(number(&report, "per_second"));
    }
    let row = format!("three steps in process, {CALLERS} callers");
    let mut figures = vec![Figure::at_least(row, 0.0, "/s", 10_000.0).over_rounds(rates)];
    fresh()?;
    ask("saga-fill", &[finished.to_string(), RUNNING.to_string()])?;
    let opened = ask("saga-open", &[RUNNING.to_string()])?;
    fresh()?;
    let row = format!("start among {finished} finished and {RUNNING} running");
    figures.push(Figure::at_most(row.clone(), number(&opened, "seconds"), "s", 3.0));
    let memory = number(&opened, "resident") / f64::from(1 << 20);
    figures.push(Figure::at_most(format!("{row}, memory then"), memory, "MiB", 256.0));
    Ok(figures)
}

/// The figures of both sides, and the ratio with its goal.
fn compared(
    row: &str,
    unit: &'static str,
    [tenon, restate]: [Vec<f64>; 2],
    ratio: impl FnOnce(String) -> Figure,
) -> Vec<Figure> {
    let ratios = tenon.iter().zip(&restate).map(|(own, other)| own / other).collect();
    vec![
        Figure::plain(format!("{row}, Tenon"), 0.0, unit).over_rounds(tenon),
        Figure::plain(format!("{row}, Restate"), 0.0, unit).over_rounds(restate),
        ratio(format!("{row}, Tenon / Restate")).over_rounds(ratios),
    ]
}

/// Of the server and the data plane, and of Restate's server, after all that.
fn memory(tenon: &System, restate: &Restate) -> Outcome<Vec<Figure>> {
    let mut own = 0.0;
    for (_, pid) in super::platform::roles(tenon)? {
        own += mebibytes(pid)?;
    }
    let other = mebibytes(restate.pid())?;
    Ok(vec![
        Figure::plain("memory after that, Tenon's server, data plane, supervisor", own, "MiB"),
        Figure::plain("memory after that, Restate's server", other, "MiB"),
        Figure::at_most("memory after that, Tenon / Restate", own / other, "×", 0.25),
    ])
}

/// Sagas one after the other by so many callers, for so long: how long each took that ended within that time.
async fn load(side: &Arc<Side>, callers: usize, lasts: Duration) -> Outcome<Times> {
    let ends = Instant::now() + lasts;
    let numbers = Arc::new(AtomicU64::new(0));
    let calling = (0..callers).map(|_| {
        let (side, numbers) = (Arc::clone(side), Arc::clone(&numbers));
        tokio::spawn(async move {
            let mut caller = Caller::connect(&side).await?;
            let mut times = Vec::new();
            while Instant::now() < ends {
                let body = (side.body)(numbers.fetch_add(1, Ordering::Relaxed));
                let begun = Instant::now();
                let answer = caller.start(&body).await?;
                // What ends after the others have is of no rate.
                if Instant::now() <= ends {
                    times.push(begun.elapsed());
                }
                let is_done = serde_json::from_slice(&answer).is_ok_and(|answer| (side.is_done)(&answer));
                if !is_done {
                    return Err(format!("{} answered {}", side.url, String::from_utf8_lossy(&answer)));
                }
            }
            Ok(times)
        })
    });
    let calling: Vec<_> = calling.collect();
    let mut times = Times::default();
    for caller in calling {
        caller.await??.into_iter().for_each(|time| times.add(time));
    }
    Ok(times)
}

fn of_tenon(system: &System) -> Side {
    Side {
        url: format!("{}/v1/sagas/trip?wait_ms=30000", system.urls.api),
        headers: vec![("authorization", format!("Bearer {}", system.token()))],
        body: |number| json!({"input": {"number": number}}),
        is_done: |answer| answer["state"] == "completed",
    }
}

fn of_restate(restate: &Restate) -> Side {
    Side {
        url: restate.url(),
        headers: Vec::new(),
        body: |number| json!({"number": number}),
        is_done: |answer| answer["stock"].is_u64(),
    }
}

/// A folder with a manifest of one service, which is this program.
fn folder() -> Outcome<std::path::PathBuf> {
    let folder = target()?.join("bench-saga").join("tenon");
    remove(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let program = std::env::current_exe()?;
    let manifest = format!(
        "name: bench
services:
  trip:
    command: [\"{}\", bench, participant]
    interfaces: [{{name: steps, endpoints: [{{path: \"/{{step}}\", method: POST}}]}}]
",
        program.display()
    );
    std::fs::write(folder.join("tenon.yaml"), manifest)?;
    Ok(folder)
}

/// Three calls, each of which waits for the one before and is given what that answered.
async fn define(system: &System) -> Outcome {
    let step = |name: &str, after: &[&str], input: Value| {
        let action = |path: String| json!({"service": "trip", "method": "POST", "path": path});
        let call = json!({"action": action(format!("/{name}")), "timeout_ms": 5_000});
        let undo = json!({"action": action(format!("/undo-{name}")), "timeout_ms": 5_000});
        json!({"name": name, "after": after, "work": {"call": call}, "input": input, "undo": undo})
    };
    let steps = [
        step("order", &[], json!({"number": "input.number"})),
        step("payment", &["order"], json!({"done": "steps.order.done"})),
        step("stock", &["payment"], json!({"done": "steps.payment.done"})),
    ];
    let answer = system.call("PUT", "/v1/saga-definitions/trip", &json!({"steps": steps})).await;
    if answer.is_success() { Ok(()) } else { Err(format!("the saga is refused: {}", answer.text()).into()) }
}

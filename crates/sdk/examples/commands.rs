//! How many commands a second go through a decider: with idempotency keys, synced before they are answered, from
//! many callers at a time, on a segment log in a folder.
//!
//! ```text
//! cargo run --release -p tenon-sdk --example commands -- [FOLDER] [CALLERS] [SECONDS]
//! ```
//!
//! Prints one line of JSON: `{"commands_per_second": …, "p50_us": …, "p99_us": …, …}`. Each caller gives commands to
//! aggregates of its own, one after the other, about ten to each, every one with a new key. The state comes from the
//! cache, so what is measured is decide, append, sync, evolve.

#![allow(clippy::print_stdout, reason = "a program whose output is its purpose")]

use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tenon_sdk::store::{Log, Namespace, SegmentLog};
use tenon_sdk::{Aggregates, Call, Decider, Events, Fact, Json, Key};

/// How many commands an aggregate gets.
const COMMANDS_EACH: usize = 10;

/// A parcel that is scanned on its way.
struct Parcels;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Event {
    Scanned { at: String, note: String },
}

#[derive(Debug, thiserror::Error)]
#[error("a parcel is scanned at most 1,000 times")]
struct TooOften;

impl Events for Event {
    type Codec = Json;
    const AREA: &'static str = "bench.parcel";
    const FACTS: &'static [Fact] = &[Fact::v1("Scanned")];
}

impl Decider for Parcels {
    type Command = String;
    type Event = Event;
    type State = usize;
    type Error = TooOften;

    fn initial() -> usize {
        0
    }

    fn decide(at: &String, scans: &usize) -> Result<Vec<Event>, TooOften> {
        if *scans >= 1_000 {
            return Err(TooOften);
        }
        // About 256 bytes, as in the other benches of the log.
        Ok(vec![Event::Scanned { at: at.clone(), note: "x".repeat(210) }])
    }

    fn evolve(scans: usize, _: &Event) -> usize {
        scans + 1
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let temporary = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let callers = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(5.0), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(folder, callers, Duration::from_secs_f64(seconds)))
}

async fn bench(folder: PathBuf, callers: usize, length: Duration) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&folder)?;
    let log: Arc<dyn Log> = SegmentLog::open(&folder)?.0.into_log();
    let before = log.head().0;
    let parcels = Aggregates::<Parcels>::new(Arc::clone(&log), Namespace::default(), "parcel")?;
    let start = Instant::now();
    let tasks: Vec<_> =
        (0..callers).map(|caller| tokio::spawn(call(parcels.clone(), caller, start + length))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await?.map_err(|error| error.to_string())?);
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let percentile =
        |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default().as_micros();
    println!(
        "{{\"commands_per_second\": {:.0}, \"callers\": {callers}, \"commands\": {}, \"events\": {}, \"p50_us\": {}, \"p99_us\": {}}}",
        times.len() as f64 / elapsed,
        times.len(),
        log.head().0 - before,
        percentile(50),
        percentile(99),
    );
    Ok(())
}

/// One caller: one command after the other, until the time is up.
async fn call(
    parcels: Aggregates<Parcels>,
    caller: usize,
    end: Instant,
) -> Result<Vec<Duration>, Box<dyn Error + Send + Sync>> {
    let run = std::process::id();
    let mut times = Vec::new();
    while Instant::now() < end {
        let count = times.len();
        let id = format!("{run}-{caller}-{}", count / COMMANDS_EACH);
        let call = Call::once(Key::new(format!("{run}-{caller}-{count}"))?);
        let start = Instant::now();
        let outcome = parcels.execute(&id, &"the depot".to_owned(), &call).await?;
        times.push(start.elapsed());
        if outcome.repeated {
            return Err("the folder holds commands of another run with the same process id".into());
        }
    }
    Ok(times)
}

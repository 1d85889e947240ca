//! The log beside a bare segment log, JetStream and Redis, with 256-byte events in one run.
//!
//! `bench/log` does the work, one engine and one task at a time, and prints a line of JSON. Engines take turns, so that
//! what disturbs the machine disturbs all of them; figures are medians over the rounds, ratios are of the same round.

mod peers;

use super::Figure;
use crate::shell::{Outcome, read, root, run, target};
use clap::Args;
use peers::{JetStream, Redis};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Short rounds and a tenth of the events, to see that it works
    #[arg(long)]
    quick: bool,
    /// Only the rows whose name holds this
    #[arg(long, default_value = "")]
    only: String,
}

/// The goals of appends: how many in flight, and what Tenon's rate should be, as a multiple of a peer's.
const APPENDS: [(u32, &[(&str, f64)]); 2] = [(64, &[("bare", 0.7)]), (1_024, &[])];

/// The goals of appends over gRPC, with as many in flight as the last of those.
const REMOTE: &[(&str, f64)] = &[("JetStream, not synced", 1.5), ("Redis", 1.3)];

pub(super) fn measure(options: &Options) -> Outcome<Vec<Figure>> {
    let bench = Bench::new(options)?;
    let mut figures = bench.appends()?;
    figures.extend(bench.postgres()?);
    figures.extend(bench.replay()?);
    figures.extend(bench.large()?);
    figures.extend(bench.bytes()?);
    figures.extend(bench.consumers()?);
    figures.extend(bench.fan_out()?);
    figures.extend(bench.commands()?);
    Ok(figures)
}

/// Builds the program that does the work; where it is, and a folder for data.
pub(super) fn built() -> Outcome<(PathBuf, PathBuf)> {
    let home = target()?.join("bench-log");
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(root().join("bench").join("log").join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&home))?;
    let folder = home.join("data");
    std::fs::create_dir_all(&folder)?;
    Ok((home.join("release").join("tenon-bench-log"), folder))
}

struct Bench<'a> {
    options: &'a Options,
    program: PathBuf,
    folder: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Outcome<Self> {
        let (program, folder) = built()?;
        Ok(Self { options, program, folder })
    }

    fn wants(&self, row: &str) -> bool {
        row.contains(&self.options.only)
    }

    /// How many events make the large log.
    fn many(&self) -> u64 {
        if self.options.quick { 1_000_000 } else { 10_000_000 }
    }

    fn rounds(&self) -> usize {
        if self.options.quick { 3 } else { 7 }
    }

    fn seconds(&self) -> &'static str {
        if self.options.quick { "0.7" } else { "2" }
    }

    /// One task of one engine; answers with its report.
    fn ask(&self, arguments: &[&str]) -> Outcome<Value> {
        let streams = (self.many() / 10).to_string();
        let mut command = Command::new(&self.program);
        command.args(["--streams", &streams]).args(arguments);
        Ok(serde_json::from_str(&read(&mut command)?)?)
    }

    /// A folder that is empty.
    fn fresh(&self, name: &str) -> Outcome<String> {
        let folder = self.folder.join(name);
        remove(&folder)?;
        Ok(folder.to_string_lossy().into_owned())
    }

    /// Appends of one event each, each synced by Tenon, Redis and the bare log; JetStream does not sync.
    fn appends(&self) -> Outcome<Vec<Figure>> {
        let mut figures = Vec::new();
        if !self.wants("append") {
            return Ok(figures);
        }
        let (jetstream, redis) = (JetStream::start(&self.folder)?, Redis::start(&self.folder)?);
        for (in_flight, goals) in APPENDS {
            let count = in_flight.to_string();
            let row = format!("append, one event each, {in_flight} in flight");
            let mut rates: [(&str, Vec<f64>); 5] =
                ["Tenon, in process", "bare", "JetStream, not synced", "Redis", "Tenon, over gRPC"]
                    .map(|name| (name, Vec::new()));
            for _ in 0..self.rounds() {
                let (own, bare) = (self.fresh("append-tenon")?, self.fresh("append-bare")?);
                let served = self.fresh("append-served")?;
                let turns = [
                    ["tenon-append", &own, &count, self.seconds()],
                    ["bare-append", &bare, &count, self.seconds()],
                    ["jetstream-append", jetstream.url(), &count, self.seconds()],
                    ["redis-append", redis.url(), &count, self.seconds()],
                    ["remote-append", &served, &count, self.seconds()],
                ];
                for ((_, rates), turn) in rates.iter_mut().zip(turns) {
                    rates.push(number(&self.ask(&turn)?, "per_second"));
                }
            }
            figures.extend(of_rounds(&row, &rates, goals));
            if in_flight == 1_024 {
                rates.rotate_right(1);
                figures.extend(ratios(&format!("{row}, gRPC"), &rates, REMOTE));
            }
        }
        Ok(figures)
    }

    /// The log in PostgreSQL, which has no goals of its own.
    fn postgres(&self) -> Outcome<Vec<Figure>> {
        if !self.wants("PostgreSQL") {
            return Ok(Vec::new());
        }
        crate::prepare::postgres()?;
        let rates = |arguments: &[&str]| -> Outcome<Vec<f64>> {
            (0..self.rounds().min(3)).map(|_| Ok(number(&self.ask(arguments)?, "per_second"))).collect()
        };
        let mut figures = Vec::new();
        for in_flight in ["1", "64", "1024"] {
            let row = format!("append, one event each, {in_flight} in flight, Tenon, in PostgreSQL");
            let rates = rates(&["postgres-append", in_flight, self.seconds()])?;
            figures.push(Figure::plain(row, 0.0, "/s").over_rounds(rates));
        }
        let rates = rates(&["postgres-replay", self.seconds()])?;
        let rates = rates.into_iter().map(|rate| rate / 1e6).collect();
        figures.push(Figure::plain("replay, Tenon, in PostgreSQL", 0.0, "M/s").over_rounds(rates));
        Ok(figures)
    }

    /// Reading everything, in the order of the log.
    fn replay(&self) -> Outcome<Vec<Figure>> {
        let row = "replay";
        if !self.wants(row) {
            return Ok(Vec::new());
        }
        let folder = self.fresh("replay")?;
        let count = (self.many() / 5).to_string();
        self.ask(&["tenon-fill", &folder, &count, "--each", "100", "--in-flight", "16"])?;
        let (jetstream, redis) = (JetStream::start(&self.folder)?, Redis::start(&self.folder)?);
        self.ask(&["jetstream-append", jetstream.url(), "1024", self.seconds()])?;
        self.ask(&["redis-append", redis.url(), "1024", self.seconds()])?;
        let mut rates: [(&str, Vec<f64>); 4] =
            ["Tenon, in process", "Tenon, over gRPC", "JetStream", "Redis"].map(|it| (it, Vec::new()));
        for _ in 0..self.rounds() {
            let turns = [
                ["tenon-replay", &folder],
                ["remote-replay", &folder],
                ["jetstream-replay", jetstream.url()],
                ["redis-replay", redis.url()],
            ];
            for ((_, rates), turn) in rates.iter_mut().zip(turns) {
                rates.push(number(&self.ask(&turn)?, "per_second") / 1e6);
            }
        }
        remove(Path::new(&folder))?;
        let goal = |name: &str| match name {
            "Tenon, in process" => Some(5.0),
            "Tenon, over gRPC" => Some(1.0),
            _ => None,
        };
        Ok(rates
            .into_iter()
            .map(|(name, rates)| {
                let row = format!("{row}, {name}");
                let figure = match goal(name) {
                    Some(goal) => Figure::at_least(row, 0.0, "M/s", goal),
                    None => Figure::plain(row, 0.0, "M/s"),
                };
                figure.over_rounds(rates)
            })
            .collect())
    }

    /// A log of many events, each appended by itself: opening it, its memory, and reading single streams.
    fn large(&self) -> Outcome<Vec<Figure>> {
        let count = self.many();
        let row = format!("of {} M events in {} k streams", count / 1_000_000, count / 10_000);
        let (opened, streams) = (format!("open a log {row}"), format!("a ten-event stream {row}"));
        let mut figures = Vec::new();
        if !self.wants(&opened) && !self.wants(&streams) {
            return Ok(figures);
        }
        let folder = self.fresh("large")?;
        let filled = self.ask(&["tenon-fill", &folder, &count.to_string()])?;
        figures.push(Figure::plain(format!("fill the log {row}"), number(&filled, "per_second"), "/s"));
        let mut over = |figure: Figure, task: &[&str], name: &str, unit: f64| -> Outcome {
            let values: Outcome<Vec<f64>> =
                (0..self.rounds()).map(|_| Ok(number(&self.ask(task)?, name) / unit)).collect();
            figures.push(figure.over_rounds(values?));
            Ok(())
        };
        over(Figure::at_most(&opened, 0.0, "s", 0.5), &["tenon-open", &folder], "seconds", 1.0)?;
        let memory = Figure::at_most(format!("{opened}, memory"), 0.0, "MiB", 64.0);
        over(memory, &["tenon-open", &folder], "resident", f64::from(1 << 20))?;
        let cold = Figure::at_most(format!("{streams}, cold"), 0.0, "µs", 50.0);
        over(cold, &["tenon-streams", &folder], "p50_micros", 1.0)?;
        let warm = Figure::at_most(format!("{streams}, warm"), 0.0, "µs", 15.0);
        over(warm, &["tenon-streams", &folder, "--warm"], "p50_micros", 1.0)?;
        remove(Path::new(&folder))?;
        Ok(figures)
    }

    /// What is written for what is stored.
    fn bytes(&self) -> Outcome<Vec<Figure>> {
        let row = "bytes written for each stored, 100 events a commit";
        if !self.wants(row) {
            return Ok(Vec::new());
        }
        let folder = self.fresh("bytes")?;
        let count = (self.many() / 5).to_string();
        let report = self.ask(&["tenon-fill", &folder, &count, "--each", "100", "--in-flight", "1"])?;
        let [written, zeros, stored] = ["written", "zeros", "stored"].map(|name| number(&report, name));
        remove(Path::new(&folder))?;
        Ok(vec![
            Figure::at_most(row, (written - zeros) / stored, "×", 1.15),
            Figure::plain("zeros written ahead for each byte stored", zeros / stored, "×"),
        ])
    }

    /// One consumer that acknowledges one by one.
    fn consumers(&self) -> Outcome<Vec<Figure>> {
        let row = "consume, acknowledged one by one";
        if !self.wants(row) {
            return Ok(Vec::new());
        }
        let jetstream = JetStream::start(&self.folder)?;
        self.ask(&["jetstream-append", jetstream.url(), "1024", self.seconds()])?;
        let folder = self.fresh("consume")?;
        let count = (self.many() / 5).to_string();
        self.ask(&["tenon-fill", &folder, &count, "--each", "100", "--in-flight", "16"])?;
        let mut rates = ["Tenon, over gRPC", "JetStream"].map(|name| (name, Vec::new()));
        for _ in 0..self.rounds() {
            let turns = [
                ["remote-consume", &folder, self.seconds()],
                ["jetstream-consume", jetstream.url(), self.seconds()],
            ];
            for ((_, rates), turn) in rates.iter_mut().zip(turns) {
                rates.push(number(&self.ask(&turn)?, "per_second"));
            }
        }
        remove(Path::new(&folder))?;
        Ok(of_rounds(row, &rates, &[("JetStream", 2.0)]))
    }

    /// From an append until a live subscriber to its type has the event.
    fn fan_out(&self) -> Outcome<Vec<Figure>> {
        let row = "fan-out, 10 k subscribers on 1 k topics, 5 k events/s, p99";
        if !self.wants(row) {
            return Ok(Vec::new());
        }
        let round = || -> Outcome<f64> {
            let folder = self.fresh("fan-out")?;
            let report = self.ask(&["remote-fan-out", &folder, "1000", "10", "5000", self.seconds()])?;
            remove(Path::new(&folder))?;
            Ok(number(&report, "p99_micros") / 1_000.0)
        };
        let taken: Outcome<Vec<f64>> = (0..self.rounds()).map(|_| round()).collect();
        Ok(vec![Figure::at_most(row, 0.0, "ms", 20.0).over_rounds(taken?)])
    }

    /// Commands through a decider, by the SDK's own example.
    fn commands(&self) -> Outcome<Vec<Figure>> {
        let row = "command through a decider, idempotent, synced, 64 callers";
        if !self.wants(row) {
            return Ok(Vec::new());
        }
        let home = target()?.join("bench-log");
        let example = ["--package", "tenon-sdk", "--example", "commands"];
        run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--quiet"])
            .args(example)
            .arg("--target-dir")
            .arg(&home))?;
        let program = home.join("release").join("examples").join("commands");
        let round = || -> Outcome<f64> {
            let folder = self.fresh("commands")?;
            let said = read(Command::new(&program).args([&folder, "64", self.seconds()]))?;
            remove(Path::new(&folder))?;
            Ok(number(&serde_json::from_str(&said)?, "commands_per_second"))
        };
        let rates: Outcome<Vec<f64>> = (0..self.rounds()).map(|_| round()).collect();
        Ok(vec![Figure::at_least(row, 0.0, "/s", 20_000.0).over_rounds(rates?)])
    }
}

/// The rates over the rounds, and the first one's ratios to others that have goals.
fn of_rounds(row: &str, rates: &[(&str, Vec<f64>)], goals: &[(&str, f64)]) -> Vec<Figure> {
    let of = rates
        .iter()
        .map(|(name, rates)| Figure::plain(format!("{row}, {name}"), 0.0, "/s").over_rounds(rates.clone()));
    of.chain(ratios(row, rates, goals)).collect()
}

/// The ratios of the first one's rates to those of others.
fn ratios(row: &str, rates: &[(&str, Vec<f64>)], goals: &[(&str, f64)]) -> Vec<Figure> {
    let own: &[f64] = rates.first().map_or(&[], |(_, rates)| rates);
    let ratio = |(peer, goal): &(&str, f64)| {
        let (_, theirs) = rates.iter().find(|(name, _)| name == peer)?;
        let ratios = own.iter().zip(theirs).map(|(own, theirs)| own / theirs).collect();
        Some(Figure::at_least(format!("{row}, Tenon / {peer}"), 0.0, "×", *goal).over_rounds(ratios))
    };
    goals.iter().filter_map(ratio).collect()
}

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or(f64::NAN)
}

pub(super) fn remove(folder: &Path) -> Outcome {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

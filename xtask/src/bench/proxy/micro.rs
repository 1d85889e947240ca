//! What single rules cost, from the criterion benches in `bench/micro`.

use crate::bench::Figure;
use crate::shell::{Outcome, root, run, target};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

pub(super) const ROW: &str = "criterion";

/// Where criterion keeps a bench's result, what it is, and its goal in nanoseconds.
const ROWS: &[(&str, &str, Option<f64>)] = &[
    ("pick among 1,000/round-robin", "pick among 1,000 endpoints, round robin", Some(50.0)),
    ("pick among 1,000/weighted-round-robin", "the same, weighted round robin", Some(50.0)),
    ("pick among 1,000/least-requests", "the same, least requests of two", Some(50.0)),
    ("pick among 1,000/peak-ewma", "the same, peak EWMA", Some(50.0)),
    ("pick among 1,000/random", "the same, random", Some(50.0)),
    ("pick among 1,000/ring-hash", "the same, ring hash", Some(50.0)),
    ("pick among 1,000/maglev", "the same, Maglev", Some(50.0)),
    ("pick among 1,000/least-connections", "the same, least connections of all (walks them)", None),
    ("breaker/check", "breaker's check", Some(20.0)),
    ("breaker/tenon", "breaker's check and report, with the time of day", None),
    ("breaker/tenon, 100 calls", "the same, with a window of 100 calls", None),
    ("breaker/tenon, 10 s", "the same, with a window of 10 s", None),
    ("breaker/failsafe", "the same, failsafe", None),
    ("breaker/tower-resilience", "the same, tower-resilience", None),
    ("route among 40,000", "route among 40,000", Some(300.0)),
    ("one route of 40,000 changed", "one route of 40,000 changed", None),
    ("retry budget, deposit", "retry budget, deposit", None),
];

pub(super) fn measure() -> Outcome<Vec<Figure>> {
    let home = target()?.join("bench-micro");
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["bench", "--quiet", "--manifest-path"])
        .arg(root().join("bench").join("micro").join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&home)
        .env("CRITERION_HOME", home.join("criterion"))
        .stdout(std::process::Stdio::null()))?;
    ROWS.iter()
        .map(|(place, name, goal)| {
            let median = median(&home.join("criterion").join(place))?;
            let name = format!("{ROW}, {name}");
            Ok(match goal {
                Some(goal) => Figure::at_most(name, median, "ns", *goal),
                None => Figure::plain(name, median, "ns"),
            })
        })
        .collect()
}

/// The median of a bench, in nanoseconds.
fn median(folder: &Path) -> Outcome<f64> {
    let file = folder.join("new").join("estimates.json");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let estimates: Value = serde_json::from_str(&text)?;
    estimates["median"]["point_estimate"].as_f64().ok_or_else(|| "an estimate of the median".into())
}

//! What is measured, as a line of JSON.

use serde::Serialize;
use std::time::Duration;

/// One run of one engine.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_micros: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_micros: Option<f64>,
    /// Processor time of this process for each event, in microseconds.
    pub(crate) cpu_micros: f64,
    /// Bytes given to `write` calls.
    pub(crate) written: u64,
    /// Of these, zeros to fill files ahead.
    pub(crate) zeros: u64,
    /// Bytes of events as they are stored.
    pub(crate) stored: u64,
    /// Resident memory, in bytes.
    pub(crate) resident: u64,
}

/// How long each of many took.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1e6);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn quantiles(mut self) -> (Option<f64>, Option<f64>) {
        self.0.sort_by(f64::total_cmp);
        let at = |share: f64| self.0.get((self.0.len() as f64 * share) as usize).copied();
        (at(0.5), at(0.99))
    }
}

impl Report {
    /// So many events in this time.
    pub(crate) fn of(events: u64, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        let cpu_micros = cpu().as_secs_f64() * 1e6 / events.max(1) as f64;
        Self {
            events,
            seconds,
            per_second: events as f64 / seconds,
            cpu_micros,
            written: written(),
            resident: resident(),
            ..Self::default()
        }
    }

    /// The same with how long each took.
    pub(crate) fn appended(events: u64, took: Duration, latencies: Latencies) -> Self {
        let (p50_micros, p99_micros) = latencies.quantiles();
        Self { p50_micros, p99_micros, ..Self::of(events, took) }
    }
}

fn status(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Bytes given to `write` calls by this process so far.
pub(crate) fn written() -> u64 {
    status("/proc/self/io", "wchar:")
}

fn resident() -> u64 {
    status("/proc/self/status", "VmRSS:") * 1_024
}

/// What this process has spent on processors, over all its threads.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let spent = tasks.map(|task| status(&task.path().join("schedstat").to_string_lossy(), ""));
    Duration::from_nanos(spent.sum())
}

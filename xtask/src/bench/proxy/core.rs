//! Which core runs what, and how much of it: the proxy has core 0 for itself; origin and load have core 1.

use crate::shell::Outcome;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::process::{Child, Command};
use std::time::Duration;

/// The proxy's.
const PROXY: usize = 0;
/// That of origin and load, which is this process.
const LOAD: usize = 1;

/// Puts this thread, and what it starts from now on, on the load's core.
pub(super) fn pin_load() -> Outcome {
    if sched_getaffinity(None)?.count() < 2 {
        return Err("this bench needs two cores: one for the proxy, one for origin and load".into());
    }
    Ok(pin(LOAD)?)
}

/// Starts a program on the proxy's core.
pub(super) fn spawn_on_proxy_core(command: &mut Command) -> io::Result<Child> {
    pin(PROXY)?;
    let child = command.spawn();
    pin(LOAD)?;
    child
}

fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// The time that a process's threads have spent on a core so far.
pub(super) fn cpu(pid: u32) -> Outcome<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split_whitespace().next().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// A process's resident memory that it shares with nobody, and its share of the rest, in KiB.
pub(super) fn kibibytes(pid: u32) -> Outcome<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("smaps_rollup has no Pss")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

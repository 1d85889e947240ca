//! Processes as the kernel shows them.

use rustix::process::{Pid, kill_process};
use std::collections::BTreeMap;
use std::fs;

pub(crate) use rustix::process::Signal;

/// Sends a signal to one process.
#[track_caller]
pub(crate) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// A process that is stopped. It continues when this is dropped, also when a test fails, so that the system can be ended.
#[derive(Debug)]
pub(crate) struct Stopped(u32);

impl Stopped {
    pub(crate) fn stop(pid: u32) -> Self {
        send(pid, Signal::STOP);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        send(self.0, Signal::CONT);
    }
}

/// Whether a process runs. One that has ended and was not waited for does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// The children of a process.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent && stat.state != 'Z')).collect()
}

/// All that descend from a process.
pub(crate) fn descendants(ancestor: u32) -> Vec<u32> {
    let mut found = children(ancestor);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// A process's program and arguments.
pub(crate) fn command_line(pid: u32) -> Vec<String> {
    pairs(pid, "cmdline")
}

/// The environment that a process was started with.
pub(crate) fn environment(pid: u32) -> BTreeMap<String, String> {
    let split = |pair: String| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pairs(pid, "environ").into_iter().filter_map(split).collect()
}

fn pairs(pid: u32, file: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let texts = bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

struct Stat {
    state: char,
    parent: u32,
}

/// `/proc/PID/stat`: the id, the name in parentheses (which may hold anything), the state, the parent.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}

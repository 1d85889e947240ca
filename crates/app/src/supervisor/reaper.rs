//! The process that ends what is left when a supervisor dies in any way.
//!
//! It reads a pipe whose other end only the supervisor keeps open. Every child writes its process group into
//! the pipe before it becomes its program, so no group can run that the reaper has not been told of. When
//! the pipe ends, the supervisor is gone, and every group that was not taken back is killed.

use rustix::process::{Pid, Signal, kill_process_group, setsid};
use std::collections::HashSet;
use std::io::{self, BufRead};

/// What a child writes before it becomes its program. Shorter than `PIPE_BUF`, so never torn.
pub(super) fn started(group: Pid) -> String {
    format!("+{}\n", group.as_raw_pid())
}

/// What the supervisor writes when a group has ended.
pub(super) fn ended(group: Pid) -> String {
    format!("-{}\n", group.as_raw_pid())
}

/// Reads until the supervisor is gone, then kills the groups that are left.
pub(crate) fn run(input: impl BufRead) -> io::Result<()> {
    // A session of its own: a terminal's interrupt must not end the reaper before the supervisor.
    let _ = setsid();
    for group in left_over(input)? {
        let _ = kill_process_group(group, Signal::KILL);
    }
    Ok(())
}

fn left_over(input: impl BufRead) -> io::Result<HashSet<Pid>> {
    let mut groups = HashSet::new();
    for line in input.lines() {
        let line = line?;
        let group = |text: &str| {
            let raw = text.parse::<u32>().ok().and_then(|raw| i32::try_from(raw).ok());
            raw.and_then(Pid::from_raw)
        };
        if let Some(group) = line.strip_prefix('+').and_then(group) {
            groups.insert(group);
        } else if let Some(group) = line.strip_prefix('-').and_then(group) {
            groups.remove(&group);
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests;

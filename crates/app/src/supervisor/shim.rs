//! The first moments of every child: what must hold before its program runs.
//!
//! Between `fork` and `exec` almost nothing is safe to do, so the supervisor starts this program again under
//! the hidden command `launch`, which ties itself to the supervisor and then becomes the wanted program.
//! Once it has, two things end it when the supervisor dies, however that dies: the kernel kills it (the
//! parent-death signal reaches the direct child), and the reaper kills its process group (which holds its
//! descendants).

use super::reaper;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Ties this process to its parent and becomes `command`. Returns only if that fails.
///
/// Standard input is the pipe to the reaper when it is called, and `/dev/null` in the program.
pub(crate) fn launch(parent: u32, command: &[String]) -> io::Error {
    match tie_to(parent) {
        Ok(()) => become_program(command),
        Err(error) => error,
    }
}

fn tie_to(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above; then nobody would end us.
    if getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        return Err(io::Error::other("the supervisor has ended"));
    }
    rustix::io::write(rustix::stdio::stdin(), reaper::started(getpid()).as_bytes())?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(())
}

fn become_program(command: &[String]) -> io::Error {
    let Some((program, arguments)) = command.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program is given");
    };
    Command::new(program).args(arguments).exec()
}

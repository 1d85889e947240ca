//! Children of the supervisor: started, watched and ended as process groups.
//!
//! Every child leads a group of its own and is launched through [`super::shim`]. When it ends, by itself or
//! by a signal, what is left of its group is killed at once: an instance is its whole group.
//!
//! All spawning happens on the main thread, because Linux sends the parent-death signal when the *thread*
//! that forked ends.

use super::output::{LogFile, Stream, capture};
use super::reaper;
use crate::clock;
use rustix::process::{Pid, Signal, kill_process_group};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;
use tenon_api::supervisor::Ending;
use tenon_core::Timestamp;
use tokio::process::{Child, Command};

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Where it starts.
    pub(crate) directory: PathBuf,
    /// Environment in addition to the supervisor's own.
    pub(crate) env: BTreeMap<String, String>,
    /// Variables of the supervisor's environment that it must not see.
    pub(crate) hidden: Vec<String>,
    /// Where its output goes.
    pub(crate) log: PathBuf,
}

/// A child that runs, or ran.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Pid,
    /// When it was started.
    pub(crate) started_at: Timestamp,
}

/// Starts children and tells the reaper of them.
#[derive(Debug)]
pub(crate) struct Launcher {
    own_program: PathBuf,
    reaper: RefCell<Reaper>,
    groups: RefCell<HashSet<Pid>>,
}

#[derive(Debug)]
struct Reaper {
    process: std::process::Child,
    pipe: PipeWriter,
}

impl Launcher {
    /// Starts the reaper.
    pub(crate) fn new() -> io::Result<Self> {
        let own_program = std::env::current_exe()?;
        let reaper = RefCell::new(start_reaper(&own_program)?);
        Ok(Self { own_program, reaper, groups: RefCell::default() })
    }

    /// Starts a child. Only from the main thread.
    ///
    /// # Errors
    /// The program cannot be found or may not be run, or the folder or the log file cannot be opened; nothing
    /// was started then.
    pub(crate) fn start(&self, program: &Program) -> io::Result<Running> {
        let search = self.search_path();
        let executable = find_executable(program, &search)?;
        let log = Rc::new(RefCell::new(LogFile::open(&program.log)?));
        let mut command = self.shim(&executable, program)?;
        command.env("PATH", &search);
        let mut child = command.spawn()?;
        let group = child
            .id()
            .and_then(|raw| i32::try_from(raw).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        if let Some(stdout) = child.stdout.take() {
            tokio::task::spawn_local(capture(stdout, Stream::Out, Rc::clone(&log)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::task::spawn_local(capture(stderr, Stream::Err, log));
        }
        self.groups.borrow_mut().insert(group);
        Ok(Running { child, group, started_at: clock::now() })
    }

    /// Waits until a child has ended and clears away what is left of its group.
    ///
    /// Cancel safe: the child is not lost when this future is dropped.
    pub(crate) async fn wait(&self, running: &mut Running) -> io::Result<Ending> {
        let status = running.child.wait().await?;
        if self.groups.borrow_mut().remove(&running.group) {
            let _ = kill_process_group(running.group, Signal::KILL);
            self.tell_reaper(&reaper::ended(running.group));
        }
        Ok(ending(status))
    }

    fn shim(&self, executable: &Path, program: &Program) -> io::Result<Command> {
        let mut command = Command::new(&self.own_program);
        command.arg("launch").arg(std::process::id().to_string()).arg("--").arg(executable);
        command.args(program.command.iter().skip(1));
        command.current_dir(&program.directory).process_group(0);
        for name in &program.hidden {
            command.env_remove(name);
        }
        command.envs(&program.env);
        command.stdin(self.reaper_pipe()?).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// A copy of the pipe's end for a child.
    fn reaper_pipe(&self) -> io::Result<PipeWriter> {
        self.reaper.borrow().pipe.try_clone()
    }

    fn tell_reaper(&self, line: &str) {
        if let Err(error) = self.reaper.borrow_mut().pipe.write_all(line.as_bytes()) {
            tracing::warn!(%error, "the reaper does not answer");
        }
    }

    /// Starts another reaper if the present one has ended, and tells it of the groups that run.
    pub(crate) fn ensure_reaper(&self) -> io::Result<()> {
        let mut reaper = self.reaper.borrow_mut();
        if reaper.process.try_wait()?.is_none() {
            return Ok(());
        }
        tracing::warn!("the reaper has ended; starting another");
        *reaper = start_reaper(&self.own_program)?;
        for group in self.groups.borrow().iter() {
            reaper.pipe.write_all(reaper::started(*group).as_bytes())?;
        }
        Ok(())
    }

    /// Ends the reaper, once nothing is left for it to end.
    pub(crate) fn end_reaper(&self) -> io::Result<()> {
        let mut reaper = self.reaper.borrow_mut();
        reaper.process.kill()?;
        reaper.process.wait().map(drop)
    }

    /// The supervisor's `PATH`, and after it the folder of this very program, so that what is shipped beside it is
    /// found.
    fn search_path(&self) -> OsString {
        let mut folders: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        folders.extend(self.own_program.parent().map(Path::to_owned));
        std::env::join_paths(folders).unwrap_or_default()
    }
}

impl Running {
    /// The process id, which is also the group's.
    pub(crate) fn pid(&self) -> u32 {
        self.group.as_raw_pid().unsigned_abs()
    }

    /// The process group.
    pub(crate) fn group(&self) -> Pid {
        self.group
    }
}

/// Sends a signal to a whole group; one that has ended already is no error.
pub(crate) fn signal(group: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(group, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(%error, group = group.as_raw_pid(), "cannot signal a process group");
    }
}

/// Asks a group to end, and makes it after `grace`. Returns when the signal that ends it has been sent.
pub(crate) async fn end(group: Pid, grace: Duration, ended: impl Future<Output = ()>) {
    signal(group, Signal::TERM);
    if tokio::time::timeout(grace, ended).await.is_err() {
        signal(group, Signal::KILL);
    }
}

fn start_reaper(own_program: &Path) -> io::Result<Reaper> {
    let (reader, pipe): (PipeReader, PipeWriter) = io::pipe()?;
    let process = std::process::Command::new(own_program)
        .arg("reap")
        .stdin(reader)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Reaper { process, pipe })
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, Some(number)) => Ending::Signal(number),
        // `wait` reports only ends, and an end is one of the two.
        (None, None) => Ending::Code(-1),
    }
}

/// Where the program is, as `execvp` would find it, so that a missing one is an error here and not an
/// instance that ends at once.
fn find_executable(program: &Program, search: &std::ffi::OsStr) -> io::Result<PathBuf> {
    let missing = |what: String| io::Error::new(io::ErrorKind::NotFound, what);
    let name = program.command.first().ok_or_else(|| missing("no program is given".into()))?;
    if !program.directory.is_dir() {
        return Err(missing(format!("the working directory {} does not exist", program.directory.display())));
    }
    if name.contains('/') {
        let path = program.directory.join(name);
        return if is_executable(&path) {
            Ok(path)
        } else {
            Err(missing(format!("{} is not an executable file", path.display())))
        };
    }
    std::env::split_paths(search)
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
        .ok_or_else(|| missing(format!("the program {name:?} is not in PATH, nor beside tenon")))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;

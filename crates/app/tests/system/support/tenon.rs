//! Commands, as they are typed.

use super::PATIENCE;
use super::system::START;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// Variables that would change what a command does.
const OWN_VARIABLES: [&str; 14] = [
    "TENON_DATA",
    "TENON_API",
    "TENON_TOKEN",
    "TENON_OUTPUT",
    "TENON_FILE",
    "TENON_API_LISTEN",
    "TENON_ADMIN",
    "TENON_ADMIN_LISTEN",
    "TENON_GATEWAY",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "NODE_USE_ENV_PROXY",
];

/// Runs `tenon` commands on one data folder.
#[derive(Debug, Clone)]
pub(crate) struct Tenon {
    directory: PathBuf,
    data: PathBuf,
    hold: &'static str,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    /// What it wrote to standard output: data.
    pub(crate) out: String,
    /// What it wrote to standard error: all else.
    pub(crate) err: String,
}

impl Tenon {
    /// A system that is started by it holds calls that find no instance for so long.
    pub(super) fn on(directory: &Path, data: &Path, hold: &'static str) -> Self {
        Self { directory: directory.to_owned(), data: data.to_owned(), hold }
    }

    /// A command, to be completed.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = plain_command(&self.directory, arguments);
        command.arg("--data").arg(&self.data);
        // Whether the machine is quick is not tested: what a tunnel carries may take its time to show.
        command.env("TENON_HOLD", self.hold).env("TENON_DETECT_TIMEOUT", "60s");
        if waits(arguments) && !arguments.contains(&"--wait") {
            command.arg("--wait").arg(START.as_secs().to_string());
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        finish(self.command(arguments), arguments).await
    }

    /// Runs a command without naming the data folder.
    pub(crate) async fn run_without_data(&self, arguments: &[&str]) -> Said {
        finish(plain_command(&self.directory, arguments), arguments).await
    }

    /// Runs a command that must succeed, and reads its JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> impl Future<Output = Value> {
        let arguments = [arguments, &["-o", "json"]].concat();
        async move { self.run(&arguments).await.succeeded().json() }
    }

    /// Starts a command that goes on printing.
    pub(crate) fn follow(&self, arguments: &[&str]) -> Lines {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Lines { _child: child, lines }
    }
}

/// What a command prints, line by line. Dropping it ends the command.
#[derive(Debug)]
pub(crate) struct Lines {
    _child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Lines {
    /// The next line.
    pub(crate) async fn next(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("no further line came in time").unwrap().expect("the command ended")
    }

    /// Whether the next line comes soon and contains a text.
    pub(crate) async fn has(&mut self, text: &str) -> bool {
        let soon = std::time::Duration::from_millis(100);
        tokio::time::timeout(soon, self.next()).await.is_ok_and(|line| line.contains(text))
    }

    /// The first line from here on that contains a text.
    pub(crate) async fn find(&mut self, text: &str) -> String {
        loop {
            let line = self.next().await;
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Said {
    /// The same, if it exited with 0.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.exited(0)
    }

    /// The same, if it exited with this code.
    #[track_caller]
    pub(crate) fn exited(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {:?}", self.out))
    }
}

fn plain_command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenon"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    for name in OWN_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Whether a command waits until a system, or a part of it, has started or ended.
fn waits(arguments: &[&str]) -> bool {
    arguments.first().is_some_and(|command| ["up", "down", "renew"].contains(command))
}

async fn finish(mut command: Command, arguments: &[&str]) -> Said {
    let limit = if waits(arguments) { START + PATIENCE } else { PATIENCE };
    let output = tokio::time::timeout(limit, command.kill_on_drop(true).output()).await;
    let output = output.unwrap_or_else(|_| panic!("`tenon {}` does not end", arguments.join(" "))).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

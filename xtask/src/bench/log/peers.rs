//! The servers beside Tenon's log, from Debian's packages, each in a folder of its own on a free port.

use crate::prepare;
use crate::shell::{Outcome, has};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// NATS with JetStream in files. Its version has no setting to sync each message.
pub(super) struct JetStream(Server);

/// Redis that syncs its log before it answers.
pub(super) struct Redis(Server);

/// A server that runs; dropping it ends it.
struct Server {
    process: Child,
    folder: PathBuf,
    url: String,
}

impl JetStream {
    pub(super) fn start(folder: &Path) -> Outcome<Self> {
        let program = installed("nats-server", "nats-server")?;
        Server::start(folder, "jetstream", "nats", |folder, port| {
            let mut command = Command::new(&program);
            command.args(["--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir"]).arg(folder);
            command
        })
        .map(Self)
    }

    pub(super) fn url(&self) -> &str {
        &self.0.url
    }
}

impl Redis {
    pub(super) fn start(folder: &Path) -> Outcome<Self> {
        let program = installed("redis-server", "redis-server")?;
        Server::start(folder, "redis", "redis", |folder, port| {
            let mut command = Command::new(&program);
            command.args(["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "yes"]);
            command
                .args(["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--dir"])
                .arg(folder);
            command
        })
        .map(Self)
    }

    pub(super) fn url(&self) -> &str {
        &self.0.url
    }
}

impl Server {
    fn start(
        home: &Path,
        name: &str,
        scheme: &str,
        command: impl FnOnce(&Path, &str) -> Command,
    ) -> Outcome<Self> {
        let folder = home.join(name);
        super::remove(&folder)?;
        std::fs::create_dir_all(&folder)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let process = command(&folder, &port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run {name}: {error}"))?;
        let server = Self { process, folder, url: format!("{scheme}://127.0.0.1:{port}") };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{name} does not listen").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Left over, it is overwritten by the next run.
        let _ = super::remove(&self.folder);
    }
}

/// Where a program is, which may be where only root's path leads.
fn installed(program: &str, package: &str) -> Outcome<PathBuf> {
    let apart = PathBuf::from("/usr/sbin").join(program);
    if !has(program) && !apart.is_file() {
        prepare::install(&[package])?;
    }
    Ok(if apart.is_file() { apart } else { program.into() })
}

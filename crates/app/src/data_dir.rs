//! The folder `.tenon/` beside a manifest: its layout, its version, and the lock that one supervisor holds.
//!
//! Layout (version 1): `VERSION LOCK log/ snapshots/ keys/ run/ logs/`; see `docs/decisions/0001`.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tenon_core::Code;

/// The version of the layout that this program writes.
const LAYOUT: u32 = 1;

/// A data folder that has the right version.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// A file operation failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The folder was written by another version.
    #[error(
        "{path} has layout version {found:?}, this program knows {LAYOUT}; use the program that wrote it, or another folder with --data"
    )]
    Version {
        /// The version file.
        path: PathBuf,
        /// What stands in it.
        found: String,
    },
    /// Another supervisor runs this system.
    #[error("this system is running already (supervisor pid {pid}, data folder {root})")]
    Locked {
        /// The other's process id as it wrote it, or `unknown`.
        pid: String,
        /// The folder.
        root: PathBuf,
    },
    /// A Unix socket's path may have 107 bytes.
    #[error(
        "the data folder's path {root} is too long for a Unix socket; choose one of at most 80 bytes with --data"
    )]
    TooLong {
        /// The folder.
        root: PathBuf,
    },
}

impl DataDirError {
    /// The stable code.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Code::AccessForbidden,
                _ => Code::Internal,
            },
            Self::Version { .. } => Code::DataNewerVersion,
            Self::Locked { .. } => Code::ServerLocked,
            Self::TooLong { .. } => Code::RequestInvalid,
        }
    }
}

/// Held for as long as a supervisor runs; the kernel lets go of it however the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl DataDir {
    /// Opens the folder, making it and its parts if they are missing.
    pub(crate) fn open(root: &Path) -> Result<Self, DataDirError> {
        make_dir(root, 0o755)?;
        let root = root.canonicalize().map_err(io_error("resolve", root))?;
        if root.as_os_str().len() > 80 {
            return Err(DataDirError::TooLong { root });
        }
        let dir = Self { root };
        dir.check_version()?;
        for (path, mode) in [
            (dir.log(), 0o755),
            (dir.snapshots(), 0o700),
            (dir.keys(), 0o700),
            (dir.run(), 0o700),
            (dir.logs(), 0o700),
        ] {
            make_dir(&path, mode)?;
        }
        Ok(dir)
    }

    /// The folder itself, absolute.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the segments of the log are.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Where the data plane keeps its last snapshot.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Where the token and the keys are.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Sockets and what else is worthless once nothing runs.
    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Where the output of the services goes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The socket on which the supervisor answers the server.
    pub(crate) fn supervisor_socket(&self) -> PathBuf {
        self.run().join("supervisor.sock")
    }

    /// The socket on which the data plane hands over to the next one.
    pub(crate) fn handover_socket(&self) -> PathBuf {
        self.run().join("proxy.sock")
    }

    /// Which process is the data plane that serves.
    pub(crate) fn proxy_pid_file(&self) -> PathBuf {
        self.run().join("proxy.pid")
    }

    /// The process of the data plane that serves, as it says itself; it may have ended.
    pub(crate) fn proxy_pid(&self) -> Option<u32> {
        fs::read_to_string(self.proxy_pid_file()).ok()?.trim().parse().ok()
    }

    /// Where the CLI finds the addresses of a running system.
    pub(crate) fn endpoints_file(&self) -> PathBuf {
        self.run().join("endpoints.json")
    }

    /// The API's token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.keys().join("api-token")
    }

    /// Takes the lock, or says who holds it.
    pub(crate) fn lock(&self) -> Result<Lock, DataDirError> {
        let path = self.root.join("LOCK");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(io_error("open", &path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(DataDirError::Locked { pid: read_pid(&mut file), root: self.root.clone() });
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(io_error("write", &path))?;
        Ok(Lock { _file: file })
    }

    /// The process id of the supervisor that holds the lock now, if one does.
    pub(crate) fn supervisor_pid(&self) -> Option<u32> {
        let mut file = File::open(self.root.join("LOCK")).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => None,
            Err(_) => read_pid(&mut file).parse().ok(),
        }
    }

    /// Whether the process lives that last took the lock. Takes no lock itself, so that it is in nobody's way.
    pub(crate) fn is_supervised(&self) -> bool {
        let pid =
            File::open(self.root.join("LOCK")).ok().and_then(|mut file| read_pid(&mut file).parse().ok());
        pid.and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
    }

    fn check_version(&self) -> Result<(), DataDirError> {
        let path = self.root.join("VERSION");
        match fs::read_to_string(&path) {
            Ok(found) if found.trim() == LAYOUT.to_string() => Ok(()),
            Ok(found) => Err(DataDirError::Version { path, found: found.trim().chars().take(40).collect() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Written beside its place and moved there: a crash must not leave an empty version.
                let draft = self.root.join("VERSION.draft");
                let written =
                    fs::write(&draft, format!("{LAYOUT}\n")).and_then(|()| fs::rename(&draft, &path));
                written.map_err(io_error("write", &path))
            }
            Err(source) => Err(DataDirError::Io { what: "read", path, source }),
        }
    }
}

fn read_pid(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<(), DataDirError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(io_error("make the folder", path))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { what, path, source }
}

#[cfg(test)]
mod tests;

//! What the server and the supervisor say to each other over the supervisor's unix socket.
//!
//! Life cycle: the supervisor listens on `.tenon/run/supervisor.sock` (mode 0600). The server connects, says
//! [`Call::Hello`] first, and then asks what runs ([`Call::List`]), so that it adopts rather than starts
//! again. Every request has an id of the caller's choosing, and exactly one reply with that id, in any order;
//! between replies, [`Message`]s tell what happens. When the connection ends nothing stops: the next server
//! that connects finds everything as it was. A second connection replaces the first, which is closed.
//!
//! Form: one JSON document a line, at most [`MAX_LINE`] bytes with its line feed ([`LineReader`],
//! [`LineWriter`]). A line that cannot be read ends the connection.
//!
//! Left out on purpose: who may connect (the socket's mode decides) and what the server wants to run.

mod line;

pub use line::{LineError, LineReader, LineWriter, MAX_LINE};

use crate::text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tenon_core::{Code, InstanceId, Refusal, ServiceRef, Timestamp};

/// The version of this protocol. Both sides say theirs; where they differ the supervisor refuses with
/// `data.newer-version` and closes.
pub const PROTOCOL_VERSION: u32 = 1;

/// What the server sends: something to do, with an id for the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Chosen by the server; unique among the requests that are not yet replied to.
    pub id: u64,
    /// What to do.
    pub call: Call,
}

/// What the supervisor can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// The first request of a connection; answered with [`Outcome::Welcome`]. Any other before it is refused
    /// with `request.invalid`.
    Hello {
        /// [`PROTOCOL_VERSION`] of the server.
        version: u32,
    },
    /// Start a process; answered with [`Outcome::Spawned`] once its program runs. Refused with
    /// `registry.duplicate-instance` if the instance runs, and `runtime.start-failed` if it cannot be started.
    Spawn(Box<Spawn>),
    /// End an instance: SIGTERM to its process group now, SIGKILL after the grace. Answered with
    /// [`Outcome::Stopping`] at once; [`Message::Exited`] follows. Asking again may only shorten the grace.
    /// Refused with `registry.unknown-instance` if it does not run.
    Stop {
        /// The instance.
        #[serde(with = "text")]
        instance: InstanceId,
        /// How long it may take to end by itself.
        #[serde(rename = "grace_ms", with = "text::millis")]
        grace: Duration,
    },
    /// What runs, and what has ended unheard; answered with [`Outcome::Listing`].
    List,
}

/// A process to start. `Debug` shows the names of its variables but not their values: they hold secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spawn {
    /// The instance that it is.
    #[serde(with = "text")]
    pub instance: InstanceId,
    /// The service that it is an instance of.
    #[serde(with = "text")]
    pub service: ServiceRef,
    /// The program and its arguments. Never empty.
    pub command: Vec<String>,
    /// Where it starts, relative to the manifest's folder; that folder if not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Environment in addition to the supervisor's own.
    pub env: BTreeMap<String, String>,
    /// Variables whose values are secrets of the supervisor's environment: here the name that the process
    /// sees, and the name that the supervisor has it under. One that the supervisor lacks fails the start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Where its output goes, in `.tenon/logs`.
    #[serde(with = "text")]
    pub log_file: FileName,
}

/// The name of a file within a known folder: 1 to 128 characters of `a-z A-Z 0-9 . _ -`, not beginning with `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// The log file of an instance, `INSTANCE.log`.
    pub fn log_of(instance: &InstanceId) -> Self {
        Self(format!("{instance}.log"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`FileName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a file name must have 1 to 128 characters of a-z, A-Z, 0-9, '.', '_' and '-', and not begin with '.'"
)]
pub struct InvalidFileName;

impl std::str::FromStr for FileName {
    type Err = InvalidFileName;
    fn from_str(text: &str) -> Result<Self, InvalidFileName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 128 || text.starts_with('.') || !text.bytes().all(allowed) {
            return Err(InvalidFileName);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Spawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawn")
            .field("instance", &self.instance)
            .field("service", &self.service)
            .field("command", &self.command)
            .field("working_directory", &self.working_directory)
            .field("env", &self.env.keys())
            .field("secrets", &self.secrets)
            .field("log_file", &self.log_file)
            .finish()
    }
}

/// What the supervisor sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    /// The answer to a request.
    Reply {
        /// The request's id.
        id: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// A process has ended, and nothing of its group is left.
    Exited(Exited),
    /// The supervisor is ending the whole system: it stops every process itself, and refuses to start any.
    ShuttingDown,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// To [`Call::Hello`].
    Welcome {
        /// [`PROTOCOL_VERSION`] of the supervisor.
        version: u32,
        /// Its process id.
        pid: u32,
    },
    /// To [`Call::Spawn`].
    Spawned(Process),
    /// To [`Call::Stop`].
    Stopping,
    /// To [`Call::List`].
    Listing {
        /// What runs now.
        running: Vec<Process>,
        /// What has ended while no server was connected, oldest first; only the last 1,000, and told only once.
        ended: Vec<Exited>,
    },
    /// It was refused; nothing was changed.
    Refused {
        /// The code.
        #[serde(with = "text::code")]
        code: Code,
        /// One sentence for people.
        detail: String,
    },
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { code: refusal.code, detail: refusal.detail }
    }
}

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The instance that it is.
    #[serde(with = "text")]
    pub instance: InstanceId,
    /// The service that it is an instance of.
    #[serde(with = "text")]
    pub service: ServiceRef,
    /// Its process id, which is also its process group's.
    pub pid: u32,
    /// When it was started.
    #[serde(with = "text::time")]
    pub started_at: Timestamp,
}

/// A process that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exited {
    /// The instance that it was.
    #[serde(with = "text")]
    pub instance: InstanceId,
    /// The process id that it had.
    pub pid: u32,
    /// How it ended.
    pub ending: Ending,
    /// When its end was noticed.
    #[serde(with = "text::time")]
    pub at: Timestamp,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(number) => write!(f, "was ended by signal {number}"),
        }
    }
}

#[cfg(test)]
mod tests;

//! What a server makes of the processes that it finds when it connects to the supervisor.

use super::{Command, Exit};
use crate::id::InstanceId;
use crate::time::Timestamp;

/// What the supervisor says of one process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Observed {
    /// It runs.
    Running {
        /// Its process id.
        pid: u32,
        /// When it was started.
        started_at: Timestamp,
    },
    /// It has ended, and nobody took note yet.
    Ended(Exit),
}

/// What to do about what was found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Adoption {
    /// What to record, in order.
    pub commands: Vec<Command>,
    /// Processes that the log does not know; the supervisor is to end them.
    pub unknown: Vec<InstanceId>,
}

//! What is to be done so that what runs becomes what should run.

use super::{SpecHash, StopReason};
use crate::id::{InstanceId, ServiceRef};
use crate::time::Timestamp;
use std::time::Duration;

/// How long an instance that was in rotation goes on running after it was taken out, for the data planes to
/// hear of it and for the calls in flight to end.
pub const DRAIN: Duration = Duration::from_secs(1);

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start an instance: choose an id and ports, record [`Command::Announce`](super::Command::Announce), ask the
    /// supervisor, report.
    Start {
        /// The service.
        service: ServiceRef,
        /// Which replica.
        slot: u32,
        /// What to start.
        spec: SpecHash,
    },
    /// Take an instance out of rotation: record [`Command::Stop`](super::Command::Stop).
    Stop {
        /// The instance.
        instance: InstanceId,
        /// Why.
        reason: StopReason,
    },
    /// Ask the supervisor to end a process: SIGTERM, and SIGKILL after its grace. Planned until the end is
    /// reported; to ask again changes nothing.
    Terminate {
        /// The instance.
        instance: InstanceId,
    },
}

/// What to do now, and when to look again.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// In order; each is carried out whatever becomes of the others.
    pub actions: Vec<Action>,
    /// When a plan will differ although nothing happened; `None` if it will not.
    pub wake_at: Option<Timestamp>,
}

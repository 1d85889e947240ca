//! The runtime: which processes of managed services should run, and which do.
//!
//! Life cycle of an instance: *starting* (announced in the log before the supervisor is asked, so that no
//! process is unknown), *running*, *stopping* (out of rotation, then told to end) and gone, once its end was
//! recorded. What should run follows from the manifest and from what was asked by hand: services are stopped,
//! started and scaled. [`plan()`] compares both and answers with actions that the shell executes with no choices
//! left; it takes no input but the state, so that a plan after a signal, a timer or a restart is the same plan.
//!
//! - A process that ends unasked is started again after a back-off, which is folded from the log: 100 ms,
//!   doubling to 30 s, from the start again after a run of 10 s, for another specification, or by `start`.
//! - Each service has numbered slots, one for each replica; scaling down empties the highest first.
//! - When a service's [specification](SpecHash) changes, one slot after the other gets a second instance, whose
//!   health ends the first. A replacement that does not become healthy changes nothing more.
//! - An instance is started only while its service has at most as many processes as replicas.
//!
//! Left out on purpose: spawning, signals and waiting (the supervisor), health (module
//! [`health`](crate::health)).

mod adopt;
mod decide;
mod evolve;
mod plan;
mod spec;

pub use adopt::{Adoption, Observed, adopt};
pub use decide::decide;
pub use plan::{Action, DRAIN, Plan, plan};
pub use spec::{SpecHash, instance_id, spec_hash};

use crate::health::cut;
use crate::id::{InstanceId, ServiceRef};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The wait before the first restart of a slot; each further one is twice as long.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The longest wait before a restart.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// A process that ran this long is taken for a good one: the back-off begins anew.
pub const STEADY: Duration = Duration::from_secs(10);

/// Desired and observed processes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Services that were stopped or scaled by hand, or that have or had instances.
    services: BTreeMap<ServiceRef, Service>,
    /// The service of each instance.
    service_of: BTreeMap<InstanceId, ServiceRef>,
}

/// What is known of one managed service.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// Whether it was stopped by hand.
    pub stopped: bool,
    /// How many replicas it was scaled to by hand; as many as the manifest says if not stated.
    pub scaled: Option<u32>,
    /// Its instances: every process that runs, may run, or will.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// How the slots fared that had an instance end unasked.
    pub slots: BTreeMap<u32, Slot>,
}

/// One process, or what is about to be one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Which replica of its service it is, counted from 1.
    pub slot: u32,
    /// What it was started with.
    pub spec: SpecHash,
    /// The ports that it was given.
    pub ports: Ports,
    /// When it was announced.
    pub announced_at: Timestamp,
    /// Its process, once it runs.
    pub process: Option<Process>,
    /// Whether it is to end, since when and why.
    pub stopping: Option<Stopping>,
}

/// Ports of 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// Where the application listens (its `PORT`).
    pub application: u16,
    /// Where its sidecar takes calls from other processes.
    pub inbound: u16,
    /// Where its sidecar takes its own calls.
    pub outbound: u16,
}

/// A process of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its process id, and its group's.
    pub pid: u32,
    /// When the supervisor started it; with the id this names a process even when ids are used again.
    pub started_at: Timestamp,
    /// When its start was recorded.
    pub recorded_at: Timestamp,
}

/// An instance is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stopping {
    /// Why.
    pub reason: StopReason,
    /// When that was recorded.
    pub since: Timestamp,
}

/// How a slot fared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Ends in a row that nobody asked for.
    pub failures: u32,
    /// When the last of them was.
    pub ended_at: Timestamp,
    /// How it was.
    pub exit: Exit,
    /// What had been started.
    pub spec: SpecHash,
}

/// Why an instance is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopReason {
    /// Its service was stopped by hand.
    ServiceStopped,
    /// Its service has fewer replicas now.
    ScaledDown,
    /// Its service is no longer in the manifest, or no longer one that Tenon runs.
    ServiceRemoved,
    /// Another instance with the present specification took its place.
    Replaced,
    /// It was unhealthy for too long.
    Unhealthy,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// While nobody watched.
    Lost,
    /// It could not be started.
    StartFailed(String),
}

/// What may be asked of the runtime, and what the shell reports to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Run a service again that was stopped, and restart what waits for its back-off.
    StartService {
        /// The service.
        service: ServiceRef,
    },
    /// End all instances of a service, and start none.
    StopService {
        /// The service.
        service: ServiceRef,
    },
    /// Run this many replicas.
    ScaleService {
        /// The service.
        service: ServiceRef,
        /// How many.
        replicas: u32,
    },
    /// Run as many replicas as the manifest says.
    UnscaleService {
        /// The service.
        service: ServiceRef,
    },
    /// An instance is about to be started: carries out [`Action::Start`].
    Announce {
        /// The instance; a new id.
        instance: InstanceId,
        /// Its service.
        service: ServiceRef,
        /// Which replica.
        slot: u32,
        /// What it is started with.
        spec: SpecHash,
        /// Its ports; none may be in use by another instance.
        ports: Ports,
    },
    /// The supervisor says that a process runs.
    ReportStarted {
        /// The instance.
        instance: InstanceId,
        /// Its process id.
        pid: u32,
        /// When it was started.
        started_at: Timestamp,
    },
    /// The supervisor says that a process ended, or never began.
    ReportExited {
        /// The instance.
        instance: InstanceId,
        /// How.
        exit: Exit,
    },
    /// End an instance: carries out [`Action::Stop`].
    Stop {
        /// The instance.
        instance: InstanceId,
        /// Why.
        reason: StopReason,
    },
}

/// What happened in the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A service may run (again), and its back-offs are forgotten.
    ServiceStarted {
        /// The service.
        service: ServiceRef,
    },
    /// A service was stopped by hand.
    ServiceStopped {
        /// The service.
        service: ServiceRef,
    },
    /// A service was scaled by hand, or that ended.
    ServiceScaled {
        /// The service.
        service: ServiceRef,
        /// How many replicas; as many as the manifest says if not stated.
        replicas: Option<u32>,
    },
    /// An instance is about to be started.
    InstanceStarting {
        /// The instance.
        instance: InstanceId,
        /// Its service.
        service: ServiceRef,
        /// Which replica.
        slot: u32,
        /// What it is started with.
        spec: SpecHash,
        /// Its ports.
        ports: Ports,
    },
    /// Its process runs.
    InstanceStarted {
        /// The instance.
        instance: InstanceId,
        /// Its service.
        service: ServiceRef,
        /// Its process id.
        pid: u32,
        /// When it was started.
        started_at: Timestamp,
    },
    /// It is to end.
    InstanceStopping {
        /// The instance.
        instance: InstanceId,
        /// Its service.
        service: ServiceRef,
        /// Why.
        reason: StopReason,
    },
    /// Its process ended, or never began.
    InstanceExited {
        /// The instance.
        instance: InstanceId,
        /// Its service.
        service: ServiceRef,
        /// How.
        exit: Exit,
    },
}

impl Ports {
    /// The three ports.
    pub fn all(&self) -> [u16; 3] {
        [self.application, self.inbound, self.outbound]
    }
}

impl Exit {
    /// The most bytes of the reason why a process could not be started.
    pub const MAX_REASON: usize = 1_024;

    /// A process that could not be started; the reason is cut to [`Exit::MAX_REASON`] bytes.
    pub fn start_failed(reason: &str) -> Self {
        Self::StartFailed(cut(reason, Self::MAX_REASON))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Self::Lost => f.write_str("ended while no supervisor watched"),
            Self::StartFailed(reason) => write!(f, "could not be started: {reason}"),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceStopped => "its service was stopped",
            Self::ScaledDown => "its service was scaled down",
            Self::ServiceRemoved => "its service was removed",
            Self::Replaced => "it was replaced",
            Self::Unhealthy => "it was unhealthy for too long",
        })
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

//! The registry: which instances there are of each service, and which of them may be called.
//!
//! Life cycle: an instance is registered as [`Unknown`](crate::health::Status::Unknown), turns healthy and
//! unhealthy as the verdicts of its checks are recorded, may be drained, and is deregistered. [`decide`]
//! holds what is permitted, [`State::evolve`] folds what was recorded; lookups read the state and nothing else,
//! so they answer the healthy instances of the named service and no others.
//!
//! Left out on purpose: how a verdict comes about (module [`health`](crate::health)), heartbeats and checks
//! themselves (they are volatile), and which services there are (module [`catalog`](crate::catalog)).

mod instance;

pub use instance::{Instance, Labels, Metadata, Origin, Registration, Sidecar};

use crate::health::{Evidence, Status};
use crate::id::{InstanceId, ServiceRef};
use std::collections::BTreeMap;
use std::fmt;

/// The most instances that may be registered at once.
pub const MAX_INSTANCES: usize = 10_000;

/// All instances.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The instances of each service that has any.
    services: BTreeMap<ServiceRef, BTreeMap<InstanceId, Instance>>,
    /// The service of each instance.
    service_of: BTreeMap<InstanceId, ServiceRef>,
}

/// What may be asked of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Add an instance. Its id must be new.
    Register(Registration),
    /// Change an instance's labels.
    Update {
        /// The service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
        /// Its labels from now on.
        labels: Labels,
    },
    /// Take an instance out.
    Deregister {
        /// The service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
        /// Why.
        reason: DeregisterReason,
    },
    /// Record a verdict of the health checks.
    RecordHealth {
        /// The service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
        /// What is believed from now on.
        to: Status,
        /// Why.
        evidence: Evidence,
    },
    /// Stop calling an instance that will be taken out.
    Drain {
        /// The service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
    },
}

/// What happened in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// An instance was added; nothing is known of its health yet.
    InstanceRegistered(Registration),
    /// An instance's labels changed.
    InstanceUpdated {
        /// The service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
        /// Its labels from now on.
        labels: Labels,
    },
    /// An instance was taken out.
    InstanceDeregistered {
        /// The service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
        /// Why.
        reason: DeregisterReason,
    },
    /// The belief about an instance changed.
    InstanceHealthChanged {
        /// The service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
        /// What was believed.
        from: Status,
        /// What is believed from now on.
        to: Status,
        /// Why.
        evidence: Evidence,
    },
    /// An instance is called no more and will be taken out.
    InstanceDraining {
        /// The service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
    },
}

/// Why an instance was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeregisterReason {
    /// Somebody asked for it.
    Requested,
    /// Its process ended.
    Ended,
    /// It was unhealthy for too long.
    Unhealthy,
    /// The manifest no longer names it.
    Removed,
}

/// What folding an event changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Changed {
    /// The service whose instances changed.
    pub service: ServiceRef,
    /// Whether that concerns the instances that may be called.
    pub endpoints: bool,
}

impl fmt::Display for DeregisterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "requested",
            Self::Ended => "its process ended",
            Self::Unhealthy => "unhealthy for too long",
            Self::Removed => "no longer in the manifest",
        })
    }
}

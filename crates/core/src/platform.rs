//! The platform: the catalog, the registry, the configuration and the runtime as one machine.
//!
//! Life cycle: a server folds every event of the control streams into one [`State`]. For a change it asks
//! [`decide()`], appends the events that it answers with in one append, under the condition that no other control
//! event came in between, and folds them. What a data plane is told is derived from the state by [`routes`],
//! [`endpoints`] and [`sidecars`]; [`Changes`] says which of them to derive anew.
//!
//! Purpose: what concerns several machines at once. Applying a manifest also sets configuration, registers the
//! addresses of services that run elsewhere and ends scaling by hand; the end of a process also deregisters the
//! instance. Each such group is one append, all or nothing.
//!
//! Left out on purpose: serialisation (crate `api`), and everything volatile (checks, heartbeats).

mod decide;
mod derive;
mod evolve;
pub mod invariants;
mod streams;

pub use decide::decide;
pub use derive::{
    endpoints, health_config, orchestrator, own_sidecar, own_sidecars, pusher, routes, sidecars,
};
pub use streams::{CONTROL_TAG, namespace, stream, tags};

use crate::id::{InstanceId, LogId, Position, Revision, ServiceRef};
use crate::{catalog, config, duty, registry, runtime};
use std::collections::BTreeSet;

/// Everything that control knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The applied system.
    pub catalog: catalog::State,
    /// All instances.
    pub registry: registry::State,
    /// All configuration.
    pub config: config::State,
    /// All processes.
    pub runtime: runtime::State,
    /// Which server has which duty.
    pub duties: duty::State,
    /// How far the log has been folded.
    pub revision: Revision,
}

/// What may be asked of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// To the catalog, with all that follows from another manifest.
    Catalog(catalog::Command),
    /// To the registry.
    Registry(registry::Command),
    /// To the configuration.
    Config(config::Command),
    /// To the runtime.
    Runtime(runtime::Command),
    /// About duties.
    Duty(duty::Command),
    /// An instance was unhealthy for too long: it is stopped if Tenon runs it, otherwise deregistered.
    GiveUp {
        /// Its service.
        service: ServiceRef,
        /// The instance.
        instance: InstanceId,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// To the catalog.
    Catalog(catalog::Event),
    /// In the registry.
    Registry(registry::Event),
    /// To the configuration.
    Config(config::Event),
    /// In the runtime.
    Runtime(runtime::Event),
    /// About duties.
    Duty(duty::Event),
}

/// What folding events changed: what to derive anew and whom to tell.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Changes {
    /// How far the log has been folded.
    pub position: Position,
    /// Routes changed: see [`routes`].
    pub routes: bool,
    /// The instances of these services changed in some way.
    pub instances: BTreeSet<ServiceRef>,
    /// The instances of these services that may be called changed: see [`endpoints`].
    pub endpoints: BTreeSet<ServiceRef>,
    /// Sidecars changed: see [`sidecars`].
    pub sidecars: bool,
    /// The processes of these services, or what should run, changed.
    pub runtime: BTreeSet<ServiceRef>,
    /// Configuration changed, in order.
    pub config: Vec<config::Change>,
}

impl State {
    /// Nothing, before the first event of a log.
    pub fn new(log: LogId) -> Self {
        Self {
            catalog: catalog::State::default(),
            registry: registry::State::default(),
            config: config::State::default(),
            runtime: runtime::State::default(),
            duties: duty::State::default(),
            revision: Revision { log, position: Position::START },
        }
    }
}

impl Changes {
    /// Adds what later events changed.
    pub fn merge(&mut self, later: Self) {
        self.position = later.position;
        self.routes |= later.routes;
        self.instances.extend(later.instances);
        self.endpoints.extend(later.endpoints);
        self.sidecars |= later.sidecars;
        self.runtime.extend(later.runtime);
        self.config.extend(later.config);
    }
}

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

//! The registry: which instances there are of each service, and which of them may be called.
//!
//! Life cycle: an instance is registered as [`Unknown`](crate::health::Status::Unknown), turns healthy and
//! unhealthy as the verdicts of its checks are recorded, may be drained, and is deregistered. [`decide()`]
//! holds what is permitted, [`State::evolve`] folds what was recorded; lookups read the state and nothing else,
//! so they answer the healthy instances of the named service and no others.
//!
//! Left out on purpose: how a verdict comes about (module [`health`](crate::health)), heartbeats and checks
//! themselves (they are volatile), and which services there are (module [`catalog`](crate::catalog)).

mod decide;
mod instance;

pub use decide::decide;
pub use instance::{Instance, Labels, Metadata, Origin, Registration, Sidecar};

use crate::catalog;
use crate::error::{Code, Refusal};
use crate::health::{Evidence, Status};
use crate::id::{InstanceId, ServiceRef};
use crate::stamp::Stamp;
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
    /// Whether that concerns the instances that data planes are told of.
    pub endpoints: bool,
}

impl State {
    /// The instances of a service that may be called: healthy and not draining. Never empty.
    ///
    /// # Errors
    /// `registry.unknown-service` or `registry.no-healthy-instance`.
    pub fn lookup(&self, catalog: &catalog::State, service: &ServiceRef) -> Result<Vec<&Instance>, Refusal> {
        catalog.service(service)?;
        let callable: Vec<_> = self.instances(service).filter(|it| it.is_callable()).collect();
        if callable.is_empty() {
            return Err(self.no_healthy_instance(service));
        }
        Ok(callable)
    }

    /// All instances of a service by id, whatever their health; none if it is unknown.
    pub fn instances(&self, service: &ServiceRef) -> impl Iterator<Item = &Instance> {
        self.services.get(service).into_iter().flat_map(BTreeMap::values)
    }

    /// All instances, by service and id.
    pub fn all(&self) -> impl Iterator<Item = &Instance> {
        self.services.values().flat_map(BTreeMap::values)
    }

    /// The services that have instances.
    pub fn services(&self) -> impl Iterator<Item = &ServiceRef> {
        self.services.keys()
    }

    /// An instance by its id.
    pub fn get(&self, id: &InstanceId) -> Option<&Instance> {
        self.services.get(self.service_of.get(id)?)?.get(id)
    }

    /// An instance of a service.
    ///
    /// # Errors
    /// `registry.unknown-service` or `registry.unknown-instance`.
    pub fn instance(
        &self,
        catalog: &catalog::State,
        service: &ServiceRef,
        id: &InstanceId,
    ) -> Result<&Instance, Refusal> {
        let Some(instances) = self.services.get(service) else {
            catalog.service(service)?;
            return Err(unknown_instance(service, id));
        };
        instances.get(id).ok_or_else(|| unknown_instance(service, id))
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.service_of.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.service_of.is_empty()
    }

    /// Folds an event and says what it changed. An event that does not fit the state changes nothing.
    pub fn evolve(&mut self, stamp: &Stamp, event: &Event) -> Option<Changed> {
        match event {
            Event::InstanceRegistered(registration) => self.add(stamp, registration),
            Event::InstanceDeregistered { service, instance, .. } => self.take_out(service, instance),
            Event::InstanceUpdated { service, instance, labels } => {
                self.change(stamp, service, instance, |it| it.registration.labels = labels.clone())
            }
            Event::InstanceHealthChanged { service, instance, to, .. } => {
                self.change(stamp, service, instance, |it| {
                    it.status = *to;
                    it.status_since = stamp.time;
                    it.was_healthy |= *to == Status::Healthy;
                })
            }
            Event::InstanceDraining { service, instance } => {
                self.change(stamp, service, instance, |it| it.draining = true)
            }
        }
    }

    /// Whether both indexes say the same.
    pub(crate) fn is_consistent(&self) -> bool {
        let counted: usize = self.services.values().map(BTreeMap::len).sum();
        let agrees = |(id, service): (&InstanceId, &ServiceRef)| {
            self.services
                .get(service)
                .and_then(|it| it.get(id))
                .is_some_and(|it| it.registration.id == *id && it.registration.service == *service)
        };
        counted == self.service_of.len()
            && self.services.values().all(|it| !it.is_empty())
            && self.service_of.iter().all(agrees)
    }

    fn add(&mut self, stamp: &Stamp, registration: &Registration) -> Option<Changed> {
        if self.service_of.contains_key(&registration.id) {
            return None;
        }
        let (id, service) = (registration.id.clone(), registration.service.clone());
        let instance = Instance {
            registration: registration.clone(),
            status: Status::Unknown,
            draining: false,
            registered_at: stamp.time,
            changed_at: stamp.time,
            status_since: stamp.time,
            was_healthy: false,
        };
        self.service_of.insert(id.clone(), service.clone());
        self.services.entry(service.clone()).or_default().insert(id, instance);
        Some(Changed { service, endpoints: false })
    }

    fn take_out(&mut self, service: &ServiceRef, id: &InstanceId) -> Option<Changed> {
        let instances = self.services.get_mut(service)?;
        let instance = instances.remove(id)?;
        if instances.is_empty() {
            self.services.remove(service);
        }
        self.service_of.remove(id);
        Some(Changed { service: service.clone(), endpoints: instance.is_listed() })
    }

    fn change(
        &mut self,
        stamp: &Stamp,
        service: &ServiceRef,
        id: &InstanceId,
        change: impl FnOnce(&mut Instance),
    ) -> Option<Changed> {
        let instance = self.services.get_mut(service)?.get_mut(id)?;
        let was_listed = instance.is_listed();
        change(instance);
        instance.changed_at = stamp.time;
        Some(Changed { service: service.clone(), endpoints: was_listed || instance.is_listed() })
    }

    fn no_healthy_instance(&self, service: &ServiceRef) -> Refusal {
        let known = self.instances(service).count();
        let detail = match known {
            0 => format!("{service} has no instance; start it, or register one"),
            _ => format!("{service} has {known} instances and none is healthy; `tenon instances` says why"),
        };
        Refusal::new(Code::RegistryNoHealthyInstance, detail)
    }
}

fn unknown_instance(service: &ServiceRef, id: &InstanceId) -> Refusal {
    Refusal::new(
        Code::RegistryUnknownInstance,
        format!("{service} has no instance {id}; `tenon instances` lists those that there are"),
    )
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

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

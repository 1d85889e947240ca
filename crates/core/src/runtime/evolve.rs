//! How the runtime's state follows from what was recorded.

use super::{
    Event, Exit, FIRST_BACKOFF, Instance, LONGEST_BACKOFF, Process, STEADY, Service, Slot, State, Stopping,
};
use crate::catalog;
use crate::id::{InstanceId, ServiceRef};
use crate::manifest::Workload;
use crate::stamp::Stamp;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl State {
    /// What is known of a service; `None` if nothing was ever asked or started.
    pub fn service(&self, service: &ServiceRef) -> Option<&Service> {
        self.services.get(service)
    }

    /// The services that something is known of.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceRef, &Service)> {
        self.services.iter()
    }

    /// The instances of all services.
    pub fn instances(&self) -> impl Iterator<Item = (&ServiceRef, &Instance)> {
        self.services.iter().flat_map(|(name, service)| service.instances.values().map(move |it| (name, it)))
    }

    /// An instance and its service.
    pub fn get(&self, id: &InstanceId) -> Option<(&ServiceRef, &Instance)> {
        let service = self.service_of.get(id)?;
        Some((service, self.services.get(service)?.instances.get(id)?))
    }

    /// The ports that instances have: none of them may be given to another.
    pub fn used_ports(&self) -> BTreeSet<u16> {
        self.instances().flat_map(|(_, instance)| instance.ports.all()).collect()
    }

    /// How many replicas of a service should run: as many as it was scaled to or its manifest says, none if it is
    /// stopped or not one that Tenon runs.
    pub fn wanted(&self, catalog: &catalog::State, service: &ServiceRef) -> u32 {
        let Some(Workload::Process(process)) = catalog.get(service).map(|it| &it.workload) else { return 0 };
        match self.services.get(service) {
            Some(known) if known.stopped => 0,
            known => known.and_then(|it| it.scaled).unwrap_or(process.replicas),
        }
    }

    /// Folds an event and names the service that it concerns. An event that does not fit the state changes
    /// nothing.
    pub fn evolve(&mut self, stamp: &Stamp, event: &Event) -> Option<ServiceRef> {
        let service = match event {
            Event::ServiceStarted { service } => self.order(service, |it| it.stopped = false),
            Event::ServiceStopped { service } => self.order(service, |it| it.stopped = true),
            Event::ServiceScaled { service, replicas } => self.order(service, |it| it.scaled = *replicas),
            Event::InstanceStarting { instance, service, slot, spec, ports } => {
                let instance = Instance {
                    id: instance.clone(),
                    slot: *slot,
                    spec: *spec,
                    ports: *ports,
                    announced_at: stamp.time,
                    process: None,
                    stopping: None,
                };
                self.add(service, instance)?
            }
            Event::InstanceStarted { instance, pid, started_at, .. } => {
                let process = Process { pid: *pid, started_at: *started_at, recorded_at: stamp.time };
                self.change(instance, |it| it.process = Some(process))?
            }
            Event::InstanceStopping { instance, reason, .. } => {
                let stopping = Stopping { reason: *reason, since: stamp.time };
                self.change(instance, |it| it.stopping = it.stopping.or(Some(stopping)))?
            }
            Event::InstanceExited { instance, exit, .. } => self.end(stamp, instance, exit)?,
        };
        Some(service)
    }

    /// Forgets what was asked for services that are no longer managed, and all of those that have no instance.
    pub(crate) fn forget_unmanaged(&mut self, catalog: &catalog::State) {
        let managed =
            |it: &ServiceRef| catalog.get(it).is_some_and(|it| matches!(it.workload, Workload::Process(_)));
        self.services.retain(|name, service| {
            if !managed(name) {
                let instances = std::mem::take(&mut service.instances);
                *service = Service { instances, ..Service::default() };
            }
            !service.is_blank()
        });
    }

    /// Whether both indexes say the same.
    pub(crate) fn is_consistent(&self) -> bool {
        let counted: usize = self.services.values().map(|it| it.instances.len()).sum();
        counted == self.service_of.len()
            && self.service_of.keys().all(|id| self.get(id).is_some_and(|(_, instance)| instance.id == *id))
            && self.services.values().all(|it| !it.is_blank())
    }

    /// Carries out what was asked of a service. Whoever asks wants it now: back-offs are forgotten.
    fn order(&mut self, name: &ServiceRef, order: impl FnOnce(&mut Service)) -> ServiceRef {
        let service = self.services.entry(name.clone()).or_default();
        order(service);
        service.slots.clear();
        if service.is_blank() {
            self.services.remove(name);
        }
        name.clone()
    }

    fn add(&mut self, name: &ServiceRef, instance: Instance) -> Option<ServiceRef> {
        if self.service_of.contains_key(&instance.id) {
            return None;
        }
        self.service_of.insert(instance.id.clone(), name.clone());
        self.services.entry(name.clone()).or_default().instances.insert(instance.id.clone(), instance);
        Some(name.clone())
    }

    fn change(&mut self, id: &InstanceId, change: impl FnOnce(&mut Instance)) -> Option<ServiceRef> {
        let name = self.service_of.get(id)?;
        change(self.services.get_mut(name)?.instances.get_mut(id)?);
        Some(name.clone())
    }

    fn end(&mut self, stamp: &Stamp, id: &InstanceId, exit: &Exit) -> Option<ServiceRef> {
        let name = self.service_of.remove(id)?;
        let service = self.services.get_mut(&name)?;
        let instance = service.instances.remove(id)?;
        if instance.stopping.is_none() {
            let before = service.slots.get(&instance.slot);
            let slot = Slot::after(before, &instance, stamp.time, exit);
            service.slots.insert(instance.slot, slot);
        }
        if service.is_blank() {
            self.services.remove(&name);
        }
        Some(name)
    }
}

impl Service {
    /// The instances that are not to end.
    pub fn live(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|it| it.stopping.is_none())
    }

    /// The live instances by slot.
    pub fn live_by_slot(&self) -> BTreeMap<u32, Vec<&Instance>> {
        let mut slots: BTreeMap<u32, Vec<&Instance>> = BTreeMap::new();
        for instance in self.live() {
            slots.entry(instance.slot).or_default().push(instance);
        }
        slots
    }

    /// Whether there is nothing to remember.
    fn is_blank(&self) -> bool {
        *self == Self::default()
    }
}

impl Slot {
    /// When the slot may be started again.
    pub fn due_at(&self) -> Timestamp {
        self.ended_at.after(backoff(self.failures))
    }

    /// A slot whose instance ended unasked.
    fn after(before: Option<&Self>, ended: &Instance, now: Timestamp, exit: &Exit) -> Self {
        let was_steady = ended.process.is_some_and(|it| now.since(it.recorded_at) >= STEADY);
        let in_row = before.filter(|it| it.spec == ended.spec && !was_steady).map_or(0, |it| it.failures);
        Self { failures: in_row.saturating_add(1), ended_at: now, exit: exit.clone(), spec: ended.spec }
    }
}

/// How long a slot waits after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_BACKOFF.saturating_mul(1 << doublings).min(LONGEST_BACKOFF)
}

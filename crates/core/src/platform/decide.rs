//! What the platform permits, and what follows from one change for several machines.

use super::{Command, Event, State};
use crate::address::Address;
use crate::error::{Code, Refusal};
use crate::fnv::Fnv;
use crate::id::{Actor, InstanceId, ServiceName, ServiceRef};
use crate::manifest::{Service, Workload};
use crate::registry::{DeregisterReason, Labels, Origin, Registration, Sidecar};
use crate::runtime::{Ports, StopReason};
use crate::stamp::Stamp;
use crate::time::Timestamp;
use crate::{catalog, config, duty, registry, runtime};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

/// Decides on a command: the events to append together, in order. None if nothing would change.
///
/// # Errors
/// Those of the machines concerned. Besides, `registry.managed-instance` for deregistering or draining what Tenon
/// runs, and `request.invalid` for registering in Tenon's own name.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Catalog(command) => apply(state, command, now),
        Command::Registry(command) => to_registry(state, command),
        Command::Config(command) => to_config(state, command),
        Command::Runtime(command) => to_runtime(state, command, now),
        Command::Duty(command) => {
            Ok(duty::decide(&state.duties, command).into_iter().map(Event::Duty).collect())
        }
        Command::GiveUp { service, instance } => give_up(state, service, instance, now),
    }
}

/// Another manifest also changes the configuration that it states otherwise, registers what runs elsewhere,
/// deregisters what is no longer named and ends scaling by hand where it states other replicas. The same manifest
/// again registers what runs elsewhere and was deregistered since.
fn apply(state: &State, command: &catalog::Command, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    let before = &state.catalog;
    let mut batch = Batch::new(state, now);
    let events = catalog::decide(before, command)?;
    batch.add(events.into_iter().map(Event::Catalog).collect());
    let config =
        config::Command::ApplyManifest { before: before.config(), after: batch.state.catalog.config() };
    batch.config(&config)?;
    for command in unnamed(&batch.state).into_iter().chain(externals(&batch.state)) {
        batch.registry(&command)?;
    }
    for service in rescaled(before, &batch.state) {
        batch.runtime(&runtime::Command::UnscaleService { service })?;
    }
    Ok(batch.events)
}

/// Deregisters instances that Tenon does not run, of services or at addresses that the manifest no longer names.
fn unnamed(state: &State) -> Vec<registry::Command> {
    let named = external_registrations(state).into_iter().map(|it| it.id).collect::<BTreeSet<_>>();
    let is_named = |it: &registry::Instance| match it.registration.origin {
        Origin::Managed { .. } => true,
        Origin::External => named.contains(it.id()),
        Origin::Registered { .. } => state.catalog.declares(&it.registration.service),
    };
    let deregister = |it: &registry::Instance| registry::Command::Deregister {
        service: it.registration.service.clone(),
        instance: it.id().clone(),
        reason: DeregisterReason::Removed,
    };
    state.registry.all().filter(|it| !is_named(it)).map(deregister).collect()
}

/// Registers what runs elsewhere and is new, and updates the labels of what is known.
fn externals(state: &State) -> Vec<registry::Command> {
    let command = |new: Registration| match state.registry.get(&new.id) {
        Some(known) if known.registration.origin == Origin::External => {
            registry::Command::Update { service: new.service, instance: new.id, labels: new.labels }
        }
        _ => registry::Command::Register(new),
    };
    external_registrations(state).into_iter().map(command).collect()
}

fn external_registrations(state: &State) -> Vec<Registration> {
    let of = |(name, service): (ServiceRef, &Service)| match &service.workload {
        Workload::Process(_) => Vec::new(),
        Workload::External(addresses) => {
            addresses.iter().map(|address| external(&name, service, address)).collect()
        }
    };
    let mut registrations: Vec<Registration> = state.catalog.services().flat_map(of).collect();
    // An address that is stated twice is one instance.
    registrations.sort_by(|a, b| a.id.cmp(&b.id));
    registrations.dedup_by(|a, b| a.id == b.id);
    registrations
}

fn external(name: &ServiceRef, service: &Service, address: &Address) -> Registration {
    Registration {
        id: external_id(&name.name, address),
        service: name.clone(),
        address: address.clone(),
        labels: Labels { version: service.version.clone(), ..Labels::default() },
        origin: Origin::External,
        sidecar: None,
    }
}

/// The same address of the same service always has the same id, so that applying a manifest again finds it.
fn external_id(service: &ServiceName, address: &Address) -> InstanceId {
    let mut hash = Fnv::new();
    hash.text(service.as_str());
    hash.text(address.host());
    hash.number(u64::from(address.port()));
    InstanceId::with_ending(service, &format!("-x{:016x}", hash.finish()))
}

/// Services that were scaled by hand and whose replicas the manifest states otherwise than before.
fn rescaled(before: &catalog::State, state: &State) -> Vec<ServiceRef> {
    let stated = |catalog: &catalog::State, name: &ServiceRef| catalog.get(name).map(Service::replicas);
    let changed = |name: &ServiceRef| stated(before, name) != stated(&state.catalog, name);
    let scaled = state.runtime.services().filter(|(_, it)| it.scaled.is_some()).map(|(name, _)| name);
    scaled.filter(|name| changed(name)).cloned().collect()
}

fn to_registry(state: &State, command: &registry::Command) -> Result<Vec<Event>, Refusal> {
    use registry::Command::{Deregister, Drain, Register};
    match command {
        Register(asked) if !matches!(asked.origin, Origin::Registered { .. }) => {
            let detail = "only Tenon itself registers instances that it runs or that the manifest names";
            return Err(Refusal::new(Code::RequestInvalid, detail));
        }
        Deregister { instance, .. } | Drain { instance, .. } if state.runtime.get(instance).is_some() => {
            let detail = format!("{instance} is run by Tenon; stop or scale its service instead");
            return Err(Refusal::new(Code::RegistryManagedInstance, detail));
        }
        _ => {}
    }
    let events = registry::decide(&state.registry, &state.catalog, command)?;
    Ok(events.into_iter().map(Event::Registry).collect())
}

fn to_config(state: &State, command: &config::Command) -> Result<Vec<Event>, Refusal> {
    use config::Command::{ApplyManifest, Remove, Rollback, Set};
    match command {
        Set { service, .. } | Remove { service, .. } | Rollback { service, .. } => {
            state.catalog.service(service)?;
        }
        ApplyManifest { .. } => {}
    }
    Ok(config::decide(&state.config, command)?.into_iter().map(Event::Config).collect())
}

/// An instance is registered when it is announced, drained when it is to end and deregistered when it ended.
fn to_runtime(state: &State, command: &runtime::Command, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    let State { catalog, registry, runtime, .. } = state;
    let events = runtime::decide(runtime, catalog, registry, command, now)?;
    let follows = match registry_command(state, command)? {
        Some(command) if !events.is_empty() => registry::decide(registry, catalog, &command)?,
        _ => Vec::new(),
    };
    Ok(events.into_iter().map(Event::Runtime).chain(follows.into_iter().map(Event::Registry)).collect())
}

fn registry_command(state: &State, command: &runtime::Command) -> Result<Option<registry::Command>, Refusal> {
    Ok(match command {
        runtime::Command::Announce { instance, service, slot, ports, .. } => {
            let registration = managed(state.catalog.service(service)?, service, instance, *slot, *ports);
            Some(registry::Command::Register(registration))
        }
        runtime::Command::Stop { instance, .. } => registered(state, instance)
            .map(|(service, instance)| registry::Command::Drain { service, instance }),
        runtime::Command::ReportExited { instance, .. } => {
            registered(state, instance).map(|(service, instance)| {
                let reason = DeregisterReason::Ended;
                registry::Command::Deregister { service, instance, reason }
            })
        }
        _ => None,
    })
}

fn managed(service: &Service, name: &ServiceRef, id: &InstanceId, slot: u32, ports: Ports) -> Registration {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Registration {
        id: id.clone(),
        service: name.clone(),
        address: Address::from(local(ports.application)),
        labels: Labels { version: service.version.clone(), ..Labels::default() },
        origin: Origin::Managed { slot },
        sidecar: Some(Sidecar { inbound: local(ports.inbound), outbound: local(ports.outbound) }),
    }
}

fn registered(state: &State, id: &InstanceId) -> Option<(ServiceRef, InstanceId)> {
    state.registry.get(id).map(|it| (it.registration.service.clone(), id.clone()))
}

fn give_up(
    state: &State,
    service: &ServiceRef,
    instance: &InstanceId,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    let instance = instance.clone();
    if state.runtime.get(&instance).is_some() {
        let command = runtime::Command::Stop { instance, reason: StopReason::Unhealthy };
        return to_runtime(state, &command, now);
    }
    let reason = DeregisterReason::Unhealthy;
    let command = registry::Command::Deregister { service: service.clone(), instance, reason };
    to_registry(state, &command)
}

/// Events that are decided one after the other, each in the state that those before lead to.
struct Batch {
    state: State,
    stamp: Stamp,
    events: Vec<Event>,
}

impl Batch {
    fn new(state: &State, now: Timestamp) -> Self {
        let actor = Actor::new("tenon").expect("a printable word is an actor");
        let stamp = Stamp { position: state.revision.position, time: now, actor };
        Self { state: state.clone(), stamp, events: Vec::new() }
    }

    fn config(&mut self, command: &config::Command) -> Result<(), Refusal> {
        let events = config::decide(&self.state.config, command)?;
        self.add(events.into_iter().map(Event::Config).collect());
        Ok(())
    }

    fn registry(&mut self, command: &registry::Command) -> Result<(), Refusal> {
        let events = registry::decide(&self.state.registry, &self.state.catalog, command)?;
        self.add(events.into_iter().map(Event::Registry).collect());
        Ok(())
    }

    fn runtime(&mut self, command: &runtime::Command) -> Result<(), Refusal> {
        let State { catalog, registry, runtime, .. } = &self.state;
        let events = runtime::decide(runtime, catalog, registry, command, self.stamp.time)?;
        self.add(events.into_iter().map(Event::Runtime).collect());
        Ok(())
    }

    fn add(&mut self, events: Vec<Event>) {
        for event in events {
            self.state.evolve(&self.stamp, &event);
            self.events.push(event);
        }
    }
}

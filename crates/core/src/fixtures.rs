//! Small systems and values for the tests and models of the control machines.

use crate::address::Address;
use crate::catalog::{self, Applied};
use crate::config::Value;
use crate::health;
use crate::id::{Actor, InstanceId, Position, ServiceName, ServiceRef};
use crate::manifest::{
    ConfigEntry, ConfigKey, Egress, Process, Resources, Service, System, TrafficRules, Version, Workload,
};
use crate::registry::{Labels, Origin, Registration};
use crate::stamp::Stamp;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

pub(crate) fn service(text: &str) -> ServiceRef {
    ServiceRef::local(name(text))
}

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

pub(crate) fn key(text: &str) -> ConfigKey {
    ConfigKey::new(text).unwrap()
}

pub(crate) fn value(text: &str) -> Value {
    Value::from_canonical(text)
}

pub(crate) fn millis(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn stamp(position: u64, time: Timestamp) -> Stamp {
    Stamp { position: Position(position), time, actor: Actor::new("cli:ada").unwrap() }
}

pub(crate) fn local(port: u16) -> Address {
    Address::new("127.0.0.1", port).unwrap()
}

/// A service that Tenon runs with this command.
pub(crate) fn managed(text: &str, replicas: u32, command: &str) -> Service {
    let process =
        Process { command: vec![command.into()], working_directory: None, env: BTreeMap::new(), replicas };
    with_workload(text, Workload::Process(process))
}

/// A service that runs at these ports.
pub(crate) fn external(text: &str, ports: &[u16]) -> Service {
    with_workload(text, Workload::External(ports.iter().map(|port| local(*port)).collect()))
}

fn with_workload(text: &str, workload: Workload) -> Service {
    Service {
        name: name(text),
        version: Version::default(),
        workload,
        context: None,
        team: None,
        interfaces: Vec::new(),
        depends_on: BTreeSet::new(),
        data: Vec::new(),
        resources: Resources::default(),
        health: health::Config::default(),
    }
}

pub(crate) fn system(services: Vec<Service>) -> System {
    System {
        name: name("shop"),
        namespace: crate::id::Namespace::default(),
        services: services.into_iter().map(|it| (it.name.clone(), it)).collect(),
        traffic: TrafficRules::default(),
        policies: Default::default(),
        gateway: None,
        egress: Egress::Deny,
        telemetry: Default::default(),
        mesh: Default::default(),
        subscriptions: BTreeMap::new(),
        sagas: BTreeMap::new(),
        config: BTreeMap::new(),
    }
}

/// The system with these values in its manifest.
pub(crate) fn with_config(mut system: System, of: &str, values: &[(&str, &str)]) -> System {
    let entry = |(k, v): &(&str, &str)| (key(k), ConfigEntry { value: value(v), schema: None });
    system.config.insert(name(of), values.iter().map(entry).collect());
    system
}

pub(crate) fn applied(system: System) -> Applied {
    Applied { system: Arc::new(system), text: "name: shop".into() }
}

pub(crate) fn catalog(system: System) -> catalog::State {
    let mut catalog = catalog::State::default();
    catalog.evolve(&catalog::Event::ManifestApplied(applied(system)));
    catalog
}

/// An instance that registers itself.
pub(crate) fn registration(of: &str, instance: &str, port: u16) -> Registration {
    Registration {
        id: id(instance),
        service: service(of),
        address: local(port),
        labels: Labels::default(),
        origin: Origin::Registered { ttl: None },
        sidecar: None,
    }
}

//! What data planes and checkers are told, derived from the state.

use super::State;
use crate::address::Address;
use crate::health;
use crate::id::{InstanceId, Namespace, ServiceName, ServiceRef};
use crate::manifest::{Egress, Service, Workload};
use crate::registry::{self, Origin};
use crate::runtime;
use crate::snapshot::{Endpoint, Endpoints, Routes, Sidecar, Sidecars};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How many times its time to live an instance that registered itself may be silent before it is deregistered,
/// if its service does not say how long.
const SILENT_TTLS: u32 = 10;

/// How requests are routed and treated.
pub fn routes(state: &State) -> Routes {
    let system = state.catalog.system();
    let treated = |name: ServiceRef| {
        let traffic = system.map(|it| it.traffic.of(&name.name).clone()).unwrap_or_default();
        (name, traffic)
    };
    Routes {
        revision: state.revision,
        gateway: system.and_then(|it| it.gateway.clone()),
        services: state.catalog.services().map(|(name, _)| treated(name)).collect(),
        // Whoever tells data planes knows better.
        planes: 1,
        policies: system.map(|it| it.policies.clone()).unwrap_or_default(),
        resting: state.catalog.services().map(|(name, _)| name).filter(|it| is_resting(state, it)).collect(),
        egress: system.map_or(Egress::Deny, |it| it.egress),
        telemetry: system.map(|it| it.telemetry.clone()).unwrap_or_default(),
    }
}

/// Whether a service is to have no instance now. One that Tenon does not run may get some at any time.
pub(super) fn is_resting(state: &State, service: &ServiceRef) -> bool {
    let run = |it: &Service| matches!(it.workload, Workload::Process(_));
    state.catalog.get(service).is_some_and(run) && state.runtime.wanted(&state.catalog, service) == 0
}

/// Who may be called: what lookups answer, and besides, marked as such, the instances that are no longer healthy, because
/// the data plane decides what to do when most are not.
pub fn endpoints(state: &State) -> Endpoints {
    let found = |name: &ServiceRef| {
        let listed = state.registry.instances(name).filter(|it| it.is_listed()).map(endpoint);
        let listed: Vec<Endpoint> = listed.collect();
        (state.catalog.declares(name) && !listed.is_empty()).then(|| (name.clone(), listed))
    };
    Endpoints { revision: state.revision, services: state.registry.services().filter_map(found).collect() }
}

/// The sidecars of all instances that Tenon runs, from their announcement until their process has ended.
/// `credential` is the SHA-256 of an instance's secret.
pub fn sidecars(state: &State, credential: impl Fn(&InstanceId) -> [u8; 32]) -> Sidecars {
    let of = |(service, instance): (&ServiceRef, &runtime::Instance)| {
        let sidecar = sidecar(state, service, instance, credential(&instance.id));
        (instance.id.clone(), sidecar)
    };
    Sidecars { revision: state.revision, sidecars: state.runtime.instances().map(of).collect() }
}

/// Who calls when the server pushes events to services.
pub fn pusher() -> ServiceRef {
    of_tenon("bus")
}

/// Who calls when the server runs sagas, whose steps are calls of services.
pub fn orchestrator() -> ServiceRef {
    of_tenon("saga")
}

fn of_tenon(name: &str) -> ServiceRef {
    let (Ok(name), Ok(namespace)) = (ServiceName::new(name), Namespace::new("tenon")) else {
        unreachable!("both names are DNS labels")
    };
    ServiceRef { name, namespace }
}

/// A sidecar of the server's own, by which it calls services as `service`. It listens at `outbound`; nobody calls the server by `inbound`.
pub fn own_sidecar(
    state: &State,
    service: ServiceRef,
    (outbound, inbound): (SocketAddr, SocketAddr),
    credential_sha256: [u8; 32],
) -> Sidecar {
    Sidecar {
        service,
        outbound,
        inbound,
        application: Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, NOBODY))),
        credential_sha256,
        // It calls whom a subscription or a saga names, and those are made by operators.
        depends_on: state.catalog.services().map(|(name, _)| name).collect(),
        callers: BTreeSet::new(),
    }
}

/// A port at which nothing listens (RFC 863, which nobody runs any more).
const NOBODY: u16 = 9;

/// The sidecars of these instances, which registered themselves with the listeners of their own data plane.
pub fn own_sidecars(
    state: &State,
    instances: &BTreeSet<InstanceId>,
    credential: impl Fn(&InstanceId) -> [u8; 32],
) -> Sidecars {
    let of = |id: &InstanceId| {
        let registration = &state.registry.get(id)?.registration;
        let listeners = registration.sidecar?;
        let service = &registration.service;
        let sidecar = Sidecar {
            service: service.clone(),
            outbound: listeners.outbound,
            inbound: listeners.inbound,
            application: registration.address.clone(),
            credential_sha256: credential(id),
            depends_on: depends_on(state, service),
            callers: callers(state, service),
        };
        Some((id.clone(), sidecar))
    };
    Sidecars { revision: state.revision, sidecars: instances.iter().filter_map(of).collect() }
}

/// How an instance is checked; `None` if it is not, because its service is no longer declared. One that
/// registered itself with a time to live is not asked, but must send heartbeats.
pub fn health_config(state: &State, instance: &registry::Instance) -> Option<health::Config> {
    let config = state.catalog.get(&instance.registration.service)?.health.clone();
    let Origin::Registered { ttl: Some(ttl) } = instance.registration.origin else { return Some(config) };
    let silent = ttl.saturating_mul(SILENT_TTLS).max(Duration::from_secs(60));
    let deregister_after = config.deregister_after.or(Some(silent));
    Some(health::Config { check: health::Check::Ttl { ttl }, deregister_after, ..config })
}

fn endpoint(instance: &registry::Instance) -> Endpoint {
    let registration = &instance.registration;
    Endpoint {
        instance: registration.id.clone(),
        address: registration.address.clone(),
        version: registration.labels.version.clone(),
        weight: registration.labels.weight,
        healthy: instance.is_callable(),
        since: instance.status_since,
        metadata: registration.labels.metadata.pairs().clone(),
        inbound: registration.sidecar.map(|it| it.inbound),
    }
}

fn sidecar(
    state: &State,
    service: &ServiceRef,
    instance: &runtime::Instance,
    credential_sha256: [u8; 32],
) -> Sidecar {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Sidecar {
        service: service.clone(),
        outbound: local(instance.ports.outbound),
        inbound: local(instance.ports.inbound),
        application: Address::from(local(instance.ports.application)),
        credential_sha256,
        depends_on: depends_on(state, service),
        callers: callers(state, service),
    }
}

/// The services whose declaration names this one as a dependency.
fn callers(state: &State, service: &ServiceRef) -> BTreeSet<ServiceRef> {
    let of_namespace = state.catalog.services().filter(|(name, _)| name.namespace == service.namespace);
    let declared = of_namespace.filter(|(_, it)| it.depends_on.contains(&service.name));
    declared.map(|(name, _)| name).chain([pusher(), orchestrator()]).collect()
}

fn depends_on(state: &State, service: &ServiceRef) -> BTreeSet<ServiceRef> {
    let named = |name| ServiceRef { name, namespace: service.namespace.clone() };
    let declared = state.catalog.get(service).into_iter().flat_map(|it| &it.depends_on);
    declared.cloned().map(named).collect()
}

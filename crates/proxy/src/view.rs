//! A snapshot made ready for use: names resolved, routes indexed, cells attached. Immutable; a change makes a new one.

mod name;

pub(crate) use name::Resolved;

use crate::cells::{Cells, InstanceCells, ServiceCells};
use crate::policy::Enforced;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::snapshot::{RouteChanges, Stored};
use tenon_core::balance::Candidate;
use tenon_core::breaker;
use tenon_core::manifest::{Egress, Ratio, Telemetry, Traffic};
use tenon_core::route::RouteTable;
use tenon_core::snapshot::{Endpoint, Endpoints, Routes, Sidecar, Sidecars};
use tenon_core::{Address, InstanceId, Revision, RouteName, ServiceRef};

/// The parts of a snapshot that have arrived so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Parts {
    /// But for the gateway's, which are in the table.
    pub(crate) routes: Option<Arc<Routes>>,
    /// The gateway's routes.
    pub(crate) table: Arc<RouteTable>,
    pub(crate) endpoints: Option<Arc<Endpoints>>,
    pub(crate) sidecars: Option<Arc<Sidecars>>,
}

impl Parts {
    /// Takes routes in place of those there are.
    pub(crate) fn set_routes(&mut self, mut routes: Routes) {
        let own = routes.gateway.as_mut().map(|gateway| std::mem::take(&mut gateway.routes));
        self.table = Arc::new(RouteTable::new(own.unwrap_or_default()));
        self.routes = Some(Arc::new(routes));
    }

    /// Makes changes of routes; `false` if they do not follow from those there are.
    pub(crate) fn change_routes(&mut self, changes: RouteChanges) -> bool {
        if self.routes.as_ref().is_none_or(|routes| routes.revision != changes.from) {
            return false;
        }
        let table = Arc::make_mut(&mut self.table);
        for name in &changes.removed {
            table.remove(name);
        }
        changes.set.into_iter().for_each(|route| table.set(route));
        self.routes = Some(Arc::new(changes.settings));
        true
    }

    /// The same, as it is shown and stored.
    pub(crate) fn to_stored(&self) -> Stored {
        let whole = |routes: &Routes| {
            let mut routes = routes.clone();
            if let Some(gateway) = &mut routes.gateway {
                gateway.routes = self.table.routes().cloned().collect();
            }
            routes
        };
        Stored {
            routes: self.routes.as_deref().map(whole),
            endpoints: self.endpoints.as_deref().cloned(),
            sidecars: self.sidecars.as_deref().cloned(),
        }
    }
}

/// Everything a worker needs to carry a request.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// What it was made of.
    pub(crate) parts: Parts,
    /// The gateway's routes.
    pub(crate) gateway: Option<GatewayView>,
    /// Every service of the mesh, in the order of their names.
    destinations: Vec<Arc<Destination>>,
}

/// The gateway's address and routes.
#[derive(Debug)]
pub(crate) struct GatewayView {
    pub(crate) listen: SocketAddr,
    /// Whether a balancer in front says whom each connection comes from.
    pub(crate) proxy_protocol: bool,
    pub(crate) table: Arc<RouteTable>,
    /// What is attached to routes; those that nothing is attached to are absent.
    pub(crate) policies: BTreeMap<RouteName, Enforced>,
}

/// A service that may be called.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) service: ServiceRef,
    pub(crate) traffic: Traffic,
    pub(crate) cells: Arc<ServiceCells>,
    /// Fed with the final outcomes of calls.
    pub(crate) breaker: Arc<breaker::Shared>,
    /// The policies that are attached to it.
    pub(crate) policies: Option<Box<Enforced>>,
    /// Whether it is to have no instance now.
    pub(crate) resting: bool,
    /// Its instances that may be called.
    pub(crate) targets: Vec<Target>,
}

/// An instance that may be called.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) instance: InstanceId,
    /// Where its application listens.
    pub(crate) address: Address,
    pub(crate) weight: u32,
    pub(crate) cells: Arc<InstanceCells>,
}

impl View {
    /// A view of these parts. What has not arrived yet is as if it were empty.
    pub(crate) fn new(parts: Parts, cells: &mut Cells) -> Self {
        let gateway = parts.routes.as_ref().and_then(|routes| gateway(routes, &parts, cells));
        let destinations = destinations(&parts, cells);
        Self { parts, gateway, destinations }
    }

    /// Whether there is anything to serve by.
    pub(crate) fn is_ready(&self) -> bool {
        self.parts.routes.is_some() && self.parts.endpoints.is_some()
    }

    /// The revision that routing is decided by.
    pub(crate) fn revision(&self) -> Option<Revision> {
        self.parts.routes.as_ref().map(|routes| routes.revision)
    }

    /// Whether names outside the mesh may be called.
    pub(crate) fn egress(&self) -> Egress {
        self.parts.routes.as_ref().map_or(Egress::Deny, |routes| routes.egress)
    }

    /// What is recorded of requests.
    pub(crate) fn telemetry(&self) -> Telemetry {
        self.parts.routes.as_ref().map(|routes| routes.telemetry.clone()).unwrap_or_default()
    }

    /// Which share of the traces that begin here is kept, and from when on a request is slow.
    pub(crate) fn sampling(&self) -> (Ratio, Duration) {
        let Some(routes) = &self.parts.routes else { return (Ratio::ALL, Duration::MAX) };
        (routes.telemetry.sampling, routes.telemetry.slow)
    }

    /// The sidecars that live here.
    pub(crate) fn sidecars(&self) -> impl Iterator<Item = (&InstanceId, &Sidecar)> {
        self.parts.sidecars.iter().flat_map(|part| &part.sidecars)
    }

    /// The sidecar of an instance, if it lives here.
    pub(crate) fn sidecar(&self, instance: &InstanceId) -> Option<&Sidecar> {
        self.parts.sidecars.as_ref()?.sidecars.get(instance)
    }

    /// All services.
    pub(crate) fn destinations(&self) -> &[Arc<Destination>] {
        &self.destinations
    }

    /// Where a service stands in [`View::destinations`].
    pub(crate) fn find(&self, service: &ServiceRef) -> Option<usize> {
        self.destinations.binary_search_by(|it| it.service.cmp(service)).ok()
    }
}

impl Destination {
    /// The instances that get calls.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &Target> + Clone {
        self.targets.iter().filter(|target| target.weight > 0)
    }
}

impl Candidate for Target {
    fn weight(&self) -> u32 {
        self.weight
    }

    fn in_flight(&self) -> u64 {
        self.cells.in_flight.in_flight()
    }
}

fn gateway(routes: &Routes, parts: &Parts, cells: &mut Cells) -> Option<GatewayView> {
    let gateway = routes.gateway.as_ref()?;
    let mut attached = |route: &RouteName| Enforced::of_route(routes, route, cells);
    Some(GatewayView {
        listen: gateway.listen,
        proxy_protocol: gateway.proxy_protocol,
        table: Arc::clone(&parts.table),
        policies: routes.policies.routes.keys().filter_map(|it| Some((it.clone(), attached(it)?))).collect(),
    })
}

fn destinations(parts: &Parts, cells: &mut Cells) -> Vec<Arc<Destination>> {
    let endpoints = parts.endpoints.as_ref();
    let services = parts.routes.iter().flat_map(|routes| &routes.services);
    let rests =
        |service: &ServiceRef| parts.routes.as_ref().is_some_and(|routes| routes.resting.contains(service));
    let destination = |(service, traffic): (&ServiceRef, &Traffic)| Destination {
        service: service.clone(),
        traffic: traffic.clone(),
        cells: cells.service(service),
        breaker: cells.breaker(service, traffic.breaker.window),
        policies: parts
            .routes
            .as_ref()
            .and_then(|routes| Enforced::of_service(routes, service, cells))
            .map(Box::new),
        resting: rests(service),
        targets: endpoints
            .and_then(|part| part.services.get(service))
            .into_iter()
            .flatten()
            .map(|endpoint| target(service, endpoint, cells))
            .collect(),
    };
    services.map(destination).map(Arc::new).collect()
}

fn target(service: &ServiceRef, endpoint: &Endpoint, cells: &mut Cells) -> Target {
    Target {
        instance: endpoint.instance.clone(),
        address: endpoint.address.clone(),
        weight: endpoint.weight,
        cells: cells.instance(service, &endpoint.instance),
    }
}

#[cfg(test)]
pub(crate) mod tests;

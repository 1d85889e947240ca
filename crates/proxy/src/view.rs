//! A snapshot made ready for use: names resolved, routes indexed, cells attached. Immutable; a change makes a new one.

mod asked;
mod group;
mod name;

pub(crate) use group::{Group, Setting};
pub(crate) use name::Resolved;

use crate::cells::{Cells, InstanceCells, ServiceCells};
use crate::connection::Role;
use crate::policy::Enforced;
use crate::pool::Way;
use crate::tls::Ends;
use asked::Asked;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::snapshot::{RouteChanges, Stored};
use tenon_core::availability::Mode;
use tenon_core::balance::{Candidate, FULL, Subset, ramp};
use tenon_core::breaker;
use tenon_core::identity::Workload;
use tenon_core::manifest::{Egress, GatewayTls, Ratio, Telemetry, Traffic};
use tenon_core::route::RouteTable;
use tenon_core::snapshot::{Endpoint, Endpoints, Routes, Sidecar, Sidecars};
use tenon_core::{Address, InstanceId, Revision, RouteName, ServiceRef, Timestamp};

/// How many routes are made ready at a time to be stored.
const PIECE: usize = 64;

/// The parts of a snapshot that have arrived so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Parts {
    /// But for the gateway's, which are in the table.
    pub(crate) routes: Option<Arc<Routes>>,
    /// The gateway's routes.
    pub(crate) table: Arc<RouteTable>,
    /// The subsets that they ask for.
    asked: Arc<Asked>,
    pub(crate) endpoints: Option<Arc<Endpoints>>,
    pub(crate) sidecars: Option<Arc<Sidecars>>,
}

impl Parts {
    /// Takes routes in place of those there are.
    pub(crate) fn set_routes(&mut self, mut routes: Routes) {
        let own = routes.gateway.as_mut().map(|gateway| std::mem::take(&mut gateway.routes));
        self.table = Arc::new(RouteTable::new(own.unwrap_or_default()));
        self.asked = Arc::new(Asked::by(self.table.routes()));
        self.routes = Some(Arc::new(routes));
    }

    /// Makes changes of routes; `false` if they do not follow from those there are.
    pub(crate) fn change_routes(&mut self, changes: RouteChanges) -> bool {
        if self.routes.as_ref().is_none_or(|routes| routes.revision != changes.from) {
            return false;
        }
        let (table, asked) = (Arc::make_mut(&mut self.table), Arc::make_mut(&mut self.asked));
        changes.set.iter().for_each(|route| asked.add(route));
        let removed: Vec<_> = changes.removed.iter().filter_map(|name| table.remove(name)).collect();
        let replaced: Vec<_> = changes.set.into_iter().filter_map(|route| table.set(route)).collect();
        removed.iter().chain(&replaced).for_each(|route| asked.remove(route));
        self.routes = Some(Arc::new(changes.settings));
        true
    }

    /// The same as it is stored, in pieces that are quickly made, one after the other.
    pub(crate) fn to_pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let settings = Stored {
            routes: self.routes.as_deref().cloned(),
            endpoints: self.endpoints.as_deref().cloned(),
            sidecars: self.sidecars.as_deref().cloned(),
        };
        let has_gateway = settings.routes.as_ref().is_some_and(|routes| routes.gateway.is_some());
        let mut routes = self.table.routes().filter(move |_| has_gateway);
        let pieces = std::iter::from_fn(move || {
            let piece: Vec<_> = routes.by_ref().take(PIECE).collect();
            (!piece.is_empty()).then(|| Stored::more_routes(piece))
        });
        std::iter::once(settings.to_bytes()).chain(pieces)
    }

    /// The same, as it is shown.
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
    /// How it speaks TLS, if it does.
    pub(crate) tls: Option<GatewayTls>,
}

impl GatewayView {
    /// Where clients come in.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (SocketAddr, Role)> {
        let role = if self.tls.is_some() { Role::SecureGateway } else { Role::Gateway };
        let plain = self.tls.as_ref().and_then(|tls| tls.plain);
        let plain = plain.map(|it| (it.listen, if it.redirect { Role::Redirect } else { Role::Gateway }));
        std::iter::once((self.listen, role)).chain(plain)
    }
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
    /// Its instances that may be called, the unhealthy ones too.
    pub(crate) targets: Vec<Target>,
    /// Which of them are used, for each subset that somebody asks for; first for those who ask for none.
    pub(crate) groups: Vec<Group>,
}

/// An instance that may be called.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) instance: InstanceId,
    /// Where its application listens.
    pub(crate) address: Address,
    /// How it is reached.
    reach: Reach,
    pub(crate) weight: u32,
    pub(crate) healthy: bool,
    /// Since when it is healthy, or unhealthy.
    pub(crate) since: Timestamp,
    /// How long it takes to get its whole share.
    slow_start: Duration,
    pub(crate) cells: Arc<InstanceCells>,
}

/// How an instance is reached.
#[derive(Debug)]
enum Reach {
    /// Its application at once: its sidecar lives here, or it has none.
    Application(Way),
    /// Through its sidecar, which lives in another data plane.
    Sidecar(Address),
}

impl Target {
    /// How a caller reaches it.
    pub(crate) fn way(&self, service: &ServiceRef, caller: impl FnOnce() -> Workload) -> Cow<'_, Way> {
        match &self.reach {
            Reach::Application(way) => Cow::Borrowed(way),
            Reach::Sidecar(inbound) => {
                let ends = Ends { from: caller(), to: Workload::Service(service.clone()) };
                Cow::Owned(Way { address: inbound.clone(), ends: Some(ends) })
            }
        }
    }
}

impl View {
    /// A view of these parts. What has not arrived yet is as if it were empty.
    pub(crate) fn new(parts: Parts, cells: &mut Cells, setting: Setting<'_>) -> Self {
        let gateway = parts.routes.as_ref().and_then(|routes| gateway(routes, &parts, cells));
        let destinations = destinations(&parts, cells, setting);
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

    /// When this view will be another though nothing has changed.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.destinations.iter().flat_map(|it| &it.groups).filter_map(|it| it.until).min()
    }

    /// Where a service stands in [`View::destinations`].
    pub(crate) fn find(&self, service: &ServiceRef) -> Option<usize> {
        self.destinations.binary_search_by(|it| it.service.cmp(service)).ok()
    }
}

impl Destination {
    /// The instances that get the calls of those who ask for this subset.
    pub(crate) fn in_use<'a>(
        &'a self,
        subset: &Subset,
    ) -> impl Iterator<Item = &'a Target> + Clone + use<'a> {
        self.members(self.group(subset).map(|(_, group)| group))
    }

    /// The instances that get the calls of those who ask for no subset.
    pub(crate) fn all_in_use(&self) -> impl Iterator<Item = &Target> + Clone {
        self.members(self.groups.first())
    }

    fn members<'a>(&'a self, group: Option<&'a Group>) -> impl Iterator<Item = &'a Target> + Clone {
        let members = group.into_iter().flat_map(|group| &group.members);
        members.filter_map(|index| self.targets.get(*index))
    }

    /// Which instances are used by those who ask for this subset. Who asks for one that is no longer known gets any.
    pub(crate) fn group(&self, subset: &Subset) -> Option<(usize, &Group)> {
        let mut groups = self.groups.iter().enumerate();
        let all = groups.next();
        if subset.is_everybody() {
            return all;
        }
        groups.find(|(_, group)| group.asked == *subset).or(all)
    }
}

impl Candidate for Target {
    fn weight(&self) -> u32 {
        self.weight
    }

    fn load(&self, now: Timestamp) -> u64 {
        self.cells.in_flight.in_flight() + self.cells.failures.now(now).unwrap_or_default()
    }

    fn latency(&self, now: Timestamp) -> Option<u64> {
        self.cells.latency.now(now)
    }

    fn ramp(&self, now: Timestamp) -> u32 {
        if self.healthy { ramp(self.since, self.slow_start, now) } else { FULL }
    }
}

fn gateway(routes: &Routes, parts: &Parts, cells: &mut Cells) -> Option<GatewayView> {
    let gateway = routes.gateway.as_ref()?;
    let mut attached = |route: &RouteName| Enforced::of_route(routes, route, cells);
    Some(GatewayView {
        listen: gateway.listen,
        proxy_protocol: gateway.proxy_protocol,
        table: Arc::clone(&parts.table),
        tls: gateway.tls.clone(),
        policies: routes.policies.routes.keys().filter_map(|it| Some((it.clone(), attached(it)?))).collect(),
    })
}

fn destinations(parts: &Parts, cells: &mut Cells, setting: Setting<'_>) -> Vec<Arc<Destination>> {
    let endpoints = parts.endpoints.as_ref();
    let services = parts.routes.iter().flat_map(|routes| &routes.services);
    let rests =
        |service: &ServiceRef| parts.routes.as_ref().is_some_and(|routes| routes.resting.contains(service));
    let mut destination = |(service, traffic): (&ServiceRef, &Traffic)| {
        let known = endpoints.and_then(|part| part.services.get(service)).map_or(&[][..], Vec::as_slice);
        let own = cells.service(service);
        let groups = group::groups(service, traffic, known, &parts.asked, cells, setting);
        own.in_mode(service, groups.first().map_or(Mode::Normal, |group| group.mode));
        Destination {
            service: service.clone(),
            traffic: traffic.clone(),
            cells: own,
            breaker: cells.breaker(service, traffic.breaker.window),
            policies: parts
                .routes
                .as_ref()
                .and_then(|routes| Enforced::of_service(routes, service, cells))
                .map(Box::new),
            resting: rests(service),
            targets: known.iter().map(|endpoint| target(parts, service, traffic, endpoint, cells)).collect(),
            groups,
        }
    };
    services.map(&mut destination).map(Arc::new).collect()
}

fn target(
    parts: &Parts,
    service: &ServiceRef,
    traffic: &Traffic,
    endpoint: &Endpoint,
    cells: &mut Cells,
) -> Target {
    let lives_here = parts.sidecars.as_ref().is_some_and(|it| it.sidecars.contains_key(&endpoint.instance));
    let reach = match endpoint.inbound {
        Some(inbound) if !lives_here => Reach::Sidecar(inbound.into()),
        _ => Reach::Application(Way::plain(endpoint.address.clone())),
    };
    Target {
        instance: endpoint.instance.clone(),
        address: endpoint.address.clone(),
        reach,
        weight: endpoint.weight,
        healthy: endpoint.healthy,
        since: endpoint.since,
        slow_start: traffic.balance.slow_start,
        cells: cells.instance(service, &endpoint.instance),
    }
}

#[cfg(test)]
pub(crate) mod tests;

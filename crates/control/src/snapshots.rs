//! Tells data planes what they need to know.
//!
//! Each watch is a [`Feed`], which is asked for its next part only when the data plane has room for one. A slow
//! data plane is thus sent the newest state when it comes around, and never a backlog: all that a feed remembers
//! is which position it has told up to.
//!
//! Left out on purpose: what a snapshot holds (`core::platform`), its form (`api::snapshot`).

use crate::clock::Clock;
use crate::keys::Keys;
use crate::own::OwnSidecar;
use crate::writer::{Handle, View};
use futures_util::Stream;
use futures_util::stream;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_api::http::DataPlaneStatus;
use tenon_api::proto::snapshot::v1;
use tenon_api::snapshot::{Part, RouteChanges, ServiceEndpoints, SnapshotService, Watch};
use tenon_core::platform::{self, Changes};
use tenon_core::policy::{Action, Policy};
use tenon_core::snapshot::Routes;
use tenon_core::{InstanceId, Position, Revision, ServiceRef};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// The gRPC service.
#[derive(Clone)]
pub(crate) struct Snapshots {
    writer: Handle,
    keys: Keys,
    clock: Clock,
    stop: CancellationToken,
    connected: Connected,
    /// The server's own sidecars.
    own: Vec<OwnSidecar>,
    /// How many data planes there are, those included that went away a moment ago.
    planes: watch::Sender<u32>,
}

/// How long a data plane that went away keeps its part of shared limits, so that one that comes back at once does not make
/// the others admit too much meanwhile.
const PART_KEPT: Duration = Duration::from_secs(10);

/// The data planes that watch, in the order that they came.
type Connected = Arc<Mutex<BTreeMap<u64, DataPlaneStatus>>>;

impl Snapshots {
    /// A service whose streams end with `stop`.
    pub(crate) fn new(
        writer: Handle,
        keys: Keys,
        clock: Clock,
        own: Vec<OwnSidecar>,
        stop: CancellationToken,
    ) -> Self {
        let planes = watch::Sender::new(0);
        Self { writer, keys, clock, stop, connected: Connected::default(), own, planes }
    }

    /// The data planes that are connected.
    pub(crate) fn connected(&self) -> Vec<DataPlaneStatus> {
        lock(&self.connected).values().cloned().collect()
    }

    /// Notes a data plane for as long as the answer lives.
    fn note(&self, node: &str) -> Presence {
        let mut connected = lock(&self.connected);
        let number = connected.last_key_value().map_or(0, |(last, _)| last + 1);
        let status = DataPlaneStatus { node: node.to_owned(), connected_at: self.clock.now(), sent: None };
        connected.insert(number, status);
        self.planes.send_modify(|planes| *planes += 1);
        Presence { number, connected: Arc::clone(&self.connected), planes: self.planes.clone() }
    }
}

/// A data plane that is connected. Dropping it notes that it is gone.
struct Presence {
    number: u64,
    connected: Connected,
    planes: watch::Sender<u32>,
}

impl Presence {
    fn sent(&self, revision: Revision) {
        if let Some(status) = lock(&self.connected).get_mut(&self.number) {
            status.sent = Some(revision);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        lock(&self.connected).remove(&self.number);
        let planes = self.planes.clone();
        let gone = move || planes.send_modify(|planes| *planes = planes.saturating_sub(1));
        // Without a runtime everything ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(PART_KEPT).await;
                gone();
            });
        }
    }
}

fn lock(connected: &Connected) -> MutexGuard<'_, BTreeMap<u64, DataPlaneStatus>> {
    connected.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tonic::async_trait]
impl SnapshotService for Snapshots {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::SnapshotPart, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watch = Watch::try_from(request.into_inner())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        tracing::info!(node = watch.node, "a data plane watches");
        let feed = Feed::new(self.clone(), &watch);
        let parts = stream::unfold(feed, |mut feed| async {
            let part = feed.next().await?;
            Some((Ok(v1::SnapshotPart::from(&part)), feed))
        });
        Ok(Response::new(Box::pin(parts)))
    }
}

/// What one data plane has been told, and what comes next.
struct Feed {
    of: Snapshots,
    presence: Presence,
    folded: watch::Receiver<Position>,
    /// How many data planes there are, and how many this one was told of.
    planes: watch::Receiver<u32>,
    told_planes: u32,
    /// Up to where each part is known to the data plane; `None` if it has none of this log.
    routes: Option<Position>,
    endpoints: Option<Position>,
    sidecars: Option<Position>,
    /// The routes that were told last, so that from then on only what changes of them is told.
    told: Option<Routes>,
    /// The instances whose sidecars it hosts, if not those of all that Tenon runs.
    instances: BTreeSet<InstanceId>,
    /// Parts of one state that are yet to be sent.
    ready: VecDeque<Part>,
}

impl Feed {
    fn new(of: Snapshots, watch: &Watch) -> Self {
        let present = of.writer.read(|view| view.state.revision);
        let known = |revision: Option<Revision>| {
            let of_this_log = revision.filter(|it| it.log == present.log && it.position <= present.position);
            of_this_log.map(|it| it.position)
        };
        let presence = of.note(&watch.node);
        // The server's own sidecars are other ones each time that it starts.
        let is_new = !of.own.is_empty() && watch.instances.is_empty();
        Self {
            folded: of.writer.folded(),
            presence,
            planes: of.planes.subscribe(),
            told_planes: 0,
            of,
            routes: known(watch.routes),
            endpoints: known(watch.endpoints),
            sidecars: known(watch.sidecars).filter(|_| !is_new),
            told: None,
            instances: watch.instances.clone(),
            ready: VecDeque::new(),
        }
    }

    /// The next part, as soon as there is one; `None` at the end.
    async fn next(&mut self) -> Option<Part> {
        loop {
            self.folded.borrow_and_update();
            if self.ready.is_empty() {
                let writer = self.of.writer.clone();
                writer.read(|view| self.gather(view));
            }
            if let Some(part) = self.ready.pop_front() {
                self.presence.sent(revision_of(&part));
                return Some(part);
            }
            let stop = self.of.stop.clone();
            let (folded, planes) = (&mut self.folded, &mut self.planes);
            let changed = async {
                tokio::select! {
                    changed = folded.changed() => changed,
                    changed = planes.changed() => changed,
                }
            };
            stop.run_until_cancelled(changed).await?.ok()?;
        }
    }

    /// Puts all parts that changed into `ready`. Sidecars go first, so that a listener is there before its
    /// instance is called; endpoints go last, so that a service is known before it is called.
    fn gather(&mut self, view: &View) {
        // Instances that registered themselves come and go with the registry.
        let own = !self.instances.is_empty();
        if changed(view, self.sidecars, |changes| changes.sidecars || own && !changes.instances.is_empty()) {
            let credential = |id: &_| self.of.keys.instance_credential(id);
            let sidecars = if self.instances.is_empty() {
                let mut sidecars = platform::sidecars(&view.state, credential);
                let own = self.of.own.iter();
                sidecars.sidecars.extend(own.map(|own| (own.instance.clone(), own.sidecar(&view.state))));
                sidecars
            } else {
                platform::own_sidecars(&view.state, &self.instances, credential)
            };
            self.ready.push_back(Part::Sidecars(sidecars));
        }
        let planes = (*self.planes.borrow_and_update()).max(1);
        if changed(view, self.routes, |changes| changes.routes) || self.must_know(view, planes) {
            let mut routes = Routes { planes, ..platform::routes(&view.state) };
            if own {
                // The gateway is the other data plane's.
                routes.gateway = None;
            }
            let changes = self.told.as_ref().and_then(|told| RouteChanges::between(told, &routes));
            self.ready.push_back(changes.map_or_else(|| Part::Routes(routes.clone()), Part::from));
            self.told = Some(routes);
            self.told_planes = planes;
        }
        match changed_endpoints(view, self.endpoints) {
            Some(services) => self.ready.extend(endpoints_of(view, services).map(Part::ServiceEndpoints)),
            None => self.ready.push_back(Part::Endpoints(platform::endpoints(&view.state))),
        }
        let told = Some(view.state.revision.position);
        (self.sidecars, self.routes, self.endpoints) = (told, told, told);
    }
}

impl Feed {
    /// Whether this data plane has something to share that it was told another number of data planes for.
    fn must_know(&self, view: &View, planes: u32) -> bool {
        let shares = |policy: &Policy| matches!(&policy.action, Action::RateLimit(limit) if limit.shared);
        let system = view.state.catalog.system();
        planes != self.told_planes && system.is_some_and(|it| it.policies.named.values().any(|it| shares(it)))
    }
}

fn revision_of(part: &Part) -> Revision {
    match part {
        Part::Routes(it) => it.revision,
        Part::RouteChanges(it) => it.settings.revision,
        Part::Endpoints(it) => it.revision,
        Part::ServiceEndpoints(it) => it.revision,
        Part::Sidecars(it) => it.revision,
    }
}

/// Whether something changed after `known`, or that is not known any more.
fn changed(view: &View, known: Option<Position>, is: impl Fn(&Changes) -> bool) -> bool {
    let later = known.and_then(|position| view.history.after(position));
    later.is_none_or(|mut later| later.any(|recorded| is(&recorded.changes)))
}

/// The services whose endpoints changed after `known`; `None` if that is not known any more.
fn changed_endpoints(view: &View, known: Option<Position>) -> Option<BTreeSet<ServiceRef>> {
    let later = view.history.after(known?)?;
    Some(later.flat_map(|recorded| recorded.changes.endpoints.iter().cloned()).collect())
}

fn endpoints_of(view: &View, services: BTreeSet<ServiceRef>) -> impl Iterator<Item = ServiceEndpoints> {
    let revision = view.state.revision;
    // Deriving all of them is one pass over the instances, and is done only when some changed.
    let mut all =
        if services.is_empty() { Default::default() } else { platform::endpoints(&view.state).services };
    services.into_iter().map(move |service| {
        let endpoints = all.remove(&service).unwrap_or_default();
        ServiceEndpoints { revision, service, endpoints }
    })
}

#[cfg(test)]
mod tests;

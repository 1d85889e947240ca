//! A data plane: its threads, and what it is told.

use crate::admin;
use crate::cells::Cells;
use crate::clock::Clock;
use crate::config::PlaneConfig;
use crate::connection::Role;
use crate::explain::{Ring, explain};
use crate::follow::{self, Followed};
use crate::handover::Sockets;
use crate::listener::{self, Board, Closing, Heirlooms, Key, Plan};
use crate::metrics;
use crate::tls::{self, Certificates, Identities, Identity, IdentityError};
use crate::trial;
use crate::view::{GatewayView, Parts, Setting, View};
use crate::worker::{Shared, Worker};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tenon_api::explain::Explanation;
use tenon_api::snapshot::{RouteChanges, ServiceEndpoints, Stored};
use tenon_core::RequestId;
use tenon_core::retry::spent;
use tenon_core::snapshot::{Endpoints, Routes, Sidecars};
use tenon_telemetry::Registry;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

/// How often connections that are idle for too long are looked for, and instances compared whose interval is over.
const SWEEP: Duration = Duration::from_secs(1);

/// A running data plane. Methods may be called from any thread; a change holds for the requests that begin after it, and
/// those in hand end as they began. Dropped, it ends at once; [`Plane::shutdown`] lets requests finish.
pub struct Plane {
    shared: Arc<Shared>,
    plan: watch::Sender<Arc<Plan>>,
    admin: watch::Receiver<Option<SocketAddr>>,
    threads: Vec<JoinHandle<()>>,
    followed: Option<Followed>,
}

/// Why a data plane does not start: the system gives no threads or event queues.
#[derive(Debug, thiserror::Error)]
#[error("the data plane's threads cannot be started")]
pub struct StartError(#[from] io::Error);

/// What the plane was told last, and the state that survives changes of it. Locked by changes only.
#[derive(Debug, Default)]
pub(crate) struct Told {
    parts: Parts,
    cells: Cells,
    /// Former views, which the workers let go of when they next look.
    replaced: Vec<Arc<View>>,
}

impl Plane {
    /// Starts the threads. Nothing is served but the admin address until a snapshot is applied.
    ///
    /// # Errors
    /// [`StartError`]. An admin address that is taken is no error: it is tried again until it is free.
    pub fn start(config: PlaneConfig) -> Result<Self, StartError> {
        Self::inherit(config, Sockets::default())
    }

    /// The same with the listening sockets of a data plane that is taken over from. Those for clients are used once a
    /// snapshot asks for their addresses.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn inherit(config: PlaneConfig, sockets: Sockets) -> Result<Self, StartError> {
        let workers = config.workers.max(1);
        let capacity = config.explanations.div_ceil(workers);
        let shared = Arc::new(Shared {
            clock: Clock::new(),
            view: ArcSwap::default(),
            changed: Notify::new(),
            registry: Registry::new(),
            spent: spent::Shared::new(),
            rings: (0..workers).map(|_| Arc::new(Ring::new(capacity))).collect(),
            board: Board::new(workers),
            heirlooms: Heirlooms::new(sockets.listeners, workers),
            admin_socket: Mutex::default(),
            told: Mutex::default(),
            identities: Arc::new(Identities::new()),
            certificates: Certificates::default(),
            config,
        });
        if let Some(folder) = &shared.config.identities {
            tls::keep::restore(&shared.identities, folder);
        }
        let seen = Arc::clone(&shared);
        let clock = shared.clock;
        metrics::observe(&shared.registry, move || seen.view.load_full(), move || clock.now());
        metrics::observe_certificates(&shared.registry, Arc::clone(&shared.identities));
        let plan = watch::Sender::new(Arc::new(Plan::default()));
        let (admin_address, admin) = watch::channel(None);
        let mut threads = Vec::with_capacity(workers + 1);
        for number in 0..workers {
            threads.push(spawn_worker(Arc::clone(&shared), number, plan.subscribe())?);
        }
        threads.push(admin::spawn(Arc::clone(&shared), sockets.admin, admin_address, plan.subscribe())?);
        let followed = Some(follow::spawn(Arc::clone(&shared))?);
        Ok(Self { shared, plan, admin, threads, followed })
    }

    /// Routes and treatment of calls, in place of those before.
    pub fn apply_routes(&self, routes: Routes) {
        self.change(|parts| parts.set_routes(routes));
    }

    /// What of the routes is different from now on. Whether the changes follow from what the plane was told before: if not,
    /// nothing is changed, and it needs the routes as a whole.
    pub fn apply_route_changes(&self, changes: RouteChanges) -> bool {
        let mut applied = false;
        self.change(|parts| applied = parts.change_routes(changes));
        applied
    }

    /// Lets go of what was replaced and is not used any more. To be called some time after a change, so that no request
    /// pays for freeing it.
    pub fn forget_replaced(&self) {
        told(&self.shared).replaced.retain(|view| Arc::strong_count(view) > 1);
    }

    /// Who may be called, in place of those before.
    pub fn apply_endpoints(&self, endpoints: Endpoints) {
        self.change(|parts| parts.endpoints = Some(Arc::new(endpoints)));
    }

    /// Who may be called of one service; the others stay. Whether the change follows from what the plane was told
    /// before: if not, nothing is changed, and it needs the endpoints as a whole.
    pub fn apply_service_endpoints(&self, change: ServiceEndpoints) -> bool {
        let mut applied = false;
        self.change(|parts| {
            if let Some(endpoints) = &mut parts.endpoints {
                applied = change.apply_to(Arc::make_mut(endpoints));
            }
        });
        applied
    }

    /// The sidecars that live here, in place of those before. Listeners are opened and drained accordingly.
    pub fn apply_sidecars(&self, sidecars: Sidecars) {
        self.change(|parts| parts.sidecars = Some(Arc::new(sidecars)));
    }

    /// Who a workload is that lives here, in place of what was said before: it holds for the connections that are made from
    /// now on.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing has changed then.
    pub fn apply_identity(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.shared.identities.put(identity)
    }

    pub(crate) fn identities(&self) -> &Identities {
        &self.shared.identities
    }

    /// Whether it has been told who lives here.
    pub(crate) fn knows_its_workloads(&self) -> bool {
        let told = told(&self.shared);
        told.parts.routes.is_some() && told.parts.sidecars.is_some()
    }

    /// Where identities are kept.
    pub(crate) fn identities_folder(&self) -> Option<&Path> {
        self.shared.config.identities.as_deref()
    }

    /// Until the next change of what the plane was told, from now on.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.shared.changed.notified()
    }

    /// What the plane was told last.
    pub fn snapshot(&self) -> Stored {
        self.parts().to_stored()
    }

    /// The same as it is kept here, which costs nothing to hand out however many routes there are.
    pub(crate) fn parts(&self) -> Parts {
        told(&self.shared).parts.clone()
    }

    /// Waits until every listener of the present snapshot is open in every worker.
    pub async fn listening(&self) {
        let wanted: Vec<Key> = self.plan.borrow().listeners.keys().cloned().collect();
        self.shared.board.all_open(&wanted).await;
    }

    /// Where the admin address is, once it is served.
    pub async fn admin(&self) -> Option<SocketAddr> {
        let mut admin = self.admin.clone();
        admin.wait_for(Option::is_some).await.ok().and_then(|address| *address)
    }

    /// The metrics, to which others of the process may add theirs.
    pub fn metrics(&self) -> &Registry {
        &self.shared.registry
    }

    /// What is remembered of a request.
    pub fn explain(&self, request: RequestId) -> Option<Explanation> {
        explain(self.shared.rings.iter().map(AsRef::as_ref), request)
    }

    /// Ends: no new connections, idle ones are closed, requests in hand are answered for as long as `grace` allows, which
    /// holds no more once the plane is [retired](Plane::retire). Blocks until the threads have ended.
    pub fn shutdown(mut self, grace: Duration) {
        if self.plan.borrow().closing.is_none() {
            self.close(grace);
        }
        for thread in std::mem::take(&mut self.threads) {
            if thread.join().is_err() {
                tracing::error!("a thread of the data plane had panicked");
            }
        }
        if let Some(followed) = self.followed.take() {
            followed.finish();
        }
    }

    /// Takes no more connections. Those that are open may still bring requests within `linger`, each of which is told to
    /// be the last; [`Plane::shutdown`] waits for them too.
    pub fn retire(&self, linger: Duration) {
        self.close_by(Closing { linger, grace: linger });
    }

    /// The sockets at which it listens, for another process.
    pub(crate) fn sockets(&self) -> io::Result<(Vec<TcpListener>, Option<TcpListener>)> {
        let copy =
            |socket: Arc<tokio::net::TcpListener>| socket.as_fd().try_clone_to_owned().map(TcpListener::from);
        let admin = self.shared.admin_socket.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let listeners = self.shared.board.sockets().into_iter().map(copy).collect::<io::Result<_>>()?;
        Ok((listeners, admin.map(copy).transpose()?))
    }

    fn close(&self, grace: Duration) {
        self.close_by(Closing { linger: Duration::ZERO, grace });
    }

    fn close_by(&self, closing: Closing) {
        self.plan.send_modify(|plan| *plan = Arc::new(Plan { closing: Some(closing), ..Plan::default() }));
    }

    fn change(&self, apply: impl FnOnce(&mut Parts)) {
        let mut told = told(&self.shared);
        let Told { parts, cells, replaced } = &mut *told;
        apply(parts);
        let view = Arc::new(View::new(parts.clone(), cells, setting(&self.shared)));
        replaced.retain(|view| Arc::strong_count(view) > 1);
        replaced.push(self.shared.view.swap(Arc::clone(&view)));
        self.shared.changed.notify_waiters();
        cells.forget_unused();
        // Within the lock, so that the last change is the last plan too.
        self.plan.send_if_modified(|plan| replan(plan, &view));
        let wanted = Arc::clone(&self.plan.borrow());
        self.shared.board.keep_only(|key| wanted.listeners.contains_key(key));
    }
}

fn told(shared: &Shared) -> MutexGuard<'_, Told> {
    shared.told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn setting(shared: &Shared) -> Setting<'_> {
    Setting { now: shared.clock.now(), locality: &shared.config.locality }
}

/// Makes the view anew if it is one that holds for some time only, and that is over.
fn renew(shared: &Shared) {
    let is_over = |view: &View| view.until().is_some_and(|until| until <= shared.clock.now());
    if !is_over(&shared.view.load()) {
        return;
    }
    let mut told = told(shared);
    let Told { parts, cells, replaced } = &mut *told;
    let view = Arc::new(View::new(parts.clone(), cells, setting(shared)));
    replaced.retain(|view| Arc::strong_count(view) > 1);
    replaced.push(shared.view.swap(view));
    shared.changed.notify_waiters();
    cells.forget_unused();
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

/// Makes the plan fit the view; whether that changed anything. A listener that stays keeps its count.
fn replan(plan: &mut Arc<Plan>, view: &View) -> bool {
    if plan.closing.is_some() {
        return false;
    }
    let keys = wanted(view);
    if keys.iter().eq(plan.listeners.keys()) {
        return false;
    }
    let with_count = |key: Key| {
        let count = plan.listeners.get(&key).cloned().unwrap_or_default();
        (key, count)
    };
    let listeners: BTreeMap<_, _> = keys.into_iter().map(with_count).collect();
    *plan = Arc::new(Plan { listeners, closing: None });
    true
}

fn wanted(view: &View) -> BTreeSet<Key> {
    let gateway = view.gateway.iter().flat_map(GatewayView::listeners);
    let sidecars = view.sidecars().flat_map(|(instance, sidecar)| {
        [
            (sidecar.outbound, Role::Outbound(instance.clone())),
            (sidecar.inbound, Role::Inbound(instance.clone())),
        ]
    });
    gateway.chain(sidecars).collect()
}

fn spawn_worker(
    shared: Arc<Shared>,
    number: usize,
    plan: watch::Receiver<Arc<Plan>>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("tenon-proxy-{number}")).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a worker cannot start"),
        };
        runtime.block_on(async {
            let worker = Worker::new(shared, number);
            tokio::task::spawn_local(sweep(Rc::clone(&worker), number == 0));
            listener::keep(worker, plan).await;
        });
    })
}

/// What is done now and then; some of it by one worker for all.
async fn sweep(worker: Rc<Worker>, is_first: bool) {
    loop {
        tokio::time::sleep(SWEEP).await;
        worker.pool.close_idle();
        if is_first {
            trial::compare(&worker);
            renew(&worker.shared);
        }
    }
}

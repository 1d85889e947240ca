//! One thread's share of the data plane: what its requests use, none of it shared with other threads' requests except
//! through [`Shared`].

use crate::clock::Clock;
use crate::config::PlaneConfig;
use crate::explain::{Recorder, Ring};
use crate::listener::{Board, Heirlooms};
use crate::metrics::Metrics;
use crate::plane::Told;
use crate::pool::Pool;
use crate::tls::{Certificates, Identities};
use crate::view::{Destination, Group, View};
use arc_swap::ArcSwap;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, Mutex, Weak};
use tenon_core::balance::Balancer;
use tenon_core::retry::spent;
use tenon_core::{RequestId, ServiceRef, Timestamp};
use tenon_telemetry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

/// What all threads of a data plane see.
pub(crate) struct Shared {
    pub(crate) config: PlaneConfig,
    pub(crate) clock: Clock,
    pub(crate) view: ArcSwap<View>,
    /// Told of every change of the view, after it.
    pub(crate) changed: Notify,
    pub(crate) registry: Registry,
    /// The requests that retries have been spent for.
    pub(crate) spent: spent::Shared,
    /// One for each worker.
    pub(crate) rings: Vec<Arc<Ring>>,
    /// How the listeners are doing.
    pub(crate) board: Board,
    /// What another process has left to this one.
    pub(crate) heirlooms: Heirlooms,
    /// The admin address's, for whoever takes over; its thread owns it.
    pub(crate) admin_socket: Mutex<Weak<TcpListener>>,
    /// What the plane was told last. Locked by changes only.
    pub(crate) told: Mutex<Told>,
    /// The certificates of the workloads that live here.
    pub(crate) identities: Arc<Identities>,
    /// Those of the gateway.
    pub(crate) certificates: Certificates,
}

/// What the requests of one thread use.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// Which of the workers it is.
    pub(crate) number: usize,
    pub(crate) pool: Rc<Pool>,
    pub(crate) metrics: Metrics,
    pub(crate) recorder: Recorder,
    /// Copies of requests in flight.
    pub(crate) mirrored: Cell<u32>,
    /// How many TLS handshakes may go on at a time.
    pub(crate) handshakes: Semaphore,
    view: RefCell<Rc<LocalView>>,
    /// How many routes with several backends have been followed.
    drawn: Cell<u64>,
}

/// A destination, counted by one thread.
pub(crate) type Handle = Rc<Arc<Destination>>;

/// A view with this thread's cursors. Held by the requests that were begun under it.
pub(crate) struct LocalView {
    view: Arc<View>,
    /// For each of [`View::destinations`], one for each level of each of its groups.
    balancers: Box<[Vec<Vec<RefCell<Balancer>>>]>,
    /// The destinations again, for what outlives a request's head: it keeps its destination and not all the others.
    handles: Box<[Handle]>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Rc<Self> {
        let view = Rc::new(LocalView::new(shared.view.load_full(), None));
        Rc::new(Self {
            pool: Rc::new(Pool::new(&shared.config.limits, Arc::clone(&shared.identities))),
            metrics: Metrics::new(&shared.registry),
            // There is a ring for each worker; were there not, one that nobody reads does no harm.
            recorder: Recorder::new(
                shared.rings.get(number).cloned().unwrap_or_else(|| Arc::new(Ring::new(1))),
            ),
            mirrored: Cell::new(0),
            handshakes: Semaphore::new(shared.config.limits.handshakes),
            view: RefCell::new(view),
            number,
            drawn: Cell::new(fastrand::u64(..)),
            shared,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The present view. Costs no contended write: the view is counted once for each thread, not for each request.
    pub(crate) fn view(&self) -> Rc<LocalView> {
        let present = self.shared.view.load();
        let mut own = self.view.borrow_mut();
        if !Arc::ptr_eq(&present, &own.view) {
            *own = Rc::new(LocalView::new(Arc::clone(&present), Some(&own)));
        }
        Rc::clone(&own)
    }

    /// A number for a route to draw a backend by. They follow each other so evenly that, of any few, each backend gets its
    /// share: multiples of the golden section (an additive recurrence; H. Weyl, 1916).
    pub(crate) fn even(&self) -> u64 {
        let drawn = self.drawn.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.drawn.set(drawn);
        drawn
    }

    /// A new id for a request.
    pub(crate) fn new_request_id(&self) -> RequestId {
        RequestId::from_time(self.now().as_millis(), std::array::from_fn(|_| fastrand::u8(..)))
    }
}

impl LocalView {
    /// A view whose cursors go on from those of the one before.
    fn new(view: Arc<View>, before: Option<&Self>) -> Self {
        let cursor = |service: &ServiceRef, group: usize, level: usize| {
            let index = before?.find(service)?;
            Some(before?.balancer(index, group, level)?.borrow().clone())
        };
        let of = |destination: &Arc<Destination>| {
            let groups = destination.groups.iter().enumerate();
            let levels = |(group, of): (usize, &Group)| {
                let cursor = |level| cursor(&destination.service, group, level).unwrap_or_default();
                (0..of.levels.len()).map(|level| RefCell::new(cursor(level))).collect()
            };
            groups.map(levels).collect()
        };
        let balancers = view.destinations().iter().map(of).collect();
        let handles = view.destinations().iter().map(|it| Rc::new(Arc::clone(it))).collect();
        Self { view, balancers, handles }
    }

    /// One of [`View::destinations`], to be kept.
    pub(crate) fn handle(&self, index: usize) -> Option<Handle> {
        self.handles.get(index).cloned()
    }

    /// The cursor for a level of a group of a destination.
    pub(crate) fn balancer(&self, index: usize, group: usize, level: usize) -> Option<&RefCell<Balancer>> {
        self.balancers.get(index)?.get(group)?.get(level)
    }
}

impl Deref for LocalView {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

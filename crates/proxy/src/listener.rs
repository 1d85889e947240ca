//! Where clients come in. Every worker listens at every address (`SO_REUSEPORT`), so the kernel deals connections out and
//! none changes threads.
//!
//! Life cycle: the plane says which listeners are wanted; each worker opens those it lacks, tries again every 100 ms
//! where that fails, and drains those that are not wanted any more: what has connected is served.

mod board;
mod crowd;
mod heirlooms;

pub(crate) use board::{Board, ListenerStatus};
pub(crate) use crowd::Guest;
pub(crate) use heirlooms::Heirlooms;

use crate::connection::{self, Connection, Role};
use crate::drain::Drain;
use crate::proxied;
use crate::worker::Worker;
use crowd::Crowd;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::limit;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// How long until an address that could not be listened at is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(100);
/// How long to wait when no connection can be taken (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const BACKLOG: i32 = 1_024;

/// An address and what it is for.
pub(crate) type Key = (SocketAddr, Role);

/// Which listeners there are to be.
#[derive(Debug, Default, Clone)]
pub(crate) struct Plan {
    /// Each with the count of its connections in all workers.
    pub(crate) listeners: BTreeMap<Key, Arc<limit::Shared>>,
    /// Whether the data plane is to end, and how.
    pub(crate) closing: Option<Closing>,
}

/// How a data plane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closing {
    /// How long open connections may still bring requests, each of which is told to be the last.
    pub(crate) linger: Duration,
    /// How long the requests in hand may take after that.
    pub(crate) grace: Duration,
}

/// One worker's open listener.
struct Open {
    drain: Rc<Drain>,
    /// One for each of its sockets.
    stops: Vec<Rc<Notify>>,
}

impl Open {
    fn stop(&self) {
        self.stops.iter().for_each(|stop| stop.notify_one());
    }
}

/// Keeps one worker's listeners as the plan says, until it says to close.
pub(crate) async fn keep(worker: Rc<Worker>, mut plan: watch::Receiver<Arc<Plan>>) {
    let mut open: BTreeMap<Key, Open> = BTreeMap::new();
    let crowd = Rc::new(Crowd::default());
    loop {
        let wanted = Arc::clone(&plan.borrow_and_update());
        if let Some(closing) = wanted.closing {
            return close(open, &crowd, closing, plan).await;
        }
        let complete = reconcile(&worker, &mut open, &wanted, &crowd);
        tokio::select! {
            changed = plan.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if !complete => {}
        }
    }
}

/// Opens what is missing and drains what is too much; whether nothing is missing now.
fn reconcile(worker: &Rc<Worker>, open: &mut BTreeMap<Key, Open>, plan: &Plan, crowd: &Rc<Crowd>) -> bool {
    let limits = &worker.shared.config.limits;
    open.retain(|key, listener| {
        let wanted = plan.listeners.contains_key(key);
        if !wanted {
            worker.shared.board.closed(key);
            listener.stop();
            tokio::task::spawn_local(drain(Rc::clone(&listener.drain), limits.drain));
        }
        wanted
    });
    let mut complete = true;
    for (key, count) in &plan.listeners {
        if open.contains_key(key) {
            continue;
        }
        let listening = open_at(worker, key.0);
        worker.shared.board.tried(key, &listening);
        match listening {
            Ok(listeners) => drop(open.insert(key.clone(), begin(worker, key, listeners, count, crowd))),
            Err(_) => complete = false,
        }
    }
    complete
}

async fn drain(drain: Rc<Drain>, most: Duration) {
    drain.begin();
    tokio::time::sleep(most).await;
    drain.end();
}

/// Lets go of everything, and waits for the requests in hand. A plan that comes meanwhile can only be a shorter end.
async fn close(
    open: BTreeMap<Key, Open>,
    crowd: &Crowd,
    Closing { linger, mut grace }: Closing,
    mut plan: watch::Receiver<Arc<Plan>>,
) {
    for listener in open.values() {
        listener.stop();
        listener.drain.begin();
    }
    if !linger.is_zero() {
        let shorter = plan.wait_for(|plan| plan.closing.is_some_and(|closing| closing.linger < linger));
        tokio::select! {
            () = crowd.is_gone() => {}
            () = tokio::time::sleep(linger) => {}
            shorter = shorter => {
                grace = shorter.ok().and_then(|plan| plan.closing).map_or(Duration::ZERO, |closing| closing.grace);
            }
        }
    }
    open.values().for_each(|listener| listener.drain.end());
    if tokio::time::timeout(grace, crowd.is_gone()).await.is_err() {
        tracing::warn!(connections = crowd.count(), "connections are cut: they did not end in time");
    }
}

/// A listener at an address, beside those of the other workers.
///
/// # Errors
/// The address cannot be listened at.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// This worker's sockets at an address: those that another process has left to it, or else a new one.
fn open_at(worker: &Worker, address: SocketAddr) -> io::Result<Vec<Arc<TcpListener>>> {
    let inherited = worker.shared.heirlooms.take(address, worker.number);
    if inherited.is_empty() {
        return Ok(vec![Arc::new(listen(address)?)]);
    }
    inherited.into_iter().map(|socket| TcpListener::from_std(socket).map(Arc::new)).collect()
}

fn begin(
    worker: &Rc<Worker>,
    key: &Key,
    listeners: Vec<Arc<TcpListener>>,
    count: &Arc<limit::Shared>,
    crowd: &Rc<Crowd>,
) -> Open {
    let mut open = Open { drain: Rc::default(), stops: Vec::new() };
    for listener in listeners {
        let door = Door {
            worker: Rc::clone(worker),
            role: key.1.clone(),
            count: Arc::clone(count),
            crowd: Rc::clone(crowd),
            drain: Rc::clone(&open.drain),
        };
        let stop = Rc::<Notify>::default();
        open.stops.push(Rc::clone(&stop));
        tokio::task::spawn_local(async move { door.accept_until(&stop, listener).await });
    }
    open
}

/// Where connections of one listener come in.
struct Door {
    worker: Rc<Worker>,
    role: Role,
    count: Arc<limit::Shared>,
    crowd: Rc<Crowd>,
    drain: Rc<Drain>,
}

impl Door {
    async fn accept_until(&self, stop: &Notify, listener: Arc<TcpListener>) {
        loop {
            tokio::select! {
                biased;
                () = stop.notified() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be taken");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        self.admit_waiting(&listener);
    }

    /// Takes the connections that the kernel has made already: closing the listener would reset them.
    fn admit_waiting(&self, listener: &TcpListener) {
        let Ok(listener) = listener.as_fd().try_clone_to_owned().map(std::net::TcpListener::from) else {
            return;
        };
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.admit(stream, peer);
            }
        }
    }

    fn admit(&self, mut stream: TcpStream, peer: SocketAddr) {
        let component = self.role.component();
        let Ok(held) = self.count.admit(self.worker.shared.config.limits.connections) else {
            return self.worker.metrics.connection_refused(component);
        };
        // Without the first, small responses wait for acknowledgements. Without the second, a client that does not
        // read its response would be waited for without end. Where they are not to be had, it works all the same.
        let _ = stream.set_nodelay(true);
        let _ =
            SockRef::from(&stream).set_tcp_user_timeout(Some(self.worker.shared.config.limits.stream_idle));
        let guest = Guest::enter(&self.crowd);
        let connection = Connection::new(self.role.clone(), peer.ip(), Rc::clone(&self.drain), guest);
        let worker = Rc::clone(&self.worker);
        tokio::task::spawn_local(async move {
            let gauge = worker.metrics.connections(component);
            gauge.increment();
            if let Some(connection) = proxied::arrive(&worker, connection, &mut stream).await {
                connection::enter(worker, connection, stream).await;
            }
            gauge.decrement();
            drop(held);
        });
    }
}

//! The server: the writer, its drivers and the API, started and stopped together.

use crate::access::Access;
use crate::ca::Ca;
use crate::checks;
use crate::clock::Clock;
use crate::duties::{self, OnDuty};
use crate::identities::Identities;
use crate::keys::Keys;
use crate::own::OwnSidecar;
use crate::past::PastConfig;
use crate::rest::{self, App};
use crate::runtime::{self, Supervised};
use crate::schema::Schemas;
use crate::snapshots::Snapshots;
use crate::writer::{self, ReplayError};
use axum::Router;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::http::{ChangedSaga, Finding};
use tenon_core::duty::Duty;
use tenon_core::group::Definition;
use tenon_core::manifest::{Ratio, System};
use tenon_core::platform;
use tenon_core::saga::{self, SagaName};
use tenon_core::{Code, Namespace, Position, Refusal, Revision, ServerId, SubscriptionName};
use tenon_store::log::BoxFuture;
use tenon_store::{Leases, Log};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long everything may take to end; what has not ended by then is cut off.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// A manifest that was read.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What it resolves to.
    pub system: System,
    /// Warnings about it.
    pub findings: Vec<Finding>,
}

/// Reads a manifest: its text, what to call it in findings, and the files that it names by their paths. Answers all that is wrong
/// with it, if anything is.
pub type ReadManifest =
    Arc<dyn Fn(&str, &str, BTreeMap<String, String>) -> Result<Manifest, Vec<Finding>> + Send + Sync>;

/// Another version of a saga in the manifest: as it was, and as it is. One of both is there.
#[derive(Debug, Clone)]
pub struct SagaChange {
    /// None if it is new.
    pub before: Option<saga::Definition>,
    /// None if it is gone.
    pub after: Option<saga::Definition>,
}

/// Says which sagas run that changes of the manifest concern, one answer for each.
pub type Concerned =
    Arc<dyn Fn(Vec<SagaChange>) -> BoxFuture<'static, Result<Vec<ChangedSaga>, Refusal>> + Send + Sync>;

/// What a server needs.
pub struct ServerConfig {
    /// Where the API listens; port 0 for any.
    pub listen: SocketAddr,
    /// Names, besides those that mean loopback, that the API answers to.
    pub hosts: BTreeSet<String>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Leases among the servers on the log; none where this server is alone on it.
    pub leases: Option<Arc<dyn Leases>>,
    /// The API's token and the mesh key.
    pub keys: Keys,
    /// The supervisor's socket; without one no service is started.
    pub supervisor: Option<PathBuf>,
    /// The folder that the supervisor keeps the output of services in.
    pub output: PathBuf,
    /// Reads manifests.
    pub read_manifest: ReadManifest,
    /// Says which sagas a manifest concerns.
    pub concerned: Concerned,
    /// What else is served on the API's address, behind the same guard: each request carries who calls, a
    /// [`Caller`](tenon_api::caller::Caller), among its extensions. It must not have a fallback.
    pub more: Router,
}

/// Why a server did not start. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no port for the sidecar by which the server calls services.
    #[error("cannot find a port for a sidecar")]
    Ports(#[source] io::Error),
    /// The state cannot be folded from the log.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl StartError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Listen { .. } | Self::Ports(_) => Code::ServerUnavailable,
            Self::Replay(error) => error.code(),
        }
    }
}

/// A running server. Dropping it cuts it off; [`Server::stop`] ends it in order.
pub struct Server {
    address: SocketAddr,
    writer: writer::Handle,
    own: Own,
    stop_api: CancellationToken,
    stop_writer: CancellationToken,
    drivers: JoinSet<()>,
    writing: tokio::task::JoinHandle<()>,
}

/// The server as a caller.
struct Own {
    bus: OwnSidecar,
    sagas: OwnSidecar,
}

impl Own {
    fn new(keys: &Keys, mut taken: BTreeSet<u16>) -> io::Result<Self> {
        let bus = OwnSidecar::new(keys, &taken, platform::pusher())?;
        taken.extend(bus.ports());
        let sagas = OwnSidecar::new(keys, &taken, platform::orchestrator())?;
        Ok(Self { bus, sagas })
    }

    fn each(&self) -> [&OwnSidecar; 2] {
        [&self.bus, &self.sagas]
    }
}

impl Server {
    /// Folds the log and starts to serve. When this returns the state is that of the log, and connections are
    /// accepted.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        let ServerConfig {
            listen,
            hosts,
            log,
            leases,
            keys,
            supervisor,
            output,
            read_manifest,
            concerned,
            more,
        } = config;
        let failed = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let clock = Clock::start();
        let (stop_api, stop_writer) = (CancellationToken::new(), CancellationToken::new());
        let (writer, writing) = writer::start(Arc::clone(&log), clock.clone(), stop_writer.clone()).await?;
        let taken = writer.read(|view| runtime::taken_ports(&view.state));
        let own = Own::new(&keys, taken).map_err(StartError::Ports)?;
        let mut drivers = JoinSet::new();
        let server = ServerId::from_time(clock.now().as_millis(), std::array::from_fn(|_| fastrand::u8(..)));
        let mut on_duty = |duty| match &leases {
            None => OnDuty::always(&writer, duty),
            Some(leases) => {
                let leases = Arc::clone(leases);
                duties::take(duty, writer.clone(), leases, server, &mut drivers, stop_api.clone())
            }
        };
        let health = on_duty(Duty::Health);
        // Only who can run processes wants to.
        let runtime = supervisor.as_ref().map(|_| on_duty(Duty::Runtime));
        let (heartbeats, checking) = checks::start(writer.clone(), clock.clone(), health, stop_api.clone());
        drivers.spawn(ended(checking));
        let supervised = match supervisor.zip(runtime) {
            None => Supervised::default(),
            Some((socket, on_duty)) => {
                let (supervised, running) = runtime::start(
                    writer.clone(),
                    clock.clone(),
                    keys.clone(),
                    socket,
                    address,
                    on_duty,
                    stop_api.clone(),
                );
                drivers.spawn(ended(running));
                supervised
            }
        };
        let app = App {
            identities: Identities::new(
                writer.clone(),
                clock.clone(),
                Ca::new(keys.folder()),
                own.each().map(|own| (own.instance.clone(), own.service.clone())).into(),
            ),
            snapshots: Snapshots::new(
                writer.clone(),
                keys.clone(),
                clock.clone(),
                own.each().map(Clone::clone).into(),
                stop_api.clone(),
            ),
            access: Access::new(keys, address, hosts),
            past: PastConfig::new(Arc::clone(&log)),
            log,
            server,
            schemas: Arc::new(Schemas::default()),
            started_at: clock.now(),
            stop: stop_api.clone(),
            requests: App::request_permits(),
            streams: App::stream_permits(),
            writer: writer.clone(),
            clock,
            heartbeats,
            read_manifest,
            concerned,
            output,
            supervised,
        };
        drivers.spawn(rest::serve(listener, rest::router(Arc::new(app), more), stop_api.clone()));
        tracing::info!(%address, revision = %writer.read(|view| view.state.revision), "the server has started");
        Ok(Self { address, writer, own, stop_api, stop_writer, drivers, writing })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the server itself calls services to push events to them.
    pub fn sidecar(&self) -> &OwnSidecar {
        &self.own.bus
    }

    /// How the server itself calls services that take part in sagas.
    pub fn saga_sidecar(&self) -> &OwnSidecar {
        &self.own.sagas
    }

    /// The subscriptions of the manifest that is applied, if one is; and a wake-up for each time that something changes.
    pub fn subscriptions(&self) -> Subscriptions {
        Subscriptions { writer: self.writer.clone(), folded: self.writer.folded() }
    }

    /// How far the log has been folded.
    pub fn revision(&self) -> Revision {
        self.writer.read(|view| view.state.revision)
    }

    /// Ends in order: no new requests, open ones finish, drivers end, and the writer last, so that whatever is
    /// under way can still be recorded. Processes that run go on.
    pub async fn stop(mut self) {
        self.stop_api.cancel();
        let drivers = std::mem::take(&mut self.drivers);
        let ending = async {
            drivers.join_all().await;
            self.stop_writer.cancel();
            ended(&mut self.writing).await;
        };
        if tokio::time::timeout(STOP_TIMEOUT, ending).await.is_err() {
            tracing::warn!("the server did not end in time and is cut off");
        }
    }
}

/// What the applied manifest says of subscriptions and sagas, and of where spans are sent.
pub struct Subscriptions {
    writer: writer::Handle,
    folded: watch::Receiver<Position>,
}

impl Subscriptions {
    /// Those of the manifest that is applied, and where in the log it was; none if none is.
    pub fn declared(&mut self) -> Option<(Position, BTreeMap<SubscriptionName, Definition>)> {
        self.folded.borrow_and_update();
        self.writer.read(|view| {
            view.state.catalog.system().map(|system| (view.applied_at, system.subscriptions.clone()))
        })
    }

    /// The sagas of the manifest that is applied; none if none is.
    pub fn declared_sagas(&mut self) -> Option<BTreeMap<SagaName, saga::Definition>> {
        self.folded.borrow_and_update();
        self.writer.read(|view| view.state.catalog.system().map(|system| system.sagas.clone()))
    }

    /// Whether the manifest that is applied has a saga.
    pub fn has_saga(&self, namespace: &Namespace, name: &SagaName) -> bool {
        self.writer.read(|view| {
            let system = view.state.catalog.system().filter(|system| system.namespace == *namespace);
            system.is_some_and(|system| system.sagas.contains_key(name))
        })
    }

    /// Where spans are sent by the manifest that is applied, if anywhere.
    pub fn collector(&mut self) -> Option<Arc<str>> {
        self.folded.borrow_and_update();
        self.writer.read(|view| view.state.catalog.system().and_then(|system| system.telemetry.otlp.clone()))
    }

    /// Which share of the traces that begin here the applied manifest keeps.
    pub fn sampling(&mut self) -> Ratio {
        self.folded.borrow_and_update();
        self.writer
            .read(|view| view.state.catalog.system().map_or(Ratio::ALL, |system| system.telemetry.sampling))
    }

    /// Waits until something has changed since they were asked for. Whether the server goes on.
    pub async fn changed(&mut self) -> bool {
        self.folded.changed().await.is_ok()
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions").finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_api.cancel();
        self.stop_writer.cancel();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Waits for a task. One that panicked has said so and is over.
async fn ended(task: impl Future<Output = Result<(), tokio::task::JoinError>>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a part of the server failed");
    }
}

#[cfg(test)]
mod tests;

//! A mesh in one process: a data plane, applications that answer by a function, and clients.

use bytes::{BufMut, Bytes};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest, Sha256};
use socket2::{Domain, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tenon_core::manifest::{Egress, Gateway, Traffic, Version};
use tenon_core::policy::Policy;
use tenon_core::route::{Backend, Route, Rule};
use tenon_core::snapshot::{Endpoint, Endpoints, Routes, Sidecar, Sidecars};
use tenon_core::{InstanceId, LogId, Position, Revision, ServiceRef, Timestamp};
use tenon_proxy::{Limits, Plane, PlaneConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub(crate) type Body = BoxBody<Bytes, io::Error>;
pub(crate) const SECRET: &str = "s3cret";
/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A body of these bytes, with their length told.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

pub(crate) fn service(name: &str) -> ServiceRef {
    name.parse().unwrap()
}

/// An application. Dropped or killed, it is gone with all its connections, as by SIGKILL.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    /// The address stays its own also when it is killed.
    _reserved: Reserved,
    hits: Arc<AtomicU64>,
    kill: watch::Sender<bool>,
}

impl App {
    /// Answers every request by a function. Speaks HTTP/1.1 and HTTP/2.
    pub(crate) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::at(Reserved::new(), answer).await
    }

    /// The same, at this address.
    #[allow(clippy::unused_async, reason = "it needs a runtime, and is started as all that wait for theirs")]
    pub(crate) async fn at<F, R>(reserved: Reserved, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let (address, listener) = (reserved.address, reserved.listen());
        let hits = Arc::new(AtomicU64::new(0));
        let (kill, mut killed) = watch::channel(false);
        let counted = Arc::clone(&hits);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    _ = killed.wait_for(|killed| *killed) => return,
                };
                let (answer, hits) = (answer.clone(), Arc::clone(&counted));
                let service = service_fn(move |request| {
                    hits.fetch_add(1, Ordering::SeqCst);
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                connections.spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, _reserved: reserved, hits, kill }
    }

    /// Answers everything with 200 and this text.
    pub(crate) async fn saying(text: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(full(text)) }).await
    }

    /// How many requests have arrived.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    /// Ends at once, cutting its connections.
    pub(crate) async fn kill(&self) {
        self.kill.send_replace(true);
        // Until nobody listens there.
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill.send_replace(true);
    }
}

/// An address that nobody else gets: bound, not listened at, so that the data plane may.
pub(crate) struct Reserved {
    pub(crate) address: SocketAddr,
    socket: Socket,
}

impl Reserved {
    pub(crate) fn new() -> Self {
        let socket = shared_at(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { address: socket.local_addr().unwrap().as_socket().unwrap(), socket }
    }

    /// Listens at it.
    fn listen(&self) -> TcpListener {
        let socket = shared_at(self.address);
        socket.listen(1_024).unwrap();
        socket.set_nonblocking(true).unwrap();
        TcpListener::from_std(socket.into()).unwrap()
    }

    /// One that the data plane does not get either, until it is shared.
    pub(crate) fn unshared() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self { address: socket.local_addr().unwrap().as_socket().unwrap(), socket }
    }

    pub(crate) fn share(&self) {
        self.socket.set_reuse_address(true).unwrap();
        self.socket.set_reuse_port(true).unwrap();
    }
}

fn shared_at(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

/// A data plane with one caller, the service `order`, whose instance is `order-1`.
pub(crate) struct Mesh {
    pub(crate) plane: Plane,
    pub(crate) outbound: Reserved,
    pub(crate) inbound: Reserved,
    pub(crate) gateway: Reserved,
    pub(crate) routes: Routes,
    pub(crate) endpoints: Endpoints,
    pub(crate) application: SocketAddr,
    /// The instance whose sidecar lives here, and its service.
    pub(crate) hosted: (&'static str, &'static str),
    pub(crate) depends_on: BTreeSet<ServiceRef>,
    pub(crate) callers: BTreeSet<ServiceRef>,
    position: u64,
}

impl Mesh {
    /// A tunnel may take its time to show what it carries, so that what is HTTP is not taken for plain bytes.
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits { detect_timeout: PATIENCE, ..Limits::default() })
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self::with_config(PlaneConfig { limits, ..PlaneConfig::default() })
    }

    pub(crate) fn with_access_log(file: PathBuf) -> Self {
        Self::with_config(PlaneConfig { access_log: Some(file), ..PlaneConfig::default() })
    }

    pub(crate) fn with_config(config: PlaneConfig) -> Self {
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = PlaneConfig { workers: 2, admin, ..config };
        Self {
            plane: Plane::start(config).unwrap(),
            outbound: Reserved::new(),
            inbound: Reserved::new(),
            gateway: Reserved::new(),
            routes: Routes {
                revision: revision(1),
                policies: Default::default(),
                planes: 1,
                gateway: None,
                services: BTreeMap::from([(service("order"), Traffic::default())]),
                resting: BTreeSet::new(),
                egress: Egress::Deny,
                telemetry: Default::default(),
            },
            endpoints: Endpoints { revision: revision(1), services: BTreeMap::new() },
            application: SocketAddr::from(([127, 0, 0, 1], 9)),
            hosted: ("order-1", "order"),
            depends_on: BTreeSet::new(),
            callers: BTreeSet::new(),
            position: 1,
        }
    }

    /// Adds a service with instances `NAME-1`, `NAME-2` and so on.
    #[must_use]
    pub(crate) fn service(self, name: &str, traffic: Traffic, apps: &[&App]) -> Self {
        let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
        self.service_at(name, traffic, &addresses)
    }

    /// Adds a service whose instances are at these addresses.
    #[must_use]
    pub(crate) fn service_at(mut self, name: &str, traffic: Traffic, addresses: &[SocketAddr]) -> Self {
        self.routes.services.insert(service(name), traffic);
        self.endpoints.services.insert(service(name), endpoints(name, addresses));
        self
    }

    /// Says that a service is to have no instance.
    #[must_use]
    pub(crate) fn resting(mut self, name: &str) -> Self {
        self.routes.resting.insert(service(name));
        self
    }

    /// Adds a policy, attached to a service.
    #[must_use]
    pub(crate) fn policy(mut self, to: &str, name: &str, policy: Policy) -> Self {
        let policies = &mut self.routes.policies;
        policies.named.insert(name.parse().unwrap(), Arc::new(policy));
        policies.services.entry(service(to)).or_default().insert(name.parse().unwrap());
        self
    }

    /// Adds a gateway whose routes lead each prefix to a service.
    #[must_use]
    pub(crate) fn gateway(mut self, routes: Vec<Route>) -> Self {
        self.routes.gateway =
            Some(Gateway { listen: self.gateway.address, proxy_protocol: false, routes, tls: None });
        self
    }

    /// Tells the data plane all of it, and waits until it listens.
    pub(crate) async fn apply(&mut self) {
        self.position += 1;
        self.routes.revision = revision(self.position);
        self.endpoints.revision = revision(self.position);
        self.plane.apply_routes(self.routes.clone());
        self.plane.apply_endpoints(self.endpoints.clone());
        self.plane.apply_sidecars(self.sidecars());
        tokio::time::timeout(PATIENCE, self.plane.listening()).await.unwrap();
    }

    pub(crate) async fn applied(mut self) -> Self {
        self.apply().await;
        self
    }

    pub(crate) fn sidecars(&self) -> Sidecars {
        let sidecar = Sidecar {
            service: service(self.hosted.1),
            outbound: self.outbound.address,
            inbound: self.inbound.address,
            application: self.application.into(),
            credential_sha256: Sha256::digest(SECRET).into(),
            depends_on: self.depends_on.clone(),
            callers: self.callers.clone(),
        };
        Sidecars {
            revision: revision(self.position),
            sidecars: BTreeMap::from([(self.hosted.0.parse::<InstanceId>().unwrap(), sidecar)]),
        }
    }

    /// A client that calls as the application of `order-1`.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.outbound.address).await
    }

    /// A call as the application, on a connection of its own.
    pub(crate) async fn get(&self, uri: &str) -> Reply {
        self.client().await.send(get(uri)).await
    }

    /// What the admin address says.
    pub(crate) async fn admin(&self, path: &str) -> Reply {
        self.admin_with(path, &[("host", "localhost")]).await
    }

    pub(crate) async fn admin_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let address = self.plane.admin().await.unwrap();
        let mut client = Client::connect(address).await;
        let request = Request::get(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        client.send(request.body(full("")).unwrap()).await
    }
}

pub(crate) fn revision(position: u64) -> Revision {
    Revision { log: LogId::from_bytes([7; 16]), position: Position(position) }
}

pub(crate) fn endpoints(name: &str, addresses: &[SocketAddr]) -> Vec<Endpoint> {
    let endpoint = |(number, address): (usize, &SocketAddr)| Endpoint {
        instance: format!("{name}-{}", number + 1).parse().unwrap(),
        address: (*address).into(),
        version: Version::default(),
        weight: 1,
        healthy: true,
        since: Timestamp::ZERO,
        metadata: BTreeMap::new(),
        inbound: None,
    };
    addresses.iter().enumerate().map(endpoint).collect()
}

/// A route of this name with one rule for a path prefix.
pub(crate) fn route(name: &str, prefix: &str, backends: &[(&str, u32)]) -> Route {
    use tenon_core::route::{Match, PathMatch, RoutePath};
    let path = PathMatch::Prefix(RoutePath::new(prefix).unwrap());
    let backend = |(name, weight): &(&str, u32)| Backend {
        service: service(name),
        weight: *weight,
        subset: Default::default(),
    };
    Route {
        name: name.parse().unwrap(),
        hostnames: Vec::new(),
        rules: vec![Rule {
            matches: vec![Match { path, ..Match::default() }],
            backends: backends.iter().map(backend).collect(),
            timeout: None,
        }],
    }
}

/// A request in absolute form with the application's credentials.
pub(crate) fn get(uri: &str) -> Request<Body> {
    request("GET", uri, "")
}

pub(crate) fn request(method: &str, uri: &str, body: impl Into<Bytes>) -> Request<Body> {
    let authority = uri.parse::<Uri>().unwrap().authority().map(ToString::to_string).unwrap_or_default();
    Request::builder()
        .method(method)
        .uri(uri)
        .header("host", authority)
        .header("proxy-authorization", credentials("order-1", SECRET))
        .body(full(body))
        .unwrap()
}

pub(crate) fn credentials(instance: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{instance}:{secret}")))
}

/// A client's HTTP/1.1 connection.
pub(crate) struct Client {
    sender: hyper::client::conn::http1::SendRequest<Body>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over<I>(io: I) -> Self
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { sender }
    }

    /// Sends a request and reads the response whole.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Reply {
        Reply::read(self.begin(request).await.unwrap()).await.unwrap()
    }

    /// Sends a request and waits for the head of the response.
    pub(crate) async fn begin(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        Ok(Self { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of a response that Tenon made; empty for a service's own.
    pub(crate) fn code(&self) -> &str {
        self.headers.get("tenon-error").map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// An application that deals with its connections by hand. It counts them.
pub(crate) struct RawApp {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl RawApp {
    pub(crate) async fn start<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(stream));
            }
        });
        Self { address, connections, task }
    }

    /// Reads a request's head, answers with these bytes and closes.
    pub(crate) async fn answering(bytes: &'static str) -> Self {
        Self::start(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(bytes.as_bytes()).await.unwrap();
        })
        .await
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for RawApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads up to the empty line that ends a head, and answers with it.
pub(crate) async fn read_head<R: AsyncRead + Unpin>(from: &mut R) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && from.read_buf(&mut (&mut head).limit(1)).await.unwrap() > 0 {}
    String::from_utf8(head).unwrap()
}

/// A body that is fed frame by frame, at most one ahead.
pub(crate) fn piped() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, frames) = mpsc::channel(1);
    (sender, Piped(frames).boxed())
}

struct Piped(mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Piped {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// Waits until something holds; the test fails if it takes too long.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
}

/// An address where nobody listens, for as long as it is held.
pub(crate) fn nobody() -> Reserved {
    Reserved::new()
}

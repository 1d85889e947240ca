//! A data plane that watches a server.

use crate::support::*;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::proto::snapshot::v1;
use tenon_api::snapshot::{Part, ServiceEndpoints, SnapshotService, SnapshotServiceServer, Stored, Watch};
use tenon_core::manifest::Traffic;
use tenon_core::snapshot::Sidecars;
use tenon_proxy::Limits;
use tenon_proxy::subscribe::{Server, follow, restore};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// Sends every watcher the same parts, and says what was asked.
struct FakeServer {
    asked: mpsc::UnboundedSender<(Watch, String)>,
    /// Weak, so that its watches end when the test lets go.
    parts: broadcast::WeakSender<Part>,
}

#[tonic::async_trait]
impl SnapshotService for FakeServer {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::SnapshotPart, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let token = request.metadata().get("authorization").unwrap().to_str().unwrap().to_string();
        let parts = BroadcastStream::new(self.parts.upgrade().unwrap().subscribe());
        self.asked.send((Watch::try_from(request.into_inner()).unwrap(), token)).unwrap();
        Ok(Response::new(Box::pin(parts.map(|part| Ok(v1::SnapshotPart::from(&part.unwrap()))))))
    }
}

struct Running {
    asked: mpsc::UnboundedReceiver<(Watch, String)>,
    parts: broadcast::Sender<Part>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Serves at an address that is reserved, so that it can be there again after it was gone.
    fn start(at: &Reserved) -> Self {
        let (asked, questions) = mpsc::unbounded_channel();
        let (parts, _) = broadcast::channel(100);
        let server = FakeServer { asked, parts: parts.downgrade() };
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(at.address).unwrap();
        let incoming = TcpListenerStream::new(socket.listen(16).unwrap());
        let serving = tonic::transport::Server::builder()
            .add_service(SnapshotServiceServer::new(server))
            .serve_with_incoming(incoming);
        Self { asked: questions, parts, task: tokio::spawn(async { serving.await.unwrap() }) }
    }

    async fn asked(&mut self) -> (Watch, String) {
        let asking = tokio::time::timeout(PATIENCE, self.asked.recv());
        asking.await.unwrap().unwrap()
    }

    fn tell(&self, part: Part) {
        self.parts.send(part).unwrap();
    }
}

fn server(at: &Reserved, folder: &Path) -> Server {
    let token_file = folder.join("token");
    std::fs::write(&token_file, "t0ken\n").unwrap();
    Server {
        address: format!("http://{}", at.address),
        token_file,
        node: "test".into(),
        instances: Default::default(),
    }
}

/// A mesh's plane that follows a server, and what it is not told.
fn following(
    mesh: Mesh,
    at: &Reserved,
    folder: &Path,
) -> (Arc<tenon_proxy::Plane>, tokio::task::JoinHandle<()>) {
    let plane = Arc::new(mesh.plane);
    let task = tokio::spawn(follow(Arc::clone(&plane), server(at, folder), folder.join("snapshot")));
    (plane, task)
}

#[tokio::test]
async fn what_the_server_says_is_applied_kept_and_followed_up() {
    let (folder, at) = (tempfile::tempdir().unwrap(), Reserved::new());
    let app = App::saying("paid").await;
    let limits = Limits { hold: Duration::ZERO, ..Limits::default() };
    let mesh = Mesh::with_limits(limits).service("payment", Traffic::default(), &[&app]);
    let (sidecars, routes, all) = (mesh.sidecars(), mesh.routes.clone(), mesh.endpoints.clone());
    let outbound = mesh.outbound.address;
    let mut first = Running::start(&at);
    let (plane, task) = following(mesh, &at, folder.path());

    let (watch, token) = first.asked().await;
    assert_eq!((watch.node.as_str(), token.as_str()), ("test", "Bearer t0ken"));
    assert_eq!((watch.routes, watch.endpoints, watch.sidecars), (None, None, None));
    first.tell(Part::Sidecars(sidecars.clone()));
    first.tell(Part::Routes(routes.clone()));
    first.tell(Part::Endpoints(all.clone()));
    until("it is applied", || async { plane.snapshot().endpoints.as_ref() == Some(&all) }).await;
    plane.listening().await;
    assert_eq!(Client::connect(outbound).await.send(get("http://payment/")).await.text(), "paid");
    let path = folder.path().join("snapshot");
    let kept = || async {
        let bytes = std::fs::read(&path).unwrap_or_default();
        Stored::from_bytes(&bytes).is_ok_and(|it| it == plane.snapshot())
    };
    until("it is kept", kept).await;

    // A change of one service.
    let change = ServiceEndpoints { revision: revision(5), service: service("payment"), endpoints: vec![] };
    first.tell(Part::ServiceEndpoints(change));
    until("the change is applied", || async {
        plane.snapshot().endpoints.is_some_and(|it| it.revision == revision(5) && it.services.is_empty())
    })
    .await;

    // The server dies; calls go on; the next is asked for what changed since.
    first.task.abort();
    drop(first);
    assert_eq!(
        Client::connect(outbound).await.send(get("http://payment/")).await.code(),
        "mesh.service-unavailable"
    );
    let mut second = Running::start(&at);
    let (watch, _) = second.asked().await;
    assert_eq!(watch.routes, Some(routes.revision));
    assert_eq!(watch.endpoints, Some(revision(5)));
    assert_eq!(watch.sidecars, Some(sidecars.revision));
    task.abort();
}

#[tokio::test]
async fn a_change_that_does_not_follow_makes_it_ask_for_the_whole() {
    let (folder, at) = (tempfile::tempdir().unwrap(), Reserved::new());
    let mesh = Mesh::new();
    let all = mesh.endpoints.clone();
    let mut server = Running::start(&at);
    let (plane, task) = following(mesh, &at, folder.path());
    server.asked().await;
    server.tell(Part::Endpoints(all));
    let mut foreign = revision(9);
    foreign.log = tenon_core::LogId::from_bytes([8; 16]);
    let change = ServiceEndpoints { revision: foreign, service: service("payment"), endpoints: vec![] };
    server.tell(Part::ServiceEndpoints(change));
    let (watch, _) = server.asked().await;
    assert_eq!(watch.endpoints, None);
    assert_eq!(plane.snapshot().endpoints.unwrap().revision, revision(1));
    task.abort();
}

#[tokio::test]
async fn a_data_plane_starts_from_its_last_snapshot_with_no_server_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    std::fs::write(&path, mesh.plane.snapshot().to_bytes()).unwrap();
    mesh.plane.apply_sidecars(Sidecars { revision: revision(9), sidecars: Default::default() });
    let address = mesh.outbound.address;
    until("nobody listens", || async { tokio::net::TcpStream::connect(address).await.is_err() }).await;

    let Mesh { plane, .. } = Mesh::new();
    restore(&plane, &path);
    plane.listening().await;
    assert_eq!(Client::connect(address).await.send(get("http://payment/")).await.text(), "paid");

    std::fs::write(&path, b"\xff\xff").unwrap();
    let Mesh { plane, .. } = Mesh::new();
    restore(&plane, &path);
    assert_eq!(plane.snapshot(), Default::default());
}

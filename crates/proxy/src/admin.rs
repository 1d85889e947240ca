//! The admin address: how the data plane is doing, for people, scrapers and the CLI. Read only.

use crate::explain::explain;
use crate::listener::{self, ListenerStatus, Plan};
use crate::outbound::not_ready;
use crate::view::View;
use crate::worker::Shared;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tenon_api::Problem;
use tenon_api::problem::Component;
use tenon_core::{Code, RequestId, Revision};
use tenon_telemetry::prometheus;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, watch};

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves the admin address on a thread of its own, so that a scrape never delays a request.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    address: watch::Sender<Option<SocketAddr>>,
    plan: watch::Receiver<Arc<Plan>>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("tenon-proxy-admin".into()).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    () = serve(shared, address) => {}
                    () = closing(plan) => {}
                }
            }),
            Err(error) => tracing::error!(%error, "the admin address cannot be served"),
        }
    })
}

async fn closing(mut plan: watch::Receiver<Arc<Plan>>) {
    // A plane that is gone has closed.
    let _ = plan.wait_for(|plan| plan.closing.is_some()).await;
}

async fn serve(shared: Arc<Shared>, address: watch::Sender<Option<SocketAddr>>) {
    let listener = bind(shared.config.admin).await;
    address.send_replace(listener.local_addr().ok());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::task::spawn_local(async move {
                    serve_connection(&shared, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin address could not be taken");
                tokio::time::sleep(listener::RETRY).await;
            }
        }
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if !told => {
                tracing::warn!(%address, %error, "cannot listen at the admin address; trying again");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(listener::RETRY).await;
    }
}

async fn serve_connection(shared: &Shared, stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(answer(shared, &request).map(Full::new)))
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    let serving = server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection to the admin address broke");
    }
}

fn answer<B>(shared: &Shared, request: &Request<B>) -> Response<Bytes> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return problem(Code::RequestUnknown, "the admin address answers to GET only");
    }
    match request.uri().path() {
        "/metrics" => text(prometheus::render(&shared.registry.gather())),
        "/health" => health(&shared.view.load()),
        "/snapshot" => json(&snapshot(shared)),
        path => match path.strip_prefix("/explain/") {
            Some(id) => explanation(shared, id),
            None => problem(
                Code::RequestUnknown,
                "no such page; there are /metrics, /health, /snapshot and /explain/REQUEST-ID",
            ),
        },
    }
}

fn explanation(shared: &Shared, id: &str) -> Response<Bytes> {
    let Ok(id) = id.parse::<RequestId>() else {
        return problem(Code::RequestInvalid, "a request id is a UUID, as in the x-request-id header");
    };
    match explain(shared.rings.iter().map(AsRef::as_ref), id) {
        Some(explanation) => json(&explanation),
        None => problem(
            Code::ExplainUnknownRequest,
            "nothing is remembered of this request: it succeeded at once, or is among the older ones",
        ),
    }
}

/// What `/health` says.
#[derive(Serialize)]
struct Health {
    status: &'static str,
}

fn health(view: &View) -> Response<Bytes> {
    if view.is_ready() {
        json(&Health { status: "ok" })
    } else {
        problem(Code::MeshNotReady, &not_ready().detail)
    }
}

/// What `/snapshot` says.
#[derive(Serialize)]
struct Loaded {
    routes: Option<String>,
    endpoints: Option<String>,
    sidecars: Option<String>,
    services: Vec<LoadedService>,
    listeners: Vec<ListenerStatus>,
}

#[derive(Serialize)]
struct LoadedService {
    service: String,
    instances: Vec<LoadedInstance>,
}

#[derive(Serialize)]
struct LoadedInstance {
    instance: String,
    address: String,
    in_flight: u64,
}

fn snapshot(shared: &Shared) -> Loaded {
    let view = shared.view.load();
    let text = |revision: Option<Revision>| revision.map(|it| it.to_string());
    let instances = |targets: &[crate::view::Target]| {
        let instance = |target: &crate::view::Target| LoadedInstance {
            instance: target.instance.to_string(),
            address: target.address.to_string(),
            in_flight: target.cells.in_flight.in_flight(),
        };
        targets.iter().map(instance).collect()
    };
    Loaded {
        routes: text(view.revision()),
        endpoints: text(view.parts.endpoints.as_ref().map(|part| part.revision)),
        sidecars: text(view.parts.sidecars.as_ref().map(|part| part.revision)),
        services: view
            .destinations()
            .iter()
            .map(|it| LoadedService { service: it.service.to_string(), instances: instances(&it.targets) })
            .collect(),
        listeners: shared.board.statuses(),
    }
}

fn problem(code: Code, detail: &str) -> Response<Bytes> {
    Problem { component: Some(Component::Admin), ..Problem::new(code, detail) }.to_response()
}

fn text(text: String) -> Response<Bytes> {
    with_type(prometheus::CONTENT_TYPE, text.into())
}

fn json<T: Serialize>(value: &T) -> Response<Bytes> {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type("application/json", bytes.into()),
        Err(error) => problem(Code::Internal, &error.to_string()),
    }
}

fn with_type(content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! The admin address: how the data plane is doing, for people, scrapers and the CLI. Read only.

use crate::explain::explain;
use crate::listener::{self, ListenerStatus, Plan};
use crate::spans::{self, Wanted};
use crate::tls::{CertificateStatus, keep_certificates};
use crate::view::View;
use crate::worker::Shared;
use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tenon_api::Problem;
use tenon_api::http::{Liveness, SnapshotView};
use tenon_api::problem::Component;
use tenon_core::{Code, RequestId};
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
    inherited: Option<std::net::TcpListener>,
    address: watch::Sender<Option<SocketAddr>>,
    plan: watch::Receiver<Arc<Plan>>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("tenon-proxy-admin".into()).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(async {
                let own = Arc::clone(&shared);
                tokio::select! {
                    () = serve(shared, inherited, address) => {}
                    () = keep_certificates(&own) => {}
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

async fn serve(
    shared: Arc<Shared>,
    inherited: Option<std::net::TcpListener>,
    address: watch::Sender<Option<SocketAddr>>,
) {
    let inherited = inherited.and_then(|socket| TcpListener::from_std(socket).ok());
    let listener = match inherited {
        Some(listener) => Arc::new(listener),
        None => Arc::new(bind(shared.config.admin).await),
    };
    *shared.admin_socket.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&listener);
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
    if shared.config.admin.ip().is_loopback() && !is_asked_for_by_name(request) {
        let detail = "the admin address answers to localhost, 127.0.0.1 and [::1] only";
        return problem(Code::AccessOrigin, detail);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return problem(Code::RequestUnknown, "the admin address answers to GET only");
    }
    match request.uri().path() {
        "/metrics" => text(prometheus::render(&shared.registry.gather())),
        "/health" => health(&shared.view.load()),
        "/snapshot" => json(&snapshot(shared)),
        "/spans" => spans(shared, request.uri().query().unwrap_or_default()),
        path => match path.strip_prefix("/explain/") {
            Some(id) => explanation(shared, id),
            None => problem(
                Code::RequestUnknown,
                "no such page; there are /metrics, /health, /snapshot, /explain/REQUEST-ID and /spans?trace=TRACE-ID",
            ),
        },
    }
}

/// Whether the request names an address of this machine as its host, and comes from no page of another origin: a page
/// in a browser may get any name resolved to this address (DNS rebinding), but cannot choose these.
fn is_asked_for_by_name<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_local = |host: &str| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let origin = headers.get(header::ORIGIN).map(|it| it.to_str().ok()?.parse::<Uri>().ok());
    let same_origin = match origin {
        None => true,
        Some(origin) => origin.as_ref().and_then(Uri::host).is_some_and(is_local),
    };
    host.is_some_and(|host| is_local(host.host())) && same_origin
}

fn explanation(shared: &Shared, id: &str) -> Response<Bytes> {
    let Ok(id) = id.parse::<RequestId>() else {
        return problem(Code::RequestInvalid, "a request id is a UUID, as in the x-request-id header");
    };
    match explain(shared.rings.iter().map(AsRef::as_ref), id) {
        Some(explanation) => json(&explanation),
        None => problem(
            Code::ExplainUnknownRequest,
            "nothing is remembered of this request: it is none of the last ones",
        ),
    }
}

fn spans(shared: &Shared, query: &str) -> Response<Bytes> {
    let Some(wanted) = Wanted::parse(query) else {
        let detail = "ask by trace=TRACE-ID, 32 hexadecimal digits, or by request=REQUEST-ID";
        return problem(Code::RequestInvalid, detail);
    };
    let found = spans::find(shared.rings.iter().map(AsRef::as_ref), wanted);
    if found.resource_spans.is_empty() {
        let detail = "no span of it is remembered: it was not kept, or is none of the last ones";
        return problem(Code::ExplainUnknownRequest, detail);
    }
    json(&found)
}

fn health(view: &View) -> Response<Bytes> {
    let ready = view.is_ready();
    let mut response = json(&Liveness { ready, version: env!("CARGO_PKG_VERSION").into() });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// What `/snapshot` says: what the data plane was told, and how it fares with it.
#[derive(Serialize)]
struct Loaded {
    #[serde(flatten)]
    told: SnapshotView,
    listeners: Vec<ListenerStatus>,
    /// Those of the gateway.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<CertificateStatus>,
    /// Attempts in flight, by instance.
    in_flight: BTreeMap<String, u64>,
}

fn snapshot(shared: &Shared) -> Loaded {
    let view = shared.view.load();
    let targets = view.destinations().iter().flat_map(|destination| &destination.targets);
    let in_flight = targets.map(|it| (it.instance.to_string(), it.cells.in_flight.in_flight()));
    Loaded {
        told: SnapshotView::from(&view.parts.to_stored()),
        listeners: shared.board.statuses(),
        certificates: shared.certificates.status(),
        in_flight: in_flight.collect(),
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

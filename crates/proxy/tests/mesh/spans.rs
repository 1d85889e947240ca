//! Spans: one server and one client span for each hop, connected by `traceparent`, kept as the manifest says.

use crate::support::{App, Mesh, full, get, nobody, until};
use http::Response;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tenon_api::otlp::{CLIENT, SERVER, Span, TracesData};
use tenon_core::manifest::{Ratio, Telemetry, Traffic};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An application that answers with the `traceparent` that came.
async fn tracing_app() -> App {
    App::start(|request| async move {
        let carried = request.headers().get("traceparent").map(|it| it.as_bytes().to_vec());
        Response::new(full(carried.unwrap_or_default()))
    })
    .await
}

/// A path and a body.
type Taken = (String, Vec<u8>);

async fn spans(mesh: &Mesh, query: &str) -> Vec<Span> {
    let reply = mesh.admin(&format!("/spans?{query}")).await;
    if reply.status == 404 {
        return Vec::new();
    }
    let traces: TracesData = serde_json::from_slice(&reply.body).unwrap();
    traces.spans().map(|(_, span)| span.clone()).collect()
}

#[tokio::test]
async fn every_request_has_a_trace_at_sampling_one() {
    let app = tracing_app().await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    for _ in 0..50 {
        let reply = mesh.get("http://payment/").await;
        let sent = reply.text().to_owned();
        let [server, client]: [Span; 2] =
            spans(&mesh, &format!("request={}", reply.header("x-request-id"))).await.try_into().unwrap();
        assert_eq!((server.kind, client.kind), (SERVER, CLIENT));
        assert_eq!(sent, format!("00-{}-{}-01", client.trace_id, client.span_id));
        assert_eq!((&client.parent_span_id, server.parent_span_id.as_str()), (&server.span_id, ""));
    }
}

#[tokio::test]
async fn a_trace_that_comes_along_is_continued_and_kept_as_its_head_says() {
    let app = tracing_app().await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&app]);
    mesh.routes.telemetry = Telemetry { sampling: Ratio::NONE, ..Telemetry::default() };
    let mesh = mesh.applied().await;
    for (flags, kept) in [("01", 2), ("00", 0)] {
        let mut request = get("http://payment/");
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
        request.headers_mut().insert("traceparent", parent.parse().unwrap());
        let reply = mesh.client().await.send(request).await;
        assert!(reply.text().starts_with(&format!("00-{TRACE}-")) && reply.text().ends_with(flags));
        let spans = spans(&mesh, &format!("request={}", reply.header("x-request-id"))).await;
        assert_eq!(spans.len(), kept);
        assert!(spans.iter().all(|span| span.trace_id == TRACE));
    }
    let mut of_trace = spans(&mesh, &format!("trace={TRACE}")).await;
    assert_eq!(of_trace.remove(0).parent_span_id, "00f067aa0ba902b7");
}

#[tokio::test]
async fn what_fails_or_is_slow_is_kept_whatever_the_head_says() {
    let app = App::start(|request| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Response::new(full("paid"))
    })
    .await;
    let gone = nobody();
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).service_at(
        "ledger",
        Traffic::default(),
        &[gone.address],
    );
    let slow = Duration::from_millis(20);
    mesh.routes.telemetry = Telemetry { sampling: Ratio::NONE, slow, ..Telemetry::default() };
    let mesh = mesh.applied().await;
    for (uri, kept) in [("http://payment/slow", true), ("http://ledger/", true)] {
        let reply = mesh.get(uri).await;
        let spans = spans(&mesh, &format!("request={}", reply.header("x-request-id"))).await;
        assert_eq!(!spans.is_empty(), kept, "{uri}");
    }
}

#[tokio::test]
async fn spans_are_asked_for_by_trace_or_request() {
    let mesh = Mesh::new();
    assert_eq!(mesh.admin("/spans").await.status, 400);
    assert_eq!(mesh.admin("/spans?trace=1").await.status, 400);
    assert_eq!(mesh.admin(&format!("/spans?trace={TRACE}")).await.code(), "explain.unknown-request");
}

#[tokio::test]
async fn spans_are_sent_to_a_collector() {
    let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
    let to = Arc::clone(&taken);
    let collector = App::start(move |request| {
        let to = Arc::clone(&to);
        async move {
            use http_body_util::BodyExt as _;
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
            to.lock().unwrap().push((path, body));
            Response::new(full("{}"))
        }
    })
    .await;
    let app = App::saying("paid").await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&app]);
    let otlp = Some(format!("http://{}", collector.address).into());
    mesh.routes.telemetry = Telemetry { otlp, ..Telemetry::default() };
    let mesh = mesh.applied().await;
    let reply = mesh.get("http://payment/").await;
    let id = reply.header("x-request-id").to_owned();
    until("the collector has the spans", || async {
        let taken = taken.lock().unwrap();
        taken.iter().any(|(path, body)| {
            let traces: TracesData = serde_json::from_slice(body).unwrap();
            path == "/v1/traces"
                && traces.spans().any(|(_, span)| span.attributes.iter().any(|it| it.text() == id))
        })
    })
    .await;
}

#[tokio::test]
async fn the_access_log_has_a_line_for_each_request_or_only_for_those_that_failed() {
    use tenon_core::manifest::AccessLog;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let app = App::saying("paid").await;
    let mut mesh = Mesh::with_access_log(path.clone()).service("payment", Traffic::default(), &[&app]);
    mesh.routes.telemetry = Telemetry { access_log: AccessLog::Errors, ..Telemetry::default() };
    let mut mesh = mesh.applied().await;
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    mesh.get("http://payment/well").await;
    mesh.get("http://nobody/").await;
    until("the refused request is logged", || async { lines().contains("mesh.service-not-found") }).await;
    assert!(!lines().contains("/well"));
    mesh.routes.telemetry.access_log = AccessLog::All;
    mesh.apply().await;
    let reply = mesh.get("http://payment/well").await;
    let id = reply.header("x-request-id").to_owned();
    until("the request that went well is logged", || async { lines().contains(&id) }).await;
}

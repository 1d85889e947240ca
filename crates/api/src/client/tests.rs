use super::*;
use crate::Problem;
use crate::http::{LogStream, PROBLEM_EVENT};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::convert::Infallible;
use tenon_core::Code;
use tokio::net::TcpListener;

/// Serves on a port of its own until the test ends.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn options(address: &str) -> Options {
    let actor = Some("cli:ada".parse().unwrap());
    Options { token: Some("secret".into()), actor, ..Options::new(address) }
}

fn client(address: &str) -> Client {
    Client::new(&options(address)).unwrap()
}

fn payment() -> ServiceRef {
    "payment".parse().unwrap()
}

fn revision(position: u64) -> Revision {
    format!("00000000-0000-0000-0000-000000000001@{position}").parse().unwrap()
}

/// Answers a config entry whose value tells what was asked.
async fn mirror(request: Request) -> axum::Json<Value> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let asked = json!({
        "method": head.method.as_str(),
        "uri": head.uri.to_string(),
        "authorization": header("authorization"),
        "actor": header("tenon-actor"),
        "if-match": header("if-match"),
        "body": serde_json::from_slice::<Value>(&body).unwrap_or_default(),
    });
    axum::Json(json!({
        "key": "limit", "value": asked, "revision": revision(7).to_string(),
        "set_at": "2026-03-01T12:00:00Z", "set_by": "cli:ada", "origin": "hand",
    }))
}

#[tokio::test]
async fn a_call_carries_token_actor_precondition_and_body() {
    let address = serve(Router::new().fallback(mirror)).await;
    let key = "limit".parse().unwrap();
    let entry =
        client(&address).set_config(&payment(), &key, json!({"most": 5}), Some(revision(3))).await.unwrap();
    assert_eq!(entry.revision, revision(7));
    assert_eq!(
        entry.value,
        json!({
            "method": "PUT",
            "uri": "/v1/config/payment/limit",
            "authorization": "Bearer secret",
            "actor": "cli:ada",
            "if-match": format!("\"{}\"", revision(3)),
            "body": {"value": {"most": 5}},
        })
    );
}

#[tokio::test]
async fn every_call_goes_to_an_endpoint_of_the_table() {
    let (seen, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let record = move |request: Request| {
        seen.send((request.method().clone(), request.uri().path().to_owned())).unwrap();
        std::future::ready(StatusCode::IM_A_TEAPOT)
    };
    let client = client(&serve(Router::new().fallback(any(record))).await);
    let (service, key, id) = (payment(), "limit".parse().unwrap(), "payment-1".parse().unwrap());
    let instance = serde_json::from_value(json!({"id": "payment-9", "address": "localhost:9000"})).unwrap();
    let manifest = ApplyManifest { manifest: "name: shop".into(), files: Default::default(), dry_run: true };

    // Every answer is refused; what counts is where the calls went.
    let _ = client.health().await;
    let _ = client.status().await;
    let _ = client.system().await;
    let _ = client.apply_manifest(&manifest).await;
    let _ = client.services().await;
    let _ = client.service(&service).await;
    let _ = client.instances().await;
    let _ = client.service_instances(&service).await;
    let _ = client.register(&service, &instance).await;
    let _ = client.deregister(&service, &id).await;
    let _ = client.heartbeat(&service, &id).await;
    let _ = client.lookup(&service).await;
    let _ = client.watch_instances(&service, None).await;
    let _ = client.start(&service).await;
    let _ = client.stop(&service).await;
    let _ = client.scale(&service, Some(2)).await;
    let _ = client.config().await;
    let _ = client.service_config(&service).await;
    let _ = client.watch_config(&service, None).await;
    let _ = client.config_entry(&service, &key).await;
    let _ = client.set_config(&service, &key, Value::Null, None).await;
    let _ = client.remove_config(&service, &key, None).await;
    let _ = client.config_history(&service, Some(&key), Some(5)).await;
    let _ = client.config_diff(&service, revision(1), None).await;
    let _ = client.rollback_config(&service, revision(1)).await;
    let _ = client.logs(&service, Some(5), true).await;
    drop(client);

    let mut missing: Vec<_> = crate::openapi::API.iter().filter(|it| it.operation != "openapi").collect();
    while let Ok((method, path)) = calls.try_recv() {
        let fits =
            |endpoint: &&crate::openapi::Endpoint| endpoint.method == method && is_of(endpoint.path, &path);
        let endpoint = crate::openapi::API.iter().filter(fits).min_by_key(|it| it.path.matches('{').count());
        let endpoint = endpoint.unwrap_or_else(|| panic!("{method} {path} is not in the table"));
        missing.retain(|it| it.operation != endpoint.operation);
    }
    let missing: Vec<_> = missing.into_iter().map(|it| it.operation).collect();
    assert!(missing.is_empty(), "nothing called {missing:?}");
}

/// Whether a path is of a form with variables.
fn is_of(form: &str, path: &str) -> bool {
    let fits = |(form, part): (&str, &str)| form.starts_with('{') || form == part;
    form.split('/').count() == path.split('/').count() && form.split('/').zip(path.split('/')).all(fits)
}

#[tokio::test]
async fn a_refusal_carries_its_problem_and_its_exit_code() {
    let refuse = || async {
        Problem::new(Code::RegistryNoHealthyInstance, "payment has 2 instances, none healthy")
            .to_response()
            .map(Body::from)
    };
    let address = serve(Router::new().fallback(refuse)).await;
    let error = client(&address).lookup(&payment()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::RegistryNoHealthyInstance));
    assert_eq!(error.exit_code(), 6);
    assert_eq!(error.to_string(), "payment has 2 instances, none healthy");
    assert_eq!(error.to_problem().status, 503);
}

#[tokio::test]
async fn where_nothing_answers_the_error_says_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&address).status().await.unwrap_err();
    assert_eq!(error.code(), Some(Code::ServerUnavailable));
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("`tenon up`") && text.contains("TENON_API"), "{text}");
}

#[tokio::test]
async fn an_answer_that_is_not_tenon_s_is_told_from_a_refusal() {
    let router = Router::new()
        .route("/v1/status", get(|| async { (StatusCode::NOT_FOUND, "<h1>Nothing here</h1>") }))
        .route("/v1/services", get(|| async { "<h1>Welcome</h1>" }))
        .route("/v1/logs/payment", get(|| async { "<h1>Welcome</h1>" }));
    let client = client(&serve(router).await);
    let not_found = client.status().await.unwrap_err();
    assert!(not_found.to_string().contains("Nothing here"), "{not_found}");
    let no_stream = client.logs(&payment(), None, false).await.err().unwrap();
    for error in [not_found, client.services().await.unwrap_err(), no_stream] {
        assert!(matches!(error, Error::Unexpected { .. }), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}

#[tokio::test]
async fn a_call_without_an_answer_ends_in_time() {
    let address = serve(Router::new().fallback(std::future::pending::<StatusCode>)).await;
    let options = Options { timeout: Duration::from_millis(20), ..options(&address) };
    let error = Client::new(&options).unwrap().status().await.unwrap_err();
    assert_eq!(error.code(), Some(Code::ServerTimeout), "{error}");
    let error = Client::new(&options).unwrap().logs(&payment(), None, true).await.err().unwrap();
    assert_eq!(error.code(), Some(Code::ServerTimeout), "{error}");
}

/// A stream of these chunks, which then goes on in silence if `open`.
fn stream(chunks: Vec<String>, open: bool) -> Response {
    use futures_util::StreamExt;
    let chunks =
        futures_util::stream::iter(chunks.into_iter().map(|it| Ok::<_, Infallible>(Bytes::from(it))));
    let silence = futures_util::stream::pending();
    let body = if open { Body::from_stream(chunks.chain(silence)) } else { Body::from_stream(chunks) };
    ([("content-type", "text/event-stream")], body).into_response()
}

#[tokio::test]
async fn events_are_read_until_the_stream_ends_and_resume_after_an_id() {
    let watch = |request: Request| async move {
        let after = request.headers().get("last-event-id").unwrap().to_str().unwrap().to_owned();
        let change = json!({"key": "limit", "old": 1, "new": null, "revision": revision(9).to_string()});
        let line = format!(": hello\n\nid: {}\nevent: change\nda", revision(9));
        assert_eq!((request.uri().query(), after), (Some("watch=true"), revision(8).to_string()));
        stream(vec![line, format!("ta: {change}\n\n")], false)
    };
    let address = serve(Router::new().route("/v1/config/payment", get(watch))).await;
    let mut events = client(&address).watch_config(&payment(), Some(revision(8))).await.unwrap();
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.id, Some(revision(9)));
    assert_eq!((event.data.old, event.data.new), (Some(json!(1)), Some(Value::Null)));
    assert_eq!(events.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_stream_may_end_with_a_problem() {
    let logs = || async {
        let line =
            json!({"instance": "payment-1", "at": "2026-03-01T12:00:00Z", "stream": "err", "text": "oh"});
        let problem = Problem::new(Code::LogTruncated, "those lines are gone");
        let problem = serde_json::to_string(&problem).unwrap();
        stream(vec![format!("data: {line}\n\nevent: {PROBLEM_EVENT}\ndata: {problem}\n\n")], true)
    };
    let address = serve(Router::new().route("/v1/logs/payment", get(logs))).await;
    let mut events = client(&address).logs(&payment(), None, true).await.unwrap();
    let event = events.next().await.unwrap().unwrap();
    assert_eq!((event.id, event.data.stream, &*event.data.text), (None, LogStream::Err, "oh"));
    assert_eq!(events.next().await.unwrap_err().code(), Some(Code::LogTruncated));
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    let logs = || async { stream(vec![": hello\n\n".into()], true) };
    let address = serve(Router::new().route("/v1/logs/payment", get(logs))).await;
    let options = Options { silence: Duration::from_millis(20), ..options(&address) };
    let mut events = Client::new(&options).unwrap().logs(&payment(), None, true).await.unwrap();
    assert_eq!(events.next().await.unwrap_err().code(), Some(Code::ServerTimeout));
}

#[tokio::test]
async fn a_data_plane_explains_a_request() {
    let story = crate::explain::tests::explanation();
    let told = story.clone();
    let explain = move || std::future::ready(axum::Json(told));
    let router = Router::new()
        .route(&format!("/explain/{}", story.request_id), get(explain))
        .route("/metrics", get(|| async { "tenon_requests_total 1\n" }));
    let data_plane = DataPlane::new(&options(&serve(router).await)).unwrap();
    assert_eq!(data_plane.explain(story.request_id).await.unwrap(), story);
    assert_eq!(data_plane.metrics().await.unwrap(), "tenon_requests_total 1\n");
}

#[test]
fn an_address_that_cannot_be_called_is_refused_at_once() {
    for address in ["", "127.0.0.1:7420", "ftp://host", "https://host"] {
        let error = Client::new(&options(address)).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{address}: {error}");
    }
    let bad_token = Options { token: Some("a\nb".into()), ..options("http://127.0.0.1:7420") };
    assert!(Client::new(&bad_token).is_err());
}

#[test]
fn the_token_is_not_shown_in_debug_output() {
    assert!(!format!("{:?}", options("http://127.0.0.1:7420")).contains("secret"));
    assert!(!format!("{:?}", client("http://127.0.0.1:7420")).contains("secret"));
}

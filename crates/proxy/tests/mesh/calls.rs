//! Calls from an application through its sidecar to another service.

use crate::support::*;
use http::{Request, Response};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_core::balance::{Config, Strategy};
use tenon_core::manifest::{Egress, Traffic};

/// Answers with the headers that it was sent, as JSON, and with the method and URI.
async fn echo() -> App {
    App::start(|request: Request<_>| async move {
        let headers: BTreeMap<_, _> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_string()))
            .collect();
        let said = serde_json::json!({
            "method": request.method().as_str(),
            "uri": request.uri().to_string(),
            "headers": headers,
        });
        Response::new(full(said.to_string()))
    })
    .await
}

#[tokio::test]
async fn a_call_by_name_reaches_the_service() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    for uri in ["http://payment/", "http://payment:8080/x", "http://payment.default/", "http://PAYMENT/"] {
        let reply = mesh.get(uri).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"), "{uri}");
    }
}

#[tokio::test]
async fn a_plain_request_with_the_name_as_host_reaches_it_too() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut request = get("http://payment/x");
    *request.uri_mut() = "/x".parse().unwrap();
    assert_eq!(mesh.client().await.send(request).await.text(), "paid");
}

#[tokio::test]
async fn calls_are_spread_over_all_instances() {
    let apps = [App::saying("a").await, App::saying("b").await, App::saying("c").await];
    let mesh =
        Mesh::new().service("payment", Traffic::default(), &[&apps[0], &apps[1], &apps[2]]).applied().await;
    let mut client = mesh.client().await;
    for _ in 0..30 {
        assert_eq!(client.send(get("http://payment/")).await.status, 200);
    }
    assert_eq!(apps.each_ref().map(App::hits), [10, 10, 10]);
}

#[tokio::test]
async fn the_service_sees_where_the_request_came_from_and_nothing_of_the_hop() {
    let app = echo().await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut request = get("http://payment/a?b=c");
    for (name, value) in [
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=1"),
        ("proxy-connection", "keep-alive"),
        ("x-own", "kept"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let reply = mesh.client().await.send(request).await;
    let said = reply.json();
    assert_eq!((said["method"].as_str(), said["uri"].as_str()), (Some("GET"), Some("/a?b=c")));
    let headers = said["headers"].as_object().unwrap();
    for gone in ["connection", "x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "via"] {
        assert!(!headers.contains_key(gone), "{gone}: {headers:?}");
    }
    assert_eq!(headers["host"], "payment");
    assert_eq!(headers["x-own"], "kept");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], "payment");
    assert_eq!(headers["x-request-id"], reply.header("x-request-id"));
    assert_eq!(headers["traceparent"].as_str().unwrap().len(), 55);
    let remaining: u64 = headers["tenon-timeout-ms"].as_str().unwrap().parse().unwrap();
    assert!((1..=30_000).contains(&remaining), "{remaining}");
}

#[tokio::test]
async fn an_application_cannot_say_that_the_mesh_has_refused() {
    for (answer, seen) in [
        ("HTTP/1.1 503 Sorry\r\ntenon-error: mesh.circuit-open\r\ncontent-length: 0\r\n\r\n", ""),
        ("HTTP/1.1 503 Sorry\r\ntenon-error: log.closed\r\ncontent-length: 0\r\n\r\n", "log.closed"),
    ] {
        let app = RawApp::answering(answer).await;
        let mesh = Mesh::new().service_at("payment", Traffic::default(), &[app.address]).applied().await;
        let reply = mesh.client().await.send(request("POST", "http://payment/", "")).await;
        assert_eq!((reply.status.as_u16(), reply.header("tenon-error")), (503, seen));
    }
}

#[tokio::test]
async fn request_id_and_trace_are_continued_and_the_deadline_travels() {
    let app = echo().await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut request = get("http://payment/");
    let id = "01980000-0000-7000-8000-000000000001";
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    request.headers_mut().insert("x-request-id", id.parse().unwrap());
    request.headers_mut().insert("traceparent", format!("00-{trace}-00f067aa0ba902b7-01").parse().unwrap());
    request.headers_mut().insert("tenon-timeout-ms", "5000".parse().unwrap());
    let reply = mesh.client().await.send(request).await;
    let headers = &reply.json()["headers"];
    assert_eq!(headers["x-request-id"], id);
    assert_eq!(reply.header("x-request-id"), id);
    assert!(headers["traceparent"].as_str().unwrap().starts_with(&format!("00-{trace}-")));
    let remaining: u64 = headers["tenon-timeout-ms"].as_str().unwrap().parse().unwrap();
    assert!((1..=5_000).contains(&remaining), "{remaining}");
}

#[tokio::test]
async fn a_deadline_that_passes_is_answered_with_a_time_out() {
    let app = App::start(|_| std::future::pending()).await;
    let traffic = Traffic { timeout: Duration::from_secs(1), ..Traffic::default() };
    let mesh = Mesh::new().service("payment", traffic, &[&app]).applied().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (504, "mesh.timeout"));
    let problem = reply.json();
    assert_eq!(problem["component"], "outbound");
    assert_eq!(problem["sidecar"], "order-1");
    assert_eq!(problem["destination"], "payment");
    assert_eq!(problem["policy"], "timeout");
    assert_eq!(problem["attempts"], 1);
    assert_eq!(problem["revision"], revision(2).to_string());
    assert_eq!(problem["request_id"], reply.header("x-request-id"));
}

#[tokio::test]
async fn wrong_or_missing_credentials_are_refused() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let wrong = [Some(credentials("order-1", "wrong")), Some(credentials("order-2", SECRET)), None];
    for credential in wrong {
        let mut request = get("http://payment/");
        request.headers_mut().remove("proxy-authorization");
        if let Some(credential) = &credential {
            request.headers_mut().insert("proxy-authorization", credential.parse().unwrap());
        }
        let reply = mesh.client().await.send(request).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (407, "mesh.unauthenticated"), "{credential:?}");
        assert_eq!(reply.header("proxy-authenticate"), "Basic realm=\"tenon\"");
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
    assert_eq!(app.hits(), 0);
}

#[tokio::test]
async fn names_that_are_not_in_the_mesh_are_refused() {
    let app = echo().await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[]).resting("payment").applied().await;
    let outside = format!("http://{}/", app.address);
    for (uri, status, code) in [
        ("http://paymint/", 404, "mesh.service-not-found"),
        ("http://payment.default.svc/", 403, "mesh.egress-denied"),
        (outside.as_str(), 403, "mesh.egress-denied"),
        ("http://payment/", 503, "mesh.service-unavailable"),
    ] {
        let reply = mesh.get(uri).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{uri}");
    }
    mesh.routes.egress = Egress::Allow;
    mesh.apply().await;
    let said = mesh.get(&outside).await.json();
    // Nothing of the mesh is told outside.
    assert_eq!(said["headers"], serde_json::json!({ "host": app.address.to_string() }));
}

#[tokio::test]
async fn before_any_configuration_there_is_nothing_to_call() {
    let mesh = Mesh::new();
    mesh.plane.apply_sidecars(mesh.sidecars());
    mesh.plane.listening().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.not-ready"));
    assert_eq!(mesh.admin("/health").await.status, 503);
}

#[tokio::test]
async fn a_response_to_head_keeps_the_length_that_it_states() {
    let app = App::start(|request: Request<hyper::body::Incoming>| async move {
        let status = if request.method() == "HEAD" { 200 } else { 304 };
        Response::builder().status(status).header("content-length", "1234").body(full("")).unwrap()
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut client = mesh.client().await;
    for (method, status) in [("HEAD", 200), ("GET", 304), ("HEAD", 200)] {
        let reply = client.send(request(method, "http://payment/", "")).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (status, ""), "{method}");
        assert!(method == "GET" || reply.header("content-length") == "1234", "{reply:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_service_closes_is_not_used_again() {
    let app = App::start(|_| async {
        Response::builder().header("connection", "close").body(full("paid")).unwrap()
    });
    let app = app.await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut client = mesh.client().await;
    for _ in 0..20 {
        let reply = client.send(request("POST", "http://payment/", "take 5")).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
        // It is the hop to the service that ended, not this one.
        assert_eq!(reply.header("connection"), "");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() {
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = App::start(|request: Request<hyper::body::Incoming>| async move {
        Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut stream = tokio::net::TcpStream::connect(mesh.outbound.address).await.unwrap();
    let credentials = credentials("order-1", SECRET);
    let head = format!(
        "POST http://payment/ HTTP/1.1\r\nhost: payment\r\nproxy-authorization: {credentials}\r\n\
         content-length: 5\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"hello").await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let mut body = [0; 5];
    stream.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"hello");
}

fn with_balance(balance: Strategy) -> Traffic {
    Traffic { balance: Config::of(balance), ..Traffic::default() }
}

#[tokio::test]
async fn weights_decide_who_gets_how_much() {
    let apps = [App::saying("a").await, App::saying("b").await];
    let mut mesh = Mesh::new();
    mesh = mesh.service("payment", with_balance(Strategy::WeightedRoundRobin), &[&apps[0], &apps[1]]);
    mesh.endpoints.services.get_mut(&service("payment")).unwrap()[0].weight = 3;
    let mesh = mesh.applied().await;
    let mut client = mesh.client().await;
    for _ in 0..40 {
        client.send(get("http://payment/")).await;
    }
    assert_eq!(apps.each_ref().map(App::hits), [30, 10]);
}

#[tokio::test]
async fn whoever_is_busy_gets_less() {
    let busy = App::start(|_| std::future::pending()).await;
    let free = App::saying("free").await;
    let mesh = Mesh::new().service("payment", with_balance(Strategy::LeastConnections), &[&busy, &free]);
    let mesh = mesh.applied().await;
    let mut waiting = mesh.client().await;
    let mut client = mesh.client().await;
    let waiting = tokio::spawn(async move { waiting.begin(get("http://payment/")).await });
    until("one of them is busy", || async { busy.hits() + free.hits() == 1 }).await;
    assert_eq!(busy.hits(), 1, "ties go by turns, and the first has the first turn");
    // The other worker sees it too, whichever this connection went to.
    for _ in 0..10 {
        assert_eq!(client.send(get("http://payment/")).await.text(), "free");
    }
    waiting.abort();
}

//! gRPC as its clients speak it: HTTP/2 without TLS, trailers, streams in both directions.

use crate::support::*;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tenon_core::manifest::{Mtls, Security, Traffic};
use tokio::net::TcpStream;

/// Sends each message back as it comes, then the status, and what it was told of the deadline.
async fn echo(status: &'static str) -> App {
    App::start(move |request: Request<Incoming>| async move {
        let timeout = request.headers()["grpc-timeout"].clone();
        let te = request.headers()["te"].clone();
        let (sender, body) = piped();
        tokio::spawn(async move {
            let mut messages = request.into_body();
            while let Some(Ok(frame)) = messages.frame().await {
                sender.send(frame).await.unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            trailers.insert("x-timeout", timeout);
            trailers.insert("x-te", te);
            sender.send(Frame::trailers(trailers)).await.unwrap();
        });
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await
}

async fn connect(mesh: &Mesh) -> SendRequest<Body> {
    let stream = TcpStream::connect(mesh.outbound.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn call(body: Body) -> Request<Body> {
    Request::post("http://payment/shop.Payment/Take")
        .header("proxy-authorization", credentials("order-1", SECRET))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", "20S")
        .body(body)
        .unwrap()
}

fn data(bytes: &'static [u8]) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(bytes))
}

#[tokio::test]
async fn messages_stream_both_ways_and_trailers_arrive() {
    let app = echo("0").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let (sender, body) = piped();
    let response = connect(&mesh).await.send_request(call(body)).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut messages = response.into_body();
    for message in [b"one".as_slice(), b"two", b"three"] {
        sender.send(data(message)).await.unwrap();
        assert_eq!(messages.frame().await.unwrap().unwrap().into_data().unwrap(), message);
    }
    drop(sender);
    let trailers = messages.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-te"], "trailers");
    let timeout = trailers["x-timeout"].to_str().unwrap();
    let told: tenon_core::deadline::GrpcTimeout = timeout.parse().unwrap();
    assert!(told.0 <= Duration::from_secs(20) && !told.0.is_zero(), "{timeout}");
}

#[tokio::test]
async fn many_calls_share_a_connection() {
    let app = echo("0").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let sender = connect(&mesh).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut sender = sender.clone();
        calls.spawn(async move {
            let response = sender.send_request(call(full("message"))).await.unwrap();
            let collected = response.into_body().collect().await.unwrap();
            assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
            assert_eq!(collected.to_bytes(), "message");
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_is_one_that_grpc_understands() {
    let mesh = Mesh::new().service("payment", Traffic::default(), &[]).resting("payment").applied().await;
    let response = connect(&mesh).await.send_request(call(full("message"))).await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["grpc-status"], "14");
    assert!(headers["grpc-message"].to_str().unwrap().starts_with("mesh.service-unavailable: "));
    assert_eq!(headers["tenon-error"], "mesh.service-unavailable");
}

#[tokio::test]
async fn a_deadline_that_passes_is_deadline_exceeded() {
    let app = App::start(|_| std::future::pending()).await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut request = call(full("message"));
    request.headers_mut().insert("grpc-timeout", "50m".parse().unwrap());
    let response = connect(&mesh).await.send_request(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}

#[tokio::test]
async fn statuses_in_trailers_trip_the_breaker() {
    let app = echo("14").await;
    let mut traffic = Traffic::default();
    traffic.breaker.failure_threshold = 3;
    let mesh = Mesh::new().service("payment", traffic, &[&app]).applied().await;
    let mut sender = connect(&mesh).await;
    for _ in 0..3 {
        let response = sender.send_request(call(full("message"))).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "14");
    }
    let response = sender.send_request(call(full("message"))).await.unwrap();
    assert_eq!(response.headers()["tenon-error"], "mesh.circuit-open");
    assert_eq!(app.hits(), 3);
    assert!(mesh.admin("/metrics").await.text().contains("status_class=\"5xx\"} 4"));
}

#[tokio::test]
async fn an_instance_that_is_gone_is_replaced_by_another() {
    let (gone, app) = (nobody(), echo("0").await);
    let mesh = Mesh::new();
    let mesh = mesh.service_at("payment", Traffic::default(), &[gone.address, app.address]).applied().await;
    let mut sender = connect(&mesh).await;
    for _ in 0..4 {
        let response = sender.send_request(call(full("message"))).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().trailers().unwrap()["grpc-status"], "0");
    }
}

#[tokio::test]
async fn streams_pass_the_gateway_and_a_sidecar() {
    let app = echo("0").await;
    let mesh = Mesh::new();
    let inbound = mesh.inbound.address;
    let plain = Security { mtls: Mtls::Permissive, ..Security::default() };
    let traffic = Traffic { security: plain, ..Traffic::default() };
    let mut mesh =
        mesh.service_at("order", traffic, &[inbound]).gateway(vec![route("all", "/", &[("order", 1)])]);
    mesh.application = app.address;
    let mesh = mesh.applied().await;
    let stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (sender, body) = piped();
    let response = client.send_request(call(body)).await.unwrap();
    let mut messages = response.into_body();
    for message in [b"one".as_slice(), b"two", b"three"] {
        sender.send(data(message)).await.unwrap();
        assert_eq!(messages.frame().await.unwrap().unwrap().into_data().unwrap(), message);
    }
    drop(sender);
    let trailers = messages.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-te"]),
        (&"0".parse().unwrap(), &"trailers".parse().unwrap())
    );
}

//! Bodies that are too long to hold: they pass in pieces, no faster than the other side takes them.

use crate::support::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tenon_core::manifest::Traffic;
use tenon_proxy::Limits;

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 512;
/// More than all buffers on the way (sockets' included) together hold.
const BOUND: u64 = 24 * 1024 * 1024;

fn chunk() -> Frame<Bytes> {
    Frame::data(Bytes::from_static(&[7; CHUNK]))
}

/// A body of so many chunks, and how many bytes of it have been taken.
fn counted(chunks: usize) -> (Body, Arc<AtomicU64>) {
    let (sender, body) = piped();
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    tokio::spawn(async move {
        for _ in 0..chunks {
            if sender.send(chunk()).await.is_err() {
                return;
            }
            counter.fetch_add(CHUNK as u64, Ordering::SeqCst);
        }
    });
    (body, taken)
}

/// Waits until a count stands still, and answers with it.
async fn settled(count: &AtomicU64) -> u64 {
    let mut before = u64::MAX;
    loop {
        let present = count.load(Ordering::SeqCst);
        if present == before {
            return present;
        }
        before = present;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn length(mut body: Incoming) -> usize {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    length
}

#[tokio::test]
async fn a_long_response_passes_whole() {
    let app = App::start(|_| async { Response::new(counted(CHUNKS).0) }).await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let response = mesh.client().await.begin(get("http://payment/")).await.unwrap();
    assert_eq!(length(response.into_body()).await, CHUNK * CHUNKS);
}

#[tokio::test]
async fn a_long_request_passes_whole() {
    let app = App::start(|request: Request<Incoming>| async move {
        Response::new(full(length(request.into_body()).await.to_string()))
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let request = request("POST", "http://payment/", "").map(|_| counted(CHUNKS).0);
    assert_eq!(mesh.client().await.send(request).await.text(), (CHUNK * CHUNKS).to_string());
}

#[tokio::test]
async fn a_caller_that_does_not_read_holds_the_service_up() {
    let (body, taken) = counted(usize::MAX);
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let app = App::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let response = mesh.client().await.begin(get("http://payment/")).await.unwrap();
    let held_up_at = settled(&taken).await;
    assert!(held_up_at < BOUND, "{held_up_at}");
    let mut body = response.into_body();
    while taken.load(Ordering::SeqCst) < held_up_at + BOUND {
        body.frame().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_service_that_does_not_read_holds_the_caller_up() {
    let app = App::start(|request: Request<Incoming>| async move {
        std::future::pending::<()>().await;
        drop(request);
        Response::new(full(""))
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let (body, taken) = counted(usize::MAX);
    let request = request("POST", "http://payment/", "").map(|_| body);
    let mut client = mesh.client().await;
    let asking = tokio::spawn(async move { client.begin(request).await });
    until("the request has arrived", || async { app.hits() == 1 }).await;
    let held_up_at = settled(&taken).await;
    assert!(held_up_at < BOUND, "{held_up_at}");
    asking.abort();
}

#[tokio::test]
async fn a_response_is_passed_on_as_it_comes() {
    let (sender, body) = piped();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let app = App::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::builder().header("content-type", "text/event-stream").body(body).unwrap() }
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let response = mesh.client().await.begin(get("http://payment/")).await.unwrap();
    let mut events = response.into_body();
    for _ in 0..3 {
        sender.send(Frame::data(Bytes::from_static(b"data: x\n\n"))).await.unwrap();
        assert_eq!(events.frame().await.unwrap().unwrap().into_data().unwrap(), "data: x\n\n");
    }
    drop(sender);
    assert!(events.frame().await.is_none());
}

#[tokio::test]
async fn a_caller_that_never_reads_is_not_waited_for_without_end() {
    let app = App::start(|_| async { Response::new(counted(usize::MAX).0) }).await;
    let limits = Limits { stream_idle: Duration::from_millis(200), ..Limits::default() };
    let mesh = Mesh::with_limits(limits).service("payment", Traffic::default(), &[&app]).applied().await;
    let _response = mesh.client().await.begin(get("http://payment/")).await.unwrap();
    until("the connection is cut", || async {
        mesh.admin("/metrics").await.text().contains("tenon_connections{component=\"outbound\"} 0")
    })
    .await;
}

#[tokio::test]
async fn a_service_that_falls_silent_is_not_waited_for_without_end() {
    let (sender, body) = piped();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let app = App::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let limits = Limits { stream_idle: Duration::from_millis(200), ..Limits::default() };
    let mesh = Mesh::with_limits(limits).service("payment", Traffic::default(), &[&app]).applied().await;
    sender.send(Frame::data(Bytes::from_static(b"one"))).await.unwrap();
    let response = mesh.client().await.begin(get("http://payment/")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
}

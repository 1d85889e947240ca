use super::*;
use http::{HeaderMap, Method};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tenon_core::ServiceRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// A proxy that answers every request with its head, but only so many on each connection, which it then closes.
struct Proxy {
    sidecar: Sidecar,
    connections: Arc<AtomicUsize>,
}

async fn proxy(each: usize) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                for _ in 0..each {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", head.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.write_all(&head).await.unwrap();
                }
            });
        }
    });
    let authorization = HeaderValue::from_static("Basic eA==");
    Proxy { sidecar: Sidecar { address, authorization, idle: Mutex::default() }, connections }
}

fn call() -> HttpCall {
    HttpCall {
        service: "order".parse::<ServiceRef>().unwrap(),
        method: Method::POST,
        target: "/orders?x=1".to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        within: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn a_call_names_its_service_and_who_calls_and_the_next_has_the_same_connection() {
    let proxy = proxy(usize::MAX).await;
    for _ in 0..3 {
        let answer = proxy.sidecar.call(call(), 10_000).await.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let service = call().service;
        assert!(text.starts_with(&format!("POST http://{service}/orders?x=1 HTTP/1.1\r\n")), "{text}");
        assert!(text.contains("proxy-authorization: Basic eA==\r\n"), "{text}");
        assert!(text.contains(&format!("host: {service}\r\n")), "{text}");
    }
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_replaced() {
    let proxy = proxy(1).await;
    for _ in 0..3 {
        proxy.sidecar.call(call(), 10_000).await.unwrap();
        // As soon as the end is seen here.
        while proxy.sidecar.idle().back_mut().is_some_and(|way| {
            way.poll(&mut Context::from_waker(Waker::noop()));
            !way.closed
        }) {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_long_answer_is_cut_off_and_its_connection_is_not_used_again() {
    let proxy = proxy(usize::MAX).await;
    for _ in 0..2 {
        assert_eq!(proxy.sidecar.call(call(), 20).await.unwrap().body.len(), 20);
    }
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let mut proxy = proxy(1).await;
    // Bound, so that nobody else gets it, and not listening.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    proxy.sidecar.address = gone.local_addr().unwrap();
    let call = HttpCall { within: Duration::from_millis(1), ..call() };
    let error = proxy.sidecar.call(call, 20).await.unwrap_err();
    assert!(matches!(error, Unanswered::Unsent(_)), "{error}");
}

#[tokio::test]
async fn no_answer_at_all_may_have_been_sent() {
    let proxy = proxy(0).await;
    let error = proxy.sidecar.call(call(), 20).await.unwrap_err();
    assert!(matches!(error, Unanswered::Lost(_)), "{error}");
}

use super::*;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_stream::wrappers::TcpListenerStream;

const LONG: Duration = Duration::from_secs(120);

/// A server that answers every connection with `response` and then holds it open.
async fn server(response: &'static str) -> (Address, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(response.as_bytes()).await;
                let _ = stream.read(&mut request).await;
            });
        }
    });
    (address, task)
}

/// An address where nobody listens for as long as the socket is held.
fn nobody() -> (Address, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap().into(), socket)
}

fn http_check() -> Check {
    Check::Http { path: "/health?deep=1".into() }
}

#[tokio::test]
async fn any_2xx_answer_is_healthy_and_no_other() {
    for (head, healthy) in
        [("200 OK", true), ("204 No Content", true), ("302 Found", false), ("503 Busy", false)]
    {
        let response = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n").leak();
        let (address, _server) = server(response).await;
        let answer = probe(&http_check(), &address, LONG).await;
        assert_eq!(answer.result, if healthy { Ok(()) } else { Err(Failure::Unhealthy) }, "{answer:?}");
    }
}

#[tokio::test]
async fn the_answer_names_the_status() {
    let (address, _server) = server("HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno").await;
    let answer = probe(&http_check(), &address, LONG).await;
    assert_eq!(answer.text, "status 500");
}

#[tokio::test]
async fn a_server_that_closes_at_once_after_its_answer_is_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfine").await;
    });
    assert_eq!(probe(&http_check(), &address, LONG).await.result, Ok(()));
}

#[tokio::test]
async fn silence_is_a_time_out() {
    let (address, _server) = server("").await;
    let answer = probe(&http_check(), &address, Duration::from_millis(50)).await;
    assert_eq!(answer.result, Err(Failure::Timeout));
    assert!(answer.took >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_refused_connection_is_a_network_failure_for_every_kind_of_check() {
    let (address, _socket) = nobody();
    for check in [http_check(), Check::Tcp, Check::Grpc { service: String::new() }] {
        let answer = probe(&check, &address, LONG).await;
        assert_eq!(answer.result, Err(Failure::Network));
        assert!(answer.text.contains("refused"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_network_failure() {
    let (address, _server) = server("SSH-2.0-OpenSSH_9.9\r\n").await;
    assert_eq!(probe(&http_check(), &address, LONG).await.result, Err(Failure::Network));
}

#[tokio::test]
async fn an_accepted_connection_is_healthy_for_tcp() {
    let (address, _server) = server("").await;
    assert_eq!(probe(&Check::Tcp, &address, LONG).await.result, Ok(()));
}

/// A gRPC server whose health service says that `tests.Up` serves and `tests.Down` does not.
async fn grpc_server() -> SocketAddr {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("tests.Up", tonic_health::ServingStatus::Serving).await;
    reporter.set_service_status("tests.Down", tonic_health::ServingStatus::NotServing).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    address
}

#[tokio::test]
async fn grpc_is_healthy_only_while_serving() {
    let address = grpc_server().await.into();
    let ask = async |service: &str| probe(&Check::Grpc { service: service.into() }, &address, LONG).await;
    assert_eq!(ask("tests.Up").await.result, Ok(()));
    assert_eq!(ask("").await.result, Ok(()), "the whole server");
    let down = ask("tests.Down").await;
    assert_eq!((down.result, down.text.as_str()), (Err(Failure::Unhealthy), "NOT_SERVING"));
    let missing = ask("tests.Missing").await;
    assert_eq!(missing.result, Err(Failure::Unhealthy));
    assert!(missing.text.contains("NotFound"), "{missing:?}");
}

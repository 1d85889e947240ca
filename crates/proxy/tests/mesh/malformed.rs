//! Whatever bytes come, the data plane goes on.

use crate::support::*;
use std::net::SocketAddr;
use std::time::Duration;
use tenon_core::manifest::Traffic;
use tenon_proxy::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn mesh_with(app: &App) -> Mesh {
    Mesh::new()
        .service("payment", Traffic::default(), &[app])
        .gateway(vec![route("all", "/", &[("payment", 1)])])
        .applied()
        .await
}

/// Sends bytes, ends, and waits until the other side has ended too.
async fn send(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may have had enough before all is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the connection is closed");
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app).await;
    let long = format!("GET / HTTP/1.1\r\nhost: payment\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: payment\r\n{}\r\n", "x: y\r\n".repeat(200));
    let cases: [(&str, &str); 10] = [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", "400"),
        ("GET /\r\n\r\n", "400"),
        ("\0\0\0\0", "400"),
        ("GET / HTTP/1.1\r\nhost payment\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nhost: payment\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", "400"),
        ("CONNECT payment:80 HTTP/1.1\r\nhost: payment\r\n\r\n", "400"),
        (&long, "431"),
        (&many, "431"),
    ];
    for (bytes, status) in cases {
        let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
        // The other side may have had enough before all is written.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let answer = read_head(&mut stream).await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{:?}: {answer:?}", bytes.get(..60).unwrap_or(bytes));
    }
    assert_eq!(app.hits(), 0);
}

#[tokio::test]
async fn a_request_with_two_lengths_is_passed_on_with_one() {
    let (heads, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let app = RawApp::start(move |mut stream| {
        let heads = heads.clone();
        async move {
            heads.send(read_head(&mut stream).await).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let mesh = Mesh::new()
        .service_at("payment", Traffic::default(), &[app.address])
        .gateway(vec![route("all", "/", &[("payment", 1)])])
        .applied()
        .await;
    let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
    let bytes =
        "PUT / HTTP/1.1\r\nhost: payment\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let answer = read_head(&mut stream).await;
    if answer.starts_with("HTTP/1.1 200") {
        let head = heard.recv().await.unwrap().to_ascii_lowercase();
        assert!(head.contains("transfer-encoding: chunked") ^ head.contains("content-length:"), "{head}");
    } else {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[tokio::test]
async fn random_bytes_never_stop_the_data_plane() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app).await;
    let mut random = fastrand::Rng::with_seed(42);
    let addresses = [
        mesh.outbound.address,
        mesh.inbound.address,
        mesh.gateway.address,
        mesh.plane.admin().await.unwrap(),
    ];
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let head = b"GET http://payment/ HTTP/1.1\r\nhost: payment\r\n\r\n";
    for round in 0..200 {
        let length = random.usize(0..200);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        let mut bytes = match round % 3 {
            0 => Vec::new(),
            1 => preface.to_vec(),
            _ => head.to_vec(),
        };
        if round % 6 == 5 {
            let place = random.usize(..bytes.len());
            bytes[place] = random.u8(..);
        }
        bytes.extend(noise);
        for address in addresses {
            send(address, &bytes).await;
        }
    }
    assert_eq!(mesh.get("http://payment/").await.text(), "paid");
}

#[tokio::test]
async fn a_slow_sender_is_let_go() {
    let limits = Limits { head_timeout: Duration::from_millis(100), ..Limits::default() };
    let mesh = Mesh::with_limits(limits).gateway(vec![]).applied().await;
    for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{begun:?} keeps the connection open");
    }
}

//! HTTP/1.1 by its raw bytes: what is not strictly framed is refused, in its turn, and nothing of it reaches a service.

use crate::support::*;
use http::{Request, Response};
use std::net::SocketAddr;
use std::time::Duration;
use tenon_core::manifest::Traffic;
use tenon_proxy::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GET: &str = "GET / HTTP/1.1\r\nhost: payment\r\n\r\n";

async fn mesh_with(app: &App, limits: Limits) -> Mesh {
    Mesh::with_limits(limits)
        .service("payment", Traffic::default(), &[app])
        .gateway(vec![route("all", "/", &[("payment", 1)])])
        .applied()
        .await
}

/// Sends bytes to the gateway and reads until it closes.
async fn exchange(mesh: &Mesh, bytes: &str) -> String {
    exchange_at(mesh.gateway.address, bytes).await
}

async fn exchange_at(gateway: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    // The other side may have had enough before all is written.
    let _ = stream.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("the connection is closed").unwrap();
    String::from_utf8(answer).unwrap()
}

/// A request with these fields and a body.
fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: payment\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn each_violation_is_answered_with_its_code_and_explained() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: payment\r\n\r\n", "x".repeat(17_000));
    let large = post(&format!("x: {}\r\n", "y".repeat(70_000)), "");
    let many = post(&"x: y\r\n".repeat(101), "");
    let cases = [
        ("both lengths", post("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"), "400"),
        ("two equal lengths", post("content-length: 1\r\ncontent-length: 1\r\n", "x"), "400"),
        ("two lengths", post("content-length: 1\r\ncontent-length: 2\r\n", "xx"), "400"),
        ("a list of lengths", post("content-length: 5, 5\r\n", "hello"), "400"),
        ("a signed length", post("content-length: +5\r\n", "hello"), "400"),
        ("a length that overflows", post("content-length: 18446744073709551617\r\n", "x"), "400"),
        ("another coding", post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"), "400"),
        ("a coding that hides", post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"), "400"),
        ("a vertical tab", post("transfer-encoding: \x0bchunked\r\n", "0\r\n\r\n"), "400"),
        ("a folded line", post("x: a\r\n b\r\n", ""), "400"),
        ("a bare CR", post("x: a\rtransfer-encoding: chunked\r\n", ""), "400"),
        ("a bare LF", post("x: a\ntransfer-encoding: chunked\r\n", ""), "400"),
        ("a bare LF at the end", "GET / HTTP/1.1\r\nhost: payment\r\n\n".into(), "400"),
        ("NUL", post("x: a\0b\r\n", ""), "400"),
        ("space before the colon", post("content-length : 5\r\n", "hello"), "400"),
        ("space at the line's start", "GET / HTTP/1.1\r\n host: payment\r\n\r\n".into(), "400"),
        ("a name of no token", post("x\u{a0}y: a\r\n", ""), "400"),
        (
            "HTTP/1.0 with chunks",
            "POST / HTTP/1.0\r\nhost: payment\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            "400",
        ),
        ("no host", "GET / HTTP/1.1\r\n\r\n".into(), "400"),
        ("two hosts", post("host: stock\r\n", ""), "400"),
        ("a fragment", "GET /a#b HTTP/1.1\r\nhost: payment\r\n\r\n".into(), "400"),
        ("HTTP/0.9", "GET /\r\n".into(), "400"),
        ("two spaces", "GET  / HTTP/1.1\r\nhost: payment\r\n\r\n".into(), "400"),
        ("TLS", "\x16\x03\x01\x02\0\x01\0".into(), "400"),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nhost: payment\r\n\r\n".into(), "505"),
        ("a long target", long, "414"),
        ("a large head", large, "431"),
        ("many fields", many, "431"),
    ];
    for (what, bytes, status) in cases {
        let answer = exchange(&mesh, &bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        assert!(answer.contains("tenon-error: request."), "{what}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{what}: {answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{what}: {answer}");
    }
    assert_eq!(app.hits(), 0);

    let answer = exchange(&mesh, "GET / HTTP/1.1\r\n\r\n").await;
    let id = answer.split("x-request-id: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let told = mesh.admin(&format!("/explain/{id}")).await;
    assert!(told.text().contains("there is no Host field"), "{}", told.text());
    let metrics = mesh.admin("/metrics").await;
    assert!(metrics.text().contains("code=\"request.malformed\""), "{}", metrics.text());
}

#[tokio::test]
async fn what_came_before_a_violation_is_answered_first() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let answer = exchange(&mesh, &format!("{GET}{GET}GET / HTTP/1.1\r\nhost : payment\r\n\r\n{GET}")).await;
    let statuses: Vec<_> =
        answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{answer}");
    assert_eq!(app.hits(), 2);
}

#[tokio::test]
async fn a_request_cannot_be_smuggled_behind_a_body() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits::default()).await;
    for (what, bytes) in [
        ("a chunk longer than it says", post("transfer-encoding: chunked\r\n", &format!("1\r\nab{GET}"))),
        ("a chunk's size that hides", post("transfer-encoding: chunked\r\n", &format!("0x1\r\n\r\n{GET}"))),
        ("a size's end without CR", post("transfer-encoding: chunked\r\n", &format!("0\n\n{GET}"))),
        ("a size with a space", post("transfer-encoding: chunked\r\n", &format!("0 \r\n\r\n{GET}"))),
        (
            "a size that overflows",
            post("transfer-encoding: chunked\r\n", &format!("{}0\r\n\r\n{GET}", "f".repeat(16))),
        ),
        (
            "a long extension",
            post("transfer-encoding: chunked\r\n", &format!("0;{}\r\n\r\n{GET}", "x".repeat(2_000))),
        ),
        ("a malformed trailer", post("transfer-encoding: chunked\r\n", &format!("0\r\nx y\r\n\r\n{GET}"))),
    ] {
        let before = app.hits();
        let answer = exchange(&mesh, &bytes).await;
        assert!(
            !answer.contains("HTTP/1.1 200") || answer.matches("HTTP/1.1").count() == 1,
            "{what}: {answer}"
        );
        assert!(app.hits() <= before + 1, "{what}");
    }
}

#[tokio::test]
async fn pipelined_requests_with_bodies_are_told_apart() {
    let app = App::start(|request: Request<hyper::body::Incoming>| async move {
        use http_body_util::BodyExt;
        Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let answer = exchange(
        &mesh,
        &[
            post("content-length: 3\r\n", "one"),
            post("transfer-encoding: chunked\r\n", "3;x=y\r\ntwo\r\n0\r\n\r\n"),
            post("content-length: 0\r\n", ""),
            post("content-length: 4\r\nconnection: close\r\n", "four"),
        ]
        .concat(),
    )
    .await;
    let bodies: Vec<_> =
        answer.split("\r\n\r\n").skip(1).map(|it| it.split("HTTP/1.1").next().unwrap()).collect();
    assert_eq!(bodies, ["one", "two", "", "four"], "{answer}");
}

#[tokio::test]
async fn a_head_may_come_in_pieces() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in GET.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_carries_only_so_many_requests() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits { requests: 3, ..Limits::default() }).await;
    let answer = exchange(&mesh, &GET.repeat(10)).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let answer = exchange(&mesh, "GET / HTTP/1.0\r\nhost: payment\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("paid"), "{answer}");
    let chunked = App::start(|_| async { Response::new(chunks()) }).await;
    let mesh = mesh_with(&chunked, Limits::default()).await;
    let answer = exchange(&mesh, "GET / HTTP/1.0\r\nhost: payment\r\n\r\n").await;
    assert!(!answer.contains("transfer-encoding") && answer.ends_with("paid"), "{answer}");
}

/// A body whose length is not told.
fn chunks() -> Body {
    let (sender, body) = piped();
    tokio::spawn(async move {
        for piece in ["pa", "id"] {
            let _ = sender.send(http_body::Frame::data(bytes::Bytes::from_static(piece.as_bytes()))).await;
        }
    });
    body
}

#[tokio::test]
async fn whoever_waits_to_continue_is_told_to_only_if_the_body_is_wanted() {
    let app = App::start(|request: Request<hyper::body::Incoming>| async move {
        use http_body_util::BodyExt;
        assert!(!request.headers().contains_key("expect"));
        Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let mesh = Mesh::new()
        .service("payment", Traffic::default(), &[&app])
        .gateway(vec![route("all", "/pay", &[("payment", 1)])])
        .applied()
        .await;
    let asking = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: payment\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
    };
    let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
    stream.write_all(asking("/pay").as_bytes()).await.unwrap();
    assert_eq!(read_head(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"paid").await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));

    let answer = exchange(&mesh, &asking("/else")).await;
    assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn an_answer_may_come_before_the_body_has() {
    let app = App::start(|_| async { Response::builder().status(413).body(full("big")).unwrap() }).await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
    stream.write_all(post("content-length: 1000000\r\n", "begin").as_bytes()).await.unwrap();
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_response_of_two_lengths_is_not_passed_on() {
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\npaid",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\npaid",
        "HTTP/1.1 200 OK\r\ncontent-length: 4, 4\r\n\r\npaid",
        "HTTP/1.1 200 OK\r\ncontent-length: +4\r\n\r\npaid",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\npaid",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx : y\r\ncontent-length: 4\r\n\r\npaid",
        "HTTP/1.1 200 OK\r\nx: y\r\n z\r\ncontent-length: 4\r\n\r\npaid",
    ] {
        let app = RawApp::answering(response).await;
        let mesh = Mesh::new()
            .service_at("payment", Traffic::default(), &[app.address])
            .gateway(vec![route("all", "/", &[("payment", 1)])])
            .applied()
            .await;
        let answer = exchange(&mesh, &post("content-length: 1\r\nconnection: close\r\n", "x")).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{response:?}: {answer}");
    }
}

#[tokio::test]
async fn what_an_application_says_unasked_is_nobodys_answer() {
    let app = RawApp::start(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let two = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npaidHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
            let _ = stream.write_all(two.as_bytes()).await;
        }
    })
    .await;
    let mesh = Mesh::new().service_at("payment", Traffic::default(), &[app.address]).applied().await;
    let mut client = mesh.client().await;
    for _ in 0..10 {
        assert_eq!(client.send(get("http://payment/")).await.text(), "paid");
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_answered() {
    let app = App::start(|_: Request<hyper::body::Incoming>| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Response::new(full("paid"))
    })
    .await;
    let mesh = mesh_with(&app, Limits { parting: Duration::from_secs(4), ..Limits::default() }).await;
    let ask = async |bytes: String, answers: usize| {
        let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, reading).await.expect("closed").unwrap();
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), answers, "{answer}");
        assert!(answer.ends_with("paid"), "{answer}");
    };
    tokio::join!(
        ask(GET.to_owned(), 1),
        ask(post("content-length: 4\r\n", "body"), 1),
        ask(GET.repeat(3), 3)
    );
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_let_go() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits::default()).await;
    for bytes in ["", "GET / HT", GET, "POST / HTTP/1.1\r\nhost: payment\r\ncontent-length: 9\r\n\r\nhalf"] {
        let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        tokio::time::timeout(PATIENCE, reading).await.expect("closed").unwrap();
    }
}

#[tokio::test]
async fn what_ends_at_a_hop_is_not_forwarded_however_it_is_spelled() {
    let (heads, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let app = RawApp::start(move |mut stream| {
        let heads = heads.clone();
        async move {
            heads.send(read_head(&mut stream).await).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close, X-Away\r\nx-away: 1\r\nkeep-alive: x\r\nproxy-authenticate: Basic\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let mesh = Mesh::new()
        .service_at("payment", Traffic::default(), &[app.address])
        .gateway(vec![route("all", "/", &[("payment", 1)])])
        .applied()
        .await;
    let fields = "CONNECTION: close,X-Hop , x-OTHER\r\nConnection: X-Third\r\nx-hop: 1\r\nX-Other: 1\r\nx-third: 1\r\n\
         Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nproxy-authorization: Basic eA==\r\nTE: gzip\r\n\
         proxy-authenticate: x\r\ntrailer: x-sum\r\n\
         Upgrade: websocket\r\nhttp2-settings: AA\r\nX-Forwarded-For: 1.2.3.4\r\nx-forwarded-proto: https\r\n\
         X-Forwarded-Host: evil\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
         x-forwarded-client-cert: Hash=1\r\ntenon-anything: 1\r\nx-request-id: mine\r\nx-forwarded-port: 1\r\nx-kept: 1\r\n";
    let answer = exchange(&mesh, &format!("GET / HTTP/1.1\r\nhost: payment\r\n{fields}\r\n"))
        .await
        .to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    for gone in ["x-away", "keep-alive: x", "proxy-authenticate"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
    let head = heard.recv().await.unwrap().to_ascii_lowercase();
    for gone in [
        "x-hop",
        "x-other",
        "x-third",
        "keep-alive",
        "proxy-",
        "\r\nte:",
        "upgrade",
        "http2-settings",
        "1.2.3.4",
        "https",
        "evil",
        "forwarded: ",
        "hash=1",
        "tenon-anything",
        "mine",
        "x-forwarded-port",
    ] {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
    assert!(head.contains("x-kept: 1") && head.contains("x-forwarded-for: 127.0.0.1"), "{head}");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_answered_408() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits { head_begun: Duration::from_millis(100), ..Limits::default() }).await;
    let answer = exchange(&mesh, "GET / HTTP/1.1\r\nhost: payment\r\nx: ").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request.too-slow"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_the_clients_fault() {
    let app = App::start(|request: Request<hyper::body::Incoming>| async move {
        use http_body_util::BodyExt;
        let _ = request.into_body().collect().await;
        Response::new(full("paid"))
    })
    .await;
    let mut slow = route("all", "/", &[("payment", 1)]);
    slow.rules[0].timeout = Some(Duration::from_secs(1));
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).gateway(vec![slow]);
    let mesh = mesh.applied().await;
    // More often than a breaker would take.
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let gateway = mesh.gateway.address;
        asking.spawn(async move { exchange_at(gateway, &post("content-length: 10\r\n", "half")).await });
    }
    for answer in asking.join_all().await {
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request.too-slow"), "{answer}");
    }
    assert_eq!(mesh.get("http://payment/").await.text(), "paid");
}

#[tokio::test]
async fn a_malformed_body_is_told_so() {
    let app = App::start(|request: Request<hyper::body::Incoming>| async move {
        use http_body_util::BodyExt;
        let _ = request.into_body().collect().await;
        Response::new(full("paid"))
    })
    .await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let answer = exchange(&mesh, &post("transfer-encoding: chunked\r\n", "1\r\nab")).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("request.malformed"), "{answer}");
    assert!(answer.contains("a chunk does not end where its size says"), "{answer}");
}

#[tokio::test]
async fn a_response_that_is_not_taken_ends_the_connection() {
    let (ended, mut end) = tokio::sync::mpsc::unbounded_channel();
    let app = App::start(move |_| {
        let ended = ended.clone();
        async move {
            let (sender, body) = piped();
            tokio::spawn(async move {
                let chunk = bytes::Bytes::from_static(&[7; 64 * 1024]);
                while sender.send(http_body::Frame::data(chunk.clone())).await.is_ok() {}
                let _ = ended.send(());
            });
            Response::new(body)
        }
    })
    .await;
    let mesh = mesh_with(&app, Limits { stream_idle: Duration::from_millis(400), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    // Nothing of it is read.
    let ends = tokio::time::timeout(Duration::from_secs(60), end.recv());
    assert!(ends.await.unwrap().is_some());
}

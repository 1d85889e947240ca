//! CONNECT with whatever is inside, and changes of protocol.

use crate::support::*;
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tenon_core::manifest::{Egress, Traffic};
use tenon_proxy::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Opens a tunnel, and answers with the head of the response too.
async fn connect(mesh: &Mesh, to: &str, credentials: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(mesh.outbound.address).await.unwrap();
    let head = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\nproxy-authorization: {credentials}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_head(&mut stream).await;
    (stream, answer)
}

async fn tunnel(mesh: &Mesh, to: &str) -> TcpStream {
    let (stream, answer) = connect(mesh, to, &credentials("order-1", SECRET)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stream
}

/// What is inside a tunnel needs no credentials.
fn plain(uri: &str) -> Request<Body> {
    let mut request = get(uri);
    request.headers_mut().remove("proxy-authorization");
    request
}

#[tokio::test]
async fn http1_in_a_tunnel_is_treated_like_any_request() {
    let apps = [App::saying("a").await, App::saying("b").await];
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&apps[0], &apps[1]]).applied().await;
    let mut client = Client::over(tunnel(&mesh, "payment:80").await).await;
    for _ in 0..4 {
        let mut request = plain("http://payment/x");
        *request.uri_mut() = "/x".parse().unwrap();
        let reply = client.send(request).await;
        assert_eq!(reply.status, 200);
        assert!(!reply.header("x-request-id").is_empty());
    }
    assert_eq!(apps.each_ref().map(App::hits), [2, 2]);
}

#[tokio::test]
async fn where_a_tunnel_leads_cannot_be_changed_inside() {
    let (payment, stock) = (App::saying("payment").await, App::saying("stock").await);
    let mesh = Mesh::new()
        .service("payment", Traffic::default(), &[&payment])
        .service("stock", Traffic::default(), &[&stock])
        .applied()
        .await;
    let mut client = Client::over(tunnel(&mesh, "payment:80").await).await;
    assert_eq!(client.send(plain("http://stock/")).await.text(), "payment");
}

#[tokio::test]
async fn http2_in_a_tunnel_is_treated_like_any_request() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let stream = tunnel(&mesh, "payment:50051").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let reply = Reply::read(sender.send_request(plain("http://payment/")).await.unwrap()).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
    }
}

#[tokio::test]
async fn other_bytes_are_carried_as_they_are() {
    let shouting = RawApp::start(|mut stream| async move {
        let mut word = [0; 4];
        while stream.read_exact(&mut word).await.is_ok() {
            word.make_ascii_uppercase();
            stream.write_all(&word).await.unwrap();
        }
    })
    .await;
    let mesh = Mesh::new().service_at("cache", Traffic::default(), &[shouting.address]).applied().await;
    let mut stream = tunnel(&mesh, "cache:6379").await;
    for _ in 0..3 {
        stream.write_all(b"\x01abc").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"\x01ABC");
    }
}

#[tokio::test]
async fn a_service_that_speaks_first_is_heard() {
    let greeting = RawApp::start(|mut stream| async move {
        stream.write_all(b"ready").await.unwrap();
    })
    .await;
    let gone = nobody();
    let addresses = [gone.address, greeting.address];
    let mesh = Mesh::with_limits(Limits::default());
    let mesh = mesh.service_at("database", Traffic::default(), &addresses).applied().await;
    let mut said = String::new();
    tunnel(&mesh, "database:5432").await.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "ready");
}

#[tokio::test]
async fn tunnels_are_refused_where_calls_are() {
    let app = App::saying("outside").await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let (right, wrong) = (credentials("order-1", SECRET), credentials("order-1", "wrong"));
    let outside = app.address.to_string();
    for (to, credentials, status, code) in [
        ("payment:80", &wrong, 407, "mesh.unauthenticated"),
        ("nobody:80", &right, 404, "mesh.service-not-found"),
        (outside.as_str(), &right, 403, "mesh.egress-denied"),
    ] {
        let (_, answer) = connect(&mesh, to, credentials).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains(&format!("tenon-error: {code}")), "{answer}");
    }
    mesh.routes.egress = Egress::Allow;
    mesh.apply().await;
    let mut client = Client::over(tunnel(&mesh, &outside).await).await;
    assert_eq!(client.send(plain("http://whatever/")).await.text(), "outside");
    let gone = nobody();
    let (_, answer) = connect(&mesh, &gone.address.to_string(), &right).await;
    assert!(answer.contains("tenon-error: mesh.unreachable"), "{answer}");
}

#[tokio::test]
async fn a_tunnel_inside_a_tunnel_is_refused() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut stream = tunnel(&mesh, "payment:80").await;
    stream.write_all(b"CONNECT payment:80 HTTP/1.1\r\nhost: payment\r\n\r\n").await.unwrap();
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("request.invalid"), "{answer}");
}

#[tokio::test]
async fn a_change_of_protocol_passes() {
    let app = App::start(|mut request: Request<_>| async move {
        let upgrade = request.headers()["upgrade"].clone();
        let switching = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(switching.await.unwrap());
            let mut word = [0; 5];
            stream.read_exact(&mut word).await.unwrap();
            word.reverse();
            stream.write_all(&word).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let response =
            Response::builder().status(101).header("connection", "upgrade").header("upgrade", upgrade);
        response.body(full("")).unwrap()
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let mut request = get("http://payment/chat");
    request.headers_mut().insert("connection", "Upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    let mut client = mesh.client().await;
    let mut response = client.begin(request).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["upgrade"], "websocket");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "olleh");
}

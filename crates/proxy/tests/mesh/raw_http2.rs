//! HTTP/2 by its raw frames: whatever a client does, it is bounded, and nobody else notices.

use crate::support::*;
use http::{Method, Request, Response};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tenon_core::manifest::Traffic;
use tenon_proxy::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame from the other side.
#[derive(Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

struct Raw(TcpStream);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK has them, none of them remembered.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn get_with(more: &[(&str, &str)]) -> Vec<u8> {
    let first = [(":method", "GET"), (":scheme", "http"), (":authority", "payment"), (":path", "/")];
    fields(&[&first[..], more].concat())
}

impl Raw {
    async fn connect(mesh: &Mesh, settings: &[u8]) -> Self {
        let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
        Self(stream)
    }

    /// Writes as much as the other side takes.
    async fn flood(&mut self, bytes: &[u8], times: usize) {
        let writing = async {
            for _ in 0..times {
                if self.0.write_all(bytes).await.is_err() {
                    return;
                }
            }
        };
        // One who is not read from any more may stop.
        let _ = tokio::time::timeout(Duration::from_secs(2), writing).await;
    }

    async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], stream, payload })
    }

    /// Reads until a frame of this kind, or the end.
    async fn until(&mut self, kinds: &[u8]) -> Option<Frame> {
        let reading = async {
            loop {
                match self.next().await {
                    Some(frame) if !kinds.contains(&frame.kind) => {}
                    other => return other,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.expect("an answer, or the end")
    }

    /// Reads until the other side closes.
    async fn ends(&mut self) {
        assert!(self.until(&[]).await.is_none());
    }
}

async fn mesh_with(app: &App, limits: Limits) -> Mesh {
    Mesh::with_limits(limits)
        .service("payment", Traffic::default(), &[app])
        .gateway(vec![route("all", "/", &[("payment", 1)])])
        .applied()
        .await
}

async fn serves(mesh: &Mesh) {
    assert_eq!(mesh.get("http://payment/").await.text(), "paid");
}

/// An application that never answers what came by HTTP/2's way in, and everything else at once.
async fn hanging() -> App {
    App::start(|request: Request<_>| async move {
        if request.headers().contains_key("x-hang") {
            std::future::pending::<()>().await;
        }
        Response::new(full("paid"))
    })
    .await
}

#[tokio::test]
async fn requests_begun_only_to_be_given_up_end_the_connection() {
    let app = hanging().await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let mut raw = Raw::connect(&mesh, &[]).await;
    let head = get_with(&[("x-hang", "1")]);
    for stream in (1..40_000).step_by(2) {
        let pair = [
            frame(HEADERS, END_STREAM | END_HEADERS, stream, &head),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ];
        if raw.0.write_all(&pair.concat()).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    raw.ends().await;
    serves(&mesh).await;
}

#[tokio::test]
async fn a_head_that_never_ends_ends_the_connection() {
    let app = hanging().await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let mut raw = Raw::connect(&mesh, &[]).await;
    raw.0.write_all(&frame(HEADERS, END_STREAM, 1, &get_with(&[]))).await.unwrap();
    raw.flood(&frame(CONTINUATION, 0, 1, &fields(&[("x", "y")])).repeat(100), 1_000).await;
    raw.ends().await;
    assert_eq!(app.hits(), 0);
    serves(&mesh).await;
}

#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one_is_refused() {
    let app = hanging().await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let mut raw = Raw::connect(&mesh, &[]).await;
    // A field that is remembered, then named a thousand times by one byte each.
    let value = "v".repeat(3_000);
    let mut head = get_with(&[]);
    head.extend([0x40, 1, b'x', 0x7f, 0xb9, 0x16]);
    assert_eq!(127 + 0x39 + 0x16 * 128, value.len() as u32);
    head.extend(value.as_bytes());
    head.extend([0xbe; 1_000]);
    raw.0.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)).await.unwrap();
    let answer = raw.until(&[HEADERS, RST_STREAM, GOAWAY]).await;
    // 431 is a status that HPACK has no number for, so it is written out.
    let refused = answer.is_none_or(|it| {
        it.kind != HEADERS || it.payload.windows(3).any(|it| it == b"431") || !it.payload.contains(&0x88)
    });
    assert!(refused);
    assert_eq!(app.hits(), 0);
    serves(&mesh).await;
}

#[tokio::test]
async fn floods_of_settings_and_pings_disturb_nobody() {
    let app = hanging().await;
    let mesh = mesh_with(&app, Limits::default()).await;
    for flood in [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]), frame(PING, 0, 0, &[0; 8])] {
        let mut raw = Raw::connect(&mesh, &[]).await;
        // Nothing of the answers is read.
        raw.flood(&flood.repeat(1_000), 500).await;
        serves(&mesh).await;
    }
}

#[tokio::test]
async fn a_response_that_is_not_taken_ends_the_connection() {
    let app = App::saying("paid").await;
    let mesh = mesh_with(&app, Limits { stream_idle: Duration::from_millis(400), ..Limits::default() }).await;
    // Nothing may be sent on any stream.
    let mut raw = Raw::connect(&mesh, &[0, 4, 0, 0, 0, 0]).await;
    raw.0.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &get_with(&[]))).await.unwrap();
    raw.ends().await;
    serves(&mesh).await;
}

#[tokio::test]
async fn only_so_many_streams_are_open_at_a_time() {
    let app = hanging().await;
    let mesh = mesh_with(&app, Limits { streams: 4, ..Limits::default() }).await;
    let mut raw = Raw::connect(&mesh, &[]).await;
    for stream in [1, 3, 5, 7, 9] {
        let head = get_with(&[("x-hang", "1")]);
        raw.0.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)).await.unwrap();
    }
    let refused = raw.until(&[RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!((refused.kind, refused.stream, &refused.payload[..]), (RST_STREAM, 9, &[0, 0, 0, 7][..]));
}

#[tokio::test]
async fn malformed_requests_reach_no_service() {
    let app = hanging().await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let cases = [
        ("an upper-case name", get_with(&[("X-Y", "1")])),
        ("a field of the connection", get_with(&[("connection", "close")])),
        ("a coding", get_with(&[("transfer-encoding", "chunked")])),
        ("te other than trailers", get_with(&[("te", "gzip")])),
        ("a line's end in a value", get_with(&[("x", "a\r\nb: c")])),
        ("NUL in a value", get_with(&[("x", "a\0b")])),
        ("a name of no token", get_with(&[("x y", "a")])),
        ("a colon in a name", get_with(&[("x:y", "a")])),
        ("a pseudo-field after a field", get_with(&[("x", "y"), (":path", "/")])),
        ("an unknown pseudo-field", get_with(&[(":x", "y")])),
        ("two paths", get_with(&[(":path", "/x")])),
        ("another host", get_with(&[("host", "stock")])),
        ("no method", fields(&[(":scheme", "http"), (":authority", "payment"), (":path", "/")])),
        ("no path", fields(&[(":method", "GET"), (":scheme", "http"), (":authority", "payment")])),
        (
            "a path with a space",
            fields(&[(":method", "GET"), (":scheme", "http"), (":authority", "payment"), (":path", "/ x")]),
        ),
        ("a length with no body", get_with(&[("content-length", "3")])),
        ("two lengths", get_with(&[("content-length", "0"), ("content-length", "1")])),
    ];
    for (what, head) in cases {
        let mut raw = Raw::connect(&mesh, &[]).await;
        raw.0.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)).await.unwrap();
        raw.until(&[HEADERS, RST_STREAM, GOAWAY]).await;
        assert_eq!(app.hits(), 0, "{what}");
    }
    serves(&mesh).await;
}

#[tokio::test]
async fn a_websocket_over_http2_reaches_a_service_of_http1() {
    let app = App::start(|mut request: Request<_>| async move {
        let Some(upgrade) = request.headers().get("upgrade").cloned() else {
            return Response::new(full("paid"));
        };
        assert!(request.headers().contains_key("sec-websocket-key"));
        assert_eq!(request.uri(), "/chat?room=1");
        let switching = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(switching.await.unwrap());
            let mut word = [0; 5];
            while stream.read_exact(&mut word).await.is_ok() {
                word.reverse();
                stream.write_all(&word).await.unwrap();
            }
        });
        let response =
            Response::builder().status(101).header("connection", "upgrade").header("upgrade", upgrade);
        response.header("sec-websocket-accept", "x").body(full("")).unwrap()
    })
    .await;
    let mesh = mesh_with(&app, Limits::default()).await;
    let stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // By its answer the client has heard that it may.
    assert_eq!(sender.send_request(get("http://payment/")).await.unwrap().status(), 200);
    let mut request = Request::new(full(""));
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = "http://payment/chat?room=1".parse().unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    for _ in 0..3 {
        stream.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"olleh");
    }
}

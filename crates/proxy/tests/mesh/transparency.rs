//! A request that goes through the mesh and one that goes directly are the same to both sides, but for a listed few
//! headers. A generated corpus is sent in three ways: directly, through a sidecar, through the gateway.

use crate::support::*;
use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tenon_core::manifest::Traffic;

const CASES: u64 = 300;
/// What a service may see otherwise (`docs/mesh.md` lists them).
const REQUEST: [&str; 12] = [
    "connection",
    "te",
    "traceparent",
    "tracestate",
    "x-request-id",
    "tenon-timeout-ms",
    "tenon-attempt",
    "tenon-priority",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "proxy-authorization",
];
/// What a caller may see otherwise.
const RESPONSE: [&str; 4] = ["connection", "keep-alive", "date", "x-request-id"];

/// A message, as far as it must be equal on all ways.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    first: String,
    headers: BTreeMap<String, Vec<Vec<u8>>>,
    body: Bytes,
    trailers: BTreeMap<String, Vec<Vec<u8>>>,
}

/// One case: what is asked and what is answered.
struct Case {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
    pieces: bool,
    trailers: Option<HeaderMap>,
    status: u16,
    answer_headers: HeaderMap,
    answer_body: Vec<u8>,
    answer_pieces: bool,
    answer_trailers: Option<HeaderMap>,
}

fn pick<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

fn text(random: &mut Rng, alphabet: &[u8], most: usize) -> Vec<u8> {
    (0..random.usize(..=most)).map(|_| pick(random, alphabet)).collect()
}

fn headers(random: &mut Rng, response: bool) -> HeaderMap {
    let values: Vec<u8> = (0x20..0x7f).chain(0x80..=0xff).chain([b'\t']).collect();
    let mut headers = HeaderMap::new();
    for _ in 0..random.usize(..8) {
        let name = format!("x-{}", String::from_utf8(text(random, b"abz019-_.~!", 12)).unwrap());
        let value = text(random, &values, 60);
        let value = HeaderValue::from_bytes(value.trim_ascii()).unwrap();
        headers.append(HeaderName::try_from(name).unwrap(), value);
    }
    let ordinary: &[(&str, &str)] = if response {
        &[
            ("set-cookie", "a=1; Path=/; HttpOnly"),
            ("set-cookie", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
            ("cache-control", "no-store, max-age=0"),
            ("content-encoding", "gzip"),
            ("etag", "W/\"x\""),
            ("vary", "accept, accept"),
            ("location", "/elsewhere?x=%20#y"),
            ("www-authenticate", "Basic realm=\"x\""),
            ("server", "thing/1.0 (x)"),
            ("via", "1.1 other"),
            ("warning", "199 - \"x\""),
            ("content-type", "text/html; charset=\"utf-8\""),
        ]
    } else {
        &[
            ("cookie", "a=1; b=\"2\""),
            ("accept", "*/*;q=0.1, text/html"),
            ("accept-encoding", "gzip, br"),
            ("authorization", "Bearer x.y.z"),
            ("user-agent", ""),
            ("range", "bytes=0-1"),
            ("if-none-match", "\"a\", W/\"b\""),
            ("content-type", "application/json"),
            ("via", "1.0 fred"),
            ("from", "a@b"),
            ("max-forwards", "10"),
            ("origin", "null"),
        ]
    };
    for (name, value) in ordinary {
        if random.bool() {
            headers.append(*name, HeaderValue::from_static(value));
        }
    }
    headers
}

fn body(random: &mut Rng) -> Vec<u8> {
    let length = pick(random, &[0, 0, 1, 2, 100, 1_023, 4_096, 16_384, 16_385, 65_537, 200_000]);
    let first = random.u8(..);
    (0..length).map(|at: usize| first.wrapping_add((at % 251) as u8)).collect()
}

fn trailers(random: &mut Rng) -> Option<HeaderMap> {
    let value = HeaderValue::from(random.u32(..));
    random.bool().then(|| HeaderMap::from_iter([(HeaderName::from_static("x-checksum"), value)]))
}

impl Case {
    fn new(number: u64) -> Self {
        let random = &mut Rng::with_seed(number);
        let methods =
            ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE"];
        let method = Method::from_bytes(pick(random, &methods).as_bytes()).unwrap();
        let bodied = !matches!(method.as_str(), "HEAD" | "TRACE");
        let segments =
            ["a", "//", "%20", "%2F", ";p=1", "@:!$&'()*+,=", "~x", "A.b", "-", "%C3%A9", "..c", "/", "\"{}"];
        let path: String = (0..random.usize(..6)).map(|_| pick(random, &segments)).collect();
        let queries = ["", "?", "?a=b&a=c", "?x=%zz", "?q=a/b?c", "?%00", "?[]|\\^`{}"];
        let target = format!("/{path}{}", pick(random, &queries));
        let mut request = headers(random, false);
        let trailers = trailers(random).filter(|_| bodied);
        if trailers.is_some() {
            request.insert("trailer", HeaderValue::from_static("x-checksum"));
        }
        let statuses = [200, 200, 200, 201, 202, 204, 206, 301, 304, 400, 404, 409, 418, 429, 451, 299, 599];
        let status = pick(random, &statuses);
        let mut answer_headers = headers(random, true);
        let answer_trailers = self::trailers(random).filter(|_| bodied && status != 204 && status != 304);
        if answer_trailers.is_some() {
            request.insert("te", HeaderValue::from_static("trailers"));
            answer_headers.insert("trailer", HeaderValue::from_static("x-checksum"));
        }
        request.insert("x-case", HeaderValue::from(number));
        request.insert("host", HeaderValue::from_static("payment"));
        let bodiless = matches!(status, 204 | 304);
        Self {
            body: if bodied { body(random) } else { Vec::new() },
            pieces: trailers.is_some() || random.bool(),
            status,
            answer_body: if bodiless || method == Method::HEAD { Vec::new() } else { body(random) },
            answer_pieces: answer_trailers.is_some() || random.bool(),
            method,
            target,
            headers: request,
            trailers,
            answer_headers,
            answer_trailers,
        }
    }

    fn request(&self, target: &str) -> Request<Body> {
        let sized = !self.pieces || (self.body.is_empty() && self.trailers.is_none());
        let body = if sized { full(self.body.clone()) } else { pieces(&self.body, self.trailers.clone()) };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.parse::<Uri>().unwrap();
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn response(&self) -> Response<Body> {
        let sized = !self.answer_pieces || (self.answer_body.is_empty() && self.answer_trailers.is_none());
        let body = if sized {
            full(self.answer_body.clone())
        } else {
            pieces(&self.answer_body, self.answer_trailers.clone())
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status.try_into().unwrap();
        *response.headers_mut() = self.answer_headers.clone();
        response
    }
}

/// A body whose length is not told.
fn pieces(body: &[u8], trailers: Option<HeaderMap>) -> Body {
    let (sender, piped) = piped();
    let pieces: Vec<_> = body.chunks(10_000).map(Bytes::copy_from_slice).collect();
    tokio::spawn(async move {
        for frame in pieces.into_iter().map(Frame::data).chain(trailers.map(Frame::trailers)) {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    piped
}

fn without(headers: &HeaderMap, left_out: &[&str]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut kept: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| !left_out.contains(&name.as_str())) {
        kept.entry(name.to_string()).or_default().push(value.as_bytes().to_vec());
    }
    kept
}

async fn message(first: String, headers: &HeaderMap, body: Incoming, left_out: &[&str]) -> Message {
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().map(|trailers| without(trailers, &[])).unwrap_or_default();
    Message { first, headers: without(headers, left_out), body: collected.to_bytes(), trailers }
}

/// An application that answers as its case says, and remembers what it was asked.
async fn origin() -> (App, Arc<Mutex<Vec<Message>>>) {
    let heard: Arc<Mutex<Vec<Message>>> = Arc::default();
    let hears = Arc::clone(&heard);
    let app = App::start(move |request: Request<Incoming>| {
        let hears = Arc::clone(&hears);
        async move {
            let (head, body) = request.into_parts();
            let number = head.headers["x-case"].to_str().unwrap().parse().unwrap();
            let first = format!("{} {} {:?}", head.method, head.uri, head.version);
            let asked = message(first, &head.headers, body, &REQUEST).await;
            hears.lock().unwrap().push(asked);
            Case::new(number).response()
        }
    })
    .await;
    (app, heard)
}

#[tokio::test]
async fn through_the_mesh_and_directly_are_the_same() {
    let (app, heard) = origin().await;
    let mesh = Mesh::new()
        .service("payment", Traffic::default(), &[&app])
        .gateway(vec![route("all", "/", &[("payment", 1)])])
        .applied()
        .await;
    let mut direct = Client::connect(app.address).await;
    let mut sidecar = mesh.client().await;
    let mut gateway = Client::connect(mesh.gateway.address).await;
    for number in 0..CASES {
        let case = Case::new(number);
        let mut told = Vec::new();
        for (client, target) in [
            (&mut direct, case.target.clone()),
            (&mut gateway, case.target.clone()),
            (&mut sidecar, format!("http://payment{}", case.target)),
        ] {
            let mut request = case.request(&target);
            if target.starts_with("http:") {
                let shown = credentials("order-1", SECRET).parse().unwrap();
                request.headers_mut().insert("proxy-authorization", shown);
            }
            let response = client.begin(request).await.unwrap();
            let (head, body) = response.into_parts();
            let first = format!("{} {:?}", head.status, head.version);
            told.push(message(first, &head.headers, body, &RESPONSE).await);
        }
        let asked = std::mem::take(&mut *heard.lock().unwrap());
        assert_eq!(asked.len(), 3, "case {number}: each is asked once");
        for (way, number_of_way) in [("gateway", 1), ("sidecar", 2)] {
            assert_same(number, way, &asked[0], &asked[number_of_way]);
            assert_same(number, way, &told[0], &told[number_of_way]);
        }
    }
}

fn assert_same(case: u64, way: &str, direct: &Message, other: &Message) {
    assert_eq!(direct.first, other.first, "case {case}, {way}");
    assert_eq!(direct.headers, other.headers, "case {case}, {way}: {}", direct.first);
    assert!(
        direct.body == other.body,
        "case {case}, {way}: {} and {} bytes",
        direct.body.len(),
        other.body.len()
    );
    assert_eq!(direct.trailers, other.trailers, "case {case}, {way}: {}", direct.first);
}

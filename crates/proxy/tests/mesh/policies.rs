//! Policies, wherever a call comes in.

use crate::support::*;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tenon_core::manifest::{Mtls, Security, Traffic};
use tenon_core::policy::{Action, Condition, Edits, Fault, Field, HeaderEdits, Mirror, Policy, Test};
use tenon_core::rate::{By, Limit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A policy for every call.
fn always(action: Action) -> Policy {
    Policy { rules: Vec::new(), unless: Vec::new(), action }
}

/// A policy for calls that one condition holds for.
fn on(field: Field, test: Test, action: Action) -> Policy {
    Policy { rules: vec![Condition { field, test }], ..always(action) }
}

fn prefix(path: &str) -> Test {
    Test::Prefix(vec![path.to_owned()])
}

fn is(value: &str) -> Test {
    Test::Equals(vec![value.to_owned()])
}

fn payment(app: &App) -> Mesh {
    Mesh::new().service("payment", Traffic::default(), &[app])
}

#[tokio::test]
async fn a_denied_path_is_denied_however_it_is_spelled() {
    let app = App::saying("paid").await;
    let mesh = payment(&app).policy("payment", "no-admin", on(Field::Path, prefix("/admin"), Action::Deny));
    let mesh = mesh.applied().await;
    for path in ["/admin", "/admin/users?x=1", "/%61dmin", "/open/../admin", "/./admin/"] {
        let reply = mesh.get(&format!("http://payment{path}")).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (403, "mesh.policy-denied"), "{path}");
        assert_eq!(reply.json()["policy"], "policies.no-admin");
    }
    assert_eq!(app.hits(), 0);
    assert_eq!(mesh.get("http://payment/administrators").await.text(), "paid");
    assert_eq!(mesh.get("http://payment/admin%zz").await.status, 400);

    let denied = mesh.get("http://payment/admin").await;
    let told = mesh.admin(&format!("/explain/{}", denied.header("x-request-id"))).await.json();
    assert!(told.to_string().contains("policies.no-admin"), "{told}");
    let metrics = mesh.admin("/metrics").await;
    assert!(
        metrics.text().contains(r#"tenon_policy_decisions_total{policy="no-admin",decision="denied"} 6"#)
    );
}

#[tokio::test]
async fn where_something_is_allowed_all_else_is_denied() {
    let app = App::saying("paid").await;
    let only_order = on(Field::Source, is("order"), Action::Allow);
    let mesh = payment(&app).policy("payment", "only-order", only_order);
    let mesh = mesh.gateway(vec![route("all", "/", &[("payment", 1)])]).applied().await;
    assert_eq!(mesh.get("http://payment/").await.text(), "paid");

    let outside = Request::get("/").header("host", "shop.example").body(full("")).unwrap();
    let reply = Client::connect(mesh.gateway.address).await.send(outside).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (403, "mesh.policy-denied"));
    assert_eq!(app.hits(), 1);
}

#[tokio::test]
async fn policies_of_a_route_and_of_its_service_both_hold() {
    let app = App::saying("paid").await;
    let mut mesh = payment(&app).policy("payment", "no-get", on(Field::Method, is("GET"), Action::Deny));
    let no_beta = on(Field::Query("beta".into()), Test::Exists, Action::Deny);
    mesh.routes.policies.named.insert("no-beta".parse().unwrap(), Arc::new(no_beta));
    mesh.routes.policies.routes.insert("all".parse().unwrap(), ["no-beta".parse().unwrap()].into());
    let mesh = mesh.gateway(vec![route("all", "/", &[("payment", 1)])]).applied().await;
    let ask = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "shop.example");
        let reply = Client::connect(mesh.gateway.address).await.send(request.body(full("")).unwrap()).await;
        let policy = if reply.code().is_empty() { String::new() } else { reply.json()["policy"].to_string() };
        (reply.status.as_u16(), policy)
    };
    assert_eq!(ask("GET", "/").await, (403, "\"policies.no-get\"".into()));
    assert_eq!(ask("POST", "/?beta=1").await, (403, "\"policies.no-beta\"".into()));
    assert_eq!(ask("POST", "/").await, (200, String::new()));
}

#[tokio::test]
async fn calls_beyond_a_rate_limit_are_told_when_to_come_again() {
    let app = App::saying("paid").await;
    let limit = Limit {
        requests: 1,
        per: Duration::from_secs(3_600),
        burst: 3,
        by: By::Header("x-tenant".parse().unwrap()),
        shared: false,
    };
    let mesh = payment(&app).policy("payment", "slow", always(Action::RateLimit(limit))).applied().await;
    let call = async |tenant: &'static str| {
        let mut request = get("http://payment/");
        request.headers_mut().insert("x-tenant", tenant.parse().unwrap());
        mesh.client().await.send(request).await
    };
    for _ in 0..3 {
        assert_eq!(call("blue").await.status, 200);
    }
    let reply = call("blue").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (429, "mesh.rate-limited"));
    assert_eq!(reply.header("ratelimit-policy"), r#""slow";q=1;w=3600"#);
    let after: u64 = reply.header("retry-after").parse().unwrap();
    assert!((3_500..=3_600).contains(&after), "{after}");
    assert_eq!(reply.header("ratelimit"), format!(r#""slow";r=0;t={after}"#));
    assert_eq!(call("green").await.status, 200);
    assert_eq!(app.hits(), 4);
}

#[tokio::test]
async fn a_time_out_and_a_number_of_attempts_hold_in_place_of_the_services() {
    let hanging = App::start(|_| std::future::pending()).await;
    let soon = always(Action::Timeout(Duration::from_millis(50)));
    let mesh = payment(&hanging).policy("payment", "soon", soon).applied().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (504, "mesh.timeout"));

    let failing = App::start(|_| async { Response::builder().status(503).body(full("")).unwrap() }).await;
    let twice = always(Action::Retry { max_attempts: 2 });
    let mesh = payment(&failing).policy("payment", "twice", twice).applied().await;
    assert_eq!(mesh.get("http://payment/").await.status, 503);
    assert_eq!(failing.hits(), 2);
}

#[tokio::test]
async fn headers_are_changed_on_their_way_there_and_back() {
    let app = App::start(|request: Request<_>| async move {
        let seen: Vec<_> = request.headers().get_all("x-a").iter().map(|it| it.to_str().unwrap()).collect();
        let seen = format!("{seen:?} {}", request.headers().contains_key("x-debug"));
        Response::builder().header("server", "secret").header("x-seen", seen).body(full("")).unwrap()
    })
    .await;
    let name = |text: &str| text.parse().unwrap();
    let edits = Edits {
        request: HeaderEdits {
            remove: vec![name("x-debug")],
            set: vec![(name("x-a"), "1".into())],
            add: vec![(name("x-a"), "2".into())],
        },
        response: HeaderEdits { remove: vec![name("server")], ..HeaderEdits::default() },
    };
    let mesh = payment(&app).policy("payment", "edit", always(Action::Headers(edits))).applied().await;
    let mut request = get("http://payment/");
    request.headers_mut().insert("x-debug", "1".parse().unwrap());
    request.headers_mut().insert("x-a", "0".parse().unwrap());
    let reply = mesh.client().await.send(request).await;
    assert_eq!(reply.header("x-seen"), r#"["1", "2"] false"#);
    assert!(!reply.headers.contains_key("server"));
}

#[tokio::test]
async fn a_fault_is_answered_in_place_of_the_service() {
    let app = App::saying("paid").await;
    let fault = Fault { delay: Some(Duration::from_millis(20)), abort: Some(418), percent: 100 };
    let storm = on(Field::Header("x-storm".parse().unwrap()), Test::Exists, Action::Fault(fault));
    let mesh = payment(&app).policy("payment", "storm", storm).applied().await;
    assert_eq!(mesh.get("http://payment/").await.text(), "paid");
    let mut request = get("http://payment/");
    request.headers_mut().insert("x-storm", "1".parse().unwrap());
    let began = std::time::Instant::now();
    let reply = mesh.client().await.send(request).await;
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!((reply.status.as_u16(), reply.code()), (418, "mesh.fault-injected"));
    assert_eq!(reply.json()["status"], 418);
    assert_eq!(app.hits(), 1);
}

#[tokio::test]
async fn a_copy_goes_to_another_service_with_the_same_body_and_no_say() {
    let app = App::start(|request: Request<hyper::body::Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body))
    })
    .await;
    let copied = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&copied);
    let shadow = App::start(move |request: Request<hyper::body::Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mark = head.headers.get("tenon-mirrored").map(|it| it.to_str().unwrap().to_owned());
            seen.lock().unwrap().push((head.method.to_string(), head.uri.to_string(), mark, body));
            Response::builder().status(500).body(full("")).unwrap()
        }
    })
    .await;
    let copy = always(Action::Mirror(Mirror { service: service("shadow"), percent: 100 }));
    let mesh = payment(&app).service("shadow", Traffic::default(), &[&shadow]);
    let mesh = mesh.policy("payment", "copy", copy).applied().await;
    for _ in 0..10 {
        let reply = mesh.client().await.send(request("POST", "http://payment/charge?x=1", "12.50")).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "12.50"));
    }
    until("all copies arrive", || async { copied.lock().unwrap().len() == 10 }).await;
    let expected = ("POST".to_owned(), "/charge?x=1".to_owned(), Some("copy".to_owned()), "12.50".into());
    assert!(copied.lock().unwrap().iter().all(|it| *it == expected));
    // Its failures are nobody's: the breaker would have opened by now.
    assert_eq!(mesh.get("http://shadow/").await.code(), "");
}

async fn connect(mesh: &Mesh, to: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(mesh.outbound.address).await.unwrap();
    let credentials = credentials("order-1", SECRET);
    let head = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\nproxy-authorization: {credentials}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_head(&mut stream).await;
    (stream, answer)
}

#[tokio::test]
async fn a_caller_that_is_denied_opens_no_tunnel() {
    let app = App::saying("paid").await;
    let not_order = on(Field::Source, is("order"), Action::Deny);
    let mesh = payment(&app).policy("payment", "not-order", not_order).applied().await;
    let (_, answer) = connect(&mesh, "payment:5432").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("mesh.policy-denied"), "{answer}");
}

#[tokio::test]
async fn what_cannot_be_seen_in_a_tunnel_counts_against_it() {
    let reached = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reached);
    let app = RawApp::start(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            let head = read_head(&mut stream).await;
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(head.starts_with("GET /open "), "{head}");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let no_admin = on(Field::Path, prefix("/admin"), Action::Deny);
    let mesh = Mesh::new().service_at("payment", Traffic::default(), &[app.address]);
    let mesh = mesh.policy("payment", "no-admin", no_admin).applied().await;

    // Plain bytes might say anything.
    let (mut stream, answer) = connect(&mesh, "payment:80").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stream.write_all(b"\x16\x03\x01 not HTTP").await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert_eq!((app.connections(), reached.load(Ordering::SeqCst)), (0, 0));

    // HTTP is looked at.
    for (path, expected) in [("/admin", "HTTP/1.1 403"), ("/open", "HTTP/1.1 200")] {
        let (mut stream, _) = connect(&mesh, "payment:80").await;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: payment\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_head(&mut stream).await;
        assert!(answer.starts_with(expected), "{answer}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_change_of_protocol_is_denied_like_any_request() {
    let app = App::saying("paid").await;
    let no_chat = on(Field::Path, is("/chat"), Action::Deny);
    let mesh = payment(&app).policy("payment", "no-chat", no_chat).applied().await;
    let mut request = get("http://payment/chat");
    request.headers_mut().insert("connection", "upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    assert_eq!(mesh.client().await.send(request).await.code(), "mesh.policy-denied");
}

#[tokio::test]
async fn an_instances_own_sidecar_believes_no_stranger() {
    let app = App::saying("ordered").await;
    // Plain text is let in, so that it is the policy which decides.
    let security = Security { mtls: Mtls::Permissive, ..Security::default() };
    let mut mesh = Mesh::new().service("order", Traffic { security, ..Traffic::default() }, &[&app]);
    mesh.application = app.address;
    let only_stock = Policy {
        unless: vec![Condition { field: Field::Source, test: is("stock") }],
        ..on(Field::Path, prefix("/private"), Action::Deny)
    };
    let mesh = mesh.policy("order", "only-stock", only_stock).applied().await;
    let call = async |path: &str| {
        let request = Request::get(path).header("host", "order").body(full("")).unwrap();
        Client::connect(mesh.inbound.address).await.send(request).await
    };
    assert_eq!(call("/public").await.text(), "ordered");
    let reply = call("/%70rivate").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (403, "mesh.policy-denied"));
    assert_eq!(reply.json()["component"], "inbound");
}

#[tokio::test]
async fn a_limit_goes_on_counting_when_the_configuration_changes() {
    let app = App::saying("paid").await;
    let limit = |burst| {
        let per = Duration::from_secs(3_600);
        always(Action::RateLimit(Limit { requests: 1, per, burst, by: By::All, shared: true }))
    };
    let mut mesh = payment(&app).policy("payment", "slow", limit(1)).applied().await;
    assert_eq!(mesh.get("http://payment/").await.status, 200);
    mesh.apply().await;
    assert_eq!(mesh.get("http://payment/").await.status, 429);
    let mut mesh = mesh.policy("payment", "slow", limit(2)).applied().await;
    assert_eq!(mesh.get("http://payment/").await.status, 200);
    assert_eq!(mesh.get("http://payment/").await.status, 429);

    // Another data plane takes half of it.
    mesh.routes.planes = 2;
    let mesh = mesh.policy("payment", "slow", limit(4)).applied().await;
    assert_eq!(mesh.get("http://payment/").await.status, 200);
    assert_eq!(mesh.get("http://payment/").await.status, 429);
}

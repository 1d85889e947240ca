//! Calls to a service that has no instance at the moment.

use crate::support::*;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tenon_core::breaker::Config;
use tenon_core::manifest::Traffic;
use tenon_core::retry::{Delay, Jitter, Policy, budget};
use tenon_proxy::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const HOUR: Duration = Duration::from_secs(3_600);

/// A mesh whose calls wait this long for an instance of `payment`, which has none.
async fn without_instance(hold: Duration, traffic: Traffic) -> Mesh {
    let limits = Limits { hold, ..Limits::default() };
    Mesh::with_limits(limits).service("payment", traffic, &[]).applied().await
}

fn patient() -> Traffic {
    Traffic { timeout: HOUR, ..Traffic::default() }
}

async fn gets(mesh: &mut Mesh, app: &App) {
    // Another instance than all before, wherever it is.
    let mut added = endpoints("payment", &[app.address]);
    added[0].instance = format!("payment-{}", app.address.port()).parse().unwrap();
    mesh.endpoints.services.insert(service("payment"), added);
    mesh.apply().await;
}

async fn held(mesh: &Mesh) -> u64 {
    let metrics = mesh.admin("/metrics").await;
    let line =
        metrics.text().lines().find_map(|it| it.strip_prefix(r#"tenon_held_total{destination="payment"} "#));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn waits(mesh: &Mesh, calls: u64) {
    until("so many calls wait", || async { held(mesh).await >= calls }).await;
}

async fn ask(mesh: &Mesh, method: &'static str) -> JoinHandle<Reply> {
    let mut client = mesh.client().await;
    tokio::spawn(async move { client.send(request(method, "http://payment/", "x")).await })
}

#[tokio::test]
async fn a_call_is_answered_once_there_is_an_instance() {
    let app = App::saying("paid").await;
    let mut mesh = without_instance(HOUR, patient()).await;
    let asking = ask(&mesh, "POST").await;
    waits(&mesh, 1).await;
    // A change that brings none is no reason to give up.
    mesh.apply().await;
    gets(&mut mesh, &app).await;
    let reply = asking.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
    assert_eq!((app.hits(), held(&mesh).await), (1, 1));

    let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await.json();
    let attempts = told["hops"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(attempts[0]["decision"], "waited for an instance");
    assert_eq!(attempts[0].get("instance"), None);
    assert_eq!(attempts[1]["status"], 200);
}

#[tokio::test]
async fn a_service_that_rests_is_not_waited_for() {
    let mut mesh = without_instance(HOUR, patient()).await;
    let asking = ask(&mesh, "GET").await;
    waits(&mesh, 1).await;
    mesh = mesh.resting("payment");
    mesh.apply().await;
    let (waited, refused) = (asking.await.unwrap(), mesh.get("http://payment/").await);
    for reply in [waited, refused] {
        assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.service-unavailable"));
        assert!(reply.text().contains("is stopped or has no replicas"), "{}", reply.text());
        assert_eq!(reply.json()["attempts"], 0);
    }
    assert_eq!(held(&mesh).await, 1);
}

/// Nothing is to come, so the instances that there are (they have registered themselves) are all there is to ask.
#[tokio::test]
async fn an_instance_of_a_service_that_rests_is_asked_again() {
    let socket = nobody();
    let delay = Delay::Fixed(Duration::from_millis(5));
    let retry = Policy { max_retries: 1_000_000, delay, jitter: Jitter::None, ..Policy::default() };
    let budget = budget::Config { per_second: 1_000_000, ..budget::Config::default() };
    let traffic = Traffic { retry, budget, ..patient() };
    let mut mesh =
        Mesh::new().service_at("payment", traffic, &[socket.address]).resting("payment").applied().await;
    let asking = ask(&mesh, "GET").await;
    let retried =
        r#"tenon_retries_total{component="outbound",source="order",destination="payment",route=""} "#;
    until("it is asked again", || async {
        let metrics = mesh.admin("/metrics").await;
        let count = metrics.text().lines().find_map(|it| it.strip_prefix(retried));
        asking.is_finished() || count.is_some_and(|count| count.parse::<u64>().unwrap() > 2)
    })
    .await;
    let app = App::saying("paid").await;
    gets(&mut mesh, &app).await;
    let reply = asking.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
}

#[tokio::test]
async fn a_wait_is_bounded_by_its_limit_and_by_the_deadline() {
    let mesh = without_instance(Duration::from_millis(20), patient()).await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.service-unavailable"));
    assert!(reply.text().contains("within the 20 ms that the call waited"), "{}", reply.text());

    let mesh = without_instance(HOUR, patient()).await;
    let mut request = get("http://payment/");
    request.headers_mut().insert("tenon-timeout-ms", "1000".parse().unwrap());
    let reply = mesh.client().await.send(request).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.service-unavailable"));
}

#[tokio::test]
async fn a_call_that_waits_keeps_its_place_until_its_caller_goes_away() {
    let app = App::saying("paid").await;
    let mut mesh = without_instance(HOUR, Traffic { max_in_flight: 1, ..patient() }).await;
    let asking = ask(&mesh, "GET").await;
    waits(&mesh, 1).await;
    assert_eq!(mesh.get("http://payment/").await.code(), "mesh.overloaded");
    asking.abort();
    let idle =
        r#"tenon_requests_in_flight{component="outbound",source="order",destination="payment",route=""} 0"#;
    until("it is let go", || async { mesh.admin("/metrics").await.text().contains(idle) }).await;
    gets(&mut mesh, &app).await;
    assert_eq!(mesh.get("http://payment/").await.text(), "paid");
    assert_eq!(app.hits(), 1);
}

#[tokio::test]
async fn killing_the_only_instance_under_load_fails_no_idempotent_request() {
    const CLIENTS: u64 = 16;
    let mut app = App::saying("paid").await;
    let retry = Policy { max_retries: 1, ..Policy::default() };
    let breaker = Config { failure_threshold: 3, open_timeout: HOUR, ..Config::default() };
    let mut mesh = without_instance(HOUR, Traffic { retry, breaker, ..patient() }).await;
    gets(&mut mesh, &app).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (mut client, stop, served) = (mesh.client().await, Arc::clone(&stop), Arc::clone(&served));
        clients.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let reply = client.send(get("http://payment/")).await;
                assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"), "{:?}", reply.headers);
                served.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let more = async || {
        let goal = served.load(Ordering::SeqCst) + 200;
        until("more requests are served", || async { served.load(Ordering::SeqCst) >= goal }).await;
    };
    more().await;
    for round in 1..=3 {
        app.kill().await;
        // The data plane has not been told: it finds out by itself that nobody is there.
        waits(&mesh, CLIENTS * round).await;
        mesh.endpoints.services.clear();
        mesh.apply().await;
        app = App::saying("paid").await;
        gets(&mut mesh, &app).await;
        more().await;
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test]
async fn an_instance_that_refuses_and_stays_is_asked_again_after_the_wait() {
    let gone = nobody();
    let limits = Limits { hold: Duration::from_millis(20), ..Limits::default() };
    let retry = Policy { max_retries: 2, ..Policy::default() };
    let traffic = Traffic { retry, ..Traffic::default() };
    let mesh = Mesh::with_limits(limits).service_at("payment", traffic, &[gone.address]).applied().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (502, "mesh.unreachable"));
    // Once before the wait, and as often as the policy says after it.
    assert_eq!(reply.json()["attempts"], 1 + 3);
    assert_eq!(held(&mesh).await, 1);
}

#[tokio::test]
async fn an_instance_that_listens_late_is_asked_again_though_nothing_is_told_of_it() {
    let late = nobody();
    let limits = Limits { hold: HOUR, ..Limits::default() };
    let mesh = Mesh::with_limits(limits).service_at("payment", patient(), &[late.address]).applied().await;
    let asking = ask(&mesh, "POST").await;
    waits(&mesh, 1).await;
    let app = App::at(late, |_| async { Response::new(full("paid")) }).await;
    let reply = asking.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
    assert_eq!((app.hits(), held(&mesh).await), (1, 1));
}

#[tokio::test]
async fn bytes_in_a_tunnel_wait_too() {
    let shouting = RawApp::start(|mut stream| async move {
        let mut word = [0; 4];
        while stream.read_exact(&mut word).await.is_ok() {
            word.make_ascii_uppercase();
            stream.write_all(&word).await.unwrap();
        }
    })
    .await;
    let mut mesh = without_instance(HOUR, patient()).await;
    let mut stream = TcpStream::connect(mesh.outbound.address).await.unwrap();
    let shown = credentials("order-1", SECRET);
    let head =
        format!("CONNECT payment:1 HTTP/1.1\r\nhost: payment:1\r\nproxy-authorization: {shown}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    stream.write_all(b"\x01abc").await.unwrap();
    waits(&mesh, 1).await;
    mesh.endpoints.services.insert(service("payment"), endpoints("payment", &[shouting.address]));
    mesh.apply().await;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"\x01ABC");
}

//! The configuration changes while requests are on their way.

use crate::support::*;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tenon_core::manifest::Traffic;
use tenon_core::snapshot::Sidecars;
use tenon_proxy::Limits;
use tokio::sync::Notify;

#[tokio::test]
async fn changes_under_load_drop_nothing() {
    let apps = [App::saying("paid").await, App::saying("paid").await];
    let mut mesh = Mesh::new()
        .service("payment", Traffic::default(), &[&apps[0]])
        .gateway(vec![route("all", "/", &[("payment", 1)])])
        .applied()
        .await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..8 {
        let address = if number % 2 == 0 { mesh.outbound.address } else { mesh.gateway.address };
        let (mut client, stop, served) =
            (Client::connect(address).await, Arc::clone(&stop), Arc::clone(&served));
        clients.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let reply = client.send(request("POST", "http://payment/", "x")).await;
                assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
                served.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for change in 0..100 {
        let one = endpoints("payment", &[apps[change % 2].address]);
        mesh.endpoints.services.insert(service("payment"), one);
        mesh.apply().await;
        let goal = served.load(Ordering::SeqCst) + 5;
        until("requests are served", || async { served.load(Ordering::SeqCst) >= goal }).await;
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert!(apps[0].hits() > 0 && apps[1].hits() > 0);
}

#[tokio::test]
async fn a_removed_listener_lets_requests_finish_and_takes_no_more() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let app = App::start(move |_| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            Response::new(full("paid"))
        }
    })
    .await;
    let limits = Limits { drain: Duration::from_millis(100), ..Limits::default() };
    let mesh = Mesh::with_limits(limits).service("payment", Traffic::default(), &[&app]).applied().await;
    let mut client = mesh.client().await;
    let asking = tokio::spawn(async move { client.send(get("http://payment/")).await });
    until("the request has arrived", || async { app.hits() == 1 }).await;

    mesh.plane.apply_sidecars(Sidecars { revision: revision(9), sidecars: Default::default() });
    let address = mesh.outbound.address;
    until("nobody listens", || async { tokio::net::TcpStream::connect(address).await.is_err() }).await;
    gate.notify_one();
    let reply = asking.await.unwrap();
    assert_eq!(reply.text(), "paid");
    assert_eq!(reply.header("connection"), "close");
}

#[tokio::test]
async fn an_address_that_is_taken_is_tried_until_it_is_free() {
    let app = App::saying("paid").await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&app]);
    mesh.outbound = Reserved::unshared();
    mesh.plane.apply_sidecars(mesh.sidecars());
    until("the failure is reported", || async {
        mesh.admin("/snapshot").await.text().contains("Address already in use")
    })
    .await;
    mesh.outbound.share();
    mesh.apply().await;
    assert_eq!(mesh.get("http://payment/").await.text(), "paid");
}

#[tokio::test]
async fn shutting_down_answers_what_is_in_hand() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let app = App::start(move |_| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            Response::new(full("paid"))
        }
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let (mut client, idle) = (mesh.client().await, mesh.client().await);
    let asking = tokio::spawn(async move { client.send(get("http://payment/")).await });
    until("the request has arrived", || async { app.hits() == 1 }).await;
    let plane = mesh.plane;
    let closing = tokio::task::spawn_blocking(move || plane.shutdown(Duration::from_secs(30)));
    gate.notify_one();
    assert_eq!(asking.await.unwrap().text(), "paid");
    // One that has not said a word keeps nobody waiting.
    closing.await.unwrap();
    drop(idle);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let app = App::saying("paid").await;
    let mesh = Mesh::with_limits(limits).service("payment", Traffic::default(), &[&app]).applied().await;
    let mut kept = [mesh.client().await, mesh.client().await];
    for client in &mut kept {
        assert_eq!(client.send(get("http://payment/")).await.status, 200);
    }
    assert!(mesh.client().await.begin(get("http://payment/")).await.is_err());
    assert_eq!(kept[0].send(get("http://payment/")).await.status, 200);
    drop(kept);
    until("there is room again", || async {
        mesh.client().await.begin(get("http://payment/")).await.is_ok_and(|response| response.status() == 200)
    })
    .await;
}

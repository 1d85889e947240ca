//! What is tried again, and what must not be.

use crate::support::*;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tenon_core::manifest::Traffic;
use tenon_core::retry::{Policy, budget};

async fn failing(status: u16) -> App {
    App::start(move |request: Request<hyper::body::Incoming>| async move {
        request.into_body().collect().await.unwrap();
        Response::builder().status(status).body(full("busy")).unwrap()
    })
    .await
}

/// Answers with the body that it was sent.
async fn echo() -> App {
    App::start(|request: Request<hyper::body::Incoming>| async move {
        Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await
}

#[tokio::test]
async fn killing_an_instance_under_load_fails_no_idempotent_request() {
    let apps = [App::saying("paid").await, App::saying("paid").await, App::saying("paid").await];
    let mesh =
        Mesh::new().service("payment", Traffic::default(), &[&apps[0], &apps[1], &apps[2]]).applied().await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut client, stop, served) = (mesh.client().await, Arc::clone(&stop), Arc::clone(&served));
        clients.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let reply = client.send(get("http://payment/")).await;
                assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
                served.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let more = async |count: u64| {
        let goal = served.load(Ordering::SeqCst) + count;
        until("more requests are served", || async { served.load(Ordering::SeqCst) >= goal }).await;
    };
    more(200).await;
    apps[0].kill().await;
    more(200).await;
    stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again_unless_it_is_idempotent() {
    let apps = [RawApp::answering("").await, RawApp::answering("").await];
    let addresses = apps.each_ref().map(|app| app.address);
    let mesh = Mesh::new().service_at("payment", Traffic::default(), &addresses).applied().await;
    let connections = || apps.iter().map(RawApp::connections).sum::<u64>();

    let reply = mesh.client().await.send(request("POST", "http://payment/", "take 5")).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (502, "mesh.network"));
    assert_eq!(connections(), 1);
    assert!(reply.json()["detail"].as_str().unwrap().contains("not idempotent"), "{}", reply.text());

    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (502, "mesh.network"));
    assert_eq!(connections(), 1 + 4);
    assert_eq!(reply.json()["attempts"], 4);
}

#[tokio::test]
async fn an_idempotency_key_makes_any_request_safe_to_send_again() {
    let (broken, good) = (RawApp::answering("").await, echo().await);
    let mesh = Mesh::new();
    let mesh =
        mesh.service_at("payment", Traffic::default(), &[broken.address, good.address]).applied().await;
    for _ in 0..4 {
        let mut request = request("POST", "http://payment/", "take 5");
        request.headers_mut().insert("idempotency-key", "k-1".parse().unwrap());
        assert_eq!(mesh.client().await.send(request).await.text(), "take 5");
    }
    assert!(broken.connections() > 0);
}

#[tokio::test]
async fn a_request_that_was_never_sent_goes_to_somebody_else_whatever_its_method() {
    let (gone, good) = (nobody(), echo().await);
    let mesh = Mesh::new();
    let mesh = mesh.service_at("payment", Traffic::default(), &[gone.address, good.address]).applied().await;
    let mut client = mesh.client().await;
    for _ in 0..4 {
        let reply = client.send(request("POST", "http://payment/", "take 5")).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "take 5"));
    }
}

#[tokio::test]
async fn a_short_response_that_breaks_off_is_never_seen() {
    let half = RawApp::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly the beginning").await;
    let good = App::saying("all of it").await;
    let mesh = Mesh::new();
    let mesh = mesh.service_at("payment", Traffic::default(), &[half.address, good.address]).applied().await;
    let mut client = mesh.client().await;
    for _ in 0..6 {
        let reply = client.send(get("http://payment/")).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "all of it"));
    }
    assert!(half.connections() > 0);
}

#[tokio::test]
async fn a_long_response_that_breaks_off_breaks_off_visibly_and_is_explained() {
    let half = RawApp::answering("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nonly the beginning").await;
    let mesh = Mesh::new().service_at("payment", Traffic::default(), &[half.address]).applied().await;
    let response = mesh.client().await.begin(get("http://payment/")).await.unwrap();
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_string();
    assert!(response.into_body().collect().await.is_err());
    let told = mesh.admin(&format!("/explain/{id}")).await.json();
    assert_eq!(told["hops"][0]["code"], "mesh.network");
    assert!(told["hops"][0]["reason"].as_str().unwrap().contains("the response had begun with 200"));
}

#[tokio::test]
async fn a_body_is_sent_again_whole() {
    let (busy, good) = (failing(503).await, echo().await);
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&busy, &good]).applied().await;
    let body = "x".repeat(60_000);
    let mut client = mesh.client().await;
    for _ in 0..4 {
        let reply = client.send(request("PUT", "http://payment/", body.clone())).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, body.len()));
    }
    assert!(busy.hits() > 0);
}

#[tokio::test]
async fn a_body_too_long_to_remember_is_sent_once() {
    let busy = failing(503).await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&busy]).applied().await;
    let reply = mesh.client().await.send(request("PUT", "http://payment/", "x".repeat(200_000))).await;
    // The service's own answer, since there is no other.
    assert_eq!((reply.status.as_u16(), reply.text(), reply.code()), (503, "busy", ""));
    assert_eq!(busy.hits(), 1);
    let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await.json();
    let decision = told["hops"][0]["attempts"][0]["decision"].as_str().unwrap();
    assert_eq!(decision, "the request's body cannot be sent again");
}

#[tokio::test]
async fn a_service_that_fails_is_asked_as_often_as_its_policy_says() {
    let busy = failing(503).await;
    let retry = Policy { max_retries: 2, ..Policy::default() };
    let mesh =
        Mesh::new().service("payment", Traffic { retry, ..Traffic::default() }, &[&busy]).applied().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.text(), reply.code()), (503, "busy", ""));
    assert_eq!(busy.hits(), 3);
}

#[tokio::test]
async fn a_spent_budget_ends_retries() {
    let busy = failing(503).await;
    let budget = budget::Config { percent: 0, per_second: 0, burst: 1 };
    let mesh =
        Mesh::new().service("payment", Traffic { budget, ..Traffic::default() }, &[&busy]).applied().await;
    assert_eq!(mesh.get("http://payment/").await.status, 503);
    assert_eq!(busy.hits(), 2);
    assert_eq!(mesh.get("http://payment/").await.status, 503);
    assert_eq!(busy.hits(), 3);
}

#[tokio::test]
async fn an_instance_that_takes_too_long_is_given_up_for_another() {
    let (stuck, good) = (App::start(|_| std::future::pending()).await, App::saying("paid").await);
    let retry = Policy { per_try_timeout: Some(Duration::from_secs(1)), ..Policy::default() };
    let traffic = Traffic { retry, ..Traffic::default() };
    let mesh = Mesh::new().service("payment", traffic, &[&stuck, &good]).applied().await;
    let mut client = mesh.client().await;
    while stuck.hits() == 0 {
        assert_eq!(client.send(get("http://payment/")).await.text(), "paid");
    }
}

//! Deadlines on arrival, waits that an answer asks for, what a retry that is not sent costs, and who is refused first.

use crate::support::*;
use http::{Request, Response};
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tenon_core::concurrency;
use tenon_core::manifest::Traffic;
use tenon_core::priority::{Priority, Rules};
use tenon_core::retry::{Delay, Jitter, Policy, budget};
use tokio::sync::Notify;

fn with(uri: &str, name: &'static str, value: &str) -> Request<Body> {
    let mut request = get(uri);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// Answers when it is told to.
async fn waiting(go: &Arc<Notify>) -> App {
    let go = Arc::clone(go);
    App::start(move |_| {
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            Response::new(full("at last"))
        }
    })
    .await
}

/// Asks for a wait of so many seconds before it answers well.
async fn busy_once(seconds: u64) -> (App, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let app = App::start(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            match first {
                true => {
                    Response::builder().status(503).header("retry-after", seconds).body(full("busy")).unwrap()
                }
                false => Response::new(full("done")),
            }
        }
    })
    .await;
    (app, asked)
}

#[tokio::test]
async fn work_whose_deadline_has_passed_is_not_begun() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let reply = mesh.client().await.send(with("http://payment/", "tenon-timeout-ms", "0")).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (504, "mesh.timeout"));
    assert_eq!(reply.json()["attempts"], 0);
    assert_eq!(app.hits(), 0);
}

#[tokio::test]
async fn a_call_waits_as_long_as_the_answer_asks_within_the_policy() {
    let (app, _) = busy_once(1).await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!(reply.text(), "done");
    let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await.json();
    assert_eq!(told["hops"][0]["attempts"][0]["decision"], "retry after 1000 ms");

    let (app, asked) = busy_once(3_600).await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.text(), reply.header("tenon-retry")), ("busy", "no"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let (app, _) = busy_once(3_600).await;
    let retry = Policy { retry_after: false, ..Policy::default() };
    let traffic = Traffic { retry, ..Traffic::default() };
    let mesh = Mesh::new().service("payment", traffic, &[&app]).applied().await;
    assert_eq!(mesh.get("http://payment/").await.text(), "done");
}

#[tokio::test]
async fn a_retry_that_is_not_sent_is_given_back_to_the_budget() {
    let (app, asked) = busy_once(0).await;
    let delay = Delay::Fixed(Duration::from_secs(2));
    let retry =
        Policy { delay, max_delay: Duration::from_secs(2), jitter: Jitter::None, ..Policy::default() };
    let budget = budget::Config { percent: 0, per_second: 0, burst: 1 };
    let traffic = Traffic { retry, budget, ..Traffic::default() };
    let mesh = Mesh::new().service("payment", traffic, &[&app]).applied().await;
    let mut impatient = mesh.client().await;
    let call = tokio::spawn(async move { impatient.begin(get("http://payment/")).await });
    until("the first try has failed", || async { asked.load(Ordering::SeqCst) == 1 }).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    asked.store(0, Ordering::SeqCst);
    // The one retry that there is has not been used up by the caller that left.
    until("the retry is there again", || async {
        asked.store(0, Ordering::SeqCst);
        mesh.get("http://payment/").await.text() == "done"
    })
    .await;
}

#[tokio::test]
async fn what_can_be_left_out_is_refused_first() {
    let go = Arc::new(Notify::new());
    let app = waiting(&go).await;
    let priority = Rules { calls: Priority::Default, sheddable: 50, default: 75 };
    let traffic = Traffic { max_in_flight: 4, priority, ..Traffic::default() };
    let mesh = Mesh::new().service("payment", traffic, &[&app]).applied().await;
    let mut held = Vec::new();
    let mut take = async |priority: &'static str| {
        let (mut client, before) = (mesh.client().await, app.hits());
        held.push(tokio::spawn(async move {
            client.send(with("http://payment/", "tenon-priority", priority)).await.status
        }));
        until("it has arrived", || async { app.hits() > before }).await;
    };
    let refused = async |priority: &str| {
        let reply = mesh.client().await.send(with("http://payment/", "tenon-priority", priority)).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.overloaded"), "{priority}");
        assert_eq!(reply.json()["policy"], if priority == "critical" { "max-in-flight" } else { "priority" });
        assert_eq!(reply.header("tenon-retry"), "no");
    };
    take("sheddable").await;
    take("sheddable").await;
    refused("sheddable").await;
    take("default").await;
    refused("sheddable").await;
    refused("default").await;
    take("critical").await;
    refused("critical").await;
    until("all are answered", || async {
        go.notify_waiters();
        held.iter().all(tokio::task::JoinHandle::is_finished)
    })
    .await;
    for call in held {
        assert_eq!(call.await.unwrap(), 200);
    }
    let metrics = mesh.admin("/metrics").await;
    assert!(metrics.text().contains("tenon_shed_total{destination=\"payment\",priority=\"sheddable\"} 2"));
}

#[tokio::test]
async fn the_priority_of_a_service_s_calls_is_passed_on() {
    let app = App::start(|request: Request<Incoming>| async move {
        let told = request.headers().get("tenon-priority").map(|it| it.to_str().unwrap().to_owned());
        Response::new(full(told.unwrap_or_default()))
    })
    .await;
    let priority = Rules { calls: Priority::Sheddable, ..Rules::default() };
    let traffic = Traffic { priority, ..Traffic::default() };
    let mesh = Mesh::new().service("hints", traffic, &[&app]).applied().await;
    assert_eq!(mesh.get("http://hints/").await.text(), "sheddable");
    let own = mesh.client().await.send(with("http://hints/", "tenon-priority", "critical")).await;
    assert_eq!(own.text(), "critical");
}

#[tokio::test]
async fn a_limit_that_is_found_by_itself_refuses_and_is_shown() {
    let go = Arc::new(Notify::new());
    let app = waiting(&go).await;
    let concurrency = Some(concurrency::Config { min: 2, max: 2, ..concurrency::Config::default() });
    let traffic = Traffic { concurrency, ..Traffic::default() };
    let mesh = Mesh::new().service("payment", traffic, &[&app]).applied().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = mesh.client().await;
        held.push(tokio::spawn(async move { client.send(get("http://payment/")).await.status }));
    }
    until("both have arrived", || async { app.hits() == 2 }).await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.code(), &reply.json()["policy"]), ("mesh.overloaded", &"concurrency".into()));
    until("all are answered", || async {
        go.notify_waiters();
        held.iter().all(tokio::task::JoinHandle::is_finished)
    })
    .await;
    let metrics = mesh.admin("/metrics").await;
    assert!(metrics.text().contains("tenon_concurrency_limit{destination=\"payment\"} 2"));
}

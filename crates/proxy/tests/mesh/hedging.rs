//! A second try beside a slow first one.

use crate::support::*;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tenon_core::hedge::{After, Policy};
use tenon_core::manifest::Traffic;
use tenon_core::retry::{self, budget};
use tokio::sync::watch;

fn hedged() -> Traffic {
    let hedge = Some(Policy { after: After::Fixed(Duration::from_millis(20)), max: 1 });
    Traffic { hedge, ..Traffic::default() }
}

async fn stuck() -> App {
    App::start(|_| std::future::pending()).await
}

/// Holds answers until it is opened: those of all requests that have come until then.
struct Gate(watch::Sender<u64>);

impl Gate {
    fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    fn open(&self) {
        self.0.send_modify(|opened| *opened += 1);
    }

    /// An application whose answers are held. It is told how often the gate had been opened when the request came.
    async fn holding<F, R>(&self, answer: F) -> App
    where
        F: Fn(u64) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let opened = self.0.subscribe();
        App::start(move |_| {
            let (before, mut opened, answer) = (*opened.borrow(), opened.clone(), answer.clone());
            async move {
                opened.wait_for(|now| *now > before).await.unwrap();
                answer(before).await
            }
        })
        .await
    }
}

async fn metric(mesh: &Mesh, line: &str) -> bool {
    mesh.admin("/metrics").await.text().lines().any(|it| it.starts_with(line))
}

#[tokio::test]
async fn a_slow_try_gets_company_and_the_first_answer_counts() {
    let (slow, good) = (stuck().await, App::saying("paid").await);
    let mesh = Mesh::new().service("payment", hedged(), &[&slow, &good]).applied().await;
    let mut client = mesh.client().await;
    let asked_first = |told: &Value| told["hops"][0]["attempts"][0]["instance"] == "payment-1";
    // On a machine that is busy the quick one may have got company, too.
    let told = loop {
        let reply = client.send(get("http://payment/")).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
        let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await.json();
        if asked_first(&told) {
            break told;
        }
    };
    assert!(slow.hits() > 0);
    assert!(metric(&mesh, "tenon_hedges_total{destination=\"payment\",result=\"won\"}").await);

    // Who was let go has not failed.
    assert!(metric(&mesh, "tenon_instance_ejected{destination=\"payment\",instance=\"payment-1\"} 0").await);
    let attempts = &told["hops"][0]["attempts"];
    assert_eq!(attempts[0]["decision"], "let go: a hedge answered", "{told}");
    assert_eq!(attempts[1]["status"], 200, "{told}");
}

#[tokio::test]
async fn what_is_not_idempotent_is_never_doubled() {
    let app = App::start(|request: Request<Incoming>| async move {
        request.into_body().collect().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        Response::new(full("done"))
    });
    let app = app.await;
    let other = App::saying("other").await;
    let mesh = Mesh::new().service("payment", hedged(), &[&app, &other]).applied().await;
    let mut client = mesh.client().await;
    for _ in 0..4 {
        client.send(request("POST", "http://payment/", "take 5")).await;
    }
    assert_eq!(app.hits() + other.hits(), 4);
}

#[tokio::test]
async fn a_body_is_sent_whole_to_both() {
    let echo = |wait: u64| {
        App::start(move |request: Request<Incoming>| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            tokio::time::sleep(Duration::from_millis(wait)).await;
            Response::new(full(body))
        })
    };
    let (slow, quick) = (echo(150).await, echo(0).await);
    let mesh = Mesh::new().service("payment", hedged(), &[&slow, &quick]).applied().await;
    let mut client = mesh.client().await;
    let body = "x".repeat(20_000);
    for _ in 0..4 {
        let reply = client.send(request("PUT", "http://payment/", body.clone())).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, body.len()));
    }
    assert!(slow.hits() > 0 && slow.hits() + quick.hits() > 4);
}

#[tokio::test]
async fn hedges_are_paid_for_from_the_retry_budget() {
    let gate = Gate::new();
    let held = || gate.holding(|_| async { Response::new(full("late")) });
    let apps = [held().await, held().await];
    let budget = budget::Config { percent: 0, per_second: 0, burst: 2 };
    let traffic = Traffic { budget, ..hedged() };
    let mesh = Mesh::new().service("payment", traffic, &[&apps[0], &apps[1]]).applied().await;
    let mut client = mesh.client().await;
    let hits = || apps.iter().map(App::hits).sum::<u64>();
    for number in 1..=6 {
        let (reply, ()) = tokio::join!(client.send(get("http://payment/")), async {
            let refused = format!(
                "tenon_hedges_total{{destination=\"payment\",result=\"refused\"}} {}",
                u64::saturating_sub(number, 2)
            );
            until("it has company, or is refused it", || async {
                hits() == number + number.min(2) && (number <= 2 || metric(&mesh, &refused).await)
            })
            .await;
            gate.open();
        });
        assert_eq!(reply.text(), "late");
    }
    assert_eq!(hits(), 6 + 2);
    assert!(metric(&mesh, "tenon_hedges_total{destination=\"payment\",result=\"refused\"} 4").await);
}

#[tokio::test]
async fn how_slow_is_slow_may_come_from_the_service_s_own_answers() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let moody = App::start(move |_| {
        let stuck = count.fetch_add(1, Ordering::SeqCst) >= 60;
        async move {
            match stuck {
                true => std::future::pending().await,
                false => Response::new(full("ok")),
            }
        }
    })
    .await;
    let good = App::saying("ok").await;
    let hedge = Some(Policy { after: After::Percentile(95), max: 1 });
    let traffic = Traffic { hedge, ..Traffic::default() };
    let mesh = Mesh::new().service("payment", traffic, &[&moody, &good]).applied().await;
    let mut client = mesh.client().await;
    while asked.load(Ordering::SeqCst) <= 61 {
        assert_eq!(client.send(get("http://payment/")).await.text(), "ok");
    }
    assert!(metric(&mesh, "tenon_hedges_total{destination=\"payment\",result=\"won\"}").await);
}

#[tokio::test]
async fn when_both_fail_the_policy_of_retries_decides() {
    let gate = Gate::new();
    let failing = || {
        gate.holding(|round| async move {
            // Long enough for company, if there were any.
            tokio::time::sleep(Duration::from_millis(if round == 0 { 0 } else { 60 })).await;
            Response::builder().status(503).body(full("busy")).unwrap()
        })
    };
    let apps = [failing().await, failing().await];
    let retry = retry::Policy { max_retries: 1, ..retry::Policy::default() };
    let traffic = Traffic { retry, ..hedged() };
    let mesh = Mesh::new().service("payment", traffic, &[&apps[0], &apps[1]]).applied().await;
    let hits = || apps.iter().map(App::hits).sum::<u64>();
    let (reply, ()) = tokio::join!(mesh.get("http://payment/"), async {
        for asked in [2, 3] {
            until("they are asked", || async { hits() == asked }).await;
            gate.open();
        }
    });
    assert_eq!((reply.status.as_u16(), reply.text()), (503, "busy"));
    // Both at first, and then one again: there is nobody else to ask beside it.
    assert_eq!(hits(), 2 + 1);
}

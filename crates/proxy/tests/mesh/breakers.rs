//! What fails repeatedly is left alone, and found again.

use crate::support::*;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tenon_core::breaker::{Config, Mode, Outcomes, Window};
use tenon_core::limit;
use tenon_core::manifest::Traffic;

/// Answers with the status that is set.
async fn app(status: &Arc<AtomicU16>) -> App {
    let status = Arc::clone(status);
    App::start(move |_| {
        let status = status.load(Ordering::SeqCst);
        async move { Response::builder().status(status).body(full("")).unwrap() }
    })
    .await
}

fn traffic(open_timeout: Duration) -> Traffic {
    let breaker =
        Config { failure_threshold: 3, open_timeout, permitted_half_open_calls: 2, ..Config::default() };
    Traffic { breaker, ..Traffic::default() }
}

/// Changes how long a breaker stays open. What it has counted stays.
async fn reopen_after(mesh: &mut Mesh, open_timeout: Duration) {
    mesh.routes.services.insert(service("payment"), traffic(open_timeout));
    mesh.apply().await;
}

#[tokio::test]
async fn a_service_that_keeps_failing_is_not_called_until_time_has_passed() {
    let (long, short) = (Duration::from_secs(3_600), Duration::from_millis(1));
    let status = Arc::new(AtomicU16::new(500));
    let app = app(&status).await;
    let mut mesh = Mesh::new().service("payment", traffic(long), &[&app]).applied().await;
    for _ in 0..3 {
        let reply = mesh.get("http://payment/").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (500, ""));
    }
    for _ in 0..3 {
        let reply = mesh.get("http://payment/").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.circuit-open"));
        assert_eq!(reply.json()["policy"], "breaker");
        let retry_after: u64 = reply.header("retry-after").parse().unwrap();
        assert!((1..=3_600).contains(&retry_after), "{retry_after}");
    }
    assert_eq!(app.hits(), 3);
    assert_state(&mesh, 2).await;

    // A probe passes; it fails, and the breaker is open again.
    reopen_after(&mut mesh, short).await;
    until("a probe passes", || async { mesh.get("http://payment/").await.status == 500 }).await;
    reopen_after(&mut mesh, long).await;
    let hits = app.hits();
    assert_eq!(mesh.get("http://payment/").await.code(), "mesh.circuit-open");
    assert_eq!(app.hits(), hits);

    // Probes succeed, and it closes.
    status.store(200, Ordering::SeqCst);
    reopen_after(&mut mesh, short).await;
    until("a probe passes", || async { mesh.get("http://payment/").await.status == 200 }).await;
    reopen_after(&mut mesh, long).await;
    for _ in 0..5 {
        assert_eq!(mesh.get("http://payment/").await.status, 200);
    }
    assert_state(&mesh, 0).await;
}

/// The state of the service's breaker: 0 closed, 2 open.
async fn assert_state(mesh: &Mesh, state: u8) {
    let metrics = mesh.admin("/metrics").await;
    let line = format!("tenon_breaker_state{{destination=\"payment\"}} {state}");
    assert!(metrics.text().contains(&line), "{line}: {}", metrics.text());
}

#[tokio::test]
async fn a_caller_that_goes_away_says_nothing_about_the_service() {
    let app = App::start(|_| std::future::pending()).await;
    let mesh = Mesh::new().service("payment", traffic(Duration::from_secs(60)), &[&app]).applied().await;
    for hits in 1..=4 {
        let mut client = mesh.client().await;
        let asking = tokio::spawn(async move { client.begin(get("http://payment/")).await });
        until("the request has arrived", || async { app.hits() == hits }).await;
        asking.abort();
    }
    until("nothing is in flight", || async {
        mesh.admin("/snapshot").await.json()["in_flight"]["payment-1"] == 0
    })
    .await;
    let metrics = mesh.admin("/metrics").await;
    assert!(metrics.text().contains("tenon_breaker_state{destination=\"payment\"} 0"));
    assert!(metrics.text().contains("status_class=\"none\"} 4"), "{}", metrics.text());
}

#[tokio::test]
async fn more_requests_in_flight_than_there_may_be_are_refused_at_once() {
    let app = App::start(|_| std::future::pending()).await;
    let traffic = Traffic { max_in_flight: 1, ..Traffic::default() };
    let mesh = Mesh::new().service("payment", traffic, &[&app]).applied().await;
    let mut first = mesh.client().await;
    let asking = tokio::spawn(async move { first.begin(get("http://payment/")).await });
    until("the first has arrived", || async { app.hits() == 1 }).await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.overloaded"));
    assert_eq!(reply.json()["policy"], "max-in-flight");
    asking.abort();
}

#[tokio::test]
async fn an_instance_with_as_many_calls_as_it_may_is_not_asked_and_says_which_limit_it_was() {
    let (slow, quick) = (App::start(|_| std::future::pending()).await, App::saying("").await);
    let limits = limit::Config { connections: 1, ..limit::Config::default() };
    let traffic = Traffic { limits, ..Traffic::default() };
    let mut mesh = Mesh::new().service("payment", traffic, &[&slow, &quick]).applied().await;
    let mut first = mesh.client().await;
    let asking = tokio::spawn(async move { first.begin(get("http://payment/")).await });
    until("the first has arrived", || async { slow.hits() == 1 }).await;
    for _ in 0..4 {
        assert_eq!(mesh.get("http://payment/").await.status, 200);
    }
    mesh.endpoints.services.insert(service("payment"), endpoints("payment", &[slow.address]));
    mesh.apply().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.overloaded"));
    assert_eq!(reply.json()["policy"], "connections");
    assert_eq!(slow.hits(), 1);
    asking.abort();
}

#[tokio::test]
async fn no_more_calls_wait_for_an_instance_than_may() {
    let limits = limit::Config { pending: 0, ..limit::Config::default() };
    let mesh = Mesh::new().service("payment", Traffic { limits, ..Traffic::default() }, &[]).applied().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, "mesh.overloaded"));
    assert_eq!(reply.json()["policy"], "pending");
}

#[tokio::test]
async fn a_rate_of_failures_opens_it_and_what_is_ignored_does_not_count() {
    let status = Arc::new(AtomicU16::new(500));
    let app = app(&status).await;
    let breaker = Config {
        window: Window::Count { size: 10 },
        minimum_calls: 4,
        failure_rate_percent: 50,
        open_timeout: Duration::from_secs(3_600),
        ignored: Outcomes::of([503], []),
        ..Config::default()
    };
    let mesh =
        Mesh::new().service("payment", Traffic { breaker, ..Traffic::default() }, &[&app]).applied().await;
    for answer in [503, 503, 503, 503, 200, 500, 200, 500] {
        status.store(answer, Ordering::SeqCst);
        let reply = mesh.client().await.send(request("POST", "http://payment/", "")).await;
        assert_eq!(reply.status, answer);
    }
    assert_eq!(mesh.get("http://payment/").await.code(), "mesh.circuit-open");
    let metrics = mesh.admin("/metrics").await;
    for line in [
        r#"tenon_breaker_calls_total{destination="payment",outcome="ignored"} 4"#,
        r#"tenon_breaker_calls_total{destination="payment",outcome="failed"} 2"#,
        r#"tenon_breaker_calls_total{destination="payment",outcome="not-permitted"} 1"#,
        r#"tenon_breaker_exceeded_total{destination="payment",reason="failure-rate"} 1"#,
        r#"tenon_breaker_transitions_total{destination="payment",to="open"} 1"#,
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}

#[tokio::test]
async fn the_mode_is_the_manifests_to_say() {
    let status = Arc::new(AtomicU16::new(500));
    let app = app(&status).await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    for (mode, state) in [(Mode::Disabled, 3), (Mode::MetricsOnly, 4)] {
        let breaker = Config { mode, failure_threshold: 2, ..Config::default() };
        mesh.routes.services.insert(service("payment"), Traffic { breaker, ..Traffic::default() });
        mesh.apply().await;
        for _ in 0..4 {
            assert_eq!(mesh.get("http://payment/").await.code(), "");
        }
        assert_state(&mesh, state).await;
    }
    let breaker = Config { mode: Mode::ForcedOpen, ..Config::default() };
    mesh.routes.services.insert(service("payment"), Traffic { breaker, ..Traffic::default() });
    mesh.apply().await;
    let reply = mesh.get("http://payment/").await;
    assert_eq!(reply.code(), "mesh.circuit-open");
    assert!(reply.text().contains("kept open by the manifest"), "{}", reply.text());
    assert_eq!(app.hits(), 8);
}

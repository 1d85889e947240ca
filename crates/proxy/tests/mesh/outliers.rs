//! Instances that do worse than the others are left out for a while, and somebody always stays.

use crate::support::*;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tenon_core::breaker;
use tenon_core::manifest::Traffic;
use tenon_core::outlier::{Config, Latency};
use tenon_core::retry::Policy;

/// Answers with the status that is set.
async fn app(status: &Arc<AtomicU16>) -> App {
    let status = Arc::clone(status);
    App::start(move |_| {
        let status = status.load(Ordering::SeqCst);
        async move { Response::builder().status(status).body(full("")).unwrap() }
    })
    .await
}

async fn always(status: u16) -> App {
    app(&Arc::new(AtomicU16::new(status))).await
}

fn traffic(outlier: Config) -> Traffic {
    let breaker = breaker::Config { failure_threshold: 1_000, ..breaker::Config::default() };
    Traffic { outlier, breaker, ..Traffic::default() }
}

fn three_in_a_row(base_ejection: Duration) -> Config {
    Config { consecutive_failures: 3, base_ejection, ..Config::default() }
}

async fn ejected(mesh: &Mesh, instance: &str) -> bool {
    let line = format!("tenon_instance_ejected{{destination=\"payment\",instance=\"{instance}\"}} 1");
    mesh.admin("/metrics").await.text().contains(&line)
}

#[tokio::test]
async fn an_instance_that_keeps_failing_is_left_out_while_the_others_serve() {
    let (bad, good) = (always(500).await, always(200).await);
    let traffic = traffic(three_in_a_row(Duration::from_secs(3_600)));
    let mesh = Mesh::new().service("payment", traffic, &[&bad, &good]).applied().await;
    let mut client = mesh.client().await;
    for _ in 0..20 {
        client.send(get("http://payment/")).await;
    }
    assert_eq!((bad.hits(), good.hits()), (3, 17));
    // A change of the configuration does not make it forget.
    mesh.plane.apply_routes(mesh.routes.clone());
    assert_eq!(client.send(get("http://payment/")).await.status, 200);
    assert_eq!(client.send(get("http://payment/")).await.status, 200);
    assert_eq!(bad.hits(), 3);
    assert!(ejected(&mesh, "payment-1").await && !ejected(&mesh, "payment-2").await);
    let counted = r#"tenon_ejections_total{destination="payment",reason="consecutive-failures"} 1"#;
    assert!(mesh.admin("/metrics").await.text().contains(counted));
}

#[tokio::test]
async fn requests_that_fail_everywhere_leave_half_of_the_instances_in() {
    let apps = [always(503).await, always(503).await, always(503).await, always(503).await];
    let retry = Policy { max_retries: 3, ..Policy::default() };
    let traffic = Traffic { retry, ..traffic(three_in_a_row(Duration::from_secs(3_600))) };
    let mesh = Mesh::new().service("payment", traffic, &apps.each_ref()).applied().await;
    let mut ejecting = 0;
    for _ in 0..10 {
        // The service's own answer, not a refusal.
        let reply = mesh.get("http://payment/").await;
        assert_eq!(reply.code(), "");
        let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await;
        ejecting += told.text().matches("the instance is ejected (consecutive-failures)").count();
    }
    assert!(ejecting > 0, "an attempt says that its instance was ejected");
    let mut out = 0;
    for number in 1..=4 {
        out += usize::from(ejected(&mesh, &format!("payment-{number}")).await);
    }
    assert_eq!(out, 2);
}

#[tokio::test]
async fn the_only_instance_is_never_left_out() {
    let only = always(500).await;
    let traffic = traffic(three_in_a_row(Duration::from_secs(3_600)));
    let mesh = Mesh::new().service("payment", traffic, &[&only]).applied().await;
    for _ in 0..10 {
        assert_eq!(mesh.get("http://payment/").await.code(), "");
    }
    assert_eq!(only.hits(), 10);
}

#[tokio::test]
async fn an_instance_that_recovered_is_asked_again_when_its_time_has_passed() {
    let status = Arc::new(AtomicU16::new(500));
    let (sick, good) = (app(&status).await, always(200).await);
    let traffic = traffic(three_in_a_row(Duration::from_secs(1)));
    let mesh = Mesh::new().service("payment", traffic, &[&sick, &good]).applied().await;
    until("it is ejected", || async {
        mesh.get("http://payment/").await;
        ejected(&mesh, "payment-1").await
    })
    .await;
    status.store(200, Ordering::SeqCst);
    let hits = sick.hits();
    until("it is asked again", || async {
        mesh.get("http://payment/").await;
        sick.hits() > hits + 3
    })
    .await;
    assert!(!ejected(&mesh, "payment-1").await);
}

#[tokio::test]
async fn an_instance_that_takes_no_connections_is_left_out_and_nobody_notices() {
    let (gone, good) = (nobody(), always(200).await);
    let traffic = traffic(Config { base_ejection: Duration::from_secs(3_600), ..Config::default() });
    let mesh = Mesh::new().service_at("payment", traffic, &[gone.address, good.address]).applied().await;
    for _ in 0..10 {
        assert_eq!(mesh.get("http://payment/").await.status, 200);
    }
    assert!(ejected(&mesh, "payment-1").await);
    let retries =
        r#"tenon_retries_total{component="outbound",source="order",destination="payment",route=""} 2"#;
    assert!(mesh.admin("/metrics").await.text().contains(retries));
}

async fn taking(millis: u64) -> App {
    App::start(move |_| async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Response::new(full(""))
    })
    .await
}

#[tokio::test]
async fn an_instance_that_takes_far_longer_than_the_others_is_left_out() {
    // So long that a machine that is busy makes none of the others seem five times as slow as they are.
    let apps = [taking(1_500).await, taking(150).await, taking(150).await];
    let latency = Some(Latency { minimum_calls: 3, factor_percent: 500 });
    let outlier = Config {
        latency,
        interval: Duration::from_millis(1),
        base_ejection: Duration::from_secs(3_600),
        max_ejection: Duration::from_secs(3_600),
        ..Config::default()
    };
    let mesh = Mesh::new().service("payment", traffic(outlier), &apps.each_ref()).applied().await;
    until("it is ejected", || async {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let mut client = mesh.client().await;
            asking.spawn(async move { client.send(get("http://payment/")).await.status });
        }
        assert!(asking.join_all().await.iter().all(|status| *status == 200));
        ejected(&mesh, "payment-1").await
    })
    .await;
    assert!(!ejected(&mesh, "payment-2").await && !ejected(&mesh, "payment-3").await);
}

//! What the data plane tells of itself.

use crate::support::*;
use tenon_api::http::{Liveness, SnapshotView};
use tenon_core::manifest::Traffic;

#[tokio::test]
async fn metrics_count_by_source_destination_and_outcome() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new()
        .service("payment", Traffic::default(), &[&app])
        .gateway(vec![route("all", "/", &[("payment", 1)])])
        .applied()
        .await;
    for _ in 0..3 {
        mesh.get("http://payment/").await;
    }
    mesh.get("http://nobody/").await;
    let outside = http::Request::get("/").header("host", "x").body(full("")).unwrap();
    Client::connect(mesh.gateway.address).await.send(outside).await;
    let reply = mesh.admin("/metrics").await;
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = reply.text();
    for line in [
        r#"tenon_requests_total{component="outbound",source="order",destination="payment",route="",status_class="2xx"} 3"#,
        r#"tenon_requests_total{component="outbound",source="order",destination="",route="",status_class="4xx"} 1"#,
        r#"tenon_requests_total{component="gateway",source="",destination="payment",route="all",status_class="2xx"} 1"#,
        r#"tenon_request_duration_seconds_count{component="outbound",source="order",destination="payment",route="",status_class="2xx"} 3"#,
        r#"tenon_requests_in_flight{component="outbound",source="order",destination="payment",route=""} 0"#,
        r#"tenon_retries_total{component="outbound",source="order",destination="payment",route=""} 0"#,
        r#"tenon_errors_total{component="outbound",code="mesh.service-not-found"} 1"#,
        r#"tenon_breaker_state{destination="payment"} 0"#,
        r#"tenon_snapshot_position{part="routes"} 2"#,
        "# TYPE tenon_request_duration_seconds histogram",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_nothing() {
    let mesh = Mesh::new().applied().await;
    for local in ["localhost:7421", "127.0.0.1:7421", "[::1]:7421", "127.0.0.1"] {
        assert_eq!(mesh.admin_with("/metrics", &[("host", local)]).await.status, 200, "{local}");
    }
    for headers in [
        &[("host", "evil.example")][..],
        &[("host", "localhost.evil.example:7421")],
        &[("host", "localhost"), ("origin", "http://evil.example")],
        &[("host", "localhost"), ("origin", "null")],
    ] {
        assert_eq!(mesh.admin_with("/snapshot", headers).await.code(), "access.origin", "{headers:?}");
    }
}

#[tokio::test]
async fn a_refused_request_is_explained_with_its_attempts() {
    let (gone, broken) = (nobody(), RawApp::answering("").await);
    let mesh = Mesh::new();
    let mesh =
        mesh.service_at("payment", Traffic::default(), &[gone.address, broken.address]).applied().await;
    let reply = mesh.get("http://payment/take?card=4111").await;
    assert_eq!(reply.code(), "mesh.network");
    let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await;
    assert!(!told.text().contains("4111"), "a query may hold personal data: {}", told.text());
    let story = told.json();
    let hop = &story["hops"][0];
    assert_eq!(hop["component"], "outbound");
    assert_eq!(hop["sidecar"], "order-1");
    assert_eq!(hop["source"], "order");
    assert_eq!(hop["destination"], "payment");
    assert_eq!((&hop["method"], &hop["path"]), (&"GET".into(), &"/take".into()));
    assert_eq!((&hop["status"], &hop["code"]), (&502.into(), &"mesh.network".into()));
    assert_eq!(hop["timeout_ms"], 30_000);
    assert_eq!(hop["revision"], revision(2).to_string());
    let attempts = hop["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 4);
    assert_ne!(attempts[0]["instance"], attempts[1]["instance"]);
    assert!(attempts.iter().any(|it| it["outcome"].as_str().unwrap().contains("refused")), "{attempts:?}");
    assert!(attempts[0]["decision"].as_str().unwrap().starts_with("retry after "));
    assert_eq!(attempts[3]["decision"], "all retries have been used");
}

#[tokio::test]
async fn a_request_that_succeeded_after_a_retry_is_explained_too() {
    let (gone, app) = (nobody(), App::saying("paid").await);
    let mesh = Mesh::new();
    let mesh = mesh.service_at("payment", Traffic::default(), &[gone.address, app.address]).applied().await;
    let mut retried = 0;
    for _ in 0..4 {
        let reply = mesh.get("http://payment/").await;
        assert_eq!(reply.status, 200);
        let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await.json();
        let attempts = told["hops"][0]["attempts"].as_array().unwrap();
        assert_eq!(attempts.last().unwrap()["status"], 200);
        retried += usize::from(attempts.len() > 1);
    }
    assert!(retried > 0);
}

#[tokio::test]
async fn a_request_that_went_well_is_explained_with_who_answered() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let reply = mesh.get("http://payment/invoices?secret=1").await;
    let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await.json();
    let hop = &told["hops"][0];
    assert_eq!((&hop["source"], &hop["destination"]), (&"order".into(), &"payment".into()));
    assert_eq!((&hop["path"], &hop["status"]), (&"/invoices".into(), &200.into()));
    assert_eq!(hop["reason"], "the service answered 200");
    assert_eq!(hop["attempts"][0]["instance"], "payment-1");
    assert_eq!(hop["attempts"][0]["address"], app.address.to_string());
}

#[tokio::test]
async fn health_and_snapshot_tell_what_is_loaded() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let health: Liveness = serde_json::from_slice(&mesh.admin("/health").await.body).unwrap();
    assert!(health.ready);
    let reply = mesh.admin("/snapshot").await;
    let told: SnapshotView = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(told, SnapshotView::from(&mesh.plane.snapshot()));
    let loaded = reply.json();
    assert_eq!(loaded["in_flight"]["payment-1"], 0);
    assert!(!reply.text().contains("credential"));
    let listeners = loaded["listeners"].as_array().unwrap();
    assert_eq!(listeners.len(), 2);
    assert!(listeners.iter().all(|it| it["open"] == 2 && it["instance"] == "order-1"), "{listeners:?}");
}

#[tokio::test]
async fn other_pages_and_methods_are_refused() {
    let mesh = Mesh::new();
    assert_eq!(mesh.admin("/nothing").await.status, 404);
    assert_eq!(mesh.admin("/explain/nonsense").await.status, 400);
    let mut client = Client::connect(mesh.plane.admin().await.unwrap()).await;
    let post = http::Request::post("/metrics").header("host", "localhost").body(full("")).unwrap();
    assert_eq!(client.send(post).await.code(), "request.unknown");
}

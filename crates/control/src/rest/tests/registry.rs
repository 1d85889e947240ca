use super::client::Api;
use serde_json::json;

#[tokio::test]
async fn an_instance_registers_beats_is_found_and_leaves() {
    let api = Api::with_shop().await;
    let registered = api.register("payment-a").await;
    assert_eq!(registered["status"], "unknown");
    assert_eq!(registered["origin"], json!({"kind": "registered", "ttl_ms": 60_000}));
    assert_eq!(api.get("/v1/services/payment/lookup").await.code(), "registry.no-healthy-instance");
    assert_eq!(api.beat("payment-a").await, json!({"status": "healthy", "ttl_ms": 60_000}));
    let found = api.get("/v1/services/payment/lookup").await.ok();
    let instance = &found["instances"][0];
    assert_eq!(
        (&instance["id"], &instance["status"], &instance["weight"]),
        (&json!("payment-a"), &json!("healthy"), &json!(1))
    );
    assert_eq!(instance["evidence"]["check"], "heartbeat");
    assert!(instance["last_heartbeat_at"].is_string());
    api.delete("/v1/services/payment/instances/payment-a").await.ok();
    assert_eq!(api.get("/v1/services/payment/lookup").await.code(), "registry.no-healthy-instance");
    assert_eq!(api.get("/v1/instances").await.ok()["instances"], json!([]));
}

#[tokio::test]
async fn the_registrys_errors_differ() {
    let api = Api::with_shop().await;
    api.register("payment-a").await;
    let again = json!({"id": "payment-a", "address": "127.0.0.1:1"});
    assert_eq!(api.post("/v1/services/payment/instances", again).await.code(), "registry.duplicate-instance");
    let unknown = json!({"id": "x", "address": "127.0.0.1:1"});
    assert_eq!(api.post("/v1/services/stock/instances", unknown).await.code(), "registry.unknown-service");
    assert_eq!(api.get("/v1/services/stock/lookup").await.code(), "registry.unknown-service");
    assert_eq!(api.get("/v1/services/stock").await.code(), "registry.unknown-service");
    assert_eq!(api.delete("/v1/services/payment/instances/b").await.code(), "registry.unknown-instance");
    let bad = json!({"id": "Payment A", "address": "127.0.0.1:1"});
    assert_eq!(api.post("/v1/services/payment/instances", bad).await.code(), "request.invalid");
    assert_eq!(api.get("/v1/services/Not%20A%20Name").await.code(), "request.invalid");
    let soon = json!({"id": "x", "address": "127.0.0.1:1", "ttl_ms": 1});
    assert_eq!(api.post("/v1/services/payment/instances", soon).await.code(), "request.invalid");
    let many: serde_json::Map<_, _> = (0..40).map(|number| (format!("k{number}"), json!("v"))).collect();
    let chatty = json!({"id": "x", "address": "127.0.0.1:1", "metadata": many});
    assert_eq!(api.post("/v1/services/payment/instances", chatty).await.code(), "request.invalid");
}

#[tokio::test]
async fn services_are_shown_in_short_and_in_full() {
    let api = Api::with_shop().await;
    api.register("payment-a").await;
    api.beat("payment-a").await;
    let list = api.get("/v1/services").await.ok();
    let names: Vec<_> = list["services"].as_array().unwrap().iter().map(|it| it["service"].clone()).collect();
    assert_eq!(names, ["order", "payment"]);
    let payment = api.get("/v1/services/payment").await.ok();
    assert_eq!(payment["summary"]["healthy"], 1);
    assert_eq!(payment["instances"][0]["id"], "payment-a");
    assert_eq!(payment["definition"]["version"], "1.0.0");
    assert!(payment["traffic"].is_object());
}

#[tokio::test]
async fn services_are_scaled_stopped_and_started() {
    let api = Api::with_shop().await;
    let replicas = async || api.get("/v1/services/order").await.ok()["summary"]["replicas"].clone();
    assert_eq!(replicas().await, 2);
    api.put("/v1/services/order/scale", json!({"replicas": 5})).await.ok();
    assert_eq!(replicas().await, 5);
    api.put("/v1/services/order/scale", json!({"replicas": null})).await.ok();
    assert_eq!(replicas().await, 2);
    api.post("/v1/services/order/stop", json!(null)).await.ok();
    assert_eq!(api.get("/v1/services/order").await.ok()["summary"]["stopped"], true);
    api.post("/v1/services/order/start", json!(null)).await.ok();
    assert_eq!(api.get("/v1/services/order").await.ok()["summary"]["stopped"], false);
    let too_many = json!({"replicas": 100_000});
    assert_eq!(api.put("/v1/services/order/scale", too_many).await.code(), "runtime.invalid-scale");
    api.put("/v1/system", json!({"manifest": "only elsewhere"})).await.ok();
    assert_eq!(api.post("/v1/services/stock/stop", json!(null)).await.code(), "runtime.not-managed");
}

use super::client::{Api, send};
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use tenon_store::SegmentLog;

#[tokio::test]
async fn health_and_the_document_are_open_to_all() {
    let api = Api::start().await;
    assert_eq!(send(api.bare(Method::GET, "/health")).await.ok()["ready"], true);
    let document = send(api.bare(Method::GET, "/openapi.json")).await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/services/{service}/lookup"]["get"].is_object());
}

#[tokio::test]
async fn a_manifest_is_applied_shown_and_not_applied_twice() {
    let api = Api::start().await;
    assert_eq!(api.get("/v1/system").await.code(), "manifest.unreadable");
    let applied = api.put("/v1/system", json!({"manifest": "shop"})).await.ok();
    assert_eq!((&applied["applied"], &applied["findings"][0]["severity"]), (&json!(true), &json!("warning")));
    let changes: Vec<_> =
        applied["changes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(changes.contains(&"service order is added, 2 replicas of version 1.0.0"), "{changes:?}");
    assert!(changes.contains(&"configuration payment/limit becomes 100"), "{changes:?}");
    let shown = api.get("/v1/system").await.ok();
    assert_eq!((&shown["manifest"], &shown["system"]["name"]), (&json!("shop"), &json!("test")));
    let again = api.put("/v1/system", json!({"manifest": "shop"})).await.ok();
    assert_eq!((&again["applied"], &again["changes"]), (&json!(false), &json!([])));
}

#[tokio::test]
async fn a_dry_run_says_what_would_come_and_changes_nothing() {
    let api = Api::with_shop().await;
    let before = api.log.head();
    let body = json!({"manifest": "only elsewhere", "dry_run": true});
    let outcome = api.put("/v1/system", body).await.ok();
    assert_eq!(outcome["applied"], false);
    let changes = outcome["changes"].to_string();
    assert!(changes.contains("service stock is added, at 1 addresses"), "{changes}");
    assert!(changes.contains("service order is removed") && changes.contains("127.0.0.1:9"), "{changes}");
    assert_eq!(api.log.head(), before);
    assert_eq!(api.get("/v1/system").await.ok()["manifest"], "shop");
}

#[tokio::test]
async fn a_manifest_with_errors_is_refused_with_all_of_them() {
    let api = Api::with_shop().await;
    let refused = api.put("/v1/system", json!({"manifest": "nonsense"})).await;
    assert_eq!(refused.json["errors"][0]["severity"], "error");
    assert!(refused.json["errors"][0]["message"].as_str().unwrap().contains("tenon.yaml"));
    assert_eq!(refused.code(), "manifest.invalid");
    assert_eq!(api.get("/v1/system").await.ok()["manifest"], "shop");
}

#[tokio::test]
async fn the_status_counts() {
    let api = Api::with_shop().await;
    api.register("payment-a").await;
    let status = api.get("/v1/status").await.ok();
    assert_eq!((&status["system"], &status["services"]), (&json!("test"), &json!(2)));
    assert_eq!(
        status["instances"],
        json!({"total": 1, "healthy": 0, "unhealthy": 0, "unknown": 1, "draining": 0})
    );
    assert!(status["unavailable"].as_array().unwrap().contains(&json!("order")), "{status}");
    assert_eq!((&status["supervisor"], &status["data_planes"]), (&json!(false), &json!([])));
    api.beat("payment-a").await;
    assert_eq!(api.get("/v1/status").await.ok()["instances"]["healthy"], 1);
}

#[tokio::test]
async fn a_server_on_the_segment_engine_comes_back_with_everything() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let open = || SegmentLog::open(&folder.path().join("log")).unwrap().0;
    let log = open();
    let api = Api::on(Arc::new(log.clone()), Arc::clone(&folder)).await;
    api.put("/v1/system", json!({"manifest": "shop"})).await.ok();
    api.set("limit", json!(5)).await;
    api.register("payment-a").await;
    api.beat("payment-a").await;
    let before =
        (api.get("/v1/config/payment").await.ok(), api.get("/v1/services/payment/lookup").await.ok());
    let (token, id) = (api.keys.api_token().to_owned(), api.log.id());
    api.server.stop().await;
    log.close().await;
    drop((api.log, log));
    let api = Api::on(Arc::new(open()), Arc::clone(&folder)).await;
    assert_eq!((api.keys.api_token(), api.log.id()), (token.as_str(), id));
    assert_eq!(api.get("/v1/config/payment").await.ok(), before.0);
    let mut found = before.1;
    // Heartbeats are not in the log; what they led to is.
    found["instances"][0].as_object_mut().unwrap().remove("last_heartbeat_at");
    assert_eq!(api.get("/v1/services/payment/lookup").await.ok(), found);
}

#[tokio::test]
async fn a_closed_log_refuses_changes_and_serves_reads() {
    let log = tenon_store::MemoryLog::default();
    let api = Api::on(log.clone().into_log(), Arc::new(tempfile::tempdir().unwrap())).await;
    api.put("/v1/system", json!({"manifest": "shop"})).await.ok();
    log.close();
    assert_eq!(api.put("/v1/config/payment/limit", json!({"value": 5})).await.code(), "log.closed");
    assert_eq!(api.get("/v1/config/payment/limit").await.ok()["value"], 100);
}

#[tokio::test]
async fn a_manifest_says_which_sagas_it_changes_and_which_of_them_run() {
    let api = Api::start().await;
    let apply = async |manifest: &str| api.put("/v1/system", json!({"manifest": manifest})).await.ok();
    let added = apply("shop with a saga").await;
    assert_eq!(added["sagas"], json!([{"name": "nap", "version": "2", "former": [], "more": false}]));
    let changed = apply("shop with another saga").await;
    assert_eq!(changed["changes"], json!(["saga nap is changed: those that run go on as they began"]));
    let former = json!([{"version": "1", "running": 1, "last": []}]);
    assert_eq!(changed["sagas"], json!([{"name": "nap", "version": "2", "former": former, "more": false}]));
    assert_eq!(apply("shop with another saga").await.get("sagas"), None, "nothing changed");
    let removed = apply("shop").await;
    assert_eq!(removed["sagas"], json!([{"name": "nap", "version": null, "former": former, "more": false}]));
}

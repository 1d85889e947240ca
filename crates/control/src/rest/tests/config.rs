use super::client::{Api, revision, send};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn values_are_set_read_and_removed() {
    let api = Api::with_shop().await;
    let entry = api.set("currency", json!("EUR")).await;
    assert_eq!((&entry["value"], &entry["origin"]), (&json!("EUR"), &json!("hand")));
    assert_eq!(api.get("/v1/config/payment/currency").await.ok(), entry);
    let all = api.get("/v1/config/payment").await.ok();
    let keys: Vec<_> = all["entries"].as_array().unwrap().iter().map(|it| it["key"].clone()).collect();
    assert_eq!(keys, ["currency", "limit"]);
    api.delete("/v1/config/payment/currency").await.ok();
    assert_eq!(api.get("/v1/config/payment/currency").await.code(), "config.unknown-key");
    assert_eq!(api.delete("/v1/config/payment/currency").await.code(), "config.unknown-key");
    assert_eq!(api.get("/v1/config").await.ok()["services"][0]["service"], "payment");
}

#[tokio::test]
async fn a_value_that_does_not_satisfy_its_schema_is_refused() {
    let api = Api::with_shop().await;
    let refused = api.put("/v1/config/payment/limit", json!({"value": "many"})).await;
    assert!(refused.json["detail"].as_str().unwrap().contains("limit"), "{refused:?}");
    assert_eq!(refused.code(), "config.invalid-value");
    let large = json!({"value": "x".repeat(300 << 10)});
    assert_eq!(api.put("/v1/config/payment/note", large).await.code(), "config.invalid-value");
    assert_eq!(api.put("/v1/config/payment/bad%20key", json!({"value": 1})).await.code(), "request.invalid");
    assert_eq!(
        api.put("/v1/config/stock/limit", json!({"value": 1})).await.code(),
        "registry.unknown-service"
    );
}

#[tokio::test]
async fn of_two_who_changed_the_same_revision_the_second_is_told() {
    let api = Api::with_shop().await;
    let read = api.get("/v1/config/payment/limit").await;
    let tag = read.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", read.json["revision"].as_str().unwrap()));
    let put = |value: i32, tag: String| {
        let request = api.request(Method::PUT, "/v1/config/payment/limit").header("if-match", tag);
        send(request.json(&json!({"value": value})))
    };
    let changed = put(1, tag.clone()).await;
    assert_ne!(changed.headers["etag"].to_str().unwrap(), tag);
    changed.ok();
    assert_eq!(put(2, tag.clone()).await.code(), "config.conflict");
    assert_eq!(put(2, "\"nonsense\"".into()).await.code(), "request.invalid");
    let elsewhere = format!("\"{}@1\"", tenon_store::new_log_id());
    assert_eq!(put(2, elsewhere).await.code(), "config.conflict");
    let delete = api.request(Method::DELETE, "/v1/config/payment/limit").header("if-match", tag);
    assert_eq!(send(delete).await.code(), "config.conflict");
    assert_eq!(api.get("/v1/config/payment/limit").await.ok()["value"], 1);
}

#[tokio::test]
async fn a_manifest_that_is_applied_again_overrides_only_what_it_changed() {
    let api = Api::with_shop().await;
    let limit = async || api.get("/v1/config/payment/limit").await.ok();
    assert_eq!(
        (limit().await["value"].clone(), limit().await["origin"].clone()),
        (json!(100), json!("manifest"))
    );
    api.set("limit", json!(5)).await;
    api.set("currency", json!("EUR")).await;
    api.put("/v1/system", json!({"manifest": "shop"})).await.ok();
    assert_eq!(limit().await["value"], 5, "set by hand, and the manifest says what it said");
    api.put("/v1/system", json!({"manifest": "shop with another limit"})).await.ok();
    assert_eq!(limit().await["value"], 250);
    assert_eq!(api.get("/v1/config/payment/currency").await.ok()["value"], "EUR");
}

#[tokio::test]
async fn the_past_is_told_compared_and_brought_back() {
    let api = Api::with_shop().await;
    let first = api.set("limit", json!(1)).await;
    api.set("currency", json!("EUR")).await;
    let last = api.set("limit", json!(2)).await;
    let history = api.get("/v1/config/payment/history?key=limit").await.ok();
    let values: Vec<_> = history["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["old"].clone(), it["new"].clone()))
        .collect();
    assert_eq!(values, [(json!(1), json!(2)), (json!(100), json!(1)), (json!(null), json!(100))]);
    assert_eq!(history["records"][2]["origin"], "manifest");
    assert_eq!(
        api.get("/v1/config/payment/history?limit=1").await.ok()["records"].as_array().unwrap().len(),
        1
    );
    let at = revision(&first);
    let diff = api.get(&format!("/v1/config/payment/diff?from={at}")).await.ok();
    assert_eq!(diff["changes"][0]["key"], "currency");
    assert_eq!(diff["changes"][1], json!({"key": "limit", "old": 1, "new": 2, "revision": last["revision"]}));
    let back = api.post("/v1/config/payment/rollback", json!({"revision": at.to_string()})).await.ok();
    assert_eq!(back["entries"].as_array().unwrap().len(), 1);
    assert_eq!(back["entries"][0]["value"], 1);
    let diff = api.get(&format!("/v1/config/payment/diff?from={at}")).await.ok();
    assert_eq!(diff["changes"], json!([]));
}

#[tokio::test]
async fn a_revision_that_there_is_not_is_refused() {
    let api = Api::with_shop().await;
    let elsewhere = format!("{}@1", tenon_store::new_log_id());
    let diff = format!("/v1/config/payment/diff?from={elsewhere}");
    assert_eq!(api.get(&diff).await.code(), "config.unknown-revision");
    let rollback = api.post("/v1/config/payment/rollback", json!({"revision": elsewhere})).await;
    assert_eq!(rollback.code(), "config.unknown-revision");
    assert_eq!(api.get("/v1/config/payment/diff?from=1").await.code(), "request.invalid");
    assert_eq!(api.get("/v1/config/payment/diff").await.code(), "request.invalid");
    assert_eq!(api.get("/v1/config/payment/history?limit=x").await.code(), "request.invalid");
}

#[tokio::test]
async fn a_rollback_never_brings_back_what_the_schema_now_forbids() {
    let api = Api::start().await;
    api.put("/v1/system", json!({"manifest": "only elsewhere"})).await.ok();
    let set = api.put("/v1/config/stock/limit", json!({"value": -5})).await.ok();
    assert_eq!(set["value"], -5, "no schema yet");
    api.put("/v1/system", json!({"manifest": "shop"})).await.ok();
    api.set("limit", json!(7)).await;
    let refused = api.put("/v1/system", json!({"manifest": "shop with a bad limit"})).await;
    assert_eq!(refused.code(), "config.invalid-value");
    assert_eq!(api.get("/v1/config/payment/limit").await.ok()["value"], 7);
}

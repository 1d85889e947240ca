use super::{start, start_on};
use crate::commands::Commands;
use crate::service::Settings;
use crate::testing::Running;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use tenon_sdk::store::{Log, MemoryLog};

/// A replica of the service on a log.
async fn replica(log: &Arc<dyn Log>) -> Running {
    let settings = Settings::ephemeral("inventory");
    let warehouse = Commands::new(&settings, "warehouse", "shop.warehouse.v1").on(Arc::clone(log)).unwrap();
    Running::serve(start_on(&settings, warehouse)).await
}

#[tokio::test]
async fn stock_is_reserved_once_and_released_once() {
    let inventory = Running::start("inventory", start).await;
    let body = json!({"order": "o1", "items": [{"sku": "plane", "quantity": 2}]});
    let reserved = json!({"order": "o1", "items": {"plane": 2}, "released": false});
    assert_eq!(inventory.post("/reservations", body.clone()).await, (201, reserved.clone()));
    assert_eq!(inventory.post("/reservations", body).await, (201, reserved));
    assert_eq!(inventory.get("/stock/plane").await, (200, json!({"sku": "plane", "available": 3})));
    for _ in 0..2 {
        assert_eq!(inventory.send(Method::DELETE, "/reservations/o1", &[], None).await.0, 204);
    }
    assert_eq!(inventory.get("/stock/plane").await.1["available"], 5);
    assert_eq!(inventory.get("/reservations/o1").await.1["released"], true);
}

#[tokio::test]
async fn insufficient_stock_and_unknown_products_are_problems_with_their_codes() {
    let inventory = Running::start("inventory", start).await;
    let refused = async |sku: &str, quantity: i64| {
        let body = json!({"order": "o1", "items": [{"sku": sku, "quantity": quantity}]});
        let (status, problem) = inventory.post("/reservations", body).await;
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused("plane", 6).await, (409, "inventory.insufficient-stock".into()));
    assert_eq!(refused("anvil", 1).await, (404, "inventory.unknown-product".into()));
    assert_eq!(refused("plane", 0).await, (422, "inventory.invalid-items".into()));
    assert_eq!(refused("plane", -1).await, (422, "request.invalid".into()));
    assert_eq!(inventory.get("/stock/anvil").await.0, 404);
}

#[tokio::test]
async fn all_stock_is_listed_by_sku() {
    let inventory = Running::start("inventory", start).await;
    let (status, stock) = inventory.get("/stock").await;
    assert_eq!((status, &stock[0]["sku"]), (200, &json!("auger")));
    assert_eq!(stock.as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn what_is_reserved_outlives_a_restart_and_is_one_for_all_replicas() {
    let log = MemoryLog::default().into_log();
    let before = replica(&log).await;
    let body = json!({"order": "o1", "items": [{"sku": "plane", "quantity": 4}]});
    assert_eq!(before.post("/reservations", body.clone()).await.0, 201);
    before.stop().await;
    let [one, two] = [replica(&log).await, replica(&log).await];
    assert_eq!(one.post("/reservations", body).await.0, 201);
    let other = json!({"order": "o2", "items": [{"sku": "plane", "quantity": 2}]});
    assert_eq!(two.post("/reservations", other).await.1["code"], "inventory.insufficient-stock");
    assert_eq!(two.get("/stock/plane").await.1["available"], 1);
    // Its news and what happened, once.
    assert_eq!(log.head().0, 2);
    one.stop().await;
    two.stop().await;
}

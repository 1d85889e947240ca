use super::start;
use crate::testing::Running;
use reqwest::Method;
use serde_json::json;

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

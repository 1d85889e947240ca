//! The example shop: five services in three languages.

use crate::support::{Folder, System, eventually};
use serde_json::{Value, json};

fn order(card: &str, sku: &str) -> Value {
    json!({"customer": "ada", "card": card, "items": [{"sku": sku, "quantity": 2, "price": "19.99"}]})
}

#[tokio::test]
async fn the_shop_comes_up_and_an_order_goes_through_all_of_it_or_is_undone() {
    let shop = System::start_in(Folder::of_the_shop()).await;
    let orders = format!("{}/orders", shop.urls.gateway);

    let created = shop.http.post(&orders, &order("card-ada", "saw"), "first").await.expect(201).json();
    assert_eq!((&created["state"], &created["total"]), (&json!("Confirmed"), &json!("39.98")));
    let again = shop.http.post(&orders, &order("card-ada", "saw"), "first").await.expect(201).json();
    assert_eq!(again, created, "a request that is sent again has its effect once");
    let id = created["id"].as_str().unwrap();
    assert_eq!(shop.get(&format!("/orders/{id}")).await.expect(200).json()["state"], "Confirmed");
    assert_eq!(payment_state(&shop, id).await, "Charged");

    // What happened to it is kept, and so is what it was.
    let history = shop.get(&format!("/orders/{id}/history")).await.expect(200).json();
    let facts: Vec<_> =
        history["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(facts, ["Created", "Paid", "Confirmed"]);
    let then = format!("/orders/{id}?at={}", history["events"][1]["position"]);
    assert_eq!(shop.get(&then).await.expect(200).json()["state"], "Paid");

    // The payment succeeds, the reservation does not: the payment is given back.
    let refused = shop.http.post(&orders, &order("card-ada", "anvil"), "second").await;
    let undone = refused.json()["order"].as_str().unwrap_or_default().to_owned();
    assert_eq!(refused.problem(422), "inventory.unknown-product");
    assert_eq!(shop.get(&format!("/orders/{undone}")).await.expect(200).json()["state"], "Cancelled");
    assert_eq!(payment_state(&shop, &undone).await, "Refunded");

    let poor = shop.http.post(&orders, &order("card-eve", "saw"), "third").await;
    assert_eq!(poor.problem(402), "payment.insufficient-funds");

    let found = shop.get("/recommendations?sku=saw").await.expect(200).json();
    assert_eq!((&found["limit"], found["items"].as_array().unwrap().len()), (&json!(3), 3));

    // Customers are told in the background; what they were told comes with the payment, from another service.
    let told = async || {
        let answer = shop.get(&format!("/notifications/{id}")).await;
        (answer.status == 200).then(|| answer.json())
    };
    let told = eventually("the customer is told", told).await;
    assert_eq!(told["payment"]["id"], json!(id));

    shop.tenon().run(&["config", "set", "recommendation", "limit", "5"]).await.succeeded();
    let heeded = async || {
        let found = shop.get("/recommendations?sku=saw").await.json();
        (found["limit"] == 5 && found["items"].as_array()?.len() == 5).then_some(())
    };
    eventually("the recommendation service heeds its new limit", heeded).await;
}

async fn payment_state(shop: &System, order: &str) -> String {
    let payment = shop.get(&format!("/payments/{order}")).await.expect(200).json();
    payment["state"].as_str().unwrap().to_owned()
}

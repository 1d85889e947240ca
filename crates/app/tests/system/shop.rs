//! The example shop: five services in three languages.

use crate::support::process::{Signal, send};
use crate::support::{Folder, System, eventually, within};
use serde_json::{Value, json};
use std::time::Duration;

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
    assert_eq!(facts, ["Created", "PlacedBy", "Paid", "Confirmed"]);
    let then = format!("/orders/{id}?at={}", history["events"][2]["position"]);
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

#[tokio::test]
async fn a_customer_is_forgotten_and_the_orders_and_what_was_sold_stay() {
    let shop = System::start_in(Folder::of_the_shop()).await;
    let orders = format!("{}/orders", shop.urls.gateway);
    let created = shop.http.post(&orders, &order("card-ada", "saw"), "first").await.expect(201).json();
    let path = format!("/orders/{}", created["id"].as_str().unwrap());
    shop.tenon().run(&["events", "forget", "ada"]).await.succeeded();

    let shown = shop.get(&path).await.expect(200).json();
    assert_eq!((&shown["customer"], &shown["forgotten"]), (&Value::Null, &json!(true)));
    assert_eq!((&shown["state"], &shown["total"]), (&json!("Confirmed"), &json!("39.98")));
    let nobodys = async || {
        let ada = shop.get("/orders?customer=ada").await.expect(200).json();
        let all = shop.get("/orders").await.expect(200).json();
        (ada["orders"] == json!([]) && all["orders"][0]["forgotten"] == true).then_some(())
    };
    eventually("both replicas list the order as nobody's", nobodys).await;
    let history = shop.get(&format!("{path}/history")).await.expect(200).json();
    let facts: Vec<_> =
        history["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(facts, ["Created", "Paid", "Confirmed"]);
    let sold = json!([{"sku": "saw", "quantity": 2, "revenue": "39.98"}]);
    assert_eq!(shop.get("/sales").await.expect(200).json()["sales"], sold);

    // The order goes on, and is not taken for another one; nothing more is kept of the customer.
    let ship = format!("{}{path}/ship", shop.urls.gateway);
    let shipped = shop.http.post(&ship, &json!({"tracking": "T1"}), "ship").await;
    assert_eq!(shipped.expect(200).json()["state"], "Shipped");
    for key in ["first", "second"] {
        let refused = shop.http.post(&orders, &order("card-ada", "saw"), key).await;
        assert_eq!(refused.problem(410), "order.forgotten", "{key}");
    }
}

#[tokio::test]
async fn what_was_paid_reserved_and_told_outlives_the_death_of_everything() {
    let shop = System::start_in(Folder::of_the_shop()).await;
    let orders = format!("{}/orders", shop.urls.gateway);
    let created = shop.http.post(&orders, &order("card-ada", "plane"), "first").await.expect(201).json();
    let id = created["id"].as_str().unwrap();
    for service in ["payment", "inventory"] {
        for instance in shop.instances(service).await {
            send(instance.pid.unwrap(), Signal::KILL);
        }
    }
    send(shop.role("server").await, Signal::KILL);
    let stands = async || {
        let payment = shop.get(&format!("/payments/{id}")).await;
        let stock = shop.get("/stock/plane").await;
        let is_so = payment.status == 200 && stock.status == 200;
        (is_so && payment.json()["state"] == "Charged" && stock.json()["available"] == 3).then_some(())
    };
    within(Duration::from_secs(40), "both know what they did", stands).await;
    let told = async |topic: &str| {
        let url = format!("{}/v1/topics/{topic}/events", shop.urls.api);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(&url).bearer_auth(&shop.token).send().await.unwrap();
        let events: Vec<Value> = answer.json().await.unwrap();
        events
            .into_iter()
            .map(|event| (event["subject"].clone(), event["tenontags"].clone()))
            .collect::<Vec<_>>()
    };
    for topic in ["payment.completed", "inventory.reserved"] {
        assert_eq!(told(topic).await, [(json!(id), json!(format!("order:{id}")))], "{topic}");
    }
}

async fn payment_state(shop: &System, order: &str) -> String {
    let payment = shop.get(&format!("/payments/{order}")).await.expect(200).json();
    payment["state"].as_str().unwrap().to_owned()
}

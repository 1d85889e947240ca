use super::start_on;
use crate::service::Settings;
use crate::testing::{NOBODY, Places, Running, eventually, platform};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::any;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use tenon_sdk::store::{Direction, Log, MemoryLog, Namespace, Position, Query, QueryItem};
use tokio::sync::mpsc;

/// The shop but for its Python and Node services, and the platform's sagas as the manifest has them.
struct Shop {
    order: Running,
    payment: Running,
    inventory: Running,
    log: Arc<dyn Log>,
    places: Places,
    _loyalty: Running,
    _models: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Self {
        let payment = Running::start("payment", crate::payment::start).await;
        let inventory = Running::start("inventory", crate::inventory::start).await;
        // Its own side of sagas is in Python.
        let loyalty = Running::serve(Router::new().fallback(any(async || Json(json!({}))))).await;
        let (log, places, models) =
            (MemoryLog::default().into_log(), Places::default(), tempfile::tempdir().unwrap());
        let platform = Some(platform(&log, &places).await);
        let settings = Settings { platform, ..Settings::ephemeral("order") };
        let routes = start_on(&settings, Arc::clone(&log), models.path()).await.unwrap();
        let order = Running::serve(routes).await;
        for (name, service) in
            [("order", &order), ("payment", &payment), ("inventory", &inventory), ("loyalty", &loyalty)]
        {
            places.put(name, service.base());
        }
        Self { order, payment, inventory, log, places, _loyalty: loyalty, _models: models }
    }

    async fn balance_of_bob(&self) -> Value {
        self.payment.get("/accounts/card-bob").await.1["balance"].clone()
    }

    async fn planes(&self) -> Value {
        self.inventory.get("/stock/plane").await.1["available"].clone()
    }

    /// The orders that others were told of.
    async fn told(&self, topic: &str) -> Vec<Value> {
        let types = [topic.parse().unwrap()].into();
        let query =
            Query::user().within(Namespace::default()).or(QueryItem { types, ..QueryItem::default() });
        let page = self.log.read(query, Position::START, Direction::Forward, 100).await.unwrap();
        let data = page.events.iter().map(|event| serde_json::from_slice::<Value>(&event.data).unwrap());
        data.map(|data| data["order"].clone()).collect()
    }
}

/// How slow a service is made whose answer nobody waits for.
fn never() -> Value {
    json!({"ms": crate::faults::MAX_SLOW_MS})
}

/// Of a customer who does not wait for the end, but long enough for the first steps on any machine.
const IMPATIENT: (&str, &str) = ("tenon-timeout-ms", "3000");

/// An order service where there is no platform.
async fn alone() -> (Running, tempfile::TempDir) {
    let models = tempfile::tempdir().unwrap();
    let settings = Settings::ephemeral("order");
    let log = MemoryLog::default().into_log();
    (Running::serve(start_on(&settings, log, models.path()).await.unwrap()).await, models)
}

fn draft(sku: &str, quantity: i64, price: &str, card: &str) -> Value {
    json!({"customer": "bob", "card": card, "items": [{"sku": sku, "quantity": quantity, "price": price}]})
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn an_order_is_paid_reserved_confirmed_and_told() {
    let shop = Shop::open().await;
    let (status, order) = shop.order.post("/orders", draft("plane", 2, "19.99", "card-bob")).await;
    assert_eq!((status, &order["state"], &order["total"]), (201, &json!("Confirmed"), &json!("39.98")));
    assert_eq!(shop.balance_of_bob().await, "960.02");
    assert_eq!(shop.planes().await, 3);
    assert_eq!(shop.told("order.created").await, [order["id"].clone()]);
    assert_eq!(shop.told("order.confirmed").await, [order["id"].clone()]);
    shop.order.shows("/orders", &json!({"orders": [order]})).await;
    assert!(order.get("card").is_none());
}

#[tokio::test]
async fn an_order_is_shipped_and_delivered_but_not_cancelled_then() {
    let shop = Shop::open().await;
    let id = shop.order.post("/orders", draft("saw", 1, "1.00", "card-bob")).await.1["id"].clone();
    let path = |action: &str| format!("/orders/{}/{action}", id.as_str().unwrap());
    let refused = shop.order.post(&path("deliver"), json!({})).await;
    assert_eq!(code(&refused), (409, "order.illegal-transition"));
    assert_eq!(shop.order.post(&path("ship"), json!({"tracking": " "})).await.0, 422);
    assert_eq!(shop.order.post(&path("ship"), json!({"tracking": "T1"})).await.1["state"], "Shipped");
    assert_eq!(shop.order.post(&path("deliver"), json!({})).await.1["tracking"], "T1");
    let refused = shop.order.post(&path("cancel"), json!({"reason": "too late"})).await;
    assert_eq!(code(&refused), (409, "order.illegal-transition"));
    assert_eq!(shop.order.get("/orders/unknown").await.0, 404);
}

#[tokio::test]
async fn a_cancelled_order_is_released_and_refunded() {
    let shop = Shop::open().await;
    let id = shop.order.post("/orders", draft("plane", 2, "1.00", "card-bob")).await.1["id"].clone();
    let path = format!("/orders/{}/cancel", id.as_str().unwrap());
    let (status, order) = shop.order.post(&path, json!({"reason": "changed my mind"})).await;
    assert_eq!((status, &order["state"]), (200, &json!("Cancelled")));
    assert_eq!(order["cancellation"], json!({"reason": "changed my mind"}));
    assert_eq!((shop.balance_of_bob().await, shop.planes().await), (json!("1000.00"), json!(5)));
}

#[tokio::test]
async fn an_order_whose_step_is_refused_is_undone_and_answered_with_the_refusal() {
    let shop = Shop::open().await;
    let answer = shop.order.post("/orders", draft("saw", 1, "1000.01", "card-bob")).await;
    assert_eq!(code(&answer), (402, "payment.insufficient-funds"));
    let answer = shop.order.post("/orders", draft("saw", 1, "1.00", "card-nobody")).await;
    assert_eq!(code(&answer), (422, "payment.invalid-details"));
    let answer = shop.order.post("/orders", draft("plane", 6, "1.00", "card-bob")).await;
    assert_eq!(code(&answer), (409, "inventory.insufficient-stock"));
    let answer = shop.order.post("/orders", draft("anvil", 1, "1.00", "card-bob")).await;
    assert_eq!(code(&answer), (422, "inventory.unknown-product"));
    let order = shop.order.get(&format!("/orders/{}", answer.1["order"].as_str().unwrap())).await.1;
    assert_eq!(order["state"], "Cancelled");
    assert_eq!((shop.balance_of_bob().await, shop.planes().await), (json!("1000.00"), json!(5)));
}

#[tokio::test]
async fn an_order_that_cannot_be_reserved_now_is_undone() {
    let shop = Shop::open().await;
    shop.places.put("inventory", NOBODY);
    let answer = shop.order.post("/orders", draft("plane", 1, "1.00", "card-bob")).await;
    assert_eq!(code(&answer), (503, "order.step-unavailable"));
    assert_eq!(shop.balance_of_bob().await, "1000.00");
    let order = shop.order.get(&format!("/orders/{}", answer.1["order"].as_str().unwrap())).await.1;
    assert_eq!(order["state"], "Cancelled");
}

#[tokio::test]
async fn an_order_that_takes_longer_than_its_customer_waits_is_answered_as_it_is_and_goes_on() {
    let shop = Shop::open().await;
    assert_eq!(shop.payment.post("/admin/slow", never()).await.0, 204);
    let body = || Some(draft("plane", 1, "1.00", "card-bob"));
    let sent = [IMPATIENT, ("idempotency-key", "k1")];
    let (status, order) = shop.order.send(reqwest::Method::POST, "/orders", &sent, body()).await;
    assert_eq!((status, &order["state"]), (202, &json!("Created")), "{order}");
    assert_eq!(shop.payment.post("/admin/slow", json!({"ms": 0})).await.0, 204);
    let (status, again) = shop.order.post_with_key("/orders", "k1", body().unwrap()).await;
    assert_eq!((status, &again["state"], &again["id"]), (201, &json!("Confirmed"), &order["id"]));
    assert_eq!(shop.balance_of_bob().await, "999.00");
}

#[tokio::test]
async fn what_was_done_and_whose_answer_is_lost_is_done_once() {
    let shop = Shop::open().await;
    for service in [&shop.payment, &shop.inventory, &shop.order] {
        assert_eq!(service.post("/admin/lose-replies", json!({"count": 1})).await.0, 204);
    }
    let url = format!("{}/orders", shop.order.base());
    let draft = draft("plane", 2, "1.00", "card-bob");
    let ask = || crate::testing::client().post(&url).header("idempotency-key", "k").json(&draft).send();
    // One of the order's own answers is lost too: that of its first step, or of its own request.
    let answer = match ask().await {
        Ok(answer) => answer,
        Err(_) => ask().await.unwrap(),
    };
    assert_eq!(answer.status(), 201);
    assert_eq!((shop.balance_of_bob().await, shop.planes().await), (json!("998.00"), json!(3)));
}

#[tokio::test]
async fn a_service_that_is_told_to_refuse_is_undone_at_the_others() {
    let shop = Shop::open().await;
    assert_eq!(shop.inventory.post("/admin/refuse", json!({"on": true})).await.0, 204);
    let answer = shop.order.post("/orders", draft("plane", 1, "1.00", "card-bob")).await;
    assert_eq!(code(&answer), (422, "inventory.refused"));
    assert_eq!((shop.balance_of_bob().await, shop.planes().await), (json!("1000.00"), json!(5)));
    let direct = json!({"order": "o1", "items": [{"sku": "plane", "quantity": 1}]});
    assert_eq!(code(&shop.inventory.post("/reservations", direct.clone()).await), (422, "inventory.refused"));
    assert_eq!(shop.inventory.post("/admin/refuse", json!({"on": false})).await.0, 204);
    assert_eq!(shop.inventory.post("/reservations", direct).await.0, 201);
}

#[tokio::test]
async fn an_order_that_is_cancelled_while_it_is_created_turns_back() {
    let shop = Shop::open().await;
    assert_eq!(shop.payment.post("/admin/slow", never()).await.0, 204);
    let body = Some(draft("plane", 1, "1.00", "card-bob"));
    let (status, order) = shop.order.send(reqwest::Method::POST, "/orders", &[IMPATIENT], body).await;
    assert_eq!(status, 202);
    let path = format!("/orders/{}", order["id"].as_str().unwrap());
    let cancel = format!("{path}/cancel");
    let ((status, cancelled), ()) = tokio::join!(shop.order.post(&cancel, json!({"reason": "no"})), async {
        // It is paid only when it is to be cancelled already.
        eventually("it is being cancelled", async || {
            !shop.order.get(&path).await.1["cancellation"].is_null()
        })
        .await;
        assert_eq!(shop.payment.post("/admin/slow", json!({"ms": 0})).await.0, 204);
    });
    assert_eq!((status, &cancelled["state"]), (200, &json!("Cancelled")), "{cancelled}");
    assert_eq!(cancelled["cancellation"], json!({"reason": "no"}));
    assert_eq!((shop.balance_of_bob().await, shop.planes().await), (json!("1000.00"), json!(5)));
}

#[tokio::test]
async fn without_a_platform_no_orders_are_taken() {
    let (order, _models) = alone().await;
    let sent = [("tenon-timeout-ms", "300")];
    let body = Some(draft("plane", 1, "1.00", "card-bob"));
    let answer = order.send(reqwest::Method::POST, "/orders", &sent, body).await;
    assert_eq!(code(&answer), (503, "order.unavailable"));
    assert_eq!(order.get("/orders").await.1, json!({"orders": []}));
}

#[tokio::test]
async fn a_step_is_done_for_sagas_alone() {
    let (order, _models) = alone().await;
    let answer = order.post("/steps/confirm", json!({"order": "o1"})).await;
    assert_eq!(code(&answer), (400, "request.invalid"));
}

#[tokio::test]
async fn an_order_that_is_sent_again_is_taken_once() {
    let shop = Shop::open().await;
    let body = draft("plane", 2, "1.00", "card-bob");
    let first = shop.order.post_with_key("/orders", "k1", body.clone()).await;
    let again = shop.order.post_with_key("/orders", "k1", body).await;
    assert_eq!((first.0, &first), (201, &again));
    assert_eq!(shop.balance_of_bob().await, "998.00");
    let other = shop.order.post_with_key("/orders", "k1", draft("plane", 1, "1.00", "card-bob")).await;
    assert_eq!(code(&other), (422, "order.key-reused"));
    let by_another = shop.order.post_with_key("/orders", "k1", draft("plane", 2, "1.00", "card-ada")).await;
    assert_eq!(code(&by_another), (422, "order.key-reused"));
    let refused = shop.order.post_with_key("/orders", "k2", draft("plane", 6, "1.00", "card-bob")).await;
    let again = shop.order.post_with_key("/orders", "k2", draft("plane", 6, "1.00", "card-bob")).await;
    assert_eq!((code(&refused).0, &refused), (409, &again));
}

#[tokio::test]
async fn an_illegal_order_is_refused_before_anything_is_done() {
    let (order, _models) = alone().await;
    let empty = json!({"customer": "bob", "card": "card-bob", "items": []});
    assert_eq!(code(&order.post("/orders", empty).await), (422, "order.empty"));
    let bad = [
        ("saw", 0, "1.00"),
        ("saw", -1, "1.00"),
        ("saw", 1_001, "1.00"),
        ("saw", 1, "0.00"),
        ("saw", 1, "-1"),
    ];
    for (sku, quantity, price) in bad.into_iter().chain([("saw", 1, "1.005"), ("saw", 1, "1000000.01")]) {
        let answer = order.post("/orders", draft(sku, quantity, price, "card-bob")).await;
        assert_eq!(code(&answer), (422, "order.invalid-item"), "{quantity} × {price}");
    }
    assert_eq!(order.get("/orders").await.1, json!({"orders": []}));
}

#[tokio::test]
async fn the_calls_of_an_orders_saga_are_of_its_trace() {
    let shop = Shop::open().await;
    let (seen, mut headers) = mpsc::channel(10);
    let record = any(async |State(seen): State<mpsc::Sender<HeaderMap>>, headers: HeaderMap| {
        seen.try_send(headers).unwrap();
    });
    let anything = Running::serve(Router::new().fallback(record).with_state(seen)).await;
    shop.places.put("payment", anything.base());
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let sent = format!("00-{trace}-b7ad6b7169203331-01");
    let body = Some(draft("saw", 1, "1.00", "card-bob"));
    let (status, order) =
        shop.order.send(reqwest::Method::POST, "/orders", &[("traceparent", &sent)], body).await;
    assert_eq!(status, 201);
    let headers = headers.recv().await.unwrap();
    assert!(headers["traceparent"].to_str().unwrap().contains(trace));
    assert_eq!(headers["tenon-saga"], order["saga"].as_str().unwrap());
}

#[tokio::test]
async fn an_order_is_shown_as_it_was_and_with_its_history() {
    let shop = Shop::open().await;
    let id = shop.order.post("/orders", draft("saw", 2, "1.50", "card-bob")).await.1["id"].clone();
    let path = format!("/orders/{}", id.as_str().unwrap());
    let (_, history) = shop.order.get(&format!("{path}/history")).await;
    let events: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["PlacedBy", "Created", "Paid", "Confirmed"]);
    let (paid, created) = (&history["events"][2], &history["events"][1]);
    let then = shop.order.get(&format!("{path}?at={}", paid["position"])).await;
    assert_eq!((then.0, &then.1["state"]), (200, &json!("Paid")));
    let before = shop.order.get(&format!("{path}?at={}", created["position"].as_u64().unwrap() - 1)).await;
    assert_eq!(code(&before), (404, "order.unknown"));
    let confirmed =
        shop.order.get(&format!("{path}?at={}", history["events"][3]["time"].as_str().unwrap())).await;
    assert_eq!(confirmed.1["state"], "Confirmed");
    assert_eq!(code(&shop.order.get(&format!("{path}?at=tomorrow")).await), (400, "request.invalid"));
    assert!(history["events"][0].get("card").is_none());
}

#[tokio::test]
async fn what_was_sold_is_reported_as_it_is_and_as_it_was() {
    let shop = Shop::open().await;
    let id = shop.order.post("/orders", draft("saw", 2, "1.50", "card-bob")).await.1["id"].clone();
    let before = shop.log.head().0;
    shop.order.post("/orders", draft("plane", 1, "10.00", "card-bob")).await;
    let saws = json!({"sku": "saw", "quantity": 2, "revenue": "3.00"});
    let planes = json!({"sku": "plane", "quantity": 1, "revenue": "10.00"});
    shop.order.shows("/sales", &json!({"sales": [planes, saws]})).await;
    let cancel = format!("/orders/{}/cancel", id.as_str().unwrap());
    shop.order.post(&cancel, json!({"reason": "changed my mind"})).await;
    shop.order.shows("/sales", &json!({"sales": [planes]})).await;
    assert_eq!(shop.order.get(&format!("/sales?at={before}")).await.1, json!({"sales": [saws]}));
    eventually("the list has the newest order of bob", async || {
        let of_bob = shop.order.get("/orders?customer=bob&limit=1").await.1;
        of_bob["orders"][0]["items"][0]["sku"] == "plane"
    })
    .await;
    assert_eq!(shop.order.get("/orders?customer=ada").await.1, json!({"orders": []}));
}

#[tokio::test]
async fn a_command_may_name_the_version_that_it_is_for() {
    let shop = Shop::open().await;
    let id = shop.order.post("/orders", draft("saw", 1, "1.00", "card-bob")).await.1["id"].clone();
    let path = format!("/orders/{}", id.as_str().unwrap());
    let shown = reqwest::get(format!("{}{path}", shop.order.base())).await.unwrap();
    let tag = shown.headers()["etag"].to_str().unwrap().to_owned();
    let ship = async |tag: &str| {
        let body = Some(json!({"tracking": "T1"}));
        shop.order.send(reqwest::Method::POST, &format!("{path}/ship"), &[("if-match", tag)], body).await
    };
    let (log, _) = tag.split_once('@').unwrap();
    let other = format!("{log}@1\"");
    assert_eq!(code(&ship(&other).await), (412, "order.changed"));
    assert_eq!(code(&ship("\"1\"").await), (412, "order.changed"));
    assert_eq!(ship(&tag).await.1["state"], "Shipped");
    assert_eq!(code(&ship(&tag).await), (412, "order.changed"));
}

fn news(topic: &str, id: &str, order: &str) -> Value {
    json!({
        "specversion": "1.0", "type": topic, "source": "/services/payment", "id": id, "data": {"order": order}})
}

/// As the platform sends an event, in structured mode.
async fn push(order: &Running, event: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/cloudevents+json")];
    order.send(reqwest::Method::POST, "/events", &headers, Some(event.clone())).await
}

#[tokio::test]
async fn news_say_that_an_order_is_paid_and_count_once() {
    let shop = Shop::open().await;
    assert_eq!(shop.inventory.post("/admin/slow", never()).await.0, 204);
    let body = Some(draft("saw", 1, "1.00", "card-bob"));
    let (_, order) = shop.order.send(reqwest::Method::POST, "/orders", &[IMPATIENT], body).await;
    let id = order["id"].as_str().unwrap();
    let path = format!("/orders/{id}");
    assert_eq!(order["state"], "Created");
    for _ in 0..2 {
        assert_eq!(push(&shop.order, &news("payment.completed", "p-1", id)).await.0, 204);
        assert_eq!(shop.order.get(&path).await.1["state"], "Paid");
    }
    assert_eq!(push(&shop.order, &news("payment.completed", "p-2", id)).await.0, 204, "it is paid already");
    let history = shop.order.get(&format!("{path}/history")).await.1;
    assert_eq!(history["events"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn news_that_are_none_of_the_shops_are_passed_over_and_those_of_others_refused() {
    let (order, _models) = alone().await;
    assert_eq!(push(&order, &news("payment.completed", "p-1", "unknown")).await.0, 204);
    let other = push(&order, &news("weather.changed", "w-1", "unknown")).await;
    assert_eq!(code(&other), (422, "order.invalid-event"));
    assert_eq!(
        code(&push(&order, &json!({"type": "payment.completed"})).await),
        (422, "order.invalid-event")
    );
}

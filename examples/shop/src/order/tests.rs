use super::start_with;
use crate::service::Settings;
use crate::testing::{NOBODY, Running, peers};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{any, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The whole shop but for its Python and Node services; what `order` notifies is received here.
struct Shop {
    order: Running,
    payment: Running,
    inventory: Running,
    notified: mpsc::Receiver<Value>,
    _notification: Running,
}

impl Shop {
    async fn open() -> Self {
        let payment = Running::start("payment", crate::payment::start).await;
        let inventory = Running::start("inventory", crate::inventory::start).await;
        let (notify, notified) = mpsc::channel(100);
        let routes = Router::new().route("/notifications", post(receive)).with_state(notify);
        let notification = Running::serve(routes).await;
        let order = order(&peers(payment.base(), inventory.base(), notification.base())).await;
        Self { order, payment, inventory, notified, _notification: notification }
    }

    async fn balance_of_bob(&self) -> Value {
        self.payment.get("/accounts/card-bob").await.1["balance"].clone()
    }

    async fn planes(&self) -> Value {
        self.inventory.get("/stock/plane").await.1["available"].clone()
    }
}

async fn receive(State(notify): State<mpsc::Sender<Value>>, Json(body): Json<Value>) {
    notify.try_send(body).unwrap();
}

async fn order(peers: &super::Peers) -> Running {
    Running::serve(start_with(&Settings::ephemeral("order"), peers.clone()).await.unwrap()).await
}

fn draft(sku: &str, quantity: i64, price: &str, card: &str) -> Value {
    json!({"customer": "bob", "card": card, "items": [{"sku": sku, "quantity": quantity, "price": price}]})
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn an_order_is_paid_reserved_confirmed_and_told() {
    let mut shop = Shop::open().await;
    let (status, order) = shop.order.post("/orders", draft("plane", 2, "19.99", "card-bob")).await;
    assert_eq!((status, &order["state"], &order["total"]), (201, &json!("Confirmed"), &json!("39.98")));
    assert_eq!(shop.balance_of_bob().await, "960.02");
    assert_eq!(shop.planes().await, 3);
    assert_eq!(shop.notified.recv().await.unwrap()["order"], order["id"]);
    assert_eq!(shop.order.get("/orders").await.1["orders"], json!([order]));
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
    assert_eq!(order["cancellation"], json!({"reason": "changed my mind", "owed": []}));
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
async fn an_order_that_cannot_be_reserved_now_is_refunded() {
    let shop = Shop::open().await;
    let order = order(&peers(shop.payment.base(), NOBODY, NOBODY)).await;
    let answer = order.post("/orders", draft("plane", 1, "1.00", "card-bob")).await;
    assert_eq!(code(&answer), (503, "order.step-unavailable"));
    assert_eq!(shop.balance_of_bob().await, "1000.00");
    // The release is still owed: nobody knows whether the reservation came through.
    let order = order.get(&format!("/orders/{}", answer.1["order"].as_str().unwrap())).await.1;
    assert_eq!((&order["state"], &order["cancellation"]["owed"]), (&json!("Paid"), &json!(["release"])));
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
    let refused = shop.order.post_with_key("/orders", "k2", draft("plane", 6, "1.00", "card-bob")).await;
    let again = shop.order.post_with_key("/orders", "k2", draft("plane", 6, "1.00", "card-bob")).await;
    assert_eq!((code(&refused).0, &refused), (409, &again));
}

#[tokio::test]
async fn an_illegal_order_is_refused_before_anything_is_done() {
    let order = order(&peers(NOBODY, NOBODY, NOBODY)).await;
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
async fn a_call_inherits_the_trace_and_what_is_left_of_the_time() {
    let (seen, mut headers) = mpsc::channel(10);
    let record = any(async |State(seen): State<mpsc::Sender<HeaderMap>>, headers: HeaderMap| {
        seen.try_send(headers).unwrap();
    });
    let anything = Running::serve(Router::new().fallback(record).with_state(seen)).await;
    let order = order(&peers(anything.base(), anything.base(), NOBODY)).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = [("traceparent", trace), ("tenon-timeout-ms", "60000")];
    let body = Some(draft("saw", 1, "1.00", "card-bob"));
    let (status, created) = order.send(reqwest::Method::POST, "/orders", &sent, body).await;
    assert_eq!(status, 201);
    for _ in ["payment", "inventory"] {
        let headers = headers.recv().await.unwrap();
        assert_eq!(headers["traceparent"], trace);
        assert_eq!(headers["idempotency-key"], created["id"].as_str().unwrap());
        let left: u32 = headers["tenon-timeout-ms"].to_str().unwrap().parse().unwrap();
        assert!((1..=60_000).contains(&left));
    }
}

#[tokio::test]
async fn an_order_whose_time_is_up_calls_nobody_and_is_cancelled() {
    let shop = Shop::open().await;
    let body = Some(draft("plane", 1, "1.00", "card-bob"));
    let answer = shop.order.send(reqwest::Method::POST, "/orders", &[("tenon-timeout-ms", "0")], body).await;
    assert_eq!(code(&answer), (503, "order.step-unavailable"));
    let order = shop.order.get(&format!("/orders/{}", answer.1["order"].as_str().unwrap())).await.1;
    assert_eq!(order["state"], "Cancelled");
    assert_eq!(shop.balance_of_bob().await, "1000.00");
}

#[tokio::test]
async fn an_order_is_shown_as_it_was_and_with_its_history() {
    let shop = Shop::open().await;
    let id = shop.order.post("/orders", draft("saw", 2, "1.50", "card-bob")).await.1["id"].clone();
    let path = format!("/orders/{}", id.as_str().unwrap());
    let (_, history) = shop.order.get(&format!("{path}/history")).await;
    let events: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["Created", "PlacedBy", "Paid", "Confirmed"]);
    let (paid, created) = (&history["events"][2], &history["events"][0]);
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
    shop.order.post("/orders", draft("plane", 1, "10.00", "card-bob")).await;
    let saws = json!({"sku": "saw", "quantity": 2, "revenue": "3.00"});
    let planes = json!({"sku": "plane", "quantity": 1, "revenue": "10.00"});
    assert_eq!(shop.order.get("/sales").await.1, json!({"sales": [planes, saws]}));
    let cancel = format!("/orders/{}/cancel", id.as_str().unwrap());
    shop.order.post(&cancel, json!({"reason": "changed my mind"})).await;
    assert_eq!(shop.order.get("/sales").await.1, json!({"sales": [planes]}));
    // The first order's four events.
    assert_eq!(shop.order.get("/sales?at=4").await.1, json!({"sales": [saws]}));
    let of_bob = shop.order.get("/orders?customer=bob&limit=1").await.1;
    assert_eq!(of_bob["orders"][0]["items"][0]["sku"], "plane");
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
    let other = tag.replace("@4\"", "@3\"");
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
async fn news_take_an_order_on_whose_answer_does_not_come_and_count_once() {
    let silent = Router::new().route("/payments", post(std::future::pending::<()>));
    let payment = Running::serve(silent).await;
    let order = order(&peers(payment.base(), NOBODY, NOBODY)).await;
    let url = format!("{}/orders", order.base());
    tokio::spawn(crate::testing::client().post(url).json(&draft("saw", 1, "1.00", "card-bob")).send());
    let id = loop {
        if let Some(id) = order.get("/orders").await.1["orders"][0]["id"].as_str() {
            break id.to_owned();
        }
    };
    let path = format!("/orders/{id}");
    assert_eq!(order.get(&path).await.1["state"], "Created");
    for _ in 0..2 {
        assert_eq!(push(&order, &news("payment.completed", "p-1", &id)).await.0, 204);
        assert_eq!(order.get(&path).await.1["state"], "Paid");
    }
    assert_eq!(push(&order, &news("payment.completed", "p-2", &id)).await.0, 204, "it is paid already");
    let history = order.get(&format!("{path}/history")).await.1;
    assert_eq!(history["events"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn news_that_are_none_of_the_shops_are_passed_over_and_those_of_others_refused() {
    let order = order(&peers(NOBODY, NOBODY, NOBODY)).await;
    assert_eq!(push(&order, &news("payment.completed", "p-1", "unknown")).await.0, 204);
    let other = push(&order, &news("weather.changed", "w-1", "unknown")).await;
    assert_eq!(code(&other), (422, "order.invalid-event"));
    assert_eq!(
        code(&push(&order, &json!({"type": "payment.completed"})).await),
        (422, "order.invalid-event")
    );
}

use super::{start, start_on};
use crate::commands::Commands;
use crate::service::Settings;
use crate::testing::Running;
use serde_json::{Value, json};
use std::sync::Arc;
use tenon_sdk::store::{Direction, Log, MemoryLog, Namespace, Position, Query, QueryItem};

/// A replica of the service on a log.
async fn replica(log: &Arc<dyn Log>) -> Running {
    let settings = Settings::ephemeral("payment");
    let accounts = Commands::new(&settings, "account", "shop.account.v1").on(Arc::clone(log)).unwrap();
    Running::serve(start_on(&settings, accounts)).await
}

/// What others were told: the data of the events of a topic.
async fn told(log: &Arc<dyn Log>, topic: &str) -> Vec<Value> {
    let types = [topic.parse().unwrap()].into();
    let query = Query::user().within(Namespace::default()).or(QueryItem { types, ..QueryItem::default() });
    let page = log.read(query, Position::START, Direction::Forward, 100).await.unwrap();
    page.events.iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect()
}

#[tokio::test]
async fn a_payment_is_charged_shown_and_refunded() {
    let payment = Running::start("payment", start).await;
    let body = json!({"order": "o1", "amount": "10.50", "card": "card-bob"});
    let charged =
        json!({"id": "k1", "state": "Charged", "order": "o1", "card": "card-bob", "amount": "10.50"});
    assert_eq!(payment.post_with_key("/payments", "k1", body.clone()).await, (201, charged.clone()));
    assert_eq!(payment.post_with_key("/payments", "\"k1\"", body).await, (201, charged.clone()));
    assert_eq!(payment.get("/payments/k1").await, (200, charged));
    assert_eq!(payment.get("/accounts/card-bob").await.1["balance"], "989.50");
    assert_eq!(payment.post("/payments/k1/refund", json!({})).await.1["state"], "Refunded");
    assert_eq!(payment.get("/accounts/card-bob").await.1["balance"], "1000.00");
}

#[tokio::test]
async fn a_refused_payment_is_a_problem_with_its_code() {
    let payment = Running::start("payment", start).await;
    let body = json!({"order": "o1", "amount": "10.50", "card": "card-eve"});
    let (status, problem) = payment.post("/payments", body).await;
    assert_eq!((status, &problem["code"]), (402, &json!("payment.insufficient-funds")));
    assert_eq!((&problem["status"], &problem["title"]), (&json!(402), &json!("Payment Required")));
}

#[tokio::test]
async fn whatever_is_wrong_with_a_request_is_answered_by_a_problem() {
    let payment = Running::start("payment", start).await;
    let float = json!({"order": "o1", "amount": 10.5, "card": "card-eve"});
    let (status, problem) = payment.post("/payments", float).await;
    assert_eq!((status, &problem["code"]), (422, &json!("request.invalid")));
    assert!(problem["detail"].as_str().unwrap().contains("amount"), "{problem}");
    assert_eq!(payment.get("/nowhere").await.1["code"], "request.unknown");
    assert_eq!(payment.post("/health", json!({})).await.0, 405);
    assert_eq!(payment.get("/payments/%FF").await.1["code"], "request.invalid");
    let large = json!({"order": "o".repeat(70_000)});
    assert_eq!(payment.post("/payments", large).await.1["status"], 413);
}

#[tokio::test]
async fn a_quote_names_the_instance_that_made_it() {
    let payment = Running::start("payment", start).await;
    let quote = json!({"amount": "100.00", "fee": "1.50", "total": "101.50", "instance": "payment"});
    assert_eq!(payment.get("/quote?amount=100").await, (200, quote));
    assert_eq!(payment.get("/").await.1["instance"], "payment");
}

#[tokio::test]
async fn an_unavailable_instance_says_so_and_stays_healthy() {
    let payment = Running::start("payment", start).await;
    assert_eq!(payment.post("/admin/unavailable", json!({"on": true})).await.0, 204);
    let (status, problem) = payment.get("/quote?amount=1").await;
    assert_eq!((status, &problem["code"]), (503, &json!("payment.unavailable")));
    assert_eq!(payment.get("/health").await.0, 200);
    assert_eq!(payment.post("/admin/unavailable", json!({"on": false})).await.0, 204);
    assert_eq!(payment.get("/quote?amount=1").await.0, 200);
}

#[tokio::test]
async fn a_slow_instance_answers_late_but_rightly() {
    let payment = Running::start("payment", start).await;
    assert_eq!(payment.post("/admin/slow", json!({"ms": 20})).await.0, 204);
    let asked = std::time::Instant::now();
    assert_eq!(payment.get("/quote?amount=1").await.0, 200);
    assert!(asked.elapsed() >= std::time::Duration::from_millis(20));
    assert_eq!(payment.post("/admin/slow", json!({"ms": 20_001})).await.0, 422);
}

#[tokio::test]
async fn a_payment_that_is_sent_again_to_another_replica_is_charged_once() {
    let log = MemoryLog::default().into_log();
    let one = replica(&log).await;
    let two = replica(&log).await;
    let body = json!({"order": "o1", "amount": "600.00", "card": "card-bob"});
    assert_eq!(one.post_with_key("/payments", "k1", body.clone()).await.0, 201);
    assert_eq!(two.post_with_key("/payments", "k1", body).await.0, 201);
    assert_eq!(two.get("/accounts/card-bob").await.1["balance"], "400.00");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_was_charged_and_told_outlives_a_restart_and_is_told_once() {
    let log = MemoryLog::default().into_log();
    let before = replica(&log).await;
    let body = json!({"order": "o1", "amount": "10.50", "card": "card-bob"});
    assert_eq!(before.post_with_key("/payments", "k1", body.clone()).await.0, 201);
    assert_eq!(before.post("/payments/k2/refund", json!({"card": "card-bob"})).await.1["state"], "Refunded");
    before.stop().await;
    let after = replica(&log).await;
    assert_eq!(after.get("/accounts/card-bob").await.1["balance"], "989.50");
    assert_eq!(after.get("/payments/k1").await.1["state"], "Charged");
    assert_eq!(after.post_with_key("/payments", "k1", body.clone()).await.0, 201);
    let late = after.post_with_key("/payments", "k2", body).await;
    assert_eq!((late.0, &late.1["code"]), (409, &json!("payment.refunded")));
    let charge = json!({"payment": "k1", "order": "o1", "amount": "10.50"});
    assert_eq!(told(&log, "payment.completed").await, [charge]);
    after.stop().await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_told_either() {
    let log = MemoryLog::default();
    let payment = replica(&log.clone().into_log()).await;
    log.faults().order(tenon_sdk::store::memory::AppendFault::Full);
    let body = json!({"order": "o1", "amount": "10.50", "card": "card-bob"});
    let (status, problem) = payment.post_with_key("/payments", "k1", body).await;
    assert_eq!((status, &problem["code"]), (503, &json!("storage.unavailable")));
    assert_eq!(told(&log.into_log(), "payment.completed").await, [] as [Value; 0]);
    assert_eq!(payment.get("/accounts/card-bob").await.1["balance"], "1000.00");
}

/// The headers of a saga's call.
fn saga(direction: &str, round: u32) -> Vec<(&'static str, String)> {
    let headers = [
        ("tenon-saga", "01010101-0101-0101-0101-010101010101".to_owned()),
        ("tenon-saga-step", "take_payment".to_owned()),
        ("tenon-saga-direction", direction.to_owned()),
        ("tenon-saga-round", round.to_string()),
        ("tenon-saga-attempt", "1".to_owned()),
    ];
    headers.into()
}

async fn called(at: &Running, path: &str, direction: &str, body: Value) -> (u16, Value) {
    let headers = saga(direction, 0);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    at.send(reqwest::Method::POST, path, &headers, Some(body)).await
}

#[tokio::test]
async fn a_sagas_payment_is_called_as_its_order_and_its_refusal_stands() {
    let log = MemoryLog::default().into_log();
    let [one, two] = [replica(&log).await, replica(&log).await];
    let poor = json!({"order": "o1", "amount": "1000.01", "card": "card-bob"});
    for payment in [&one, &two] {
        let (status, problem) = called(payment, "/payments", "do", poor.clone()).await;
        assert_eq!((status, &problem["code"]), (402, &json!("payment.insufficient-funds")));
    }
    // The same call stays refused, also if it could be done now.
    let small = json!({"order": "o1", "amount": "1.00", "card": "card-bob"});
    assert_eq!(called(&one, "/payments", "do", small).await.0, 402);
    let refund = json!({"card": "card-bob"});
    assert_eq!(called(&two, "/payments/o1/refund", "undo", refund).await.0, 200);
    assert_eq!(one.get("/accounts/card-bob").await.1["balance"], "1000.00");
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_the_effect() {
    let payment = Running::start("payment", start).await;
    assert_eq!(payment.post("/admin/lose-replies", json!({"percent": 101})).await.0, 422);
    assert_eq!(payment.post("/admin/lose-replies", json!({"percent": 50})).await.0, 204);
    let mut lost = 0;
    for number in 0..10 {
        let body = json!({"order": "o1", "amount": "1.00", "card": "card-bob"});
        let request = crate::testing::client().post(format!("{}/payments", payment.base())).json(&body);
        lost += u32::from(request.header("idempotency-key", format!("k{number}")).send().await.is_err());
    }
    assert_eq!(lost, 5);
    assert_eq!(payment.post("/admin/lose-replies", json!({})).await.0, 204);
    assert_eq!(payment.get("/accounts/card-bob").await.1["balance"], "990.00");
}

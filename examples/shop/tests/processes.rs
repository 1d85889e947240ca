//! The shop's services as processes, in three languages, which reach each other by name through the proxy
//! that their environment names: what they need of a mesh, and all that they know of it.
//!
//! Needs `python3` (3.11) and `node` (18) in the PATH, as the shop itself does.

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Api, Process, Proxy, eventually};

#[tokio::test]
async fn services_call_each_other_by_name_through_the_proxy_of_their_environment() {
    let proxy = Proxy::start().await;
    let payment = Process::rust("payment", env!("CARGO_BIN_EXE_shop-payment"), &proxy).await;
    let notification = Process::node("notification", &proxy).await;
    proxy.route(&payment);
    let charge = json!({"order": "o1", "amount": "39.98", "card": "card-ada"});
    assert_eq!(payment.send_with_key("/payments", "o1", &charge).await.0, 201);

    // As the platform pushes it, and again.
    let event = json!({
        "specversion": "1.0", "type": "order.confirmed", "source": "/services/order", "id": "1",
        "datacontenttype": "application/json", "data": {"order": "o1", "total": "39.98"}});
    for _ in 0..2 {
        assert_eq!(notification.send_event(&event).await.0, 200);
    }
    let (status, told) = notification.send(Method::GET, "/notifications/o1", None).await;
    assert_eq!((status, told["notifications"].as_array().unwrap().len()), (200, 1), "{told}");
    assert_eq!(told["payment"]["amount"], "39.98", "{told}");
    assert_eq!(proxy.called(), ["payment"]);
    let other =
        json!({"specversion": "1.0", "type": "weather.changed", "source": "/w", "id": "1", "data": {}});
    assert_eq!(notification.send_event(&other).await.1["code"], "notification.invalid-event");
}

#[tokio::test]
async fn the_notification_service_fails_as_it_is_told_to() {
    let proxy = Proxy::start().await;
    let notification = Process::node("notification", &proxy).await;
    let told = json!({"order": "o1", "text": "confirmed"});
    let send = async || notification.send_with(Method::POST, "/notifications", &[], &told).await;
    let knob = async |name: &str, body: Value| {
        assert_eq!(notification.send(Method::POST, &format!("/admin/{name}"), Some(body)).await.0, 200);
    };
    knob("lose-replies", json!({"count": 1})).await;
    assert_eq!(send().await.0, 0);
    assert_eq!(notification.send(Method::GET, "/notifications/o1", None).await.0, 200, "it was done");
    knob("refuse", json!({"on": true})).await;
    assert_eq!(send().await.1["code"], "notification.refused");
    knob("refuse", json!({"on": false})).await;
    knob("unavailable", json!({"on": true})).await;
    assert_eq!(send().await.1["code"], "notification.unavailable");
    assert_eq!(notification.send(Method::GET, "/health", None).await.0, 200);
    let wrong = notification.send(Method::POST, "/admin/slow", Some(json!({"ms": 20_001}))).await;
    assert_eq!(wrong.1["code"], "request.invalid");
}

/// A call of a saga of the loyalty service.
async fn called(loyalty: &Process, saga: u8, direction: &str, body: &Value) -> (u16, Value) {
    let id = format!("{saga:02x}000000-0000-0000-0000-000000000000");
    let (method, path) = match direction {
        "do" => (Method::POST, "/points".to_owned()),
        _ => (Method::DELETE, "/points/o1".to_owned()),
    };
    let headers = [
        ("tenon-saga", id.as_str()),
        ("tenon-saga-step", "give_points"),
        ("tenon-saga-direction", direction),
        ("tenon-saga-round", "0"),
        ("tenon-saga-attempt", "1"),
    ];
    loyalty.send_with(method, &path, &headers, body).await
}

#[tokio::test]
async fn points_are_given_once_taken_back_once_and_not_given_to_what_was_undone() {
    let proxy = Proxy::start().await;
    let folder = tempfile::tempdir().unwrap();
    let loyalty = Process::python_in("loyalty", &proxy, folder.path()).await;
    let points = async || loyalty.send(Method::GET, "/points/card-ada", None).await.1["points"].clone();
    let give = json!({"order": "o1", "card": "card-ada", "amount": "129.90"});
    for _ in 0..2 {
        let given = called(&loyalty, 1, "do", &give).await;
        assert_eq!(given, (200, json!({"order": "o1", "points": 12})));
    }
    assert_eq!(points().await, 12);
    for _ in 0..2 {
        assert_eq!(called(&loyalty, 1, "undo", &give).await.0, 200);
    }
    assert_eq!(called(&loyalty, 1, "do", &give).await.1["code"], "saga.too-late");
    assert_eq!(called(&loyalty, 2, "undo", &give).await.0, 200, "undoing what never came succeeds");
    assert_eq!(called(&loyalty, 2, "do", &give).await.0, 422);
    assert_eq!(points().await, 0);

    // A refusal stands, whatever is asked later.
    let knob = async |name: &str, body: Value| {
        assert_eq!(loyalty.send(Method::POST, &format!("/admin/{name}"), Some(body)).await.0, 200);
    };
    knob("refuse", json!({"on": true})).await;
    assert_eq!(called(&loyalty, 3, "do", &give).await.1["code"], "loyalty.refused");
    knob("refuse", json!({"on": false})).await;
    assert_eq!(called(&loyalty, 3, "do", &give).await.1["code"], "loyalty.refused");
    knob("unavailable", json!({"on": true})).await;
    assert_eq!(called(&loyalty, 4, "do", &give).await.0, 503);
    knob("unavailable", json!({"on": false})).await;

    // An answer that is lost leaves the effect, and outlives the process.
    knob("lose-replies", json!({"count": 1})).await;
    assert_eq!(called(&loyalty, 4, "do", &give).await.0, 0);
    loyalty.terminate();
    assert!(loyalty.ended().await.success());
    let loyalty = Process::python_in("loyalty", &proxy, folder.path()).await;
    assert_eq!(called(&loyalty, 4, "do", &give).await.0, 200);
    let (_, all) = loyalty.send(Method::GET, "/points", None).await;
    assert_eq!(all, json!([{"card": "card-ada", "points": 12}]));
    let bad = json!({"order": "o1", "card": "card-ada", "amount": 1});
    assert_eq!(called(&loyalty, 5, "do", &bad).await.1["code"], "request.invalid");
    assert_eq!(loyalty.send(Method::POST, "/points", Some(give)).await.1["code"], "request.invalid");
    assert_eq!(loyalty.send(Method::GET, "/nowhere", None).await.0, 404);
}

#[tokio::test]
async fn a_notification_is_kept_once_and_checked() {
    let proxy = Proxy::start().await;
    let notification = Process::node("notification", &proxy).await;
    let body = json!({"order": "o1", "text": "confirmed"});
    for _ in 0..2 {
        assert_eq!(notification.send_with_key("/notifications", "k1", &body).await.0, 201);
    }
    let (_, list) = notification.send(Method::GET, "/notifications", None).await;
    assert_eq!(list["notifications"].as_array().unwrap().len(), 1);
    let code = async |method, path: &str, body| {
        let (status, problem) = notification.send(method, path, body).await;
        (status, problem["code"].as_str().unwrap_or_default().to_owned())
    };
    let invalid = "request.invalid".to_owned();
    assert_eq!(code(Method::POST, "/notifications", Some(json!({"order": 1}))).await, (422, invalid.clone()));
    assert_eq!(code(Method::POST, "/notifications", Some(json!("x".repeat(70_000)))).await.0, 413);
    assert_eq!(code(Method::GET, "/notifications/%FF", None).await, (400, invalid));
    assert_eq!(code(Method::GET, "/notifications/o2", None).await, (404, "notification.unknown".into()));
    assert_eq!(code(Method::DELETE, "/notifications", None).await, (404, "request.unknown".into()));
    // The payment service is nowhere; what was told is shown all the same.
    let (status, told) = notification.send(Method::GET, "/notifications/o1", None).await;
    assert_eq!((status, &told["payment"]), (200, &Value::Null));
}

#[tokio::test]
async fn recommendations_are_other_products_in_stock_up_to_the_limit() {
    let proxy = Proxy::start().await;
    let inventory = Process::rust("inventory", env!("CARGO_BIN_EXE_shop-inventory"), &proxy).await;
    let recommendation = Process::python("recommendation", &proxy, None).await;
    let code = async |method, path: &str| {
        let (status, problem) = recommendation.send(method, path, None).await;
        (status, problem["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(
        code(Method::GET, "/recommendations?sku=saw").await,
        (503, "recommendation.unavailable".into())
    );
    proxy.route(&inventory);
    let (status, found) = recommendation.send(Method::GET, "/recommendations?sku=auger", None).await;
    let skus: Vec<&str> =
        found["items"].as_array().unwrap().iter().map(|it| it["sku"].as_str().unwrap()).collect();
    assert_eq!((status, skus), (200, vec!["chisel", "clamp", "gauge"]));
    assert_eq!(code(Method::GET, "/recommendations?sku=anvil").await.0, 404);
    assert_eq!(code(Method::GET, "/recommendations").await, (400, "request.invalid".into()));
    assert_eq!(code(Method::GET, "/nowhere").await, (404, "request.unknown".into()));
    assert_eq!(code(Method::POST, "/recommendations").await, (501, "request.invalid".into()));
    let turn = async |knob: &str, body: Value| {
        let path = format!("/admin/{knob}");
        assert_eq!(recommendation.send(Method::POST, &path, Some(body)).await.0, 200);
    };
    turn("unavailable", json!({"on": true})).await;
    assert_eq!(code(Method::GET, "/recommendations?sku=saw").await.0, 503);
    assert_eq!(recommendation.send(Method::GET, "/health", None).await.0, 200);
    turn("unavailable", json!({"on": false})).await;
    turn("refuse", json!({"on": true})).await;
    let refused = code(Method::GET, "/recommendations?sku=saw").await;
    assert_eq!(refused, (422, "recommendation.refused".into()));
    turn("refuse", json!({"on": false})).await;
    turn("lose-replies", json!({"count": 1})).await;
    let lost = recommendation.send_with(Method::GET, "/recommendations?sku=saw", &[], &json!(null)).await;
    assert_eq!(lost.0, 0);
    assert_eq!(code(Method::GET, "/recommendations?sku=saw").await.0, 200);
}

#[tokio::test]
async fn the_limit_follows_its_configuration_also_over_a_lost_watch() {
    let proxy = Proxy::start().await;
    let inventory = Process::rust("inventory", env!("CARGO_BIN_EXE_shop-inventory"), &proxy).await;
    proxy.route(&inventory);
    let api = Api::start(2).await;
    let recommendation = Process::python("recommendation", &proxy, Some(&api)).await;
    let becomes = async |limit: u64| {
        eventually(async || {
            let (_, found) = recommendation.send(Method::GET, "/recommendations?sku=saw", None).await;
            (found["limit"] == limit && found["items"].as_array().unwrap().len() as u64 == limit)
                .then_some(())
        })
        .await;
    };
    becomes(2).await;
    api.wait_for_watch().await;
    api.change(json!(5)).await;
    becomes(5).await;
    // Nonsense is passed over, so the change after it is the next that is seen.
    api.change(json!("many")).await;
    api.change(json!(4)).await;
    becomes(4).await;
    api.lose_watch(1);
    becomes(1).await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_after_sigterm() {
    let proxy = Proxy::start().await;
    let payment = Process::rust("payment", env!("CARGO_BIN_EXE_shop-payment"), &proxy).await;
    let body = json!({"order": "o1", "amount": "1.00", "card": "card-ada"});
    assert_eq!(payment.finish_after_sigterm("/payments", &body).await, 201);
    let notification = Process::node("notification", &proxy).await;
    let body = json!({"order": "o1", "text": "confirmed"});
    assert_eq!(notification.finish_after_sigterm("/notifications", &body).await, 201);
}

#[tokio::test]
async fn a_recommendation_in_flight_is_finished_after_sigterm() {
    let proxy = Proxy::start().await;
    let inventory = Process::rust("inventory", env!("CARGO_BIN_EXE_shop-inventory"), &proxy).await;
    proxy.route(&inventory);
    let recommendation = Process::python("recommendation", &proxy, None).await;
    let held = proxy.hold().await;
    let answer = async { recommendation.send(Method::GET, "/recommendations?sku=saw", None).await.0 };
    let stop = async {
        proxy.wait_for_held().await;
        recommendation.terminate();
        drop(held);
    };
    assert_eq!(tokio::join!(answer, stop).0, 200);
    assert!(recommendation.ended().await.success());
}

#[tokio::test]
async fn idle_connections_do_not_keep_a_service_from_stopping() {
    let proxy = Proxy::start().await;
    let services = [
        Process::rust("order", env!("CARGO_BIN_EXE_shop-order"), &proxy).await,
        Process::node("notification", &proxy).await,
        Process::python("recommendation", &proxy, None).await,
    ];
    for service in services {
        // The client keeps the connection for the next request.
        assert_eq!(service.send(Method::GET, "/health", None).await.0, 200);
        service.terminate();
        assert!(service.ended().await.success());
    }
}

#[tokio::test]
async fn a_service_without_a_usable_port_says_what_it_needs() {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_shop-order")).env("PORT", "http").output();
    let output = output.await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("PORT is \"http\", but must be a port number"), "{said}");
}

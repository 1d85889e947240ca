use super::client::{Api, revision};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_watch_begins_with_the_state_and_tells_every_change_in_order() {
    let api = Api::with_shop().await;
    api.register("payment-a").await;
    let mut events = api.events("/v1/services/payment/watch", None).await;
    let state = events.data().await;
    assert_eq!((&state["kind"], &state["instances"][0]["id"]), (&json!("state"), &json!("payment-a")));
    api.beat("payment-a").await;
    api.register("payment-b").await;
    api.delete("/v1/services/payment/instances/payment-a").await.ok();
    let changed = events.data().await;
    assert_eq!(
        (&changed["kind"], &changed["from"], &changed["to"]),
        (&json!("health-changed"), &json!("unknown"), &json!("healthy"))
    );
    assert_eq!(changed["evidence"]["check"], "heartbeat");
    let registered = events.data().await;
    assert_eq!(
        (&registered["kind"], &registered["instance"]["id"]),
        (&json!("registered"), &json!("payment-b"))
    );
    let gone = events.data().await;
    assert_eq!(
        (&gone["kind"], &gone["id"], &gone["reason"]),
        (&json!("deregistered"), &json!("payment-a"), &json!("requested"))
    );
}

#[tokio::test]
async fn a_watch_resumes_after_what_was_seen() {
    let api = Api::with_shop().await;
    let mut events = api.events("/v1/services/payment/watch", None).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.id.as_deref(), first.data["revision"].as_str());
    drop(events);
    api.register("payment-a").await;
    api.beat("payment-a").await;
    let mut events = api.events("/v1/services/payment/watch", first.id.as_deref()).await;
    assert_eq!(events.data().await["kind"], "registered");
    assert_eq!(events.data().await["kind"], "health-changed");
}

#[tokio::test]
async fn a_watch_resumes_over_a_restart_of_the_server() {
    let api = Api::with_shop().await;
    let seen = api.register("payment-a").await;
    assert_eq!(seen["id"], "payment-a");
    let mut events = api.events("/v1/services/payment/watch", None).await;
    let first = events.next().await.unwrap();
    api.register("payment-b").await;
    let api = api.restart().await;
    let mut events = api.events("/v1/services/payment/watch", first.id.as_deref()).await;
    assert_eq!(events.data().await["instance"]["id"], "payment-b");
}

#[tokio::test]
async fn a_watcher_of_another_log_begins_anew() {
    let api = Api::with_shop().await;
    api.register("payment-a").await;
    let elsewhere = format!("{}@1", tenon_store::new_log_id());
    let mut events = api.events("/v1/services/payment/watch", Some(&elsewhere)).await;
    assert_eq!(events.data().await["kind"], "state");
}

#[tokio::test]
async fn a_watch_of_a_service_is_not_told_of_others() {
    let api = Api::with_shop().await;
    let mut events = api.events("/v1/services/payment/watch", None).await;
    events.data().await;
    let other = json!({"id": "order-x", "address": "127.0.0.1:9999"});
    api.post("/v1/services/order/instances", other).await.ok();
    api.register("payment-a").await;
    assert_eq!(events.data().await["instance"]["id"], "payment-a");
    assert_eq!(api.get("/v1/services/stock/watch").await.code(), "registry.unknown-service");
}

/// Folds what a watch tells.
fn fold(instances: &mut BTreeMap<String, String>, change: &Value) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match change["kind"].as_str().unwrap() {
        "state" => {
            let all = change["instances"].as_array().unwrap().iter();
            *instances = all.map(|it| (text(&it["id"]), text(&it["status"]))).collect();
        }
        "registered" => {
            let it = &change["instance"];
            assert_eq!(instances.insert(text(&it["id"]), text(&it["status"])), None);
        }
        "health-changed" => {
            let former = instances.insert(text(&change["id"]), text(&change["to"]));
            assert_eq!(former, Some(text(&change["from"])), "nothing was missed in between");
        }
        "deregistered" => assert!(instances.remove(&text(&change["id"])).is_some()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_watch_misses_nothing_under_concurrent_changes_and_reconnections() {
    let api = Api::with_shop().await;
    let changes = async {
        let changing = (0..40).map(|number| {
            let api = &api;
            async move {
                let id = format!("payment-{number}");
                api.register(&id).await;
                api.beat(&id).await;
                if number % 3 == 0 {
                    api.delete(&format!("/v1/services/payment/instances/{id}")).await.ok();
                }
            }
        });
        futures_util::future::join_all(changing).await;
        api.register("the-last").await;
    };
    let watching = async {
        let (mut instances, mut last) = (BTreeMap::new(), None);
        while !instances.contains_key("the-last") {
            // A client that comes back after every few events.
            let mut events = api.events("/v1/services/payment/watch", last.as_deref()).await;
            for _ in 0..5 {
                let event = events.next().await.unwrap();
                fold(&mut instances, &event.data);
                last = event.id;
                if instances.contains_key("the-last") {
                    break;
                }
            }
        }
        instances
    };
    let ((), seen) = tokio::join!(changes, watching);
    let list = api.get("/v1/services/payment/instances").await.ok();
    let there = list["instances"].as_array().unwrap().iter();
    let there: BTreeMap<String, String> =
        there.map(|it| (it["id"].as_str().unwrap().into(), it["status"].as_str().unwrap().into())).collect();
    assert_eq!(seen, there);
}

#[tokio::test]
async fn a_watch_of_configuration_tells_old_and_new() {
    let api = Api::with_shop().await;
    let mut events = api.events("/v1/config/payment?watch=true", None).await;
    let set = api.set("limit", json!(5)).await;
    api.delete("/v1/config/payment/limit").await.ok();
    let event = events.next().await.unwrap();
    assert_eq!(event.data, json!({"key": "limit", "old": 100, "new": 5, "revision": set["revision"]}));
    assert_eq!(event.id.as_deref(), set["revision"].as_str());
    let removed = events.data().await;
    assert_eq!((&removed["old"], removed.get("new")), (&json!(5), None));
}

#[tokio::test]
async fn reading_and_then_watching_leaves_no_gap() {
    let api = Api::with_shop().await;
    let read = api.get("/v1/config/payment").await.ok();
    api.set("limit", json!(5)).await;
    let mut events = api.events("/v1/config/payment?watch=true", read["revision"].as_str()).await;
    assert_eq!(events.data().await["new"], 5);
}

#[tokio::test]
async fn a_watch_of_configuration_resumes_from_what_only_the_log_remembers() {
    let api = Api::with_shop().await;
    let before = revision(&api.set("limit", json!(1)).await);
    // More bytes than the history keeps.
    for number in 0..80 {
        api.set("note", json!(format!("{number}{}", "x".repeat(250 << 10)))).await;
    }
    api.set("limit", json!(2)).await;
    let mut events = api.events("/v1/config/payment?watch=true", Some(&before.to_string())).await;
    let mut notes = 0;
    loop {
        let change = events.data().await;
        if change["key"] == "limit" {
            assert_eq!((&change["old"], &change["new"]), (&json!(1), &json!(2)));
            break;
        }
        notes += 1;
    }
    assert_eq!(notes, 80);
    api.set("limit", json!(3)).await;
    assert_eq!(events.data().await["new"], 3);
}

#[tokio::test]
async fn a_watch_of_configuration_from_nowhere_is_refused() {
    let api = Api::with_shop().await;
    for id in [format!("{}@1", tenon_store::new_log_id()), format!("{}@999", api.log.id())] {
        let request =
            api.request(reqwest::Method::GET, "/v1/config/payment?watch=true").header("last-event-id", id);
        assert_eq!(super::client::send(request).await.code(), "config.unknown-revision");
    }
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let api = Api::with_shop().await;
    let mut events = api.events("/v1/services/payment/watch", None).await;
    events.data().await;
    api.server.stop().await;
    assert_eq!(events.next().await, None);
}

use super::{Api, send, told};
use crate::testing::instance;
use reqwest::Method;
use serde_json::{Value, json};
use tenon_api::cloudevents::{CloudEvent, JSON, JSON_BATCH, PROTOBUF};

const PAID: &str = "/v1/topics/payment.completed/events";

fn paid(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/payments", "type": "payment.completed", "subject": "order-7",
        "data": {"amount": "25.00"}})
}

impl Api {
    fn publish(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::RequestBuilder {
        self.request(Method::POST, path).header("content-type", content_type).body(body)
    }
}

#[tokio::test]
async fn events_are_published_in_every_mode_and_format() {
    let api = Api::start().await;
    let published = |position: u64| json!({"revision": api.revision(position), "events": [{"position": position, "duplicate": false}]});
    let structured = api.publish(PAID, JSON, paid("1").to_string());
    assert_eq!(send(structured).await.ok(), published(1));
    let binary = api.publish("/v1/events", "text/plain; charset=utf-8", "hello");
    let binary =
        binary.header("ce-specversion", "1.0").header("ce-id", "1").header("ce-source", "/greetings");
    assert_eq!(send(binary.header("ce-type", "greeting")).await.ok(), published(2));
    let protobuf = CloudEvent::from_json(paid("2").to_string().as_bytes()).unwrap().to_protobuf();
    assert_eq!(send(api.publish(PAID, PROTOBUF, protobuf)).await.ok(), published(3));
    let batch = json!([paid("1"), paid("3")]).to_string();
    let answer = send(api.publish("/v1/events", JSON_BATCH, batch)).await.ok();
    let events = json!([{"position": 1, "duplicate": true}, {"position": 4, "duplicate": false}]);
    assert_eq!(answer["events"], events);
    let plain = api.publish(&format!("{PAID}?key=order-8"), "application/json", "{\"a\":1}");
    let plain = || plain.try_clone().unwrap().header("idempotency-key", "k").send();
    assert_eq!(plain().await.unwrap().json::<Value>().await.unwrap()["events"][0]["duplicate"], false);
    assert_eq!(plain().await.unwrap().json::<Value>().await.unwrap()["events"][0]["duplicate"], true);
    assert_eq!(send(api.publish("/v1/events", JSON_BATCH, "[]")).await.ok()["events"], json!([]));
    let log = api.get("/v1/events").await.ok();
    let streams: Vec<_> =
        log["events"].as_array().unwrap().iter().map(|event| event["stream"].as_str().unwrap()).collect();
    let (seven, eight) = ("topics/payment.completed/order-7", "topics/payment.completed/order-8");
    assert_eq!(streams, [seven, "topics/greeting", seven, seven, eight]);
    assert_eq!(log["events"][4]["data"], json!({"a": 1}));
}

#[tokio::test]
async fn a_topic_is_read_as_cloudevents_page_by_page_and_as_they_come() {
    let api = Api::start().await;
    send(api.publish(PAID, JSON_BATCH, json!([paid("1"), paid("2")]).to_string())).await.ok();
    api.fixture.append(&["other"]).await;
    let page = api.request(Method::GET, &format!("{PAID}?limit=1")).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], JSON_BATCH);
    let revision = page.headers()["tenon-revision"].to_str().unwrap().to_owned();
    let events = page.bytes().await.unwrap();
    let events = CloudEvent::batch_from_json(&events).unwrap();
    assert_eq!((events[0].id.as_str(), events[0].subject.as_deref()), ("1", Some("order-7")));
    assert_eq!(events[0].extension("tenonposition").as_deref(), Some("1"));
    let next = api.get(&format!("{PAID}?from={revision}")).await.ok();
    assert_eq!(next.as_array().unwrap().len(), 1);
    assert_eq!(next[0]["data"], json!({"amount": "25.00"}));
    let follow = api.request(Method::GET, &format!("{PAID}?follow=true&from=1")).send().await.unwrap();
    let told = told(follow, 2).await;
    assert_eq!((told[0].0.clone(), told[0].2["id"].clone()), (api.revision(2), json!("2")));
    assert_eq!(told[1].1, "checkpoint");
}

#[tokio::test]
async fn topics_are_listed_with_what_can_be_seen_of_them() {
    let api = Api::start().await;
    send(api.publish(PAID, JSON_BATCH, json!([paid("1"), paid("2")]).to_string())).await.ok();
    api.fixture.append(&["a", "$tenon/x"]).await;
    let list = api.get("/v1/topics").await.ok();
    assert_eq!(list["at_end"], true);
    let topics: Vec<_> = list["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["type"].clone(), it["events"].clone()))
        .collect();
    assert_eq!(topics, [(json!("test.Happened.v1"), json!(1)), (json!("payment.completed"), json!(2))]);
    assert_eq!(list["topics"][1]["last"], api.revision(2));
    assert_eq!(api.get("/v1/topics?prefix=pay").await.ok()["topics"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/v1/topics?namespace=sales").await.ok()["topics"], json!([]));
}

#[tokio::test]
async fn what_is_no_event_of_the_topic_is_refused_with_its_place() {
    let api = Api::start().await;
    let detail = async |request: reqwest::RequestBuilder| {
        let reply = send(request).await;
        assert_eq!(reply.json["code"], "request.invalid", "{}", reply.json);
        reply.json["detail"].as_str().unwrap().to_owned()
    };
    let other =
        json!([paid("1"), {"specversion": "1.0", "id": "2", "source": "/s", "type": "other"}]).to_string();
    let other = detail(api.publish(PAID, JSON_BATCH, other)).await;
    assert_eq!(other, "[1].type: is \"other\", and the path names payment.completed");
    let mut unknown = paid("1");
    unknown["tenonfoo"] = "x".into();
    assert!(
        detail(api.publish(PAID, JSON, unknown.to_string()))
            .await
            .starts_with("[0].tenonfoo: is no attribute")
    );
    assert!(
        detail(api.publish("/v1/events", "application/json", "{}"))
            .await
            .starts_with("ce-specversion: is missing")
    );
    assert!(detail(api.publish(PAID, "application/json", "{")).await.starts_with("body: is not JSON"));
    let half = api.publish(PAID, "application/json", "{}").header("ce-id", "1");
    assert!(detail(half).await.starts_with("ce-specversion: is missing"));
    let reserved = api.publish(&format!("{PAID}?stream=$tenon/x"), JSON, paid("1").to_string());
    assert_eq!(send(reserved).await.code(), "access.forbidden");
    assert_eq!(tenon_store::Log::head(&api.fixture.log).0, 0);
}

#[tokio::test]
async fn an_instance_publishes_in_its_namespace_and_its_data_have_a_source() {
    let api = Api::as_caller(instance("payment.sales")).await;
    send(api.publish(PAID, "application/json", "{}")).await.ok();
    let events = api.get(PAID).await.ok();
    assert_eq!(events[0]["source"], "/services/payment.sales");
    let there = api.publish(&format!("{PAID}?namespace=default"), JSON, paid("1").to_string());
    assert_eq!(send(there).await.code(), "access.forbidden");
}

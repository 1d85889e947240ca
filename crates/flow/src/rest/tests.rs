mod sagas;
mod subscriptions;
mod topics;

use crate::bus::{Bus, BusOptions};
use crate::saga::{SagaOptions, Sagas};
use crate::testing::{Fixture, admin, instance};
use axum::Extension;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tenon_api::caller::Caller;
use tenon_store::Log;
use tokio::net::TcpListener;

/// An event store that is served, and a client of it.
pub(super) struct Api {
    pub(super) fixture: Fixture,
    pub(super) address: String,
    client: reqwest::Client,
}

/// What came back.
pub(super) struct Reply {
    status: StatusCode,
    etag: Option<String>,
    json: Value,
}

impl Reply {
    #[track_caller]
    pub(super) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}", self.json);
        self.json
    }

    #[track_caller]
    pub(super) fn code(self) -> String {
        assert_eq!(self.json["status"], self.status.as_u16(), "{}", self.json);
        self.json["code"].as_str().unwrap().to_owned()
    }
}

pub(super) async fn send(request: RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let etag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    Reply { status: response.status(), etag, json: response.json().await.unwrap() }
}

impl Api {
    pub(super) async fn start() -> Self {
        Self::as_caller(admin()).await
    }

    pub(super) async fn as_caller(caller: Caller) -> Self {
        let fixture = Fixture::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bus = Bus::start(&fixture.store, BusOptions::default()).await.unwrap();
        let options = SagaOptions {
            leases: None,
            server: BusOptions::default().server,
            clock: tenon_store::system_clock(),
        };
        let sagas = Sagas::start(&fixture.store, std::sync::Arc::new(sagas::Willing), options).await.unwrap();
        let router = fixture.store.router().merge(bus.router()).merge(sagas.router());
        let router = router.merge(crate::metrics(&bus, &sagas)).layer(Extension(caller));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { fixture, address, client: reqwest::Client::new() }
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address))
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    fn revision(&self, position: u64) -> String {
        format!("{}@{position}", self.fixture.log.id())
    }
}

fn placed(order: u32) -> Value {
    json!({"events": [{"type": "shop.OrderPlaced.v1", "data": {"order": order}, "tags": ["customer:7"]}]})
}

const ORDER: &str = "/v1/streams/order%2F1/events";

fn positions(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn what_is_appended_is_read_with_its_version_as_etag() {
    let api = Api::start().await;
    let reply = send(api.post(ORDER, &placed(1)).header("if-none-match", "*")).await;
    let tag = reply.etag.clone().unwrap();
    assert_eq!(tag, format!("\"{}\"", api.revision(1)));
    assert_eq!(reply.ok(), json!({"revision": api.revision(1), "positions": [1], "duplicate": false}));
    let reply = api.get(ORDER).await;
    assert_eq!(reply.etag.as_deref(), Some(tag.as_str()));
    let page = reply.ok();
    let event = &page["events"][0];
    assert_eq!(event["stream"], "order/1");
    assert_eq!(event["data"], json!({"order": 1}));
    assert_eq!(event["actor"], "cli:ada");
    assert_eq!(event["tags"], json!(["customer:7"]));
    assert_eq!(page["at_end"], true);
    // Others' events move the end of the log, not what the stream is compared with.
    api.fixture.append(&["other"]).await;
    send(api.post(ORDER, &placed(2)).header("if-match", &tag)).await.ok();
    let stale = send(api.post(ORDER, &placed(3)).header("if-match", &tag)).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(stale.code(), "log.conflict");
    let exists = send(api.post(ORDER, &placed(3)).header("if-none-match", "*")).await;
    assert_eq!(exists.code(), "log.conflict");
    send(api.post(ORDER, &placed(3)).header("if-match", "*")).await.ok();
    let missing = send(api.post("/v1/streams/none/events", &placed(3)).header("if-match", "*")).await;
    assert_eq!(missing.code(), "log.conflict");
}

#[tokio::test]
async fn a_repeated_append_is_recognised_by_its_ids() {
    let api = Api::start().await;
    let mut body = placed(1);
    body["events"][0]["id"] = tenon_store::new_event_id().to_string().into();
    assert_eq!(send(api.post(ORDER, &body)).await.ok()["duplicate"], false);
    let again = send(api.post(ORDER, &body)).await.ok();
    assert_eq!((again["duplicate"].clone(), again["positions"].clone()), (json!(true), json!([1])));
}

#[tokio::test]
async fn several_streams_are_appended_to_as_one_with_what_is_expected_of_each() {
    let api = Api::start().await;
    let event = |stream: &str| json!({"stream": stream, "type": "t.v1", "data_base64": "AAEC"});
    let body = json!({
        "events": [event("a"), event("b")],
        "expected": [{"stream": "a", "version": "none"}, {"stream": "b", "version": "none"}],
        "condition": {"none_of": [{"tags": ["seat:7"]}], "after": api.revision(0)},
    });
    send(api.post("/v1/events:append", &body)).await.ok();
    let again = json!({"events": [event("c")], "expected": [{"stream": "b", "version": api.revision(1)}]});
    assert_eq!(send(api.post("/v1/events:append", &again)).await.code(), "log.conflict");
    let page = api.get("/v1/events").await.ok();
    assert_eq!(page["events"][1]["data_base64"], "AAEC");
    assert_eq!(page["events"][1].get("data"), None);
    assert_eq!(positions(&page), [1, 2]);
}

#[tokio::test]
async fn reads_are_filtered_paged_and_of_the_past() {
    let api = Api::start().await;
    // At one second, at two, and so on.
    for streams in [["order/1", "order/2"], ["payment/1", "order/1"], ["order/1", "$tenon/x"]] {
        api.fixture.append(&streams).await;
    }
    let read = async |query: &str| positions(&api.get(&format!("/v1/events?{query}")).await.ok());
    assert_eq!(read("prefix=order/").await, [1, 2, 4, 5]);
    assert_eq!(read("backward=true&limit=2").await, [5, 4]);
    assert_eq!(read("type=none.v1,test.Happened.v1&from=3").await, [4, 5]);
    assert_eq!(read("at=1970-01-01T00:00:02Z").await, [1, 2, 3, 4]);
    assert_eq!(read(&format!("at={}", api.revision(3))).await, [1, 2, 3]);
    assert_eq!(read("tag=x").await, [] as [u64; 0]);
    assert_eq!(read("namespace=other").await, [] as [u64; 0]);
    assert_eq!(read("namespace=*&limit=1").await, [1]);
    let past = api.get("/v1/streams/order%2F1/events?at=1970-01-01T00:00:02Z").await;
    assert_eq!(past.etag, None, "an append must not take the past for the present");
    assert_eq!(positions(&past.ok()), [1, 4]);
    for query in ["at=yesterday", "limit=x", "from=x", "colour=red", "prefix=a%20b", "namespace=A"] {
        assert_eq!(api.get(&format!("/v1/events?{query}")).await.code(), "request.invalid", "{query}");
    }
    let other = format!("/v1/events?from={}@1", tenon_store::new_log_id());
    assert_eq!(api.get(&other).await.code(), "log.other");
}

#[tokio::test]
async fn streams_are_listed_in_order() {
    let api = Api::start().await;
    for streams in [["a", "b"], ["c", "a"], ["d", "$tenon/x"]] {
        api.fixture.append(&streams).await;
    }
    let list = async |query: &str| api.get(&format!("/v1/streams?{query}")).await.ok();
    let names = |list: &Value| -> Vec<String> {
        let streams = list["streams"].as_array().unwrap().iter();
        streams.map(|stream| stream["stream"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("").await;
    assert_eq!(names(&all), ["a", "b", "c", "d"]);
    assert_eq!(all["streams"][0]["version"], api.revision(4));
    assert_eq!(all["streams"][0]["last_type"], "test.Happened.v1");
    assert_eq!(all.get("next"), None);
    let first = list("limit=3").await;
    assert_eq!(names(&first), ["a", "b", "c"]);
    let next = first["next"].as_str().unwrap();
    assert_eq!(names(&list(&format!("after={next}")).await), ["d"]);
    assert_eq!(names(&list("namespace=*&limit=1").await), ["a"]);
    assert_eq!(api.get("/v1/streams?after=c").await.code(), "request.invalid");
    assert_eq!(names(&list("prefix=c").await), ["c"]);
}

#[tokio::test]
async fn what_may_not_be_is_refused_with_a_problem() {
    let api = Api::start().await;
    let no_stream = json!({"events": [{"type": "t.v1"}]});
    assert_eq!(send(api.post("/v1/events:append", &no_stream)).await.code(), "request.invalid");
    assert_eq!(send(api.post(ORDER, &json!({"events": []}))).await.code(), "log.invalid");
    assert_eq!(send(api.post(ORDER, &json!({"event": 1}))).await.code(), "request.invalid");
    let reserved = send(api.post("/v1/streams/$tenon%2Fregistry/events", &placed(1))).await;
    assert_eq!(reserved.code(), "access.forbidden");
    let tenons = send(api.post(&format!("{ORDER}?namespace=tenon"), &placed(1))).await;
    assert_eq!(tenons.code(), "access.forbidden");
    let both = json!({"events": [{"type": "t.v1", "data": 1, "data_base64": "AA=="}]});
    assert_eq!(send(api.post(ORDER, &both)).await.code(), "request.invalid");
    assert_eq!(send(api.request(Method::DELETE, ORDER)).await.code(), "request.unknown");
    assert_eq!(api.fixture.log.head().0, 0);
}

#[tokio::test]
async fn an_instance_works_within_its_namespace() {
    let api = Api::as_caller(instance("order.sales")).await;
    send(api.post(ORDER, &placed(1))).await.ok();
    let page = api.get("/v1/events").await.ok();
    assert_eq!(page["events"][0]["namespace"], "sales");
    assert_eq!(page["events"][0]["actor"], "instance:order-1");
    assert_eq!(positions(&api.get("/v1/events?namespace=*").await.ok()), [1]);
    assert_eq!(api.get("/v1/events?namespace=default").await.code(), "access.forbidden");
    let there = send(api.post(&format!("{ORDER}?namespace=default"), &placed(1))).await;
    assert_eq!(there.code(), "access.forbidden");
}

/// Reads a stream of events until it has so many, each as its id, name and data.
async fn told(mut response: reqwest::Response, count: usize) -> Vec<(String, String, Value)> {
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or("").to_owned()
    };
    let events = text.split("\n\n").filter(|event| event.contains("data: "));
    events
        .map(|event| {
            let data = serde_json::from_str(&field(event, "data")).unwrap();
            (field(event, "id"), field(event, "event"), data)
        })
        .collect()
}

#[tokio::test]
async fn a_subscription_tells_events_and_how_far_it_is_and_is_resumed_by_id() {
    let api = Api::start().await;
    api.fixture.append(&["a", "b"]).await;
    let follow = || api.request(Method::GET, "/v1/streams/a/events?follow=true");
    let events = told(follow().send().await.unwrap(), 2).await;
    assert_eq!(events[0].0, api.revision(1));
    assert_eq!(events[0].2["stream"], "a");
    assert_eq!((events[1].0.clone(), events[1].1.as_str()), (api.revision(2), "checkpoint"));
    assert_eq!(events[1].2, json!({"revision": api.revision(2), "caught_up": true}));
    api.fixture.append(&["b", "a"]).await;
    let resumed = follow().header("last-event-id", api.revision(2)).send().await.unwrap();
    assert_eq!(told(resumed, 1).await[0].0, api.revision(4));
}

#[tokio::test]
async fn every_endpoint_of_the_table_is_routed() {
    let api = Api::start().await;
    use tenon_api::openapi::{BUS, EVENTS, SAGAS};
    for endpoint in EVENTS.iter().chain(BUS).chain(SAGAS) {
        let path = endpoint
            .path
            .replace("{stream}", "a")
            .replace("{subject}", "s")
            .replace("{type}", "t")
            .replace("{name}", "n")
            .replace("{saga}", "s")
            .replace("{signal}", "s");
        let response = api.request(endpoint.method.clone(), &path).send().await.unwrap();
        let code = response.headers().get("tenon-error").map(|it| it.to_str().unwrap().to_owned());
        assert_ne!(code.as_deref(), Some("request.unknown"), "{} {path}", endpoint.method);
        assert!(response.status() != StatusCode::NOT_FOUND || code.is_some(), "{} {path}", endpoint.method);
    }
}

#[tokio::test]
async fn a_stream_is_deleted_if_its_version_is_as_expected() {
    let api = Api::start().await;
    let delete = |tag: Option<&str>| {
        let request = api.request(Method::DELETE, "/v1/streams/order%2F1");
        send(match tag {
            Some(tag) => request.header("if-match", tag),
            None => request,
        })
    };
    assert_eq!(delete(None).await.code(), "log.conflict", "there is no such stream");
    let first = send(api.post(ORDER, &placed(1))).await.etag.unwrap();
    send(api.post(ORDER, &placed(2))).await.ok();
    let stale = delete(Some(&first)).await;
    assert_eq!((stale.status, stale.code().as_str()), (StatusCode::PRECONDITION_FAILED, "log.conflict"));
    let tag = api.get(ORDER).await.etag.unwrap();
    let deleted = delete(Some(&tag)).await;
    let version = deleted.etag.clone().unwrap();
    assert_eq!(deleted.ok(), json!({"revision": api.revision(3)}));
    let page = api.get(ORDER).await.ok();
    assert_eq!(
        (positions(&page), &page["events"][0]["type"]),
        (vec![3], &json!("tenon.stream.StreamDeleted.v1"))
    );
    assert_eq!(page["events"][0]["actor"], "cli:ada");
    assert_eq!(api.get("/v1/streams").await.ok()["streams"], json!([]));
    // Once more changes nothing.
    assert_eq!(delete(None).await.etag.as_deref(), Some(version.as_str()));
    let exists = send(api.post(ORDER, &placed(3)).header("if-match", "*")).await;
    assert_eq!(exists.code(), "log.conflict");
    let body = json!({
        "events": [{"stream": "order/1", "type": "shop.OrderPlaced.v1"}],
        "expected": [{"stream": "order/1", "version": "none"}, {"stream": "order/2", "version": "none"}],
    });
    send(api.post("/v1/events:append", &body)).await.ok();
    assert_eq!(positions(&api.get(ORDER).await.ok()), [3, 4]);
    let tenons =
        send(api.request(Method::DELETE, "/v1/streams/%24tenon%2Fconfig").header("if-match", "*")).await;
    assert_eq!(tenons.code(), "access.forbidden");
}

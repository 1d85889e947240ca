//! Forgetting as it is served: over HTTP and over gRPC, the same keys behind both.

use super::{Fixture, SUBJECT};
use crate::testing::{admin, instance};
use crate::{EventStore, EventStoreOptions};
use axum::Extension;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenon_api::caller::Caller;
use tenon_api::eventstore::{Event, EventStoreServiceClient, v1};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

struct Served {
    address: String,
    grpc: EventStoreServiceClient<Channel>,
}

impl Served {
    async fn start(fixture: &Fixture, caller: Caller) -> Self {
        let store = EventStore::with_vault(fixture.open().await, EventStoreOptions::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = store.router().layer(Extension(caller));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
        Self { address, grpc: EventStoreServiceClient::new(channel) }
    }

    async fn http(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.address));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Appends over HTTP.
    async fn append(&self, stream: &str, subject: &str) -> (StatusCode, Value) {
        let event = json!({"type": "shop.Moved.v1", "subject": subject, "data": {"street": "12 Elm Street"}});
        self.http(Method::POST, &format!("/v1/streams/{stream}/events"), Some(json!({"events": [event]})))
            .await
    }

    /// The event of a stream, as HTTP tells it.
    async fn told(&self, stream: &str) -> Value {
        let (_, page) = self.http(Method::GET, &format!("/v1/streams/{stream}/events"), None).await;
        page["events"][0].clone()
    }

    /// The event of a stream, as gRPC tells it.
    async fn read(&mut self, stream: &str) -> Event {
        let item = v1::QueryItem { streams: vec![stream.to_owned()], ..v1::QueryItem::default() };
        let query = Some(v1::Query { items: vec![item], ..v1::Query::default() });
        let request = v1::ReadRequest { query, ..v1::ReadRequest::default() };
        let mut pages = self.grpc.read(request).await.unwrap().into_inner();
        pages.message().await.unwrap().unwrap().events.remove(0)
    }
}

#[tokio::test]
async fn what_is_forgotten_over_http_is_told_by_neither() {
    let fixture = Fixture::new();
    let mut served = Served::start(&fixture, admin()).await;
    assert_eq!(served.append("a", "c-7").await.0, StatusCode::OK);
    assert_eq!(served.append("b", "c-8").await.0, StatusCode::OK);
    assert_eq!(served.told("a").await["data"], json!({"street": "12 Elm Street"}));
    let (status, answer) = served.http(Method::DELETE, "/v1/subjects/c-7", None).await;
    assert_eq!(status, StatusCode::OK);
    // Once more is told where the first time was.
    assert_eq!(served.http(Method::DELETE, "/v1/subjects/c-7", None).await.1, answer);
    let forgotten = served.told("a").await;
    assert_eq!((&forgotten["withheld"], forgotten.get("data")), (&json!("forgotten"), None));
    let read = served.read("a").await;
    assert_eq!((read.data.len(), read.other["tenon.withheld"].as_str()), (0, "forgotten"));
    assert_eq!(
        served.read("b").await.data,
        r#"{"street":"12 Elm Street"}"#.as_bytes(),
        "others are not concerned"
    );
    let (status, refused) = served.append("a", "c-7").await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("subject.forgotten")));
}

#[tokio::test]
async fn what_is_forgotten_over_grpc_is_told_by_neither() {
    let fixture = Fixture::new();
    let mut served = Served::start(&fixture, admin()).await;
    let mut event = Event {
        id: Some(tenon_store::new_event_id()),
        stream: Some("a".parse().unwrap()),
        event_type: Some("shop.Moved.v1".parse().unwrap()),
        data: "{}".into(),
        ..Event::default()
    };
    event.other.insert(SUBJECT.to_owned(), "c-7".to_owned());
    let append =
        |event: &Event| v1::AppendRequest { events: vec![event.clone()], ..v1::AppendRequest::default() };
    served.grpc.append(append(&event)).await.unwrap();
    assert_eq!(served.read("a").await.data, "{}".as_bytes());
    let forget = v1::ForgetSubjectRequest { subject: "c-7".into(), ..v1::ForgetSubjectRequest::default() };
    served.grpc.forget_subject(forget).await.unwrap();
    assert_eq!(served.read("a").await.other["tenon.withheld"], "forgotten");
    assert_eq!(served.told("a").await["withheld"], "forgotten");
    event.id = Some(tenon_store::new_event_id());
    let refused = served.grpc.append(append(&event)).await.unwrap_err();
    assert_eq!(refused.metadata().get("tenon-error").unwrap(), "subject.forgotten");
}

#[tokio::test]
async fn an_instance_forgets_nobody() {
    let served = Served::start(&Fixture::new(), instance("order.sales")).await;
    let (status, refused) = served.http(Method::DELETE, "/v1/subjects/c-7", None).await;
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("access.forbidden")));
}

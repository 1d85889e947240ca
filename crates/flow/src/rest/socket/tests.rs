use super::super::tests::Api;
use crate::testing::instance;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const MAIL: &str = "/v1/subscriptions/mail";

/// A consumer.
struct Consumer(WebSocketStream<TcpStream>);

impl Consumer {
    async fn connect(api: &Api, path: &str, protocol: Option<&str>) -> Result<Self, Error> {
        let authority = api.address.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{authority}{path}").into_client_request()?;
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        let stream = TcpStream::connect(authority).await.unwrap();
        let (socket, answer) = client_async(request, stream).await?;
        assert_eq!(answer.headers()["sec-websocket-protocol"], "cloudevents.json");
        Ok(Self(socket))
    }

    async fn join(api: &Api, most: u32) -> Self {
        let path = format!("{MAIL}/pull?most={most}");
        // The first that is known here is taken.
        Self::connect(api, &path, Some("mqtt, cloudevents.json")).await.unwrap()
    }

    async fn send(&mut self, message: impl Into<Message>) {
        self.0.send(message.into()).await.unwrap();
    }

    async fn answer(&mut self, answer: Value) {
        self.send(answer.to_string()).await;
    }

    async fn event(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// How the server ends the connection.
    async fn end(mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.0.next().await.unwrap().unwrap() {
                let frame = frame.unwrap();
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

async fn subscribed(definition: Value) -> Api {
    let api = Api::start().await;
    api.define(MAIL, &definition).await.ok();
    api
}

fn from_the_beginning() -> Value {
    json!({"start": "beginning", "order_by": "none"})
}

fn of(event: &Value) -> (&str, i64) {
    (event["tenonstream"].as_str().unwrap(), event["tenonattempt"].as_i64().unwrap())
}

async fn acked(api: &Api) -> Value {
    api.get(MAIL).await.ok()["status"]["acked"].clone()
}

#[tokio::test]
async fn events_are_given_as_cloudevents_and_settled_by_their_tickets() {
    let api = subscribed(from_the_beginning()).await;
    api.fixture.append(&["a", "b"]).await;
    let mut consumer = Consumer::join(&api, 2).await;
    let (first, second) = (consumer.event().await, consumer.event().await);
    assert_eq!((of(&first), of(&second)), (("a", 1), ("b", 1)));
    assert_eq!((&first["specversion"], &first["type"]), (&json!("1.0"), &json!("test.Happened.v1")));
    assert_eq!(first["data"], json!({"of": "a"}));
    let refused = json!({"ticket": second["tenonticket"], "delay_ms": 0});
    consumer.answer(json!({"acks": [first["tenonticket"]], "nacks": [refused]})).await;
    let again = consumer.event().await;
    assert_eq!(of(&again), ("b", 2));
    // What an earlier driver gave, and what is settled, is passed over.
    consumer.answer(json!({"acks": [first["tenonticket"], "0.7", again["tenonticket"]]})).await;
    while acked(&api).await != 2 {}
}

#[tokio::test]
async fn what_a_consumer_holds_when_it_leaves_is_given_to_another() {
    let api = subscribed(from_the_beginning()).await;
    api.fixture.append(&["a"]).await;
    let mut first = Consumer::join(&api, 1).await;
    assert_eq!(of(&first.event().await), ("a", 1));
    first.0.close(None).await.unwrap();
    let mut second = Consumer::join(&api, 1).await;
    assert_eq!(of(&second.event().await), ("a", 2));
    // Nor does one that is cut off keep anything.
    drop(second);
    let mut third = Consumer::join(&api, 1).await;
    assert_eq!(of(&third.event().await), ("a", 3));
}

#[tokio::test]
async fn no_more_is_given_than_the_consumer_wants() {
    let api = subscribed(from_the_beginning()).await;
    let mut consumer = Consumer::join(&api, 1).await;
    consumer.answer(json!({"most": 0})).await;
    let is_idle = async || api.get(MAIL).await.ok()["status"]["in_flight"] == 0;
    api.fixture.append(&["a", "b", "c"]).await;
    // It may have been given one before it said so.
    let mut given = Vec::new();
    if !is_idle().await {
        given.push(consumer.event().await);
    }
    consumer.answer(json!({"most": 3})).await;
    while given.len() < 3 {
        given.push(consumer.event().await);
    }
    let streams: Vec<&str> = given.iter().map(|event| of(event).0).collect();
    assert_eq!(streams, ["a", "b", "c"]);
}

#[tokio::test]
async fn the_end_of_a_connection_says_why() {
    let api = subscribed(from_the_beginning()).await;
    let ended = async |message: Message| {
        let mut consumer = Consumer::join(&api, 1).await;
        consumer.send(message).await;
        consumer.end().await
    };
    let (code, reason) = ended(Message::text("{\"ack\": []}")).await;
    assert_eq!(code, 1007);
    assert!(reason.starts_with("request.invalid: unknown field `ack`"), "{reason}");
    let (code, reason) = ended(Message::text("{\"acks\": [\"x\"]}")).await;
    assert_eq!((code, reason.as_str()), (1007, "request.invalid: ticket: \"x\" is none"));
    assert_eq!(ended(Message::binary(vec![0_u8])).await.0, 1003);
    assert_eq!(ended(Message::text(" ".repeat(super::MOST_BYTES + 1))).await.0, 1009);

    let consumer = Consumer::join(&api, 1).await;
    api.define(MAIL, &json!({"types": ["other"]})).await.ok();
    let (code, reason) = consumer.end().await;
    assert_eq!(code, 1012);
    assert!(reason.starts_with("subscription.ended: "), "{reason}");

    let consumer = Consumer::join(&api, 1).await;
    api.fixture.store.stop();
    let (code, reason) = consumer.end().await;
    assert_eq!((code, reason.as_str()), (1001, "server.unavailable: the server is ending"));
}

#[tokio::test]
async fn a_handshake_that_is_not_right_is_refused_with_a_problem() {
    let api = subscribed(json!({})).await;
    let refused =
        async |path: &str, protocol: Option<&str>| match Consumer::connect(&api, path, protocol).await {
            Err(Error::Http(answer)) => answer.headers()["tenon-error"].to_str().unwrap().to_owned(),
            other => panic!("{:?}", other.map(|_| ())),
        };
    let pull = format!("{MAIL}/pull");
    assert_eq!(refused(&pull, None).await, "request.invalid");
    assert_eq!(refused(&pull, Some("mqtt")).await, "request.invalid");
    let json = Some("cloudevents.json");
    assert_eq!(refused("/v1/subscriptions/none/pull", json).await, "subscription.unknown");
    let upgrade = api.request(reqwest::Method::GET, &pull).header("upgrade", "websocket");
    assert_eq!(super::super::tests::send(upgrade).await.code(), "request.invalid");

    let api = Api::as_caller(instance("order.sales")).await;
    let elsewhere = format!("{pull}?namespace=default");
    match Consumer::connect(&api, &elsewhere, json).await {
        Err(Error::Http(answer)) => assert_eq!(answer.headers()["tenon-error"], "access.forbidden"),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

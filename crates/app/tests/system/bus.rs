//! Subscriptions: pushed to services through the mesh, pulled on the command line, parked and taken up again.

use crate::support::process::{Signal, send};
use crate::support::{Folder, System, eventually, program, python};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// A service that takes events in (`programs/consumer.py`), and a subscription that sends it numbers.
fn manifest(taken: &Path, subscriptions: &str) -> String {
    format!(
        "name: test
services:
  consumer:
    command: [\"{}\", \"{}\"]
    env: {{TAKEN: \"{}\"}}
    interfaces:
      - {{name: events, endpoints: [{{path: /events, method: POST}}]}}
    health: {{http: {{path: /health}}, interval: 1s, timeout: 1s}}
{subscriptions}",
        python(),
        program("consumer.py"),
        taken.display(),
    )
}

fn numbers(max_deliveries: u32) -> String {
    format!(
        "subscriptions:
  numbers:
    types: [number.counted]
    push: {{service: consumer, path: /events}}
    max_deliveries: {max_deliveries}
    backoff: {{delay: {{fixed: 50ms}}, jitter: none}}
    parked_key: continue
"
    )
}

async fn start(folder: &Rc<Folder>, max_deliveries: u32) -> (System, PathBuf) {
    let taken = folder.path().join("taken");
    folder.write_manifest(&manifest(&taken, &numbers(max_deliveries)));
    (System::start_in(Rc::clone(folder)).await, taken)
}

async fn publish(system: &System, numbers: std::ops::Range<u32>) {
    publish_at(&system.urls.api, &system.token, numbers).await;
}

/// Publishes numbers in a few batches, under keys in turn.
pub(crate) async fn publish_at(api: &str, token: &str, numbers: std::ops::Range<u32>) {
    let url = format!("{api}/v1/events");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let event = |number: u32| {
        json!({"specversion": "1.0", "id": format!("n-{number}"), "source": "/test", "type": "number.counted",
            "partitionkey": format!("k{}", number % 4), "data": {"number": number}})
    };
    let events: Vec<Value> = numbers.map(event).collect();
    for batch in events.chunks(50) {
        let request = client.post(&url).bearer_auth(token).body(json!(batch).to_string());
        let request = request.header("content-type", "application/cloudevents-batch+json");
        assert!(request.send().await.unwrap().status().is_success());
    }
}

/// What the consumer has taken in: the numbers of each key in the order that they were taken.
fn taken(file: &Path) -> BTreeMap<String, Vec<u32>> {
    let mut taken: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        taken.entry(parts[1].to_owned()).or_default().push(parts[2].parse().unwrap());
    }
    taken
}

#[tokio::test]
async fn a_consumer_that_is_killed_misses_nothing_and_takes_nothing_in_twice() {
    let folder = Rc::new(Folder::with("name: test\nservices: {}\n"));
    let (system, file) = start(&folder, 1_000).await;
    publish(&system, 0..200).await;
    let count = || taken(&file).values().map(Vec::len).sum::<usize>();
    eventually("some have been taken", async || (count() > 20).then_some(())).await;
    send(system.pid_of("consumer").await, Signal::KILL);
    publish(&system, 200..300).await;
    eventually("all have been taken", async || (count() >= 300).then_some(())).await;
    let taken = taken(&file);
    for (key, numbers) in &taken {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
    let all: BTreeSet<u32> = taken.values().flatten().copied().collect();
    assert_eq!((all.len(), count()), (300, 300));
    let tenon = system.tenon();
    let acknowledged = async || {
        let shown = tenon.json(&["subscriptions", "show", "numbers"]).await;
        (shown["status"]["acked"] == 300).then_some(shown)
    };
    let shown = eventually("all are acknowledged", acknowledged).await;
    assert_eq!((&shown["declared"], &shown["status"]["parked"]), (&json!(true), &json!(0)));
}

#[tokio::test]
async fn what_a_consumer_never_takes_is_parked_and_what_the_manifest_no_longer_has_is_gone() {
    let folder = Rc::new(Folder::with("name: test\nservices: {}\n"));
    let (system, file) = start(&folder, 2).await;
    let tenon = system.tenon();
    let publish = async |data: &str, id: &str| {
        let key = ["topics", "publish", "number.counted", data, "--id", id, "--key", "k"];
        tenon.run(&key).await.succeeded()
    };
    publish("{\"poison\":true}", "bad").await;
    publish("{\"number\":7}", "good").await;
    let parked = async || {
        let list = tenon.json(&["parked", "list", "numbers"]).await;
        (list["parked"].as_array()?.len() == 1).then(|| list["parked"][0].clone())
    };
    let parked = eventually("the bad event is parked", parked).await;
    assert_eq!((&parked["attempts"], &parked["cause"]), (&json!(2), &json!("refused")));
    assert_eq!(parked["event"]["id"], "bad");
    eventually("the good one is taken", async || taken(&file).contains_key("k").then_some(())).await;
    let position = parked["position"].to_string();
    let table = tenon.run(&["parked", "list", "numbers"]).await.succeeded();
    assert!(table.out.contains("number.counted"), "{table:?}");
    tenon.run(&["parked", "show", "numbers", &position]).await.succeeded();
    tenon.run(&["parked", "retry", "numbers", "999"]).await.exited(4);
    tenon.run(&["parked", "drop", "numbers", &position]).await.succeeded();
    let shown = tenon.json(&["subscriptions", "show", "numbers"]).await;
    assert_eq!((&shown["status"]["parked"], &shown["status"]["discarded"]), (&json!(0), &json!(1)));

    // What is in the manifest changes there only.
    tenon.run(&["subscriptions", "delete", "numbers"]).await.exited(3);
    let create = ["subscriptions", "create", "mail", "--type", "number.counted", "--start", "beginning"];
    tenon.run(&create).await.succeeded();
    let pulled = tenon.run(&["subscriptions", "pull", "mail", "-n", "2", "-o", "json"]).await.succeeded();
    let ids: Vec<Value> = pulled
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"]["id"].clone())
        .collect();
    assert_eq!(ids, ["bad", "good"]);
    folder.write_manifest(&manifest(&file, ""));
    tenon.run(&["up"]).await.succeeded();
    let rest = async || {
        let list = tenon.json(&["subscriptions", "list"]).await;
        let names: Vec<Value> =
            list["subscriptions"].as_array()?.iter().map(|it| it["name"].clone()).collect();
        (names == ["mail"]).then_some(())
    };
    eventually("the manifest's subscription is gone", rest).await;
    tenon.run(&["subscriptions", "delete", "mail"]).await.succeeded();
}

/// A subscription that is pulled over WebSocket.
pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Pulls a subscription over WebSocket.
pub(crate) async fn socket(
    api: &str,
    token: &str,
    name: &str,
    origin: Option<&str>,
) -> Result<Socket, Error> {
    let authority = api.strip_prefix("http://").unwrap();
    let url = format!("ws://{authority}/v1/subscriptions/{name}/pull?most=2");
    let mut request = url.into_client_request()?;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("sec-websocket-protocol", "cloudevents.json")];
    for (name, value) in headers.into_iter().chain(origin.map(|origin| ("origin", origin))) {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    Ok(client_async(request, TcpStream::connect(authority).await.unwrap()).await?.0)
}

/// The next text, or the code that the server closes with.
pub(crate) async fn told(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => return Err(frame.unwrap().code.into()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn events_are_pulled_over_websocket_and_go_to_another_when_a_consumer_is_cut_off() {
    let folder = Rc::new(Folder::with("name: test\nservices: {}\n"));
    folder.write_manifest(&manifest(&folder.path().join("taken"), ""));
    let system = System::start_in(Rc::clone(&folder)).await;
    let tenon = system.tenon();
    tenon.run(&["subscriptions", "create", "mail", "--type", "number.counted"]).await.succeeded();
    publish(&system, 0..2).await;
    let mut first = socket(&system.urls.api, &system.token, "mail", None).await.unwrap();
    let given = told(&mut first).await.unwrap();
    assert_eq!((&given["id"], &given["data"]), (&json!("n-0"), &json!({"number": 0})));
    let ack = json!({"acks": [given["tenonticket"]]}).to_string();
    first.send(Message::text(ack)).await.unwrap();
    assert_eq!(told(&mut first).await.unwrap()["tenonattempt"], 1);
    let acked = async || {
        let shown = tenon.json(&["subscriptions", "show", "mail"]).await;
        (shown["status"]["acked"] == 1).then_some(())
    };
    eventually("one is acknowledged", acked).await;
    drop(first);
    let mut second = socket(&system.urls.api, &system.token, "mail", Some(&system.urls.api)).await.unwrap();
    let again = told(&mut second).await.unwrap();
    assert_eq!((&again["id"], &again["tenonattempt"]), (&json!("n-1"), &json!(2)));

    match socket(&system.urls.api, &system.token, "mail", Some("http://elsewhere.example")).await {
        Err(Error::Http(answer)) => assert_eq!(answer.headers()["tenon-error"], "access.origin"),
        other => panic!("{other:?}"),
    }
    tenon.run(&["down"]).await.succeeded();
    // Whichever is first: the server says that it ends, or the subscription that nobody drives it.
    let end = told(&mut second).await;
    assert!(matches!(end, Err(1001 | 1012)), "{end:?}");
}

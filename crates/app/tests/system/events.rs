//! The event store: its commands, its HTTP API, its gRPC service, and what a restart leaves of it.

use crate::support::process::{Signal, send};
use crate::support::{Folder, System, eventually};
use serde_json::json;
use tenon_sdk::remote::{RemoteLog, RemoteOptions};
use tenon_store::{Direction, NewEvent, Query};

/// A system of which nothing runs but Tenon itself.
pub(crate) async fn start() -> System {
    let manifest = "name: test\nservices:\n  elsewhere:\n    addresses: [\"127.0.0.1:9\"]\n    interfaces:\n      - {name: work, endpoints: [{path: /}]}\n";
    System::begin(Folder::with(manifest), &[]).await
}

#[tokio::test]
async fn events_are_appended_read_watched_and_seen_as_they_were() {
    let system = start().await;
    let tenon = system.tenon();
    let append = async |stream: &str, event: &str, more: &[&str]| {
        tenon.run(&[&["events", "append", stream, event][..], more].concat()).await
    };
    let mut watch = tenon.follow(&["events", "watch", "--from", "0", "-o", "json"]);
    append("order/1", "shop.OrderPlaced.v1", &["{\"total\":\"25.00\"}", "--expect", "none"])
        .await
        .succeeded();
    let placed = tenon.json(&["events", "read", "order/1"]).await;
    let (version, time) =
        (placed["revision"].as_str().unwrap(), placed["events"][0]["time"].as_str().unwrap());
    assert_eq!(placed["events"][0]["data"], json!({"total": "25.00"}));
    assert!(placed["events"][0]["actor"].as_str().unwrap().starts_with("cli"));
    append("order/1", "shop.OrderPlaced.v1", &["{}", "--expect", "none"]).await.exited(5);
    append("order/1", "shop.OrderPaid.v1", &["--expect", version, "--tag", "card:7"]).await.succeeded();
    append("order/1", "shop.OrderPaid.v1", &["--expect", version]).await.exited(5);
    append("note/1", "shop.Noted.v1", &["just a text"]).await.succeeded();

    let table = tenon.run(&["events", "read", "--prefix", "order/", "--backward"]).await.succeeded();
    assert!(table.out.starts_with("POSITION") && table.out.lines().count() == 3, "{table:?}");
    assert!(table.out.lines().nth(1).unwrap().contains("shop.OrderPaid.v1"), "{table:?}");
    let then = tenon.json(&["events", "read", "order/1", "--at", time]).await;
    assert_eq!(then["events"].as_array().unwrap().len(), 1);
    let streams = tenon.run(&["events", "streams"]).await.succeeded();
    let names: Vec<&str> = streams.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["STREAM", "note/1", "order/1"]);
    for expected in ["OrderPlaced", "OrderPaid", "just a text"] {
        assert!(watch.next().await.contains(expected));
    }
    tenon.run(&["events", "delete", "order/1", "--expect", version]).await.exited(5);
    tenon.run(&["events", "delete", "order/2"]).await.exited(5);
    tenon.run(&["events", "delete", "order/1"]).await.succeeded();
    let left = tenon.json(&["events", "read", "--prefix", "order/"]).await;
    assert_eq!(left["events"].as_array().unwrap().len(), 1);
    assert_eq!(left["events"][0]["type"], "tenon.stream.StreamDeleted.v1");
    append("order/1", "shop.OrderPlaced.v1", &["{}", "--expect", "none"]).await.succeeded();

    append("$tenon/registry", "shop.Forged.v1", &[]).await.exited(7);
    append("a b", "shop.Noted.v1", &[]).await.exited(3);
}

#[tokio::test]
async fn a_remote_log_and_a_watch_outlive_a_killed_server() {
    let system = start().await;
    let tenon = system.tenon();
    let mut watch = tenon.follow(&["events", "watch", "--from", "0", "-o", "json"]);
    let options = RemoteOptions { address: system.urls.api.clone(), token: system.token.clone() };
    let log = RemoteLog::connect(&options).await.unwrap().into_log();
    let event = |number: u32| {
        let data = number.to_string().into();
        NewEvent::new(Default::default(), "n".parse().unwrap(), "test.Counted.v1".parse().unwrap(), data)
    };
    for number in 0..3 {
        log.append(vec![event(number)], None).await.unwrap();
        // A watch that had not begun would end with the server.
        assert!(watch.next().await.contains(&format!("\"data\":{number}")));
    }
    let server = system.role("server").await;
    send(server, Signal::KILL);
    let late = event(3);
    // Repeated with the same id until there is an answer, it is appended once.
    while log.append(vec![late.clone()], None).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let page = log.read(Query::user(), Default::default(), Direction::Forward, 10).await.unwrap();
    let data: Vec<&[u8]> = page.events.iter().map(|event| &event.data[..]).collect();
    assert_eq!(data, [b"0", b"1", b"2", b"3"]);
    assert!(watch.next().await.contains("\"data\":3"));
}

#[tokio::test]
async fn a_forgotten_subject_stays_forgotten_over_a_restart() {
    let system = start().await;
    let tenon = system.tenon();
    let append = async |data: &str, subject: &str| {
        let event = ["events", "append", "customer/7", "shop.CustomerMoved.v1", data, "--subject", subject];
        tenon.run(&event).await
    };
    append("{\"street\":\"Elm\"}", "c-7").await.succeeded();
    append("{\"street\":\"Oak\"}", "c-8").await.succeeded();
    let segments = std::fs::read_dir(system.folder.data().join("log")).unwrap();
    for file in segments.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let content = std::fs::read(&file).unwrap();
        assert!(!content.windows(3).any(|part| part == b"Elm"), "{file:?} holds the payload");
    }
    let read = async || tenon.json(&["events", "read", "customer/7"]).await["events"].clone();
    assert_eq!(read().await[0]["data"]["street"], "Elm");
    tenon.run(&["events", "forget", "c-7"]).await.succeeded();
    let server = system.role("server").await;
    send(server, Signal::KILL);
    system.role_other_than("server", server).await;
    let after = eventually("the server answers", async || {
        let said = tenon.run(&["events", "read", "customer/7", "-o", "json"]).await;
        (said.code == 0).then(|| said.json()["events"].clone())
    })
    .await;
    assert_eq!((after[0].get("data"), &after[0]["withheld"]), (None, &json!("forgotten")));
    assert_eq!(after[1]["data"]["street"], "Oak");
    append("{}", "c-7").await.exited(5);
    let table = tenon.run(&["events", "read", "customer/7"]).await.succeeded();
    assert!(table.out.contains("forgotten"), "{table:?}");
}

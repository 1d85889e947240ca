//! The files of the log: looked at, copied and restored by `tenon log`, and forgotten by age and size.

use crate::support::{Folder, System, Tenon, eventually};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tenon_backends::testing;
use tenon_sdk::remote::{RemoteLog, RemoteOptions};
use tenon_store::{Direction, NewEvent, Query, ReadError};

const MANIFEST: &str = "name: test\nservices:\n  elsewhere:\n    addresses: [\"127.0.0.1:9\"]\n    interfaces:\n      - {name: work, endpoints: [{path: /}]}\n";

async fn dump(tenon: &Tenon, folder: &Path) -> Vec<Value> {
    let said = tenon.run(&["log", "dump", "--folder", folder.to_str().unwrap()]).await.succeeded();
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The only segment of a small log.
fn segment(folder: &Path) -> PathBuf {
    folder.join("00000000000000000001.seg")
}

#[tokio::test]
async fn a_log_in_use_is_looked_at_copied_and_restored() {
    let system = System::begin(Folder::with(MANIFEST), &[]).await;
    let tenon = system.tenon();
    for number in ["1", "2", "3"] {
        let event = ["events", "append", "order/1", "shop.Noted.v1", number];
        tenon.run(&event).await.succeeded();
    }
    let [copy, restored] = ["copy", "restored"].map(|name| system.folder.path().join(name));
    let [copied_to, restored_to] = [&copy, &restored].map(|path| path.to_str().unwrap());
    let stat = tenon.json(&["log", "stat"]).await;
    assert_eq!((&stat["segments"], &stat["scavenged_segments"]), (&1.into(), &0.into()));
    let verified = tenon.json(&["log", "verify"]).await;
    assert_eq!((&verified["damage"], &verified["log"]), (&Value::Array(Vec::new()), &stat["log"]));
    let of_orders = tenon.run(&["log", "dump", "--stream", "order/1"]).await.succeeded();
    assert_eq!(of_orders.out.lines().count(), 3);
    tenon.run(&["log", "backup", copied_to]).await.succeeded();
    tenon.run(&["events", "append", "order/1", "shop.Noted.v1", "4"]).await.succeeded();
    let second = tenon.json(&["log", "backup", copied_to]).await;
    let events = dump(&tenon, &copy).await;
    let noted = events.iter().rfind(|event| event["stream"] == "order/1").unwrap();
    assert_eq!(noted["data"]["json"], 4);
    assert_eq!(second["head"], events.last().unwrap()["position"]);

    tenon.run(&["log", "restore", copied_to, restored_to]).await.succeeded();
    assert_eq!(dump(&tenon, &restored).await, events);
    let stat = tenon.json(&["log", "stat", "--folder", restored_to]).await;
    assert_ne!(stat["log"], second["log"], "a restored log is another one");
    tenon.run(&["log", "restore", copied_to, restored_to]).await.exited(70);

    // What was interrupted is no log until it is restored again.
    std::fs::write(restored.join("RESTORING"), "").unwrap();
    let refused = tenon.run(&["log", "stat", "--folder", restored_to]).await.exited(70);
    assert!(refused.err.contains("restore it again"), "{refused:?}");
    tenon.run(&["log", "restore", copied_to, restored_to]).await.succeeded();
    assert_eq!(dump(&tenon, &restored).await, events);

    let mut bytes = std::fs::read(segment(&restored)).unwrap();
    bytes[200] ^= 1;
    std::fs::write(segment(&restored), bytes).unwrap();
    let damaged = tenon.run(&["log", "verify", "--folder", restored_to]).await.exited(70);
    assert!(damaged.out.contains("damaged") && damaged.err.contains("restore"), "{damaged:?}");
}

#[tokio::test]
async fn what_is_more_than_is_kept_is_forgotten_and_the_system_stays() {
    let folder = Folder::with(MANIFEST);
    let system = System::begin(folder, &["--keep-size", "1Mi", "--keep-for", "9999h"]).await;
    let options = RemoteOptions { address: system.urls.api.clone(), token: system.token.clone() };
    let log = RemoteLog::connect(&options).await.unwrap().into_log();
    let event = || {
        let data = vec![7; 1 << 20].into();
        NewEvent::new(Default::default(), "n".parse().unwrap(), "test.Filled.v1".parse().unwrap(), data)
    };
    // Segments have 16 MiB.
    for _ in 0..40 {
        log.append(vec![event()], None).await.unwrap();
    }
    let first = eventually("the oldest events are forgotten", async || {
        let read = log.read(Query::user(), Default::default(), Direction::Forward, 1).await;
        match read {
            Err(ReadError::Truncated { first }) => Some(first),
            _ => None,
        }
    })
    .await;
    let page = log.read(Query::user(), tenon_core::Position(first.0 - 1), Direction::Forward, 1).await;
    assert_eq!(page.unwrap().events.len(), 1);
    let tenon = system.tenon();
    assert_eq!(tenon.json(&["status"]).await["system"], "test");
    tenon.run(&["log", "verify"]).await.succeeded();
    let refused = ["server", "--log", "postgres://nowhere/none", "--keep-size", "1Mi"];
    tenon.run(&refused).await.exited(3);
}

#[tokio::test]
async fn a_log_is_taken_to_a_database_and_back() {
    let system = System::begin(Folder::with(MANIFEST), &[]).await;
    let tenon = system.tenon();
    for number in ["1", "2", "3"] {
        tenon.run(&["events", "append", "order/1", "shop.Noted.v1", number]).await.succeeded();
    }
    let folders = ["copy", "files", "again"].map(|name| system.folder.path().join(name));
    let [copy, files, again] = [0, 1, 2].map(|at: usize| folders[at].to_str().unwrap());
    tenon.run(&["log", "backup", copy]).await.succeeded();
    tenon.run(&["log", "restore", copy, files, "--same-id"]).await.succeeded();
    let expected = dump(&tenon, &folders[1]).await;
    let database = testing::shared().database();
    let migrated = tenon.json(&["log", "migrate", files, &database]).await;
    assert_eq!(migrated["events"], expected.len());
    tenon.run(&["log", "migrate", files, &database]).await.exited(3);
    tenon.run(&["log", "migrate", &database, again]).await.succeeded();
    assert_eq!(dump(&tenon, &folders[2]).await, expected);
    tenon.run(&["log", "migrate", "postgres://ada:secret@db/shop", again]).await.exited(3);
    let without_log = system.folder.path().to_str().unwrap();
    tenon.run(&["log", "migrate", without_log, again]).await.exited(4);
}

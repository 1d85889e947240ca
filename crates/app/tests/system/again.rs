//! `tenon up` where a system runs already, and systems in the background.

use crate::support::process::{descendants, is_alive};
use crate::support::{Folder, Said, System, Tenon, UP, eventually, payment, quote_route, system_of};
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;

fn manifest(replicas: u32, config: &str) -> String {
    let config = format!("config: {{payment: {{{config}}}}}\n{}", quote_route(&[]));
    system_of(&[payment(replicas)], &config)
}

async fn value(tenon: &Tenon, key: &str) -> String {
    tenon.run(&["config", "get", "payment", key]).await.succeeded().out.trim().to_owned()
}

#[tokio::test]
async fn a_second_up_applies_the_manifest_to_the_system_that_runs() {
    let system = System::start(&manifest(1, "fee: 1, limit: 10, colour: red")).await;
    let tenon = system.tenon();
    let supervisor = system.supervisor();
    let pid = system.pid_of("payment").await;

    let said = tenon.run(&["up"]).await.succeeded();
    assert!(said.err.contains("the manifest has not changed"), "{}", said.err);

    // By hand: one key that the manifest will change too, and one that it will leave alone.
    tenon.run(&["config", "set", "payment", "fee", "7"]).await.succeeded();
    tenon.run(&["config", "set", "payment", "limit", "70"]).await.succeeded();
    system.folder.write_manifest(&manifest(2, "fee: 2, limit: 10, colour: blue, extra: [1, 2]"));
    let said = tenon.run(&["up"]).await.succeeded();
    assert!(said.err.contains("changed"), "{}", said.err);
    assert_eq!(said.out, "", "remarks are no data");

    assert_eq!(value(&tenon, "fee").await, "2", "the manifest changed it since it was last applied");
    assert_eq!(value(&tenon, "limit").await, "70", "the manifest did not: what was set by hand stays");
    assert_eq!(value(&tenon, "colour").await, "\"blue\"");
    assert_eq!(value(&tenon, "extra").await, "[1,2]");
    let instances = system.has_healthy("payment", 2).await;
    assert!(instances.iter().any(|it| it.pid == Some(pid)), "the first instance goes on: {instances:?}");
    assert_eq!(system.supervisor(), supervisor);
    let lock = fs::read_to_string(system.folder.data().join("LOCK")).unwrap();
    assert_eq!(lock.trim(), supervisor.to_string());
}

#[tokio::test]
async fn a_second_up_waits_for_a_system_that_is_only_just_starting() {
    let folder = Rc::new(Folder::with(&manifest(2, "fee: 1")));
    let lock = folder.data().join("LOCK");
    let (system, said) = tokio::join!(System::begin(Rc::clone(&folder), &[]), async {
        eventually("the lock is taken", async || fs::read(&lock).ok().filter(|it| !it.is_empty())).await;
        folder.tenon().run(&["up"]).await
    });
    let said = said.succeeded();
    assert!(said.err.contains("running already"), "{}", said.err);
    assert!(system.is_complete().await, "it returned once all was healthy");
}

#[tokio::test]
async fn programs_read_what_up_did_as_json() {
    let (system, said) = Background::start(Folder::with(&manifest(1, "fee: 1")), &["-o", "json"]).await;
    let endpoints = said.succeeded().json();
    assert!(endpoints["gateway"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{endpoints}");
    system.folder.write_manifest(&manifest(1, "fee: 2"));
    let outcome = system.tenon.json(&["up"]).await;
    assert_eq!((&outcome["applied"], outcome["changes"].as_array().unwrap().len()), (&json!(true), 1));
}

#[tokio::test]
async fn a_manifest_with_mistakes_changes_nothing_of_a_system_that_runs() {
    let system = System::start(&manifest(1, "fee: 1")).await;
    let revision = system.api.status().await.unwrap().revision;
    system.folder.write_manifest(&manifest(1, "fee: 2").replace("replicas", "replica"));
    let said = system.tenon().run(&["up"]).await.exited(3);
    assert!(said.err.contains("did you mean `replicas`?"), "{}", said.err);
    assert_eq!(value(&system.tenon(), "fee").await, "1");
    assert_eq!(system.api.status().await.unwrap().revision, revision);
}

#[tokio::test]
async fn a_scale_by_hand_survives_a_manifest_that_does_not_change_the_replicas() {
    let system = System::start(&manifest(1, "fee: 1")).await;
    let tenon = system.tenon();
    tenon.run(&["scale", "payment", "3"]).await.succeeded();
    system.has_healthy("payment", 3).await;
    system.folder.write_manifest(&manifest(1, "fee: 2"));
    tenon.run(&["up"]).await.succeeded();
    assert_eq!(value(&tenon, "fee").await, "2");
    system.has_healthy("payment", 3).await;
}

/// A system in the background, ended whatever becomes of the test.
struct Background {
    tenon: Tenon,
    folder: Folder,
}

impl Background {
    async fn start(folder: Folder, more: &[&str]) -> (Self, Said) {
        let background = Self { tenon: folder.tenon(), folder };
        let said = background.tenon.run(&[&UP[..], &["--detach"], more].concat()).await;
        (background, said)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.tenon.command(&["down"]).into_std().status();
        if std::thread::panicking() {
            self.folder.show_logs();
        }
    }
}

#[tokio::test]
async fn a_detached_system_runs_in_the_background_until_down() {
    let (system, said) = Background::start(Folder::with(&manifest(1, "fee: 1")), &[]).await;
    let said = said.succeeded();
    assert!(said.err.contains("running in the background"), "{}", said.err);
    let services = system.tenon.json(&["services"]).await;
    assert_eq!(services["services"][0]["healthy"], 1, "it returned once all was healthy");

    let lock = fs::read_to_string(system.folder.data().join("LOCK")).unwrap();
    let supervisor: u32 = lock.trim().parse().unwrap();
    let all = descendants(supervisor);
    assert!(all.len() >= 4, "reaper, server, data plane and service: {all:?}");
    let said = system.tenon.run(&["down"]).await.succeeded();
    assert!(said.err.contains("ended"), "{}", said.err);
    let gone = async || all.iter().all(|pid| !is_alive(*pid)).then_some(());
    eventually("nothing is left", gone).await;
    system.tenon.run(&["status"]).await.exited(6);
    let said = system.tenon.run(&["down"]).await.succeeded();
    assert!(said.err.contains("nothing runs"), "{}", said.err);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_the_option_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let folder = Folder::with(&manifest(1, "fee: 1"));
    let listen = ["up", "--api-listen", &address.to_string(), "--admin-listen", "127.0.0.1:0"];
    let said = folder.tenon().run(&listen).await.exited(5);
    assert!(said.err.contains(&address.to_string()) && said.err.contains("--api-listen"), "{}", said.err);
}

//! The end, in every way that it can come.

use crate::support::process::{Signal, descendants, is_alive, send};
use crate::support::{Folder, PATIENCE, System, eventually, system_of, within, worker};
use std::time::{Duration, Instant};

const ROUTE: &str = "gateway:
  routes:
    - {name: work, backends: [{service: worker}], timeout: 120s}";

async fn start(env: &str) -> System {
    System::start(&system_of(&[worker("worker", &["replicas: 2", env])], ROUTE)).await
}

/// Waits until requests wait in instances, so that they are certainly under way.
async fn is_waiting(system: &System) {
    let instances = system.instances("worker").await;
    eventually("a request is under way", async || {
        for instance in &instances {
            let waiting = system.http.get(&format!("http://{}/waiting", instance.address)).await.json();
            if waiting["waiting"].as_u64().unwrap_or(0) > 0 {
                return Some(());
            }
        }
        None
    })
    .await;
}

/// Waits until the supervisor has heard that it is to end.
async fn drains(system: &System) {
    let drains = async || system.printed().contains("ending; Ctrl-C again ends at once").then_some(());
    eventually("it says that it drains", drains).await;
}

async fn is_gone(processes: &[u32]) {
    let gone = async || processes.iter().all(|pid| !is_alive(*pid)).then_some(());
    within(PATIENCE, "no process is left", gone).await;
}

#[tokio::test]
async fn nothing_outlives_a_supervisor_that_is_killed() {
    let mut system = start("env: {CHILD: \"1\", IGNORE_TERM: \"1\"}").await;
    let mut grandchildren = Vec::new();
    for instance in system.instances("worker").await {
        let answer = system.http.get(&format!("http://{}/child", instance.address)).await.expect(200);
        grandchildren.push(u32::try_from(answer.json()["pid"].as_u64().unwrap()).unwrap());
    }
    let all = descendants(system.supervisor());
    assert_eq!(grandchildren.len(), 2);
    assert!(grandchildren.iter().all(|pid| all.contains(pid) && is_alive(*pid)), "{grandchildren:?} {all:?}");
    for role in ["server", "proxy"] {
        assert!(all.contains(&system.role(role).await));
    }
    system.tenon().run(&["config", "set", "worker", "colour", "red"]).await.succeeded();
    send(system.supervisor(), Signal::KILL);
    system.ends_within(PATIENCE).await;
    is_gone(&all).await;

    let said = system.tenon().run(&["status"]).await.exited(6);
    assert!(said.err.contains("nothing runs"), "{}", said.err);
    let system = system.start_again().await;
    assert_eq!(system.tenon().run(&["config", "get", "worker", "colour"]).await.succeeded().out, "\"red\"\n");
}

#[tokio::test]
async fn an_interrupt_lets_requests_in_flight_end_and_then_ends_everything() {
    let mut system = start("env: {CHILD: \"1\"}").await;
    let all = descendants(system.supervisor());
    let gate = system.folder.path().join("gate");
    let waiting = format!("{}/wait?for={}", system.urls.gateway, gate.display());
    let (answer, ()) = tokio::join!(system.http.get(&waiting), async {
        is_waiting(&system).await;
        send(system.supervisor(), Signal::INT);
        drains(&system).await;
        std::fs::write(gate, "").unwrap();
    });
    answer.expect(200);
    let status = system.ends_within(PATIENCE).await;
    assert!(status.success(), "{status}: {}", system.printed());
    is_gone(&all).await;
    assert!(!system.folder.data().join("run/endpoints.json").exists(), "nothing runs, so nothing says where");
}

#[tokio::test]
async fn a_second_interrupt_ends_everything_at_once() {
    let mut system = start("env: {IGNORE_TERM: \"1\"}").await;
    let all = descendants(system.supervisor());
    let slow = format!("{}/slow?ms=120000", system.urls.gateway);
    let http = system.http.clone();
    let request = tokio::spawn(async move { http.get(&slow).await });
    is_waiting(&system).await;
    send(system.supervisor(), Signal::INT);
    drains(&system).await;
    assert!(is_alive(system.supervisor()));
    let begun = Instant::now();
    send(system.supervisor(), Signal::INT);
    let status = system.ends_within(PATIENCE).await;
    assert_eq!(status.code(), Some(6), "{}", system.printed());
    assert!(system.printed().contains("ended at once, without draining"), "{}", system.printed());
    is_gone(&all).await;
    assert!(begun.elapsed() < Duration::from_secs(60), "it has waited for the request");
    assert_ne!(request.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_system_that_ended_starts_again_from_its_log() {
    let folder = Folder::with(&system_of(&[worker("worker", &[])], ROUTE));
    let mut system = System::start_in(folder).await;
    system.tenon().run(&["config", "set", "worker", "colour", "red"]).await.succeeded();
    system.tenon().run(&["scale", "worker", "2"]).await.succeeded();
    let before = system.has_healthy("worker", 2).await;
    send(system.supervisor(), Signal::TERM);
    assert!(system.ends_within(PATIENCE).await.success());
    let system = system.start_again().await;
    assert_eq!(system.tenon().run(&["config", "get", "worker", "colour"]).await.succeeded().out, "\"red\"\n");
    let after = system.has_healthy("worker", 2).await;
    assert!(after.iter().all(|it| before.iter().all(|old| old.id != it.id)), "{before:?} {after:?}");
}

//! Whatever is killed, callers see nothing of it.

use crate::support::process::{Signal, send};
use crate::support::{Load, System, eventually, one_at_a_time, payment, quote_route, system_of, worker};
use tenon_core::InstanceId;

const QUOTE: &str = "/quote?amount=100.00";

async fn start(replicas: u32) -> System {
    System::start(&system_of(&[payment(replicas)], &quote_route(&[]))).await
}

#[tokio::test]
async fn killing_replicas_under_load_fails_no_request_and_each_is_replaced() {
    let _turn = one_at_a_time().await;
    let system = start(3).await;
    let load = Load::start(&format!("{}{QUOTE}", system.urls.gateway), 500);
    load.goes_on_for(200).await;
    for _ in 0..3 {
        let before = system.has_healthy("payment", 3).await;
        let killed = before[0].clone();
        send(killed.pid.unwrap(), Signal::KILL);
        eventually("the killed instance is gone from the registry", async || {
            system.instances("payment").await.iter().all(|it| it.id != killed.id).then_some(())
        })
        .await;
        let after = system.has_healthy("payment", 3).await;
        let kept = after.iter().filter(|it| before[1..].iter().any(|old| old.pid == it.pid)).count();
        assert_eq!(kept, 2, "only the killed one is replaced: {before:?} {after:?}");
        load.goes_on_for(200).await;
    }
    load.had_no_failure();
}

#[tokio::test]
async fn killing_the_server_leaves_traffic_and_instances_alone_and_nothing_is_forgotten() {
    let _turn = one_at_a_time().await;
    let system = start(2).await;
    let tenon = system.tenon();
    tenon.run(&["config", "set", "payment", "currency", "EUR"]).await.succeeded();
    tenon.run(&["scale", "payment", "3"]).await.succeeded();
    let identities = async || -> Vec<(InstanceId, Option<u32>)> {
        let instances = system.has_healthy("payment", 3).await;
        instances.into_iter().map(|it| (it.id, it.pid)).collect()
    };
    let before = identities().await;
    let history = tenon.json(&["config", "history", "payment"]).await;

    let load = Load::start(&format!("{}{QUOTE}", system.urls.gateway), 300);
    load.goes_on_for(150).await;
    let server = system.role("server").await;
    send(server, Signal::KILL);
    load.goes_on_for(150).await;
    system.role_other_than("server", server).await;
    system.has_data_plane().await;

    assert_eq!(identities().await, before, "the instances are adopted: same ids, same processes");
    assert_eq!(tenon.run(&["config", "get", "payment", "currency"]).await.succeeded().out, "\"EUR\"\n");
    assert_eq!(tenon.json(&["config", "history", "payment"]).await, history);

    // The new server is in charge: what it decides reaches the supervisor and the data plane.
    tenon.run(&["scale", "payment", "1"]).await.succeeded();
    system.has_healthy("payment", 1).await;
    load.goes_on_for(150).await;
    load.had_no_failure();
}

#[tokio::test]
async fn an_instance_that_ends_while_the_server_is_away_is_replaced_by_the_next_server() {
    let _turn = one_at_a_time().await;
    let system = start(3).await;
    let before = system.has_healthy("payment", 3).await;
    let load = Load::start(&format!("{}{QUOTE}", system.urls.gateway), 300);
    load.goes_on_for(100).await;
    let server = system.role("server").await;
    send(server, Signal::STOP);
    send(before[0].pid.unwrap(), Signal::KILL);
    load.goes_on_for(150).await;
    send(server, Signal::KILL);
    system.role_other_than("server", server).await;
    let replaced = async || {
        let after = system.has_healthy("payment", 3).await;
        after.iter().all(|it| it.id != before[0].id).then_some(after)
    };
    let after = eventually("the instance is replaced", replaced).await;
    assert!(before[1..].iter().all(|old| after.iter().any(|it| it.pid == old.pid)), "{before:?} {after:?}");
    load.goes_on_for(100).await;
    load.had_no_failure();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_unless_its_length_was_unknown_or_great() {
    let route = "gateway: {routes: [{name: work, backends: [{service: worker}]}]}";
    let system = System::start(&system_of(&[worker("worker", &["replicas: 2"])], route)).await;
    let die = async |length: usize| {
        // Whichever instance is asked first dies in the middle of its answer.
        let once = system.folder.path().join(format!("died-{length}"));
        system.get(&format!("/die?n={length}&once={}", once.display())).await
    };
    let answer = die(16 * 1024).await.expect(200);
    assert_eq!(answer.text.len(), 16 * 1024);
    system.has_healthy("worker", 2).await;
    let answer = die(1024 * 1024).await;
    assert_eq!(answer.status, 0, "the answer had begun: that it broke off must show");
}

#[tokio::test]
async fn a_server_that_is_killed_again_and_again_comes_back_with_all_it_acknowledged() {
    let system = start(1).await;
    let tenon = system.tenon();
    let pid = system.pid_of("payment").await;
    for round in 0..3 {
        let value = round.to_string();
        tenon.run(&["config", "set", "payment", &format!("key{round}"), &value]).await.succeeded();
        let server = system.role("server").await;
        send(server, Signal::KILL);
        system.role_other_than("server", server).await;
        system.has_data_plane().await;
        for earlier in 0..=round {
            let said = tenon.run(&["config", "get", "payment", &format!("key{earlier}")]).await.succeeded();
            assert_eq!(said.out, format!("{earlier}\n"));
        }
    }
    assert_eq!(system.pid_of("payment").await, pid);
}

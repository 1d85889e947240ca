//! A service with one replica, which is killed: callers wait for the next one and see nothing of it.

use crate::support::process::{Signal, send};
use crate::support::{Load, System, eventually, one_at_a_time, payment, quote_route, system_of, worker};

const WORK: &str = "gateway: {routes: [{name: work, backends: [{service: worker}]}]}";

/// Kills the only replica of a service again and again, each time as soon as its successor answers.
async fn kill_again_and_again(system: &System, service: &str, path: &str, rate: u32) {
    let load = Load::start(&format!("{}{path}", system.urls.gateway), rate);
    load.goes_on_for(100).await;
    for _ in 0..3 {
        let killed = system.has_healthy(service, 1).await.remove(0);
        send(killed.pid.unwrap(), Signal::KILL);
        eventually("another instance takes its place", async || {
            system.instances(service).await.iter().all(|it| it.id != killed.id).then_some(())
        })
        .await;
        load.goes_on_for(100).await;
    }
    load.had_no_failure();
}

#[tokio::test]
async fn killing_the_only_replica_under_load_fails_no_request() {
    let _turn = one_at_a_time().await;
    let system = System::start(&system_of(&[payment(1)], &quote_route(&[]))).await;
    kill_again_and_again(&system, "payment", "/quote?amount=100.00", 500).await;
    let metrics = system.http.get(&format!("{}/metrics", system.urls.admin)).await.expect(200);
    assert!(metrics.text.contains(r#"tenon_held_total{destination="payment"}"#), "no call has waited");
}

#[tokio::test]
async fn killing_the_only_replica_of_a_service_that_starts_slowly_fails_no_request_either() {
    let _turn = one_at_a_time().await;
    let system = System::start(&system_of(&[worker("worker", &[])], WORK)).await;
    kill_again_and_again(&system, "worker", "/who", 100).await;
}

#[tokio::test]
async fn a_call_that_comes_while_a_stopped_service_starts_waits_for_it() {
    let system = System::start(&system_of(&[worker("worker", &[])], WORK)).await;
    system.tenon().run(&["stop", "worker"]).await.succeeded();
    // Nobody waits for what is not to be there.
    let refused = async || {
        let answer = system.get("/who").await;
        (answer.status == 503 && answer.text.contains("is stopped or has no replicas")).then_some(())
    };
    eventually("the service is known to rest", refused).await;
    system.tenon().run(&["start", "worker"]).await.succeeded();
    let answered = async || {
        let answer = system.get("/who").await;
        // The data plane may not have been told yet. Once it is, no call fails.
        (!answer.text.contains("is stopped or has no replicas")).then_some(answer)
    };
    eventually("the service is known to be started", answered).await.expect(200);
}

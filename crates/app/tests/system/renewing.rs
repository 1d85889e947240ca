//! A data plane that is replaced by a new process under load: no request fails, on whichever connection it comes.

use crate::support::process::{Signal, children, command_line, is_alive, send};
use crate::support::{Load, System, eventually, one_at_a_time, payment, quote_route, system_of, worker};

const QUOTE: &str = "/quote?amount=100.00";
/// What an answer says of a call that went well inside.
const INNER: &str = "\"status\": 200";

#[tokio::test]
async fn renewing_the_data_plane_ten_times_under_load_fails_no_request() {
    let _turn = one_at_a_time().await;
    let route = "{name: call, matches: [{path: {type: Exact, value: /call}}], backends: [{service: caller}]}";
    let services = [payment(2), worker("caller", &["depends_on: [payment]"])];
    let system = System::start(&system_of(&services, &quote_route(&[route]))).await;
    let kept = Load::start(&format!("{}{QUOTE}", system.urls.gateway), 200);
    let fresh = Load::start_on_fresh_connections(&format!("{}{QUOTE}", system.urls.gateway), 50);
    // From inside, by way of a sidecar.
    let inner = "/call?url=http%3A%2F%2Fpayment%2Fquote%3Famount%3D100.00";
    let inside = Load::start_expecting(&format!("{}{inner}", system.urls.gateway), 20, INNER);
    kept.goes_on_for(50).await;
    let mut serving = system.role("proxy").await;
    for _ in 0..10 {
        system.tenon().run(&["renew"]).await.succeeded();
        let pid = serving_pid(&system);
        assert_ne!(pid, serving);
        serving = pid;
        kept.goes_on_for(50).await;
        fresh.goes_on_for(10).await;
    }
    kept.had_no_failure();
    fresh.had_no_failure();
    inside.had_no_failure();

    // It is in touch: what changes reaches it.
    system.tenon().run(&["scale", "payment", "1"]).await.succeeded();
    let remaining = system.has_healthy("payment", 1).await[0].id.to_string();
    eventually("calls go to the instance that remains", async || {
        let answer = system.get(QUOTE).await;
        (answer.status == 200 && answer.json()["instance"] == remaining).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_successor_that_cannot_take_over_leaves_the_data_plane_as_it_is() {
    let system = System::start(&system_of(&[payment(1)], &quote_route(&[]))).await;
    let serving = serving_pid(&system);
    // Whoever is stopped does not answer its successor, which dies while it waits.
    send(serving, Signal::STOP);
    system.tenon().run(&["renew", "--wait", "1"]).await.exited(8);
    let is_successor = |pid: &u32| command_line(*pid).iter().any(|it| it == "--takeover");
    let successor = async || children(system.supervisor()).into_iter().find(is_successor);
    let successor = eventually("there is a successor", successor).await;
    send(successor, Signal::KILL);
    eventually("the successor is gone", async || (!is_alive(successor)).then_some(())).await;
    send(serving, Signal::CONT);
    for _ in 0..20 {
        system.get(QUOTE).await.expect(200);
    }
    assert_eq!(serving_pid(&system), serving);
    system.tenon().run(&["renew"]).await.succeeded();
    assert_ne!(serving_pid(&system), serving);
    system.get(QUOTE).await.expect(200);
}

#[tokio::test]
async fn a_data_plane_that_has_taken_over_is_started_again_when_it_dies() {
    let system = System::start(&system_of(&[payment(1)], &quote_route(&[]))).await;
    system.tenon().run(&["renew"]).await.succeeded();
    let second = serving_pid(&system);
    send(second, Signal::KILL);
    eventually("another one serves", async || {
        (serving_pid(&system) != second && system.get(QUOTE).await.status == 200).then_some(())
    })
    .await;
}

/// The data plane that serves, as it says itself.
fn serving_pid(system: &System) -> u32 {
    let file = system.folder.data().join("run/proxy.pid");
    std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

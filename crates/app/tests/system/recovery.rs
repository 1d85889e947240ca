//! A data plane that is killed: only its own workloads notice, and not for long.

use crate::support::process::{Signal, Stopped, send};
use crate::support::{Answer, System, eventually, payment, quote_route, system_of, worker};
use std::fs;
use tenon_api::http::SnapshotView;
use tenon_api::snapshot::Stored;

const QUOTE: &str = "/quote?amount=100.00";

/// Waits until quotes come again from outside, and from inside as `caller` calls them.
async fn works(system: &System) -> Answer {
    let inner = "/call?url=http%3A%2F%2Fpayment%2Fquote%3Famount%3D100.00";
    let inside = async || {
        let answer = system.get(inner).await;
        (answer.status == 200 && answer.json()["status"] == 200).then_some(())
    };
    eventually("calls from inside work", inside).await;
    eventually("calls from outside work", async || {
        let answer = system.get(QUOTE).await;
        (answer.status == 200).then_some(answer)
    })
    .await
}

/// Waits until the data plane has written what it was told to disk, which it does some time after each change.
async fn is_kept(system: &System) -> SnapshotView {
    let file = system.folder.data().join("snapshots/data-plane");
    eventually("the snapshot is on disk", async || {
        let stored = Stored::from_bytes(&fs::read(&file).ok()?).unwrap();
        let told = system.admin.snapshot().await.unwrap();
        (SnapshotView::from(&stored) == told).then_some(told)
    })
    .await
}

#[tokio::test]
async fn a_killed_data_plane_comes_back_on_its_last_snapshot_even_without_a_server() {
    let route = "{name: call, matches: [{path: {type: Exact, value: /call}}], backends: [{service: caller}]}";
    let services = [payment(2), worker("caller", &["depends_on: [payment]"])];
    let system = System::start(&system_of(&services, &quote_route(&[route]))).await;
    works(&system).await;

    let first = system.role("proxy").await;
    {
        // From here on it is told nothing more.
        let _server = Stopped::stop(system.role("server").await);
        let snapshot = is_kept(&system).await;
        send(first, Signal::KILL);
        works(&system).await;
        assert_eq!(system.admin.snapshot().await.unwrap(), snapshot);
    }

    let second = system.role_other_than("proxy", first).await;
    system.has_data_plane().await;
    send(second, Signal::KILL);
    works(&system).await;

    // It is in touch again: what changes reaches it.
    system.has_data_plane().await;
    system.tenon().run(&["scale", "payment", "1"]).await.succeeded();
    let remaining = system.has_healthy("payment", 1).await[0].id.to_string();
    let answer = works(&system).await;
    assert_eq!(answer.json()["instance"], remaining);
}

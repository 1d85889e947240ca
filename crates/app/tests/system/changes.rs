//! Changes while traffic flows: no request notices.

use crate::support::{Load, System, eventually, one_at_a_time, payment, quote_route, system_of, worker};

const QUOTE: &str = "/quote?amount=100.00";

#[tokio::test]
async fn changes_to_configuration_routes_and_replicas_drop_no_request() {
    let _turn = one_at_a_time().await;
    let services = [payment(2), worker("worker", &[])];
    let system = System::start(&system_of(&services, &quote_route(&[]))).await;
    let tenon = system.tenon();
    let load = Load::start(&format!("{}{QUOTE}", system.urls.gateway), 300);
    load.goes_on_for(100).await;

    for number in 0..5 {
        tenon.run(&["config", "set", "payment", "fee", &number.to_string()]).await.succeeded();
    }
    load.goes_on_for(100).await;

    // A further route, then another time-out and a weight for the route that the traffic takes.
    system.get("/work").await.expect(404);
    let work = "{name: work, matches: [{path: {value: /work}}], backends: [{service: worker}]}";
    system.folder.write_manifest(&system_of(&services, &quote_route(&[work])));
    tenon.run(&["up"]).await.succeeded();
    eventually("the new route leads to the worker", async || {
        (system.get("/work").await.status == 200).then_some(())
    })
    .await;
    let changed =
        quote_route(&[work]).replace("[{service: payment}]", "[{service: payment, weight: 7}], timeout: 3s");
    system.folder.write_manifest(&system_of(&services, &changed));
    tenon.run(&["up"]).await.succeeded();
    let timeout = async || {
        let gateway = system.admin.snapshot().await.unwrap().gateway.unwrap();
        serde_json::to_string(&gateway).unwrap().contains("\"weight\":7").then_some(())
    };
    eventually("the data plane has the changed route", timeout).await;
    load.goes_on_for(100).await;

    // A route that is taken away is gone.
    system.folder.write_manifest(&system_of(&services, &quote_route(&[])));
    tenon.run(&["up"]).await.succeeded();
    eventually("the route is gone", async || (system.get("/work").await.status == 404).then_some(())).await;

    tenon.run(&["scale", "payment", "4"]).await.succeeded();
    system.has_healthy("payment", 4).await;
    tenon.run(&["scale", "payment", "1"]).await.succeeded();
    system.has_healthy("payment", 1).await;
    load.goes_on_for(100).await;
    load.had_no_failure();
}

#[tokio::test]
async fn a_service_whose_definition_changes_is_replaced_instance_by_instance() {
    let _turn = one_at_a_time().await;
    let old = payment(2);
    let system = System::start(&system_of(std::slice::from_ref(&old), &quote_route(&[]))).await;
    let before = system.has_healthy("payment", 2).await;
    let load = Load::start(&format!("{}{QUOTE}", system.urls.gateway), 300);
    load.goes_on_for(100).await;
    let new = format!("{old}\n    version: \"2.0.0\"\n    env: {{COLOUR: blue}}");
    system.folder.write_manifest(&system_of(&[new], &quote_route(&[])));
    system.tenon().run(&["up"]).await.succeeded();
    let replaced = async || {
        let instances = system.has_healthy("payment", 2).await;
        instances.iter().all(|it| before.iter().all(|old| old.id != it.id)).then_some(instances)
    };
    let after = eventually("both instances are replaced", replaced).await;
    assert!(after.iter().all(|it| it.version.to_string() == "2.0.0"), "{after:?}");
    load.goes_on_for(100).await;
    load.had_no_failure();
}

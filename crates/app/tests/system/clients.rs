//! Ordinary clients of other languages reach services by name: each takes its proxy from the environment of an
//! instance and knows nothing else of the mesh.

use crate::support::process::environment;
use crate::support::{
    PATIENCE, System, greeter, node, payment, program, python, quote_route, system_of, worker,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::process::Command;

const QUOTE: &str = "http://payment/quote?amount=100.00";

async fn start() -> System {
    let services = [payment(1), greeter(), worker("caller", &["depends_on: [payment, greeter]"])];
    System::start(&system_of(&services, &quote_route(&[]))).await
}

/// What a program prints that runs with the environment of the instance `caller`.
async fn printed_by(system: &System, program: &str, arguments: &[&str]) -> String {
    let env = environment(system.pid_of("caller").await);
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&env).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("the client ends").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} ended with {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

async fn is_the_quote(system: &System, text: &str) {
    let quote: Value = serde_json::from_str(text).unwrap();
    let instance = system.instances("payment").await[0].id.to_string();
    assert_eq!((&quote["total"], &quote["instance"]), (&json!("101.50"), &json!(instance)));
}

/// How many requests the data plane has counted from `caller` to a service.
async fn counted(system: &System, destination: &str) -> u64 {
    let metrics = system.admin.metrics().await.unwrap();
    let wanted = ["component=\"outbound\"", "source=\"caller\"", &format!("destination=\"{destination}\"")];
    let lines = metrics.lines().filter(|line| line.starts_with("tenon_requests_total{"));
    let lines = lines.filter(|line| wanted.iter().all(|label| line.contains(label)));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn curl_requests_fetch_and_grpcio_reach_services_by_name() {
    let system = start().await;

    let requests = program("call_with_requests.py");
    let fetch = program("call_with_fetch.mjs");
    let (python, node) = (python(), node());
    for (client, arguments) in
        [("curl", &["-sS", "--fail", QUOTE][..]), (&python, &[&requests, QUOTE]), (&node, &[&fetch, QUOTE])]
    {
        let before = counted(&system, "payment").await;
        is_the_quote(&system, &printed_by(&system, client, arguments).await).await;
        assert!(counted(&system, "payment").await > before, "{client} went around its sidecar");
    }

    let script = program("call_with_grpcio.py");
    let said = printed_by(&system, &python, &[&script, "dns:///greeter:80"]).await;
    let greeter = system.instances("greeter").await[0].id.to_string();
    let expected = json!({
        "hello": "hello ada",
        "hello_trailers": {"x-instance": greeter},
        "numbers": [1, 2, 3, 4, 5],
        "count_trailers": {"x-sum": "15"},
        "failure": {"code": "NOT_FOUND", "details": "there is no bob"},
    });
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), expected);
    assert!(counted(&system, "greeter").await >= 3, "its calls are seen one by one inside of its tunnel");
}

#[tokio::test]
async fn a_client_without_the_instances_credentials_is_refused_by_its_sidecar() {
    let system = System::start(&system_of(&[payment(1), worker("caller", &[])], "")).await;
    let env: BTreeMap<String, String> = environment(system.pid_of("caller").await);
    let proxy = env["http_proxy"].rsplit_once('@').unwrap().1.to_owned();
    let script = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-x", &proxy, QUOTE];
    assert_eq!(printed_by(&system, "curl", &script).await, "407");
}

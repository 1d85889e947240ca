//! Manifests of small systems, put together from text.

use std::path::Path;

/// A system of these services, each as [`payment`], [`worker`] or [`greeter`] write it, and what else there is.
///
/// Calls have more time than any machine needs: that they end in time is shown elsewhere.
pub(crate) fn system_of(services: &[String], rest: &str) -> String {
    format!(
        "name: test\nservices:\n{}\ntraffic:\n  \"*\":\n    timeout: 60s\n    retry: {{max_retries: 3}}\n{rest}\n",
        services.join("\n")
    )
}

/// The shop's payment service, which is quick: `GET /quote?amount=1.00` says which instance answered.
pub(crate) fn payment(replicas: u32) -> String {
    format!(
        "  payment:
    command: [shop-payment]
    replicas: {replicas}
    interfaces:
      - {{name: payments, endpoints: [{{path: /quote, method: GET}}, {{path: /, method: GET}}]}}
    health: {{http: {{path: /health}}, interval: 1s, timeout: 1s}}"
    )
}

/// A service that does what a test asks of it (`programs/worker.py`); `more` are further keys, each on a line.
pub(crate) fn worker(name: &str, more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("\n    {line}")).collect();
    format!(
        "  {name}:
    command: [{}, {}]
    interfaces:
      - {{name: work, endpoints: [{{path: \"/{{anything...}}\"}}]}}
    health: {{http: {{path: /health}}, interval: 1s, timeout: 1s}}{more}",
        quoted(&python()),
        quoted(&program("worker.py")),
    )
}

/// A gRPC service written with grpcio (`programs/greeter.py`), checked by the standard health service.
pub(crate) fn greeter() -> String {
    format!(
        "  greeter:
    command: [{}, {}]
    interfaces:
      - {{name: greetings, protocol: grpc, endpoints: [{{path: /test.Greeter/Hello}}, {{path: /test.Greeter/Count}}]}}
    health: {{grpc: {{service: test.Greeter}}, interval: 1s, timeout: 1s}}",
        quoted(&python()),
        quoted(&program("greeter.py")),
    )
}

/// A gateway that sends quotes to the payment service; `more` are further routes, each an item of the list.
pub(crate) fn quote_route(more: &[&str]) -> String {
    let more: String = more.iter().map(|route| format!("\n    - {route}")).collect();
    format!(
        "gateway:
  routes:
    - {{name: quote, matches: [{{path: {{type: Exact, value: /quote}}}}], backends: [{{service: payment}}]}}{more}"
    )
}

/// A Python that has grpcio and requests.
pub(crate) fn python() -> String {
    prepared("TENON_TEST_PYTHON")
}

/// A Node whose `fetch` heeds proxy variables.
pub(crate) fn node() -> String {
    prepared("TENON_TEST_NODE")
}

/// The path of one of the programs that tests run.
pub(crate) fn program(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/programs").join(name);
    path.to_str().unwrap().to_owned()
}

fn prepared(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `cargo xtask test`, which prepares what these tests need")
    })
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

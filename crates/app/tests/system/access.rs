//! Who may do what at the API.

use crate::support::process::environment;
use crate::support::{Answer, Folder, System, payment, system_of, worker};
use reqwest::Method;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

async fn start() -> System {
    let config = "config: {worker: {limit: 5}, payment: {fee: 1}}";
    System::start(&system_of(&[payment(1), worker("worker", &[])], config)).await
}

async fn call(system: &System, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = system.http.request(method, &format!("{}{path}", system.urls.api));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    system.http.send(request.json(&json!({"value": 6}))).await
}

#[tokio::test]
async fn the_api_wants_its_token_and_its_own_host_and_origin() {
    let system = start().await;
    let bearer = format!("Bearer {}", system.token);
    let with_token = ("authorization", bearer.as_str());
    let get = async |headers: &[(&str, &str)]| call(&system, Method::GET, "/v1/status", headers).await;

    get(&[with_token]).await.expect(200);
    assert_eq!(get(&[]).await.problem(401), "access.unauthenticated");
    assert_eq!(get(&[("authorization", "Bearer guess")]).await.problem(401), "access.unauthenticated");
    assert_eq!(get(&[with_token, ("host", "evil.example:7420")]).await.problem(403), "access.origin");
    assert_eq!(get(&[with_token, ("origin", "http://evil.example")]).await.problem(403), "access.origin");
    for path in ["/health", "/openapi.json"] {
        call(&system, Method::GET, path, &[]).await.expect(200);
        assert_eq!(
            call(&system, Method::GET, path, &[("host", "evil.example")]).await.problem(403),
            "access.origin"
        );
    }
    let token = system.folder.data().join("keys/api-token").metadata().unwrap();
    assert_eq!(token.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn the_api_answers_to_a_name_that_it_was_given() {
    let folder = Folder::with(&system_of(&[payment(1)], ""));
    let system = System::begin(folder, &["--api-host", "tenon.example"]).await;
    let bearer = format!("Bearer {}", system.token);
    let asked = async |host: &str| {
        call(&system, Method::GET, "/v1/status", &[("authorization", &bearer), ("host", host)]).await
    };
    asked("tenon.example:7420").await.expect(200);
    assert_eq!(asked("other.example:7420").await.problem(403), "access.origin");
}

#[tokio::test]
async fn an_instance_may_read_its_own_configuration_and_little_else() {
    let system = start().await;
    let env = environment(system.pid_of("worker").await);
    assert_eq!(env["TENON_API"], system.urls.api);
    assert_ne!(env["TENON_TOKEN"], system.token);
    let bearer = format!("Bearer {}", env["TENON_TOKEN"]);
    let as_worker =
        async |method: Method, path: &str| call(&system, method, path, &[("authorization", &bearer)]).await;

    let own = as_worker(Method::GET, "/v1/config/worker/limit").await.expect(200).json();
    assert_eq!(own["value"], 5);
    as_worker(Method::GET, "/v1/config/worker").await.expect(200);
    as_worker(Method::GET, "/v1/services/payment/lookup").await.expect(200);
    for (method, path) in [
        (Method::GET, "/v1/config/payment"),
        (Method::GET, "/v1/config/payment/fee"),
        (Method::PUT, "/v1/config/worker/limit"),
        (Method::GET, "/v1/status"),
        (Method::GET, "/v1/logs/worker"),
        (Method::POST, "/v1/services/payment/stop"),
        (Method::PUT, "/v1/system"),
    ] {
        assert_eq!(as_worker(method, path).await.problem(403), "access.forbidden", "{path}");
    }
}

#[tokio::test]
async fn the_cli_needs_no_more_than_the_address_and_the_token() {
    let system = start().await;
    let command = |token: &str| {
        let mut command = system.tenon().command(&["services", "--api", &system.urls.api]);
        command.env("TENON_TOKEN", token);
        command
    };
    assert!(command(&system.token).output().await.unwrap().status.success());
    assert_eq!(command("guess").output().await.unwrap().status.code(), Some(7));
}

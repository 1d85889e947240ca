use super::client::{Api, send};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tenon_api::openapi::{API, Access};

/// The path with something in place of every variable.
fn example(path: &str) -> String {
    path.replace("{service}", "payment").replace("{id}", "payment-a").replace("{key}", "limit")
}

#[tokio::test]
async fn every_endpoint_of_the_table_is_routed() {
    let api = Api::with_shop().await;
    for endpoint in API {
        let path = example(endpoint.path);
        let response = api.request(endpoint.method.clone(), &path).send().await.unwrap();
        let code = response.headers().get("tenon-error").map(|it| it.to_str().unwrap().to_owned());
        assert_ne!(code.as_deref(), Some("request.unknown"), "{} {path}", endpoint.method);
        assert_ne!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{} {path}", endpoint.method);
    }
}

#[tokio::test]
async fn every_endpoint_but_the_public_ones_needs_a_token() {
    let api = Api::with_shop().await;
    for endpoint in API {
        let reply = send(api.bare(endpoint.method.clone(), &example(endpoint.path))).await;
        match endpoint.access {
            Access::Public => assert_eq!(reply.status, 200, "{}", endpoint.operation),
            Access::Instance | Access::Operator => {
                assert_eq!(reply.headers["www-authenticate"], "Bearer");
                assert_eq!(reply.code(), "access.unauthenticated", "{}", endpoint.operation);
            }
        }
    }
    let wrong = api.bare(Method::GET, "/v1/status").bearer_auth("0".repeat(64));
    assert_eq!(send(wrong).await.code(), "access.unauthenticated");
}

#[tokio::test]
async fn what_there_is_not_is_a_problem_and_needs_a_token_too() {
    let api = Api::start().await;
    assert_eq!(api.get("/v1/nothing").await.code(), "request.unknown");
    assert_eq!(api.delete("/v1/status").await.code(), "request.unknown");
    assert_eq!(send(api.bare(Method::GET, "/v1/nothing")).await.code(), "access.unauthenticated");
}

#[tokio::test]
async fn a_rebound_name_and_a_foreign_page_are_refused_even_with_the_token() {
    let api = Api::start().await;
    let with = async |name: &str, value: &str| {
        send(api.request(Method::GET, "/v1/status").header(name, value)).await
    };
    assert_eq!(with("host", "evil.example").await.code(), "access.origin");
    assert_eq!(with("origin", "https://evil.example").await.code(), "access.origin");
    assert_eq!(with("origin", "null").await.code(), "access.origin");
    with("host", "tenon.test").await.ok();
    let own = format!("http://localhost:{}", api.server.address().port());
    with("origin", &own).await.ok();
    let public = send(api.bare(Method::GET, "/health").header("host", "evil.example")).await;
    assert_eq!(public.code(), "access.origin");
}

#[tokio::test]
async fn an_instance_may_do_what_it_needs_and_nothing_else() {
    let api = Api::with_shop().await;
    api.register("payment-a").await;
    api.register("payment-b").await;
    let status = async |method: Method, path: &str| {
        send(api.as_instance("payment-a", method, path)).await.status.as_u16()
    };
    assert_eq!(status(Method::PUT, "/v1/services/payment/instances/payment-a/heartbeat").await, 200);
    assert_eq!(status(Method::GET, "/v1/config/payment").await, 200);
    assert_eq!(status(Method::GET, "/v1/config/payment/limit").await, 200);
    assert_eq!(status(Method::GET, "/v1/services/payment/lookup").await, 200);
    assert_eq!(
        status(Method::GET, "/v1/services/order/lookup").await,
        503,
        "none is healthy, but it may ask"
    );
    assert_eq!(status(Method::PUT, "/v1/services/payment/instances/payment-b/heartbeat").await, 403);
    assert_eq!(status(Method::GET, "/v1/config/order").await, 403);
    assert_eq!(status(Method::PUT, "/v1/config/payment/limit").await, 403);
    assert_eq!(status(Method::GET, "/v1/config/payment/history").await, 403);
    assert_eq!(status(Method::GET, "/v1/status").await, 403);
    assert_eq!(status(Method::POST, "/v1/services/payment/stop").await, 403);
    assert_eq!(status(Method::GET, "/v1/nothing").await, 403);
    api.delete("/v1/services/payment/instances/payment-a").await.ok();
    assert_eq!(status(Method::GET, "/v1/config/payment").await, 401, "it is none any more");
}

#[tokio::test]
async fn a_path_that_is_encoded_otherwise_opens_nothing() {
    let api = Api::with_shop().await;
    api.register("payment-a").await;
    let status =
        async |path: &str| send(api.as_instance("payment-a", Method::GET, path)).await.status.as_u16();
    assert_eq!(status("/v1/config/%6frder").await, 403);
    assert_eq!(status("/v1/config/payment%2F..%2Forder").await, 403);
    assert_eq!(status("/v1/%63onfig/payment").await, 403);
    assert_eq!(status("/v1/config/payment/%ff").await, 403);
}

#[tokio::test]
async fn a_change_carries_its_actor() {
    let api = Api::with_shop().await;
    let set = api.request(Method::PUT, "/v1/config/payment/limit").header("tenon-actor", "cli:ada");
    let entry = send(set.json(&json!({"value": 5}))).await.ok();
    assert_eq!(entry["set_by"], "cli:ada");
    assert_eq!(api.set("limit", json!(6)).await["set_by"], "api");
    let bad = api.request(Method::PUT, "/v1/config/payment/limit").header("tenon-actor", "");
    assert_eq!(send(bad.json(&json!({"value": 5}))).await.code(), "request.invalid");
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_is_refused() {
    let api = Api::with_shop().await;
    let put = |body: Vec<u8>| send(api.request(Method::PUT, "/v1/config/payment/limit").body(body));
    assert_eq!(put(vec![b' '; (1 << 20) + 1]).await.code(), "request.too-large");
    assert_eq!(put(b"{".to_vec()).await.code(), "request.invalid");
    assert_eq!(put(b"{\"value\": 1, \"values\": 2}".to_vec()).await.code(), "request.invalid");
    assert_eq!(api.get("/v1/config/payment/limit").await.ok()["value"], 100);
}

#[tokio::test]
async fn a_data_plane_watches_on_the_same_port_with_the_token_only() {
    use tenon_api::proto::snapshot::v1::{WatchRequest, snapshot_part::Part};
    use tenon_api::snapshot::SnapshotServiceClient;
    let api = Api::with_shop().await;
    let channel = tonic::transport::Endpoint::from_shared(api.url("")).unwrap().connect().await.unwrap();
    let mut client = SnapshotServiceClient::new(channel);
    let request = || WatchRequest {
        node: "test".into(),
        routes: None,
        endpoints: None,
        sidecars: None,
        instances: Vec::new(),
    };
    let refused = client.watch(request()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let mut signed = tonic::Request::new(request());
    let token = format!("Bearer {}", api.keys.api_token()).parse().unwrap();
    signed.metadata_mut().insert("authorization", token);
    let mut parts = client.watch(signed).await.unwrap().into_inner();
    assert!(matches!(parts.message().await.unwrap().unwrap().part, Some(Part::Sidecars(_))));
    assert!(matches!(parts.message().await.unwrap().unwrap().part, Some(Part::Routes(_))));
    assert_eq!(api.get("/v1/status").await.ok()["data_planes"][0]["node"], "test");
    api.server.stop().await;
    while let Ok(Some(_)) = parts.message().await {}
}

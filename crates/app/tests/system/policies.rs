//! Policies from the manifest to the answer.

use crate::support::{System, one_at_a_time, payment, quote_route, system_of};
use reqwest::Method;

const POLICIES: &str = "    policies: [no-robots, fair]
policies:
  no-robots:
    rules: [{field: header, name: user-agent, operator: prefix, value: robot}]
    unless: [{field: query, name: polite, operator: exists}]
    action: deny
  fair:
    action: {rate_limit: {requests: 1, per: 1h, burst: 2, by: header, header: x-tenant}}
";

#[tokio::test]
async fn a_policy_of_the_manifest_decides_at_the_gateway_and_says_so() {
    let _turn = one_at_a_time().await;
    // The policies go on where the rules for all services end.
    let system = System::start(&system_of(&[payment(1)], &format!("{POLICIES}{}", quote_route(&[])))).await;
    let ask = async |tenant: &str, agent: &str, query: &str| {
        let url = format!("{}/quote?amount=1.00{query}", system.urls.gateway);
        let request = system.http.request(Method::GET, &url);
        system.http.send(request.header("x-tenant", tenant).header("user-agent", agent)).await
    };
    let denied = ask("blue", "robot/1", "").await;
    assert_eq!((denied.status, denied.header("tenon-error")), (403, "mesh.policy-denied"), "{}", denied.text);
    assert_eq!(denied.json()["policy"], "policies.no-robots");
    let story = system.tenon().run(&["explain", denied.header("x-request-id")]).await.succeeded();
    assert!(story.out.contains("policies.no-robots"), "{}", story.out);

    // What was denied was not counted.
    assert_eq!(ask("blue", "robot/1", "&polite=1").await.status, 200);
    assert_eq!(ask("blue", "person", "").await.status, 200);
    let limited = ask("blue", "person", "").await;
    assert_eq!((limited.status, limited.header("tenon-error")), (429, "mesh.rate-limited"));
    assert_eq!(limited.header("ratelimit-policy"), r#""fair";q=1;w=3600"#);
    assert_eq!(ask("green", "person", "").await.status, 200);
}

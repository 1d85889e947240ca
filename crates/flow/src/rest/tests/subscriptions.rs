use super::{Api, send};
use crate::testing::instance;
use reqwest::Method;
use serde_json::{Value, json};

const MAIL: &str = "/v1/subscriptions/mail";

impl Api {
    pub(in crate::rest) async fn define(&self, path: &str, definition: &Value) -> super::Reply {
        send(self.request(Method::PUT, path).json(definition)).await
    }
}

/// Reads one event of a stream.
async fn next(response: &mut reqwest::Response, text: &mut String) -> Value {
    loop {
        if let Some((message, rest)) = text.split_once("\n\n") {
            let data = message.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
            *text = rest.to_owned();
            match data {
                Some(data) => return serde_json::from_str(&data).unwrap(),
                None => continue,
            }
        }
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn a_subscription_is_defined_shown_pulled_and_deleted() {
    let api = Api::start().await;
    api.fixture.append(&["a", "b"]).await;
    let definition = json!({"start": "beginning", "order_by": "none", "max_deliveries": 1});
    assert_eq!(api.define(MAIL, &definition).await.ok(), json!({"changed": true, "from": 0}));
    assert_eq!(api.define(MAIL, &definition).await.ok()["changed"], false);
    let list = api.get("/v1/subscriptions").await.ok();
    assert_eq!(list["subscriptions"][0]["name"], "mail");
    assert_eq!(list["subscriptions"][0]["definition"]["ack_deadline_ms"], 30_000);

    let mut pulled = api.request(Method::GET, &format!("{MAIL}/pull?most=2")).send().await.unwrap();
    let mut text = String::new();
    let first = next(&mut pulled, &mut text).await;
    let second = next(&mut pulled, &mut text).await;
    assert_eq!((&first["event"]["tenonstream"], &first["attempt"]), (&json!("a"), &json!(1)));
    let settled = json!({"acks": [first["ticket"]], "nacks": [{"ticket": second["ticket"]}]});
    let answer = send(api.request(Method::POST, &format!("{MAIL}/acks")).json(&settled)).await.ok();
    assert_eq!(answer["tickets"], 2);
    let status = loop {
        let status = api.get(MAIL).await.ok()["status"].clone();
        if status["parked"] == 1 {
            break status;
        }
    };
    assert_eq!((&status["acked"], &status["failed"]), (&json!(1), &json!(1)));
    let parked = api.get(&format!("{MAIL}/parked")).await.ok();
    assert_eq!(
        (&parked["parked"][0]["position"], &parked["parked"][0]["cause"]),
        (&json!(2), &json!("refused"))
    );
    assert_eq!(parked["parked"][0]["event"]["tenonstream"], "b");
    let unknown = json!({"positions": [7]});
    let unknown = send(api.request(Method::POST, &format!("{MAIL}/parked/retry")).json(&unknown)).await;
    assert_eq!(unknown.code(), "subscription.not-parked");
    let retried =
        send(api.request(Method::POST, &format!("{MAIL}/parked/retry")).json(&json!({}))).await.ok();
    assert_eq!(retried, json!({"events": 1}));
    let again = next(&mut pulled, &mut text).await;
    assert_eq!(again["event"]["tenonstream"], "b");
    let sought =
        send(api.request(Method::POST, &format!("{MAIL}/seek")).json(&json!({"to": "1"}))).await.ok();
    assert_eq!(sought, json!({"after": 1}));
    send(api.request(Method::DELETE, MAIL)).await.ok();
    assert_eq!(api.get(MAIL).await.code(), "subscription.unknown");
}

#[tokio::test]
async fn what_is_no_definition_is_refused_with_its_place() {
    let api = Api::start().await;
    let detail = async |definition: Value| {
        let reply = api.define(MAIL, &definition).await;
        assert_eq!(reply.json["code"], "request.invalid", "{}", reply.json);
        reply.json["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail(json!({"types": ["a b"]})).await.starts_with("types[0]: event type"));
    assert!(detail(json!({"start": "noon"})).await.starts_with("start: "));
    assert!(detail(json!({"in_flight": 0})).await.contains("in flight"));
    assert!(detail(json!({"colour": 1})).await.contains("unknown field `colour`"));
    let tenons = api.define(&format!("{MAIL}?namespace=tenon-x"), &json!({})).await;
    assert_eq!(tenons.code(), "access.forbidden");
    let ticket = send(api.request(Method::POST, &format!("{MAIL}/acks")).json(&json!({"acks": ["x"]}))).await;
    assert_eq!(ticket.code(), "request.invalid");
}

#[tokio::test]
async fn an_instance_subscribes_in_its_namespace_and_has_nobody_called() {
    let api = Api::as_caller(instance("order.sales")).await;
    api.define(MAIL, &json!({})).await.ok();
    assert_eq!(api.get("/v1/subscriptions").await.ok()["subscriptions"][0]["namespace"], "sales");
    let elsewhere = api.define(&format!("{MAIL}?namespace=default"), &json!({})).await;
    assert_eq!(elsewhere.code(), "access.forbidden");
    let pushed = json!({"push": {"service": "payment", "path": "/x"}});
    assert_eq!(api.define(MAIL, &pushed).await.code(), "access.forbidden");
}

#[tokio::test]
async fn publishers_are_refused_while_a_subscription_that_says_so_is_full() {
    let api = Api::start().await;
    let definition = json!({"types": ["t"], "capacity": 1, "when_full": "reject"});
    api.define(MAIL, &definition).await.ok();
    let publish = || send(api.request(Method::POST, "/v1/topics/t/events").json(&json!({})));
    publish().await.ok();
    let refused = loop {
        let reply = publish().await;
        if !reply.status.is_success() {
            break reply;
        }
    };
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "subscription.full".to_owned()));
}

#[tokio::test]
async fn what_subscriptions_count_is_there_for_prometheus() {
    let api = Api::start().await;
    api.fixture.append(&["a", "b"]).await;
    let backoff = json!({"delay": {"fixed": {"delay_ms": 0}}, "jitter": "none", "max_delay_ms": 0});
    api.define(MAIL, &json!({"start": "beginning", "order_by": "none", "backoff": backoff})).await.ok();
    let mut pulled = api.request(Method::GET, &format!("{MAIL}/pull?most=2")).send().await.unwrap();
    let mut text = String::new();
    let first = next(&mut pulled, &mut text).await;
    let second = next(&mut pulled, &mut text).await;
    let settled = json!({"acks": [first["ticket"]], "nacks": [{"ticket": second["ticket"]}]});
    send(api.request(Method::POST, &format!("{MAIL}/acks")).json(&settled)).await.ok();
    next(&mut pulled, &mut text).await;
    let answer = api.request(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let metrics = answer.text().await.unwrap();
    let labels = "{messaging_system=\"tenon\",messaging_consumer_group_name=\"mail\"}";
    let expected = [
        ("messaging_client_consumed_messages_total", 3),
        ("tenon_subscription_acknowledged_total", 1),
        ("tenon_subscription_failed_total", 1),
        ("tenon_subscription_in_flight", 1),
        ("tenon_subscription_parked", 0),
        ("tenon_subscription_redelivered_total", 1),
    ];
    for (name, value) in expected {
        assert!(metrics.contains(&format!("\n{name}{labels} {value}\n")), "{name} {value}: {metrics}");
    }

    assert!(metrics.contains(&format!("\ntenon_subscription_lag{labels} ")), "{metrics}");

    let api = Api::as_caller(instance("order.sales")).await;
    assert_eq!(api.get("/metrics").await.code(), "access.forbidden");
}

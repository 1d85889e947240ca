//! Topics: published to and followed over the command line and HTTP.

use super::events::start;
use serde_json::json;

#[tokio::test]
async fn events_are_published_listed_and_followed_by_their_topic() {
    let system = start().await;
    let tenon = system.tenon();
    let publish = async |data: &str, more: &[&str]| {
        tenon.run(&[&["topics", "publish", "payment.completed", data][..], more].concat()).await
    };
    let mut watch = tenon.follow(&["topics", "watch", "payment.completed", "--from", "0", "-o", "json"]);
    publish("{\"amount\":\"25.00\"}", &["--id", "p-1", "--key", "order-7"]).await.succeeded();
    let again = publish("{\"amount\":\"25.00\"}", &["--id", "p-1", "--key", "order-7"]).await.succeeded();
    assert!(again.err.contains("had been published before"), "{again:?}");
    publish("just a text", &["--source", "no uri"]).await.exited(3);
    publish("just a text", &["--attr", "region=eu"]).await.succeeded();

    let first: serde_json::Value = serde_json::from_str(&watch.next().await).unwrap();
    assert_eq!((&first["id"], &first["data"]), (&json!("p-1"), &json!({"amount": "25.00"})));
    assert_eq!(first["tenonstream"], "topics/payment.completed/order-7");
    let second: serde_json::Value = serde_json::from_str(&watch.next().await).unwrap();
    assert_eq!((&second["data"], &second["region"]), (&json!("just a text"), &json!("eu")));

    let list = tenon.json(&["topics", "list"]).await;
    assert_eq!(
        (&list["topics"][0]["type"], &list["topics"][0]["events"]),
        (&json!("payment.completed"), &json!(2))
    );
    let table = tenon.run(&["topics", "list", "pay"]).await.succeeded();
    assert!(table.out.starts_with("TOPIC") && table.out.lines().count() == 2, "{table:?}");
}

use super::client::Api;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

fn print(folder: &Path, instance: &str, lines: &str) {
    let path = folder.join(format!("{instance}.log"));
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(lines.as_bytes()).unwrap();
}

#[tokio::test]
async fn the_last_lines_of_all_instances_come_in_order_and_the_stream_ends() {
    let api = Api::with_shop().await;
    let output = api.output();
    print(&output, "order-1-0000000a", "2026-01-01T00:00:01Z out one\n2026-01-01T00:00:03Z err three\n");
    print(&output, "order-2-0000000b", "2026-01-01T00:00:02Z out two\n");
    print(&output, "payment-1-0000000c", "2026-01-01T00:00:02Z out not mine\n");
    let mut events = api.events("/v1/logs/order?tail=2", None).await;
    let two = events.data().await;
    assert_eq!((two["text"].as_str(), two["instance"].as_str()), (Some("two"), Some("order-2-0000000b")));
    let three = events.data().await;
    assert_eq!((three["text"].as_str(), three["stream"].as_str()), (Some("three"), Some("err")));
    assert_eq!(three["at"], "2026-01-01T00:00:03.000000Z");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn following_goes_on_with_new_lines_and_new_instances() {
    let api = Api::with_shop().await;
    let output = api.output();
    print(&output, "order-1-0000000a", "2026-01-01T00:00:01Z out old\n");
    let mut events = api.events("/v1/logs/order?tail=1&follow=true", None).await;
    assert_eq!(events.data().await["text"], "old");
    print(&output, "order-1-0000000a", "2026-01-01T00:00:02Z out new\n");
    assert_eq!(events.data().await["text"], "new");
    print(&output, "order-2-0000000b", "2026-01-01T00:00:03Z out newer\n");
    assert_eq!(events.data().await["text"], "newer");
    api.server.stop().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_service_that_printed_nothing_has_no_lines_and_one_that_is_not_is_refused() {
    let api = Api::with_shop().await;
    let mut events = api.events("/v1/logs/order", None).await;
    assert_eq!(events.next().await, None);
    assert_eq!(api.get("/v1/logs/stock").await.code(), "registry.unknown-service");
    assert_eq!(api.get("/v1/logs/order?tail=-1").await.code(), "request.invalid");
}

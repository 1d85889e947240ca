//! Sagas that run one after the other by a value that is an empty text, which is a value as any other.

use super::servers::{bystander, server, started};
use super::*;

fn by_customer() -> Definition {
    saga("order", json!({"serialize_by": "input.customer", "steps": [call("order", &[], "compensatable")]}))
}

fn of_nobody() -> Begin {
    Begin { input: json!({"customer": ""}), ..begin("order", None) }
}

#[tokio::test]
async fn those_with_an_empty_text_begin_after_a_restart() {
    let driven = Driven::with(vec![by_customer()]).await;
    driven.shop.order("order/do", &[Order::Swallow]);
    let first = driven.sagas.begin(of_nobody()).await.unwrap().view.id;
    driven.shop.called("order", Direction::Do).await;
    let second = driven.sagas.begin(of_nobody()).await.unwrap().view;
    assert!(second.instance.is_queued());
    driven.sagas.stop().await;
    let sagas = self::driven(&driven.fixture, &driven.shop).await;
    end_of(&sagas, first).await;
    assert_eq!(end_of(&sagas, second.id).await.instance.status(), Status::Completed);
}

#[tokio::test]
async fn one_with_an_empty_text_that_is_started_at_another_server_begins_at_its_owner() {
    let (fixture, shop, leases) = (Fixture::new(), Arc::new(Shop::default()), MemoryLeases::default());
    let owner = started(&fixture.store, &shop, server(1, &leases)).await;
    owner.define(by_customer(), false, None).await.unwrap();
    let other = started(&fixture.store, &shop, bystander(2)).await;
    let begun = other.begin(of_nobody()).await.unwrap().view;
    assert!(begun.instance.is_queued());
    assert_eq!(end_of(&other, begun.id).await.instance.status(), Status::Completed);
}

use super::*;
use crate::testing::Reserved;
use axum::Extension;
use tenon_api::caller::Caller;
use tenon_core::group::{Config, Definition, GroupName, Start};
use tenon_core::{Actor, Position};
use tenon_flow::{Bus, BusOptions, EventStore, EventStoreOptions};
use tenon_store::{MemoryLog, NewEvent};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

fn name() -> GroupName {
    GroupName { namespace: Namespace::default(), name: "all".parse().unwrap() }
}

fn events(count: u64) -> Vec<NewEvent> {
    let event = |at: u64| {
        let stream = format!("of/{at}").parse().unwrap();
        NewEvent::new(Namespace::default(), stream, "test.Happened.v1".parse().unwrap(), "{}".into())
    };
    (0..count).map(event).collect()
}

async fn start(log: &MemoryLog) -> Bus {
    let store = EventStore::new(log.clone().into_log(), EventStoreOptions::default());
    Bus::start(&store, BusOptions::default()).await.unwrap()
}

fn serve(bus: &Bus, listener: TcpListener) -> JoinHandle<()> {
    let router = bus.router().layer(Extension(Caller::Admin(Actor::new("test").unwrap())));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
}

/// A log with a subscription to all of it, a server and a consumer.
async fn fixture(count: u64) -> (MemoryLog, Bus, Subscriber) {
    let log = MemoryLog::default();
    if count > 0 {
        let all = events(count);
        for some in all.chunks(1_000) {
            tenon_store::Log::append(&log, some.to_vec(), None).await.unwrap();
        }
    }
    let bus = start(&log).await;
    let definition = Definition {
        start: Start::Beginning,
        config: Config { ack_deadline: Duration::from_secs(600), ..Config::default() },
        ..Definition::of_types(Namespace::default(), "all".parse().unwrap(), [].into())
    };
    bus.define(definition, None).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    serve(&bus, listener);
    let options = RemoteOptions { address, token: "t".into() };
    let subscriber = Subscriber::new(&options, "all", SubscriberOptions::default()).unwrap();
    (log, bus, subscriber)
}

async fn until_acked(bus: &Bus, count: u64) {
    while bus.describe(&name()).await.unwrap().status.counts.acked < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_event_comes_and_is_acknowledged_by_itself() {
    let (_log, bus, mut subscriber) = fixture(5_000).await;
    for at in 1..=5_000 {
        let delivery = subscriber.recv().await.unwrap();
        assert_eq!((delivery.event().position, delivery.attempt()), (Position(at), 1));
        delivery.ack();
    }
    until_acked(&bus, 5_000).await;
}

#[tokio::test]
async fn what_is_not_dealt_with_comes_again() {
    let (_log, bus, mut subscriber) = fixture(2).await;
    subscriber.recv().await.unwrap().nack(Some(Duration::ZERO));
    subscriber.recv().await.unwrap().ack();
    let again = subscriber.recv().await.unwrap();
    assert_eq!((again.event().position, again.attempt()), (Position(1), 2));
    assert_eq!(again.into_acked().position, Position(1));
    until_acked(&bus, 2).await;
}

#[tokio::test]
async fn another_consumer_is_given_what_one_left_behind() {
    let (_log, bus, mut subscriber) = fixture(3).await;
    let (_first, _second) = (subscriber.recv().await.unwrap(), subscriber.recv().await.unwrap());
    drop(subscriber);
    let mut member = bus.join(&name(), 10).await.unwrap();
    let mut given = Vec::new();
    while given.len() < 3 {
        given.extend(member.next().await.unwrap());
    }
    assert!(given.iter().all(|delivery| delivery.attempt == 2));
}

#[tokio::test]
async fn a_consumer_goes_on_with_a_server_that_comes_back() {
    let log = MemoryLog::default();
    tenon_store::Log::append(&log, events(2), None).await.unwrap();
    let first = start(&log).await;
    let mut definition = Definition::of_types(Namespace::default(), "all".parse().unwrap(), [].into());
    definition.start = Start::Beginning;
    first.define(definition, None).await.unwrap();
    let reserved = Reserved::new();
    let (at, listener) = (reserved.address, reserved.listen());
    let serving = serve(&first, listener);
    let options = RemoteOptions { address: format!("http://{at}"), token: "t".into() };
    let mut subscriber = Subscriber::new(&options, "all", SubscriberOptions::default()).unwrap();
    subscriber.recv().await.unwrap().ack();
    let late = subscriber.recv().await.unwrap();
    until_acked(&first, 1).await;
    first.stop().await;
    serving.abort();
    _ = serving.await;

    let second = start(&log).await;
    let listener = reserved.listen();
    serve(&second, listener);
    let again = subscriber.recv().await.unwrap();
    assert_eq!((again.event().position, again.attempt()), (Position(2), 2));
    // It was of a connection that is no more.
    late.ack();
    again.ack();
    until_acked(&second, 2).await;
}

#[tokio::test]
async fn a_subscription_that_is_not_there_is_refused() {
    let (_log, bus, mut subscriber) = fixture(0).await;
    bus.delete(&name(), None).await.unwrap();
    let refused = subscriber.recv().await.unwrap_err();
    assert_eq!(refused.code(), Code::SubscriptionUnknown);
    assert_eq!(refused.to_string(), "the subscription cannot be consumed: there is no subscription all");
}

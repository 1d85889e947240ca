use super::*;
use crate::bus::BusOptions;
use crate::testing::{Fixture, event};
use std::collections::BTreeSet;
use std::sync::Mutex;
use tenon_core::Namespace;
use tenon_core::group::{Config, Definition, Start, Status};
use tenon_core::retry::{Backoff, Delay, Jitter};

/// A service that refuses what it is told to, and remembers what it was sent.
#[derive(Default)]
struct Service {
    refused: Mutex<BTreeSet<String>>,
    sent: Mutex<Vec<(String, HeaderMap)>>,
}

impl Services for Service {
    fn post(&self, call: Call) -> BoxFuture<'_, Result<Answer, Unreached>> {
        let stream = call.headers["ce-tenonstream"].to_str().unwrap().to_owned();
        let is_refused = self.refused.lock().unwrap().contains(&stream);
        self.sent.lock().unwrap().push((stream, call.headers));
        let status = if is_refused { 500 } else { 204 };
        Box::pin(async move { Ok(Answer { status, retry_after: None }) })
    }
}

fn definition() -> Definition {
    let delay = Delay::Fixed(Duration::ZERO);
    let backoff = Backoff { delay, jitter: Jitter::None, max_delay: Duration::ZERO };
    let config = Config { deliveries: 2, backoff, ..Config::default() };
    let service = "order.sales".parse().unwrap();
    let delivered = Delivered::Push { service, path: "/events".to_owned(), structured: false };
    let of_types = Definition::of_types(Namespace::default(), "orders".parse().unwrap(), BTreeSet::new());
    Definition { start: Start::Beginning, config, delivered, ..of_types }
}

async fn until(bus: &Bus, is_so: impl Fn(&Status) -> bool) -> Status {
    loop {
        let status = bus.describe(&definition().group()).await.unwrap().status;
        if is_so(&status) {
            return status;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_are_sent_until_they_are_taken_and_parked_if_they_never_are() {
    let fixture = Fixture::new();
    fixture.append(&["bad", "good"]).await;
    let bus = Bus::start(&fixture.store, BusOptions::default()).await.unwrap();
    let service = Arc::new(Service::default());
    service.refused.lock().unwrap().insert("bad".to_owned());
    let stop = CancellationToken::new();
    tokio::spawn(push(bus.clone(), Arc::clone(&service) as Arc<dyn Services>, stop.clone()));
    bus.define(definition(), None).await.unwrap();
    let status = until(&bus, |status| status.counts.acked == 1 && status.parked == 1).await;
    assert_eq!(status.counts.failed, 2);
    let sent = std::mem::take(&mut *service.sent.lock().unwrap());
    let deliveries = |of: &str| -> Vec<String> {
        let of = sent.iter().filter(|(stream, _)| stream == of);
        of.map(|(_, headers)| headers["tenon-delivery"].to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (deliveries("bad"), deliveries("good")),
        (vec!["1".to_owned(), "2".to_owned()], vec!["1".to_owned()])
    );
    let headers = &sent[0].1;
    assert_eq!(headers["tenon-subscription"], "orders");
    assert_eq!(headers["ce-type"], "test.Happened.v1");
    assert_eq!(headers["idempotency-key"], headers["ce-id"]);
    assert_eq!(headers["tenon-timeout-ms"], "27000");

    service.refused.lock().unwrap().clear();
    assert_eq!(bus.retry(&definition().group(), BTreeSet::new()).await.unwrap(), 1);
    until(&bus, |status| status.counts.acked == 2 && status.parked == 0).await;
    stop.cancel();
}

#[tokio::test]
async fn a_subscription_that_is_gone_is_pushed_no_more() {
    let fixture = Fixture::new();
    let bus = Bus::start(&fixture.store, BusOptions::default()).await.unwrap();
    let service = Arc::new(Service::default());
    let stop = CancellationToken::new();
    tokio::spawn(push(bus.clone(), Arc::clone(&service) as Arc<dyn Services>, stop.clone()));
    bus.define(definition(), None).await.unwrap();
    fixture.append(&["a"]).await;
    until(&bus, |status| status.counts.acked == 1).await;
    bus.delete(&definition().group(), None).await.unwrap();
    let pulled = Definition { delivered: Delivered::Pull, ..definition() };
    bus.define(pulled, None).await.unwrap();
    let mut member = bus.join(&definition().group(), 10).await.unwrap();
    fixture.store.log().append(vec![event("b")], None).await.unwrap();
    let mut streams = Vec::new();
    while streams.len() < 2 {
        streams.extend(member.next().await.unwrap().into_iter().map(|it| it.event.stream.to_string()));
    }
    assert_eq!(streams, ["a", "b"]);
    assert_eq!(service.sent.lock().unwrap().len(), 1);
    stop.cancel();
}

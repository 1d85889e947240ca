use super::*;
use crate::bus::BusOptions;
use crate::testing::{Fixture, event};
use std::collections::BTreeSet;
use std::sync::Mutex;
use tenon_api::cloudevents::CloudEvent;
use tenon_core::group::{self, Config, DELIVER, Definition, Start};
use tenon_core::push::{Answer, Status};
use tenon_core::retry::{Backoff, Delay, Jitter};
use tenon_core::{Code, Namespace};

/// A service that refuses what it is told to, and remembers what it was sent.
#[derive(Default)]
struct Service {
    refused: Mutex<BTreeSet<String>>,
    /// How often the mesh still answers in its stead.
    out_for: Mutex<u32>,
    sent: Mutex<Vec<(String, Call)>>,
}

impl Service {
    fn take(&self, call: Call) -> Outcome {
        let body = call.body.clone();
        let stream = match call.headers.get("ce-tenonstream") {
            Some(stream) => stream.to_str().unwrap().to_owned(),
            None => CloudEvent::from_protobuf(body.slice(5..)).unwrap().extensions["tenonstream"].to_string(),
        };
        let mut out_for = self.out_for.lock().unwrap();
        if *out_for > 0 {
            *out_for -= 1;
            let refused = Some(Code::MeshServiceUnavailable);
            return Outcome::Answered(Answer { status: Status::Http(503), retry_after: Some(ZERO), refused });
        }
        let is_refused = self.refused.lock().unwrap().contains(&stream);
        let status = match (call.grpc, is_refused) {
            (true, true) => Status::Grpc(13),
            (true, false) => Status::Grpc(0),
            (false, true) => Status::Http(500),
            (false, false) => Status::Http(204),
        };
        self.sent.lock().unwrap().push((stream, call));
        Outcome::Answered(Answer { status, retry_after: None, refused: None })
    }
}

impl Services for Service {
    fn post(&self, call: Call) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.take(call) })
    }
}

const ZERO: Duration = Duration::ZERO;

fn definition() -> Definition {
    let delay = Delay::Fixed(Duration::ZERO);
    let backoff = Backoff { delay, jitter: Jitter::None, max_delay: Duration::ZERO };
    let config = Config { deliveries: 2, backoff, ..Config::default() };
    let service = "order.sales".parse().unwrap();
    let delivered = Delivered::Push { service, path: "/events".to_owned(), form: Form::Binary };
    let of_types = Definition::of_types(Namespace::default(), "orders".parse().unwrap(), BTreeSet::new());
    Definition { start: Start::Beginning, config, delivered, ..of_types }
}

async fn until(bus: &Bus, is_so: impl Fn(&group::Status) -> bool) -> group::Status {
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
        of.map(|(_, call)| call.headers["tenon-delivery"].to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (deliveries("bad"), deliveries("good")),
        (vec!["1".to_owned(), "2".to_owned()], vec!["1".to_owned()])
    );
    let headers = &sent[0].1.headers;
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

#[tokio::test]
async fn an_outage_of_the_service_parks_nothing() {
    let fixture = Fixture::new();
    fixture.append(&["a"]).await;
    let bus = Bus::start(&fixture.store, BusOptions::default()).await.unwrap();
    let service = Arc::new(Service::default());
    // Much longer than an event may be given.
    *service.out_for.lock().unwrap() = 100;
    let stop = CancellationToken::new();
    tokio::spawn(push(bus.clone(), Arc::clone(&service) as Arc<dyn Services>, stop.clone()));
    bus.define(definition(), None).await.unwrap();
    let status = until(&bus, |status| status.counts.acked == 1).await;
    assert_eq!((status.counts.failed, status.parked), (0, 0));
    assert_eq!(service.sent.lock().unwrap()[0].1.headers["tenon-delivery"], "1");
    stop.cancel();
}

#[tokio::test]
async fn over_grpc_an_event_is_one_message_and_the_status_settles_it() {
    let fixture = Fixture::new();
    fixture.append(&["bad", "good"]).await;
    let bus = Bus::start(&fixture.store, BusOptions::default()).await.unwrap();
    let service = Arc::new(Service::default());
    service.refused.lock().unwrap().insert("bad".to_owned());
    let stop = CancellationToken::new();
    tokio::spawn(push(bus.clone(), Arc::clone(&service) as Arc<dyn Services>, stop.clone()));
    let (service_ref, path) = ("order.sales".parse().unwrap(), DELIVER.to_owned());
    let delivered = Delivered::Push { service: service_ref, path, form: Form::Grpc };
    bus.define(Definition { delivered, ..definition() }, None).await.unwrap();
    until(&bus, |status| status.counts.acked == 1 && status.parked == 1).await;
    let sent = std::mem::take(&mut *service.sent.lock().unwrap());
    let (_, call) = sent.iter().find(|(stream, _)| stream == "good").unwrap();
    assert_eq!((call.grpc, call.path.as_str()), (true, "/tenon.bus.v1.ConsumerService/Deliver"));
    let length = u32::from_be_bytes(*call.body[1..].first_chunk().unwrap()) as usize;
    assert_eq!((call.body[0], length), (0, call.body.len() - 5));
    let event = CloudEvent::from_protobuf(call.body.slice(5..)).unwrap();
    assert_eq!((event.event_type.as_str(), &event.data[..]), ("test.Happened.v1", &b"{\"of\":\"good\"}"[..]));
    let header = |name: &str| call.headers[name].to_str().unwrap();
    assert_eq!((header("content-type"), header("te")), ("application/grpc+proto", "trailers"));
    assert_eq!((header("grpc-timeout"), header("idempotency-key")), ("27000m", event.id.as_str()));
    stop.cancel();
}

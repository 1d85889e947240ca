use super::event::{Defaults, to_append, told};
use super::*;
use crate::events::rights::Rights;
use crate::testing::{Fixture, admin, event, name};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tenon_api::cloudevents::{Attribute, CloudEvent};
use tenon_core::{Namespace, Timestamp};

fn defaults() -> Defaults {
    Defaults { namespace: Namespace::default(), stream: None, key: None, traceparent: None }
}

fn paid(id: &str) -> CloudEvent {
    let data = Bytes::from_static(b"{\"amount\":\"25.00\"}");
    let content_type = Some("application/json".to_owned());
    CloudEvent { data, content_type, ..CloudEvent::new(id, "/payments", "payment.completed").unwrap() }
}

fn with(mut event: CloudEvent, extensions: &[(&str, &str)]) -> CloudEvent {
    let extensions = extensions.iter().map(|(name, value)| ((*name).to_owned(), Attribute::from(*value)));
    event.extensions.extend(extensions);
    event
}

/// As it is told once it is in a log.
fn kept(event: CloudEvent) -> CloudEvent {
    told(to_append(event, &defaults()).unwrap().into_event(Position(7), Timestamp::from_millis(1_000)))
}

#[test]
fn what_is_published_lies_in_a_stream_of_its_key() {
    let stream = |event| to_append(event, &defaults()).unwrap().stream.to_string();
    assert_eq!(stream(paid("1")), "topics/payment.completed");
    let subject = CloudEvent { subject: Some("a b".to_owned()), ..paid("1") };
    assert_eq!(stream(subject.clone()), "topics/payment.completed/a%20b");
    assert_eq!(stream(with(subject, &[("partitionkey", "ü/7")])), "topics/payment.completed/%C3%BC/7");
    assert_eq!(stream(with(paid("1"), &[("tenonstream", "order/7")])), "order/7");
    let named = Defaults { stream: Some(name("order/8")), ..defaults() };
    assert_eq!(to_append(paid("1"), &named).unwrap().stream.as_str(), "order/8");
    let keyed = Defaults { key: Some("8".to_owned()), ..defaults() };
    assert_eq!(to_append(paid("1"), &keyed).unwrap().stream.as_str(), "topics/payment.completed/8");
    let long = with(paid("1"), &[("partitionkey", &"x".repeat(300))]);
    assert_eq!(to_append(long, &defaults()).unwrap_err().field, "partitionkey");
}

#[test]
fn attributes_that_the_log_has_a_place_for_lie_there() {
    let id = tenon_store::new_event_id();
    let event = with(
        paid("1"),
        &[
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("correlationid", "order-7"),
            ("causationid", &id.to_string()),
            ("tenontags", "order:7 customer:ada"),
            ("region", "eu"),
        ],
    );
    let appended = to_append(event.clone(), &defaults()).unwrap();
    assert_eq!(appended.metadata.correlation.as_deref(), Some("order-7"));
    assert_eq!(appended.metadata.causation, Some(id));
    assert_eq!(appended.tags.len(), 2);
    assert_eq!(appended.metadata.other["region"], "eu");
    let told = kept(event.clone());
    for (name, value) in &event.extensions {
        if name != "tenontags" {
            assert_eq!(&told.extensions[name], value);
        }
    }
    assert_eq!(told.extension("tenontags").as_deref(), Some("customer:ada order:7"));
    assert_eq!(told.extension("tenonposition").as_deref(), Some("7"));
    let unknown = with(paid("1"), &[("tenonfoo", "x")]);
    assert_eq!(to_append(unknown, &defaults()).unwrap_err().field, "tenonfoo");
}

#[test]
fn an_event_that_was_never_a_cloudevent_is_told_as_one() {
    let mut appended = event("order/7");
    appended.metadata.other.insert("Weird Name".to_owned(), "x".to_owned());
    let id = appended.id;
    let told = told(appended.into_event(Position(3), Timestamp::from_millis(2_000)));
    assert_eq!((told.id.clone(), told.source.as_str()), (id.to_string(), "/v1/streams/order%2F7"));
    assert_eq!(told.time, Some(Timestamp::from_millis(2_000)));
    assert!(told.is_json());
    assert_eq!(told.extension("tenonstream").as_deref(), Some("order/7"));
}

#[test]
fn metadata_that_only_look_like_attributes_do_no_harm() {
    let mut appended = event("a");
    appended.metadata.other.insert("ce-source".to_owned(), "no uri".to_owned());
    let told = told(appended.into_event(Position(3), Timestamp::ZERO));
    assert_eq!(told.source, "/v1/streams/a");
}

proptest! {
    #[test]
    fn what_is_published_is_told_as_it_was(
        id in "[a-zA-Z0-9 äß-]{1,20}",
        subject in proptest::option::of("[a-z ]{1,9}"),
        time in proptest::option::of(0..253_402_300_800_000_000_u64),
        extensions in proptest::collection::btree_map("x[a-z0-9]{0,5}", prop_oneof![
            any::<bool>().prop_map(Attribute::Boolean),
            any::<i32>().prop_map(Attribute::Integer),
            "[a-z =]{1,9}".prop_map(Attribute::Text),
        ], 0..4),
        data in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let content_type = Some("application/octet-stream".to_owned());
        let time = time.map(Timestamp::from_micros);
        let event = CloudEvent { subject, time, extensions, content_type, data: data.into(), ..paid(&id) };
        let mut told = kept(event.clone());
        let own: BTreeMap<_, _> = told.extensions.extract_if(.., |name, _| name.starts_with("tenon")).collect();
        prop_assert_eq!(own.len(), 2);
        prop_assert_eq!(told.time.take(), event.time.or(Some(Timestamp::from_millis(1_000))));
        prop_assert_eq!(told, CloudEvent { time: None, ..event });
    }
}

#[tokio::test]
async fn what_is_published_again_is_published_once() {
    let fixture = Fixture::new();
    let rights = Rights::of(Some(&admin()), false).unwrap();
    let publish = async |ids: &[&str]| {
        let events = ids.iter().map(|id| to_append(paid(id), &defaults()).unwrap()).collect();
        let outcomes = fixture.store.publish(&rights, events).await.unwrap();
        outcomes.into_iter().map(|it| (it.position.0, it.duplicate)).collect::<Vec<_>>()
    };
    assert_eq!(publish(&["a"]).await, [(1, false)]);
    assert_eq!(publish(&["a"]).await, [(1, true)]);
    assert_eq!(publish(&["b", "c", "b"]).await, [(2, false), (3, false), (2, true)]);
    assert_eq!(publish(&["c", "d", "a"]).await, [(3, true), (4, false), (1, true)]);
    assert_eq!(publish(&["b", "c"]).await, [(2, true), (3, true)]);
    assert_eq!(publish(&[]).await, []);
    let elsewhere = Defaults { namespace: Namespace::new("sales").unwrap(), ..defaults() };
    let there = vec![to_append(paid("a"), &elsewhere).unwrap()];
    assert!(!fixture.store.publish(&rights, there).await.unwrap()[0].duplicate);
}

use super::*;
use proptest::prelude::*;

/// The same message as a generator of code makes it.
#[derive(Clone, PartialEq, Message)]
struct Generated {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(uint64, tag = "2")]
    time_micros: u64,
    #[prost(bytes = "bytes", tag = "3")]
    id: Bytes,
    #[prost(string, tag = "4")]
    namespace: String,
    #[prost(string, tag = "5")]
    stream: String,
    #[prost(string, tag = "6")]
    event_type: String,
    #[prost(string, repeated, tag = "7")]
    tags: Vec<String>,
    #[prost(bytes = "bytes", tag = "8")]
    data: Bytes,
    #[prost(string, optional, tag = "9")]
    actor: Option<String>,
    #[prost(string, optional, tag = "10")]
    traceparent: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "11")]
    causation: Option<Bytes>,
    #[prost(string, optional, tag = "12")]
    correlation: Option<String>,
    #[prost(btree_map = "string, string", tag = "13")]
    other: BTreeMap<String, String>,
}

impl From<&Event> for Generated {
    fn from(event: &Event) -> Self {
        let id = |id: EventId| Bytes::copy_from_slice(id.as_bytes());
        Self {
            position: event.position.0,
            time_micros: event.time.as_micros(),
            id: event.id.map(id).unwrap_or_default(),
            namespace: event.namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
            stream: event.stream.as_ref().map(ToString::to_string).unwrap_or_default(),
            event_type: event.event_type.as_ref().map(ToString::to_string).unwrap_or_default(),
            tags: event.tags.iter().map(ToString::to_string).collect(),
            data: event.data.clone(),
            actor: event.actor.as_ref().map(ToString::to_string),
            traceparent: event.traceparent.clone().map(String::from),
            causation: event.causation.map(id),
            correlation: event.correlation.clone().map(String::from),
            other: event.other.clone(),
        }
    }
}

prop_compose! {
    fn event()(
        numbers in any::<(u64, u64)>(),
        ids in any::<(Option<[u8; 16]>, Option<[u8; 16]>)>(),
        namespace in proptest::option::of("[a-z]{1,9}"),
        names in proptest::option::of(("[!-~]{1,40}", "[!-~]{1,40}")),
        tags in proptest::collection::btree_set("[!-~]{1,9}", 0..4),
        data in proptest::collection::vec(any::<u8>(), 0..300),
        actor in proptest::option::of("[!-~]{1,20}"),
        texts in any::<(Option<String>, Option<String>)>(),
        other in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..3),
    ) -> Event {
        Event {
            position: Position(numbers.0),
            time: Timestamp::from_micros(numbers.1),
            id: ids.0.map(EventId::from_bytes),
            namespace: namespace.map(|it| it.parse().unwrap()),
            stream: names.as_ref().map(|(stream, _)| stream.parse().unwrap()),
            event_type: names.map(|(_, event_type)| event_type.parse().unwrap()),
            tags: tags.iter().map(|it| it.parse().unwrap()).collect(),
            data: data.into(),
            actor: actor.map(|it| it.parse().unwrap()),
            traceparent: texts.0.map(Text::from),
            causation: ids.1.map(EventId::from_bytes),
            correlation: texts.1.map(Text::from),
            other,
            invalid: None,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_what_a_generator_reads_and_the_other_way_round(event in event()) {
        let bytes = event.encode_to_vec();
        prop_assert_eq!(bytes.len(), event.encoded_len());
        prop_assert_eq!(Generated::decode(bytes.as_slice()).unwrap(), Generated::from(&event));
        prop_assert_eq!(Event::decode(bytes.as_slice()).unwrap(), event.clone());
        let generated = Generated::from(&event).encode_to_vec();
        prop_assert_eq!(Event::decode(generated.as_slice()).unwrap(), event);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Event::decode(bytes.as_slice());
    }
}

#[test]
fn an_invalid_field_is_noted_and_the_rest_is_read() {
    let sent = Generated { stream: "a b".into(), event_type: "t".into(), ..Generated::default() };
    let event = Event::decode(sent.encode_to_vec().as_slice()).unwrap();
    assert_eq!(event.stream, None);
    assert_eq!(event.event_type, Some(EventType::new("t").unwrap()));
    let problem = event.check().unwrap_err();
    assert_eq!(problem.field, "stream");
    let sent = Generated { id: Bytes::from_static(b"short"), ..Generated::default() };
    assert_eq!(
        Event::decode(sent.encode_to_vec().as_slice()).unwrap().check().unwrap_err().to_string(),
        "id: must have the 16 bytes of a UUID"
    );
}

#[test]
fn a_field_that_is_not_known_is_passed_over() {
    let mut bytes = Event { data: Bytes::from_static(b"x"), ..Event::default() }.encode_to_vec();
    string::encode(99, &"later".to_owned(), &mut bytes);
    assert_eq!(Event::decode(bytes.as_slice()).unwrap().data, "x");
}

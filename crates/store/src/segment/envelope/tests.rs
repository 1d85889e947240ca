use super::*;
use crate::log::{MAX_METADATA_BYTES, MAX_TAGS, NewEvent};
use crate::segment::format::BATCH_HEADER;
use prost::Message;

/// The same as a library writes and reads it.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(uint64, tag = "2")]
    time_micros: u64,
    #[prost(bytes = "vec", tag = "3")]
    id: Vec<u8>,
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
    #[prost(bytes = "vec", optional, tag = "11")]
    causation: Option<Vec<u8>>,
    #[prost(string, optional, tag = "12")]
    correlation: Option<String>,
    #[prost(btree_map = "string, string", tag = "13")]
    other: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Envelope>,
}

impl Envelope {
    fn new(event: &Event) -> Self {
        let metadata = &event.metadata;
        Self {
            position: event.position.0,
            time_micros: event.time.as_micros(),
            id: event.id.as_bytes().to_vec(),
            namespace: event.namespace.to_string(),
            stream: event.stream.to_string(),
            event_type: event.event_type.to_string(),
            tags: event.tags.iter().map(ToString::to_string).collect(),
            data: event.data.clone(),
            actor: metadata.actor.as_ref().map(ToString::to_string),
            traceparent: metadata.traceparent.clone().map(String::from),
            causation: metadata.causation.map(|id| id.as_bytes().to_vec()),
            correlation: metadata.correlation.clone().map(String::from),
            other: metadata.other.clone(),
        }
    }
}

fn encoded(events: &[Event]) -> Bytes {
    let mut out = Vec::new();
    encode(events, &mut out);
    out.into()
}

fn decoded(payload: &[u8]) -> Result<Vec<Event>, &'static str> {
    let (payload, mut names) = (Bytes::copy_from_slice(payload), Names::default());
    raw(&payload).map(|raw| raw?.event(Data::Slice(&payload), &mut names)).collect()
}

/// Events in which any field may be there or not.
fn varied(count: u64) -> Vec<Event> {
    let mut rng = fastrand::Rng::with_seed(11);
    (1..=count)
        .map(|number| {
            let mut event = largest();
            event.data = Bytes::from(vec![number as u8; rng.usize(..400)]);
            event.stream = StreamName::new(["a", "b", "$tenon/c"][rng.usize(..3)]).unwrap();
            event.tags = (0..rng.usize(..4)).map(|tag| Tag::new(&format!("tag:{tag}")).unwrap()).collect();
            let metadata = &mut event.metadata;
            metadata.other =
                (0..rng.usize(..3)).map(|n| ("x".repeat(n), "y".repeat(rng.usize(..3)))).collect();
            metadata.actor.take_if(|_| rng.bool());
            metadata.traceparent.take_if(|_| rng.bool());
            metadata.causation.take_if(|_| rng.bool());
            metadata.correlation.take_if(|_| rng.bool());
            event.into_event(Position(number << rng.u32(..30)), Timestamp::from_micros(rng.u64(..1 << 60)))
        })
        .collect()
}

#[test]
fn it_is_the_protobuf_of_the_documentation() {
    let events = varied(200);
    let batch = Batch { events: events.iter().map(Envelope::new).collect() };
    assert_eq!(encoded(&events), batch.encode_to_vec());
    assert_eq!(decoded(&batch.encode_to_vec()), Ok(events));
}

#[test]
fn an_event_in_place_matches_as_the_event_itself_does() {
    let events = varied(100);
    let item = |streams: &[&str], tags: &[&str], types: &[&str]| QueryItem {
        streams: streams.iter().map(|name| StreamName::new(name).unwrap()).collect(),
        prefix: None,
        tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
        types: types.iter().map(|name| EventType::new(name).unwrap()).collect(),
    };
    let queries = [
        Query::user(),
        Query::reserved(),
        Query::everything().within(Namespace::default()),
        Query::user().or(item(&["a"], &["tag:1"], &[])),
        Query::prefix(Namespace::default(), StreamName::new("$tenon").unwrap()),
        Query { scope: Scope::All, ..Query::prefix(Namespace::default(), StreamName::new("$t").unwrap()) },
        Query::everything().or(item(&[], &["tag:0", "tag:2"], &[])).or(item(
            &["$tenon/c", "b"],
            &[],
            &["other"],
        )),
    ];
    let payload = encoded(&events);
    for query in &queries {
        for (raw, event) in raw(&payload).zip(&events) {
            assert_eq!(raw.unwrap().matches(query), query.matches(event), "{query:?} {event:?}");
        }
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let payload = encoded(&varied(3));
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..20_000 {
        let mut bytes = payload.to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        bytes.truncate(rng.usize(..=bytes.len()));
        let _ = decoded(&bytes);
    }
}

/// An event whose every field is as long as it may be.
fn largest() -> NewEvent {
    let long = |len| "x".repeat(len);
    let tags = (0..MAX_TAGS).map(|n| Tag::new(&format!("{n:0255}")).unwrap()).collect();
    NewEvent {
        id: EventId::from_bytes([255; 16]),
        namespace: Namespace::new(&long(63)).unwrap(),
        stream: StreamName::new(&long(255)).unwrap(),
        event_type: EventType::new(&long(255)).unwrap(),
        tags,
        data: Bytes::from(vec![1; 1 << 20]),
        metadata: Metadata {
            actor: Some(Actor::new(&long(128)).unwrap()),
            traceparent: Some(long(100).into()),
            causation: Some(EventId::from_bytes([1; 16])),
            correlation: Some(long(200).into()),
            other: (0..MAX_METADATA_BYTES / 16).map(|n| (n.to_string(), String::new())).collect(),
        },
    }
}

#[test]
fn the_size_that_an_event_counts_for_bounds_what_it_takes_on_disk() {
    let small =
        NewEvent { tags: Default::default(), data: Bytes::new(), metadata: Metadata::default(), ..largest() };
    for event in [small, largest()] {
        let size = event.size();
        let event = event.into_event(Position(u64::MAX), Timestamp::from_micros(u64::MAX));
        let encoded = encoded(std::slice::from_ref(&event));
        assert!(encoded.len() <= size, "{} bytes for a size of {size}", encoded.len());
        assert_eq!(decoded(&encoded).unwrap(), [event]);
    }
    assert_eq!(BATCH_HEADER, 64, "the bound of an append adds one header to the sizes of its events");
}

#[test]
fn what_is_not_a_batch_of_events_is_refused() {
    assert!(decoded(b"\xff\xff\xff").is_err());
    // A valid message whose event lacks everything.
    assert!(decoded(&[0x0a, 0x00]).is_err());
    assert_eq!(decoded(b"").unwrap(), []);
}

#[test]
fn a_field_that_a_later_version_added_is_passed_over() {
    let event = NewEvent { metadata: Metadata::default(), ..largest() };
    let event = event.into_event(Position(1), Timestamp::ZERO);
    let mut envelope = Envelope::new(&event).encode_to_vec();
    // Field 1,000, a varint; field 1,001, eight bytes.
    envelope.extend_from_slice(&[0xc0, 0x3e, 0x05, 0xc9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut payload = Vec::new();
    wire::put_bytes(BATCH_EVENT, &envelope, &mut payload);
    assert_eq!(decoded(&payload), Ok(vec![event]));
}

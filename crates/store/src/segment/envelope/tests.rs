use super::*;
use crate::log::{MAX_METADATA_BYTES, MAX_TAGS, NewEvent};
use crate::segment::format::BATCH_HEADER;
use bytes::Bytes;

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
            traceparent: Some(long(100)),
            causation: Some(EventId::from_bytes([1; 16])),
            correlation: Some(long(200)),
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
        let encoded = encode(std::slice::from_ref(&event));
        assert!(encoded.len() <= size, "{} bytes for a size of {size}", encoded.len());
        assert_eq!(decode(&encoded).unwrap(), [event]);
    }
    assert_eq!(BATCH_HEADER, 64, "the bound of an append adds one header to the sizes of its events");
}

#[test]
fn what_is_not_a_batch_of_events_is_refused() {
    assert!(decode(b"\xff\xff\xff").is_err());
    // A valid message whose event lacks everything.
    assert!(decode(&[0x0a, 0x00]).is_err());
    assert_eq!(decode(b"").unwrap(), []);
}

#[test]
fn a_field_that_a_later_version_added_is_passed_over() {
    let event = NewEvent { metadata: Metadata::default(), ..largest() };
    let event = event.into_event(Position(1), Timestamp::ZERO);
    let mut envelope = Envelope::new(&event).encode_to_vec();
    // Field 1,000, a varint.
    envelope.extend_from_slice(&[0xc0, 0x3e, 0x05]);
    let read = Envelope::decode(envelope.as_slice()).unwrap().into_event();
    assert_eq!(read, Some(event));
}

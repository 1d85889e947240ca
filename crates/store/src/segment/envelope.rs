//! The record of an event: a protobuf envelope around a payload that the log does not interpret.
//!
//! A field's number is never given another meaning; new fields are optional. `docs/log.md` has the same as
//! a `.proto` file.

use crate::log::{Event, Metadata};
use prost::Message;
use std::collections::BTreeMap;
use tenon_core::{Actor, EventId, EventType, Namespace, Position, StreamName, Tag, Timestamp};

/// An event as it is stored.
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
    data: bytes::Bytes,
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

/// What an append commits.
#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Envelope>,
}

/// The payload of a batch.
pub(crate) fn encode(events: &[Event]) -> Vec<u8> {
    Batch { events: events.iter().map(Envelope::new).collect() }.encode_to_vec()
}

/// The events of a batch's payload.
pub(crate) fn decode(payload: &[u8]) -> Result<Vec<Event>, &'static str> {
    let batch = Batch::decode(payload).map_err(|_| "the batch does not hold events")?;
    let event = |envelope| Envelope::into_event(envelope).ok_or("an event of the batch has an invalid field");
    batch.events.into_iter().map(event).collect()
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
            traceparent: metadata.traceparent.clone(),
            causation: metadata.causation.map(|id| id.as_bytes().to_vec()),
            correlation: metadata.correlation.clone(),
            other: metadata.other.clone(),
        }
    }

    fn into_event(self) -> Option<Event> {
        let id = |bytes: Vec<u8>| Some(EventId::from_bytes(bytes.try_into().ok()?));
        let metadata = Metadata {
            actor: self.actor.map(|actor| Actor::new(&actor)).transpose().ok()?,
            traceparent: self.traceparent,
            causation: match self.causation {
                Some(bytes) => Some(id(bytes)?),
                None => None,
            },
            correlation: self.correlation,
            other: self.other,
        };
        Some(Event {
            position: Position(self.position),
            time: Timestamp::from_micros(self.time_micros),
            id: id(self.id)?,
            namespace: Namespace::new(&self.namespace).ok()?,
            stream: StreamName::new(&self.stream).ok()?,
            event_type: EventType::new(&self.event_type).ok()?,
            tags: self.tags.iter().map(|tag| Tag::new(tag)).collect::<Result<_, _>>().ok()?,
            data: self.data,
            metadata,
        })
    }
}

#[cfg(test)]
mod tests;

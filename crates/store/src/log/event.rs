//! Events: as they are appended, and as they are read.

use super::error::InvalidInput;
use super::{MAX_EVENT_BYTES, MAX_METADATA_BYTES, MAX_TAGS};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use tenon_core::{Actor, EventId, EventType, LogId, Namespace, Position, StreamName, Tags, Text, Timestamp};

/// The type of the event that deletes the stream which it is appended to.
pub const STREAM_DELETED: &str = "tenon.stream.StreamDeleted.v1";

/// An event to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Chosen by the appender, so that a repeated append is recognised.
    pub id: EventId,
    /// The namespace of the stream.
    pub namespace: Namespace,
    /// The stream.
    pub stream: StreamName,
    /// The type with its version.
    pub event_type: EventType,
    /// What the event is about, for queries and conditions that cross streams. At most
    /// [`MAX_TAGS`](super::MAX_TAGS).
    pub tags: Tags,
    /// The payload, at most [`MAX_EVENT_BYTES`](super::MAX_EVENT_BYTES); the log does not look into it.
    pub data: Bytes,
    /// Who and what caused the event.
    pub metadata: Metadata,
}

/// Who and what caused an event. At most [`MAX_METADATA_BYTES`](super::MAX_METADATA_BYTES) together.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Who made the change.
    pub actor: Option<Actor>,
    /// The W3C trace context of the request that led to the event.
    pub traceparent: Option<Text>,
    /// The event that led directly to this one.
    pub causation: Option<EventId>,
    /// What all events of one business transaction share.
    pub correlation: Option<Text>,
    /// Anything else, by name.
    pub other: BTreeMap<String, String>,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the log.
    pub position: Position,
    /// When it was appended, microseconds of UTC, as the store assigned it.
    pub time: Timestamp,
    /// Its id.
    pub id: EventId,
    /// The namespace of its stream.
    pub namespace: Namespace,
    /// Its stream.
    pub stream: StreamName,
    /// Its type with its version.
    pub event_type: EventType,
    /// What it is about.
    pub tags: Tags,
    /// The payload.
    pub data: Bytes,
    /// Who and what caused it.
    pub metadata: Metadata,
}

impl NewEvent {
    /// An event without tags and metadata, under a new id.
    pub fn new(namespace: Namespace, stream: StreamName, event_type: EventType, data: Bytes) -> Self {
        Self {
            id: new_event_id(),
            namespace,
            stream,
            event_type,
            tags: Tags::new(),
            data,
            metadata: Metadata::default(),
        }
    }

    /// The event that deletes a stream, under a new id.
    pub fn deletion(namespace: Namespace, stream: StreamName) -> Self {
        Self::new(namespace, stream, EventType::stream_deleted(), Bytes::new())
    }

    /// Whether it deletes its stream.
    pub fn is_deletion(&self) -> bool {
        self.event_type.as_str() == STREAM_DELETED
    }

    /// How many bytes the event counts for, against the bounds of an append and of a page.
    pub fn size(&self) -> usize {
        size(&self.stream, &self.event_type, &self.tags, &self.data, &self.metadata)
    }

    /// Checks the bounds of a single event.
    pub(crate) fn validate(&self) -> Result<(), InvalidInput> {
        if self.is_deletion() {
            self.validate_deletion()?;
        }
        InvalidInput::check("bytes of event data", self.data.len(), MAX_EVENT_BYTES)?;
        InvalidInput::check("tags of an event", self.tags.len(), MAX_TAGS)?;
        InvalidInput::check("bytes of event metadata", self.metadata.size(), MAX_METADATA_BYTES)
    }

    fn validate_deletion(&self) -> Result<(), InvalidInput> {
        let refused = |problem| Err(InvalidInput::Deletion { stream: self.stream.clone(), problem });
        if self.stream.is_reserved() {
            return refused("it is one of Tenon's own");
        }
        // What looks for tags is not about whole streams.
        if self.tags.is_empty() { Ok(()) } else { refused("the event that deletes it has tags") }
    }

    /// The event as it stands in the log.
    pub fn into_event(self, position: Position, time: Timestamp) -> Event {
        let Self { id, namespace, stream, event_type, tags, data, metadata } = self;
        Event { position, time, id, namespace, stream, event_type, tags, data, metadata }
    }
}

impl Event {
    /// Whether it deleted its stream: what is read of the stream begins with it.
    pub fn is_deletion(&self) -> bool {
        self.event_type.as_str() == STREAM_DELETED
    }

    /// How many bytes the event counts for, against the bounds of a page.
    pub fn size(&self) -> usize {
        size(&self.stream, &self.event_type, &self.tags, &self.data, &self.metadata)
    }
}

impl Metadata {
    fn size(&self) -> usize {
        let texts = [&self.traceparent, &self.correlation];
        let texts = texts.into_iter().flatten().map(|text| text.len()).sum::<usize>();
        let actor = self.actor.as_ref().map_or(0, |actor| actor.as_str().len());
        let causation = if self.causation.is_some() { 16 } else { 0 };
        // Each entry costs its two length prefixes besides its bytes.
        let other = self.other.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>();
        texts + actor + causation + other
    }
}

/// A new id for an event, from this machine's clock and randomness.
pub fn new_event_id() -> EventId {
    let id = match (SystemTime::now().duration_since(UNIX_EPOCH), entropy()) {
        (Ok(now), Some(entropy)) => {
            let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            uuid::Builder::from_unix_timestamp_millis(millis, &entropy).into_uuid()
        }
        _ => uuid::Uuid::now_v7(),
    };
    EventId::from_bytes(id.into_bytes())
}

/// What makes an id unique, of the system's randomness. It is asked for once for many ids, as asking costs more than the rest of
/// what an id is made of.
fn entropy() -> Option<[u8; 10]> {
    const KEPT: usize = 100;
    thread_local! {
        static LEFT: RefCell<Vec<[u8; 10]>> = const { RefCell::new(Vec::new()) };
    }
    LEFT.with_borrow_mut(|left| {
        if left.is_empty() {
            let mut bytes = [0; 10 * KEPT];
            getrandom::fill(&mut bytes).ok()?;
            left.extend(bytes.as_chunks().0);
        }
        left.pop()
    })
}

/// A new id for a log, from this machine's clock and randomness.
pub fn new_log_id() -> LogId {
    LogId::from_bytes(uuid::Uuid::now_v7().into_bytes())
}

/// Everything that varies, plus a round figure for what does not.
fn size(
    stream: &StreamName,
    event_type: &EventType,
    tags: &Tags,
    data: &Bytes,
    metadata: &Metadata,
) -> usize {
    let tags = tags.iter().map(|tag| tag.as_str().len() + 4).sum::<usize>();
    160 + stream.as_str().len() + event_type.as_str().len() + tags + data.len() + metadata.size()
}

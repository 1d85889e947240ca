//! The record of an event: a protobuf envelope around a payload that the log does not interpret. `docs/log.md` has it as
//! a `.proto` file; a field's number is never given another meaning, and new fields are optional.
//!
//! Written and read by hand, because replaying a log is mostly this: an event is looked at in place, what does not match
//! is never made an [`Event`], data is a slice of what was read, and names that come again and again are shared.

use crate::log::{Event, Metadata, Query, QueryItem, Scope};
use bytes::Bytes;
use std::collections::BTreeMap;
use tenon_core::{
    Actor, EventId, EventType, Namespace, Position, RESERVED_STREAMS, StreamName, Tag, Tags, Text, Timestamp,
};

pub(crate) mod wire;

use wire::{Field, Fields};

/// The field of a batch that holds an event.
const BATCH_EVENT: u32 = 1;
/// How many names of a kind are shared.
const SHARED: usize = 8;

/// Puts the payload of a batch at the end of a buffer.
pub(crate) fn encode(events: &[Event], out: &mut Vec<u8>) {
    for event in events {
        wire::put_length(BATCH_EVENT, length(event), out);
        put(event, out);
    }
}

/// Puts events that were read in place at the end of a buffer, as they were.
pub(crate) fn copy(events: &[Raw<'_>], out: &mut Vec<u8>) {
    for raw in events {
        wire::put_bytes(BATCH_EVENT, raw.message, out);
    }
}

/// The events of a batch's payload, in place.
pub(crate) fn raw(payload: &[u8]) -> impl Iterator<Item = Result<Raw<'_>, &'static str>> {
    messages(payload).map(|message| Raw::parse(message?).ok_or(INVALID))
}

/// The same of one stream; those of others are passed over without being looked at any further.
pub(crate) fn raw_of<'a>(
    payload: &'a [u8],
    stream: &'a [u8],
) -> impl Iterator<Item = Result<Raw<'a>, &'static str>> {
    let of_stream = move |message: &Result<&[u8], _>| !message.is_ok_and(|it| is_of_other(it, stream));
    messages(payload).filter(of_stream).map(|message| Raw::parse(message?).ok_or(INVALID))
}

/// Why an event is none.
const INVALID: &str = "an event of the batch has an invalid field";

/// The messages of the events of a batch's payload.
#[inline]
fn messages(payload: &[u8]) -> impl Iterator<Item = Result<&[u8], &'static str>> {
    Fields(payload).filter_map(|field| match field {
        Some((BATCH_EVENT, Field::Bytes(message))) => Some(Ok(message)),
        Some(_) => None,
        None => Some(Err("the batch does not hold events")),
    })
}

/// Whether an event is surely of another stream.
fn is_of_other(message: &[u8], stream: &[u8]) -> bool {
    let of = Fields(message).find_map(|field| match field {
        Some((5, Field::Bytes(name))) => Some(Some(name)),
        Some(_) => None,
        None => Some(None),
    });
    of.flatten().is_some_and(|name| name != stream)
}

/// An event that is read in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) position: Position,
    pub(crate) time: Timestamp,
    pub(crate) id: EventId,
    namespace: &'a [u8],
    stream: &'a [u8],
    event_type: &'a [u8],
    data: &'a [u8],
    actor: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
    causation: Option<EventId>,
    correlation: Option<&'a [u8]>,
    has_tags: bool,
    has_other: bool,
    message: &'a [u8],
}

/// Where the data of events goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data<'a> {
    /// A slice of what was read, which is kept for as long as the event is.
    Slice(&'a Bytes),
    /// A slice if it is most of what was read, otherwise a copy: an event is not to keep much more than itself.
    Mostly(&'a Bytes),
    /// A copy.
    Copy,
}

/// Names that came lately, to be shared by the events that have them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    namespaces: Vec<Namespace>,
    types: Vec<EventType>,
    last_stream: Option<StreamName>,
    actors: Vec<Actor>,
}

/// The fields of an event with their wire types, as they are written.
mod key {
    pub(super) const POSITION: u8 = 1 << 3;
    pub(super) const TIME: u8 = 2 << 3;
    pub(super) const ID: u8 = 3 << 3 | 2;
    pub(super) const NAMESPACE: u8 = 4 << 3 | 2;
    pub(super) const STREAM: u8 = 5 << 3 | 2;
    pub(super) const TYPE: u8 = 6 << 3 | 2;
    pub(super) const TAG: u8 = 7 << 3 | 2;
    pub(super) const DATA: u8 = 8 << 3 | 2;
    pub(super) const ACTOR: u8 = 9 << 3 | 2;
    pub(super) const TRACEPARENT: u8 = 10 << 3 | 2;
    pub(super) const CAUSATION: u8 = 11 << 3 | 2;
    pub(super) const CORRELATION: u8 = 12 << 3 | 2;
    pub(super) const OTHER: u8 = 13 << 3 | 2;
}

impl<'a> Raw<'a> {
    #[inline]
    fn parse(message: &'a [u8]) -> Option<Self> {
        let mut raw = Self {
            position: Position::START,
            time: Timestamp::ZERO,
            id: EventId::from_bytes([0; 16]),
            namespace: &[],
            stream: &[],
            event_type: &[],
            data: &[],
            actor: None,
            traceparent: None,
            causation: None,
            correlation: None,
            has_tags: false,
            has_other: false,
            message,
        };
        let mut identified = false;
        let mut fields = Fields(message);
        // By the key as it is written, since this is done for every event that is looked at.
        while let Some(key) = fields.key() {
            match key {
                key::POSITION => raw.position = Position(fields.number()?),
                key::TIME => raw.time = Timestamp::from_micros(fields.number()?),
                key::ID => {
                    raw.id = event_id(fields.bytes()?)?;
                    identified = true;
                }
                key::NAMESPACE => raw.namespace = fields.bytes()?,
                key::STREAM => raw.stream = fields.bytes()?,
                key::TYPE => raw.event_type = fields.bytes()?,
                key::TAG => {
                    fields.bytes()?;
                    raw.has_tags = true;
                }
                key::DATA => raw.data = fields.bytes()?,
                key::ACTOR => raw.actor = Some(fields.bytes()?),
                key::TRACEPARENT => raw.traceparent = Some(fields.bytes()?),
                key::CAUSATION => raw.causation = Some(event_id(fields.bytes()?)?),
                key::CORRELATION => raw.correlation = Some(fields.bytes()?),
                key::OTHER => {
                    fields.bytes()?;
                    raw.has_other = true;
                }
                // What a later version added. Those that are known have no other form.
                _ => {
                    if let (1..=13, _) = fields.next()?? {
                        return None;
                    }
                }
            }
        }
        if identified { Some(raw) } else { None }
    }

    /// Its namespace, as bytes.
    pub(crate) fn namespace(&self) -> &'a [u8] {
        self.namespace
    }

    /// Its stream, as bytes: texts are checked when the event is made.
    pub(crate) fn stream(&self) -> &'a [u8] {
        self.stream
    }

    /// Its type, as bytes.
    pub(crate) fn event_type(&self) -> &'a [u8] {
        self.event_type
    }

    /// Its tags, as bytes.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.repeated(7, self.has_tags)
    }

    /// About how many bytes the event takes in memory.
    pub(crate) fn size(&self) -> usize {
        self.message.len() + 100
    }

    /// Whether it is of one of Tenon's own streams.
    pub(crate) fn is_reserved(&self) -> bool {
        self.stream.starts_with(RESERVED_STREAMS.as_bytes())
    }

    /// As [`Query::matches`].
    pub(crate) fn matches(&self, query: &Query) -> bool {
        let covered = match query.scope {
            Scope::All => true,
            Scope::User => !self.is_reserved(),
            Scope::Reserved => self.is_reserved(),
        };
        covered
            && query.namespace.as_ref().is_none_or(|wanted| wanted.as_str().as_bytes() == self.namespace)
            && (query.items.is_empty() || query.items.iter().any(|item| self.matches_item(item)))
    }

    fn matches_item(&self, item: &QueryItem) -> bool {
        let one_of = |wanted: bool, found: &dyn Fn(&str) -> bool, bytes: &[u8]| {
            !wanted || text(bytes).is_some_and(found)
        };
        one_of(!item.streams.is_empty(), &|stream| item.streams.contains(stream), self.stream)
            && item.prefix.as_ref().is_none_or(|prefix| self.stream.starts_with(prefix.as_str().as_bytes()))
            && one_of(!item.types.is_empty(), &|name| item.types.contains(name), self.event_type)
            && item.tags.iter().all(|wanted| self.tags().any(|tag| tag == wanted.as_str().as_bytes()))
    }

    /// The event itself.
    #[inline]
    pub(crate) fn event(&self, data: Data<'_>, names: &mut Names) -> Result<Event, &'static str> {
        self.made(data, names).ok_or(INVALID)
    }

    #[inline]
    fn made(&self, data: Data<'_>, names: &mut Names) -> Option<Event> {
        let data = match data {
            _ if self.data.is_empty() => Bytes::new(),
            Data::Slice(payload) => payload.slice_ref(self.data),
            Data::Mostly(payload) if self.data.len() * 2 >= payload.len() => payload.slice_ref(self.data),
            Data::Mostly(_) | Data::Copy => Bytes::copy_from_slice(self.data),
        };
        let actor = match self.actor {
            Some(actor) => Some(shared(&mut names.actors, actor, Actor::as_str, |it| Actor::new(it).ok())?),
            None => None,
        };
        let metadata = Metadata {
            actor,
            traceparent: owned(self.traceparent)?,
            causation: self.causation,
            correlation: owned(self.correlation)?,
            other: self.other()?,
        };
        let namespaces = &mut names.namespaces;
        Some(Event {
            position: self.position,
            time: self.time,
            id: self.id,
            namespace: shared(namespaces, self.namespace, Namespace::as_str, |it| Namespace::new(it).ok())?,
            stream: shared_last(&mut names.last_stream, self.stream)?,
            event_type: shared(&mut names.types, self.event_type, EventType::as_str, |it| {
                EventType::new(it).ok()
            })?,
            tags: self.all_tags()?,
            data,
            metadata,
        })
    }

    fn all_tags(&self) -> Option<Tags> {
        if !self.has_tags {
            return Some(Tags::new());
        }
        self.tags().map(|tag| Tag::new(text(tag)?).ok()).collect()
    }

    fn other(&self) -> Option<BTreeMap<String, String>> {
        if !self.has_other {
            return Some(BTreeMap::new());
        }
        let pair = |entry| -> Option<(String, String)> {
            let (mut name, mut value) = ("", "");
            for field in Fields(entry) {
                match field? {
                    (1, Field::Bytes(bytes)) => name = text(bytes)?,
                    (2, Field::Bytes(bytes)) => value = text(bytes)?,
                    _ => {}
                }
            }
            Some((name.to_owned(), value.to_owned()))
        };
        self.repeated(13, self.has_other).map(pair).collect()
    }

    /// The contents of a field that may be there several times.
    fn repeated(&self, number: u32, present: bool) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let fields = Fields(if present { self.message } else { &[] });
        fields.filter_map(move |field| match field {
            Some((found, Field::Bytes(bytes))) if found == number => Some(bytes),
            _ => None,
        })
    }
}

/// A name that came lately, or a new one.
#[inline]
fn shared<N: Clone>(
    names: &mut Vec<N>,
    bytes: &[u8],
    as_str: impl Fn(&N) -> &str,
    new: impl FnOnce(&str) -> Option<N>,
) -> Option<N> {
    match names.first().filter(|name| as_str(name).as_bytes() == bytes) {
        Some(name) => Some(name.clone()),
        None => shared_or_new(names, bytes, as_str, new),
    }
}

fn shared_or_new<N: Clone>(
    names: &mut Vec<N>,
    bytes: &[u8],
    as_str: impl Fn(&N) -> &str,
    new: impl FnOnce(&str) -> Option<N>,
) -> Option<N> {
    if let Some(at) = names.iter().position(|name| as_str(name).as_bytes() == bytes) {
        let name = names.get(at).cloned();
        names.swap(0, at);
        return name;
    }
    let name = new(text(bytes)?)?;
    if names.len() >= SHARED {
        names.pop();
    }
    names.insert(0, name.clone());
    Some(name)
}

/// The stream of the event before, or a new one: there are too many to look through.
#[inline]
fn shared_last(last: &mut Option<StreamName>, bytes: &[u8]) -> Option<StreamName> {
    if last.as_ref().is_none_or(|stream| stream.as_str().as_bytes() != bytes) {
        *last = Some(StreamName::new(text(bytes)?).ok()?);
    }
    last.clone()
}

/// A text that may be missing; none at all if it is no text.
#[inline]
fn owned(bytes: Option<&[u8]>) -> Option<Option<Text>> {
    bytes.map(|bytes| text(bytes).map(Text::from)).map_or(Some(None), |text| text.map(Some))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn event_id(bytes: &[u8]) -> Option<EventId> {
    Some(EventId::from_bytes(bytes.try_into().ok()?))
}

/// How many bytes the message of an event has.
fn length(event: &Event) -> usize {
    let metadata = &event.metadata;
    let number = |value: u64| if value == 0 { 0 } else { 1 + wire::varint_length(value) };
    let bytes = |length: usize| 1 + wire::varint_length(length as u64) + length;
    let unless_empty = |length: usize| if length == 0 { 0 } else { bytes(length) };
    let texts = [event.namespace.as_str(), event.stream.as_str(), event.event_type.as_str()];
    number(event.position.0)
        + number(event.time.as_micros())
        + bytes(16)
        + texts.iter().map(|text| unless_empty(text.len())).sum::<usize>()
        + event.tags.iter().map(|tag| bytes(tag.as_str().len())).sum::<usize>()
        + unless_empty(event.data.len())
        + metadata.actor.as_ref().map_or(0, |actor| bytes(actor.as_str().len()))
        + metadata.traceparent.as_ref().map_or(0, |text| bytes(text.len()))
        + metadata.causation.map_or(0, |_| bytes(16))
        + metadata.correlation.as_ref().map_or(0, |text| bytes(text.len()))
        + metadata.other.iter().map(|pair| bytes(pair_length(pair))).sum::<usize>()
}

fn pair_length((name, value): (&String, &String)) -> usize {
    let length = |text: &String| {
        if text.is_empty() { 0 } else { 1 + wire::varint_length(text.len() as u64) + text.len() }
    };
    length(name) + length(value)
}

fn put(event: &Event, out: &mut Vec<u8>) {
    let metadata = &event.metadata;
    wire::put_number(1, event.position.0, out);
    wire::put_number(2, event.time.as_micros(), out);
    wire::put_bytes(3, event.id.as_bytes(), out);
    wire::put_unless_empty(4, event.namespace.as_str().as_bytes(), out);
    wire::put_unless_empty(5, event.stream.as_str().as_bytes(), out);
    wire::put_unless_empty(6, event.event_type.as_str().as_bytes(), out);
    for tag in &event.tags {
        wire::put_bytes(7, tag.as_str().as_bytes(), out);
    }
    wire::put_unless_empty(8, &event.data, out);
    if let Some(actor) = &metadata.actor {
        wire::put_bytes(9, actor.as_str().as_bytes(), out);
    }
    if let Some(traceparent) = &metadata.traceparent {
        wire::put_bytes(10, traceparent.as_bytes(), out);
    }
    if let Some(causation) = &metadata.causation {
        wire::put_bytes(11, causation.as_bytes(), out);
    }
    if let Some(correlation) = &metadata.correlation {
        wire::put_bytes(12, correlation.as_bytes(), out);
    }
    for pair in &metadata.other {
        wire::put_length(13, pair_length(pair), out);
        wire::put_unless_empty(1, pair.0.as_bytes(), out);
        wire::put_unless_empty(2, pair.1.as_bytes(), out);
    }
}

#[cfg(test)]
mod tests;

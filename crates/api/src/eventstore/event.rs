//! An event on the wire. The numbers of its fields are those of the log's own envelope.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, btree_map, bytes as bytes_field, check_wire_type, decode_varint, encode_key,
    encode_varint, encoded_len_varint, key_len, skip_field, string, uint64,
};
use prost::{DecodeError, Message};
use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::thread::LocalKey;
use tenon_core::{
    Actor, EventId, EventType, InvalidName, Namespace, Position, StreamName, Tags, Text, Timestamp,
};

/// An event, as it is appended and as it is read. What must be there may be missing, and what is invalid has been left
/// out and noted: see [`Event::check`].
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// Its place in the log; 0 when appended.
    pub position: Position,
    /// When it was appended; 0 when appended.
    pub time: Timestamp,
    /// Its id.
    pub id: Option<EventId>,
    /// Its namespace; the default one if none.
    pub namespace: Option<Namespace>,
    /// Its stream.
    pub stream: Option<StreamName>,
    /// Its type with its version.
    pub event_type: Option<EventType>,
    /// What it is about.
    pub tags: Tags,
    /// The payload.
    pub data: Bytes,
    /// Who made the change.
    pub actor: Option<Actor>,
    /// The W3C trace context of the request that led to it.
    pub traceparent: Option<Text>,
    /// The event that led directly to it.
    pub causation: Option<EventId>,
    /// What all events of one business transaction share.
    pub correlation: Option<Text>,
    /// Anything else, by name.
    pub other: BTreeMap<String, String>,
    /// The first field that holds what it may not.
    pub invalid: Option<Box<InvalidEvent>>,
}

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidEvent {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it, and what is expected.
    pub problem: String,
}

thread_local! {
    /// The last namespace and the last type that this thread read.
    static NAMESPACE: RefCell<Option<Namespace>> = const { RefCell::new(None) };
    static TYPE: RefCell<Option<EventType>> = const { RefCell::new(None) };
}

mod tag {
    pub(super) const POSITION: u32 = 1;
    pub(super) const TIME: u32 = 2;
    pub(super) const ID: u32 = 3;
    pub(super) const NAMESPACE: u32 = 4;
    pub(super) const STREAM: u32 = 5;
    pub(super) const TYPE: u32 = 6;
    pub(super) const TAGS: u32 = 7;
    pub(super) const DATA: u32 = 8;
    pub(super) const ACTOR: u32 = 9;
    pub(super) const TRACEPARENT: u32 = 10;
    pub(super) const CAUSATION: u32 = 11;
    pub(super) const CORRELATION: u32 = 12;
    pub(super) const OTHER: u32 = 13;
}

impl Event {
    /// Fails if a field held what it may not.
    ///
    /// # Errors
    /// [`InvalidEvent`] names the field.
    pub fn check(&self) -> Result<(), InvalidEvent> {
        self.invalid.as_deref().map_or(Ok(()), |invalid| Err(invalid.clone()))
    }

    fn note(&mut self, field: &'static str, problem: &dyn Display) {
        let problem = || Box::new(InvalidEvent { field, problem: problem.to_string() });
        self.invalid.get_or_insert_with(problem);
    }

    fn name<T: FromStr<Err = InvalidName>>(&mut self, field: &'static str, text: &[u8]) -> Option<T> {
        let Ok(text) = std::str::from_utf8(text) else {
            self.note(field, &"is not UTF-8");
            return None;
        };
        text.parse().map_err(|error| self.note(field, &error)).ok()
    }

    /// A name that is usually that of the event before: then it is shared instead of made.
    fn repeated<T: Clone + Borrow<str> + FromStr<Err = InvalidName>>(
        &mut self,
        field: &'static str,
        text: &[u8],
        last: &'static LocalKey<RefCell<Option<T>>>,
    ) -> Option<T> {
        let shared = last.with_borrow(|last| {
            let last = last.as_ref()?;
            let text_of: &str = last.borrow();
            (text_of.as_bytes() == text).then(|| last.clone())
        });
        shared.or_else(|| {
            let made: Option<T> = self.name(field, text);
            last.set(made.clone());
            made
        })
    }

    fn id(&mut self, field: &'static str, bytes: &[u8]) -> Option<EventId> {
        let id = bytes.try_into().map(EventId::from_bytes);
        id.map_err(|_| self.note(field, &"must have the 16 bytes of a UUID")).ok()
    }

    /// Takes a field that is a name, a text or an id.
    fn take(&mut self, tag: u32, bytes: &[u8]) {
        match tag {
            tag::ID => self.id = self.id("id", bytes),
            // An empty one is the default one.
            tag::NAMESPACE if bytes.is_empty() => {}
            tag::NAMESPACE => self.namespace = self.repeated("namespace", bytes, &NAMESPACE),
            tag::STREAM => self.stream = self.name("stream", bytes),
            tag::TYPE => self.event_type = self.repeated("event_type", bytes, &TYPE),
            tag::TAGS => {
                let tag = self.name("tags", bytes);
                self.tags.extend(tag);
            }
            tag::ACTOR => self.actor = self.name("actor", bytes),
            tag::TRACEPARENT => self.traceparent = self.text("traceparent", bytes),
            tag::CAUSATION => self.causation = self.id("causation", bytes),
            _ => self.correlation = self.text("correlation", bytes),
        }
    }

    fn text(&mut self, field: &'static str, bytes: &[u8]) -> Option<Text> {
        let text = std::str::from_utf8(bytes).map(Text::from);
        text.map_err(|_| self.note(field, &"is not UTF-8")).ok()
    }

    /// Hands every field of bytes to `visit`, in the order of their numbers.
    fn each_bytes<'a>(&'a self, mut visit: impl FnMut(u32, &'a [u8])) {
        let mut some = |tag, bytes: Option<&'a [u8]>| {
            if let Some(bytes) = bytes {
                visit(tag, bytes);
            }
        };
        some(tag::ID, self.id.as_ref().map(|id| id.as_bytes().as_slice()));
        some(tag::NAMESPACE, self.namespace.as_ref().map(|it| it.as_str().as_bytes()));
        some(tag::STREAM, self.stream.as_ref().map(|it| it.as_str().as_bytes()));
        some(tag::TYPE, self.event_type.as_ref().map(|it| it.as_str().as_bytes()));
        for tag in &self.tags {
            some(tag::TAGS, Some(tag.as_str().as_bytes()));
        }
        some(tag::ACTOR, self.actor.as_ref().map(|it| it.as_str().as_bytes()));
        some(tag::TRACEPARENT, self.traceparent.as_deref().map(str::as_bytes));
        some(tag::CAUSATION, self.causation.as_ref().map(|id| id.as_bytes().as_slice()));
        some(tag::CORRELATION, self.correlation.as_deref().map(str::as_bytes));
    }
}

impl Message for Event {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if self.position.0 != 0 {
            uint64::encode(tag::POSITION, &self.position.0, buf);
        }
        if self.time.as_micros() != 0 {
            uint64::encode(tag::TIME, &self.time.as_micros(), buf);
        }
        self.each_bytes(|tag, bytes| put(tag, bytes, buf));
        if !self.data.is_empty() {
            put(tag::DATA, &self.data, buf);
        }
        btree_map::encode(
            string::encode,
            string::encoded_len,
            string::encode,
            string::encoded_len,
            tag::OTHER,
            &self.other,
            buf,
        );
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            tag::POSITION => return uint64::merge(wire_type, &mut self.position.0, buf, ctx),
            tag::TIME => {
                let mut micros = 0;
                uint64::merge(wire_type, &mut micros, buf, ctx)?;
                self.time = Timestamp::from_micros(micros);
                return Ok(());
            }
            tag::DATA => return bytes_field::merge(wire_type, &mut self.data, buf, ctx),
            tag::OTHER => return btree_map::merge(string::merge, string::merge, &mut self.other, buf, ctx),
            tag::ID..=tag::CORRELATION => {}
            _ => return skip_field(wire_type, tag, buf, ctx),
        }
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        // In place, as it nearly always is in one piece.
        let mut rest = buf.chunk();
        let length = decode_varint(&mut rest).ok().and_then(|length| usize::try_from(length).ok());
        if let Some(bytes) = length.and_then(|length| rest.get(..length)) {
            let read = buf.chunk().len() - rest.len() + bytes.len();
            self.take(tag, bytes);
            buf.advance(read);
            return Ok(());
        }
        let mut bytes = Bytes::new();
        bytes_field::merge(wire_type, &mut bytes, buf, ctx)?;
        self.take(tag, &bytes);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let mut len = 0;
        if self.position.0 != 0 {
            len += uint64::encoded_len(tag::POSITION, &self.position.0);
        }
        if self.time.as_micros() != 0 {
            len += uint64::encoded_len(tag::TIME, &self.time.as_micros());
        }
        self.each_bytes(|tag, bytes| len += len_of(tag, bytes));
        if !self.data.is_empty() {
            len += len_of(tag::DATA, &self.data);
        }
        len + btree_map::encoded_len(string::encoded_len, string::encoded_len, tag::OTHER, &self.other)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn put(tag: u32, bytes: &[u8], buf: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(bytes.len() as u64, buf);
    buf.put_slice(bytes);
}

fn len_of(tag: u32, bytes: &[u8]) -> usize {
    key_len(tag) + encoded_len_varint(bytes.len() as u64) + bytes.len()
}

#[cfg(test)]
mod tests;

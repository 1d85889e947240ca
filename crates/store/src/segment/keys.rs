//! What events are indexed under: hashes of their stream, type and tags, and of being reserved.
//!
//! A key is a hash, so an index answers with candidates; whoever asks looks at the events themselves.

use crate::log::{Event, Query, QueryItem, Scope, fnv1a};
use tenon_core::{EventType, StreamName, Tag};

/// A hash that is kept on disk, so it must never change: FNV-1a of the kind and the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

/// Which keys lead to all events that can match a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// There is no key for it: look at every batch.
    Everything,
    /// What stands under any of these choices.
    Union(Vec<Choice>),
}

/// One part of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// All of these keys are needed.
    Each(Vec<Key>),
    /// Any one of these keys suffices: best the one with the fewest batches.
    Rarest(Vec<Key>),
}

/// The keys of an event.
pub(crate) fn of_event(event: &Event) -> Vec<Key> {
    let mut keys = vec![stream(&event.stream), event_type(&event.event_type)];
    keys.extend(event.tags.iter().map(tag));
    if event.stream.is_reserved() {
        keys.push(RESERVED);
    }
    keys
}

impl Plan {
    pub(crate) fn new(query: &Query) -> Self {
        let choices: Option<Vec<Choice>> = query.items.iter().map(Choice::new).collect();
        match choices {
            Some(choices) if !choices.is_empty() => Self::Union(choices),
            _ if query.scope == Scope::Reserved => Self::Union(vec![Choice::Each(vec![RESERVED])]),
            _ => Self::Everything,
        }
    }
}

impl Choice {
    fn new(item: &QueryItem) -> Option<Self> {
        if !item.streams.is_empty() {
            return Some(Self::Each(item.streams.iter().map(stream).collect()));
        }
        if !item.tags.is_empty() {
            return Some(Self::Rarest(item.tags.iter().map(tag).collect()));
        }
        let types: Vec<Key> = item.types.iter().map(event_type).collect();
        if types.is_empty() { None } else { Some(Self::Each(types)) }
    }
}

const RESERVED: Key = Key(fnv1a(crate::log::FNV_OFFSET, b"r"));

fn stream(name: &StreamName) -> Key {
    hash(b"s", name.as_str())
}

fn event_type(name: &EventType) -> Key {
    hash(b"e", name.as_str())
}

fn tag(name: &Tag) -> Key {
    hash(b"t", name.as_str())
}

fn hash(kind: &[u8], text: &str) -> Key {
    Key(fnv1a(fnv1a(crate::log::FNV_OFFSET, kind), text.as_bytes()))
}

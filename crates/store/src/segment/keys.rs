//! What events are indexed under: hashes of their stream, type and tags, and of being reserved.
//!
//! A key is a hash, so an index answers with candidates; whoever asks looks at the events themselves.

use super::envelope::Raw;
use crate::log::{Event, FNV_OFFSET, Query, QueryItem, Scope, fnv1a};
use std::hash::Hasher;
use tenon_core::{EventType, StreamName, Tag};

/// A hash that is kept on disk, so it must never change: 40 bits of the mixed FNV-1a of the kind and the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

/// How many bits a key has.
pub(crate) const KEY_BITS: u32 = 40;

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
pub(crate) fn of_event(event: &Event) -> impl Iterator<Item = Key> {
    let reserved = event.stream.is_reserved().then(reserved);
    let named = [stream(&event.stream), event_type(&event.event_type)];
    named.into_iter().chain(event.tags.iter().map(tag)).chain(reserved)
}

/// The keys of an event that is read in place.
pub(crate) fn of_raw<'a>(raw: &Raw<'a>) -> impl Iterator<Item = Key> + use<'a> {
    let reserved = raw.is_reserved().then(reserved);
    let named = [hash_bytes(b"s", raw.stream()), hash_bytes(b"e", raw.event_type())];
    named.into_iter().chain(raw.tags().map(|tag| hash_bytes(b"t", tag))).chain(reserved)
}

impl Plan {
    /// The choices; none when there is no key.
    pub(crate) fn choices(&self) -> &[Choice] {
        match self {
            Self::Everything => &[],
            Self::Union(choices) => choices,
        }
    }

    pub(crate) fn new(query: &Query) -> Self {
        let choices: Option<Vec<Choice>> = query.items.iter().map(Choice::new).collect();
        match choices {
            Some(choices) if !choices.is_empty() => Self::Union(choices),
            _ if query.scope == Scope::Reserved => Self::Union(vec![Choice::Each(vec![reserved()])]),
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

fn reserved() -> Key {
    hash(b"r", "")
}

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
    hash_bytes(kind, text.as_bytes())
}

fn hash_bytes(kind: &[u8], text: &[u8]) -> Key {
    Key(mix(fnv1a(fnv1a(FNV_OFFSET, kind), text)) >> (u64::BITS - KEY_BITS))
}

/// Spreads what differs in a few bits over all of them (the finalizer of MurmurHash3, by Austin Appleby): keys are put
/// in order by their first bits, and those of FNV-1a hardly depend on the last characters.
pub(crate) const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Keys are hashes already, so a table of them need not hash them again.
#[derive(Debug, Default, Clone)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = fnv1a(self.0, bytes);
    }

    fn write_u64(&mut self, value: u64) {
        // Tables look at the first bits and at the last ones.
        self.0 = value ^ (value << (u64::BITS - KEY_BITS));
    }
}

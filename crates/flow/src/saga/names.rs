//! Ids, streams and tags of sagas.

use aws_lc_rs::digest::{SHA256, digest};
use tenon_core::saga::{Definition, Direction, SagaName, Version};
use tenon_core::{EventType, Namespace, SagaId, StreamName, Tag};
use tenon_store::new_event_id;

/// Among how many leases the sagas of several servers are divided.
pub(super) const SHARDS: u8 = 4;

/// The ids that a saga with a key may have. Which of them it is depends on whether the sagas of its definition run one after
/// the other; as that may change, both must be free.
pub(super) fn ids_of(namespace: &Namespace, name: &SagaName, key: &str) -> [SagaId; 2] {
    let bytes = hash(&["saga", namespace.as_str(), name.as_str(), key]);
    [placed(bytes, bytes[0]), placed(bytes, by_name(namespace, name))]
}

/// A new id.
pub(super) fn new_id(namespace: &Namespace, name: &SagaName, in_turn: bool) -> SagaId {
    let bytes = *new_event_id().as_bytes();
    placed(bytes, if in_turn { by_name(namespace, name) } else { bytes[15] >> 4 })
}

/// The id of a saga that is a step of another.
pub(super) fn child_key(parent: SagaId, step: u8, round: u32) -> String {
    format!("{parent}/{step}/{round}")
}

/// Which lease a saga belongs to. All sagas of a name that run one after the other have the same.
pub(super) fn shard(id: SagaId) -> u8 {
    id.as_bytes()[15] % SHARDS
}

fn by_name(namespace: &Namespace, name: &SagaName) -> u8 {
    hash(&["turn", namespace.as_str(), name.as_str()])[0]
}

fn placed(mut bytes: [u8; 16], by: u8) -> SagaId {
    bytes[15] = (bytes[15] & 0xf0) | (by & 0x0f);
    SagaId::from_bytes(bytes)
}

/// The version of a definition: the hash of how it is written down.
pub(super) fn version_of(definition: &Definition) -> Version {
    tenon_api::saga::version_of(definition)
}

/// What varies a saga's waits.
pub(super) fn seed(id: SagaId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash(&["seed", &id.to_string()]);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// By which a participant knows that it is the same call again.
pub(super) fn call_key(id: SagaId, step: &str, direction: Direction, round: u32) -> String {
    format!("{id}/{step}/{direction}/{round}")
}

/// The id of the span of one attempt at a call.
pub(super) fn call_span(id: SagaId, key: &str, attempt: u32) -> u64 {
    span(id, &format!("{key}/{attempt}"))
}

/// The id of a span of a saga's trace, not 0.
pub(super) fn span(id: SagaId, of: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash(&["span", &id.to_string(), of]);
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

fn hash(parts: &[&str]) -> [u8; 16] {
    let text = parts.join("\0");
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
    bytes
}

const RUNS: &str = "$tenon/sagas/runs/";

/// The stream of one saga.
pub(super) fn stream_of(id: SagaId) -> StreamName {
    match StreamName::new(&format!("{RUNS}{id}")) {
        Ok(stream) => stream,
        Err(_) => unreachable!("a UUID is printable"),
    }
}

/// Whose stream it is.
pub(super) fn id_of(stream: &StreamName) -> Option<SagaId> {
    stream.as_str().strip_prefix(RUNS)?.parse().ok()
}

/// The tag of the sagas of a name.
pub(super) fn tag(namespace: &Namespace, name: &SagaName) -> Tag {
    match Tag::new(&format!("saga:{namespace}/{name}")) {
        Ok(tag) => tag,
        Err(_) => unreachable!("two DNS labels are at most 126 bytes"),
    }
}

/// The tag of the event with which a saga's turn begins, among those that run one after the other.
pub(super) fn turn_tag(namespace: &Namespace, name: &SagaName, turn: &str) -> Tag {
    let hash = hash(&["in-turn", namespace.as_str(), name.as_str(), turn]);
    match Tag::new(&format!("saga-turn:{:032x}", u128::from_be_bytes(hash))) {
        Ok(tag) => tag,
        Err(_) => unreachable!("it is short, and printable"),
    }
}

/// The tag of sagas that are part of a trace that is not their own.
pub(super) fn trace_tag(trace: u128) -> Tag {
    match Tag::new(&format!("saga-trace:{trace:032x}")) {
        Ok(tag) => tag,
        Err(_) => unreachable!("it is short, and printable"),
    }
}

/// A type of Tenon's own.
pub(super) fn event_type(text: &'static str) -> EventType {
    match EventType::new(text) {
        Ok(event_type) => event_type,
        Err(_) => unreachable!("the type is a constant"),
    }
}

//! The event store.

use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tenon_core::{Actor, EventId, EventType, Namespace, Revision, StreamName, Tag, Timestamp};

/// Events to append, all or none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendEvents {
    /// The events, in their order: 1 to 1,024 of them, of at most 8 MiB together.
    pub events: Vec<AppendEvent>,
    /// What must be so of streams for the append to happen, whether or not they are appended to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedVersion>,
    /// What else must be so: no event matches a query after a revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<AppendCondition>,
}

/// An event to append.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendEvent {
    /// Chosen by the appender (UUIDv7), so that an append that is repeated is recognised; a new one if left out, and then
    /// a repeated append appends again.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub id: Option<EventId>,
    /// The stream; left out where the path names it.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub stream: Option<StreamName>,
    /// The namespace; that of the request if left out.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub namespace: Option<Namespace>,
    /// The type with its version, for example `shop.order.OrderPlaced.v1`.
    #[serde(rename = "type", with = "text")]
    #[schemars(with = "String")]
    pub event_type: EventType,
    /// What the event is about, for queries and conditions that cross streams, by habit `key:value`.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub tags: Vec<Tag>,
    /// The payload, if it is JSON. It is kept by its value: numbers that need more than 64 bits belong in a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// The payload, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// Whom the payload is about. It is then encrypted under a key of this subject's own, and unreadable once the subject
    /// is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The event that led directly to this one.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub causation: Option<EventId>,
    /// What all events of one business transaction share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Anything else, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// What is expected of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedVersion {
    /// The namespace; that of the request if left out.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub namespace: Option<Namespace>,
    /// The stream.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub stream: StreamName,
    /// `none`: it has no event; `exists`: it has some; a revision: it has none after that.
    pub version: String,
}

/// That no event matches a query after a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendCondition {
    /// The alternatives; each must name a stream or a tag.
    pub none_of: Vec<EventFilter>,
    /// Events up to here do not count.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub after: Revision,
}

/// Events of one of the streams, with all of the tags, of one of the types; what is left out does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// Any of these streams.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub streams: Vec<StreamName>,
    /// All of these tags.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub tags: Vec<Tag>,
    /// Any of these types.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub types: Vec<EventType>,
}

/// Events were appended, or had been before. The `ETag` header has the revision too, in quotation marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppendedEvents {
    /// The last of them: the new version of its stream.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// The position of each.
    pub positions: Vec<u64>,
    /// They were there before; nothing was changed.
    pub duplicate: bool,
}

/// An event as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredEvent {
    /// Its place in the log.
    pub position: u64,
    /// When it was appended.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Its id.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub id: EventId,
    /// Its namespace.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub namespace: Namespace,
    /// Its stream.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub stream: StreamName,
    /// Its type with its version.
    #[serde(rename = "type", with = "text")]
    #[schemars(with = "String")]
    pub event_type: EventType,
    /// What it is about.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub tags: Vec<Tag>,
    /// The payload, if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// The payload, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// Whom the payload is about, if it is encrypted for a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why there is no payload, if the subject's key is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// Who appended it.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub actor: Option<Actor>,
    /// The W3C trace context of the request that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The event that led directly to it.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub causation: Option<EventId>,
    /// What all events of one business transaction share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Anything else, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Why a payload is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Withheld {
    /// The subject was forgotten.
    Forgotten,
    /// The subject's key is not on this server, or is not the one that the payload was encrypted under.
    Unreadable,
}

/// Some events in the order of the read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventPage {
    /// How far the read looked: `from` for the next page. The `ETag` of a stream's page is this as well when it is read
    /// forward to the end: what to expect when appending.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether the read looked at everything there is.
    pub at_end: bool,
}

/// What a subscription tells: events, each with its revision as its id; and from time to time how far it is, as an event
/// named `checkpoint`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Told {
    /// An event of the log.
    Event(Box<StoredEvent>),
    /// Everything up to here has been told, matching or not.
    Checkpoint {
        /// Where that is.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        revision: Revision,
        /// Nothing more was there when this was sent.
        caught_up: bool,
    },
}

/// Streams, in the order of namespaces and names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamList {
    /// The streams.
    pub streams: Vec<StreamSummary>,
    /// `after` for the next page; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One stream in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamSummary {
    /// Its namespace.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub namespace: Namespace,
    /// Its name.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub stream: StreamName,
    /// Its last event: what to expect when appending.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub version: Revision,
    /// When that was appended.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub changed_at: Timestamp,
    /// Its type.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub last_type: EventType,
}

/// The name of the events of a subscription that tell how far it is.
pub const CHECKPOINT_EVENT: &str = "checkpoint";

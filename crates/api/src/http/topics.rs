//! Topics: events by their types, as CloudEvents.

use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenon_core::{EventType, Revision, Timestamp};

/// Events are in the log, and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Published {
    /// The last of them; where the log ends, if there was none to publish.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// What became of each, in the order given.
    pub events: Vec<PublishedEvent>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishedEvent {
    /// Its place in the log.
    pub position: u64,
    /// It had been published before; nothing was changed.
    pub duplicate: bool,
}

/// Topics, those that something was published to last first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicList {
    /// How far back the log was looked at: `before` for what lies further back.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// The topics that were found there.
    pub topics: Vec<TopicSummary>,
    /// Whether the log was looked at to its beginning, so that there are no others and counts are exact.
    pub at_end: bool,
}

/// One topic in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicSummary {
    /// Its name: the type of its events.
    #[serde(rename = "type", with = "text")]
    #[schemars(with = "String")]
    pub event_type: EventType,
    /// How many events there are in the part of the log that was looked at.
    pub events: u64,
    /// The last one.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub last: Revision,
    /// When that was published.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub published_at: Timestamp,
}

/// A CloudEvent 1.0 in the JSON format. The module [`cloudevents`](crate::cloudevents) reads and checks it; this is how it
/// is described, and read by whoever only shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudEventDocument {
    /// `1.0`.
    pub specversion: String,
    /// Names the event within its source.
    pub id: String,
    /// Where it happened: a URI reference.
    pub source: String,
    /// What happened: the topic.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it happened to, within the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The media type of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The schema of the data: a URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// The payload, if it is JSON or a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The payload, if it is neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// Extension attributes.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

/// What a topic tells: events, each with its revision as its id; and from time to time how far it is, as an event named
/// `checkpoint`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ToldOfTopic {
    /// An event of the topic.
    Event(Box<CloudEventDocument>),
    /// Everything up to here has been told.
    Checkpoint {
        /// Where that is.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        revision: Revision,
        /// Nothing more was there when this was sent.
        caught_up: bool,
    },
}

//! Spans in the JSON form of OTLP (<https://opentelemetry.io/docs/specs/otlp/>), as far as Tenon writes them: what
//! the data plane's admin address and the API answer, and what a collector is sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Spans, by whoever recorded them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracesData {
    /// Those of each recorder.
    pub resource_spans: Vec<ResourceSpans>,
}

/// Spans of one recorder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSpans {
    /// Who that is.
    pub resource: Resource,
    /// Its spans.
    pub scope_spans: Vec<ScopeSpans>,
}

/// A recorder: a sidecar, a gateway, or who runs sagas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SpanResource")]
pub struct Resource {
    /// What tells it from others, `service.name` among them.
    pub attributes: Vec<Attribute>,
}

/// Spans that one library recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeSpans {
    /// The library.
    pub scope: Scope,
    /// Its spans.
    pub spans: Vec<Span>,
}

/// A library that records spans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SpanScope")]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// Those of the span that it is part of; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent_span_id: String,
    /// What is done, in few words.
    pub name: String,
    /// [`INTERNAL`], [`SERVER`] or [`CLIENT`].
    pub kind: u8,
    /// When it began, in nanoseconds of Unix time.
    #[serde(with = "crate::text")]
    #[schemars(with = "String")]
    pub start_time_unix_nano: u64,
    /// When it ended.
    #[serde(with = "crate::text")]
    #[schemars(with = "String")]
    pub end_time_unix_nano: u64,
    /// What is known of it, in OpenTelemetry's names where it has some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// What happened within it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Whether it failed.
    #[serde(default)]
    pub status: Status,
}

/// The kind of a span for what is done within.
pub const INTERNAL: u8 = 1;
/// The kind of a span for a request that came in.
pub const SERVER: u8 = 2;
/// The kind of a span for a request that was sent on.
pub const CLIENT: u8 = 3;

/// Something that happened within a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SpanEvent")]
pub struct Event {
    /// When, in nanoseconds of Unix time.
    #[serde(with = "crate::text")]
    #[schemars(with = "String")]
    pub time_unix_nano: u64,
    /// What.
    pub name: String,
    /// What is known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

/// How a span ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SpanStatus")]
pub struct Status {
    /// 0 says nothing, 2 is an error.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code: u8,
    /// Why it is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Something that is known, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SpanAttribute")]
pub struct Attribute {
    /// The name.
    pub key: String,
    /// The value.
    pub value: Value,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SpanValue")]
pub enum Value {
    /// A text.
    StringValue(String),
    /// A whole number, as text.
    IntValue(String),
}

impl TracesData {
    /// Every span with its recorder's `service.name`.
    pub fn spans(&self) -> impl Iterator<Item = (&str, &Span)> {
        self.resource_spans.iter().flat_map(|it| {
            let name = it.resource.attributes.iter().find(|attribute| attribute.key == "service.name");
            let name = name.map_or("", Attribute::text);
            it.scope_spans.iter().flat_map(|scope| &scope.spans).map(move |span| (name, span))
        })
    }
}

impl Attribute {
    /// An attribute that is a text.
    pub fn new(key: &str, value: impl Into<String>) -> Self {
        Self { key: key.to_owned(), value: Value::StringValue(value.into()) }
    }

    /// An attribute that is a number.
    pub fn number(key: &str, value: u64) -> Self {
        Self { key: key.to_owned(), value: Value::IntValue(value.to_string()) }
    }

    /// Its value as it reads.
    pub fn text(&self) -> &str {
        match &self.value {
            Value::StringValue(text) | Value::IntValue(text) => text,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(code: &u8) -> bool {
    *code == 0
}

#[cfg(test)]
pub(crate) mod tests;

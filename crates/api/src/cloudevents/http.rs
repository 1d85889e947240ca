//! Events over HTTP
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>).
//!
//! By the `content-type` a message holds one event in one of the formats (structured), several (batched), or else the data
//! alone, with the attributes as headers `ce-…` (binary).

use super::{
    Attribute, Attributes, CloudEvent, JSON, JSON_BATCH, PROTOBUF, PROTOBUF_BATCH, VERSION, essence,
};
use crate::InvalidMessage;
use crate::invalid::Checked;
use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

/// How the names of headers begin that are attributes.
const PREFIX: &str = "ce-";

/// What a value in a header cannot have as it is. What is not ASCII is always encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// How one event is sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// The data as the body, the attributes as headers.
    #[default]
    Binary,
    /// All of it as the body, in the JSON format.
    Structured,
}

/// Reads the events that a message holds: one, unless it is a batch.
///
/// # Errors
/// [`InvalidMessage`] names the attribute, or the header, that is not as it must be.
pub fn read(headers: &HeaderMap, body: Bytes) -> Result<Vec<CloudEvent>, InvalidMessage> {
    let content_type = text(headers, &CONTENT_TYPE)?;
    let media_type = content_type.map(|it| essence(it).to_ascii_lowercase()).unwrap_or_default();
    match media_type.as_str() {
        JSON => CloudEvent::from_json(&body).map(|event| vec![event]),
        JSON_BATCH => CloudEvent::batch_from_json(&body),
        PROTOBUF => CloudEvent::from_protobuf(body).map(|event| vec![event]),
        PROTOBUF_BATCH => CloudEvent::batch_from_protobuf(body),
        other if other.starts_with("application/cloudevents") => Err(InvalidMessage::new(
            "content-type",
            format_args!(
                "{other:?} is no format that is understood; send {JSON}, {JSON_BATCH}, {PROTOBUF}, {PROTOBUF_BATCH}, \
                 or the data with headers `ce-…`"
            ),
        )),
        _ => read_binary(headers, content_type, body).map(|event| vec![event]),
    }
}

/// The event as headers, which are added, and a body.
///
/// # Errors
/// [`InvalidMessage`] if a value cannot stand in a header, which no valid event has.
pub fn write(event: &CloudEvent, form: Form, headers: &mut HeaderMap) -> Result<Bytes, InvalidMessage> {
    match form {
        Form::Structured => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
            Ok(event.to_json().to_string().into())
        }
        Form::Binary => {
            let version = ("specversion", Attribute::from(VERSION));
            for (name, value) in std::iter::once(version).chain(event.attributes()) {
                let encoded = utf8_percent_encode(&value.to_string(), ENCODED).to_string();
                headers.insert(header_name(name)?, header_value(name, &encoded)?);
            }
            if let Some(content_type) = &event.content_type {
                headers.insert(CONTENT_TYPE, header_value("datacontenttype", content_type)?);
            }
            Ok(event.data.clone())
        }
    }
}

/// Events as a batch in the JSON format.
pub fn batch(events: &[CloudEvent]) -> Bytes {
    Value::Array(events.iter().map(CloudEvent::to_json).collect()).to_string().into()
}

fn read_binary(headers: &HeaderMap, content_type: Option<&str>, body: Bytes) -> Checked<CloudEvent> {
    if !headers.contains_key("ce-specversion") {
        return Err(InvalidMessage::new(
            "ce-specversion",
            format_args!(
                "is missing: this is neither an event of its own (content-type {JSON}) nor data with headers `ce-…`"
            ),
        ));
    }
    let mut attributes = Attributes::default();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        if attribute == "datacontenttype" {
            return Err(InvalidMessage::new(name.as_str(), "belongs into the header content-type"));
        }
        let value = text(headers, name)?.unwrap_or_default();
        attributes.insert(attribute, Attribute::Text(decode(name, value)?))?;
    }
    if let Some(content_type) = content_type {
        attributes.insert("datacontenttype", content_type.into())?;
    }
    CloudEvent::read(attributes, body)
}

/// A header's text; refused if the header is there more than once.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Checked<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(InvalidMessage::new(name.as_str(), "is given twice"));
    }
    let not_text = |_| InvalidMessage::new(name.as_str(), "is not ASCII; write other characters as %XX");
    value.map(|value| value.to_str().map_err(not_text)).transpose()
}

fn decode(name: &HeaderName, value: &str) -> Checked<String> {
    let decoded = percent_decode_str(value).decode_utf8();
    decoded.map(Into::into).map_err(|_| InvalidMessage::new(name.as_str(), "is not UTF-8 once decoded"))
}

fn header_name(attribute: &str) -> Checked<HeaderName> {
    let name = HeaderName::try_from(format!("{PREFIX}{attribute}"));
    name.map_err(|error| InvalidMessage::new(attribute, error))
}

fn header_value(attribute: &str, text: &str) -> Checked<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| InvalidMessage::new(attribute, error))
}

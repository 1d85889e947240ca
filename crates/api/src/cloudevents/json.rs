//! The JSON format
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).
//!
//! Data that is JSON by its media type stands in `data` as it is, and is kept by its value; data that is a text stands
//! there as a text; anything else in `data_base64`. With `data` and no media type, it is JSON.

use super::{Attribute, Attributes, CloudEvent, MAX_BATCH, VERSION, decode_base64, encode_base64, is_json};
use crate::InvalidMessage;
use crate::invalid::{Checked, each};
use bytes::Bytes;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fmt;

impl CloudEvent {
    /// Reads an event in the JSON format.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the attribute that is not as it must be.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidMessage> {
        read(parse(json, "a CloudEvent in the JSON format")?)
    }

    /// Reads a batch in the JSON format.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the event, by its place in the batch, and the attribute.
    pub fn batch_from_json(json: &[u8]) -> Result<Vec<Self>, InvalidMessage> {
        let events: Vec<Members> = parse(json, "a list of CloudEvents in the JSON format")?;
        check_batch(events.len())?;
        each("", events, read)
    }

    /// The event in the JSON format.
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("specversion".to_owned(), VERSION.into());
        for (name, value) in self.attributes() {
            let value = match value {
                Attribute::Boolean(value) => value.into(),
                Attribute::Integer(value) => value.into(),
                Attribute::Text(value) => value.into(),
            };
            members.insert(name.to_owned(), value);
        }
        if let Some(content_type) = &self.content_type {
            members.insert("datacontenttype".to_owned(), content_type.as_str().into());
        }
        if !self.data.is_empty() {
            let (name, value) = self.data_member();
            members.insert(name.to_owned(), value);
        }
        Value::Object(members)
    }

    fn data_member(&self) -> (&'static str, Value) {
        if self.is_json() {
            if let Ok(value) = serde_json::from_slice(&self.data) {
                return ("data", value);
            }
        } else if let Some(text) = self.text() {
            return ("data", text.into());
        }
        ("data_base64", encode_base64(&self.data).into())
    }
}

/// Refuses a batch that has more events than one append.
pub(super) fn check_batch(count: usize) -> Checked<()> {
    if count > MAX_BATCH {
        let problem = format_args!("{count} events; at most {MAX_BATCH} are accepted at once").to_string();
        return Err(InvalidMessage::new("batch", problem));
    }
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], expected: &str) -> Checked<T> {
    let problem = |error| InvalidMessage::new("body", format_args!("is not {expected}: {error}"));
    serde_json::from_slice(json).map_err(problem)
}

fn read(Members(members): Members) -> Checked<CloudEvent> {
    let mut attributes = Attributes::default();
    let (mut json, mut base64) = (None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("data", value) => json = Some(value),
            // As in the specification: an attribute that is null is one that is not there.
            (_, Value::Null) => {}
            ("data_base64", Value::String(text)) => base64 = Some(text),
            ("data_base64", _) => return Err(InvalidMessage::new("data_base64", "is not a text")),
            (name, value) => attributes.insert(name, attribute(name, value)?)?,
        }
    }
    let content_type = attributes.0.get("datacontenttype").map(ToString::to_string);
    let data = match (json, base64) {
        (Some(Value::Null) | None, None) => Bytes::new(),
        (Some(Value::Null) | None, Some(text)) => decode_base64("data_base64", &text)?,
        (Some(_), Some(_)) => return Err(InvalidMessage::new("data", "stands beside data_base64; send one")),
        (Some(value), None) => match content_type {
            None => {
                attributes.insert("datacontenttype", "application/json".into())?;
                value.to_string().into()
            }
            Some(content_type) if is_json(&content_type) => value.to_string().into(),
            Some(content_type) => match value {
                Value::String(text) => text.into(),
                _ => {
                    let problem = format_args!(
                        "is not a text, and datacontenttype is {content_type:?}; send a text or data_base64"
                    )
                    .to_string();
                    return Err(InvalidMessage::new("data", problem));
                }
            },
        },
    };
    CloudEvent::read(attributes, data)
}

fn attribute(name: &str, value: Value) -> Checked<Attribute> {
    let integer = |value: &Value| value.as_i64().and_then(|value| i32::try_from(value).ok());
    match value {
        Value::Bool(value) => Ok(Attribute::Boolean(value)),
        Value::String(value) => Ok(Attribute::Text(value)),
        Value::Number(_) => {
            let problem = format_args!("{value} is not an integer of 32 bits; send a text").to_string();
            integer(&value).map(Attribute::Integer).ok_or_else(|| InvalidMessage::new(name, problem))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(InvalidMessage::new(name, "is no text, integer or boolean, which is what attributes are"))
        }
    }
}

/// The members of an object, as they stand there: whoever reads them sees what is given twice.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if name.starts_with("data") && members.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom(format_args!("{name} is given twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}
